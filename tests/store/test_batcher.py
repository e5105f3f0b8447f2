"""Batches: who goes together, who waits for whom, and what a failure means for each."""

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as global_reactor  # noqa: TID251
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from ppcd.store.batcher import Batcher
from ppcd.store.lanes import (
    Broken,
    Busy,
    Closing,
    Cursor,
    Lanes,
    NotApplied,
    OutcomeUnknown,
    StoreError,
    Violated,
)
from tests.conftest import Criticals
from tests.postgres import query

P = ParamSpec("P")
T = TypeVar("T")


def double(cur: Cursor, items: Sequence[int], *, repeat: bool = False) -> list[int]:
    return [2 * item for item in items]


class Call:
    """A transaction that a lane works at."""

    def __init__(self, items: Sequence[Any], repeat: bool, finish: Callable[[], Any]) -> None:
        self.items = list(items)
        self.repeat = repeat
        self.answer: Deferred[Any] = Deferred()
        self._finish = finish

    def succeed(self) -> None:
        self.answer.callback(self._finish())

    def fail(self, why: Exception) -> None:
        self.answer.errback(why)


class HandLanes:
    """Lanes that work when the test says so."""

    def __init__(self) -> None:
        self.reactor = Clock()
        self.calls: list[Call] = []

    def call(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        cursor: Any = None
        items: Any = args[0]
        call = Call(items, bool(kwargs.get("repeat")), lambda: transaction(cursor, *args, **kwargs))
        self.calls.append(call)
        return call.answer

    async def run(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self.call(transaction, *args, **kwargs)

    @property
    def batches(self) -> list[list[Any]]:
        return [call.items for call in self.calls]


def result_of(answer: Deferred[Any]) -> Any:
    """What it fired with; an exception is given back too."""
    got: list[Any] = []
    answer.addBoth(got.append)
    assert got, "has not fired"
    return getattr(got[0], "value", got[0])


def test_what_comes_while_a_batch_is_out_is_the_next_batch() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10)
    answers = [batcher.submit([1]), batcher.submit([2, 3]), batcher.submit([4])]
    assert lanes.batches == [[1]]
    assert (batcher.waiting, batcher.in_flight) == (3, 1)
    lanes.calls[0].succeed()
    assert lanes.batches == [[1], [2, 3, 4]]
    lanes.calls[1].succeed()
    assert [result_of(answer) for answer in answers] == [[2], [4, 6], [8]]
    assert (batcher.waiting, batcher.in_flight) == (0, 0)


def test_the_lane_has_its_next_batch_before_anybody_reads_the_answers() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10)
    seen: list[int] = []
    batcher.submit([1]).addCallback(lambda _: seen.append(len(lanes.calls)))
    batcher.submit([2])
    lanes.calls[0].succeed()
    assert seen == [2]


def test_what_a_batch_led_to_is_told_as_a_whole_and_before_those_who_wait() -> None:
    lanes = HandLanes()
    told: list[Any] = []
    batcher = Batcher(lanes, double, size_max=10, settled=told.append)
    for items in ([1], [2, 3], [4]):
        batcher.submit(items).addBoth(told.append)
    lanes.calls[0].succeed()
    lanes.calls[1].fail(Broken("a bug"))  # its halves are tried
    for call in lanes.calls[2:]:
        call.succeed()
    assert told == [[2], [2], [4, 6], [4, 6], [8], [8]]


def test_who_waits_for_a_plain_call_is_told_the_same() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10, waiting_max=2)
    told: list[Any] = []
    for item in (1, 2, 3, 4):
        batcher.tell(item, told.append)
    assert isinstance(told.pop(), Busy)
    for call in lanes.calls:  # each leads to the next
        call.succeed()
    assert told == [2, 4, 6]
    batcher.tell(5, told.append)
    lanes.calls[-1].fail(NotApplied("away"))
    assert isinstance(told[3], NotApplied)
    batcher.close()
    batcher.tell(6, told.append)
    assert isinstance(told[4], Closing)
    assert result_of(batcher.submit([7])).args == told[4].args


def test_of_those_who_wait_for_plain_calls_the_bad_one_alone_fails() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10, key=lambda item: item)
    told: list[tuple[int, Any]] = []

    def tell(item: int) -> None:
        batcher.tell(item, lambda result: told.append((item, result)))

    for item in (1, 2, 3, 4, 5, 5):
        tell(item)
    for call in lanes.calls:  # each leads to the next
        if 4 in call.items:
            call.fail(Broken("a bug"))
        else:
            call.succeed()
    results = dict(told)
    assert isinstance(results.pop(4), Broken)
    assert results == {1: 2, 2: 4, 3: 6, 5: 10}
    assert len(told) == 6, "each is told once"


def test_one_who_breaks_when_told_is_logged_and_keeps_it_from_nobody(criticals: Criticals) -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10)
    told: list[Any] = []
    batcher.tell(0, told.append)
    batcher.tell(1, lambda result: told[1000])
    batcher.tell(2, told.append)
    for call in lanes.calls:
        call.succeed()
    assert told == [0, 4]
    [logged] = criticals.take()
    assert "a result was not taken" in logged


