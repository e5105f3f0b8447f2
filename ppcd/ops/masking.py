"""The last net below the log: numbers of people that reached a log event by mistake are masked.

Code that logs a number is expected to log an `Msisdn`, which masks itself. This module catches
the raw digits that slip through: in fields whose names say what they hold, and in tracebacks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ppcd.charge.msisdn import InvalidMsisdn, Msisdn

__all__ = ["mask_field", "mask_text"]

#: Fields that hold a subscriber's number, or may. Reply addresses in them are too short to be
#: masked.
NAMES: Final = frozenset(
    {
        "addr",
        "address",
        "destination",
        "destination_addr",
        "from_",
        "msisdn",
        "msisdns",
        "number",
        "phone",
        "phone_number",
        "phoneNumber",
        "recipient",
        "sender",
        "source",
        "source_addr",
        "subscriber",
        "to",
    }
)
#: Fields that no log line has any business with.
SECRETS: Final = frozenset(
    {"authorization", "code", "key", "password", "secret", "short_message", "text", "token"}
)
DIGITS: Final = re.compile(r"(?<![0-9])\+?([0-9]{10,15})(?![0-9])")
TEXT_LENGTH_MAX: Final = 1000
ITEMS_MAX: Final = 20
DEPTH_MAX: Final = 3


def mask_text(text: str) -> str:
    """The text with every run of 10 to 15 digits masked."""
    return DIGITS.sub(lambda match: _masked(match[1]), text)


def mask_field(name: str, value: object, depth: int = 0) -> object:
    """A field's value as JSON can hold it, masked by its name, and of bounded size."""
    if name in SECRETS:
        return "***"
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return mask_text(str(value)) if name in NAMES and value > 10**9 else value
    if isinstance(value, Mapping) and depth < DEPTH_MAX:
        items = list(value.items())[:ITEMS_MAX]
        return {str(key): mask_field(str(key), inner, depth + 1) for key, inner in items}
    if isinstance(value, list | tuple | set | frozenset) and depth < DEPTH_MAX:
        return [mask_field(name, inner, depth + 1) for inner in list(value)[:ITEMS_MAX]]
    text = str(value)
    if len(text) > TEXT_LENGTH_MAX:
        text = text[: TEXT_LENGTH_MAX - 1] + "…"
    return mask_text(text) if name in NAMES else text


def _masked(digits: str) -> str:
    """As `Msisdn` prints itself."""
    try:
        return str(Msisdn.from_digits(digits))
    except InvalidMsisdn:
        return "•" * len(digits)
