"""The reactor's clock.

Twisted's reactor counts in wall-clock time: when that is set back by an hour, no timer fires for
an hour, so links are not tested, prompts do not expire, and systemd misses its pings.
"""

from __future__ import annotations

import time
from typing import Any

__all__ = ["use_monotonic_time"]


def use_monotonic_time(reactor: Any) -> None:
    """Make the reactor count in monotonic time; to be called before anything is scheduled on it.

    `reactor.seconds()` then tells no date: Twisted's own access log would be wrong, and is not
    used.
    """
    assert not reactor.getDelayedCalls(), "timers were set by the wall clock already"
    reactor.seconds = time.monotonic
