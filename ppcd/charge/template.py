"""Templates: their little language, and how values are fitted in.

Owns the promise that a fitted text has price, yes-word and code in its first segment. Refuses to
know alphabets: every character counts as UCS-2, the dearest case, so that a value in another
script can't push the price out of sight.

A template has `{name}` placeholders and `[optional parts]`, left out when a placeholder in them is
empty; doubled brackets print one. Several lines are several forms, from the fullest to the
tersest: the first that fits whole is used, and the last is made to fit by cutting values.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate
from typing import Final

from ppcd.charge.words import WORDS

#: Units of UCS-2 in one part of a multi-part message (70, less the header's 3).
PART_UNITS: Final = 67
SEGMENTS_MAX: Final = 2

#: Partners' texts are cut to these before anything else, in units of UCS-2.
MERCHANT_UNITS_MAX: Final = 30
DESCRIPTION_UNITS_MAX: Final = 60

#: A few letters of a description say nothing: then it is left out.
_DESCRIPTION_UNITS_MIN: Final = 6

PLACEHOLDERS: Final = (
    "merchant",
    "description",
    "amount",
    "currency",
    "code",
    "reference",
    "reason",
)

#: What must be seen, besides the yes-word, before somebody answers.
_ESSENTIAL: Final = frozenset({"amount", "currency", "code"})


class TemplateError(ValueError):
    """A template that can't be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Field:
    """A place for a value."""

    name: str


@dataclass(frozen=True, slots=True)
class OptionalPart:
    """Printed only when all the values in it are there."""

    parts: tuple[str | Field, ...]


Part = str | Field | OptionalPart
Form = tuple[Part, ...]

_PIECE: Final = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{[^{}]*\}|[\[\]{}]|[^\[\]{}]+")
_DOUBLED: Final = frozenset({"{{", "}}", "[[", "]]"})


def parse(template: str) -> tuple[Form, ...]:
    """The forms of a template; raises TemplateError."""
    # Not splitlines(): it would swallow the separators and controls that the linter is to find.
    lines = [stripped for line in template.split("\n") if (stripped := line.strip(" "))]
    if not lines:
        raise TemplateError("the template is empty: write a text")
    return tuple(map(_parse_line, lines))


def _parse_line(line: str) -> Form:
    outer: list[Part] = []
    inner: list[str | Field] | None = None
    for piece in _PIECE.findall(line):
        if piece == "[" and inner is None:
            inner = []
        elif piece == "]" and inner is not None:
            outer.append(OptionalPart(tuple(inner)))
            inner = None
        else:
            (outer if inner is None else inner).append(_part(piece))
    if inner is not None:
        raise TemplateError("[ without ]: close the optional part, or double a bracket to print it")
    return tuple(outer)


def field_names(form: Form) -> frozenset[str]:
    """The placeholders of a form, those in its optional parts too."""
    parts: list[str | Field] = []
    for part in form:
        parts += part.parts if isinstance(part, OptionalPart) else (part,)
    return frozenset(part.name for part in parts if isinstance(part, Field))


def _part(piece: str) -> str | Field:
    """A literal or a placeholder: a name and nothing else, no attributes, indices or formats."""
    if piece in _DOUBLED:
        return piece[0]
    if piece in ("{", "}", "[", "]"):
        raise TemplateError(f"{piece} stands alone or inside of another: to print it, double it")
    if piece[0] != "{":
        return piece
    if piece[1:-1] not in PLACEHOLDERS:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise TemplateError(f"unknown placeholder {piece}: use one of {known}")
    return Field(piece[1:-1])


@cache
def yes_word(language: str) -> re.Pattern[str]:
    """Finds the language's yes-words in a literal."""
    words = "|".join(sorted(map(re.escape, WORDS[language].yes)))
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A form with its values, and where the essentials ended up."""

    text: str
    head: str  #: up to the end of price, yes-word and code, whichever comes last
    before: frozenset[str]  #: the fields in the head


def lay_out(form: Form, values: Mapping[str, str], language: str) -> LaidOut:
    """Prints a form. The head ends with the *first* yes-word, price and code, the last of them."""
    text = head = ""
    wanted = {*_ESSENTIAL, "yes"}
    seen: set[str] = set()
    before: frozenset[str] = frozenset()
    for part in _printed(form, values):
        if isinstance(part, Field):
            text += values[part.name]
            seen.add(part.name)
            essential, end = part.name, len(text)
        else:
            found = yes_word(language).search(part)
            essential, end = ("yes", len(text) + found.end()) if found else ("", 0)
            text += part
        if essential in wanted:
            wanted.remove(essential)
            head, before = text[:end], frozenset(seen)
    return LaidOut(text, head, before)


def _printed(form: Form, values: Mapping[str, str]) -> Iterator[str | Field]:
    for part in form:
        if not isinstance(part, OptionalPart):
            yield part
        elif all(values[inner.name] for inner in part.parts if isinstance(inner, Field)):
            yield from part.parts


def fit(
    forms: tuple[Form, ...], values: Mapping[str, str], *, language: str, head_max: int
) -> LaidOut:
    """The first form that fits whole; else the last one, with its values cut until it does.

    `head_max`: the units that price and yes-word may end at.
    """
    for form in forms:
        laid_out = lay_out(form, values, language)
        if _excess(laid_out, head_max) <= 0:
            return laid_out
    cut = dict(values)
    laid_out = lay_out(forms[-1], cut, language)
    for name in ("description", "merchant"):
        excess = _excess(laid_out, head_max, name)
        if excess > 0:
            cut[name] = _shortened(cut[name], excess, name)
            laid_out = lay_out(forms[-1], cut, language)
    return laid_out


def _shortened(value: str, excess: int, name: str) -> str:
    length_max = units(value) - excess
    if name == "merchant":
        return one_line(value, max(1, length_max))
    return one_line(value, length_max) if length_max >= _DESCRIPTION_UNITS_MIN else ""


def _excess(laid_out: LaidOut, head_max: int, name: str | None = None) -> int:
    """Units too many, in the head or altogether; with a name, of those that it can save."""
    whole = units(laid_out.text) - SEGMENTS_MAX * PART_UNITS
    if name is not None and name not in laid_out.before:
        return whole
    return max(whole, units(laid_out.head) - head_max)


def units(text: str) -> int:
    """Length in units of UCS-2: characters beyond the first plane, emoji too, take two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _shown(text: str) -> Iterator[str]:
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        if category[0] == "Z" or char in "\t\n\v\f\r":
            yield " "
        elif category[0] != "C":
            yield char


@lru_cache(maxsize=4096)  # merchants and descriptions are few, and come again and again
def one_line(text: str, length_max: int) -> str:
    """Somebody else's text as one clean line of at most so many units of UCS-2.

    Control and format characters go (they could turn the price around or start a second line),
    and so does what no phone can show; white space becomes single spaces.
    """
    if not (text.isascii() and text.isprintable()):  # most are, and need no closer look
        text = "".join(_shown(text))
    line = " ".join(text.split())
    if units(line) <= length_max:
        return line
    # "…" is not in the GSM alphabet: in a plain text it would halve what a segment holds.
    mark = ("..." if length_max > len("...") else "") if line.isascii() else "…"
    room = length_max - len(mark)
    kept_length = sum(taken <= room for taken in accumulate(map(units, line)))
    return line[:kept_length].rstrip() + mark
