"""A bar on standard error for what takes longer than a few seconds, where a terminal shows it."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

AFTER_S: Final = 2.0
EVERY_S: Final = 0.2
_WIDTH: Final = 30


class Progress:
    """How far something is. Says nothing to a log, nor of what is done at once."""

    def __init__(
        self,
        what: str,
        *,
        output: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._output = sys.stderr if output is None else output
        self._clock = clock
        self._shown = ""
        self._next = clock() + AFTER_S if self._output.isatty() else float("inf")

    def at(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much if that is known. Cheap enough for each of a thousand."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + EVERY_S
        if total:
            part = min(1.0, done / total)
            bar = ("#" * round(part * _WIDTH)).ljust(_WIDTH)
            self._show(f"{self._what} [{bar}] {part:4.0%}")
        else:
            self._show(f"{self._what} {done}")

    def begins(self, what: str) -> None:
        """Something else is done now, of which nobody knows how long it takes."""
        self._what = what
        if self._shown:
            self._show(f"{what} …")

    def _show(self, text: str) -> None:
        self._output.write("\r" + text.ljust(len(self._shown)))
        self._output.flush()
        self._shown = text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._shown:
            self._output.write("\r" + " " * len(self._shown) + "\r")
            self._output.flush()
