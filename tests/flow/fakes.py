"""Stand-ins for what the steps meet outside: SMSC, billing, partners. Scripted, and they remember.

The billing system is held to the contract of adapters (`test_fakes`), so that what it does here is
what a real one does.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import Deferred

from ppcd.billing.answers import as_refund
from ppcd.charge.debit import (
    Abilities,
    DebitAnswer,
    Debited,
    DebitOrder,
    DenialReason,
    Denied,
    NotFound,
    NotSent,
    Order,
    QueryAnswer,
    Reserved,
    Unknown,
)
from ppcd.charge.money import Money
from ppcd.charge.refund import RefundAnswer, RefundOrder, RefundQueryAnswer
from ppcd.charge.reservation import ReleaseAnswer, Released, ReserveAnswer
from ppcd.flow.ports import (
    Delivered,
    Event,
    Gone,
    LateAnswers,
    SendResult,
    Sent,
    Sms,
    TryLater,
)
from ppcd.store.rows import DebitJob, PromptJob, PromptKey, RefundJob, WebhookKey
from tests.billing.adapter_contract import Fault

ABLE = Abilities(idempotent=True, queryable=True, stores_refusals=True, quiet_period_s=60)
IDEMPOTENT = Abilities(idempotent=True, quiet_period_s=60)
QUERYABLE = Abilities(queryable=True, quiet_period_s=60)
UNABLE = Abilities(quiet_period_s=60)
RESERVING = replace(ABLE, reserving=True)

REFUSALS = {
    Fault.INSUFFICIENT: Denied(DenialReason.INSUFFICIENT_FUNDS, "4012"),
    Fault.BARRED: Denied(DenialReason.SERVICE_DENIED, "4010"),
    Fault.NO_SUCH_SUBSCRIBER: Denied(DenialReason.USER_UNKNOWN, "5030"),
    Fault.OVER_LIMIT: Denied(DenialReason.LIMIT_EXCEEDED, "4241"),
    Fault.REJECTED: Denied(DenialReason.BILLING_REJECTED, "rejected"),
}
DEBITS_FIRST = {Fault.LOST_ANSWER, Fault.ERROR_AFTER_DEBIT, Fault.GARBAGE, Fault.RESET}
NOTHING_COMES_BACK = {Fault.LOST_REQUEST, Fault.ERROR_BEFORE_DEBIT}


class Stopped(Exception):
    """The node's process ends here."""


class Billing:
    """A billing system with a journal. `faults` are what the next debits meet, in order."""

    def __init__(self, abilities: Abilities) -> None:
        self.abilities = abilities
        self.faults: deque[Fault] = deque()
        self.down = False
        #: Each time that money was taken: key, MSISDN, minor units, currency.
        self.journal: list[tuple[str, str, int, str]] = []
        #: The same of money that was given back.
        self.given_back: list[tuple[str, str, int, str]] = []
        self.asked: list[Order] = []
        self.queried: list[Order] = []
        self._kept: dict[str, tuple[Money, Debited | Denied]] = {}
        #: What is held now, by key.
        self.held: dict[str, Money] = {}
        #: What the first reserve of a key was answered, and is again where keys are remembered.
        self._reserves: dict[str, Reserved | Denied | Unknown] = {}
        self._zombies: list[tuple[Order, Callable[[Order, Fault], Any]]] = []

    def move(self, order: Order, act: Callable[[Order, Fault], Any] | None = None) -> Any:
        """What is answered to a debit or a refund, for both it is said as of a debit; or to the
        other acts below.
        """
        act = act or self._take
        if self.down:
            return NotSent("connection refused")
        self.asked.append(order)
        fault = self.faults.popleft() if self.faults else Fault.NONE
        if fault is Fault.BUSY:
            return NotSent("503", retry_after_s=7)
        if fault in NOTHING_COMES_BACK:
            return Unknown("no answer")
        if fault is Fault.ZOMBIE:
            self._zombies.append((order, act))
            return Unknown("no answer")
        answer = act(order, fault)
        return Unknown("no answer") if fault in DEBITS_FIRST else answer

    def query(self, order: Order) -> QueryAnswer:
        if self.down:
            return NotSent("connection refused")
        self.queried.append(order)
        if not self.abilities.queryable:
            return Unknown("it cannot be asked")
        if order.key in self._kept:
            return self._kept[order.key][1]
        return Reserved(f"hold-{order.key}") if order.key in self.held else NotFound()

    def rise(self) -> None:
        """Requests that everybody has given up take effect."""
        zombies, self._zombies = self._zombies, []
        for order, act in zombies:
            act(order, Fault.NONE)

    def hold(self, order: Order, fault: Fault) -> ReserveAnswer:
        if self.abilities.idempotent and order.key in self._reserves:
            return self._reserves[order.key]
        refused = REFUSALS.get(fault)
        if refused is not None:
            if self.abilities.stores_refusals:
                self._reserves[order.key] = refused
            return refused
        self.held[order.key] = order.money
        self._reserves[order.key] = reserved = Reserved(f"hold-{order.key}")
        return reserved

    def capture(self, order: Order, fault: Fault) -> DebitAnswer:
        if order.key in self._kept:
            return self._kept[order.key][1]
        if order.key not in self.held or fault in REFUSALS:
            self.held.pop(order.key, None)
            refused = REFUSALS.get(fault, Denied(DenialReason.BILLING_REJECTED, "nothing held"))
            self._kept[order.key] = order.money, refused
            return refused
        assert self.held.pop(order.key) == order.money
        return self._take(order, fault)

    def let_go(self, order: Order, fault: Fault) -> Released | Denied:
        if fault in REFUSALS:
            return REFUSALS[fault]
        if self.held.pop(order.key, None) is not None:
            self._reserves[order.key] = Unknown("it was let go")
        return Released()

    def of(self, key: str) -> list[tuple[str, int, str]]:
        return [entry[1:] for entry in self.journal if entry[0] == key]

    def _take(self, order: Order, fault: Fault) -> DebitAnswer:
        if self.abilities.idempotent and order.key in self._kept:
            money, kept = self._kept[order.key]
            return kept if money == order.money else Unknown("another amount under this key")
        refused = REFUSALS.get(fault)
        if refused is not None:
            if self.abilities.stores_refusals:
                self._kept[order.key] = order.money, refused
            return refused
        money = order.money
        journal = self.given_back if isinstance(order, RefundOrder) else self.journal
        journal.append((order.key, order.msisdn.digits, money.amount_minor, money.currency))
        debited = Debited(f"ocs-{order.key}-{len(journal)}")
        self._kept[order.key] = money, debited
        return debited


