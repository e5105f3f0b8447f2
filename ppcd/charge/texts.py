"""What the subscriber is told: templates per language and kind, and how values are fitted in.

Owns the templates' little language, the default wording, and the promise that price and yes-word
stand in the first segment. Refuses to know alphabets: how many segments a text takes is asked of
a function; here every character counts as UCS-2, the dearest case.

A template has `{name}` placeholders and `[optional parts]`, left out when a placeholder in them is
empty; doubled brackets print one. Several lines are several forms, from the fullest to the
tersest: the first that fits whole is used, and the last is made to fit by cutting values.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from ppcd.charge.money import Money, amount_text, currency_text
from ppcd.charge.wording import LANGUAGES, TEMPLATES, Kind
from ppcd.charge.words import WORDS

__all__ = [
    "ASKING",
    "DESCRIPTION_UNITS_MAX",
    "LANGUAGES",
    "MERCHANT_UNITS_MAX",
    "PART_UNITS",
    "PLACEHOLDERS",
    "SEGMENTS_MAX",
    "TEMPLATES",
    "Kind",
    "TemplateError",
    "Texts",
    "lint",
    "one_line",
    "units",
]

#: What an answer to may cost money: the price must be in it, where every phone shows it.
ASKING: Final = frozenset({Kind.PROMPT, Kind.PROMPT_CODE, Kind.REPROMPT, Kind.REPROMPT_CODE})
_WITH_CODE: Final = frozenset({Kind.PROMPT_CODE, Kind.REPROMPT_CODE})

#: Units of UCS-2 in one part of a multi-part message (70 less the header of 3).
PART_UNITS: Final = 67
SEGMENTS_MAX: Final = 2

#: Partners' texts are cut to these before anything else, in units of UCS-2.
MERCHANT_UNITS_MAX: Final = 30
DESCRIPTION_UNITS_MAX: Final = 60

PLACEHOLDERS: Final = ("merchant", "description", "amount", "currency", "code", "reference")


class TemplateError(ValueError):
    """A template that can't be read; the message says where."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str


@dataclass(frozen=True, slots=True)
class _Optional:
    parts: tuple["str | _Field", ...]


_Part = str | _Field | _Optional
_Form = tuple[_Part, ...]

_PIECE: Final = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{[^{}]*\}|[\[\]{}]|[^\[\]{}]+")


def _parse(line: str) -> _Form:
    """One form. Placeholders are names and nothing else: no attributes, indices or formats."""
    outer: list[_Part] = []
    inner: list[str | _Field] | None = None
    for piece in _PIECE.findall(line):
        part: str | _Field
        if piece == "[":
            if inner is not None:
                raise TemplateError("optional parts [...] can't stand in one another")
            inner = []
            continue
        if piece == "]":
            if inner is None:
                raise TemplateError("] without [; a bracket to be printed is doubled: ]]")
            outer.append(_Optional(tuple(inner)))
            inner = None
            continue
        if piece in ("{", "}"):
            raise TemplateError(f"a lone {piece}; a bracket to be printed is doubled: {piece * 2}")
        if piece[0] == "{" and piece != "{{":
            name = piece[1:-1]
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
                raise TemplateError(f"unknown placeholder {piece}; known are {known}")
            part = _Field(name)
        else:
            part = piece[0] if piece in ("{{", "}}", "[[", "]]") else piece
        (outer if inner is None else inner).append(part)
    if inner is not None:
        raise TemplateError("[ without ]; a bracket to be printed is doubled: [[")
    return tuple(outer)


def _forms(template: str) -> tuple[_Form, ...]:
    forms = tuple(_parse(line) for line in template.splitlines() if line.strip())
    if not forms:
        raise TemplateError("the template is empty")
    return forms


def _flat(form: _Form, values: Mapping[str, str]) -> Iterator[str | _Field]:
    """The parts that are printed: optional ones only when all of their values are there."""
    for part in form:
        if not isinstance(part, _Optional):
            yield part
        elif all(values[inner.name] for inner in part.parts if isinstance(inner, _Field)):
            yield from part.parts


