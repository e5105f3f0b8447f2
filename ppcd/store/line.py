"""Who goes together in a batch, and who waits for whom: the line before a `batcher`.

Owns the order, and that two items of one key never go together. Refuses to know lanes and
transactions.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")
R = TypeVar("R")

log = Logger(namespace="ppcd.store.line")


class Submit(Generic[R]):
    """What one caller handed in, and the results so far."""

    __slots__ = ("answer", "missing", "results")

    #: Whether its items can fail one by one.
    apart = False

    def __init__(self, size: int) -> None:
        self.results: list[Any] = [None] * size
        self.missing = size
        self.answer: Deferred[list[R]] = Deferred()

    def put(self, start: int, results: Sequence[R]) -> None:
        """The results of the items from `start` on."""
        self.results[start : start + len(results)] = results
        self.missing -= len(results)
        if self.missing == 0 and not self.answer.called:
            self.answer.callback(self.results)

    def fail(self, why: Exception, start: int, count: int) -> None:
        """Fail the whole, whichever items it is about: a caller repeats the whole, too."""
        if not self.answer.called:
            self.answer.errback(Failure(why))  # type: ignore[no-untyped-call]


class Tellers(Generic[R]):
    """Those who each wait with one item, and for a plain call and not for a Deferred."""

    __slots__ = ("told",)

    apart = True

    def __init__(self) -> None:
        self.told: list[Callable[[R | Exception], None]] = []

    def put(self, start: int, results: Sequence[R | Exception]) -> None:
        """The results of the items from `start` on."""
        for told, result in zip(self.told[start : start + len(results)], results, strict=True):
            try:
                told(result)
            except Exception:  # the others of the batch are to be told, too
                log.failure("a result was not taken")

    def fail(self, why: Exception, start: int, count: int) -> None:
        """These of them."""
        self.put(start, [why] * count)


class Piece(Generic[T, R]):
    """Neighbouring items of one submit that go together, with their keys if there are any."""

    __slots__ = ("items", "keys", "start", "submit")

    def __init__(
        self,
        submit: Submit[R] | Tellers[R],
        start: int,
        items: Sequence[T],
        keys: Sequence[Hashable] = (),
    ) -> None:
        self.submit = submit
        self.start = start
        self.items = items
        self.keys = keys

    def fail(self, why: Exception) -> None:
        """There are no results."""
        self.submit.fail(why, self.start, len(self.items))

    def cut(self, size: int) -> "Piece[T, R]":
        """Take the first `size` items off."""
        first = Piece[T, R](self.submit, self.start, self.items[:size], self.keys[:size])
        self.start += size
        self.items = self.items[size:]
        self.keys = self.keys[size:]
        return first


class Line(Generic[T, R]):
    """First come, first gone; a submit is cut only when it is larger than a whole batch."""

    def __init__(self) -> None:
        self._ready: deque[Piece[T, R]] = deque()

    def put(self, piece: Piece[T, R]) -> None:
        """At the end."""
        self._ready.append(piece)

    def take(self, size_max: int) -> list[Piece[T, R]]:
        """The next batch; empty when all that waits waits for another."""
        batch: list[Piece[T, R]] = []
        size = 0
        while self._ready:
            piece = self._ready[0]
            if size + len(piece.items) > size_max:
                if not batch:
                    batch.append(piece.cut(size_max))
                break
            batch.append(self._ready.popleft())
            size += len(piece.items)
        return batch

    def done(self, batch: list[Piece[T, R]]) -> None:
        """A batch has left its lane."""


class KeyedLine(Line[T, R]):
    """An item waits while another of its key is ahead of it or in a lane.

    Most keys come once at a time: then a submit stays whole and costs a few set operations.
    """

    def __init__(self, keys_of: Callable[[Sequence[T]], Sequence[Hashable]]) -> None:
        super().__init__()
        self._keys_of = keys_of
        #: Keys that are ready or in a lane.
        self._held: set[Hashable] = set()
        #: Those that wait for a held key, in their order.
        self._behind: dict[Hashable, deque[Piece[T, R]]] = {}

    def put(self, piece: Piece[T, R]) -> None:
        piece.keys = keys = self._keys_of(piece.items)
        distinct = set(keys)
        if len(distinct) == len(keys) and self._held.isdisjoint(distinct):
            self._held |= distinct
            self._ready.append(piece)
            return
        for number, key in enumerate(keys):
            item = piece.items[number : number + 1]
            one = Piece[T, R](piece.submit, piece.start + number, item, [key])
            if key in self._held:
                self._behind.setdefault(key, deque()).append(one)
            else:
                self._held.add(key)
                self._ready.append(one)

    def done(self, batch: list[Piece[T, R]]) -> None:
        for piece in batch:
            self._held.difference_update(piece.keys)
            if self._behind:
                self._next_of(piece.keys)

    def _next_of(self, keys: Sequence[Hashable]) -> None:
        for key in keys:
            behind = self._behind.get(key)
            if behind is not None:
                self._held.add(key)
                self._ready.append(behind.popleft())
                if not behind:
                    del self._behind[key]
