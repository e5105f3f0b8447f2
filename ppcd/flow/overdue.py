"""The step for debits that nobody works off: what time has decided about them is carried out.

A billing system may be away for hours, be paused, or be missing from this node's configuration: a
debit that can no longer be begun in time is denied all the same, and a doubt goes to people. Owns
which queues are looked through; refuses to know timers.
"""

from collections.abc import Callable, Collection
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.flow.debit import Debits
from ppcd.flow.ports import LEASE_S
from ppcd.store.debits import billings, claim_overdue
from ppcd.store.lanes import Runner

log = Logger(namespace="ppcd.flow.overdue")

BATCH: Final = 500
#: How often it is said that jobs wait for a billing system that this node does not have.
STRANGER_S: Final = 60.0


class Overdue:
    """Ends debits that are out of time in queues that stand still."""

    def __init__(
        self,
        *,
        lanes: Runner,
        debits: Debits,
        known: Collection[str],
        standing: Callable[[str], bool],
        horizon_s: Callable[[], float],
        clock: IReactorTime,
    ) -> None:
        """`known` are this node's billing systems, of which `standing` says which are not asked."""
        self._lanes = lanes
        self._debits = debits
        self._known = known
        self._standing = standing
        self._horizon_s = horizon_s
        self._clock = clock
        self._told_at: float | None = None

    async def sweep(self) -> None:
        """Look through the queues that stand still."""
        there = await self._lanes.run(billings)
        strangers = [billing for billing in there if billing not in self._known]
        self._tell(strangers)
        for billing in there:
            if billing in strangers or self._standing(billing):
                await self._through(billing)

    async def _through(self, billing: str) -> None:
        while True:
            jobs = await self._lanes.run(
                claim_overdue,
                billing=billing,
                horizon_s=self._horizon_s(),
                limit=BATCH,
                lease_s=LEASE_S,
            )
            await self._debits.give_up(jobs)
            if len(jobs) < BATCH:
                return

    def _tell(self, strangers: list[str]) -> None:
        now = self._clock.seconds()
        if not strangers or (self._told_at is not None and now - self._told_at < STRANGER_S):
            return
        self._told_at = now
        log.error(
            "debits wait for billing {billing}, which this node does not have: add it to the "
            "configuration, unless another node has it",
            billing=", ".join(strangers),
        )
