"""How fast one billing system is asked: so many at once, so many a second, none while it is away.

Owns the limits, the breaker, and how a system that comes back is met: by one request, then by two,
then by four. Refuses to know what is asked; the worker asks when it may begin, the step says what
came of it. One a node and billing system: nodes don't speak about it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.charge.debit import NotSent, Unknown
from ppcd.flow.ports import LEASE_S
from ppcd.metrics import Metrics

log = Logger(namespace="ppcd.flow.pace")

#: What is begun in one go after a pause, in seconds of the rate: a timer is late at times.
BURST_S: Final = 0.1
#: How many jobs are kept in memory for each that may run, and for how much of their lease at most.
AHEAD: Final = 20
AHEAD_S: Final = LEASE_S / 2
#: What billing itself may put us off for.
RETRY_AFTER_MAX_S: Final = 60.0


# A union in the call would be made anew for each answer.
_UNANSWERED: Final = (NotSent, Unknown)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceRules:
    """The limits of one billing system."""

    running_max: int = 200
    #: Requests begun a second; None: no limit.
    rate_max: float | None = None
    #: Different charges in a row that got no answer, after which nobody asks for a while.
    failures_max: int = 5
    pause_first_s: float = 1.0
    pause_max_s: float = 30.0


class Pace:
    """The pace of one billing system on this node."""

    def __init__(
        self,
        name: str,
        rules: PaceRules,
        *,
        clock: IReactorTime,
        jitter: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        """`jitter` gives 0..1: nodes that stopped together don't come back together."""
        self.name = name
        self._rules = rules
        self._clock = clock
        self._jitter = jitter
        self._gauge = metrics.breaker_open.child(name)
        self._tokens = self._burst
        self._refilled_at = clock.seconds()
        self._failed: set[int] = set()
        #: How many may run; below `running_max` after an outage.
        self._limit = rules.running_max
        self._open_until: float | None = None
        self._openings = 0

    @property
    def at_once_max(self) -> int:
        """How many requests may run now."""
        return 0 if self.is_open else self._limit

    @property
    def ahead_max(self) -> int:
        """How many jobs are worth holding in memory: what can be begun while they are ours."""
        ahead = min(1, self.at_once_max) if self.is_away else self._limit * AHEAD
        rate = self._rules.rate_max
        return ahead if rate is None else min(ahead, max(1, int(rate * AHEAD_S)))

    @property
    def is_open(self) -> bool:
        """Billing is left alone: nothing is begun now."""
        return self._open_until is not None and self._clock.seconds() < self._open_until

    @property
    def is_away(self) -> bool:
        """Billing has not answered since the breaker opened, and has perhaps not been asked."""
        return self._open_until is not None

    @property
    def has_rate(self) -> bool:
        """Whether more than what runs at once is limited."""
        return self._rules.rate_max is not None

    def wait_s(self) -> float:
        """Seconds until the rate allows one more; 0: now."""
        rate = self._rules.rate_max
        if rate is None:
            return 0.0
        now = self._clock.seconds()
        self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * rate)
        self._refilled_at = now
        # A rounding must not make a timer of nothing.
        return 0.0 if self._tokens > 0.999 else (1 - self._tokens) / rate

    def begun(self) -> None:
        """One more has been begun."""
        if self._rules.rate_max is not None:
            self._tokens -= 1

    def answered(self) -> None:
        """Billing answered, whatever it said."""
        self._failed.clear()
        if self._open_until is not None:
            self._open_until = None
            self._gauge.set(0)
            log.info("billing {billing} answers again", billing=self.name)
        if self._limit < self._rules.running_max:
            # One more for each answer: twice as many in each round.
            self._limit += 1
            if self._limit == self._rules.running_max:
                self._openings = 0

    def learn(self, charge_id: int, answer: object, *, in_time: bool, doubtful: bool) -> None:
        """What an answer to a charge's debit or refund says about billing itself. `in_time`: it
        came before the request grew too old to be sent; `doubtful`: not the first request.
        """
        if not isinstance(answer, _UNANSWERED):
            self.answered()
        elif not isinstance(answer, NotSent):
            if doubtful:
                self.choked()
            else:
                self.failed(charge_id)
        elif in_time:
            self.failed(charge_id, retry_after_s=answer.retry_after_s)
        else:  # it is we who were slow
            self.crowded()

    def choked(self) -> None:
        """The same doubt as before: billing may choke on this charge alone.

        That makes no outage. While there is one, the next try is soon: it may be of another charge.
        """
        if self.is_away and not self.is_open:
            self._open(None, openings=0)

    def failed(self, charge_id: int, *, retry_after_s: float | None = None) -> None:
        """Billing could not be reached, or gave no answer that can be read.

        Several charges make an outage: one that billing chokes on makes none.
        """
        self._failed.add(charge_id)
        needed = self._rules.failures_max
        if self._limit < self._rules.running_max:
            needed = min(needed, self._limit)  # it is only just back, or not at all
        if not self.is_open and len(self._failed) >= needed:
            self._open(retry_after_s, openings=self._openings)
            self._openings += 1

    def crowded(self) -> None:
        """A debit waited in vain for its turn to be sent: more are under way than billing takes."""
        self._limit = max(1, self._limit * 3 // 4)

    def _open(self, retry_after_s: float | None, *, openings: int) -> None:
        rules = self._rules
        pause_s = min(rules.pause_max_s, rules.pause_first_s * 2.0 ** min(openings, 20))
        if retry_after_s is not None:
            pause_s = max(pause_s, min(retry_after_s, RETRY_AFTER_MAX_S))
        pause_s *= 1 + self._jitter() / 2
        if self._open_until is None:
            log.error(
                "billing {billing} does not answer: debits wait, and it is tried in {pause_s} s",
                billing=self.name,
                pause_s=round(pause_s, 1),
            )
        self._open_until = self._clock.seconds() + pause_s
        self._limit = 1
        self._failed.clear()
        self._gauge.set(1)

    @property
    def _burst(self) -> float:
        return max(1.0, (self._rules.rate_max or 0) * BURST_S)


class Turns:
    """The pace of one kind of work among several that share one: they stand in a line.

    A turn is taken as soon as it is wanted, and used when its time has come: whoever only looked
    whether there is one would wait for ever beside a backlog that takes each as it comes. While
    `standing`, nothing is asked of billing, and jobs are begun only to be put off.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        running_max: int,
        clock: IReactorTime,
        standing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pace = pace
        self._running_max = running_max
        self._standing = standing
        self._clock = clock
        self._turn_at: float | None = None

    @property
    def at_once_max(self) -> int:
        """How many may run now."""
        return self._running_max if self._standing() else self._pace.at_once_max

    @property
    def ahead_max(self) -> int:
        """How many are worth having in the queue."""
        return self._running_max if self._standing() else self._pace.ahead_max

    def wait_s(self) -> float:
        """Seconds until the next may be begun; its turn is taken."""
        if self._standing():
            return 0.0
        now = self._clock.seconds()
        if self._turn_at is None:
            self._turn_at = now + self._pace.wait_s()
            self._pace.begun()
        return max(0.0, self._turn_at - now)

    def begun(self) -> None:
        """The turn is used."""
        if not self._standing():
            self._turn_at = None
