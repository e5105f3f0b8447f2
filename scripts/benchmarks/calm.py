"""Tails, and what the machine did meanwhile: they say something about the program on a calm one.

A machine that shares its disk has stalls of others, and no commit is sooner than a bare flush. One
that shares its processors is stopped now and then, and no answer is written while it stands.
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
#: Of all its processors together, what a virtual machine's host may keep for others.
CALM_KEPT = 0.05
TRIES_FOR_CALM = 3


class Tails:
    """The p99 of cells, of those of them in which the machine was calm, and its disk's own."""

    def __init__(self, directory: Path, *, cells: int) -> None:
        """So many `cells` are wanted in which the machine is calm."""
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
    def beside_the_machine(self) -> Iterator[list[float]]:
        """Around a cell; its p99 in milliseconds belongs into the list."""
        p99_ms: list[float] = []
        kept, started = machine.stolen_s(), time.monotonic()
        with machine.Flushes(self._directory) as flushes:
            yield p99_ms
        kept = (machine.stolen_s() - kept) / (time.monotonic() - started)
        disk_ms = flushes.p99_ms()
        print(
            f"the disk meanwhile, a flush of 24 KiB: p99 {disk_ms:.1f} ms, "
            f"longest {max(flushes.took_ms):.0f} ms; processors that the host kept: {kept:.3f}",
            flush=True,
        )
        self._disk_ms.append(disk_ms)
        self._all_ms += p99_ms
        if disk_ms <= CALM_DISK_MS and kept <= CALM_KEPT:
            self._calm_ms += p99_ms

    def figures(self, name: str, *, must: float, aim: float | None = None) -> list[dict[str, Any]]:
        """Judged where the machine left the program alone, if it ever did; all cells are shown."""
        calm = self._calm_ms
        if not calm:
            print(
                f"no cell had a disk with a p99 of {CALM_DISK_MS} ms or less and a host that kept "
                f"at most {CALM_KEPT} processors: all are judged"
            )
        return [
            _tail(name, self._all_ms, None if calm else must, None if calm else aim),
            *([_tail(f"{name}_calm", calm, must, aim)] if calm else []),
            figure(f"{name}_calm_cells", len(calm), "cells", better="higher"),
            # What the same disk took for a bare flush at the same time.
            _tail(f"{name}_disk_alone", self._disk_ms, None, None),
        ]


def _tail(name: str, p99_ms: list[float], must: float | None, aim: float | None) -> dict[str, Any]:
    return figure(
        name, middle(p99_ms), "ms", better="lower", must=must, aim=aim, noise=noise(p99_ms)
    )
