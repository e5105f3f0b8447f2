"""Ids: ordered, unique over nodes, and at hand when they are needed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as global_reactor  # noqa: TID251
from twisted.internet.defer import Deferred, ensureDeferred

from ppcd.store.ids import BLOCK_SIZE, EPOCH, IdSource, NoIds, first_id_of, take_blocks, time_of
from ppcd.store.lanes import Direct, Immediate, Lanes, NotApplied, OutcomeUnknown
from tests.postgres import query

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Sequence:
    """The database's sequence; it answers when the test says so."""

    reactor = None

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self.asked: list[tuple[int, Deferred[Any]]] = []
        self.at_once = True

    def call(self, transaction: Any, count: int) -> Deferred[Any]:
        assert transaction is take_blocks
        answer: Deferred[Any] = Deferred()
        self.asked.append((count, answer))
        if self.at_once:
            self.answer()
        return answer

    async def run(self, *args: Any) -> Any:
        return await self.call(*args)

    def answer(self) -> None:
        count, answer = self.asked[-1]
        self.number += count
        answer.callback(list(range(self.number - count, self.number)))


class World:
    """A wall clock and a monotonic one."""

    def __init__(self) -> None:
        self.wall = NOON
        self.now = 1000.0

    def source(self, sequence: Any, reserve: int = 2 * BLOCK_SIZE) -> IdSource:
        return IdSource(
            sequence,
            wall_ms=lambda: int(self.wall.timestamp() * 1000),
            reserve=reserve,
            clock=lambda: self.now,
        )


def ensure(ids: IdSource, count: int) -> Deferred[None]:
    return ensureDeferred(ids.ensure(count))


def test_an_id_tells_when_it_was_made_and_sorts_by_it() -> None:
    world = World()
    ids = world.source(Sequence())
    ensure(ids, 1)
    first = ids.next()
    world.wall += timedelta(milliseconds=1)
    second = ids.next()
    assert time_of(first) == NOON
    assert first_id_of(NOON) <= first < first_id_of(world.wall) <= second
    assert first_id_of(EPOCH) == 0
    assert 0 < first < 2**63


def test_the_layout_lasts_until_2059() -> None:
    world = World()
    ids = world.source(Sequence())
    ensure(ids, 1)
    world.wall = datetime(2059, 10, 1, tzinfo=UTC)
    assert ids.next() < 2**63
    world.wall = datetime(2060, 1, 1, tzinfo=UTC)
    with pytest.raises(AssertionError):
        ids.next()


@given(
    steps=st.lists(
        st.tuples(st.integers(-3_600_000, 3_600_000), st.integers(1, 1500)), max_size=20
    ),
    number=st.integers(1, 2**40),
)
def test_ids_ascend_whatever_the_wall_clock_does(steps: list[tuple[int, int]], number: int) -> None:
    world = World()
    ids = world.source(Sequence(number))
    last = 0
    for step_ms, count in steps:
        world.wall += timedelta(milliseconds=step_ms)
        ensure(ids, count)
        for taken in ids.take(count):
            assert taken > last
            last = taken


def test_two_nodes_never_make_the_same_id() -> None:
    world = World()
    sequence = Sequence(8190)  # about to begin again
    nodes = [world.source(sequence), world.source(sequence)]
    made: list[int] = []
    for _ in range(40):
        for ids in nodes:
            ensure(ids, 700)
            made += ids.take(700)
    assert len(made) == len(set(made))


def test_the_reserve_is_filled_before_it_is_empty() -> None:
    world = World()
    sequence = Sequence()
    ids = world.source(sequence, reserve=2 * BLOCK_SIZE)
    ensure(ids, 1)
    sequence.at_once = False
    ids.take(10)
    assert len(sequence.asked) == 2
    # What comes meanwhile is served from the reserve.
    assert len(ids.take(BLOCK_SIZE)) == BLOCK_SIZE
    assert len(sequence.asked) == 2
    sequence.answer()
    assert ids.ready(2 * BLOCK_SIZE)


def test_who_is_in_a_hurry_takes_larger_steps() -> None:
    world = World()
    sequence = Sequence()
    ids = world.source(sequence)
    for _ in range(300):
        ensure(ids, BLOCK_SIZE)
        ids.take(BLOCK_SIZE)
    assert max(count for count, _ in sequence.asked) == 256
    for _ in range(20):
        world.now += 30
        ensure(ids, BLOCK_SIZE)
        ids.take(BLOCK_SIZE)
    assert sequence.asked[-1][0] <= 4


def test_an_old_block_is_dropped() -> None:
    world = World()
    sequence = Sequence()
    ids = world.source(sequence)
    ensure(ids, 1)
    ids.next()
    sequence.at_once = False
    world.now += 60
    assert not ids.ready(1)
    with pytest.raises(NoIds):
        ids.next()
    waiting = ensure(ids, 1)
    assert not waiting.called
    sequence.answer()
    assert waiting.called
    # A new block, and not what was left of the old ones.
    new = sequence.number - sequence.asked[-1][0]
    assert ids.next() & (2**23 - 1) == new * BLOCK_SIZE


def test_all_who_wait_share_one_request() -> None:
    world = World()
    sequence = Sequence()
    sequence.at_once = False
    ids = world.source(sequence)
    waiting = [ensure(ids, count) for count in (1, 5, 2 * BLOCK_SIZE)]
    assert len(sequence.asked) == 1
    sequence.answer()
    assert all(one.called for one in waiting)


@pytest.mark.parametrize("why", [NotApplied("away"), OutcomeUnknown("lost")])
def test_without_a_database_there_are_no_ids_and_later_there_are(why: Exception) -> None:
    world = World()
    sequence = Sequence()
    sequence.at_once = False
    ids = world.source(sequence)
    failures: list[Any] = []
    for _ in range(2):
        ensure(ids, 1).addErrback(failures.append)
    sequence.asked[0][1].errback(why)
    assert [failure.type for failure in failures] == [NoIds, NoIds]
    sequence.at_once = True
    ensure(ids, 1)
    assert ids.next()


def test_a_bug_while_fetching_is_told(criticals: Any) -> None:
    world = World()
    sequence = Sequence()
    ids = world.source(sequence)
    ensure(ids, 1)
    sequence.at_once = False
    ids.next()
    sequence.asked[-1][1].errback(LookupError("mine"))
    (told,) = criticals.take()
    assert "fetching ids failed" in told


@pytest.fixture
def sequence_database(bare_database: str) -> Iterator[str]:
    query(bare_database, "CREATE SEQUENCE id_block AS bigint MINVALUE 1")
    return bare_database


def test_blocks_come_from_the_database(sequence_database: str) -> None:
    world = World()
    with Direct(sequence_database) as direct:
        assert direct.run(take_blocks, 3) == [1, 2, 3]
        ids = world.source(Immediate(direct, reactor=None))
        ensure(ids, 5000)
        assert len(set(ids.take(5000))) == 5000


@pytest_twisted.ensureDeferred
async def test_ids_from_lanes(database: str) -> None:
    lanes = Lanes(database, count=1, reactor=global_reactor)
    ids = World().source(lanes)
    made = []
    for _ in range(50):
        await ids.ensure(500)
        made += ids.take(500)
    assert made == sorted(set(made))
    await lanes.close()
