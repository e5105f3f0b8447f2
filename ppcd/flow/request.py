"""The step that begins and ends with the partner: create, look up, wait, cancel.

Owns which route serves a number and what a request may ask for. Refuses to know HTTP and the
partners' wire format.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from ppcd.charge.codes import make_code, make_pin
from ppcd.charge.money import Money, to_major_number
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import State
from ppcd.charge.texts import LANGUAGES, one_line
from ppcd.flow.answers import (
    AlreadyCancelled,
    AlreadyConfirmed,
    AlreadyEnded,
    Busy,
    CancelAnswer,
    Cancelled,
    CannotReserve,
    CorrelatorTaken,
    CreateAnswer,
    Created,
    NoFreeAddress,
    NotFound,
    NotServed,
    ReferenceTaken,
    Replayed,
)
from ppcd.flow.document import document_text
from ppcd.flow.ends import hand_on
from ppcd.flow.keys import Keys, Partner, partner_of
from ppcd.flow.ports import LEASE_S, Ids, Offers
from ppcd.flow.view import ChargeView, view_of
from ppcd.flow.waiting import Ends
from ppcd.metrics import Metrics
from ppcd.store import charge_keys, charges, creation, registers
from ppcd.store.batcher import Batcher
from ppcd.store.certificates import Shown
from ppcd.store.creation import CreateResult
from ppcd.store.lanes import Runner, StoreError
from ppcd.store.limits import NO_SUM_LIMITS, OverLimit, SumLimits
from ppcd.store.pumping import NOBODY, Slow
from ppcd.store.registers import TariffRow
from ppcd.store.rows import Address, ChargeRow, Conflict, NewCharge, PromptKey, PromptNo
from ppcd.store.sql import Cursor
from ppcd.store.subscribers import NO_LIMITS, Limits, Spared

__all__ = [
    "RETRY_AFTER_S",
    "AlreadyCancelled",
    "AlreadyConfirmed",
    "AlreadyEnded",
    "Busy",
    "CancelAnswer",
    "Cancelled",
    "CannotReserve",
    "ChargeRules",
    "CorrelatorTaken",
    "CreateAnswer",
    "Created",
    "NoFreeAddress",
    "NotFound",
    "NotServed",
    "Order",
    "OverLimit",
    "Partner",
    "ReferenceTaken",
    "Replayed",
    "Requests",
    "RouteRules",
    "Spared",
]

RETRY_AFTER_S: Final = 2.0
#: What is kept of a partner's words, in units of UCS-2; a text may cut them further.
MERCHANT_UNITS_MAX: Final = 60
DESCRIPTION_UNITS_MAX: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a partner wants charged, as read from its request."""

    msisdn: Msisdn
    money: Money
    description: str
    reference: str
    correlator: str | None
    merchant: str | None
    language: str | None
    product_id: str | None
    sink: str | None
    sink_token: str | None
    sink_token_expires_at: datetime | None = None
    #: What of the request is echoed in answers.
    document: Mapping[str, Any]
    #: What makes it the same request: equal under one correlator, it is answered alike.
    fingerprint: bytes
    #: The money is to be held first, and taken when the partner confirms.
    two_step: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRules:
    """What a route asks of its charges."""

    name: str
    prefixes: tuple[str, ...]
    pool: tuple[Address, ...]
    billing: str
    #: Whether a charge of this amount asks for a code.
    with_code: Callable[[Money], bool]
    quarantine_s: float
    #: Its billing can hold money, so that charges may be made in two steps.
    reserving: bool = False
    #: Consent to such charges is by a PIN on the partner's site instead of by an answer.
    by_pin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRules:
    """What holds for all charges."""

    lifetime_s: float
    debit_start_s: int
    language: str
    #: How often one phone may be asked.
    limits: Limits = NO_LIMITS
    sum_limits: SumLimits = NO_SUM_LIMITS
    #: Partners that may ask only so much.
    slow: Slow = field(default_factory=lambda: NOBODY)


