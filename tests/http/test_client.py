"""The client's promises, first of all: 'not sent' is only said when no octet left."""

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from ppcd.http.client import Answer, Client, NoAnswer, NotSent
from tests.http.peers import Socket


class _Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class _Server:
    """The other end of one connection."""

    def __init__(self, protocol: Any, transport: Any = None) -> None:
        self.protocol = protocol
        self.transport = transport or _Transport()
        protocol.makeConnection(self.transport)

    def got(self) -> bytes:
        data = self.transport.value()
        self.transport.clear()
        return data

    def says(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def answers(self, body: bytes = b"{}", status: int = 200, headers: bytes = b"") -> None:
        self.says(
            b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), headers, body)
        )

    def hangs_up(self, error: Exception | None = None) -> None:
        self.protocol.connectionLost(Failure(error or ConnectionDone()))


class _World:
    def __init__(self, **settings: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.names: dict[str, Sequence[str]] = {"billing.example": ["192.0.2.10"]}
        self.lookups: list[str] = []
        self.lookup: Deferred[Sequence[str]] | None = None
        settings.setdefault("resolve", self._resolve)
        self.client = Client(self.reactor, **settings)

    async def _resolve(self, name: str) -> Sequence[str]:
        self.lookups.append(name)
        if self.lookup is not None:
            return await self.lookup
        return self.names[name]

    def post(self, url: str = "http://billing.example/debits", **more: Any) -> "_Call":
        more.setdefault("timeout_s", 10.0)
        more.setdefault("body", b"{}")
        return _Call(self.client.request(b"POST", url, **more))

    @property
    def dialled(self) -> list[tuple[str, int]]:
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def accepts(self, index: int = -1, transport: Any = None) -> _Server:
        factory = self.reactor.tcpClients[index][2]
        return _Server(factory.buildProtocol(None), transport)

    def refuses(self, index: int = -1) -> None:
        factory = self.reactor.tcpClients[index][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))

    def passes(self, seconds: float) -> None:
        self.reactor.advance(seconds)


class _Call:
    """A request under way."""

    def __init__(self, running: Any) -> None:
        self.result: Any = None
        self.deferred = ensureDeferred(running)
        self.deferred.addBoth(self._done)

    def _done(self, result: Any) -> None:
        self.result = result

    @property
    def answer(self) -> Answer:
        assert isinstance(self.result, Answer), self.result
        return self.result

    @property
    def error(self) -> Exception:
        assert isinstance(self.result, Failure), self.result
        return self.result.value


@pytest.fixture
def world() -> _World:
    return _World()


def test_a_request_leaves_in_one_piece_and_its_answer_comes_back(world: _World) -> None:
    call = world.post(headers=[(b"Content-Type", b"application/json")], body=b'{"a":1}')
    server = world.accepts()
    assert world.dialled == [("192.0.2.10", 80)]
    assert server.got() == (
        b"POST /debits HTTP/1.1\r\nHost: billing.example\r\nContent-Type: application/json\r\n"
        b'Content-Length: 7\r\n\r\n{"a":1}'
    )
    server.answers(b'{"ok":true}', headers=b"X-One: two\r\n")
    assert call.answer.status == 200
    assert call.answer.body == b'{"ok":true}'
    assert call.answer.header(b"x-one") == b"two"
    assert call.answer.header(b"x-two") is None


@pytest.mark.parametrize("room", [[], [5], [0], [-1]])
def test_a_request_goes_into_the_socket_at_once_and_the_rest_when_there_is_room(
    world: _World, room: list[int]
) -> None:
    call = world.post()
    socket = Socket(None)
    socket.room = list(room)
    server = world.accepts(transport=socket)
    whole = server.got()
    assert whole.startswith(b"POST /debits HTTP/1.1\r\n")
    assert whole.endswith(b"\r\n{}")
    assert len(socket.buffered) == (len(whole) - max(0, room[0]) if room else 0)
    server.answers()
    assert call.answer
    world.post()  # in the order of the one before, whatever that left behind
    assert server.got() == whole
    assert bool(socket.buffered) == bool(room)


def test_any_status_is_an_answer(world: _World) -> None:
    for status in (301, 404, 503):
        call = world.post()
        server = world.accepts()
        server.answers(status=status)
        assert call.answer.status == status
        server.hangs_up()


def test_answers_without_a_body_and_in_chunks_and_up_to_the_close(world: _World) -> None:
    call = world.post()
    server = world.accepts()
    server.says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert call.answer.body == b""
    call = world.post()
    server.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n")
    server.says(b"0\r\n\r\n")
    assert call.answer.body == b"abc"
    call = world.post()
    server.says(b"HTTP/1.1 200 OK\r\n\r\nabc")
    server.says(b"def")
    server.hangs_up()
    assert call.answer.body == b"abcdef"
    assert len(world.dialled) == 1


