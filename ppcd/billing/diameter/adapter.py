"""The adapter for online charging systems: flow's protocol over a few Diameter peers.

Owns one distinction: what was never handed to a connection (`NotSent`) against what was
(`Unknown` unless answered); and which peer is asked. When to try again is flow's to decide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from ppcd.billing.answers import as_refund
from ppcd.billing.diameter.answers import Answers, Reading, balance_suffices
from ppcd.billing.diameter.codes import Action, Step
from ppcd.billing.diameter.exchange import Answered, Ended, Event, Expired, Pace
from ppcd.billing.diameter.octets import Message
from ppcd.billing.diameter.peer import Peer, endpoint_of
from ppcd.billing.diameter.requests import CreditControl, Identity, end_to_end_id, service_of
from ppcd.billing.diameter.settings import DiameterBillingSettings
from ppcd.charge.debit import (
    Abilities,
    DebitAnswer,
    Debited,
    DebitOrder,
    NotSent,
    Order,
    QueryAnswer,
    Reserved,
    Unknown,
)
from ppcd.charge.money import Money
from ppcd.charge.refund import RefundAnswer, RefundOrder, RefundQueryAnswer
from ppcd.charge.reservation import ReleaseAnswer, Released, ReserveAnswer
from ppcd.flow.ports import LateAnswers

log = Logger(namespace="ppcd.billing.diameter")

#: A late answer is recognised for at least this long.
LATE_S_MIN: Final = 600.0
#: Late debits, and attempts that were answered with errors, that are remembered.
REMEMBERED_MAX: Final = 10_000
#: At most one line about the same fault in so many seconds.
ALARM_EVERY_S: Final = 10.0


class _Ask:
    """A request that was handed to a connection."""

    __slots__ = ("action", "order", "reply", "session_id")

    def __init__(self, order: Order, action: Action | Step, session_id: str) -> None:
        self.order = order
        self.action = action
        self.session_id = session_id
        self.reply: Deferred[Message | Unknown] = Deferred()


class DiameterBilling:
    """Debits and refunds over Diameter; fulfils flow's protocol. `start` connects the peers.

    `endpoints` take the place of those that the settings name, in the same order. OSError or
    ValueError when a file for TLS is missing or holds something else.
    """

    def __init__(
        self,
        name: str,
        settings: DiameterBillingSettings,
        *,
        reactor: Any,
        random: Random,
        endpoints: Sequence[IStreamClientEndpoint] | None = None,
    ) -> None:
        self.name: Final = name
        self.abilities: Final[Abilities] = settings.abilities.abilities()
        self.refund_abilities: Final = self.abilities
        self._settings = settings
        self._clock: IReactorTime = reactor
        identity = Identity(host=settings.origin_host, realm=settings.origin_realm)
        self._requests = CreditControl(service_of(settings, identity))
        self._answers = Answers(refusals=settings.refusals, vendor_refusals=settings.vendor_codes())
        pace = Pace(
            answer_s=settings.answer_timeout_s,
            watchdog_s=settings.watchdog_s,
            late_s=max(LATE_S_MIN, 2 * settings.abilities.quiet_period_s),
        )
        if endpoints is None:
            endpoints = [endpoint_of(settings, peer, reactor) for peer in settings.peers.values()]
        self.peers: Final = [
            Peer(
                f"{name}/{peer_name}",
                identity=identity,
                pace=pace,
                host=peer.identity,
                endpoint=endpoint,
                clock=reactor,
                random=random,
                reconnect_s=(settings.reconnect_first_s, settings.reconnect_max_s),
                reopen_watchdogs=settings.reopen_watchdogs,
                in_flight_max=settings.in_flight_max,
                owner=self,
            )
            for (peer_name, peer), endpoint in zip(settings.peers.items(), endpoints, strict=True)
        ]
        self._waiting: deque[tuple[float, Deferred[None]]] = deque()
        self._waiting_timer: IDelayedCall | None = None
        self._late: dict[str, tuple[Money, Debited]] = {}
        self._errors: dict[str, int] = {}
        self._alarmed: dict[str, float] = {}
        self._in_flight = 0
        self._idle: Deferred[None] | None = None
        self._closing = False
        #: Whom a late answer is told.
        self.late: LateAnswers | None = None

    def start(self) -> None:
        """Connect, and keep it so."""
        if not self._closing:
            for peer in self.peers:
                peer.start()

    async def debit(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> DebitAnswer:
        """Asks for the money once; `may_send` is asked in the turn that writes the request."""
        return await self._move(order, Action.DIRECT_DEBITING, may_send)

    async def reserve(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> ReserveAnswer:
        """Opens a session that holds the money; its reference is the host that answered."""
        reading = await self._moved(order, Step.RESERVE, may_send)
        answer = reading.answer
        return Reserved(reading.origin_host) if isinstance(answer, Debited) else answer

    async def capture(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> DebitAnswer:
        """Ends the session: all of the money was used."""
        return await self._move(order, Step.CAPTURE, may_send)

    async def release(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> ReleaseAnswer:
        """Ends the session: nothing was used."""
        reading = await self._moved(order, Step.RELEASE, may_send)
        # Who knows of no session holds nothing in it.
        if reading.no_session or isinstance(reading.answer, Debited):
            return Released()
        return reading.answer

    async def query(self, order: DebitOrder) -> QueryAnswer:
        """Diameter can't be asked what became of a debit; a late answer may have told."""
        return self._done_late(order) or Unknown("a debit over Diameter can't be asked about")

    async def refund(self, order: RefundOrder, *, may_send: Callable[[], bool]) -> RefundAnswer:
        """Gives the money back once; `may_send` is asked in the turn that writes the request."""
        if not self.abilities.reversible:
            return NotSent("this billing can't give money back: abilities.reversible is not set")
        return as_refund(await self._move(order, Action.REFUND_ACCOUNT, may_send))

    async def query_refund(self, order: RefundOrder) -> RefundQueryAnswer:
        """As `query`."""
        late = self._done_late(order)
        return as_refund(late or Unknown("a refund over Diameter can't be asked about"))

    async def balance_suffices(self, order: DebitOrder) -> bool | None:
        """Whether the account has the money now (CHECK_BALANCE); None: not known. No promise."""
        reply = await self._ask(order, Action.CHECK_BALANCE, lambda: True)
        if not isinstance(reply, tuple):
            return None
        session_id, message = reply
        return balance_suffices(message, session_id=session_id)

    async def close(self) -> None:
        """Wait for what is in flight, say goodbye to the peers, and leave."""
        self._closing = True
        self._stop_waiting()
        if self._in_flight and self._idle is None:
            self._idle = Deferred()
        if self._idle is not None:
            await self._idle
        await DeferredList([peer.stop() for peer in self.peers])

    # What the peers report

    def happened(self, peer: Peer, events: list[Event]) -> None:
        for event in events:
            match event:
                case Answered(ask, message, late):
                    if late or ask.reply.called:
                        self._came_late(ask, message)
                    else:
                        ask.reply.callback(message)
                case Expired(ask):
                    _settle(ask, f"no answer in {self._settings.answer_timeout_s:g} s")
                case Ended(why, unanswered):
                    for ask in unanswered:
                        _settle(ask, why)
        self._wake()

    # Asking

    async def _move(
        self, order: Order, action: Action | Step, may_send: Callable[[], bool]
    ) -> DebitAnswer:
        """Asks once that money be moved, whichever way."""
        late = self._done_late(order)
        return late or (await self._moved(order, action, may_send)).answer

    async def _moved(
        self, order: Order, action: Action | Step, may_send: Callable[[], bool]
    ) -> Reading:
        # RFC 6733, 3: T only when something is unanswered, never after an error answer.
        answered = self._errors.pop(order.key, None) == order.attempt - 1
        repeat = order.repeat and not answered
        reading = await self._read(order, action, may_send, repeat=repeat)
        if (reading.is_error or (answered and isinstance(reading.answer, NotSent))) and not repeat:
            _remember(self._errors, order.key, order.attempt)
        if reading.alarm is not None:
            self._alarm(order, reading.alarm)
        return reading

    async def _read(
        self, order: Order, action: Action | Step, may_send: Callable[[], bool], *, repeat: bool
    ) -> Reading:
        busy, tried = None, list[Peer]()
        # One that is too busy has done nothing: RFC 6733, 7.1.3 sends us to the next one.
        while len(tried) < len(self.peers):
            reply = await self._ask(order, action, may_send, repeat=repeat, tried=tried)
            if not isinstance(reply, tuple):
                return busy if busy and isinstance(reply, NotSent) else Reading(reply)
            session_id, message = reply
            reading = self._answers.read(
                message, session_id=session_id, money=order.money, number=_number(action)
            )
            if not isinstance(reading.answer, NotSent):
                return reading
            busy = reading
        assert busy is not None
        return busy

    async def _ask(
        self,
        order: Order,
        action: Action | Step,
        may_send: Callable[[], bool],
        *,
        repeat: bool = False,
        tried: list[Peer] | None = None,
    ) -> tuple[str, Message] | NotSent | Unknown:
        """The answer of a peer that is not among `tried`; it is then."""
        tried = [] if tried is None else tried
        session_id = self._requests.session_id(order, action)
        body = self._requests.body(order, action)
        peer = self._free(tried)
        if peer is None and not tried:
            peer = await self._wait_for_a_peer()
        if self._closing:
            return NotSent("ppcd is stopping")
        if peer is None or peer.driver is None:
            opened = any(peer.is_open for peer in self.peers)
            return NotSent("no peer has room" if opened else "no Diameter peer is open")
        # Nothing may be awaited between this question and the writing.
        if not may_send():
            return NotSent("it may not be sent any more")
        tried.append(peer)
        ask = _Ask(order, action, session_id)
        self._in_flight += 1
        try:
            end_to_end = end_to_end_id(order, action)
            peer.driver.ask(ask, body, end_to_end=end_to_end, repeat=repeat)
            reply = await ask.reply
        finally:
            self._in_flight -= 1
            if self._in_flight == 0 and self._idle is not None:
                idle, self._idle = self._idle, None
                idle.callback(None)
        return reply if isinstance(reply, Unknown) else (session_id, reply)

    def _free(self, tried: Sequence[Peer] = ()) -> Peer | None:
        if self._closing:
            return None
        return next((p for p in self.peers if p.has_room and p not in tried), None)

    # Waiting for a peer

    async def _wait_for_a_peer(self) -> Peer | None:
        """The first peer with room; None when there was none in time."""
        if self._closing:
            return None
        waiting: Deferred[None] = Deferred()
        self._waiting.append((self._clock.seconds() + self._settings.peer_wait_s, waiting))
        self._arm()
        await waiting
        return self._free()

    def _wake(self) -> None:
        while self._waiting and self._free() is not None:
            _, waiting = self._waiting.popleft()
            _release(waiting)
        if not self._waiting:
            self._disarm()

    def _arm(self) -> None:
        if self._waiting_timer is None and self._waiting:
            left_s = max(0.001, self._waiting[0][0] - self._clock.seconds())
            self._waiting_timer = self._clock.callLater(left_s, self._give_up)

    def _disarm(self) -> None:
        if self._waiting_timer is not None:
            self._waiting_timer.cancel()
            self._waiting_timer = None

    def _give_up(self) -> None:
        self._waiting_timer = None
        now = self._clock.seconds()
        while self._waiting and self._waiting[0][0] <= now:
            _, waiting = self._waiting.popleft()
            _release(waiting)
        self._arm()

    def _stop_waiting(self) -> None:
        self._disarm()
        waiting, self._waiting = self._waiting, deque()
        for _, one in waiting:
            _release(one)

    # Late answers and alarms

    def _came_late(self, ask: _Ask, message: Message) -> None:
        if ask.action in (Action.CHECK_BALANCE, Step.RESERVE, Step.RELEASE):
            return  # no money has moved, and it is asked again
        order = ask.order
        reading = self._answers.read(
            message, session_id=ask.session_id, money=order.money, number=_number(ask.action)
        )
        answer = reading.answer
        # Only what was done is kept. A refusal of one attempt says nothing about those after it.
        if isinstance(answer, Debited):
            _remember(self._late, order.key, (order.money, answer))
        log.warn(
            "billing {billing} answered attempt {attempt} at charge {charge} late: {answer}",
            billing=self.name,
            charge=order.charge_id,
            attempt=order.attempt,
            answer=answer,
        )
        if self.late is None:
            return
        if isinstance(order, RefundOrder):
            self.late.refund(self.name, order, as_refund(answer))
        else:
            self.late.debit(self.name, order, answer)

    def _done_late(self, order: Order) -> Debited | None:
        money, answer = self._late.get(order.key, (None, None))
        return answer if money == order.money else None

    def _alarm(self, order: Order, what: str) -> None:
        now, last = self._clock.seconds(), self._alarmed.get(what)
        if last is not None and now - last < ALARM_EVERY_S:
            return
        _remember(self._alarmed, what, now)
        log.error(
            "billing {billing} answered charge {charge} with what its settings or ours must be "
            "mended for: {what}",
            billing=self.name,
            charge=order.charge_id,
            what=what,
        )


def _number(action: Action | Step) -> int:
    return action.number if isinstance(action, Step) else 0


def _settle(ask: _Ask, why: str) -> None:
    _release(ask.reply, Unknown(why))


def _release(waiting: Deferred[Any], result: object = None) -> None:
    """Let go on whoever waits; who was cancelled meanwhile does not."""
    if not waiting.called:
        waiting.callback(result)


def _remember(memory: dict[str, Any], key: str, value: object) -> None:
    """As the newest; the oldest is forgotten where there are too many."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > REMEMBERED_MAX:
        del memory[next(iter(memory))]
