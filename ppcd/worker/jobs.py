"""One kind of job: a bounded queue of work leased to this node, and what runs it.

Work comes in two ways: offered by the step that made it, in the same turn, or claimed from the
database when its lease is over. What does not fit into the queue is given back and claimed later,
so that a backlog of millions lives in the database and not here.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.flow.background import background, report
from ppcd.metrics import Metrics
from ppcd.store.failures import StoreError
from ppcd.worker.queue import Queue
from ppcd.worker.ticks import level_of

J = TypeVar("J")

log = Logger(namespace="ppcd.worker")

#: Jobs are given back at most so often, together.
RETURN_S: Final = 0.1
#: A job of less than this was quick: whoever it is for may have more at once.
QUICK_S: Final = 1.0


class Step(Protocol[J]):
    """What a step of `flow` offers to its worker."""

    async def claim(self, limit: int) -> Sequence[J]: ...
    async def release(self, jobs: Sequence[J]) -> None: ...
    async def run(self, job: J) -> None: ...


class Pace(Protocol):
    """How fast jobs may be begun, where that changes; it is asked before each."""

    @property
    def at_once_max(self) -> int:
        """How many may run now; 0 while none may."""
        ...

    @property
    def ahead_max(self) -> int:
        """How many are worth having in the queue."""
        ...

    def wait_s(self) -> float:
        """Seconds until one more may be begun; 0: now."""
        ...

    def begun(self) -> None: ...


class Jobs(Generic[J]):
    """Runs the jobs of one kind, `running_max` at once.

    `key` names a job: one that is queued or running is not taken a second time. `poll_s` is how
    often overdue work is looked for. `closed` says that no job of this kind may be run now (the
    stop button); `held` says so of one job, and `hold` puts it off. `pace` sets lower limits than
    `running_max` and `queue_max`, as it goes. `queue`, of that size, says who takes turns; without
    one, jobs are begun in the order in which they came.

    With `begin`, jobs are handed to it in place of the step's `run`, as many as may be begun at
    once, and it tells of each when it is over and what it failed with, if it did: what costs
    something for each job costs less for all. Those then follow that come in the same turn.
    `held` is not asked.
    """

    def __init__(
        self,
        kind: str,
        step: Step[J],
        *,
        clock: IReactorTime,
        metrics: Metrics,
        key: Callable[[J], Hashable],
        running_max: int,
        queue_max: int,
        poll_s: float = 1.0,
        closed: Callable[[], bool] = lambda: False,
        held: Callable[[J], bool] = lambda job: False,
        hold: Callable[[J], Awaitable[None]] | None = None,
        pace: Pace | None = None,
        queue: Queue[J] | None = None,
        begin: Callable[[Sequence[J], Callable[[J, Failure | None], None]], None] | None = None,
    ) -> None:
        self.kind = kind
        self._step = step
        self._clock = clock
        self._metrics = metrics
        self._key = key
        self._running_max = running_max
        self._queue_max = queue_max
        self._poll_s = poll_s
        self._closed = closed
        self._held = held
        self._hold = hold
        self._pace = pace
        self._begin = begin
        self._pacing: IDelayedCall | None = None
        #: Jobs have ended in this turn: others follow at its end.
        self._following: IDelayedCall | None = None
        self._queue = Queue[J](size_max=queue_max) if queue is None else queue
        self._taken: set[Hashable] = set()
        self._surplus: list[J] = []
        self._next_return_at = 0.0
        self._returning: IDelayedCall | None = None
        self._running = 0
        self._pumping = False
        self._polling = False
        self._timer: IDelayedCall | None = None
        self._stopping = False
        self._started = False
        #: The last look found as much as it could take: more is due.
        self._behind = False
        self._idle: list[Deferred[None]] = []
        metrics.jobs_running.child(kind).follow(lambda: self._running)

    @property
    def running(self) -> int:
        """Jobs being run now."""
        return self._running

    @property
    def queued(self) -> int:
        """Jobs of this node that have not been begun."""
        return len(self._queue)

    @property
    def wanted(self) -> bool:
        """Whether there is room for new work, and it may be begun."""
        return not self._stopping and not self._closed() and len(self._queue) < self._room()

    def start(self) -> None:
        """Begin to look for overdue work."""
        self._started = True
        self._poll()

    def offer(self, jobs: Sequence[J]) -> None:
        """Take jobs that are leased to this node, as far as there is room for them."""
        room = self._room()
        for job in jobs:
            key = self._key(job)
            if key in self._taken:
                continue
            if self._stopping or len(self._queue) >= room or not self._queue.put(job):
                self._surplus.append(job)
                continue
            self._taken.add(key)
        self._give_surplus_back()
        self._pump()

    def stop(self) -> Deferred[None]:
        """Begin nothing more, give back what was not begun; fires when nothing runs any more."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for timer in (self._pacing, self._returning, self._following):
            if timer is not None:
                timer.cancel()
        self._pacing = self._returning = self._following = None
        self._empty()
        if self._running == 0:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def _empty(self) -> None:
        left = self._queue.empty()
        self._taken.difference_update(map(self._key, left))
        self._surplus += left
        self._give_surplus_back()

    def _give_surplus_back(self) -> None:
        """Now, or together with what follows: they come one by one when nothing may be begun."""
        if not self._surplus:
            return
        now = self._clock.seconds()
        if now < self._next_return_at and not self._stopping:
            if self._returning is None:
                wait_s = self._next_return_at - now
                self._returning = self._clock.callLater(wait_s, self._return_in_time)
            return
        self._next_return_at = now + RETURN_S
        surplus, self._surplus = self._surplus, []
        background("give back jobs", self._give_back(surplus), self._metrics)

    def _return_in_time(self) -> None:
        self._returning = None
        self._give_surplus_back()

    def _pump(self) -> None:
        if self._pumping:
            return  # a job that ended in its first turn: the loop below goes on with the next
        self._pumping = True
        if self._closed():
            self._empty()
        together = []
        while self._queue and not self._stopping and self._may_begin():
            job = self._queue.take()
            if job is None:
                break  # those that wait are for lanes that have their share
            self._running += 1
            if self._begin is None:
                background(f"run a {self.kind} job", self._run(job), self._metrics)
            else:
                together.append(job)
        try:
            if self._begin is not None and together:
                self._begin(together, partial(self._over, self._clock.seconds()))
        finally:
            self._pumping = False

    def _may_begin(self) -> bool:
        pace = self._pace
        if pace is None:
            return self._running < self._running_max
        if self._running >= min(self._running_max, pace.at_once_max):
            return False
        wait_s = pace.wait_s()
        if wait_s <= 0:
            pace.begun()
            return True
        if self._pacing is None:
            self._pacing = self._clock.callLater(wait_s, self._go_on)
        return False

    def _go_on(self) -> None:
        self._pacing = None
        self._pump()

    def _room(self) -> int:
        """How many the queue may hold now."""
        if self._pace is None:
            return self._queue_max
        return min(self._queue_max, self._pace.ahead_max)

    async def _run(self, job: J) -> None:
        begun_at = self._clock.seconds()
        try:
            if self._held(job):
                if self._hold is not None:
                    await self._hold(job)
            else:
                await self._step.run(job)
        except StoreError as exc:
            self._left(exc)
        finally:
            self._done(job, quick=self._clock.seconds() - begun_at < QUICK_S)
            self._next()

    def _over(self, begun_at: float, job: J, why: Failure | None) -> None:
        """One of those that were begun together."""
        if why is not None and isinstance(why.value, StoreError):
            self._left(why.value)
        elif why is not None:
            report(f"run a {self.kind} job", why, self._metrics)
        self._done(job, quick=self._clock.seconds() - begun_at < QUICK_S)
        if self._stopping:
            self._next()
        elif self._following is None:
            self._following = self._clock.callLater(0, self._follow)

    def _follow(self) -> None:
        self._following = None
        self._next()

    def _left(self, why: StoreError) -> None:
        # The job's lease runs out, and somebody takes it over: nothing is lost but time.
        log.warn("a {kind} job is left for later: {why}", kind=self.kind, why=str(why))

    def _done(self, job: J, *, quick: bool) -> None:
        self._running -= 1
        self._queue.done(job, quick=quick)
        self._taken.discard(self._key(job))

    def _next(self) -> None:
        if self._stopping:
            if self._running == 0:
                idle, self._idle = self._idle, []
                for deferred in idle:
                    deferred.callback(None)
            return
        self._pump()
        # Half empty, and the last look found work: look again at once instead of at the next tick.
        if self._behind and len(self._queue) <= self._room() // 2:
            self._behind = False
            self._poll()

    async def _give_back(self, jobs: Sequence[J]) -> None:
        try:
            await self._step.release(jobs)
        except StoreError as exc:
            log.warn(
                "{count} {kind} jobs wait for the end of their lease: {why}",
                count=len(jobs),
                kind=self.kind,
                why=str(exc),
            )

    def _poll(self) -> None:
        if self._polling or self._stopping or not self._started:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._polling = True
        background(f"claim {self.kind} jobs", self._claim(), self._metrics)

    async def _claim(self) -> None:
        room = self._room() - len(self._queue)
        try:
            if room > 0 and not self._closed():
                jobs = await self._step.claim(min(room, 500))
                self._metrics.jobs_taken_over.child(self.kind).add(len(jobs))
                self._behind = len(jobs) == min(room, 500)
                self.offer(jobs)
        except StoreError as exc:
            log.emit(
                level_of(exc),
                "cannot look for {kind} jobs now: {why}",
                kind=self.kind,
                why=str(exc),
            )
        finally:
            self._polling = False
            if not self._stopping:
                self._timer = self._clock.callLater(self._poll_s, self._poll)
