"""Many ids as the runs of numbers that they were handed out in: thousands cost what a few do.

Refuses to know what an id is for.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import overload


class Runs(Sequence[int]):
    """Ids in the order of their runs, each of which ascends by one."""

    __slots__ = ("ranges",)

    def __init__(self, ranges: Sequence[range]) -> None:
        #: None of them is empty.
        self.ranges = ranges

    @classmethod
    def joined(cls, parts: "Sequence[Runs]") -> "Runs":
        """One after another."""
        return cls(list(chain.from_iterable([part.ranges for part in parts])))

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self.ranges)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> "Runs": ...
    def __getitem__(self, at: int | slice) -> "int | Runs":
        if isinstance(at, slice):
            return self._cut(at)
        left = at + len(self) if at < 0 else at
        for run in self.ranges if left >= 0 else ():
            if left < len(run):
                return run[left]
            left -= len(run)
        raise IndexError(at)

    def _cut(self, at: slice) -> "Runs":
        start, stop, step = at.indices(len(self))
        if step != 1:
            raise ValueError(f"ids are cut in one piece, not by steps of {step}")
        cut: list[range] = []
        begins = 0
        for run in self.ranges:
            part = run[max(start - begins, 0) : max(stop - begins, 0)]
            if part:
                cut.append(part)
            begins += len(run)
        return Runs(cut)

    def index(self, value: int, *_: object) -> int:
        """Where an id stands; ValueError when it is none of these."""
        begins = 0
        for run in self.ranges:
            if value in run:
                return begins + value - run.start
            begins += len(run)
        raise ValueError(f"{value} is none of them")
