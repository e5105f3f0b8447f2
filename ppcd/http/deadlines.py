"""Until when each of many things may last, with one timer for all of them.

Nearly everything is in time. A timer each would cost more than what it never has to end: one that
looks now and then costs nothing, and is as exact.
"""

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

K = TypeVar("K", bound=Hashable)

_NEVER: Final = float("inf")


class Deadlines(Generic[K]):
    """Tells `expire` what is out of time, once, and forgets it."""

    def __init__(self, clock: IReactorTime, expire: Callable[[K], None]) -> None:
        self._clock = clock
        self._expire = expire
        self._until: dict[K, float] = {}
        self._timer: IDelayedCall | None = None
        #: When the timer looks: never later than the first deadline.
        self._looks_at = _NEVER

    def set(self, what: K, until: float) -> None:
        """By the clock; a new deadline takes the place of the old one."""
        self._until[what] = until
        if until < self._looks_at:
            self._look_at(until)

    def drop(self, what: K) -> None:
        """It is over."""
        self._until.pop(what, None)

    def stop(self) -> None:
        """Nothing has a deadline any more."""
        self._until.clear()
        self._look_at(_NEVER)

    def _look_at(self, until: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._looks_at = until
        if until < _NEVER:
            wait_s = max(0.0, until - self._clock.seconds())
            self._timer = self._clock.callLater(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._looks_at  # what a timer's rounding left of it is not worth another one
        late = [what for what, until in self._until.items() if until <= now]
        self._look_at(min((t for t in self._until.values() if t > now), default=_NEVER))
        for what in late:
            # An earlier one's end may have been this one's, or may have given it more time.
            if self._until.get(what, _NEVER) <= now:
                del self._until[what]
                self._expire(what)
