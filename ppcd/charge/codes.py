"""The code that a reply must repeat where the address alone doesn't say which charge it answers.

Digits only: letters bring look-alikes. Refuses to know where randomness comes from.
"""

from collections.abc import Callable
from typing import Final

CODE_LENGTH: Final = 4
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
