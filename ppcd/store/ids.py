"""Time-ordered ids that need no round trip: 40 bits of milliseconds, 23 of a shared counter.

Owns their layout and the blocks of numbers that keep two nodes from making the same id. Blocks are
fetched before they are needed, so that the hot path never waits; the sequence `id_block` numbers
them. Refuses to know what an id is for.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.store.failures import NotApplied, StoreError
from ppcd.store.lanes import Runner
from ppcd.store.runs import Runs
from ppcd.store.session import single
from ppcd.store.sql import Cursor

log = Logger(namespace="ppcd.store.ids")

#: 40 bits of milliseconds from here last until 2059.
EPOCH: Final = datetime(2025, 1, 1, tzinfo=UTC)
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND_BITS: Final = 40
COUNTER_BITS: Final = 23
BLOCK_BITS: Final = 10
BLOCK_SIZE: Final = 1 << BLOCK_BITS
#: So many blocks fill the counter; then their numbers come again.
BLOCKS: Final = 1 << (COUNTER_BITS - BLOCK_BITS)
#: Another node gets our block's number again only after 8192 others: 140,000 ids a second for
#: this long. An older block is dropped.
BLOCK_AGE_S_MAX: Final = 60.0
#: One request for blocks is at most this many.
FETCH_MAX: Final = 256

_TAKE_BLOCKS = "SELECT nextval('id_block') FROM generate_series(1, %s)"


def milliseconds_of(when: datetime) -> int:
    """Milliseconds since the epoch of ids."""
    return (when - EPOCH) // timedelta(milliseconds=1)


def first_id_of(when: datetime) -> int:
    """The lowest id of that instant; ids made before it are lower."""
    return milliseconds_of(when) << COUNTER_BITS


def time_of(number: int) -> datetime:
    """When an id was made, by the wall clock of the node that made it."""
    return EPOCH + timedelta(milliseconds=number >> COUNTER_BITS)


@single
def take_blocks(cur: Cursor, count: int) -> list[int]:
    """Numbers of blocks that nobody else has."""
    return [block for (block,) in cur.execute(_TAKE_BLOCKS, [count])]


class NoIds(NotApplied):
    """No block is at hand: await `ensure` first."""


class _Block:
    __slots__ = ("position", "stale_at", "stop")

    def __init__(self, number: int, stale_at: float) -> None:
        self.position = (number % BLOCKS) << BLOCK_BITS
        self.stop = self.position + BLOCK_SIZE
        self.stale_at = stale_at


class IdSource:
    """The ids of one process, each higher than all before it.

    `wall_ms` gives Unix milliseconds. While ids are used, `reserve` of them are kept at hand by
    fetching ahead; after a quiet time all blocks are stale and `ensure` waits for new ones.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        wall_ms: Callable[[], int],
        reserve: int = 4 * BLOCK_SIZE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._wall_ms = wall_ms
        self._reserve = reserve
        self._clock = clock
        self._epoch_ms = (EPOCH - _UNIX_EPOCH) // timedelta(milliseconds=1)
        self._blocks: deque[_Block] = deque()
        self._left = 0
        self._last = 0
        self._fetching = False
        self._fetched_at = -1.0
        self._fetch_count = 1
        self._waiting: list[Deferred[None]] = []

    def ready(self, count: int) -> bool:
        """Whether `count` ids can be had in this very turn."""
        now = self._clock()
        while self._blocks and self._blocks[0].stale_at <= now:
            block = self._blocks.popleft()
            self._left -= block.stop - block.position
        return self._left >= count

    async def ensure(self, count: int) -> None:
        """Return when `count` ids can be had; they can until the caller's next await."""
        while not self.ready(count):
            arrived: Deferred[None] = Deferred()
            self._waiting.append(arrived)
            self._fetch(count)
            await arrived

    def next(self) -> int:
        """The next id; NoIds when none is at hand."""
        return self.take(1)[0]

    def take(self, count: int) -> list[int]:
        """The next `count` ids, ascending; NoIds, and none used, when so many are not at hand."""
        return list(self.take_runs(count))

    def take_runs(self, count: int) -> Runs:
        """As `take`, without an object for each."""
        if not self.ready(count):
            self._fetch(count)
            raise NoIds("no ids at hand")
        runs: list[range] = []
        left = count
        ms = self._wall_ms() - self._epoch_ms
        assert 0 <= ms < 1 << MILLISECOND_BITS, "the wall clock is not between 2025 and 2059"
        while left:
            block = self._blocks[0]
            # A clock that was set back, or a counter that began again, must not turn ids back.
            ms = max(ms, self._last >> COUNTER_BITS)
            if ms << COUNTER_BITS | block.position <= self._last:
                ms += 1
            first = ms << COUNTER_BITS | block.position
            taken = min(left, block.stop - block.position)
            runs.append(range(first, first + taken))
            self._last = first + taken - 1
            left -= taken
            self._left -= taken
            block.position += taken
            if block.position == block.stop:
                self._blocks.popleft()
        if self._left < self._reserve:
            self._fetch(self._reserve)
        return Runs(runs)

    def _fetch(self, count: int) -> None:
        if self._fetching:
            return
        self._fetching = True
        now = self._clock()
        # In a hurry, larger steps: a round trip can take as long as the reserve lasts.
        faster = now - self._fetched_at < 1.0
        self._fetch_count = self._fetch_count * 2 if faster else self._fetch_count // 2
        wanted = max(count, self._reserve) - self._left
        self._fetch_count = min(max(self._fetch_count, -(-wanted // BLOCK_SIZE), 1), FETCH_MAX)
        self._fetched_at = now
        # Their age counts from before the request: they may have been ours for a while.
        running = self._runner.call(take_blocks, self._fetch_count)
        running.addCallbacks(self._arrived, self._missed, callbackArgs=(now + BLOCK_AGE_S_MAX,))

    def _arrived(self, numbers: Sequence[int], stale_at: float) -> None:
        self._blocks += (_Block(number, stale_at) for number in numbers)
        self._left += len(numbers) * BLOCK_SIZE
        self._fetching = False
        waiting, self._waiting = self._waiting, []
        for arrived in waiting:
            arrived.callback(None)

    def _missed(self, failure: Failure) -> None:
        self._fetching = False
        # Blocks whose answer was lost are nobody's: in either case there are no ids now.
        why = failure.value
        if not isinstance(why, StoreError):
            log.failure("fetching ids failed", failure)
        waiting, self._waiting = self._waiting, []
        for arrived in waiting:
            arrived.errback(NoIds(f"no ids: {why}"))
