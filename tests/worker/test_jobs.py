"""Workers: bounded, nothing twice, surplus given back, paused and drained; they look for more."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ppcd.metrics import Metrics
from ppcd.store.failures import NotApplied
from ppcd.worker.jobs import QUICK_S, Jobs
from ppcd.worker.queue import Queue
from ppcd.worker.ticks import Tick
from tests.conftest import Criticals


class FakeStep:
    """A step whose jobs are numbers. Jobs end at once, or wait while `waits` is set."""

    def __init__(self) -> None:
        self.due: list[int] = []
        self.claims: list[int] = []
        self.released: list[int] = []
        self.ran: list[int] = []
        self.running: dict[int, Deferred[None]] = {}
        self.waits = True
        self.trouble: Exception | None = None
        self.claiming: Deferred[None] | None = None

    async def claim(self, limit: int) -> Sequence[int]:
        self.claims.append(limit)
        self._check()
        taken, self.due = self.due[:limit], self.due[limit:]
        if self.claiming is not None:
            await self.claiming
        return taken

    async def release(self, jobs: Sequence[int]) -> None:
        self._check()
        self.released.extend(jobs)

    async def run(self, job: int) -> None:
        self.ran.append(job)
        if self.waits:
            self.running[job] = waiting = Deferred()
            await waiting
        self._check()

    def end(self, *jobs: int) -> None:
        for job in jobs or list(self.running):
            self.running.pop(job).callback(None)

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class FakePace:
    """Fulfils the worker's `Pace` with what a test sets."""

    def __init__(self) -> None:
        self.at_once_max = 2
        self.ahead_max = 3
        self.tokens = 1000
        self.begins = 0

    def wait_s(self) -> float:
        return 0 if self.tokens else 0.5

    def begun(self) -> None:
        self.begins += 1
        self.tokens -= 1


