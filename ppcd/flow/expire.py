"""The step that time takes: charges that nobody answered end, and old holds are forgotten.

Owns how much is done in one go. Refuses to know timers: the worker calls.
"""

from typing import Final

from ppcd.flow.ends import hand_on
from ppcd.flow.ports import LEASE_S, Offers
from ppcd.metrics import Metrics
from ppcd.store import expiry
from ppcd.store.lanes import Runner

BATCH: Final = 500


class Expiry:
    """Ends what has run out of time."""

    def __init__(self, *, lanes: Runner, offers: Offers, metrics: Metrics) -> None:
        self._lanes = lanes
        self._offers = offers
        self._metrics = metrics

    async def sweep(self) -> None:
        """End every charge whose time is over, batch by batch."""
        while True:
            ended = await self._lanes.run(expiry.expire, limit=BATCH, lease_s=LEASE_S)
            hand_on(ended, self._offers, self._metrics)
            if len(ended) < BATCH:
                return

    async def free_holds(self) -> None:
        """Forget the holds that have been free for long."""
        while await self._lanes.run(expiry.free_holds, limit=BATCH) == BATCH:
            pass
