"""The API with a stand-in for `flow` behind it, spoken to in octets."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.flow.listing import Criteria, Page, TooMany
from ppcd.flow.reservation import Decided
from ppcd.flow.validation import Validated
from ppcd.flow.view import ChargeView
from ppcd.http.exchange import Seen
from ppcd.http.router import Router
from ppcd.http.server import Site
from ppcd.partner.api import PartnerApi
from ppcd.partner.settings import PartnerApiSettings
from ppcd.store.registers import TariffRow
from tests.http.peers import Peer

BASE = "/carrier-billing/v0.5"
PHONE = "+380971234567"
CREATED_AT = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
PAID_AT = datetime(2026, 11, 23, 9, 0, 7, 5000, tzinfo=UTC)


class FakeRequests:
    """Flow as the API sees it: charges in a dict, results as told."""

    def __init__(self) -> None:
        self.shop = flow.Partner(1, "shop", "Game Shop", "ru", None)
        self.other = flow.Partner(2, "other", "Other", "uk", None)
        self.keys = {"demo-key": self.shop, "other-key": self.other}
        self.tariffs = {"gold-250": TariffRow("gold-250", 2500, "UAH", "250 gold", None)}
        self.charges: dict[int, tuple[flow.Partner, ChargeView]] = {}
        self.orders: list[flow.Order] = []
        self.create_result: Any = None
        self.cancel_result: Any = flow.Cancelled()
        self.cancelled: list[int] = []
        self.waits: list[float] = []
        self.addresses: list[str] = []
        self.waiting: Deferred[None] | None = None
        self.failure: Exception | None = None
        #: Of payments in two steps: how their subscribers agree.
        self.authorization_id: str | None = None
        self._by_correlator: dict[str, tuple[int, bytes]] = {}

    async def authenticate(self, key: str, *, address: str = "") -> flow.Partner | None:
        self.addresses.append(address)
        return self.keys.get(key)

    async def tariff(self, partner: flow.Partner, product_id: str) -> TariffRow | None:
        return self.tariffs.get(product_id)

    async def create(self, partner: flow.Partner, order: flow.Order) -> Any:
        if self.failure is not None:
            raise self.failure
        if self.create_result is not None:
            return self.create_result
        if order.correlator in self._by_correlator:
            charge_id, fingerprint = self._by_correlator[order.correlator]
            if fingerprint != order.fingerprint:
                return flow.CorrelatorTaken()
            return flow.Replayed(self.charges[charge_id][1])
        self.orders.append(order)
        charge_id = 7_000_000_000_000_000_000 + len(self.orders)
        view = ChargeView(
            charge_id, State.AWAITING, None, CREATED_AT, None, None, order.document, order.sink
        )
        view = replace(
            view,
            two_step=order.two_step,
            authorization_id=self.authorization_id if order.two_step else None,
        )
        self.charges[charge_id] = partner, view
        if order.correlator is not None:
            self._by_correlator[order.correlator] = charge_id, order.fingerprint
        return flow.Created(view)

    async def earlier(self, partner: flow.Partner, order: flow.Order) -> Any:
        if order.correlator not in self._by_correlator:
            return None
        return await self.create(partner, order)

    async def get(
        self, partner: flow.Partner, charge_id: int, wait_s: float = 0
    ) -> ChargeView | None:
        self.waits.append(wait_s)
        if self.waiting is not None and wait_s:
            await self.waiting
        owner, view = self.charges.get(charge_id, (None, None))
        return view if owner == partner else None

    async def cancel(self, partner: flow.Partner, charge_id: int) -> Any:
        self.cancelled.append(charge_id)
        return self.cancel_result

    def becomes(
        self, charge_id: int, state: State, reason: DenialReason | None = None, **more: Any
    ) -> None:
        owner, view = self.charges[charge_id]
        self.charges[charge_id] = owner, replace(view, state=state, reason=reason, **more)


class FakeReservations:
    """Decides as told."""

    def __init__(self) -> None:
        self.result: Any = Decided()
        self.asked: list[tuple[str, int]] = []

    async def confirm(self, partner: flow.Partner, charge_id: int) -> Any:
        self.asked.append(("confirm", charge_id))
        return self.result

    async def cancel(self, partner: flow.Partner, charge_id: int) -> Any:
        self.asked.append(("cancel", charge_id))
        return self.result


class FakeValidations:
    """Takes every code, or says what it is told."""

    def __init__(self) -> None:
        self.result = Validated.CONFIRMED
        self.asked: list[tuple[int, str, str]] = []

    async def validate(
        self, partner: flow.Partner, charge_id: int, *, authorization_id: str, typed: str
    ) -> Validated:
        self.asked.append((charge_id, authorization_id, typed))
        return self.result


class FakeListings:
    """Pages as asked for; the criteria are kept for the test to look at."""

    def __init__(self, requests: FakeRequests) -> None:
        self._requests = requests
        self.asked: list[Criteria] = []
        self.too_many = False

    async def find(
        self,
        partner: flow.Partner,
        criteria: Criteria,
        *,
        offset: int,
        limit: int,
        newest_first: bool,
    ) -> Page | TooMany:
        self.asked.append(criteria)
        if self.too_many:
            return TooMany()
        found = [view for owner, view in self._requests.charges.values() if owner == partner]
        found.sort(key=lambda view: view.charge_id, reverse=newest_first)
        return Page(found[offset : offset + limit], len(found))


class Got:
    """An answer, read."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)

    @property
    def code(self) -> str:
        assert self.json["status"] == self.status
        return self.json["code"]

    @property
    def message(self) -> str:
        return self.json["message"]


