"""The step that begins with a partner who wants money given back: accept, look up, list.

Owns which charges can be refunded, and that the answer comes after the commit. Refuses to know HTTP
and the partners' wire format.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from ppcd.charge.debit import DenialReason
from ppcd.charge.money import Money
from ppcd.charge.refund import RefundState, Refusal, remaining_minor
from ppcd.charge.rules import State
from ppcd.flow.document import document_of, document_text
from ppcd.flow.listing import LOOKED_AT_MAX, TooMany
from ppcd.flow.ports import LEASE_S, Adapter, Ids, Offers
from ppcd.flow.request import RETRY_AFTER_S, Busy, Partner
from ppcd.metrics import Metrics
from ppcd.store import refunds
from ppcd.store.batcher import Batcher
from ppcd.store.lanes import Runner, StoreError
from ppcd.store.refunds import (
    Accepted,
    NewRefund,
    Obstacle,
    Payment,
    RefundCriteria,
    RefundRow,
)

__all__ = [
    "Left",
    "Obstacle",
    "Payment",
    "RefundCreated",
    "RefundCriteria",
    "RefundOfOlder",
    "RefundPage",
    "RefundRequests",
    "RefundView",
    "RefundWanted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWanted:
    """What a partner wants given back, as read from its request."""

    #: None: all that is left.
    money: Money | None
    reference: str
    correlator: str | None
    reason: str | None
    sink: str | None
    sink_token: str | None
    sink_token_expires_at: datetime | None
    #: What of the request is echoed in answers.
    document: Mapping[str, Any]
    #: What makes it the same request: equal under one correlator, it is answered alike.
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class RefundView:
    """A refund as its partner may see it."""

    charge_id: int
    refund_id: int
    state: RefundState
    denial: DenialReason | None
    whole: bool
    money: Money
    reason: str | None
    created_at: datetime
    refunded_at: datetime | None
    document: Mapping[str, Any]
    sink: str | None


@dataclass(frozen=True, slots=True)
class RefundCreated:
    """Accepted now, or when the same request came before; as it was then."""

    refund: RefundView


@dataclass(frozen=True, slots=True)
class RefundOfOlder:
    """The same request came so long ago that only its key is left."""


@dataclass(frozen=True, slots=True)
class RefundPage:
    """Some of the refunds that fit, and how many there are in all."""

    refunds: Sequence[RefundView]
    total: int


@dataclass(frozen=True, slots=True)
class Left:
    """What of a charge was not given back, and is not being given back."""

    money_minor: int
    currency: str
    document: Mapping[str, Any]


CreateRefundAnswer = RefundCreated | RefundOfOlder | Refusal | Obstacle | Busy


class RefundRequests:
    """What partners can ask for about refunds."""

    def __init__(
        self,
        *,
        lanes: Runner,
        adapters: Mapping[str, Adapter],
        start_s: Callable[[], float],
        ids: Ids,
        offers: Offers,
        metrics: Metrics,
    ) -> None:
        """`start_s`: how long a new refund may wait for billing to take it."""
        self._lanes = lanes
        self._adapters = adapters
        self._start_s = start_s
        self._ids = ids
        self._offers = offers
        self._metrics = metrics
        # One a transaction: it takes the lock of its charge.
        self._create: Batcher[NewRefund, refunds.CreateResult] = Batcher(
            lanes,
            partial(refunds.create, lease_s=LEASE_S),
            size_max=1,
            waiting_max=1000,
            retry_unknown=True,
        )

    async def payment(self, partner: Partner, charge_id: int) -> Payment | None:
        """A partner's charge, for what a refund of it must fit."""
        found: Payment | None = await self._lanes.run(
            refunds.payment, charge_id, partner_id=partner.partner_id
        )
        return found

    async def create(self, payment: Payment, wanted: RefundWanted) -> CreateRefundAnswer:
        """Accept a refund, or say why not. `RefundCreated` is committed."""
        try:
            await self._ids.ensure(1)
            [result] = await self._create.submit([self._new(payment, wanted)])
        except StoreError:
            return Busy(RETRY_AFTER_S)
        match result:
            case Accepted(refund, job):
                self._metrics.refunds.child("accepted").add()
                self._offers.refunds([job])
                return RefundCreated(_as_accepted(refund))
            case refunds.Replayed(refund):
                # The answer of the first time, whatever has become of the refund since.
                return RefundOfOlder() if refund is None else RefundCreated(_as_accepted(refund))
            case _:
                return result

    async def get(self, partner: Partner, charge_id: int, refund_id: int) -> RefundView | None:
        """A partner's refund."""
        [row] = await self._lanes.run(refunds.get, charge_id, [refund_id])
        mine = row is not None and row.partner_id == partner.partner_id
        return refund_view(row) if row is not None and mine else None

    async def find(
        self,
        partner: Partner,
        charge_id: int,
        criteria: RefundCriteria,
        *,
        offset: int,
        limit: int,
        newest_first: bool,
    ) -> RefundPage | TooMany | None:
        """The refunds of a charge that fit; None: the partner has no such charge."""
        if await self.payment(partner, charge_id) is None:
            return None
        rows = await self._lanes.run(refunds.find, charge_id, criteria, looked_at_max=LOOKED_AT_MAX)
        if rows is None:
            return TooMany()
        ordered = rows[::-1] if newest_first else rows
        shown = [refund_view(row) for row in ordered[offset : offset + limit]]
        return RefundPage(shown, len(ordered))

    async def left(self, partner: Partner, charge_id: int) -> Left | None:
        """What of a charge can still be refunded; None: the partner has no such charge."""
        payment = await self.payment(partner, charge_id)
        if payment is None:
            return None
        document = document_of(payment.document)
        if payment.state != State.SUCCEEDED:
            return Left(0, payment.currency, document)
        given_back = await self._lanes.run(refunds.given_back, charge_id)
        debited = Money(payment.amount_minor, payment.currency)
        return Left(remaining_minor(debited, given_back), payment.currency, document)

    def _new(self, payment: Payment, wanted: RefundWanted) -> NewRefund:
        adapter = self._adapters.get(payment.billing)
        abilities = None if adapter is None else adapter.refund_abilities
        obstacle: Refusal | Obstacle | None = None
        if payment.state != State.SUCCEEDED:
            obstacle = Refusal.NOT_PAID
        elif abilities is None or not abilities.reversible:
            obstacle = Obstacle.NOT_REVERSIBLE
        return NewRefund(
            refund_id=self._ids.take(1)[0],
            charge_id=payment.charge_id,
            partner_id=payment.partner_id,
            msisdn=payment.msisdn,
            billing=payment.billing,
            debited=Money(payment.amount_minor, payment.currency),
            wanted=wanted.money,
            whole_only=abilities is not None and abilities.whole_only,
            obstacle=obstacle,
            reference=wanted.reference,
            correlator=wanted.correlator,
            fingerprint=wanted.fingerprint,
            reason=wanted.reason,
            sink=wanted.sink,
            sink_token=wanted.sink_token,
            sink_token_expires_at=wanted.sink_token_expires_at,
            document=document_text(wanted.document),
            start_s=self._start_s(),
        )


def refund_view(row: RefundRow) -> RefundView:
    state = RefundState(row.state)
    return RefundView(
        charge_id=row.charge_id,
        refund_id=row.refund_id,
        state=state,
        denial=None if row.denial is None else DenialReason(row.denial),
        whole=row.whole,
        money=Money(row.amount_minor, row.currency),
        reason=row.reason,
        created_at=row.created_at,
        refunded_at=row.decided_at if state is RefundState.SUCCEEDED else None,
        document=document_of(row.document),
        sink=row.sink,
    )


def _as_accepted(row: RefundRow) -> RefundView:
    return replace(refund_view(row), state=RefundState.ACCEPTED, denial=None, refunded_at=None)