def test_connections_are_kept_and_used_again(world: _World) -> None:
    call = world.post()
    server = world.accepts()
    server.answers()
    assert call.answer
    for _ in range(3):
        call = world.post()
        assert server.got()
        server.answers()
        assert call.answer
    assert len(world.dialled) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_connection_the_server_will_close_is_not_used_again(world: _World, answer: bytes) -> None:
    call = world.post()
    server = world.accepts()
    server.says(answer)
    assert call.answer
    assert server.transport.disconnecting
    world.post()
    assert len(world.dialled) == 2


@pytest.mark.parametrize("more", [b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
@pytest.mark.parametrize("late", [False, True])
def test_what_follows_an_answer_is_nobodys(world: _World, more: bytes, *, late: bool) -> None:
    call = world.post()
    server = world.accepts()
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    for data in [whole, more] if late else [whole + more]:
        server.says(data)
    assert call.answer.body == b"{}"
    assert server.transport.aborted
    server.got()
    world.post()
    assert len(world.dialled) == 2
    assert server.got() == b""


def test_an_answer_up_to_the_close_needs_a_proper_one(world: _World) -> None:
    """Where TLS is cut off, too: half a document may look like a whole one."""
    call = world.post()
    server = world.accepts()
    server.says(b"HTTP/1.1 200 OK\r\n\r\nresult=debited&reference=1")
    server.hangs_up(ConnectionLost())
    assert isinstance(call.error, NoAnswer)


def test_what_is_wrong_with_an_answer_is_said(world: _World) -> None:
    call = world.post()
    server = world.accepts()
    server.says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n")
    assert isinstance(call.error, NoAnswer)
    assert str(call.error).startswith("waiting for the answer: Garbled (the length is ")
    assert server.transport.aborted


def test_a_connection_closed_while_idle_is_replaced_without_an_error(world: _World) -> None:
    call = world.post()
    server = world.accepts()
    server.answers()
    server.hangs_up()
    call = world.post()
    world.accepts().answers()
    assert call.answer.status == 200


def test_closed_after_writing_is_no_answer(world: _World) -> None:
    for error in (ConnectionDone(), ConnectionLost()):
        call = world.post()
        world.accepts().hangs_up(error)
        assert isinstance(call.error, NoAnswer)
        assert "waiting for the answer" in str(call.error)


def test_a_kept_connection_that_dies_after_writing_is_no_answer_and_no_repeat(
    world: _World,
) -> None:
    call = world.post()
    server = world.accepts()
    server.answers()
    call = world.post()
    assert server.got().count(b"POST") == 2
    server.hangs_up()
    assert isinstance(call.error, NoAnswer)
    assert len(world.dialled) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 65537,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 25000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 6000,
    ],
)
def test_an_answer_that_is_none_is_no_answer(world: _World, answer: bytes) -> None:
    call = world.post()
    server = world.accepts()
    server.says(answer)
    if not server.transport.disconnecting:
        assert server.transport.aborted
    if call.result is None:
        server.hangs_up()
    assert isinstance(call.error, NoAnswer)
    world.post()
    assert len(world.dialled) == 2


def test_half_an_answer_is_no_answer(world: _World) -> None:
    call = world.post()
    server = world.accepts()
    server.says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
    server.hangs_up()
    assert isinstance(call.error, NoAnswer)


def test_an_answer_that_does_not_come_is_no_answer_in_time(world: _World) -> None:
    call = world.post(timeout_s=3.0)
    server = world.accepts()
    world.passes(2.9)
    assert call.result is None
    world.passes(0.1)
    assert isinstance(call.error, NoAnswer)
    assert str(call.error) == "timeout waiting for the answer"
    assert server.transport.aborted


def test_a_body_that_drips_is_no_answer_in_time(world: _World) -> None:
    call = world.post(timeout_s=3.0)
    server = world.accepts()
    server.says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
    for _ in range(3):
        server.says(b"x")
        world.passes(1.0)
    assert isinstance(call.error, NoAnswer)
    assert server.transport.aborted


# -- not sent


def test_a_refused_connection_is_not_sent(world: _World) -> None:
    call = world.post()
    world.refuses()
    assert isinstance(call.error, NotSent)
    assert str(call.error) == "connecting: ConnectionRefusedError"


def test_a_connection_that_does_not_open_is_not_sent(world: _World) -> None:
    call = world.post(connect_timeout_s=2.0)
    world.passes(2.0)
    assert isinstance(call.error, NotSent)
    assert str(call.error) == "timeout connecting"


