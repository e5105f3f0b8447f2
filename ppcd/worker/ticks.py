"""Something done again and again with a pause between: the sweep of what ran out of time, say.

The pause is counted from the end of one round to the beginning of the next, so that a slow database
is not asked faster than it answers.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

from ppcd.flow.background import background
from ppcd.metrics import Metrics
from ppcd.store.failures import Broken, StoreError, Violated

log = Logger(namespace="ppcd.worker")

#: A round that took long may have waited for something that is over.
PAUSE_S_MAX: Final = 60.0
#: For rounds that go through whole tables, and take the longer the more there is. One keeps a
#: processor from answers while it lasts, and their slowest hundredth must not be what waits for it.
SCANS_SHARE_MAX: Final = 0.005


def level_of(trouble: StoreError) -> LogLevel:
    """How loud a round in vain is: one warning says that the database is away, and not each of us.

    What will never work is another thing.
    """
    hopeless = isinstance(trouble, Broken | Violated)
    level: LogLevel = LogLevel.error if hopeless else LogLevel.debug
    return level


class Tick:
    """Runs `work` every `pause_s` seconds until it is stopped.

    With `share_max`, the pauses grow with the rounds, up to PAUSE_S_MAX, so that these take no more
    than this share of the time: for what can wait, and takes longer the more there is.
    """

    def __init__(
        self,
        what: str,
        work: Callable[[], Awaitable[None]],
        *,
        clock: IReactorTime,
        pause_s: float,
        metrics: Metrics,
        share_max: float = 1.0,
    ) -> None:
        self._what = what
        self._work = work
        self._clock = clock
        self._pause_s = pause_s
        self._share_max = share_max
        self._metrics = metrics
        self._timer: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin with a round at once."""
        self._timer = None
        self._running = background(self._what, self._round(), self._metrics)

    def stop(self) -> Deferred[None]:
        """No more rounds; fires when the one that runs is over."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        over: Deferred[None] = Deferred()
        if self._running is None:
            return succeed(None)
        self._running.addCallback(lambda _: over.callback(None))
        return over

    async def _round(self) -> None:
        began_at = self._clock.seconds()
        pause_s = self._pause_s
        try:
            await self._work()
            took_s = self._clock.seconds() - began_at
            pause_s = max(pause_s, min(took_s * (1 / self._share_max - 1), PAUSE_S_MAX))
        except StoreError as exc:
            log.emit(level_of(exc), "cannot {what} now: {why}", what=self._what, why=str(exc))
        finally:
            if not self._stopped:
                self._timer = self._clock.callLater(pause_s, self.start)
