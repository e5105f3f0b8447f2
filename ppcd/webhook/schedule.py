"""When a notification is tried again: seconds at first, for three days in all."""

from random import Random
from typing import Final

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0

#: Pauses after the first, second… failed attempt. The first are short because the partner shows
#: its customer that the payment went through; the rest are Standard Webhooks' own.
RETRY_DELAYS_S: Final = (
    2.0,
    5.0,
    15.0,
    60.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)

#: A pause is made longer by up to this share, so that events which failed together don't come back
#: together.
_JITTER: Final = 0.2


def delay_s(attempt: int, random: Random) -> float:
    """Seconds to wait after the `attempt`-th attempt (from 1) failed; the last pause repeats."""
    assert attempt >= 1
    pause = RETRY_DELAYS_S[min(attempt, len(RETRY_DELAYS_S)) - 1]
    return pause * (1 + _JITTER * random.random())
