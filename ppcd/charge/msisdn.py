"""Subscribers' numbers: E.164, and masked wherever they are printed.

Owns what a valid MSISDN is and how it may be shown. Refuses to know operators and prefixes:
number portability made them guesses, and billing is the authority on who exists.
"""

import re
from dataclasses import dataclass
from typing import Final

# E.164 allows 15 digits and no leading zero; CAMARA's pattern asks for at least 5.
_DIGITS: Final = re.compile(r"[1-9][0-9]{4,14}", re.ASCII)
_MIN: Final = 10_000
_MAX: Final = 999_999_999_999_999

#: At least so many digits are always hidden.
_HIDDEN_MIN: Final = 5


class InvalidMsisdn(ValueError):
    """Not an E.164 number. The message never repeats what was given: it ends up in logs."""

    def __init__(self) -> None:
        super().__init__("not an E.164 number: 5 to 15 digits, the first not 0")


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Msisdn:
    """A subscriber's number. Printing it shows a mask; the digits need `.digits` or `.as_int`.

    Kept as the integer that the store keeps, so both sort alike: rows locked in one order
    everywhere don't deadlock.
    """

    as_int: int

    def __post_init__(self) -> None:
        if not _MIN <= self.as_int <= _MAX:
            raise InvalidMsisdn

    @classmethod
    def from_digits(cls, digits: str) -> "Msisdn":
        """From E.164 digits without the plus: 380971234567."""
        if _DIGITS.fullmatch(digits) is None:
            raise InvalidMsisdn
        return cls(int(digits))

    @classmethod
    def from_e164(cls, text: str) -> "Msisdn":
        """From the form with the plus: +380971234567."""
        if not text.startswith("+"):
            raise InvalidMsisdn
        return cls.from_digits(text[1:])

    @property
    def digits(self) -> str:
        """E.164 digits without the plus, in full. Never for logs, metrics or messages."""
        return str(self.as_int)

    def __str__(self) -> str:
        digits = str(self.as_int)
        tail = min(2, len(digits) - _HIDDEN_MIN)
        head = min(5, len(digits) - _HIDDEN_MIN - tail)
        hidden = len(digits) - head - tail
        return digits[:head] + "•" * hidden + digits[len(digits) - tail :]

    def __repr__(self) -> str:
        return f"Msisdn({self})"
