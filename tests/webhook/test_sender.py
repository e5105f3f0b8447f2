"""What is posted, and what an answer means."""

import base64
import gzip
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from ppcd.flow.ports import Delivered, Event, Gone, Notifier, NotTried, TryLater
from ppcd.webhook.sender import WAITING_PER_HOST_MAX, Sender
from ppcd.webhook.settings import WebhookSettings

KEY = b"k" * 24
URL = "http://shop.test:8080/hook"
NOW_S = datetime(2026, 11, 23, 9, 0, 0, 999999, tzinfo=UTC).timestamp()


class _Transport(StringTransport):
    def abortConnection(self) -> None:
        self.disconnecting = True


class _World:
    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.sender: Sender = Sender(
            self.reactor,
            WebhookSettings(http_hosts=["shop.test", "other.test"]),
            now=lambda: NOW_S,
            resolve=self._resolve,
        )
        self.notifier: Notifier = self.sender
        self.protocol: Any = None

    async def _resolve(self, name: str) -> list[str]:
        return ["127.0.0.1"]

    def deliver(self, **changes: Any) -> list[Any]:
        fields = {
            "event_id": "evt_17_1",
            "url": URL,
            "secrets": (KEY,),
            "body": b'{"id":"evt_17_1"}',
            "bearer": None,
        } | changes
        results: list[Any] = []
        self.notifier.deliver(Event(**fields)).addBoth(results.append)
        return results

    def accepts(self) -> tuple[dict[str, str], bytes]:
        self.protocol = self.reactor.tcpClients[-1][2].buildProtocol(None)
        transport = _Transport()
        self.protocol.makeConnection(transport)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /hook HTTP/1.1"
        return dict(line.lower().split(": ", 1) for line in lines[1:]), body

    def answers(self, status: int, headers: str = "", body: bytes = b"") -> None:
        length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
        self.protocol.dataReceived(f"HTTP/1.1 {status} X\r\n{length}{headers}\r\n".encode() + body)


@pytest.fixture
def world() -> _World:
    return _World()


def test_an_event_is_posted_with_its_signature(world: _World) -> None:
    result = world.deliver(secrets=(KEY, b"o" * 24), bearer="tok-en")
    headers, body = world.accepts()
    assert body == b'{"id":"evt_17_1"}'
    assert headers["host"] == "shop.test:8080"
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == "evt_17_1"
    assert headers["webhook-timestamp"] == str(int(NOW_S))
    assert headers["authorization"] == "bearer tok-en"
    assert len(headers["webhook-signature"].split()) == 2
    expected = Webhook("whsec_" + base64.b64encode(KEY).decode()).sign(
        "evt_17_1", datetime.fromtimestamp(int(NOW_S), UTC), body.decode()
    )
    assert headers["webhook-signature"].split()[0] == expected.lower()
    world.answers(204)
    assert result == [Delivered(204)]


def test_without_a_token_there_is_no_authorization(world: _World) -> None:
    world.deliver()
    headers, _ = world.accepts()
    assert "authorization" not in headers
    world.answers(200)


@pytest.mark.parametrize(
    ("status", "headers", "result"),
    [
        (200, "", Delivered(200)),
        (202, "", Delivered(202)),
        (299, "", Delivered(299)),
        (301, "Location: https://other.example/\r\n", TryLater(None, "301")),
        (302, "Location: http://169.254.169.254/\r\n", TryLater(None, "302")),
        (400, "", TryLater(None, "400")),
        (401, "", TryLater(None, "401")),
        (404, "Retry-After: 5\r\n", TryLater(None, "404")),
        (410, "", Gone("410")),
        (429, "Retry-After: 120\r\n", TryLater(120, "429")),
        (429, "", TryLater(None, "429")),
        (500, "", TryLater(None, "500")),
        (503, "Retry-After: 999999999\r\n", TryLater(86400, "503")),
        (503, "Retry-After: Mon, 23 Nov 2026 09:01:00 GMT\r\n", TryLater(59.000001, "503")),
        (503, "Retry-After: Mon, 23 Nov 2026 08:01:00 GMT\r\n", TryLater(0, "503")),
        (503, "Retry-After: Mon, 23 Nov 2026 09:01:00 -0000\r\n", TryLater(59.000001, "503")),
        (503, "Retry-After: soon\r\n", TryLater(None, "503")),
        (503, "Retry-After: \xff\r\n", TryLater(None, "503")),
        (503, "Retry-After: -5\r\n", TryLater(None, "503")),
    ],
)
def test_what_an_answer_means(world: _World, status: int, headers: str, result: Any) -> None:
    results = world.deliver()
    world.accepts()
    world.answers(status, headers)
    [got] = results
    assert type(got) is type(result)
    if isinstance(got, TryLater):
        assert got.after_s == pytest.approx(result.after_s)
        assert got.detail == result.detail
    else:
        assert got == result
    # Never a second connection: redirects are not followed.
    assert len(world.reactor.tcpClients) == 1