class FakeAdapter:
    """Fulfils flow's `Adapter` with a `Billing`. With `gate`, answers wait for it."""

    def __init__(self, billing: Billing, name: str = "sim") -> None:
        self.name = name
        self.billing = billing
        self.reversible = True
        self.gate: Deferred[None] | None = None
        self.late: LateAnswers | None = None
        #: Before an answer leaves, this is called with it: it may raise.
        self.on_answer: Callable[[QueryAnswer | RefundAnswer], None] = lambda answer: None

    @property
    def abilities(self) -> Abilities:
        return self.billing.abilities

    async def debit(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> DebitAnswer:
        if not may_send():
            return NotSent("too late to send")
        answer = self.billing.move(order)
        await self._leave(answer)
        return answer

    async def query(self, order: DebitOrder) -> QueryAnswer:
        answer = self.billing.query(order)
        await self._leave(answer)
        return answer

    async def reserve(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> ReserveAnswer:
        return await self._step(order, self.billing.hold, may_send)

    async def capture(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> DebitAnswer:
        return await self._step(order, self.billing.capture, may_send)

    async def release(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> ReleaseAnswer:
        return await self._step(order, self.billing.let_go, may_send)

    async def _step(self, order: DebitOrder, act: Any, may_send: Callable[[], bool]) -> Any:
        if not may_send():
            return NotSent("too late to send")
        answer = self.billing.move(order, act)
        await self._leave(answer)
        return answer

    @property
    def refund_abilities(self) -> Abilities:
        return replace(self.billing.abilities, reversible=self.reversible)

    async def refund(self, order: RefundOrder, *, may_send: Callable[[], bool]) -> RefundAnswer:
        if not may_send():
            return NotSent("too late to send")
        answer = as_refund(self.billing.move(order))
        await self._leave(answer)
        return answer

    async def query_refund(self, order: RefundOrder) -> RefundQueryAnswer:
        answer = self.billing.query(order)
        await self._leave(answer)
        return answer if isinstance(answer, NotFound) else as_refund(answer)

    async def close(self) -> None:
        pass

    async def _leave(self, answer: QueryAnswer | RefundAnswer) -> None:
        if self.gate is not None:
            await self.gate
        self.on_answer(answer)


class FakeCarrier:
    """Fulfils flow's `Carrier`. `answers` are the next results; then all is accepted."""

    def __init__(self) -> None:
        self.sent: list[Sms] = []
        self.answers: deque[SendResult] = deque()
        self.on_send: Callable[[Sms], None] = lambda sms: None

    def segments(self, text: str) -> int:
        return 1

    def send(self, sms: Sms, told: Callable[[Sent], None]) -> None:
        told(self._sent(sms))

    def flush(self) -> None:
        pass

    def _sent(self, sms: Sms) -> Sent:
        self.on_send(sms)
        result = self.answers.popleft() if self.answers else SendResult.ACCEPTED
        if result is SendResult.NOT_SENT:
            return Sent(result, "", "no link")
        self.sent.append(sms)
        segment: tuple[int | None, str | None] = {
            SendResult.ACCEPTED: (0, f"id-{sms.reference}-{len(self.sent)}"),
            SendResult.UNKNOWN: (None, None),
        }.get(result, (88, None))
        return Sent(result, "acme", result.value, (segment,))


class FakeNotifier:
    """Fulfils flow's `Notifier`. `answers` come first; then all is delivered."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.answers: deque[Delivered | TryLater | Gone] = deque()
        self.on_event: Callable[[Event], None] = lambda event: None

    async def deliver(self, event: Event) -> Delivered | TryLater | Gone:
        self.events.append(event)
        self.on_event(event)
        return self.answers.popleft() if self.answers else Delivered(200)


@dataclass
class FakeOffers:
    """Fulfils flow's `Offers`: remembers what is offered until somebody runs it."""

    prompted: deque[PromptJob | PromptKey] = field(default_factory=deque)
    debited: deque[DebitJob] = field(default_factory=deque)
    refunded: deque[RefundJob] = field(default_factory=deque)
    notified: deque[WebhookKey] = field(default_factory=deque)
    wanted: bool = True

    def wants_prompts(self) -> bool:
        return self.wanted

    def wants_debits(self) -> bool:
        return self.wanted

    def prompts(self, jobs: Sequence[PromptJob | PromptKey]) -> None:
        self.prompted.extend(jobs)

    def debits(self, jobs: Sequence[DebitJob]) -> None:
        self.debited.extend(jobs)

    def refunds(self, jobs: Sequence[RefundJob]) -> None:
        self.refunded.extend(jobs)

    def webhooks(self, keys: Sequence[WebhookKey]) -> None:
        self.notified.extend(keys)

    def clear(self) -> None:
        for queue in (self.prompted, self.debited, self.refunded, self.notified):
            queue.clear()
