"""One address for the demo: its page, the simulators, and the node behind a proxy."""

import json
import re
import socket
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import CannotListenError

from ppcd.http.client import Client, NoAnswer
from ppcd.sim.demo import Outside, OutsideOptions, hosts_of
from ppcd.sim.front import Front
from ppcd.sim.web import Answer, App, Drop, Hang, Request, Response, Route, Server, Stream
from tests.sim.fake_node import PAYMENTS
from tests.sim.outside import Demo, Raw


@pytest_twisted.async_yield_fixture
async def demo(reactor: Any, tmp_path: Path) -> AsyncIterator[Demo]:
    demo = Demo(reactor, tmp_path)
    await demo.start()
    yield demo
    await demo.stop()


class Upstream:
    """A server behind a front, whose one path does what the test says."""

    def __init__(self, reactor: Any) -> None:
        self.asked: list[Request] = []
        self.answer: Answer = Response(200, b"fine")
        self.left: Deferred[None] = Deferred()
        methods = ("GET", "POST", "DELETE")
        app = App([Route(method, "/node/{path}", self.take) for method in methods])
        self.server = Server(reactor, app, host="127.0.0.1", port=0)
        self.front = Front(reactor, (), host="127.0.0.1", port=0)

    async def take(self, request: Request) -> Answer:
        self.asked.append(request)
        request.raw.notifyFinish().addErrback(lambda _: self.left.callback(None))
        return self.answer

    async def start(self) -> "Upstream":
        await self.server.start()
        await self.front.start()
        self.front.connect(self.server.url)
        return self

    async def stop(self) -> None:
        await self.front.stop()
        await self.server.stop()


@pytest_twisted.async_yield_fixture
async def upstream(reactor: Any) -> AsyncIterator[Upstream]:
    upstream = await Upstream(reactor).start()
    yield upstream
    await upstream.stop()


@pytest_twisted.ensureDeferred
async def test_the_page_loads_only_its_own_files_under_a_strict_policy(demo: Demo) -> None:
    for address in ("/", "/shop/"):
        page = await demo.ask("GET", address)
        assert page.status == 200
        policy = (page.header(b"content-security-policy") or b"").decode()
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        html = page.body.decode()
        assert "style=" not in html
        assert not re.search(r"<script(?![^>]*\bsrc=)", html)
        for path in re.findall(r'(?:src|href)="([^"#]+)"', html):
            if path != "/checkout/v1/checkout.js":
                assert path.startswith(("/demo/", "/shop/")), path
                assert (await demo.ask("GET", path)).status == 200


def test_no_asset_reaches_for_the_internet() -> None:
    for file in files("ppcd.sim").joinpath("assets").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, file.name
        assert "https:" not in text, file.name
        assert "innerHTML" not in text, file.name


@pytest_twisted.ensureDeferred
async def test_the_nodes_paths_are_handed_on_with_their_headers(demo: Demo) -> None:
    answer = await demo.client.request(
        b"POST",
        demo.outside.url + PAYMENTS,
        headers=[(b"Authorization", b"Bearer wrong")],
        body=b"{}",
        timeout_s=10,
    )
    assert answer.status == 401
    assert json.loads(answer.body)["code"] == "UNAUTHENTICATED"
    contract = await demo.ask("GET", "/openapi/carrier-billing.yaml")
    assert contract.body == b"openapi: 3.0.3\n"
    assert contract.header(b"content-type") == b"application/yaml"


@pytest_twisted.ensureDeferred
async def test_a_long_poll_passes_through(demo: Demo) -> None:
    await demo.pays()
    waiting = Deferred.fromCoroutine(demo.ask("GET", f"{PAYMENTS}/1001?wait=25"))
    await demo.reply("НЕТ")
    assert json.loads((await waiting).body)["paymentStatus"] == "denied"


@pytest_twisted.ensureDeferred
async def test_method_query_body_and_host_arrive_unchanged(upstream: Upstream) -> None:
    demo = Caller(upstream.server._reactor, upstream.front.url)
    await demo.ask("POST", "/node/a%2Fb?x=%201&y", b"{}\x00\xff")
    [asked] = upstream.asked
    assert asked.raw.uri == b"/node/a%2Fb?x=%201&y"
    assert asked.body == b"{}\x00\xff"
    assert asked.header(b"host") == upstream.front.url.removeprefix("http://")
    assert asked.header(b"x-forwarded-for") == "127.0.0.1"
    await demo.close()


@pytest_twisted.ensureDeferred
async def test_a_chunked_body_arrives_whole(reactor: Any, upstream: Upstream) -> None:
    request = b"POST /node/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    request += b"Transfer-Encoding: chunked\r\n\r\n5\r\npiece\r\n3\r\nend\r\n0\r\n\r\n"
    raw = Raw()
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", upstream.front.port)
    await connectProtocol(endpoint, raw)
    raw.transport.write(request)
    assert (await raw.over).endswith(b"\r\n\r\nfine")
    [asked] = upstream.asked
    assert asked.body == b"pieceend"


