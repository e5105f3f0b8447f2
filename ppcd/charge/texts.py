"""What the subscriber is told: the wording in force, rendered, and the linter for templates.

Owns what each kind of text must say. How a template is read and fitted is `template`'s business,
and how many segments a text really takes is asked of a function.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from ppcd.charge.codes import CODE_LENGTH, PIN_LENGTH
from ppcd.charge.debit import DenialReason
from ppcd.charge.money import AMOUNT_MINOR_MAX, Money, amount_text, currency_text
from ppcd.charge.template import (
    DESCRIPTION_UNITS_MAX,
    MERCHANT_UNITS_MAX,
    PART_UNITS,
    SEGMENTS_MAX,
    Field,
    Form,
    TemplateError,
    field_names,
    fit,
    one_line,
    parse,
    units,
    yes_word,
)
from ppcd.charge.wording import LANGUAGES, REASONS, TEMPLATES, Kind
from ppcd.charge.words import YES_WORD

__all__ = [
    "ASKING",
    "LANGUAGES",
    "TEMPLATES",
    "Kind",
    "TemplateError",
    "Texts",
    "lint",
    "one_line",
]

#: What an answer to may cost money: the price must be where every phone shows it.
ASKING: Final = frozenset({Kind.PROMPT, Kind.PROMPT_CODE, Kind.REPROMPT, Kind.REPROMPT_CODE})
#: What the price must stand in the first segment of: consent to it may cost money.
PRICED: Final = ASKING | {Kind.PIN}
_WITH_CODE: Final = frozenset({Kind.PROMPT_CODE, Kind.REPROMPT_CODE})

#: References are never cut, so that they can be searched for.
REFERENCE_LENGTH_MAX: Final = 24


_OWN: Final = frozenset({"code", "reference", "reason"})
#: Texts that are remembered.
RENDERED_MAX: Final = 1024


class Texts:
    """The wording in force: the defaults, with the operator's or a partner's own over them."""

    __slots__ = ("_forms", "_own", "_same")

    def __init__(self, overrides: Mapping[str, Mapping[Kind, str]] | None = None) -> None:
        """`overrides`: language to kind to template. Raises TemplateError for one unreadable."""
        self._forms: dict[tuple[str, Kind], tuple[Form, ...]] = {
            (language, kind): parse(template)
            for source in (TEMPLATES, overrides or {})
            for language, templates in source.items()
            for kind, template in templates.items()
        }
        #: What says something of one charge alone; all else is the same text for thousands.
        self._own = {
            place
            for place, forms in self._forms.items()
            if any(_OWN & field_names(form) for form in forms)
        }
        self._same = lru_cache(RENDERED_MAX)(self._render)

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
        reason: DenialReason | None = None,
    ) -> str:
        """The text to send: one line, at most two segments, price and yes-word in the first."""
        assert len(reference or "") <= REFERENCE_LENGTH_MAX
        if (language, kind) not in self._own:
            return self._same(kind, language, amount, merchant, description)
        own = code, reference, reason
        return self._render(kind, language, amount, merchant, description, *own)

    def _render(
        self,
        kind: Kind,
        language: str,
        amount: Money,
        merchant: str,
        description: str,
        code: str | None = None,
        reference: str | None = None,
        reason: DenialReason | None = None,
    ) -> str:
        values = {
            "merchant": one_line(merchant, MERCHANT_UNITS_MAX),
            "description": one_line(description, DESCRIPTION_UNITS_MAX),
            "amount": amount_text(amount, language),
            "currency": currency_text(amount.currency, language),
            "code": code or "",
            "reference": reference or "",
            "reason": REASONS[language].get(reason, "") if reason else "",
        }
        forms = self._forms[language, kind]
        return fit(forms, values, language=language, head_max=_head_max(kind)).text


def _head_max(kind: Kind) -> int:
    return PART_UNITS if kind in PRICED else SEGMENTS_MAX * PART_UNITS


_PRICE: Final = ("merchant", "amount", "currency")

#: The placeholders each kind must have, and those it may have besides: the others are empty there.
_REQUIRED: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        Kind.PROMPT: _PRICE,
        Kind.PROMPT_CODE: (*_PRICE, "code"),
        Kind.PIN: (*_PRICE, "code"),
        Kind.REPROMPT: _PRICE,
        Kind.REPROMPT_CODE: (*_PRICE, "code"),
        Kind.RECEIPT: _PRICE,
        Kind.NOT_DEBITED: ("merchant",),
        Kind.LATE_YES: ("merchant",),
        Kind.LATE_NO: ("merchant",),
    }
)
_ALLOWED: Final[Mapping[Kind, frozenset[str]]] = MappingProxyType(
    {
        kind: frozenset(
            {*_PRICE, *required, "description"}
            | ({"reference"} if kind not in PRICED else set())
            | ({"reason"} if kind is Kind.NOT_DEBITED else set())
        )
        for kind, required in _REQUIRED.items()
    }
)

#: The worst there is to fit in. Beside an ordinary price the merchant keeps 7 letters or more.
_LONGEST: Final = {
    "merchant": "Щ" * MERCHANT_UNITS_MAX,
    "description": "Щ" * DESCRIPTION_UNITS_MAX,
    "amount": amount_text(Money(AMOUNT_MINOR_MAX, "UAH"), "ru"),
    "currency": "UAH",
    "code": "0" * CODE_LENGTH,
    "reference": "0" * REFERENCE_LENGTH_MAX,
    "reason": max((text for texts in REASONS.values() for text in texts.values()), key=len),
}


def lint(template: str, kind: Kind, language: str, segments: Callable[[str], int]) -> list[str]:
    """What is wrong with a template, a sentence a problem, each saying what to do."""
    try:
        forms = parse(template)
    except TemplateError as error:
        return [f"{error}."]
    problems = [*_lint_characters(template)]
    for number, form in enumerate(forms, 1):
        where = f"line {number}: " if len(forms) > 1 else ""
        problems += [where + problem for problem in _lint_form(form, kind, language)]
    return problems or [*_lint_lengths(forms, kind, language, segments)]


def _lint_characters(template: str) -> Iterator[str]:
    for char in dict.fromkeys(template):
        if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"):
            yield f"there is a control character, U+{ord(char):04X}: remove it."


def _lint_form(form: Form, kind: Kind, language: str) -> Iterator[str]:
    outside = {part.name for part in form if isinstance(part, Field)}
    for name in _REQUIRED[kind]:
        if name not in outside:
            yield f"{{{name}}} is missing: put it in, outside of [...]."
    for name in sorted(field_names(form) - _ALLOWED[kind]):
        yield f"{{{name}}} is always empty in {kind}: take it out."
    if kind not in ASKING:
        return
    literals = [part for part in form if isinstance(part, str)]
    asked = f"{YES_WORD[language]} {{code}}" if kind in _WITH_CODE else YES_WORD[language]
    if not any(map(yes_word(language).search, literals)):
        yield f"the word to answer with is missing: ask for {asked}, outside of [...]."
    elif kind in _WITH_CODE and not _code_follows_yes(form, language):
        # Copied as it stands it must confirm: the reader wants the word, a space, the code.
        yield f"the code must follow the word to answer with: write {asked}."


def _code_follows_yes(form: Form, language: str) -> bool:
    word_and_space = re.compile(yes_word(language).pattern + r"\s+\Z", re.IGNORECASE)
    return any(
        isinstance(before, str) and word_and_space.search(before) and after == Field("code")
        for before, after in pairwise(form)
    )


def _lint_lengths(
    forms: tuple[Form, ...], kind: Kind, language: str, segments: Callable[[str], int]
) -> Iterator[str]:
    values = _LONGEST | {"code": "0" * (PIN_LENGTH if kind is Kind.PIN else CODE_LENGTH)}
    longest = fit(forms, values, language=language, head_max=_head_max(kind))
    needed = segments(longest.text)
    if needed > SEGMENTS_MAX:
        yield (
            f"it takes {needed} segments with the longest values, {SEGMENTS_MAX} are allowed: "
            "shorten it."
        )
    if kind not in PRICED:
        return
    late = units(longest.head) - PART_UNITS
    if late > 0:
        yield (
            f"with the longest values price and yes-word end {late} characters after the first "
            "segment: shorten what stands before them."
        )
