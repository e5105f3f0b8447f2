"""How late the reactor runs: the first sign of work that blocks it."""

from __future__ import annotations

from typing import Any, Final

from ppcd.metrics import HistogramCell

__all__ = ["LagMeter"]

INTERVAL_S: Final = 0.5


class LagMeter:
    """Sets a timer over and over, and observes how much later than asked it fires."""

    def __init__(
        self, cell: HistogramCell, *, reactor: Any, interval_s: float = INTERVAL_S
    ) -> None:
        self._cell = cell
        self._reactor = reactor
        self._interval_s = interval_s
        self._timer: Any = None
        #: The worst lag since somebody last asked, for the status line.
        self.worst_s = 0.0

    def start(self) -> None:
        if self._timer is None:
            self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take_worst(self) -> float:
        """The worst lag since the last call."""
        worst, self.worst_s = self.worst_s, 0.0
        return worst

    def _arm(self) -> None:
        due = self._reactor.seconds() + self._interval_s
        self._timer = self._reactor.callLater(self._interval_s, self._fired, due)

    def _fired(self, due: float) -> None:
        lag = max(0.0, self._reactor.seconds() - due)
        self._cell.observe(lag)
        self.worst_s = max(self.worst_s, lag)
        self._arm()
