"""How long to wait before the next attempt at a bind. Knows no transport and no clock."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from ppcd.smpp.settings import BackoffSettings
from ppcd.smpp.status import Status


class Failure(Enum):
    """What went wrong, as far as waiting is concerned."""

    UNREACHABLE = "unreachable"  # TCP, TLS, no bind_resp, lost soon after, RALYBND
    REFUSED = "refused"  # name or password: somebody must act
    LOST = "lost"  # a bind that had stood for long


#: Bind statuses that no repetition mends. RALYBND is not one: the old session is timing out.
REFUSALS: Final = frozenset[int](
    {
        Status.ESME_RBINDFAIL,
        Status.ESME_RINVPASWD,
        Status.ESME_RINVSYSID,
        Status.ESME_RINVSYSTYP,
    }
)


class Backoff:
    """Doubling with jitter, up to a cap; slower when the SMSC knows us and does not want us."""

    __slots__ = ("_kind", "_random", "_row", "_settings", "failures")

    def __init__(self, settings: BackoffSettings, random: Callable[[], float]) -> None:
        self._settings = settings
        self._random = random
        #: Attempts that failed since the last good bind, of whatever kind.
        self.failures = 0
        self._kind: Failure | None = None
        self._row = 0

    def wait_s(self, failure: Failure) -> float:
        """Seconds to wait after this failure, which is counted."""
        if failure is Failure.LOST:
            self.failures = 0
        # Each kind has its own row: one refusal after a long outage is a first refusal.
        self._row = self._row + 1 if failure is self._kind else 0
        self._kind = Failure.UNREACHABLE if failure is Failure.LOST else failure
        settings = self._settings
        first_s, max_s = settings.first_s, settings.max_s
        if failure is Failure.REFUSED:
            first_s, max_s = settings.refused_first_s, settings.refused_max_s
        wait_s = min(max_s, first_s * 2.0 ** min(self._row, 30))
        self.failures += 1
        # The upper half only: never at once, and never all nodes together.
        return wait_s * (0.5 + 0.5 * self._random())