def test_a_batch_has_its_limit_and_keeps_submits_whole() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=4)
    batcher.submit([0])
    batcher.submit([1, 2, 3])
    batcher.submit([4, 5])
    answer = batcher.submit(list(range(10, 19)))
    for number in range(6):
        lanes.calls[number].succeed()
    assert lanes.batches == [
        [0],
        [1, 2, 3],
        [4, 5],
        [10, 11, 12, 13],
        [14, 15, 16, 17],
        [18],
    ]
    assert result_of(answer) == [2 * item for item in range(10, 19)]


def test_batches_that_gather_leave_so_far_apart_unless_they_are_full() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=3, gather_s=0.02)
    lanes.reactor.advance(5)
    batcher.submit([0])
    batcher.submit([1])
    assert lanes.calls == []
    lanes.reactor.advance(0)
    assert lanes.batches == [[0, 1]], "the first waits for what the same turn brings"
    lanes.calls[0].succeed()
    batcher.submit([2])
    lanes.reactor.advance(0.01)
    batcher.submit([3])
    lanes.reactor.advance(0.009)
    assert len(lanes.calls) == 1
    lanes.reactor.advance(0.001)
    assert lanes.batches[1:] == [[2, 3]]
    batcher.submit([4])
    lanes.reactor.advance(0.02)
    assert len(lanes.calls) == 2, "there is one lane"
    lanes.calls[1].succeed()
    assert lanes.batches[2:] == [[4]], "what has waited for long enough waits for no timer"
    lanes.calls[2].succeed()
    for number in (5, 6, 7):
        batcher.submit([number])
    assert lanes.batches[3:] == [[5, 6, 7]], "a full one does not wait"
    lanes.calls[3].succeed()
    batcher.submit([8])
    done = batcher.close()
    assert lanes.batches[4:] == [[8]], "and none waits at the end"
    lanes.calls[4].succeed()
    assert done.called
    assert lanes.reactor.getDelayedCalls() == []


def test_more_lanes_are_used_only_while_many_wait() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=100, lanes_max=3, second_lane_threshold=5)
    batcher.submit([0])
    batcher.submit([1, 2, 3, 4])
    assert len(lanes.calls) == 1
    batcher.submit([5])
    assert lanes.batches[1:] == [[1, 2, 3, 4, 5]]
    batcher.submit([6] * 5)
    batcher.submit([7] * 5)
    assert (len(lanes.calls), batcher.in_flight, batcher.waiting) == (3, 3, 5)


def test_waiting_is_bounded_and_nothing_is_no_work() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10, waiting_max=3)
    assert result_of(batcher.submit([])) == []
    batcher.submit([0])
    batcher.submit([1, 2])
    assert isinstance(result_of(batcher.submit([3, 4])), Busy)
    batcher.submit([3])
    assert batcher.waiting == 3
    batcher.close()
    assert isinstance(result_of(batcher.submit([5])), Closing)


@pytest.mark.parametrize("why", [NotApplied("x"), OutcomeUnknown("x"), LookupError("bug")])
def test_a_failure_is_that_of_all_in_the_batch_and_of_no_other(why: Exception) -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10)
    answers = [batcher.submit([1]), batcher.submit([2]), batcher.submit([3])]
    lanes.calls[0].succeed()
    lanes.calls[1].fail(why)
    later = batcher.submit([4])
    lanes.calls[2].succeed()
    assert [result_of(answer) for answer in answers] == [[2], why, why]
    assert result_of(later) == [8]


def test_a_submit_cut_in_two_fails_once() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=1)
    answer = batcher.submit([1, 2, 3])
    lanes.calls[0].succeed()
    lanes.calls[1].fail(NotApplied("x"))
    lanes.calls[2].fail(NotApplied("y"))
    assert str(result_of(answer)) == "x"


def test_a_wrong_number_of_results_is_a_bug_that_all_hear_of() -> None:
    lanes = HandLanes()
    batcher: Batcher[int, int] = Batcher(lanes, lambda cur, items: [], size_max=10)
    answer = batcher.submit([1])
    lanes.calls[0].succeed()
    assert isinstance(result_of(answer), RuntimeError)


def test_one_bad_item_fails_its_own_caller_only() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10)
    batcher.submit([0])
    answers = [batcher.submit([item]) for item in (1, 2, 13, 4, 5)]
    lanes.calls[0].succeed()
    position = 1
    while position < len(lanes.calls):
        call = lanes.calls[position]
        position += 1
        if 13 in call.items:
            call.fail(Broken("13"))
        else:
            call.succeed()
    assert [isinstance(result_of(answer), Broken) for answer in answers] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert (batcher.waiting, batcher.in_flight) == (0, 0)