@pytest_twisted.ensureDeferred
async def test_statuses_and_headers_come_back_unchanged(upstream: Upstream) -> None:
    demo = Caller(upstream.server._reactor, upstream.front.url)
    upstream.answer = Response(303, b"", (("Location", "/pay/1"), ("X-Correlator", "c-1")))
    answer = await demo.ask("GET", "/node/a")
    assert answer.status == 303
    assert answer.header(b"location") == b"/pay/1"
    assert answer.header(b"x-correlator") == b"c-1"
    upstream.answer = Response(204)
    assert (await demo.ask("DELETE", "/node/a")).status == 204
    await demo.close()


@pytest_twisted.ensureDeferred
async def test_a_stream_arrives_whole_and_in_pieces(upstream: Upstream) -> None:
    demo = Caller(upstream.server._reactor, upstream.front.url)
    pieces = [bytes([n]) * 100_000 for n in range(5)]

    async def run(write: Any) -> None:
        for piece in pieces:
            write(piece)

    upstream.answer = Stream(run, (("Content-Type", "text/event-stream"),))
    answer = await demo.ask("GET", "/node/a", size_max=10**6)
    assert answer.body == b"".join(pieces)
    await demo.close()


@pytest_twisted.ensureDeferred
async def test_an_answer_torn_upstream_is_torn_here(upstream: Upstream) -> None:
    demo = Caller(upstream.server._reactor, upstream.front.url)

    async def run(write: Any) -> None:
        write(b"half")
        upstream.asked[0].raw.channel.transport.loseConnection()
        await Deferred()

    upstream.answer = Stream(run)
    try:
        await demo.ask("GET", "/node/a")
    except NoAnswer:
        pass
    else:
        raise AssertionError("half an answer passed for a whole one")
    await demo.close()


@pytest_twisted.ensureDeferred
async def test_an_asker_that_leaves_ends_the_question(upstream: Upstream) -> None:
    demo = Caller(upstream.server._reactor, upstream.front.url)
    for answer in (Hang(), Stream(_write_and_wait)):
        upstream.answer = answer
        upstream.left = Deferred()
        try:
            await demo.ask("GET", "/node/a", timeout_s=0.2)
        except NoAnswer:
            await upstream.left
    assert len(upstream.asked) == 2
    await demo.close()


@pytest_twisted.ensureDeferred
async def test_without_a_node_its_paths_are_502(upstream: Upstream) -> None:
    demo = Caller(upstream.server._reactor, upstream.front.url)
    upstream.answer = Drop()
    assert (await demo.ask("POST", "/node/a", b"{}")).status == 502
    await upstream.server.stop()
    assert (await demo.ask("GET", "/node/a")).status == 502
    upstream.front._proxy.upstream = None
    assert (await demo.ask("GET", "/node/a")).status == 502
    await demo.close()


@pytest_twisted.ensureDeferred
async def test_a_taken_port_leaves_nothing_running(
    reactor: Any, demo: Demo, tmp_path: Path
) -> None:
    options = OutsideOptions(http_port=demo.outside.front.port, data_dir=tmp_path / "second")
    second = Outside(reactor, options)
    try:
        await second.start()
    except CannotListenError:
        return
    raise AssertionError("two demos on one port")


@pytest_twisted.ensureDeferred
async def test_with_the_real_smsc_a_phone_is_there(reactor: Any, tmp_path: Path) -> None:
    outside = Outside(reactor, OutsideOptions(http_port=0, data_dir=tmp_path))
    await outside.start()
    assert outside.addresses.smsc_port
    caller = Caller(reactor, outside.url)
    messages = await caller.ask("GET", "/sim/handsets/380971234567/messages")
    assert json.loads(messages.body) == []
    await caller.close()
    path = tmp_path / "ppcd.yaml"
    outside.write_configuration(path, lambda addresses: f"billing: {addresses.billing_url}\n")
    assert path.read_text() == f"billing: {outside.billing.url}\n"
    assert path.stat().st_mode & 0o077 == 0
    await outside.stop()


@pytest_twisted.ensureDeferred
async def test_accounts_and_webhooks_survive_a_restart(reactor: Any, tmp_path: Path) -> None:
    first = Demo(reactor, tmp_path)
    await first.start()
    await first.pays()
    await first.reply("ДА")
    await first.node.told
    listed = await first.webhooks()
    assert listed
    await first.stop()
    second = Demo(reactor, tmp_path)
    await second.start()
    assert await second.webhooks() == listed
    account = json.loads((await second.ask("GET", "/sim/billing/accounts/380971234567")).body)
    assert account["balance_minor"] == 97_500
    await second.stop()


class Caller:
    """Asks one address."""

    def __init__(self, reactor: Any, url: str) -> None:
        self._url = url
        self._client = Client(reactor)

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        timeout_s: float = 10,
        size_max: int = 65_536,
    ) -> Any:
        return await self._client.request(
            method.encode(),
            self._url + path,
            body=body,
            timeout_s=timeout_s,
            answer_size_max=size_max,
        )

    async def close(self) -> None:
        await self._client.close()


async def _write_and_wait(write: Any) -> None:
    write(b"data: 1\n\n")
    await Deferred()


def test_a_demo_knows_by_which_names_browsers_may_come() -> None:
    assert hosts_of("127.0.0.1") == ("127.0.0.1", "localhost")
    assert hosts_of("192.0.2.7") == ("127.0.0.1", "192.0.2.7", "localhost")
    everywhere = hosts_of("0.0.0.0")
    assert {"127.0.0.1", "localhost", socket.gethostname().lower()} <= set(everywhere)
    assert "0.0.0.0" not in everywhere
