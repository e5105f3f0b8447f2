"""What one partner may take of a node, so that the others get theirs: requests, and waiting ones.

Each node counts for itself: exactness would cost a round trip a request, and what is protected here
is the node. What protects subscribers is counted in the database.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twisted.internet.interfaces import IReactorTime

#: A partner that was quiet may send so many seconds' worth at once.
BURST_S: Final = 2.0


class Shares:
    """The shares of all partners."""

    def __init__(self, clock: IReactorTime, *, requests_per_s: float, waiting_max: int) -> None:
        """`requests_per_s` 0: as many as they like."""
        self._clock = clock
        self._rate = requests_per_s
        self._full = max(1.0, requests_per_s * BURST_S)
        self._waiting_max = waiting_max
        #: By partner: how many requests were left to it, and when that was.
        self._left: dict[int, tuple[float, float]] = {}
        self._waiting: Counter[int] = Counter()

    def take(self, partner_id: int) -> float:
        """One request: 0 when it may go on, else in how many seconds it may come again."""
        if self._rate == 0:
            return 0
        now = self._clock.seconds()
        left, since = self._left.get(partner_id, (self._full, now))
        left = min(self._full, left + max(0.0, now - since) * self._rate)
        if left < 1:
            self._left[partner_id] = left, now
            return (1 - left) / self._rate
        self._left[partner_id] = left - 1, now
        return 0

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
