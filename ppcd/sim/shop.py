"""«GameX», the demo's partner: a shop that sells gold and is paid through the partner API.

Written as a partner would write it, against the public contract only: it creates payments with
its key, receives signed webhooks, and asks again when a webhook is late. What ppcd is inside, it
does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from ppcd.http.client import Answer as HttpAnswer
from ppcd.http.client import Client, NoAnswer, NotSent
from ppcd.sim.journal import Journal, read_journal, utc_now
from ppcd.sim.orders import TARIFFS, Order, Progress, Tariff, e164
from ppcd.sim.timing import sleep, within
from ppcd.sim.web import (
    Answer,
    Reactor,
    Refused,
    Request,
    Response,
    Route,
    Stream,
    json_response,
)
from ppcd.sim.webhooks import Inbox, Received

PAYMENTS: Final = "/carrier-billing/v0.5/payments"
#: Where the operator is asked to send this partner's events.
WEBHOOK_PATH: Final = "/shop/webhooks"
CREATE_TRIES_MAX: Final = 5
RETRY_S: Final = 1.0
PAUSE_S: Final = 0.3
#: How long one question waits for the end, which is answered at once; what lies between is
#: noticed this late. Orders that hang for long are asked about less often.
WAIT_S: Final = 2
WAIT_LONG_S: Final = 25
HANGS_AFTER_S: Final = 300.0
#: An event stream says something at least so often, so that no proxy takes it for dead.
BEAT_S: Final = 15.0
ORDERS_MAX: Final = 10_000

log = Logger(namespace="ppcd.sim.shop")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopOptions:
    #: The partner's key and webhook secret, as the operator gave them to the partner.
    key: str = "demo-key"
    webhook_secret: str
    merchant: str = "GameX"
    language: str = "ru"
    data_dir: Path | None = None


class Shop:
    """Its `routes` are for mounting; `connect` says where the partner API is, once it is known."""

    def __init__(
        self,
        reactor: Reactor,
        options: ShopOptions,
        *,
        make_id: Callable[[], str],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._reactor = reactor
        self._options = options
        self._make_id = make_id
        path = options.data_dir and options.data_dir / "shop.jsonl"
        earlier = read_journal(path) if path else []
        self._journal = Journal(path, now=now)
        self._inbox = Inbox(self._journal, secret=options.webhook_secret, now=now)
        self._inbox.replay(earlier)
        self._orders: dict[str, Order] = {}
        self._by_payment: dict[str, Order] = {}
        self._following: set[Deferred[None]] = set()
        self._client = Client(reactor, connections_per_host_max=100)
        self._api: str | None = None

    def connect(self, api: str) -> None:
        self._api = api.rstrip("/")

    async def stop(self) -> None:
        for following in tuple(self._following):
            following.cancel()
        await self._client.close()
        self._journal.close()

    def routes(self) -> Sequence[Route]:
        """What browsers, the operator's webhooks and the demo's tests call."""
        return (
            Route("GET", "/shop/tariffs", self._get_tariffs),
            Route("POST", "/shop/orders", self._post_order),
            Route("GET", "/shop/orders/{order}", self._get_order),
            Route("GET", "/shop/orders/{order}/events", self._get_events),
            Route("POST", "/shop/orders/{order}/cancel", self._post_cancel),
            Route("POST", WEBHOOK_PATH, self._take_webhook),
            Route("GET", "/sim/partner/webhooks", self._get_webhooks),
        )

    # The page's calls

    async def _get_tariffs(self, _request: Request) -> Answer:
        return json_response(
            [
                {
                    "id": tariff.id,
                    "gold": tariff.gold,
                    "amount_minor": tariff.amount_minor,
                    "currency": tariff.currency,
                }
                for tariff in TARIFFS.values()
            ]
        )

    async def _post_order(self, request: Request) -> Answer:
        wanted = request.json()
        tariff = TARIFFS.get(str(wanted.get("tariff")))
        if tariff is None:
            raise Refused(400, "NO_SUCH_TARIFF")
        phone = e164(str(wanted.get("phone", "")))
        if phone is None:
            raise Refused(400, "INVALID_NUMBER")
        order = await self._create(tariff, phone)
        return json_response(order.describe(), 201)

    async def _get_order(self, request: Request) -> Answer:
        return json_response(self._order(request).describe())

    async def _get_events(self, request: Request) -> Answer:
        order = self._order(request)

        async def run(write: Callable[[bytes], None]) -> None:
            write(b"retry: 1000\n\n")
            while True:
                write(b"data: " + json.dumps(order.describe()).encode() + b"\n\n")
                if order.ended:
                    return
                while not await within(self._reactor, order.changed(), BEAT_S):
                    write(b": still here\n\n")

        headers = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"))
        return Stream(run, headers)

    async def _post_cancel(self, request: Request) -> Answer:
        order = self._order(request)
        path = f"{PAYMENTS}/{quote(order.payment_id, safe='')}/cancel"
        answer = await self._call("POST", path, {"phoneNumber": order.phone})
        if answer.status != 202:
            raise Refused(409, _code(answer))
        return json_response(order.describe(), 202)

    def _order(self, request: Request) -> Order:
        order = self._orders.get(request.params["order"])
        if order is None:
            raise Refused(404, "NO_SUCH_ORDER")
        return order

    # The partner API

    async def _create(self, tariff: Tariff, phone: str) -> Order:
        order_id = self._make_id()
        self._journal.write("create_asked", order=order_id, tariff=tariff.id)
        answer = await self._create_payment(order_id, tariff, phone)
        if answer.status != 201:
            self._journal.write("create_refused", order=order_id, status=answer.status)
            raise Refused(409 if answer.status < 500 else 502, _code(answer))
        payment = _document(answer)
        order = Order(order_id, tariff, phone, str(payment["paymentId"]))
        self._journal.write("created", order=order_id, paymentId=order.payment_id)
        if len(self._orders) >= ORDERS_MAX:
            oldest = self._orders.pop(next(iter(self._orders)))
            self._by_payment.pop(oldest.payment_id, None)
        self._orders[order_id] = self._by_payment[order.payment_id] = order
        order.learn(payment)
        for received in self._inbox.received:
            # The webhook may have overtaken the answer.
            self._learn(received)
        self._follow(order)
        return order

    async def _create_payment(self, order_id: str, tariff: Tariff, phone: str) -> HttpAnswer:
        """Tries again when no answer came: the correlator makes sure that it is one payment."""
        body = {
            "amountTransaction": {
                "phoneNumber": phone,
                "clientCorrelator": order_id,
                "referenceCode": f"GX-{order_id}",
                "paymentAmount": {
                    "chargingInformation": {
                        # All our prices are whole hryvnias.
                        "amount": tariff.amount_minor // 100,
                        "currency": tariff.currency,
                        "description": tariff.title,
                    },
                    "chargingMetaData": {
                        "merchantName": self._options.merchant,
                        "productId": tariff.id,
                    },
                },
            }
        }
        for tries in range(1, CREATE_TRIES_MAX + 1):
            try:
                answer = await self._call("POST", PAYMENTS, body)
            except (NotSent, NoAnswer):
                if tries == CREATE_TRIES_MAX:
                    raise Refused(502, "UNREACHABLE") from None
            else:
                if answer.status < 500 or tries == CREATE_TRIES_MAX:
                    return answer
            await sleep(self._reactor, RETRY_S)
        raise AssertionError("the last try returns or raises")

    def _follow(self, order: Order) -> None:
        following = Deferred.fromCoroutine(self._ask_until_the_end(order))
        self._following.add(following)

        def ended(result: Any) -> None:
            self._following.discard(following)
            if result is not None and not result.check(CancelledError):
                log.failure("following an order failed", failure=result)

        following.addBoth(ended)

    async def _ask_until_the_end(self, order: Order) -> None:
        """The webhook is what the shop counts on; this is for the day when it does not come."""
        path = f"{PAYMENTS}/{quote(order.payment_id, safe='')}"
        began = self._reactor.seconds()
        while not order.ended:
            hangs = self._reactor.seconds() - began > HANGS_AFTER_S
            wait_s = WAIT_LONG_S if hangs else WAIT_S
            try:
                answer = await self._call("GET", f"{path}?wait={wait_s}", timeout_s=wait_s + 10)
            except (NotSent, NoAnswer):
                await sleep(self._reactor, RETRY_S)
                continue
            if answer.status == 200:
                order.learn(_document(answer))
            await sleep(self._reactor, PAUSE_S if answer.status == 200 else RETRY_S)

    async def _call(
        self, method: str, path: str, body: object = None, *, timeout_s: float = 15.0
    ) -> HttpAnswer:
        if self._api is None:
            raise NotSent("the shop does not know yet where the partner API is")
        headers = [
            (b"Authorization", f"Bearer {self._options.key}".encode()),
            (b"Accept", b"application/json"),
            (b"Accept-Language", self._options.language.encode()),
        ]
        if body is not None:
            headers.append((b"Content-Type", b"application/json"))
        return await self._client.request(
            method.encode(),
            self._api + path,
            headers=headers,
            body=b"" if body is None else json.dumps(body).encode(),
            timeout_s=timeout_s,
        )

    # The webhook sink

    async def _take_webhook(self, request: Request) -> Answer:
        names = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
        headers = {name.decode(): request.header(name) or "" for name in names}
        received = self._inbox.take(headers, request.body)
        if not received.valid:
            raise Refused(401, "wrong signature")
        self._learn(received)
        return Response(204)

    def _learn(self, received: Received) -> None:
        order = self._by_payment.get(received.payment_id or "")
        if order is None or not received.valid:
            return
        if (received.type or "").endswith(".payment-completed"):
            order.become(Progress.PAID)
        elif (received.type or "").endswith(".payment-denied"):
            order.become(Progress.FAILED, received.denial_reason)

    async def _get_webhooks(self, _request: Request) -> Answer:
        return json_response([received.describe() for received in self._inbox.received])


def _document(answer: HttpAnswer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {}


def _code(answer: HttpAnswer) -> str:
    """The API's own word for what went wrong."""
    return str(_document(answer).get("code") or f"STATUS_{answer.status}")
