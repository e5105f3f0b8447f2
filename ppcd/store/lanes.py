"""Lanes: threads with a connection each, so that the reactor never waits for the database.

Owns the queue before the lanes and the way back to the reactor. What a transaction is and how it
fails: `session`, `failures`. A transaction is a synchronous function of a cursor that does nothing
but SQL and may run twice.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from ppcd.store.connection import ORDINARY, PINNED, Limits, Profile
from ppcd.store.failures import (
    Broken,
    Busy,
    Closing,
    NotApplied,
    OutcomeUnknown,
    StoreError,
    Unsuitable,
    Violated,
)
from ppcd.store.session import Session, single
from ppcd.store.sql import Cursor

__all__ = [
    "ORDINARY",
    "PINNED",
    "Broken",
    "Busy",
    "Closing",
    "Cursor",
    "Direct",
    "Immediate",
    "Lanes",
    "Limits",
    "NotApplied",
    "OutcomeUnknown",
    "Profile",
    "Runner",
    "StoreError",
    "Unsuitable",
    "Violated",
    "single",
]

P = ParamSpec("P")
T = TypeVar("T")

log = Logger(namespace="ppcd.store.lanes")

#: How often an idle lane looks whether its connection still is one.
IDLE_CHECK_S: Final = 5.0
#: After the limit of `close`, how long a lane that was told to give up may take to notice.
GIVE_UP_S: Final = 1.0


class Runner(Protocol):
    """What runs transactions for the reactor: lanes, or `Immediate` where there are no threads."""

    @property
    def reactor(self) -> Any: ...

    def call(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]: ...

    async def run(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[Session], Any]
    answer: Deferred[Any]
    #: Nobody waits for it any more; a lane that has not begun it leaves it.
    dropped: bool = False


class Lanes:
    """`count` lanes on one database.

    `reactor` gives time and `callFromThread`. `queue_max` transactions may wait, then `Busy`.
    `observe_commit` is told each commit's seconds, in the reactor's thread.
    """

    def __init__(
        self,
        dsn: str,
        *,
        count: int,
        reactor: Any,
        profile: Profile = ORDINARY,
        limits: Limits | None = None,
        queue_max: int = 1000,
        observe_commit: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert count > 0
        self.reactor = reactor
        self.profile = profile
        self._count = count
        self._queue_max = queue_max
        self._observe_commit = observe_commit
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._sessions = [
            Session(dsn, profile=profile, limits=limits, clock=clock) for _ in range(count)
        ]
        self._threads: list[threading.Thread] = []
        self._in_flight = 0
        self._alive = 0
        self._closing = False
        self._ended: list[Deferred[None]] = []

    @property
    def busy(self) -> int:
        """Lanes at work."""
        return min(self._in_flight, self._count)

    @property
    def waiting(self) -> int:
        """Transactions that no lane has taken yet."""
        return max(0, self._in_flight - self._count)

    @property
    def connected(self) -> int:
        """Lanes with a connection, as far as they know."""
        return sum(session.connected for session in self._sessions)

    @property
    def abandoned(self) -> int:
        """Commits given up so far; each may still hold a connection and locks at the server."""
        return sum(session.abandoned for session in self._sessions)

    @property
    def trouble(self) -> str | None:
        """Why a lane has no connection, for people; None when all have one."""
        return next((s.trouble for s in self._sessions if s.trouble is not None), None)

    def start(self) -> None:
        """Start the threads, which connect at once; done by the first `call` too."""
        if self._threads or self._closing:
            return
        for number, session in enumerate(self._sessions):
            # Daemons: a lane that hangs in a name look-up must not keep the process from ending.
            thread = threading.Thread(
                target=self._serve, args=(session,), name=f"lane-{number}", daemon=True
            )
            self._threads.append(thread)
            self._alive += 1
            thread.start()

    def call(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run the transaction on a free lane; fails with NotApplied or OutcomeUnknown.

        Cancelling the Deferred forgets the answer; it does not undo what runs already.
        """
        if self._closing:
            return fail(Closing("the store is closed"))
        if self._in_flight >= self._count + self._queue_max:
            return fail(Busy(f"{self._queue_max} transactions wait for the database already"))
        self.start()

        def forget(_: Deferred[T]) -> None:
            job.dropped = True

        def work(session: Session) -> T:
            return session.run(transaction, *args, **kwargs)

        answer: Deferred[T] = Deferred(forget)
        job = _Job(work, answer)
        self._in_flight += 1
        self._queue.put(job)
        return answer

    async def run(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`call`, to be awaited."""
        return await self.call(transaction, *args, **kwargs)

    async def close(self, limit_s: float = 10.0) -> None:
        """Take no more, finish what is in flight or give it up at the limit, close connections."""
        if not self._closing:
            self._closing = True
            for _ in self._threads:
                self._queue.put(None)
        if self._alive == 0:
            return
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        late = self.reactor.callLater(limit_s, self._give_up)
        much_later = self.reactor.callLater(limit_s + GIVE_UP_S, self._leave)
        await ended
        for timer in (late, much_later):
            if timer.active():
                timer.cancel()

    # --- in the lanes' threads

    def _serve(self, session: Session) -> None:
        while (job := self._next_job(session)) is not None:
            result: Any = None
            failure: BaseException | None = None
            if not job.dropped:
                try:
                    result = job.work(session)
                except StoreError as exc:
                    # Without the traceback: its frames hold the batch.
                    failure = exc.with_traceback(None)
                except BaseException as exc:  # a bug, and the caller's to report
                    failure = exc
            commit_s = session.commit_s if failure is None and not job.dropped else None
            self.reactor.callFromThread(self._returned, job, result, failure, commit_s)
            del job, result, failure  # an idle lane keeps nobody's data
        session.close()
        self.reactor.callFromThread(self._lane_ended)

    def _next_job(self, session: Session) -> _Job | None:
        while True:
            try:
                session.connect()
                patience_s = IDLE_CHECK_S
            except NotApplied:
                patience_s = max(session.retry_in_s, 0.01)
            try:
                return self._queue.get(timeout=patience_s)
            except Empty:
                continue

    # --- in the reactor's thread

    def _returned(
        self, job: _Job, result: Any, failure: BaseException | None, commit_s: float | None
    ) -> None:
        self._in_flight -= 1
        if commit_s is not None and self._observe_commit is not None:
            self._observe_commit(commit_s)
        if job.answer.called:
            return  # cancelled, or given up
        if failure is None:
            job.answer.callback(result)
        else:
            job.answer.errback(failure)

    def _lane_ended(self) -> None:
        self._alive -= 1
        if self._alive == 0:
            # Their last act was to call us.
            for thread in self._threads:
                thread.join(GIVE_UP_S)
            self._all_ended()

    def _all_ended(self) -> None:
        ended, self._ended = self._ended, []
        for deferred in ended:
            deferred.callback(None)

    def _give_up(self) -> None:
        """The limit of `close` has passed: leave what waits, end what gets no answer."""
        unbegun = []
        while True:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is not None:
                unbegun.append(job)
        for _ in range(self._alive):
            self._queue.put(None)
        for session in self._sessions:
            session.give_up()
        log.warn("closing: left {unbegun} transactions that had not begun", unbegun=len(unbegun))
        for job in unbegun:
            self._returned(job, None, Closing("the store is closed"), None)

    def _leave(self) -> None:
        log.error("closing: {alive} lanes did not end", alive=self._alive)
        self._all_ended()


class Direct:
    """Transactions on the caller's own thread, blocking: for commands, and under `Immediate`."""

    def __init__(
        self,
        dsn: str,
        *,
        profile: Profile = ORDINARY,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = Session(dsn, profile=profile, limits=limits, clock=clock, pause=pause)

    def run(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run one transaction to its commit; NotApplied or OutcomeUnknown, as lanes."""
        return self._session.run(transaction, *args, **kwargs)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class Immediate:
    """A `Runner` without threads: each transaction runs at one instant of the caller's time."""

    def __init__(self, direct: Direct, *, reactor: Any) -> None:
        self.reactor = reactor
        self._direct = direct

    def call(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run it now; the Deferred has fired."""
        try:
            return succeed(self._direct.run(transaction, *args, **kwargs))
        except Exception as exc:
            return fail(exc)

    async def run(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run it now."""
        return self._direct.run(transaction, *args, **kwargs)