@cache
def _yes_word(language: str) -> re.Pattern[str]:
    """Finds the language's yes-words in a template."""
    words = "|".join(sorted(map(re.escape, WORDS[language].yes)))
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A rendered form, and how it measures."""

    text: str
    head: str  #: up to the end of price, yes-word and code, whichever comes last
    before: frozenset[str]  #: the fields in the head


_ESSENTIAL: Final = frozenset({"amount", "currency", "code"})


def _lay_out(form: _Form, values: Mapping[str, str], language: str) -> _Fitted:
    text = head = ""
    missing = set(_ESSENTIAL | {"yes"})
    seen: set[str] = set()
    before: frozenset[str] = frozenset()
    for part in _flat(form, values):
        if isinstance(part, str):
            found = _yes_word(language).search(part) if "yes" in missing else None
            if found is not None:
                missing.discard("yes")
                head, before = text + part[: found.end()], frozenset(seen)
            text += part
            continue
        text += values[part.name]
        seen.add(part.name)
        if part.name in missing:
            missing.discard(part.name)
            head, before = text, frozenset(seen)
    return _Fitted(text, head, before)


def units(text: str) -> int:
    """Length in units of UCS-2: characters beyond the first plane, emoji too, take two."""
    return len(text) + sum(char > "\uffff" for char in text)


def one_line(text: str, length_max: int) -> str:
    """Somebody else's text as one clean line of at most so many units of UCS-2.

    Control and format characters go (they could turn the price around or start a second line),
    and so does what no phone can show; all white space becomes single spaces.
    """
    kept = []
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        if category[0] == "Z" or char in "\t\n\v\f\r":
            kept.append(" ")
        elif category[0] != "C":
            kept.append(char)
    line = " ".join("".join(kept).split(" ")).strip()
    line = re.sub(" +", " ", line)
    if units(line) <= length_max:
        return line
    # "…" is not in the GSM alphabet: in plain text it would halve what a segment holds.
    mark = "…" if not line.isascii() else "..." if length_max > len("...") else ""
    room = length_max - len(mark)
    cut = ""
    for char in line:
        room -= units(char)
        if room < 0:
            break
        cut += char
    return cut.rstrip() + mark


class Texts:
    """The wording in force: the defaults, with the operator's or a partner's own over them."""

    __slots__ = ("_forms",)

    def __init__(self, overrides: Mapping[str, Mapping[Kind, str]] | None = None) -> None:
        """`overrides`: language to kind to template; raises TemplateError for one unreadable."""
        self._forms: dict[tuple[str, Kind], tuple[_Form, ...]] = {
            (language, kind): _forms(template)
            for source in (TEMPLATES, overrides or {})
            for language, templates in source.items()
            for kind, template in templates.items()
        }

    def render(
        self,
        kind: Kind,
        language: str,
        *,
        amount: Money,
        merchant: str,
        description: str,
        code: str | None = None,
        reference: str | None = None,
    ) -> str:
        """The text to send: one line, at most two segments, price and yes-word in the first."""
        values = {
            "merchant": one_line(merchant, MERCHANT_UNITS_MAX),
            "description": one_line(description, DESCRIPTION_UNITS_MAX),
            "amount": amount_text(amount, language),
            "currency": currency_text(amount.currency, language),
            "code": code or "",
            "reference": reference or "",
        }
        forms = self._forms[language, kind]
        return _fit(forms, values, kind=kind, language=language).text


def _fit(
    forms: tuple[_Form, ...], values: Mapping[str, str], *, kind: Kind, language: str
) -> _Fitted:
    """The first form that fits whole; else the last one, with its values cut until it does."""
    head_max = PART_UNITS if kind in ASKING else SEGMENTS_MAX * PART_UNITS
    for form in forms:
        fitted = _lay_out(form, values, language)
        if _excess(fitted, head_max) <= 0:
            return fitted
    cut = dict(values)
    fitted = _lay_out(forms[-1], cut, language)
    for name in ("description", "merchant"):
        # Twice: a value that stands before the yes-word and again after it is cut for both.
        for _ in range(2):
            excess = _excess(fitted, head_max, name)
            if excess > 0:
                cut[name] = one_line(cut[name], max(1, units(cut[name]) - excess))
                fitted = _lay_out(forms[-1], cut, language)
    return fitted


def _excess(fitted: _Fitted, head_max: int, name: str | None = None) -> int:
    """Units too many, in the head or altogether; with a name, of those that it can save."""
    whole = units(fitted.text) - SEGMENTS_MAX * PART_UNITS
    if name is not None and name not in fitted.before:
        return whole
    return max(whole, units(fitted.head) - head_max)


#: What each kind must say.
_REQUIRED: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        Kind.PROMPT: ("amount", "currency", "merchant"),
        Kind.PROMPT_CODE: ("amount", "currency", "merchant", "code"),
        Kind.REPROMPT: ("amount", "currency", "merchant"),
        Kind.REPROMPT_CODE: ("amount", "currency", "merchant", "code"),
        Kind.RECEIPT: ("amount", "currency", "merchant"),
        Kind.NOT_DEBITED: ("merchant",),
        Kind.LATE_YES: ("merchant",),
        Kind.LATE_NO: ("merchant",),
    }
)


def lint(template: str, kind: Kind, language: str, segments: Callable[[str], int]) -> list[str]:
    """What is wrong with a template, a sentence a problem, each saying what to do."""
    try:
        _forms(template)
    except TemplateError as error:
        return [f"{error}."]
    return []
