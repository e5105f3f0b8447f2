"""The demo's outside around a stand-in for a node, on real loopback ports."""

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ppcd.http.client import Answer, Client
from ppcd.sim.demo import Outside, OutsideOptions
from tests.sim.fake_node import PAYMENTS, FakeNode

PHONE = "380971234567"


class Demo:
    def __init__(self, reactor: Any, data_dir: Path, **options: Any) -> None:
        self.node = FakeNode(reactor, **options)
        self.outside = Outside(
            reactor, OutsideOptions(http_port=0, data_dir=data_dir), smsc=self.node
        )
        self.client = Client(reactor)

    async def start(self) -> None:
        await self.outside.start()
        addresses = self.outside.addresses
        self.node.billing_url = addresses.billing_url
        self.node.webhook_url = addresses.webhook_url
        self.node.secret = addresses.webhook_secret
        self.outside.connect(self.node.server.url)

    async def stop(self) -> None:
        await self.client.close()
        await self.outside.stop()

    async def ask(self, method: str, path: str, body: object = None) -> Answer:
        return await self.client.request(
            method.encode(),
            self.outside.url + path,
            body=b"" if body is None else json.dumps(body).encode(),
            timeout_s=10,
        )

    async def order(self, integration: str = "1", **more: str) -> str:
        """A new order's id."""
        answer = await self.ask("POST", "/shop/orders", {"integration": integration, **more})
        assert answer.status == 201, answer.body
        order: str = json.loads(answer.body)["order"]
        return order

    async def presses(self, order: str) -> Answer:
        """«Оплатить»."""
        return await self.ask("POST", f"/shop/orders/{order}/session")

    async def pays(self, reference: str = "other") -> str:
        """What the payment page would do: a payment of 250 gold; its id."""
        charging = {"amount": 25, "currency": "UAH", "description": "250 gold"}
        transaction = {
            "phoneNumber": f"+{PHONE}",
            "clientCorrelator": reference,
            "referenceCode": reference,
            "paymentAmount": {"chargingInformation": charging},
        }
        answer = await self.client.request(
            b"POST",
            self.outside.url + PAYMENTS,
            headers=[(b"Authorization", b"Bearer demo-key")],
            body=json.dumps({"amountTransaction": transaction}).encode(),
            timeout_s=10,
        )
        assert answer.status == 201, answer.body
        payment: str = json.loads(answer.body)["paymentId"]
        return payment

    async def end(self, payment: str) -> str:
        """What became of a payment, once it has ended."""
        answer = await self.ask("GET", f"{PAYMENTS}/{payment}?wait=10")
        status: str = json.loads(answer.body)["paymentStatus"]
        return status

    async def is_paid(self, order: str) -> bool:
        paid: bool = json.loads((await self.ask("GET", f"/shop/orders/{order}")).body)["paid"]
        return paid

    async def reply(self, text: str) -> None:
        answer = await self.ask("POST", f"/sim/handsets/{PHONE}/replies", {"text": text})
        assert answer.status == 202

    async def webhooks(self) -> list[dict[str, Any]]:
        return json.loads((await self.ask("GET", "/sim/partner/webhooks")).body)


class Raw(Protocol):
    """Keeps what comes until the connection ends; `seen` fires when `awaited` is among it."""

    def __init__(self, awaited: bytes = b"") -> None:
        self.data = b""
        self.seen: Deferred[None] = Deferred()
        self.over: Deferred[bytes] = Deferred()
        self._awaited = awaited

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if self._awaited in self.data and not self.seen.called:
            self.seen.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(self.data)