def test_an_unknown_outcome_is_asked_again_until_it_is_known() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10, retry_unknown=True)
    answer = batcher.submit([1, 2])
    behind = batcher.submit([3])
    lanes.calls[0].fail(OutcomeUnknown("lost"))
    # "This repeat did not happen" does not say what became of the first run.
    for number, why in enumerate([NotApplied("away"), OutcomeUnknown("lost"), NotApplied("away")]):
        lanes.reactor.advance(1)
        assert len(lanes.calls) == number + 2
        lanes.calls[-1].fail(why)
    lanes.reactor.advance(1)
    lanes.calls[-1].succeed()
    assert result_of(answer) == [2, 4]
    assert [call.repeat for call in lanes.calls] == [False, True, True, True, True, False]
    assert all(call.items == [1, 2] for call in lanes.calls[:-1])
    lanes.calls[-1].succeed()
    assert result_of(behind) == [6]


def test_repeats_slow_down_to_one_a_second() -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10, retry_unknown=True)
    batcher.submit([1]).addErrback(lambda _: None)
    lanes.calls[0].fail(OutcomeUnknown("lost"))
    pauses = []
    for _ in range(7):
        (pause,) = lanes.reactor.getDelayedCalls()
        pauses.append(pause.getTime() - lanes.reactor.seconds())
        lanes.reactor.advance(pauses[-1])
        lanes.calls[-1].fail(OutcomeUnknown("lost"))
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    batcher.close()
    lanes.reactor.advance(1)
    lanes.calls[-1].fail(OutcomeUnknown("lost"))
    assert not lanes.reactor.getDelayedCalls()


@pytest.mark.parametrize("why", [Violated("x", constraint="c"), Broken("x"), Busy("x")])
def test_what_stays_unknown_is_never_called_not_applied(why: StoreError) -> None:
    lanes = HandLanes()
    batcher = Batcher(lanes, double, size_max=10, retry_unknown=True)
    answer = batcher.submit([1])
    lanes.calls[0].fail(OutcomeUnknown("lost"))
    closed = batcher.close()
    lanes.reactor.advance(1)
    lanes.calls[1].fail(why)
    assert isinstance(result_of(answer), OutcomeUnknown)
    assert closed.called


def test_items_of_one_key_go_one_after_another() -> None:
    lanes = HandLanes()
    batcher = Batcher(
        lanes,
        double,
        size_max=10,
        lanes_max=3,
        second_lane_threshold=1,
        key=lambda item: item % 10,
    )
    answer = batcher.submit([1, 11, 2, 21])
    assert lanes.batches == [[1, 2]]
    other = batcher.submit([31, 3])
    assert lanes.batches == [[1, 2], [3]]
    lanes.calls[1].succeed()
    lanes.calls[0].fail(NotApplied("x"))
    assert lanes.batches == [[1, 2], [3], [11]]
    lanes.calls[2].succeed()
    lanes.calls[3].succeed()
    lanes.calls[4].succeed()
    assert lanes.batches[3:] == [[21], [31]]
    assert isinstance(result_of(answer), NotApplied)
    assert result_of(other) == [62, 6]
    assert (batcher.waiting, batcher.in_flight) == (0, 0)


@given(
    submits=st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=12),
    size_max=st.integers(1, 7),
    lanes_max=st.integers(1, 3),
    keyed=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_everybody_gets_the_results_of_what_they_handed_in(
    submits: list[list[int]], size_max: int, lanes_max: int, keyed: bool, order: Any
) -> None:
    lanes = HandLanes()
    batcher = Batcher(
        lanes,
        double,
        size_max=size_max,
        lanes_max=lanes_max,
        second_lane_threshold=3,
        key=(lambda item: item % 5) if keyed else None,
    )
    answers = [batcher.submit(items) for items in submits]
    drained = batcher.drained()
    while out := [call for call in lanes.calls if not call.answer.called]:
        assert len(out) <= lanes_max
        keys = [item % 5 for call in out for item in call.items]
        assert not keyed or len(keys) == len(set(keys))
        order.choice(out).succeed()
    assert [result_of(answer) for answer in answers] == [[2 * i for i in s] for s in submits]
    assert all(len(batch) <= size_max for batch in lanes.batches)
    assert drained.called
    assert batcher.close().called


@pytest_twisted.ensureDeferred
async def test_a_thousand_submits_on_a_real_database_are_few_commits(bare_database: str) -> None:
    query(bare_database, "CREATE TABLE t (x bigint PRIMARY KEY)")
    batches: list[int] = []

    def insert(cur: Cursor, items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        cur.execute("INSERT INTO t SELECT unnest(%s::bigint[])", [sorted(items)])
        return list(items)

    lanes = Lanes(bare_database, count=2, reactor=global_reactor)
    batcher = Batcher(lanes, insert, size_max=300, lanes_max=2)
    answers = await gatherResults([batcher.submit([number]) for number in range(1000)])
    assert answers == [[number] for number in range(1000)]
    assert sum(batches) == 1000
    assert len(batches) <= 5
    assert query(bare_database, "SELECT count(*) FROM t") == [(1000,)]
    refused = batcher.submit([1])
    with pytest.raises(Violated):
        await refused
    await batcher.close()
    await lanes.close()
