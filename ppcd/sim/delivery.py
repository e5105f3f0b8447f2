"""What the SMSC has for its ESMEs: phones' answers and receipts, brought until acknowledged.

Owns order, retries and giving up, and writes each step into the journal before it is taken. Knows
peers by `receives`, `room` and `send`; knows no phones and no HTTP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ppcd.sim.journal import Journal
from ppcd.smpp import Accepted, NotSent, Pdu, Peer, Refused, Status, SubmitAnswer, Unknown

LOOK_AGAIN_S: Final = 0.2
#: Statuses after which real SMSCs bring a message again; any other one ends it.
RETRIED: Final = frozenset[int](
    {
        Status.ESME_RSYSERR,
        Status.ESME_RMSGQFUL,
        Status.ESME_RSUBMITFAIL,
        Status.ESME_RTHROTTLED,
        Status.ESME_RQUERYFAIL,
        Status.ESME_RDELIVERYFAILURE,
        Status.ESME_RUNKNOWNERR,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """Seconds."""

    first_s: float = 1.0
    max_s: float = 30.0
    #: A day: what phones answered is not thrown away because a node is down over night.
    give_up_s: float = 86_400.0


@dataclass(slots=True)
class Item:
    """One deliver_sm to bring; `what` is `mo` or `receipt` and begins its journal entries."""

    what: str
    key: str
    pdu: Pdu
    since: float
    attempt: int = 0
    why: str = ""
    #: Not a second copy of an acknowledged one.
    first: bool = True


class Delivery:
    """The queue. `peers` gives the connections as they are, `acknowledged` hears of each end."""

    def __init__(
        self,
        clock: IReactorTime,
        journal: Journal,
        options: RetryOptions,
        *,
        peers: Callable[[], Iterable[Peer]],
        acknowledged: Callable[[Item, int], None],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._options = options
        self._peers = peers
        self._acknowledged = acknowledged
        self._ready: deque[Item] = deque()
        self._later: list[tuple[float, int, Item]] = []  # a heap by time
        self._count = 0
        self._turn = 0
        self._timer: IDelayedCall | None = None
        self._pumping = False
        self._stopped = False

    def give(self, item: Item) -> None:
        """Bring this one; its `given` entry has been written."""
        self._ready.append(item)
        self.pump()

    def pump(self) -> None:
        """Bring what is due to whoever has room, oldest first."""
        if self._pumping or self._stopped:
            return
        self._pumping = True
        try:
            while self._ready:
                item = self._ready[0]
                if self._clock.seconds() - item.since >= self._options.give_up_s:
                    self._ready.popleft()
                    self._journal.write(f"{item.what}_given_up", id=item.key, why="too old")
                    continue
                peer = self._peer()
                if peer is None:
                    break
                self._ready.popleft()
                self._send(peer, item)
        finally:
            self._pumping = False
        self._arm()

    def stop(self) -> None:
        """Bring nothing more; what waits is in the journal."""
        self._stopped = True
        self._disarm()

    def _peer(self) -> Peer | None:
        """The next receiver with room, in turn."""
        peers = [peer for peer in self._peers() if peer.room > 0]
        if not peers:
            return None
        self._turn += 1
        return peers[self._turn % len(peers)]

    def _send(self, peer: Peer, item: Item) -> None:
        item.attempt += 1
        entry = "sent" if item.attempt == 1 else "redelivered"
        self._journal.write(
            f"{item.what}_{entry}",
            id=item.key,
            attempt=item.attempt,
            link=peer.number,
            why=item.why,
        )
        peer.send(item.pdu).addCallback(self._ended, item)

    def _ended(self, answer: SubmitAnswer, item: Item) -> None:
        if self._stopped:
            return
        match answer:
            case Accepted():
                self._acked(item, Status.ESME_ROK)
            case Refused(status) if status in RETRIED:
                self._journal.write(f"{item.what}_acked", id=item.key, status=status)
                self._again(item, f"status {status:#x}")
            case Refused(status):
                self._acked(item, status)
            case Unknown(reason) | NotSent(reason):
                self._again(item, reason)
        self.pump()

    def _acked(self, item: Item, status: int) -> None:
        self._journal.write(f"{item.what}_acked", id=item.key, status=status)
        self._acknowledged(item, status)

    def _again(self, item: Item, why: str) -> None:
        options = self._options
        wait_s = min(options.max_s, options.first_s * 2.0 ** min(item.attempt - 1, 20))
        item.why = why
        self._count += 1
        heappush(self._later, (self._clock.seconds() + wait_s, self._count, item))

    def _arm(self) -> None:
        self._disarm()
        now = self._clock.seconds()
        times = [self._later[0][0]] if self._later else []
        if self._ready and any(peer.receives for peer in self._peers()):
            # Somebody is there and has no room, perhaps for having asked for less: look again.
            times.append(now + LOOK_AGAIN_S)
        if times and not self._stopped:
            self._timer = self._clock.callLater(max(0.0, min(times) - now), self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        due: list[Item] = []
        while self._later and self._later[0][0] <= now:
            due.append(heappop(self._later)[2])
        self._ready.extendleft(reversed(due))  # they are older than what waits for its first time
        self.pump()