def test_a_total_deadline_before_the_connection_opens_is_not_sent(world: _World) -> None:
    call = world.post(timeout_s=2.0)
    world.passes(2.0)
    assert isinstance(call.error, NotSent)
    assert str(call.error) == "timeout connecting"


def test_a_name_without_an_address_is_not_sent(world: _World) -> None:
    call = world.post("http://nowhere.example/")
    assert isinstance(call.error, NotSent)
    world.names["empty.example"] = []
    call = world.post("http://empty.example/")
    assert isinstance(call.error, NotSent)


def test_a_name_that_resolves_for_ever_is_not_sent(world: _World) -> None:
    world.lookup = Deferred()
    call = world.post(connect_timeout_s=2.0)
    world.passes(2.0)
    assert isinstance(call.error, NotSent)


def test_the_next_address_is_tried(world: _World) -> None:
    world.names["billing.example"] = ["2001:db8::1", "192.0.2.10"]
    call = world.post()
    world.refuses()
    world.accepts().answers()
    assert call.answer.status == 200
    assert world.dialled == [("2001:db8::1", 80), ("192.0.2.10", 80)]


def test_what_may_no_longer_be_sent_is_not_and_the_connection_stays(world: _World) -> None:
    allowed = [True]
    call = world.post(may_send=lambda: allowed[0])
    allowed[0] = False
    server = world.accepts()
    assert isinstance(call.error, NotSent)
    assert server.got() == b""
    allowed[0] = True
    call = world.post(may_send=lambda: allowed[0])
    server.answers()
    assert call.answer.status == 200
    assert len(world.dialled) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "//a.example/",
        "http:///path",
        "http://user@a.example/",
        "http://user:pw@a.example/",
        "http://a.example:0/",
        "http://a.example:99999/",
        "http://a.example:x/",
        "http://a b.example/",
        "http://a.example/\r\nX: y",
        "http://a.example/ü",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://a..example/",
        "http://a.example\\@b.example/",
        "http://" + "a" * 254 + "/",
    ],
)
def test_what_is_no_url_is_not_sent(world: _World, url: str) -> None:
    call = world.post(url)
    assert isinstance(call.error, NotSent)
    assert world.dialled == []


def test_a_header_with_a_line_break_is_our_own_mistake(world: _World) -> None:
    for header in ((b"X", b"a\r\nB: c"), (b"X\r\n", b"a"), (b"", b"a"), (b"X", b"\x00")):
        call = world.post(headers=[header])
        assert isinstance(call.error, ValueError)


# -- addresses


@pytest.mark.parametrize(
    ("url", "address", "host"),
    [
        ("http://127.0.0.1:8080/a", ("127.0.0.1", 8080), b"127.0.0.1:8080"),
        ("http://[::1]/a", ("::1", 80), b"[::1]"),
        ("http://[::1]:81/a", ("::1", 81), b"[::1]:81"),
        ("HTTP://Billing.Example:80/a", ("192.0.2.10", 80), b"billing.example"),
    ],
)
def test_where_it_goes(world: _World, url: str, address: tuple[str, int], host: bytes) -> None:
    world.post(url)
    server = world.accepts()
    assert world.dialled == [address]
    assert b"\r\nHost: " + host + b"\r\n" in server.got()


def test_the_query_goes_along_and_the_fragment_stays(world: _World) -> None:
    call = _Call(world.client.request(b"GET", "http://billing.example?a=b#c", timeout_s=10.0))
    server = world.accepts()
    assert server.got() == b"GET /?a=b HTTP/1.1\r\nHost: billing.example\r\n\r\n"
    server.answers()
    assert call.answer


def test_one_address_that_is_not_allowed_refuses_the_whole_name() -> None:
    world = _World(address_allowed=lambda address: not address.startswith("10."))
    world.names["billing.example"] = ["192.0.2.10", "10.0.0.1"]
    call = world.post()
    assert isinstance(call.error, NotSent)
    assert world.dialled == []
    call = world.post("http://10.1.2.3/")
    assert isinstance(call.error, NotSent)
    world.names["billing.example"] = ["192.0.2.10"]
    world.post()
    assert world.dialled == [("192.0.2.10", 80)]


# -- limits


def test_connections_per_host_are_limited_and_the_others_wait_their_turn() -> None:
    world = _World(connections_per_host_max=2)
    calls = [world.post() for _ in range(4)]
    assert len(world.dialled) == 2
    first, second = world.accepts(0), world.accepts(1)
    first.got()
    first.answers(b"1")
    assert calls[0].answer.body == b"1"
    assert first.got()  # the third went out at once
    second.got()
    second.hangs_up()
    assert isinstance(calls[1].error, NoAnswer)
    assert len(world.dialled) == 3
    third = world.accepts(2)
    first.answers(b"3")
    third.answers(b"4")
    assert [calls[2].answer.body, calls[3].answer.body] == [b"3", b"4"]