class Requests:
    """What partners can ask for."""

    def __init__(
        self,
        *,
        lanes: Runner,
        clock: IReactorTime,
        routes: Callable[[], Sequence[RouteRules]],
        rules: Callable[[], ChargeRules],
        random_below: Callable[[int], int],
        ids: Ids,
        offers: Offers,
        metrics: Metrics,
        gather_s: float = 0.0,
    ) -> None:
        """`routes` and `rules` give what is in force now; `random_below` is cryptographic.

        Keys are looked up every `gather_s` when there are many, and what was looked up together is
        created together.
        """
        self._lanes = lanes
        self._routes = routes
        self._rules = rules
        self._random_below = random_below
        self._ids = ids
        self._offers = offers
        self._metrics = metrics
        self._keys = Keys(lanes=lanes, gather_s=gather_s)
        self._create: Batcher[NewCharge, CreateResult] = Batcher(
            lanes,
            self._create_all,
            size_max=200,
            waiting_max=5000,
            key=lambda new: new.msisdn,
            retry_unknown=True,
            gather_s=gather_s / 2,  # they come in the rhythm of their keys
        )
        self._get: Batcher[int, ChargeRow | None] = Batcher(lanes, charges.get, size_max=500)
        self._ends = Ends(lanes=lanes, clock=clock, metrics=metrics)

    async def authenticate(self, key: str, *, address: str = "") -> Partner | None:
        """Whose key this is; None for one that opens nothing, or not from that address."""
        return partner_of(await self._keys.holder(key, address=address))

    async def certified(self, shown: Shown, *, address: str = "") -> Partner | None:
        """Whose certificate this is; None for one that opens nothing, or not from that address."""
        return partner_of(await self._keys.of_certificate(shown, address=address))

    async def tariff(self, partner: Partner, product_id: str) -> TariffRow | None:
        """A partner's tariff of that name, if it is on sale."""
        rows = await self._lanes.run(registers.tariffs, partner.partner_id)
        return next((row for row in rows if row.name == product_id), None)

    def serves(self, msisdn: Msisdn) -> bool:
        """Whether some route serves this number."""
        return self._route_of(msisdn) is not None

    async def create(self, partner: Partner, order: Order) -> CreateAnswer:
        """Accept a charge, or say why not. `Created` is committed; its prompt is on its way."""
        route = self._route_of(order.msisdn)
        if route is None:
            return await self.earlier(partner, order) or NotServed()
        if order.two_step and not route.reserving:
            return await self.earlier(partner, order) or CannotReserve()
        try:
            tariff = await self.tariff(partner, order.product_id) if order.product_id else None
            await self._ids.ensure(1)
            new = self._new(partner, order, route, tariff)
            [result] = await self._create.submit([new])
            if isinstance(result, creation.Replayed):
                return await self._replayed(result, new)
        except StoreError:
            return Busy(RETRY_AFTER_S)
        match result:
            case creation.Created():
                self._metrics.charges.child("awaiting").add()
                if result.prompt is not None:
                    self._offers.prompts([result.prompt])
                return Created(view_of(result.charge))
            case Conflict.CORRELATOR_TAKEN:
                return CorrelatorTaken()
            case Conflict.REFERENCE_TAKEN:
                return ReferenceTaken()
            case Conflict.NO_FREE_ADDRESS:
                self._metrics.no_free_address.child().add()
                return NoFreeAddress()
            case Spared():
                self._metrics.charges_spared.child(result.why).add()
                return result
            case OverLimit():
                self._metrics.limits_hit.child(result.limit, "request").add()
                return result

    async def earlier(self, partner: Partner, order: Order) -> CreateAnswer | None:
        """What came of the same request before: that answer stays, whatever is refused by now."""
        if order.correlator is None:
            return None
        words = partner.partner_id, order.correlator, order.fingerprint
        try:
            found = await self._lanes.run(charge_keys.earlier, *words)
            if not isinstance(found, creation.Replayed):
                return None if found is None else CorrelatorTaken()
            [row] = await self._get.submit([found.charge_id])
        except StoreError:
            return Busy(RETRY_AFTER_S)
        return CorrelatorTaken() if row is None else Replayed(view_of(row))

    def _create_all(
        self, cur: Cursor, batch: Sequence[NewCharge], *, repeat: bool = False
    ) -> list[CreateResult]:
        # Prompts that this node would not begin are nobody's from the start: giving them back
        # one by one costs more than all that was created.
        lease_s = LEASE_S if self._offers.wants_prompts() else 0
        rules = self._rules()
        return creation.create(
            cur,
            batch,
            lease_s=lease_s,
            limits=rules.limits,
            sum_limits=rules.sum_limits,
            slow=rules.slow,
            repeat=repeat,
        )

    async def _replayed(
        self, result: creation.Replayed, new: NewCharge
    ) -> Created | Replayed | CorrelatorTaken:
        [row] = await self._get.submit([result.charge_id])
        if row is None:
            # Its facts are older than the law lets us keep; only its key is left.
            return CorrelatorTaken()
        if result.charge_id != new.charge_id:
            return Replayed(view_of(row))
        # Our own creation, whose commit's answer was lost: it is as new as can be.
        self._metrics.charges.child("awaiting").add()
        self._offers.prompts([PromptKey(new.charge_id, PromptNo.PROMPT)])
        return Created(view_of(row))

    async def get(self, partner: Partner, charge_id: int, wait_s: float = 0) -> ChargeView | None:
        """A partner's charge; with `wait_s`, answers when it ends or is reserved, or then."""
        view = await self._look_up(partner, charge_id)
        if view is None or wait_s <= 0 or not view.to_be_waited_for:
            return view
        await self._ends.wait(charge_id, wait_s)
        return await self._look_up(partner, charge_id)

    async def cancel(self, partner: Partner, charge_id: int) -> CancelAnswer:
        """End a charge that nobody has answered."""
        ended = await self._lanes.run(
            charges.cancel, charge_id, partner_id=partner.partner_id, lease_s=LEASE_S
        )
        if ended is not None:
            hand_on([ended], self._offers, self._metrics)
            return Cancelled()
        view = await self._look_up(partner, charge_id)
        if view is None:
            return NotFound()
        if view.state is State.CANCELLED:
            return AlreadyCancelled()
        # Denied by billing: the subscriber had said yes.
        if view.state in (State.DECLINED, State.EXPIRED, State.UNDELIVERABLE):
            return AlreadyEnded(view.state)
        return AlreadyConfirmed()

    def _route_of(self, msisdn: Msisdn) -> RouteRules | None:
        """The route with the longest prefix of the number."""
        best: tuple[int, RouteRules] | None = None
        for route in self._routes():
            for prefix in route.prefixes or ("",):
                if msisdn.digits.startswith(prefix) and (best is None or len(prefix) > best[0]):
                    best = len(prefix), route
        return None if best is None else best[1]

    def _new(
        self, partner: Partner, order: Order, route: RouteRules, tariff: TariffRow | None
    ) -> NewCharge:
        rules = self._rules()
        major = to_major_number(order.money)
        language = order.language or partner.language or rules.language
        debit_start_s = tariff.debit_start_s if tariff is not None else None
        by_pin = order.two_step and route.by_pin
        return NewCharge(
            charge_id=self._ids.take(1)[0],
            partner_id=partner.partner_id,
            partner=partner.name,
            msisdn=int(order.msisdn.digits),
            amount_minor=order.money.amount_minor,
            currency=order.money.currency,
            major_number=major,
            merchant=one_line(order.merchant or partner.merchant, MERCHANT_UNITS_MAX),
            description=one_line(order.description, DESCRIPTION_UNITS_MAX),
            language=language if language in LANGUAGES else rules.language,
            reference=order.reference,
            correlator=order.correlator,
            fingerprint=order.fingerprint,
            product_id=order.product_id,
            route=route.name,
            pool=route.pool,
            billing=route.billing,
            lifetime_s=rules.lifetime_s,
            quarantine_s=route.quarantine_s,
            debit_start_s=debit_start_s or rules.debit_start_s,
            code=make_code(self._random_below, avoid=major),
            code_required=route.with_code(order.money),
            sink=order.sink,
            sink_token=order.sink_token,
            sink_token_expires_at=order.sink_token_expires_at,
            document=document_text(order.document),
            two_step=order.two_step,
            authorization_id=f"{self._random_below(1 << 128):032x}" if by_pin else None,
            pin=make_pin(self._random_below) if by_pin else None,
        )

    async def _look_up(self, partner: Partner, charge_id: int) -> ChargeView | None:
        if not 0 < charge_id < 1 << 63:
            return None
        [row] = await self._get.submit([charge_id])
        return view_of(row) if row is not None and row.partner_id == partner.partner_id else None