class World:
    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.requests = FakeRequests()
        anywhere = {"any_sink_host": "sink_hosts" not in settings}
        self.settings = PartnerApiSettings(**anywhere | settings)
        self.seen: list[Seen] = []
        self.listings = FakeListings(self.requests)
        self.reservations = FakeReservations()
        self.validations = FakeValidations()
        self.api = PartnerApi(
            self.requests,
            self.settings,
            listings=self.listings,
            reservations=self.reservations,
            validations=self.validations,
            clock=self.clock,
            new_correlator=lambda: "made-by-ppcd",
        )
        self.router = Router()
        self.api.add_routes(self.router)
        self.site = Site(
            self.router,
            reactor=self.clock,
            limits=self.api.limits,
            error=self.api.error,
            observe=self.seen.append,
        )
        self.peer = Peer(self.site)

    def sends(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        key: str | None = "demo-key",
        headers: dict[str, str] | None = None,
    ) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: api"]
        if key is not None:
            lines.append(f"Authorization: Bearer {key}")
        given = {"Content-Type": "application/json"} if body else {}
        given |= headers or {}
        lines += [f"{name}: {value}" for name, value in given.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.peer.sends("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Got:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.sends(method, path, body, **more)
        return Got(*self.peer.answer())

    def create(self, body: Any = None, **more: Any) -> Got:
        return self.ask("POST", f"{BASE}/payments", a_payment() if body is None else body, **more)

    def prepare(self, body: Any = None, **more: Any) -> Got:
        wanted = a_payment() if body is None else body
        return self.ask("POST", f"{BASE}/payments/prepare", wanted, **more)

    def prepared(self, **more: Any) -> int:
        got = self.prepare(a_payment(**more))
        assert got.status == 201, got.body
        return int(got.json["paymentId"])

    def created(self, **more: Any) -> int:
        got = self.create(a_payment(**more))
        assert got.status == 201, got.body
        return int(got.json["paymentId"])


def a_payment(**changes: Any) -> dict[str, Any]:
    """A createPayment body. Names with dots in `changes` (as `__`) reach inside; None removes."""
    body: dict[str, Any] = {
        "amountTransaction": {
            "phoneNumber": PHONE,
            "clientCorrelator": "correlator-1",
            "referenceCode": "order-1",
            "paymentAmount": {
                "chargingInformation": {
                    "amount": 25,
                    "currency": "UAH",
                    "description": "250 gold",
                },
                "chargingMetaData": {"merchantName": "Game Shop"},
            },
        },
    }
    places = {
        "phone": ("amountTransaction", "phoneNumber"),
        "correlator": ("amountTransaction", "clientCorrelator"),
        "reference": ("amountTransaction", "referenceCode"),
        **{
            name: ("amountTransaction", "paymentAmount", "chargingInformation", name)
            for name in ("amount", "currency", "description", "isTaxIncluded", "taxAmount")
        },
        **{
            name: ("amountTransaction", "paymentAmount", "chargingMetaData", name)
            for name in ("productId", "merchantName", "fee", "channel")
        },
        "details": ("amountTransaction", "paymentAmount", "paymentDetails"),
    }
    for name, value in changes.items():
        *way, last = places.get(name, (name,))
        at = body
        for step in way:
            at = at[step]
        if value is None:
            at.pop(last, None)
        else:
            at[last] = value
    return body
