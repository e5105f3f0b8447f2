"""Pages that wait: one query a node and interval, however many pages are open.

Owns who is woken when a charge's state changes. Refuses to know what the page then shows.
"""

from collections.abc import Mapping
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ppcd.flow.background import background
from ppcd.metrics import Metrics
from ppcd.store import checkout as store
from ppcd.store.lanes import Runner, StoreError

LOOK_S: Final = 0.25
#: More pages than this are told to ask again later.
WAITING_MAX: Final = 20_000


class Live:
    """The open pages of a node, by charge."""

    def __init__(self, *, lanes: Runner, clock: IReactorTime, metrics: Metrics) -> None:
        self._lanes = lanes
        self._clock = clock
        self._metrics = metrics
        self._pages: dict[int, dict[Deferred[bool], str]] = {}
        self._looking = False
        self._stopped = False
        self.count = 0

    @property
    def full(self) -> bool:
        """Whether another page had better ask again instead of waiting."""
        return self._stopped or self.count >= WAITING_MAX

    async def changed(self, charge_id: int, *, known: str, wait_s: float) -> bool:
        """Wait until the charge is in another state than `known`; False when it took too long."""
        if self._stopped:
            return False
        page: Deferred[bool] = Deferred()
        pages = self._pages.setdefault(charge_id, {})
        pages[page] = known
        self.count += 1
        timer = self._clock.callLater(wait_s, self._wake, charge_id, page, changed=False)
        if not self._looking:
            self._looking = True
            self._clock.callLater(LOOK_S, self._look)
        try:
            return await page
        finally:
            self.count -= 1
            if timer.active():
                timer.cancel()
            self._forget(charge_id, page)

    def stop(self) -> None:
        """Send all pages away: they come back to another node, or to this one when it is up."""
        self._stopped = True
        for charge_id, pages in list(self._pages.items()):
            for page in list(pages):
                self._wake(charge_id, page, changed=False)

    def _forget(self, charge_id: int, page: "Deferred[bool]") -> None:
        pages = self._pages.get(charge_id, {})
        pages.pop(page, None)
        if not pages:
            self._pages.pop(charge_id, None)

    def _wake(self, charge_id: int, page: "Deferred[bool]", *, changed: bool) -> None:
        self._forget(charge_id, page)
        page.callback(changed)

    def _look(self) -> None:
        background("look for changes that pages wait for", self._look_once(), self._metrics)

    async def _look_once(self) -> None:
        try:
            self._wake_changed(await self._lanes.run(store.states, list(self._pages)))
        except StoreError:
            pass  # asked about again in a moment
        finally:
            # Whatever happened: pages that nobody looks after would wait for ever.
            self._looking = bool(self._pages) and not self._stopped
            if self._looking:
                self._clock.callLater(LOOK_S, self._look)

    def _wake_changed(self, states: Mapping[int, str]) -> None:
        for charge_id, state in states.items():
            for page, known in list(self._pages.get(charge_id, {}).items()):
                if state != known:
                    self._wake(charge_id, page, changed=True)
