"""Readers that wait for a charge's end: one query a node and interval, however many they are."""

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ppcd.flow.background import background
from ppcd.metrics import Metrics
from ppcd.store import charges
from ppcd.store.lanes import Runner, StoreError

LOOK_S: Final = 0.25
#: More readers than this get their answer at once.
WAITING_MAX: Final = 20_000


class Ends:
    """Wakes the readers of charges that have ended."""

    def __init__(self, *, lanes: Runner, clock: IReactorTime, metrics: Metrics) -> None:
        self._lanes = lanes
        self._clock = clock
        self._metrics = metrics
        self._readers: dict[int, list[Deferred[None]]] = {}
        self._count = 0
        self._looking = False

    async def wait(self, charge_id: int, wait_s: float) -> None:
        """Wait for a charge's end, at most so long."""
        if self._count >= WAITING_MAX:
            return
        reader: Deferred[None] = Deferred()
        self._readers.setdefault(charge_id, []).append(reader)
        self._count += 1
        timer = self._clock.callLater(wait_s, reader.callback, None)
        if not self._looking:
            self._looking = True
            self._clock.callLater(LOOK_S, self._look)
        try:
            await reader
        finally:
            self._count -= 1
            if timer.active():
                timer.cancel()
            readers = self._readers.get(charge_id, [])
            if reader in readers:
                readers.remove(reader)
            if not readers:
                self._readers.pop(charge_id, None)

    def _look(self) -> None:
        background("look for ends that readers wait for", self._wake(), self._metrics)

    async def _wake(self) -> None:
        try:
            ended = await self._lanes.run(charges.settled, list(self._readers))
        except StoreError:
            ended = set()  # asked about again in a moment
        for charge_id in ended:
            for reader in self._readers.pop(charge_id, []):
                reader.callback(None)
        self._looking = bool(self._readers)
        if self._looking:
            self._clock.callLater(LOOK_S, self._look)
