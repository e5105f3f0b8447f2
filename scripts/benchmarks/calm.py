"""Tails, and what the disk did meanwhile: they say something about the program on a calm disk.

A machine that shares its disk has stalls of others, and no commit is sooner than a bare flush.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.figures import figure, middle, noise

#: A disk whose own p99 is longer is in trouble of its own.
CALM_DISK_MS = 10
TRIES_FOR_CALM = 3


class Tails:
    """The p99 of cells, of those of them in which the disk was calm, and the disk's own."""

    def __init__(self, directory: Path, *, cells: int) -> None:
        """So many `cells` are wanted in which the disk is calm."""
        self._directory = directory
        self._cells = cells
        self._all_ms: list[float] = []
        self._calm_ms: list[float] = []
        self._disk_ms: list[float] = []

    def tries(self) -> Iterator[None]:
        """A turn for each cell to run: until enough were calm, or it is not to be hoped for."""
        for _ in range(self._cells * TRIES_FOR_CALM):
            if len(self._calm_ms) < self._cells:
                yield

    @contextmanager
    def beside_the_disk(self) -> Iterator[list[float]]:
        """Around a cell; its p99 in milliseconds belongs into the list."""
        p99_ms: list[float] = []
        stolen, started = machine.stolen_s(), time.monotonic()
        with machine.Flushes(self._directory) as flushes:
            yield p99_ms
        stolen = (machine.stolen_s() - stolen) / (time.monotonic() - started)
        disk_ms = flushes.p99_ms()
        print(
            f"the disk meanwhile, a flush of 24 KiB: p99 {disk_ms:.1f} ms, "
            f"longest {max(flushes.took_ms):.0f} ms; processors that the host kept: {stolen:.3f}",
            flush=True,
        )
        self._disk_ms.append(disk_ms)
        self._all_ms += p99_ms
        if disk_ms <= CALM_DISK_MS:
            self._calm_ms += p99_ms

    def figures(self, name: str, *, must: float, aim: float | None = None) -> list[dict[str, Any]]:
        """Judged where the disk left the program alone, if it ever did; all cells are shown."""
        calm = self._calm_ms
        if not calm:
            print(f"no cell had a disk with a p99 of {CALM_DISK_MS} ms or less: all are judged")
        return [
            _tail(name, self._all_ms, None if calm else must, None if calm else aim),
            *([_tail(f"{name}_calm_disk", calm, must, aim)] if calm else []),
            figure(f"{name}_calm_cells", len(calm), "cells", better="higher"),
            # What the same disk took for a bare flush at the same time.
            _tail(f"{name}_disk_alone", self._disk_ms, None, None),
        ]


def _tail(name: str, p99_ms: list[float], must: float | None, aim: float | None) -> dict[str, Any]:
    return figure(
        name, middle(p99_ms), "ms", better="lower", must=must, aim=aim, noise=noise(p99_ms)
    )