def test_a_refused_connection_is_tried_later(world: _World) -> None:
    results = world.deliver()
    world.reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    [got] = results
    assert got.after_s is None
    assert got.detail.startswith("not sent: ")


def test_a_connection_lost_is_tried_later(world: _World) -> None:
    results = world.deliver()
    world.accepts()
    world.protocol.connectionLost(Failure(ConnectionDone()))
    [got] = results
    assert got.detail.startswith("no answer: ")


def test_a_partner_that_hangs_is_given_ten_seconds(world: _World) -> None:
    results = world.deliver()
    world.accepts()
    world.reactor.advance(9.9)
    assert results == []
    world.reactor.advance(0.1)
    assert results == [TryLater(None, "no answer: timeout waiting for the answer")]


def test_an_endless_answer_is_cut(world: _World) -> None:
    results = world.deliver()
    world.accepts()
    world.answers(200, body=b"x" * 65_537)
    assert results[0].detail.startswith("no answer: ")


def test_an_answer_that_drips_is_not_waited_for(world: _World) -> None:
    results = world.deliver()
    world.accepts()
    for octet in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nslow"[:20]:
        world.protocol.dataReceived(bytes([octet]))
        world.reactor.advance(0.5)
    assert results == [TryLater(None, "no answer: timeout waiting for the answer")]


def test_a_packed_answer_is_neither_asked_for_nor_unpacked(world: _World) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    assert len(bomb) < 65_536
    results = world.deliver()
    headers, _ = world.accepts()
    assert "accept-encoding" not in headers
    world.answers(200, "Content-Encoding: gzip\r\n", bomb)
    assert results == [Delivered(200)]


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"2000\r\n" + b"x" * 0x2000,
        b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: a\r\n" * 500,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"\0" * 4096,
    ],
    ids=["chunks", "long header", "many headers", "interim answers", "garbage"],
)
def test_an_answer_without_end_holds_neither_memory_nor_time(world: _World, octets: bytes) -> None:
    results = world.deliver()
    world.accepts()
    for _ in range(400):
        if results:
            break
        world.protocol.dataReceived(octets)
        octets = octets[octets.index(b"2000\r\n") :] if b"chunked" in octets else octets
        octets = b"\r\n" + octets if octets.startswith(b"2000") else octets
        world.reactor.advance(0.025)
    assert len(results) == 1
    assert isinstance(results[0], TryLater)
    world.reactor.advance(10)


def test_a_partner_that_hangs_holds_four_connections_and_slows_nobody_else(world: _World) -> None:
    results = [world.deliver() for _ in range(4)]
    peers = [factory.buildProtocol(None) for _, _, factory, *_ in world.reactor.tcpClients]
    for peer in peers:
        peer.makeConnection(_Transport())
    world.reactor.advance(1)
    results += [world.deliver() for _ in range(WAITING_PER_HOST_MAX + 12)]
    assert len(world.reactor.tcpClients) == 4
    # Beyond a queue they are put off at once instead of holding workers: no attempts.
    assert sum(bool(result) for result in results) == 12
    assert results[-1] == [NotTried("too many requests wait for a connection")]
    other = world.deliver(url="http://other.test/hook")
    world.accepts()
    world.answers(200)
    assert other == [Delivered(200)]
    world.reactor.advance(9)
    assert results[:4] == [[TryLater(None, "no answer: timeout waiting for the answer")]] * 4
    for peer in peers:
        peer.connectionLost(Failure(ConnectionDone()))
    world.reactor.advance(1)
    # Who got no turn has not been tried; who got one now has as much time as the first had.
    late = [NotTried("timeout waiting for a free connection")]
    assert results[8 : 4 + WAITING_PER_HOST_MAX] == [late] * (WAITING_PER_HOST_MAX - 4)
    assert results[4:8] == [[]] * 4
    world.reactor.advance(9)
    assert all(results)


def test_closing_lets_an_attempt_end(world: _World) -> None:
    results = world.deliver()
    world.accepts()
    closed: list[Any] = []
    Deferred.fromCoroutine(world.sender.close()).addBoth(closed.append)
    assert closed == []
    world.answers(200)
    assert results == [Delivered(200)]
    world.protocol.connectionLost(Failure(ConnectionDone()))
    assert closed == [None]
    assert world.reactor.getDelayedCalls() == []
