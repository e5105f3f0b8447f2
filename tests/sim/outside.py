"""The demo's outside around a stand-in for a node, on real loopback ports."""

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ppcd.http.client import Answer, Client
from ppcd.sim.demo import Outside, OutsideOptions
from tests.sim.fake_node import FakeNode

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

    async def order(self, tariff: str = "gold-250", phone: str = PHONE) -> dict[str, Any]:
        answer = await self.ask("POST", "/shop/orders", {"tariff": tariff, "phone": phone})
        assert answer.status == 201, answer.body
        return json.loads(answer.body)

    async def reply(self, text: str) -> None:
        answer = await self.ask("POST", f"/sim/handsets/{PHONE}/replies", {"text": text})
        assert answer.status == 202

    async def behave(self, mode: str) -> None:
        answer = await self.ask("PUT", f"/sim/billing/accounts/{PHONE}", {"mode": mode})
        assert answer.status == 200

    async def watch(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        """Everything that the order's event stream tells until the end."""
        answer = await self.ask("GET", f"/shop/orders/{order['order']}/events")
        lines = answer.body.decode().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]

    async def end(self, order: dict[str, Any]) -> tuple[str, str | None]:
        last = (await self.watch(order))[-1]
        return last["progress"], last["reason"]

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
