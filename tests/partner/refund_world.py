"""The refund API with a stand-in for `flow` behind it, in the same site as the payments'."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ppcd.charge.debit import DenialReason
from ppcd.charge.money import Money
from ppcd.charge.refund import RefundState
from ppcd.flow.document import document_text
from ppcd.flow.listing import TooMany
from ppcd.flow.refund_requests import (
    Left,
    Payment,
    RefundCreated,
    RefundCriteria,
    RefundPage,
    RefundView,
    RefundWanted,
)
from ppcd.flow.request import Partner
from ppcd.partner.refund_api import RefundApi
from tests.partner.world import Got, World, a_payment

REFUND_BASE = "/carrier-billing-refund/v0.3"
CREATED_AT = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
REFUNDED_AT = CREATED_AT + timedelta(seconds=2)
PAYMENT_ID = 7_000_000_000_000_000_001
REFUND_ID = 7_100_000_000_000_000_001


class FakeRefunds:
    """Flow as the API sees it: one payment of 25 UAH by the shop, refunds in a dict."""

    def __init__(self, shop: Partner) -> None:
        self.shop = shop
        self.document: dict[str, Any] = a_payment()["amountTransaction"]
        self.wanted: list[RefundWanted] = []
        self.refunds: dict[int, RefundView] = {}
        self.asked: list[RefundCriteria] = []
        self.create_result: Any = None
        self.too_many = False
        self.left_minor = 2500

    async def payment(self, partner: Partner, charge_id: int) -> Payment | None:
        if (partner, charge_id) != (self.shop, PAYMENT_ID):
            return None
        text = document_text(self.document)
        return Payment(PAYMENT_ID, 1, 380971234567, 2500, "UAH", "main", text, "succeeded")

    async def create(self, payment: Payment, wanted: RefundWanted) -> Any:
        self.wanted.append(wanted)
        if self.create_result is not None:
            return self.create_result
        view = RefundView(
            charge_id=payment.charge_id,
            refund_id=REFUND_ID + len(self.refunds),
            state=RefundState.ACCEPTED,
            denial=None,
            whole=wanted.money is None,
            money=wanted.money or Money(2500, "UAH"),
            reason=wanted.reason,
            created_at=CREATED_AT,
            refunded_at=None,
            document=wanted.document,
            sink=wanted.sink,
        )
        self.refunds[view.refund_id] = view
        return RefundCreated(view)

    async def get(self, partner: Partner, charge_id: int, refund_id: int) -> RefundView | None:
        mine = (partner, charge_id) == (self.shop, PAYMENT_ID)
        return self.refunds.get(refund_id) if mine else None

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
        if (partner, charge_id) != (self.shop, PAYMENT_ID):
            return None
        self.asked.append(criteria)
        if self.too_many:
            return TooMany()
        found = sorted(self.refunds.values(), key=lambda v: v.refund_id, reverse=newest_first)
        return RefundPage(found[offset : offset + limit], len(found))

    async def left(self, partner: Partner, charge_id: int) -> Left | None:
        if (partner, charge_id) != (self.shop, PAYMENT_ID):
            return None
        return Left(self.left_minor, "UAH", self.document)

    def becomes(
        self, refund_id: int, state: RefundState, denial: DenialReason | None = None
    ) -> None:
        at = REFUNDED_AT if state is RefundState.SUCCEEDED else None
        view = self.refunds[refund_id]
        self.refunds[refund_id] = replace(view, state=state, denial=denial, refunded_at=at)


class RefundWorld(World):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.refunds = FakeRefunds(self.requests.shop)
        api: Any = RefundApi(
            self.refunds,  # type: ignore[arg-type]
            self.settings,
            envelope=self.api.envelope,
        )
        api.add_routes(self.router)

    def at(self, path: str = "", *, payment: object = PAYMENT_ID) -> str:
        return f"{REFUND_BASE}/payments/{payment}/refunds{path}"

    def refund(self, body: Any = None, **more: Any) -> Got:
        return self.ask("POST", self.at(), a_refund() if body is None else body, **more)

    def refunded(self, body: Any = None) -> int:
        got = self.refund(body)
        assert got.status == 201, got.body
        return int(got.json["refundId"])


def a_refund(**changes: Any) -> dict[str, Any]:
    """A createRefund body, partial; None in `changes` removes."""
    information: dict[str, Any] = {"amount": 10, "currency": "UAH", "description": "100 gold"}
    amount: dict[str, Any] = {"chargingInformation": information}
    transaction: dict[str, Any] = {
        "clientCorrelator": "refund-correlator-1",
        "referenceCode": "refund-1",
        "refundAmount": amount,
    }
    body: dict[str, Any] = {"type": "partial", "amountTransaction": transaction}
    places: dict[str, dict[str, Any]] = {
        "correlator": transaction,
        "reference": transaction,
        **dict.fromkeys(("amount", "currency", "description", "isTaxIncluded"), information),
        **dict.fromkeys(("refundDetails", "chargingMetaData"), amount),
    }
    names = {"correlator": "clientCorrelator", "reference": "referenceCode"}
    for name, value in changes.items():
        at, key = places.get(name, body), names.get(name, name)
        if value is None:
            at.pop(key, None)
        else:
            at[key] = value
    return body


def a_total_refund(**changes: Any) -> dict[str, Any]:
    """A createRefund body for all that is left."""
    body = a_refund(type="total", **changes)
    del body["amountTransaction"]["refundAmount"]["chargingInformation"]
    return body
