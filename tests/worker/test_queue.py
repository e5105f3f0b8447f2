"""Lanes take turns, each with its share of what runs and of the room."""

from hypothesis import given
from hypothesis import strategies as st

from ppcd.worker.queue import Queue


def a_queue(
    *, size_max: int = 100, running: int | None = 2, earned: int = 0, lane_size: int = 50
) -> Queue[str]:
    """Jobs such as `a1`: the letter is the lane."""
    return Queue(
        size_max=size_max,
        lane=lambda job: job[0],
        lane_running_max=running,
        lane_running_earned=earned,
        lane_size_max=lane_size,
    )


def taken(queue: Queue[str]) -> list[str]:
    found = []
    while (job := queue.take()) is not None:
        found.append(job)
    return found


def test_lanes_take_turns() -> None:
    queue = a_queue(running=10)
    for job in ("a1", "a2", "a3", "b1", "c1", "c2"):
        assert queue.put(job)
    assert taken(queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_a_lane_that_hangs_holds_its_share_and_no_more() -> None:
    queue = a_queue()
    for number in range(10):
        queue.put(f"a{number}")
    assert taken(queue) == ["a0", "a1"]
    queue.put("b0")
    assert taken(queue) == ["b0"]
    queue.done("a1")
    assert taken(queue) == ["a2"]
    assert len(queue) == 7


def test_a_lanes_room_is_its_own() -> None:
    queue = a_queue(size_max=6, lane_size=4)
    assert [queue.put(f"a{n}") for n in range(5)] == [True] * 4 + [False]
    assert queue.crowded() == ["a"]
    assert [queue.put(f"b{n}") for n in range(3)] == [True] * 2 + [False]
    assert queue.room == 0
    assert sorted(queue.empty()) == ["a0", "a1", "a2", "a3", "b0", "b1"]
    assert (len(queue), queue.take(), queue.crowded()) == (0, None, [])


def test_a_quick_lane_earns_a_larger_share_and_loses_it_with_the_first_slow_job() -> None:
    queue = a_queue(earned=2)
    for number in range(20):
        queue.put(f"a{number}")
    assert taken(queue) == ["a0", "a1"]
    queue.done("a0", quick=True)
    assert taken(queue) == ["a2", "a3"]
    for job in ("a1", "a2", "a3"):
        queue.done(job, quick=True)
    assert taken(queue) == ["a4", "a5", "a6", "a7"], "two more than it began with, and no more"
    queue.done("a4")
    queue.done("a5", quick=True)
    assert taken(queue) == ["a8"], "back at two, of which one is earned anew"
    queue.done("a6")
    assert taken(queue) == []
    queue.done("a7")
    assert taken(queue) == ["a9"]
    for job in ("a8", "a9"):
        queue.done(job)
    queue.put("b0")
    assert taken(queue) == ["a10", "b0", "a11"]


def test_a_lane_whose_share_shrinks_before_its_turn_waits() -> None:
    queue = a_queue(running=1, earned=2)
    for number in range(8):
        queue.put(f"a{number}")
    assert queue.take() == "a0"
    queue.done("a0", quick=True)
    assert taken(queue) == ["a1", "a2"]
    queue.done("a1", quick=True)
    assert taken(queue) == ["a3", "a4"]
    queue.done("a2", quick=True)
    queue.done("a3")
    assert taken(queue) == [], "one runs, and that is all that it may have"
    queue.done("a4")
    assert taken(queue) == ["a5"]


@given(st.lists(st.sampled_from("abcd+-")))
def test_nothing_is_lost_or_begun_beyond_its_share(steps: list[str]) -> None:
    queue = a_queue(running=2)
    put: list[str] = []
    began: list[str] = []
    running: list[str] = []
    for number, step in enumerate(steps):
        if step == "+":
            job = queue.take()
            free = {j[0] for j in put if j not in began and sum(r[0] == j[0] for r in running) < 2}
            assert (job is None) == (not free)
            if job is not None:
                assert job[0] in free
                began.append(job)
                running.append(job)
        elif step == "-":
            if running:
                queue.done(running.pop(0))
        else:
            put.append(f"{step}{number}")
            assert queue.put(put[-1])
    assert sorted(began + queue.empty()) == sorted(put)
    for lane in "abcd":
        assert [j for j in began if j[0] == lane] == [j for j in put if j[0] == lane][
            : sum(j[0] == lane for j in began)
        ]
