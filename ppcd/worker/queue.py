"""Who of those that wait is next: lanes take turns, and none has more than its share.

Owns the order of jobs in memory. A lane is whom a job is for: one that is slow, or has much to do,
fills its own lane and nobody else's. Refuses to know jobs, time and the database.
"""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

J = TypeVar("J")


class Queue(Generic[J]):
    """Jobs that wait, and how many of each lane are running."""

    def __init__(
        self,
        *,
        size_max: int,
        lane: Callable[[J], Hashable] = lambda job: None,
        lane_running_max: int | None = None,
        lane_running_earned: int = 0,
        lane_size_max: int | None = None,
    ) -> None:
        """Without `lane` all jobs are in one, which has the whole room.

        A lane's share grows by one with each quick job, up to `lane_running_earned` more than
        `lane_running_max`; with the first slow one it is back where it began.
        """
        self._size_max = size_max
        self._lane = lane
        self._lane_running_max = lane_running_max
        self._lane_running_earned = lane_running_earned
        #: By how much the shares of quick lanes have grown.
        self._earned: dict[Hashable, int] = {}
        self._lane_size_max = size_max if lane_size_max is None else lane_size_max
        self._waiting: dict[Hashable, deque[J]] = {}
        #: Lanes with a job that may be begun, in the order of their turns.
        self._turns: deque[Hashable] = deque()
        self._running: dict[Hashable, int] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def room(self) -> int:
        """How many more there is room for in all."""
        return self._size_max - self._size

    def crowded(self) -> list[Hashable]:
        """Lanes that need no more for now: half of their room is taken."""
        half = self._lane_size_max // 2
        return [lane for lane, jobs in self._waiting.items() if len(jobs) >= half]

    def put(self, job: J) -> bool:
        """Let a job wait; False when there is no room for it."""
        lane = self._lane(job)
        jobs = self._waiting.get(lane)
        if self._size >= self._size_max or (jobs and len(jobs) >= self._lane_size_max):
            return False
        if jobs is None:
            jobs = self._waiting[lane] = deque()
        jobs.append(job)
        self._size += 1
        if len(jobs) == 1 and self._may_run(lane):
            self._turns.append(lane)
        return True

    def take(self) -> J | None:
        """The next job, now running; None when no lane may begin one."""
        while self._turns:
            lane = self._turns.popleft()
            if self._may_run(lane):  # its share may have shrunk since
                return self._take_of(lane)
        return None

    def _take_of(self, lane: Hashable) -> J:
        jobs = self._waiting[lane]
        job = jobs.popleft()
        self._size -= 1
        if self._lane_running_max is not None:
            self._running[lane] = self._running.get(lane, 0) + 1
        if not jobs:
            del self._waiting[lane]
        elif self._may_run(lane):
            self._turns.append(lane)
        return job

    def done(self, job: J, *, quick: bool = False) -> None:
        """A job that was taken runs no more."""
        if self._lane_running_max is None:
            return  # nobody asks how many run
        lane = self._lane(job)
        was_full = not self._may_run(lane)
        self._running[lane] -= 1
        if not self._running[lane]:
            del self._running[lane]
        if self._lane_running_earned:
            self._judge(lane, quick=quick)
        if was_full and lane in self._waiting and self._may_run(lane):
            self._turns.append(lane)

    def _judge(self, lane: Hashable, *, quick: bool) -> None:
        if not quick:
            self._earned.pop(lane, None)
        elif (earned := self._earned.get(lane, 0)) < self._lane_running_earned:
            self._earned[lane] = earned + 1

    def empty(self) -> list[J]:
        """Take out all that wait."""
        left = [job for jobs in self._waiting.values() for job in jobs]
        self._waiting.clear()
        self._turns.clear()
        self._size = 0
        return left

    def _may_run(self, lane: Hashable) -> bool:
        most = self._lane_running_max
        if most is None:
            return True
        return self._running.get(lane, 0) < most + self._earned.get(lane, 0)
