"""Natural group commit: what arrives while a batch commits is the next batch. No timers by default.

Owns when a batch leaves, and what its results and failures are to those who submitted its items;
who goes together is the `line`'s. Refuses to know what the items are and what is done with them. In
the reactor's thread; nothing here costs anything per item unless a `key` is given.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from itertools import chain
from typing import Any, Concatenate, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.store.failures import Broken, Busy, Closing, NotApplied, OutcomeUnknown, Violated
from ppcd.store.lanes import Runner
from ppcd.store.line import KeyedLine, Line, Piece, Submit, Tellers
from ppcd.store.sql import Cursor

T = TypeVar("T")
R = TypeVar("R")

log = Logger(namespace="ppcd.store.batcher")

#: Pauses between repeats of a batch whose outcome is unknown; seconds.
REPEAT_S_MIN: Final = 0.05
REPEAT_S_MAX: Final = 1.0
_CLOSED: Final = "no more is taken"


def _each(key: Callable[[T], Hashable], items: Sequence[T]) -> list[Hashable]:
    return list(map(key, items))


def _chained(parts: Sequence[Sequence[T]]) -> list[T]:
    return list(chain.from_iterable(parts))


class Batcher(Generic[T, R]):
    """Runs `transaction` on batches of at most `size_max` items; it gives one result an item.

    A batch leaves as soon as nothing is in flight; a second and third lane, up to `lanes_max`, are
    used only while `second_lane_threshold` items wait: bigger batches cost less than more of them.
    With `key`, items of one key never share a batch and go in the order of their arrival; with
    `keys_of` the same, all keys of a submit asked for at once. Submits that are no plain lists need
    a `join` that makes one of several.
    With `gather_s`, batches that are not full leave at least so far apart: where items come one by
    one and nobody waits for milliseconds, fewer and larger batches cost less. The first leaves in
    the reactor's next turn, with all that this one brings.
    `settled` is told the results of each batch as a whole, before those who submitted its items:
    what can be done for all of them at once costs little there.
    With `retry_unknown`, a batch whose outcome is unknown is run again, as
    `transaction(cursor, items, repeat=True)`, until it is known; its items wait that long.
    """

    def __init__(
        self,
        lanes: Runner,
        transaction: Callable[Concatenate[Cursor, Sequence[T], ...], Sequence[R]],
        *,
        size_max: int,
        lanes_max: int = 1,
        second_lane_threshold: int = 500,
        waiting_max: int = 20_000,
        key: Callable[[T], Hashable] | None = None,
        keys_of: Callable[[Sequence[T]], Sequence[Hashable]] | None = None,
        join: Callable[[Sequence[Any]], Sequence[T]] = _chained,
        retry_unknown: bool = False,
        gather_s: float = 0.0,
        settled: Callable[[Sequence[R]], None] | None = None,
    ) -> None:
        assert size_max > 0
        assert lanes_max > 0
        self._lanes = lanes
        self._transaction = transaction
        self._size_max = size_max
        self._lanes_max = lanes_max
        self._second_lane_threshold = second_lane_threshold
        self._waiting_max = waiting_max
        self._retry_unknown = retry_unknown
        self._gather_s = gather_s
        self._settled = settled
        self._leaves_at = 0.0
        self._gathering: IDelayedCall | None = None
        #: What waits has been gathered for long enough.
        self._due = False
        if key is not None:
            keys_of = partial(_each, key)
        self._line: Line[T, R] = Line() if keys_of is None else KeyedLine(keys_of)
        self._join = join
        #: Items that came one by one since the last batch, and who waits for them.
        self._singles: list[T] = []
        self._tellers: Tellers[R] = Tellers()
        self._closing = False
        self._idle: list[Deferred[None]] = []
        #: Items not yet in a batch.
        self.waiting = 0
        #: Batches in lanes, or to be repeated.
        self.in_flight = 0

    def submit(self, items: Sequence[T]) -> Deferred[list[R]]:
        """Results in the order of `items`; NotApplied or OutcomeUnknown for all of them."""
        if not items:
            return fail(Closing(_CLOSED)) if self._closing else succeed([])
        submit: Submit[R] = Submit(len(items))
        if (why := self._refusal(len(items))) is not None:
            return fail(why)
        self._line_up()
        self._line.put(Piece(submit, 0, items))
        self.waiting += len(items)
        self._start()
        return submit.answer

    def tell(self, item: T, told: Callable[[R | Exception], None]) -> None:
        """As `submit` of one item, where thousands come one by one: `told` gets its result, or why
        there is none.
        """
        if (why := self._refusal(1)) is not None:
            told(why)
            return
        self._singles.append(item)
        self._tellers.told.append(told)
        self.waiting += 1
        if self._gathering is None or self.waiting >= self._size_max:
            self._start()

    def _refusal(self, count: int) -> Exception | None:
        if self._closing:
            return Closing(_CLOSED)
        if self.waiting + count > self._waiting_max:
            return Busy(f"{self.waiting} items wait for the database already")
        return None

    def _line_up(self) -> None:
        """What came one by one goes together, in its turn."""
        if self._singles:
            self._line.put(Piece(self._tellers, 0, self._singles))
            self._singles = []
            self._tellers = Tellers()

    def drained(self) -> Deferred[None]:
        """Fires when nothing waits and nothing is in flight."""
        if self.waiting == 0 and self.in_flight == 0:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def close(self) -> Deferred[None]:
        """Take no more; what is unknown stays unknown. Fires when all have their answer."""
        self._closing = True
        self._start()  # nothing is gathered any more
        return self.drained()

    def _start(self) -> None:
        while self.in_flight < self._lanes_max and self.waiting:
            if self.in_flight and self.waiting < self._second_lane_threshold:
                return
            if self._gather_s and self._gathers():
                return
            self._line_up()
            batch = self._line.take(self._size_max)
            if not batch:
                return  # all that waits has its key in a lane
            flight = _Flight(batch, self._join)
            self.waiting -= len(flight.items)
            self.in_flight += 1
            self._run(flight)

    def _gathers(self) -> bool:
        """Whether the next batch is still to grow; if so, it leaves by a timer."""
        now = self._lanes.reactor.seconds()
        if self.waiting < self._size_max and not self._due and not self._closing:
            if self._gathering is None:
                left_s = max(0.0, self._leaves_at - now)
                self._gathering = self._lanes.reactor.callLater(left_s, self._gathered)
            return True
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        self._due = False
        self._leaves_at = now + self._gather_s
        return False

    def _gathered(self) -> None:
        self._gathering = None
        self._due = self.waiting > 0
        self._start()

    def _run(self, flight: "_Flight[T, R]") -> None:
        # The keyword only in repeats: a transaction that is never repeated need not take it.
        again: dict[str, Any] = {"repeat": True} if flight.repeats else {}
        running: Deferred[Sequence[R]] = self._lanes.call(self._transaction, flight.items, **again)
        running.addCallbacks(
            self._succeeded, self._failed, callbackArgs=(flight,), errbackArgs=(flight,)
        )
        running.addErrback(lambda why: log.failure("a batch was not settled", why))

    def _succeeded(self, results: Sequence[R], flight: "_Flight[T, R]") -> None:
        if len(results) != len(flight.items):
            why = RuntimeError(f"{len(results)} results for {len(flight.items)} items")
            self._settle(flight, why)
            return
        self._landed(flight)
        if self._settled is not None:
            try:
                self._settled(results)
            except Exception:
                log.failure("what a batch led to was not handed on")
        position = 0
        for piece in flight.pieces:
            end = position + len(piece.items)
            piece.submit.put(piece.start, results[position:end])
            position = end
        self._tell_idle()

    def _failed(self, failure: Failure, flight: "_Flight[T, R]") -> None:
        why = failure.value
        assert isinstance(why, Exception)
        if isinstance(why, OutcomeUnknown):
            flight.unknown = True
        elif isinstance(why, Broken | Violated) and not flight.unknown and flight.divides:
            self._halve(flight, why)
            return
        # Once unknown, "this repeat did not happen" says nothing of the first run.
        hopeless = isinstance(why, Broken | Violated) or not isinstance(
            why, NotApplied | OutcomeUnknown
        )
        if flight.unknown and self._retry_unknown and not hopeless and not self._closing:
            flight.repeats += 1
            pause_s = min(REPEAT_S_MIN * 2 ** min(flight.repeats - 1, 10), REPEAT_S_MAX)
            self._lanes.reactor.callLater(pause_s, self._run, flight)
            return
        if flight.unknown and isinstance(why, NotApplied):
            why = OutcomeUnknown(f"the outcome stayed unknown: {why}")
        self._settle(flight, why)

    def _halve(self, flight: "_Flight[T, R]", why: Exception) -> None:
        """One bad item must not fail the callers that it shared a batch with: look for it."""
        log.warn(
            "a batch of {size} was refused, trying its halves: {why}",
            size=len(flight.items),
            why=str(why),
        )
        pieces = flight.pieces
        if len(pieces) == 1:
            pieces = [pieces[0].cut(len(pieces[0].items) // 2), pieces[0]]
        half = len(pieces) // 2
        self.in_flight += 1
        self._run(_Flight(pieces[:half], self._join))
        self._run(_Flight(pieces[half:], self._join))

    def _settle(self, flight: "_Flight[T, R]", why: Exception) -> None:
        self._landed(flight)
        for piece in flight.pieces:
            piece.fail(why)
        self._tell_idle()

    def _landed(self, flight: "_Flight[T, R]") -> None:
        # The lane gets its next batch before anybody reads this one's answers.
        self.in_flight -= 1
        self._line.done(flight.pieces)
        if self._gather_s and self._lanes.reactor.seconds() >= self._leaves_at:
            self._due = self.waiting > 0
        self._start()

    def _tell_idle(self) -> None:
        if self.waiting == 0 and self.in_flight == 0:
            idle, self._idle = self._idle, []
            for deferred in idle:
                deferred.callback(None)


class _Flight(Generic[T, R]):
    """A batch in a lane, or between repeats."""

    __slots__ = ("items", "pieces", "repeats", "unknown")

    def __init__(
        self, pieces: list[Piece[T, R]], join: Callable[[Sequence[Any]], Sequence[T]]
    ) -> None:
        self.pieces = pieces
        self.items = join([piece.items for piece in pieces])
        self.repeats = 0
        self.unknown = False

    @property
    def divides(self) -> bool:
        """Whether a part of it may fail without the rest."""
        first = self.pieces[0]
        return len(self.pieces) > 1 or (first.submit.apart and len(first.items) > 1)
