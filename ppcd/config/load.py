"""From a file to settings, or to everything that is wrong with it at once.

A wrong value must not hide the next problem, so the checks across sections run on whatever parts
are right.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from ppcd.config.checks import Complaint, check
from ppcd.config.document import ConfigurationError, Document, Loc, dotted, read
from ppcd.config.explain import explain
from ppcd.config.models import fields_of, models_at
from ppcd.config.secret import (
    Secret,
    SecretError,
    check_file,
    check_private,
    credential_path,
    read_secret,
)
from ppcd.config.settings import Settings

__all__ = ["build", "load"]

#: Keys `<stem>_file` whose files are read by others, but are secret all the same (TLS private
#: keys).
PRIVATE: Final = frozenset({"key"})
#: As deep as sections nest: each round takes out one level at most.
PRUNINGS_MAX: Final = 6


def load(path: str | Path, *, credentials_directory: str | None = None) -> Settings:
    """The settings in the file at `path`; raises ConfigurationError with all problems.

    `credentials_directory` is where systemd put the unit's credentials, by default what it says in
    `$CREDENTIALS_DIRECTORY`.
    """
    directory = credentials_directory or os.environ.get("CREDENTIALS_DIRECTORY")
    return build(read(Path(path)), credentials_directory=directory)


def build(document: Document, *, credentials_directory: str | None = None) -> Settings:
    """The settings of a document that was read already."""
    problems = list(document.problems)
    try:
        settings = Settings.model_validate(document.data)
    except ValidationError as exc:
        # Whatever is wrong below a place that could not even be read needs no second sentence.
        spoilt = {problem.path for problem in problems}
        found = explain(document, Settings, exc.errors(include_url=False))
        problems += [problem for problem in found if problem.path not in spoilt]
        settings = _sound_parts(document, exc)
    secrets, complaints = _secrets(document, credentials_directory)
    complaints += check(settings, document, secrets)
    spoilt = {problem.path for problem in problems}
    problems += [
        problem
        for problem in (document.problem(c.loc, c.message) for c in complaints if not c.harmless)
        if problem.path not in spoilt
    ]
    if problems:
        raise ConfigurationError(problems)
    settings._secrets = secrets
    settings._warnings = tuple(
        sorted(document.problem(c.loc, c.message) for c in complaints if c.harmless)
    )
    return settings


def _sound_parts(document: Document, error: ValidationError) -> Settings:
    """Settings without what is wrong, so that the rest can be checked further.

    Wrong values are taken out until what is left is right; a required one takes what it belongs
    to with it. Sections that are gone altogether are not there as attributes.
    """
    data = copy.deepcopy(document.data)
    assert isinstance(data, dict)
    for _ in range(PRUNINGS_MAX):
        for wrong in error.errors(include_url=False):
            _take_out(data, wrong["loc"])
        try:
            return Settings.model_validate(data)
        except ValidationError as exc:
            error = exc
    return Settings.model_construct(**_right_sections(data))


def _take_out(data: dict[str, Any], loc: Loc) -> None:
    """Take out the deepest key on the way to `loc` that is there."""
    holder, key = None, ""
    inner: Any = data
    for part in loc:
        if isinstance(inner, dict) and part in inner:
            holder, key, inner = inner, str(part), inner[part]
    if holder is not None:
        del holder[key]


def _right_sections(data: dict[str, Any]) -> dict[str, Any]:
    right: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        kind: Any = field.annotation
        try:
            right[name] = TypeAdapter(kind).validate_python(data[name])
        except (ValidationError, KeyError):
            if not field.is_required():
                right[name] = field.get_default(call_default_factory=True)
    return right


def _secrets(
    document: Document, directory: str | None
) -> tuple[dict[str, Secret], list[Complaint]]:
    """Every secret that any section names, by path: no section can forget a check."""
    secrets: dict[str, Secret] = {}
    complaints: list[Complaint] = []
    for loc, said in _mappings(document.data, ()):
        keys = {key for model in models_at(Settings, loc) for key, _ in fields_of(model)}
        for key, value in said.items():
            stem, _, how = key.rpartition("_")
            if key not in keys or how not in {"file", "credential"} or not isinstance(value, str):
                continue
            try:
                if how == "credential" and f"{stem}_file" in said:
                    raise SecretError(f"{stem}_file is given too: keep one of them")
                secret = _one_secret(
                    stem, how, value, directory, is_secret=f"{stem}_credential" in keys
                )
            except SecretError as exc:
                complaints.append(Complaint((*loc, key), str(exc)))
                continue
            if secret is not None:
                secrets[dotted((*loc, stem))] = secret
    return secrets, complaints


def _one_secret(
    stem: str, how: str, value: str, directory: str | None, *, is_secret: bool
) -> Secret | None:
    if how == "credential":
        return read_secret(credential_path(value, directory), others_mode=0o007)
    path = Path(value)
    if not path.is_absolute():
        # The directory that a command was called in is not the daemon's.
        raise SecretError(f"{path} must be an absolute path, beginning with /")
    if is_secret:
        return read_secret(path)
    check_file(path)
    if stem in PRIVATE:
        check_private(path)
    return None


def _mappings(data: object, loc: tuple[int | str, ...]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every mapping of the file, with its place."""
    if isinstance(data, dict):
        yield loc, data
        for key, inner in data.items():
            yield from _mappings(inner, (*loc, key))
    elif isinstance(data, list):
        for index, inner in enumerate(data):
            yield from _mappings(inner, (*loc, index))
