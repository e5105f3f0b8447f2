"""The code that a reply must repeat where the address alone doesn't say which charge it answers,
and the PIN that the subscriber types on the partner's site instead of replying.

Digits only: letters bring look-alikes. Refuses to know where randomness comes from.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

CODE_LENGTH: Final = 4
#: A PIN is guessed at by programs, not by people.
PIN_LENGTH: Final = 6
_FIRST: Final = 10 ** (CODE_LENGTH - 1)
_COUNT: Final = 9 * _FIRST

#: So many wrong codes decline the charge: three guesses of 9,000.
WRONG_CODES_MAX: Final = 3


def make_code(random_below: Callable[[int], int], *, avoid: str | None = None) -> str:
    """Four digits, the first not 0; `random_below(n)` gives an unpredictable 0..n-1.

    `avoid` is the amount in major units: people repeat the price after the yes, and a price must
    not pass for the code.
    """
    drawn = _FIRST + random_below(_COUNT)
    if str(drawn) == avoid:
        # Not drawn again: a source that always gives the same number must not hang us.
        drawn = drawn + 1 if drawn + 1 < _FIRST + _COUNT else _FIRST
    return str(drawn)


def make_pin(random_below: Callable[[int], int]) -> str:
    """Six digits, zeros in front as well; `random_below(n)` gives an unpredictable 0..n-1."""
    return f"{random_below(10**PIN_LENGTH):0{PIN_LENGTH}d}"


def pin_hash(authorization_id: str, pin: str) -> str:
    """What is kept of a PIN while it is awaited: no answer of a phone can be equal to it."""
    return "pin:" + hashlib.sha256(f"{authorization_id}:{pin}".encode()).hexdigest()


def is_pin(kept: str, authorization_id: str, typed: str) -> bool:
    """Whether what was typed is the PIN that `kept` was made of; in the same time for all."""
    return hmac.compare_digest(kept, pin_hash(authorization_id, typed))
