"""Numbers as people type them: any usual local form, pasted or typed, and back to a masked form.

Owns the numbering plans of countries. Refuses to know operators: whether a number is served is
`flow`'s to say.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ppcd.charge.msisdn import InvalidMsisdn, Msisdn


@dataclass(frozen=True, slots=True)
class Plan:
    """How numbers of a country are written."""

    code: str  #: the country's calling code
    trunk: str  #: what a number begins with inside of the country
    length: int  #: digits after either of them
    groups: tuple[int, ...]  #: how those are spaced, for people
    shape: str  #: how a number is typed at home
    example: str


UKRAINE: Final = Plan("380", "0", 9, (2, 3, 2, 2), "0XX XXX XX XX", "067 123 45 67")
#: Longest code first, so that the first one that fits is the country's.
PLANS: Final = (
    UKRAINE,
    Plan("375", "80", 9, (2, 3, 2, 2), "80 XX XXX XX XX", "80 29 123 45 67"),
    Plan("373", "0", 8, (2, 3, 3), "0XX XXX XXX", "069 123 456"),
    Plan("7", "8", 10, (3, 3, 2, 2), "8 XXX XXX XX XX", "8 912 345 67 89"),
)

#: Everything people put between digits. Letters and other signs make it no number.
_BETWEEN: Final = re.compile(r"[\s()./‐-―\-]")
_TYPED: Final = re.compile(r"(?:tel:)?(\+?)([0-9]{5,20})")
_LENGTH_MAX: Final = 60


def plan_of(prefixes: Iterable[str]) -> Plan:
    """The plan of the country whose numbers are served; where anything is, Ukraine's."""
    for prefix in prefixes:
        for plan in PLANS:
            if prefix.startswith(plan.code):
                return plan
    return UKRAINE


def read_number(typed: str, plan: Plan) -> Msisdn | None:
    """The number that somebody in this plan's country means; None for what is none."""
    if len(typed) > _LENGTH_MAX:
        return None
    text = unicodedata.normalize("NFKC", typed)
    # Invisible characters come along with pasted numbers: direction marks, soft hyphens.
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    found = _TYPED.fullmatch(_BETWEEN.sub("", text).lower())
    if found is None:
        return None
    digits = _international(found[2], plan, plus=bool(found[1]))
    if digits is None:
        return None
    try:
        return Msisdn.from_digits(digits)
    except InvalidMsisdn:
        return None


def _international(digits: str, plan: Plan, *, plus: bool) -> str | None:
    if not plus and digits.startswith("00"):
        digits, plus = digits[2:], True
    if digits.startswith(plan.code) and len(digits) == len(plan.code) + plan.length:
        return digits
    both = plan.code + plan.trunk
    if digits.startswith(both) and len(digits) == len(both) + plan.length:
        # "+380 (0)97…": the trunk is only dialled at home, and often written all the same.
        return plan.code + digits[len(both) :]
    if plus:
        # A number of this country with digits missing is a mistake, not a number of another.
        return None if digits.startswith(plan.code) else digits
    if digits.startswith(plan.trunk) and len(digits) == len(plan.trunk) + plan.length:
        return plan.code + digits[len(plan.trunk) :]
    # "80…" is how Ukraine's trunk was dialled once, and how many still write it.
    if plan is UKRAINE and digits.startswith("80") and len(digits) == 2 + plan.length:
        return plan.code + digits[2:]
    if len(digits) == plan.length and not digits.startswith("0"):
        return plan.code + digits
    return None


def masked(msisdn: Msisdn) -> str:
    """The number as its owner knows it again and a passer-by does not: +380 97 ••• •• 67."""
    digits = msisdn.digits
    shown = str(msisdn)
    for plan in PLANS:
        if digits.startswith(plan.code) and len(digits) == len(plan.code) + plan.length:
            rest = shown[len(plan.code) :]
            parts, at = [], 0
            for size in plan.groups:
                parts.append(rest[at : at + size])
                at += size
            # A number that breaks over two lines is read as two.
            return "\u00a0".join([f"+{plan.code}", *parts])
    return "+" + shown
