"""«GameX», the demo's partner: a shop that sells gold and is paid on ppcd's payment page.

An example for partners' developers, written against the public contract only (docs/checkout.md).
A purchase goes like this:

1. The page asks for an order; «Оплатить» asks for its session (`_open_session`), and checkout.js
   shows the session's page over the shop's.
2. ppcd posts a signed webhook (`_take_webhook`): the payment is looked up, its reference names
   the order, and the gold is handed out. Nothing else hands it out without asking ppcd.
3. The browser comes back to `/shop/back` with a signed result (`_come_back`). If it is here before
   the webhook, the shop asks ppcd what became of the session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from twisted.logger import Logger

from ppcd.http.client import Client, NoAnswer, NotSent
from ppcd.sim.journal import Journal, read_journal, utc_now
from ppcd.sim.orders import Integration, Order
from ppcd.sim.signatures import result_is_ours
from ppcd.sim.web import Answer, Reactor, Refused, Request, Response, Route, json_response
from ppcd.sim.webhooks import Inbox

SESSIONS: Final = "/checkout/v1/sessions"
PAYMENTS: Final = "/carrier-billing/v0.5/payments"
#: Where the operator is asked to send this partner's events.
WEBHOOK_PATH: Final = "/shop/webhooks"
#: Registered with the operator, who knows their prices.
TARIFFS: Final = ("gold-250", "gold-500", "gold-1000")
#: The first try to pay has our reference, the next ones have -2, -3 … behind it.
REFERENCE: Final = re.compile(r"GX-([0-9a-z]+)(?:-[0-9]+)?")
#: A real shop keeps its orders in a database; this one forgets the oldest, and all when it ends.
ORDERS_MAX: Final = 10_000

log = Logger(namespace="ppcd.sim.shop")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopOptions:
    #: The partner's key and webhook secret, as the operator gave them to the partner.
    key: str = "demo-key"
    webhook_secret: str
    merchant: str = "GameX"
    data_dir: Path | None = None


class Shop:
    """Its `routes` are for mounting; `connect` says where ppcd's API is, once it is known."""

    def __init__(
        self,
        reactor: Reactor,
        options: ShopOptions,
        *,
        make_id: Callable[[], str],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._options = options
        self._make_id = make_id
        path = options.data_dir and options.data_dir / "shop.jsonl"
        earlier = read_journal(path) if path else []
        self._journal = Journal(path, now=now)
        self._inbox = Inbox(self._journal, secret=options.webhook_secret, now=now)
        self._inbox.replay(earlier)
        self._orders: dict[str, Order] = {}
        self._client = Client(reactor, connections_per_host_max=100)
        self._api: str | None = None

    def connect(self, api: str) -> None:
        self._api = api.rstrip("/")

    async def stop(self) -> None:
        await self._client.close()
        self._journal.close()

    def routes(self) -> Sequence[Route]:
        """What browsers, the operator's webhooks and the demo's tests call."""
        return (
            Route("POST", "/shop/orders", self._post_order),
            Route("GET", "/shop/orders/{order}", self._get_order),
            Route("POST", "/shop/orders/{order}/session", self._post_session),
            Route("POST", "/shop/redirect", self._redirect),
            Route("GET", "/shop/back", self._come_back),
            Route("POST", WEBHOOK_PATH, self._take_webhook),
            Route("GET", "/sim/partner/webhooks", self._get_webhooks),
        )

    # 1. The page's calls

    async def _post_order(self, request: Request) -> Answer:
        wanted = request.json()
        # A real shop takes the number from its buyer's account, and never from the browser.
        phone = wanted.get("phone")
        order = self._new_order(
            str(wanted.get("integration")), None if phone is None else str(phone)
        )
        return json_response(order.describe(), 201)

    async def _get_order(self, request: Request) -> Answer:
        return json_response(self._order(request.params["order"]).describe())

    async def _post_session(self, request: Request) -> Answer:
        """What checkout.js posts to when «Оплатить» is pressed: its `data-from`."""
        url = await self._open_session(self._order(request.params["order"]), request)
        # The demo has one address for shop and ppcd, whatever the browser calls it; elsewhere
        # the URL goes on as it is.
        return json_response({"url": urlsplit(url).path}, 201)

    async def _redirect(self, request: Request) -> Answer:
        """The same without a script: a form is posted here, and the browser sent to the page."""
        form = dict(parse_qsl(request.body.decode("latin-1")))
        order = self._new_order(form.get("integration", ""), form.get("phone"))
        url = await self._open_session(order, request)
        return Response(303, b"", (("Location", urlsplit(url).path),))

    def _new_order(self, integration: str, phone: str | None) -> Order:
        if integration not in tuple(Integration):
            raise Refused(400, "NO_SUCH_INTEGRATION")
        known = integration == Integration.KNOWN
        order = Order(self._make_id(), Integration(integration), phone if known else None)
        if known and order.phone is None:
            raise Refused(400, "INVALID_NUMBER")
        if len(self._orders) >= ORDERS_MAX:
            del self._orders[next(iter(self._orders))]
        self._orders[order.id] = order
        return order

    def _order(self, order_id: str) -> Order:
        order = self._orders.get(order_id)
        if order is None:
            raise Refused(404, "NO_SUCH_ORDER")
        return order

    async def _open_session(self, order: Order, request: Request) -> str:
        """The order's payment page. Pressed again, it is the same one: nobody pays twice."""
        if order.url is not None:
            return order.url
        here = f"http://{request.header(b'host') or 'localhost'}/shop/back?order={order.id}"
        wanted = {
            "tariffs": TARIFFS,
            "variant": 1 if order.integration is Integration.STEPS else 2,
            "referenceCode": f"GX-{order.id}",
            "successUrl": here,
            "cancelUrl": here,
            "language": "ru",
            "branding": {"name": self._options.merchant, "color": "#5b2fc4"},
        }
        if order.phone is not None:
            wanted["phoneNumber"] = order.phone
        session = await self._call("POST", SESSIONS, wanted)
        order.session, order.url = str(session["id"]), str(session["url"])
        return order.url

    # 2. The webhook: what hands the gold out

    async def _take_webhook(self, request: Request) -> Answer:
        names = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
        headers = {name.decode(): request.header(name) or "" for name in names}
        received = self._inbox.take(headers, request.body)
        if not received.valid:
            raise Refused(401, "wrong signature")
        if received.payment_id is not None and received.status == "succeeded":
            # When this fails, our error makes ppcd tell us again later.
            await self._hand_out(received.payment_id)
        return Response(204)

    async def _hand_out(self, payment_id: str) -> None:
        """Look the payment up: what was bought, and by which of our references."""
        payment = await self._call("GET", f"{PAYMENTS}/{quote(payment_id, safe='')}")
        transaction = payment["amountTransaction"]
        found = REFERENCE.fullmatch(str(transaction["referenceCode"]))
        order = self._orders.get(found[1]) if found else None
        if order is not None and payment["paymentStatus"] == "succeeded":
            charging = transaction["paymentAmount"]["chargingInformation"]
            # Told twice, the order is still the same one: nothing is handed out twice.
            order.bought = str(charging["description"])

    async def _get_webhooks(self, _request: Request) -> Answer:
        return json_response([received.describe() for received in self._inbox.received])

    # 3. The browser comes back

    async def _come_back(self, request: Request) -> Answer:
        """Both return URLs lead here. The signed result says whether asking ppcd is worth it."""
        order = self._order(request.query.get("order", ""))
        query = request.raw.uri.decode("latin-1").partition("?")[2]
        ours = result_is_ours(query, secret=self._options.webhook_secret)
        said_paid = ours and request.query.get("ppcdStatus") == "succeeded"
        if said_paid and order.bought is None and order.session is not None:
            # That a browser came back proves nothing: an old result may come with it.
            session = await self._call("GET", f"{SESSIONS}/{order.session}")
            if session["status"] == "succeeded":
                await self._hand_out(str(session["paymentId"]))
        return Response(303, b"", (("Location", f"/shop/?order={order.id}"),))

    # ppcd's API

    async def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer's document. Raises Refused with the API's own word for what went wrong."""
        if self._api is None:
            raise Refused(502, "UNREACHABLE")
        headers = [
            (b"Authorization", f"Bearer {self._options.key}".encode()),
            (b"Content-Type", b"application/json"),
        ]
        try:
            answer = await self._client.request(
                method.encode(),
                self._api + path,
                headers=headers if body is not None else headers[:1],
                body=b"" if body is None else json.dumps(body).encode(),
                timeout_s=15.0,
            )
        except (NotSent, NoAnswer):
            raise Refused(502, "UNREACHABLE") from None
        try:
            document = json.loads(answer.body)
        except ValueError:
            raise Refused(502, f"STATUS_{answer.status}") from None
        if answer.status not in (200, 201):
            code = str(document.get("code", f"STATUS_{answer.status}"))
            log.info("the payment API refused: {code}", code=code)
            raise Refused(409 if answer.status < 500 else 502, code)
        return dict(document)