class Scene:
    """A worker, its step and its clock."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock()
        self.step = FakeStep()
        self.metrics = Metrics()
        self.closed = False
        self.held: set[int] = set()
        self.postponed: list[int] = []
        settings: dict[str, Any] = {"running_max": 2, "queue_max": 3, "poll_s": 1.0, **changes}
        self.jobs: Jobs[int] = Jobs(
            "debit",
            self.step,
            clock=self.clock,
            metrics=self.metrics,
            key=lambda job: job,
            closed=lambda: self.closed,
            held=lambda job: job in self.held,
            hold=self._hold,
            **settings,
        )

    async def _hold(self, job: int) -> None:
        self.postponed.append(job)


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.jobs.stop()
    scene.step.end()
    assert scene.clock.getDelayedCalls() == []
    assert scene.jobs.running == 0


def test_so_many_run_at_once_and_the_others_in_their_order(scene: Scene) -> None:
    scene.jobs.offer([1, 2, 3, 4])
    assert scene.step.ran == [1, 2]
    assert (scene.jobs.running, scene.jobs.queued) == (2, 1)
    scene.step.end(2)
    assert scene.step.ran == [1, 2, 3]
    assert scene.metrics.jobs_running.child("debit").value == 2


def test_what_does_not_fit_is_given_back(scene: Scene) -> None:
    scene.jobs.offer([1, 2])
    scene.jobs.offer([3, 4, 5, 6, 7])
    assert scene.step.released == [6, 7]
    assert scene.jobs.queued == 3
    assert not scene.jobs.wanted


def test_a_job_that_is_queued_or_running_is_not_taken_twice(scene: Scene) -> None:
    scene.jobs.offer([1, 2, 3])
    scene.jobs.offer([1, 3])
    scene.step.end()
    scene.step.end()
    assert scene.step.ran == [1, 2, 3]
    assert scene.step.released == []
    scene.jobs.offer([1])
    assert scene.step.ran == [1, 2, 3, 1]


def test_thousands_that_end_at_once_do_not_nest() -> None:
    scene = Scene(queue_max=5000)
    scene.step.waits = False
    scene.jobs.offer(list(range(5000)))
    assert scene.step.ran == list(range(5000))
    scene.jobs.stop()


def test_a_job_that_the_store_failed_is_left_for_later(scene: Scene) -> None:
    scene.jobs.offer([1, 2, 3])
    scene.step.trouble = NotApplied("down")
    scene.step.end(1)
    assert scene.jobs.running == 2
    scene.step.trouble = None
    scene.jobs.offer([1])
    scene.step.end()
    assert scene.step.ran == [1, 2, 3, 1]


def test_a_bug_in_a_job_is_reported_and_the_next_one_runs(
    scene: Scene, criticals: Criticals
) -> None:
    scene.jobs.offer([1, 2, 3])
    scene.step.trouble = KeyError("bug")
    scene.step.end(1)
    scene.step.trouble = None
    [reported] = criticals.take()
    assert "run a debit job" in reported
    assert scene.step.ran == [1, 2, 3]
    assert scene.metrics.background_failures.child().value == 1


# --- jobs that are begun together -------------------------------------------------------------


class Together:
    """Begins jobs when it is handed them, and ends them as a test says."""

    def __init__(self) -> None:
        self.handed: list[list[int]] = []
        self._over: Any = None

    def begin(self, jobs: Sequence[int], over: Any) -> None:
        self.handed.append(list(jobs))
        self._over = over

    def end(self, *jobs: int, why: Exception | None = None) -> None:
        for job in jobs:
            self._over(job, None if why is None else Failure(why))


def test_jobs_begin_together_and_those_follow_together_that_have_room_in_one_turn() -> None:
    together = Together()
    scene = Scene(running_max=3, queue_max=10, begin=together.begin)
    scene.jobs.offer([1, 2, 3, 4, 5, 6])
    assert together.handed == [[1, 2, 3]]
    together.end(2, 3)
    assert (scene.jobs.running, scene.jobs.queued) == (1, 3)
    scene.clock.advance(0)
    assert together.handed == [[1, 2, 3], [4, 5]]
    together.end(1, 4, 5)
    scene.clock.advance(0)
    together.end(6)
    scene.clock.advance(0)
    assert together.handed[2:] == [[6]]
    assert (scene.jobs.running, scene.jobs.queued) == (0, 0)
    assert scene.clock.getDelayedCalls() == []


def test_what_one_of_them_failed_with_is_its_own(criticals: Criticals) -> None:
    together = Together()
    scene = Scene(running_max=3, begin=together.begin)
    scene.jobs.offer([1, 2, 3])
    together.end(1, why=NotApplied("away"))
    together.end(2, why=KeyError("bug"))
    [reported] = criticals.take()
    assert "run a debit job" in reported
    assert scene.metrics.background_failures.child().value == 1
    assert scene.jobs.running == 1
    scene.jobs.offer([1])
    scene.clock.advance(0)
    assert together.handed == [[1, 2, 3], [1]]


def test_a_stop_waits_for_all_that_were_begun_together_and_begins_no_more() -> None:
    together = Together()
    scene = Scene(running_max=2, begin=together.begin)
    scene.jobs.offer([1, 2, 3])
    together.end(1)
    stopped: list[None] = []
    scene.jobs.stop().addCallback(stopped.append)
    assert scene.step.released == [3]
    together.end(2)
    assert stopped == [None]
    assert together.handed == [[1, 2]]
    assert scene.clock.getDelayedCalls() == []


# --- looking for overdue work -----------------------------------------------------------------


def test_overdue_work_is_looked_for_at_once_and_then_each_second(scene: Scene) -> None:
    scene.jobs.start()
    assert scene.step.claims == [3]
    scene.step.due = [7]
    scene.clock.advance(0.9)
    assert scene.step.ran == []
    scene.clock.advance(0.1)
    assert scene.step.ran == [7]
    assert scene.metrics.jobs_taken_over.child("debit").value == 1


def test_no_more_is_claimed_than_there_is_room_for(scene: Scene) -> None:
    scene.jobs.offer([1, 2])
    scene.jobs.offer([3, 4, 5])
    scene.jobs.start()
    assert scene.step.claims == []
    scene.step.end(1)
    scene.clock.advance(1)
    assert scene.step.claims == [1]


def test_a_backlog_is_worked_off_without_waiting_for_the_clock(scene: Scene) -> None:
    scene.step.due = list(range(10))
    scene.jobs.start()
    while scene.step.running:
        scene.step.end(min(scene.step.running))
    assert scene.step.ran == list(range(10))


def test_a_database_that_is_away_is_asked_again(scene: Scene) -> None:
    scene.step.trouble = NotApplied("down")
    scene.jobs.start()
    scene.clock.advance(1)
    scene.step.trouble = None
    scene.step.due = [1]
    scene.clock.advance(1)
    assert scene.step.ran == [1]


def test_a_look_that_takes_long_is_not_begun_twice(scene: Scene) -> None:
    scene.step.claiming = claiming = Deferred[None]()
    scene.step.due = [1, 2, 3]
    scene.jobs.start()
    scene.jobs.start()
    scene.clock.advance(5)
    assert scene.step.claims == [3]
    scene.step.claiming = None
    claiming.callback(None)
    assert scene.step.ran == [1, 2]


def test_what_was_claimed_beyond_the_room_is_given_back(scene: Scene) -> None:
    scene.step.claiming = claiming = Deferred[None]()
    scene.step.due = [1, 2, 3]
    scene.jobs.start()
    scene.jobs.offer([11, 12])
    scene.jobs.offer([13, 14, 15])
    scene.step.claiming = None
    claiming.callback(None)
    assert scene.step.released == [1, 2, 3]


# --- the stop button --------------------------------------------------------------------------


def test_while_closed_nothing_is_begun_claimed_or_kept(scene: Scene) -> None:
    scene.jobs.offer([1, 2, 3])
    scene.closed = True
    assert not scene.jobs.wanted
    scene.step.end(1)
    assert scene.step.ran == [1, 2], "what runs comes to its end"
    assert scene.step.released == [3]
    scene.jobs.offer([4])
    scene.jobs.offer([5])
    assert scene.step.released == [3]
    scene.clock.advance(0.1)
    assert scene.step.released == [3, 4, 5], "what comes one by one goes back together"
    scene.jobs.start()
    assert scene.step.claims == []
    scene.closed = False
    scene.step.due = [3]
    scene.clock.advance(1)
    assert scene.step.ran == [1, 2, 3]


def test_a_held_job_is_put_off(scene: Scene) -> None:
    scene.held = {2}
    scene.jobs.offer([1, 2, 3])
    assert scene.step.ran == [1, 3]
    assert scene.postponed == [2]


def test_without_a_way_to_put_off_a_held_job_waits_for_its_lease() -> None:
    scene = Scene()
    jobs: Jobs[int] = Jobs(
        "debit",
        scene.step,
        clock=scene.clock,
        metrics=scene.metrics,
        key=lambda job: job,
        running_max=1,
        queue_max=1,
        held=lambda job: True,
    )
    jobs.offer([1])
    assert scene.step.ran == []
    assert (jobs.running, jobs.queued) == (0, 0)


# --- draining ---------------------------------------------------------------------------------


def test_a_stop_gives_back_what_was_not_begun_and_waits_for_what_was(scene: Scene) -> None:
    scene.jobs.start()
    scene.jobs.offer([1, 2])
    scene.jobs.offer([3, 4])
    stopped: list[None] = []
    scene.jobs.stop().addCallback(stopped.append)
    assert scene.step.released == [3, 4]
    assert scene.step.ran == [1, 2]
    scene.step.end(1)
    assert stopped == []
    scene.step.end(2)
    assert stopped == [None]
    scene.clock.advance(10)
    assert len(scene.step.claims) == 1


def test_a_stopped_worker_takes_nothing_more(scene: Scene) -> None:
    stopped: list[None] = []
    scene.jobs.stop().addCallback(stopped.append)
    assert stopped == [None]
    scene.jobs.offer([1])
    scene.jobs.start()
    assert scene.step.released == [1]
    assert scene.step.ran == []
    assert scene.step.claims == []


def test_what_a_look_finds_after_the_stop_is_given_back(scene: Scene) -> None:
    scene.step.claiming = claiming = Deferred[None]()
    scene.step.due = [1]
    scene.jobs.start()
    stopped: list[None] = []
    scene.jobs.stop().addCallback(stopped.append)
    claiming.callback(None)
    assert scene.step.released == [1]
    assert stopped == [None]


def test_jobs_that_cannot_be_given_back_wait_for_their_lease(scene: Scene) -> None:
    scene.jobs.offer([1, 2, 3])
    scene.step.trouble = NotApplied("down")
    scene.jobs.stop()
    scene.step.trouble = None
    assert scene.step.released == []


# --- ticks ------------------------------------------------------------------------------------


class Work:
    """Counts its rounds; they wait while `waits` is set."""

    def __init__(self) -> None:
        self.rounds = 0
        self.waits: Deferred[None] | None = None
        self.trouble: Exception | None = None

    async def __call__(self) -> None:
        self.rounds += 1
        if self.waits is not None:
            await self.waits
        if self.trouble is not None:
            raise self.trouble


def a_tick(work: Work, *, share_max: float = 1.0) -> tuple[Tick, Clock]:
    clock = Clock()
    tick = Tick("sweep", work, clock=clock, pause_s=1, metrics=Metrics(), share_max=share_max)
    return tick, clock


def test_a_tick_goes_round_until_it_is_stopped() -> None:
    work = Work()
    tick, clock = a_tick(work)
    tick.start()
    clock.pump([0.5, 0.5, 1])
    assert work.rounds == 3
    stopped: list[None] = []
    tick.stop().addCallback(stopped.append)
    assert stopped == [None]
    clock.advance(5)
    assert work.rounds == 3
    assert clock.getDelayedCalls() == []


def test_a_tick_pauses_between_rounds_however_long_they_take() -> None:
    work = Work()
    tick, clock = a_tick(work)
    work.waits = waiting = Deferred[None]()
    tick.start()
    clock.advance(10)
    assert work.rounds == 1
    work.waits = None
    waiting.callback(None)
    clock.advance(0.9)
    assert work.rounds == 1
    clock.advance(0.1)
    assert work.rounds == 2
    tick.stop()


def test_a_tick_may_be_held_to_a_share_of_the_time() -> None:
    work = Work()
    tick, clock = a_tick(work, share_max=0.1)
    work.waits = waiting = Deferred[None]()
    tick.start()
    clock.advance(2)
    work.waits = None
    waiting.callback(None)
    clock.advance(17.9)
    assert work.rounds == 1
    clock.advance(0.1)
    assert work.rounds == 2, "two of twenty seconds"
    clock.advance(1)
    assert work.rounds == 3, "a quick one waits for the pause alone"
    work.waits = waiting = Deferred[None]()
    clock.advance(1)
    clock.advance(100)
    work.trouble = NotApplied("away")
    waiting.callback(None)
    clock.advance(1)
    assert work.rounds == 5, "one in vain says nothing"
    work.trouble = None
    tick.stop()


def test_a_stop_waits_for_the_round_that_runs() -> None:
    work = Work()
    tick, clock = a_tick(work)
    work.waits = waiting = Deferred[None]()
    tick.start()
    stopped: list[None] = []
    tick.stop().addCallback(stopped.append)
    assert stopped == []
    waiting.callback(None)
    assert stopped == [None]
    assert clock.getDelayedCalls() == []


def test_a_tick_that_never_began_is_stopped_at_once() -> None:
    tick, _ = a_tick(Work())
    stopped: list[None] = []
    tick.stop().addCallback(stopped.append)
    assert stopped == [None]


def test_a_round_that_fails_is_followed_by_the_next(criticals: Criticals) -> None:
    work = Work()
    tick, clock = a_tick(work)
    work.trouble = NotApplied("down")
    tick.start()
    work.trouble = KeyError("bug")
    clock.advance(1)
    work.trouble = None
    clock.advance(1)
    assert work.rounds == 3
    assert len(criticals.take()) == 1
    tick.stop()


# --- pace


@pytest.fixture
def paced() -> Iterator[tuple[Scene, FakePace]]:
    pace = FakePace()
    scene = Scene(running_max=5, queue_max=100, pace=pace)
    yield scene, pace
    scene.jobs.stop()
    scene.step.end()
    assert scene.clock.getDelayedCalls() == []


def test_a_pace_sets_lower_limits_as_it_goes(paced: tuple[Scene, FakePace]) -> None:
    scene, pace = paced
    scene.jobs.offer([1, 2, 3])
    scene.jobs.offer([4, 5, 6, 7])
    assert scene.step.ran == [1, 2]
    assert scene.step.released == [6, 7]
    assert not scene.jobs.wanted
    pace.at_once_max, pace.ahead_max = 9, 9
    assert scene.jobs.wanted
    scene.step.end(1)
    assert scene.step.ran == [1, 2, 3, 4, 5]
    assert scene.jobs.running == 4
    assert pace.begins == 5


def test_a_pace_of_so_many_a_second_is_waited_for(paced: tuple[Scene, FakePace]) -> None:
    scene, pace = paced
    pace.at_once_max, pace.ahead_max, pace.tokens = 9, 9, 1
    scene.jobs.offer([1, 2, 3])
    assert scene.step.ran == [1]
    scene.clock.advance(0.4)
    pace.tokens = 1
    scene.clock.advance(0.1)
    assert scene.step.ran == [1, 2]
    pace.tokens = 1
    scene.step.end(1)
    assert scene.step.ran == [1, 2, 3]


def test_as_few_are_claimed_as_the_pace_has_room_for(paced: tuple[Scene, FakePace]) -> None:
    scene, pace = paced
    pace.at_once_max = pace.ahead_max = 1
    scene.step.due = [1, 2, 3, 4]
    scene.jobs.start()
    assert scene.step.claims[0] == 1
    assert scene.step.ran == [1]
    pace.at_once_max = pace.ahead_max = 4
    scene.clock.advance(1)
    assert scene.step.ran == [1, 2, 3, 4]


def test_what_is_to_be_given_back_later_is_given_back_at_a_stop(
    paced: tuple[Scene, FakePace],
) -> None:
    scene, pace = paced
    pace.at_once_max = pace.ahead_max = 0
    scene.jobs.offer([1])
    scene.jobs.offer([2])
    assert scene.step.released == [1]
    scene.jobs.stop()
    assert scene.step.released == [1, 2]


def test_a_job_that_took_its_time_earns_its_lane_nothing() -> None:
    queue = Queue[int](size_max=10, lane_running_max=1, lane_running_earned=5)
    scene = Scene(running_max=10, queue_max=10, queue=queue)
    scene.jobs.offer(range(10))
    assert scene.step.ran == [0]
    scene.step.end(0)
    assert scene.step.ran == [0, 1, 2]
    scene.clock.advance(QUICK_S)
    scene.step.end(1)
    assert scene.step.ran == [0, 1, 2]
    scene.step.end(2)
    assert scene.step.ran == [0, 1, 2, 3]
    scene.jobs.stop()
    scene.step.end()