def test_a_connection_that_failed_gives_its_place_to_the_next() -> None:
    world = _World(connections_per_host_max=1)
    calls = [world.post() for _ in range(2)]
    world.refuses(0)
    assert isinstance(calls[0].error, NotSent)
    world.accepts(1).answers()
    assert calls[1].answer


def test_waiting_too_long_for_a_connection_is_not_sent() -> None:
    world = _World(connections_per_host_max=1)
    first = world.post(timeout_s=10.0)
    second = world.post(timeout_s=1.0)
    server = world.accepts()
    world.passes(1.0)
    assert isinstance(second.error, NotSent)
    assert str(second.error) == "timeout waiting for a free connection"
    server.answers()
    assert first.answer


def test_too_many_waiting_is_not_sent() -> None:
    world = _World(connections_per_host_max=1, waiting_per_host_max=1)
    world.post()
    world.post()
    assert isinstance(world.post().error, NotSent)


def test_however_many_may_not_be_sent_any_more_each_is_told() -> None:
    """A node that slept: what waits is not sent, one after another and not one inside another."""
    world = _World(connections_per_host_max=1, waiting_per_host_max=2000)
    first = world.post()
    others = [world.post(may_send=lambda: False) for _ in range(1500)]
    last = world.post()
    server = world.accepts()
    server.answers()
    assert first.answer
    assert all(isinstance(call.error, NotSent) for call in others)
    server.answers()
    assert last.answer


def test_one_whose_caller_breaks_harms_no_other() -> None:
    world = _World(connections_per_host_max=1)
    first = world.post()
    broken = world.post(may_send=lambda: {}["gone"])
    last = world.post()
    server = world.accepts()
    server.answers()
    assert first.answer
    assert isinstance(broken.error, KeyError)
    server.answers()
    assert last.answer


def test_hosts_do_not_wait_for_each_other() -> None:
    world = _World(connections_per_host_max=1)
    world.post()
    world.post("http://192.0.2.77/")
    assert world.dialled == [("192.0.2.10", 80), ("192.0.2.77", 80)]


def test_an_idle_connection_is_closed_after_a_while(world: _World) -> None:
    call = world.post()
    server = world.accepts()
    server.answers()
    assert call.answer
    world.passes(31)
    assert server.transport.disconnecting
    server.hangs_up()
    world.passes(31)
    assert world.reactor.getDelayedCalls() == []


def test_a_busy_connection_is_not_swept(world: _World) -> None:
    world.post()
    world.accepts().answers()
    world.passes(15)
    call = world.post(timeout_s=100.0)
    world.passes(40)
    assert call.result is None
    world.passes(5)


# -- ending


def test_the_caller_can_cancel(world: _World) -> None:
    call = world.post()
    server = world.accepts()
    call.deferred.cancel()
    assert isinstance(call.error, CancelledError)
    assert server.transport.aborted
    call = world.post("http://192.0.2.77/")
    call.deferred.cancel()
    assert isinstance(call.error, CancelledError)


def test_cancelled_while_the_body_comes(world: _World) -> None:
    call = world.post()
    server = world.accepts()
    server.says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx")
    call.deferred.cancel()
    assert isinstance(call.error, CancelledError)
    assert server.transport.aborted


def _closing(world: _World) -> _Call:
    return _Call(world.client.close())


@pytest.mark.parametrize("polite", [True, False])
def test_closing_ends_idle_connections(world: _World, polite: bool) -> None:
    world.post()
    server = world.accepts()
    server.answers()
    closing = _closing(world)
    assert server.transport.disconnecting
    assert closing.result is None
    if polite:
        server.hangs_up()
    else:
        world.passes(2)
        assert server.transport.aborted
        server.hangs_up()
    assert closing.result is None
    assert closing.deferred.called
    assert world.reactor.getDelayedCalls() == []


def test_closing_lets_what_is_in_flight_end_and_takes_no_more() -> None:
    world = _World(connections_per_host_max=1)
    call = world.post()
    waiting = world.post()
    server = world.accepts()
    closing = _closing(world)
    assert isinstance(waiting.error, NotSent)
    server.answers()
    assert call.answer
    assert server.transport.aborted
    server.hangs_up()
    assert closing.deferred.called
    assert isinstance(world.post().error, NotSent)


def test_a_connection_that_opens_after_closing_is_not_used(world: _World) -> None:
    call = world.post()
    _closing(world)
    server = world.accepts()
    assert isinstance(call.error, NotSent)
    assert server.got() == b""
    assert server.transport.aborted
    server.hangs_up()
    world.passes(31)
    assert world.reactor.getDelayedCalls() == []
