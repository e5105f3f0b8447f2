"""What one partner or address may take of a node, so that the others get theirs: requests, waiting
ones, and wrong secrets.

Each node counts for itself: exactness would cost a round trip a request, and what is protected here
is the node. What protects subscribers is counted in the database.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

K = TypeVar("K", bound=Hashable)

#: A partner that was quiet may send so many seconds' worth at once.
BURST_S: Final = 2.0
#: More than this many are not told apart: the longest known are forgotten.
KEYS_MAX: Final = 10_000


class Buckets(Generic[K]):
    """So many at once for each key, and so many a second after that. `per_s` 0: no limit."""

    def __init__(self, clock: IReactorTime, *, per_s: float, full: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._full = full
        #: How many were left, and when that was.
        self._left: dict[K, tuple[float, float]] = {}

    def wait_s(self, key: K) -> float:
        """0 when one may be taken, else in how many seconds."""
        if self._per_s == 0:
            return 0
        left = self._now_left(key)
        return 0 if left >= 1 else (1 - left) / self._per_s

    def take(self, key: K) -> float:
        """Take one if it may be: then 0, else in how many seconds it may."""
        wait_s = self.wait_s(key)
        if wait_s == 0 and self._per_s > 0:
            left = self._now_left(key) - 1
            # In the order of their last use, so that the first is the longest unused.
            self._left.pop(key, None)
            while len(self._left) >= KEYS_MAX:
                del self._left[next(iter(self._left))]
            self._left[key] = left, self._clock.seconds()
        return wait_s

    def _now_left(self, key: K) -> float:
        now = self._clock.seconds()
        left, since = self._left.get(key, (self._full, now))
        return min(self._full, left + max(0.0, now - since) * self._per_s)


class Shares:
    """The shares of all partners."""

    def __init__(self, clock: IReactorTime, *, requests_per_s: float, waiting_max: int) -> None:
        """`requests_per_s` 0: as many as they like."""
        full = max(1.0, requests_per_s * BURST_S)
        self._requests: Buckets[int] = Buckets(clock, per_s=requests_per_s, full=full)
        self._waiting_max = waiting_max
        self._waiting: Counter[int] = Counter()

    def take(self, partner_id: int) -> float:
        """One request: 0 when it may go on, else in how many seconds it may come again."""
        return self._requests.take(partner_id)

    @contextmanager
    def waiting(self, partner_id: int) -> Iterator[bool]:
        """Around a wait: whether this partner may wait with one more request."""
        if self._waiting[partner_id] >= self._waiting_max:
            yield False
            return
        self._waiting[partner_id] += 1
        try:
            yield True
        finally:
            self._waiting[partner_id] -= 1
            if not self._waiting[partner_id]:
                del self._waiting[partner_id]
