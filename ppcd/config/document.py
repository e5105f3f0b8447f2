"""A configuration file as text: every scalar a string, every value with its place in the file.

Plain YAML guesses (`NO` is false, `0717` is 463, `12:30` is 750), so nothing is guessed here: the
declared type of a key parses the text. Owns what YAML may look like; knows no key of ppcd.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import yaml

__all__ = ["ConfigurationError", "Document", "Loc", "Problem", "parse", "read"]

Loc: TypeAlias = Sequence[int | str]
Data: TypeAlias = "dict[str, Data] | list[Data] | str | None"

SIZE_MAX: Final = 1 << 20
DEPTH_MAX: Final = 20
#: What YAML calls null. Quoted, they are text.
NULLS: Final = frozenset({"", "~", "null"})
STRING_TAG: Final = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file, said to the person who wrote it."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigurationError(Exception):
    """The file cannot be used; `problems` is everything that is wrong, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Document:
    """What a file holds, and where."""

    def __init__(self, file: str, root: yaml.Node | None) -> None:
        self.file = file
        self._root = root
        self.problems: list[Problem] = []
        self._seen: set[int] = set()
        self.data: Data = {} if root is None else self._build(root, (), 0)

    def problem(self, loc: Loc, message: str, *, at_key: bool = False) -> Problem:
        """A problem at `loc`, or at the nearest parent that the file has."""
        line, column = self._place(loc, at_key=at_key)
        return Problem(self.file, line, column, dotted(loc), message)

    def has(self, loc: Loc) -> bool:
        """Whether the file says anything at exactly this place."""
        node = self._root
        for part in loc:
            node = _inside(node, part)
        return node is not None

    def _place(self, loc: Loc, *, at_key: bool) -> tuple[int, int]:
        node = self._root
        if node is None:
            return (1, 1)
        mark = node.start_mark
        for depth, part in enumerate(loc, start=1):
            inside = _inside(node, part)
            if inside is None:
                break
            mark = inside.start_mark
            if at_key and depth == len(loc) and isinstance(node, yaml.MappingNode):
                mark = next(k.start_mark for k, _ in node.value if k.value == part)
            node = inside
        return (mark.line + 1, mark.column + 1)

    def _build(self, node: yaml.Node, loc: tuple[int | str, ...], depth: int) -> Data:
        if id(node) in self._seen or depth > DEPTH_MAX:
            # A few lines of aliases to aliases unfold into gigabytes.
            self._complain(node, loc, "aliases are refused: write the value out")
            return None
        self._seen.add(id(node))
        if node.tag.startswith("!") or (
            isinstance(node, yaml.ScalarNode) and node.tag != STRING_TAG
        ):
            self._complain(node, loc, f"tags such as {node.tag} are refused")
            return None
        if isinstance(node, yaml.ScalarNode):
            return None if node.style is None and node.value in NULLS else str(node.value)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*loc, i), depth + 1) for i, item in enumerate(node.value)]
        return self._mapping(node, loc, depth)

    def _mapping(self, node: yaml.Node, loc: tuple[int | str, ...], depth: int) -> dict[str, Data]:
        first: dict[str, int] = {}
        data: dict[str, Data] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != STRING_TAG:
                self._complain(key, loc, "keys must be plain text")
                continue
            if key.value == "<<":
                self._complain(key, loc, "merge keys (<<) are refused: write the keys out")
                continue
            if key.value in first:
                said = f"doubled key {key.value!r}, first on line {first[key.value]}"
                self._complain(key, loc, said)
                continue
            first[key.value] = key.start_mark.line + 1
            data[key.value] = self._build(value, (*loc, key.value), depth + 1)
        return data

    def _complain(self, node: yaml.Node, loc: Loc, message: str) -> None:
        mark = node.start_mark
        self.problems.append(
            Problem(self.file, mark.line + 1, mark.column + 1, dotted(loc), message)
        )


def dotted(loc: Loc) -> str:
    """`links.main.port`; places in lists in brackets, from 0."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _inside(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((v for k, v in node.value if k.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        found: yaml.Node = node.value[part]
        return found
    return None


def read(path: Path) -> Document:
    """The file as a document; raises ConfigurationError if it is no YAML at all."""
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_MAX + 1)
    except OSError as exc:
        message = f"cannot be read: {exc.strerror}"
        raise ConfigurationError([Problem(str(path), 0, 0, "", message)]) from exc
    if len(raw) > SIZE_MAX:
        raise ConfigurationError([Problem(str(path), 0, 0, "", "is larger than 1 MiB")])
    return parse(str(path), raw)


def parse(file: str, raw: bytes) -> Document:
    """The bytes of `file` as a document whose root is a mapping."""
    try:
        # The base loader resolves nothing: every scalar is text. It builds no objects either.
        root = yaml.compose(raw.decode(), Loader=yaml.BaseLoader)
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise ConfigurationError([Problem(file, line, 1, "", "is not UTF-8 text")]) from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = " ".join(filter(None, (exc.context, exc.problem)))
        raise ConfigurationError([Problem(file, line, column, "", message)]) from exc
    except yaml.YAMLError as exc:
        raise ConfigurationError([Problem(file, 0, 0, "", _one_line(str(exc)))]) from exc
    except RecursionError as exc:
        raise ConfigurationError([Problem(file, 0, 0, "", "is nested too deeply")]) from exc
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise ConfigurationError([Problem(file, 1, 1, "", "must be a mapping of sections")])
    return Document(file, root)


def _one_line(text: str) -> str:
    return " ".join(text.split())
