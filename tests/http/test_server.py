"""The server's promises: limits, deadlines, and JSON whatever happens. Over memory transports."""

import json
from collections.abc import AsyncIterator, Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ppcd.http.exchange import CLIENT_GONE, Seen
from ppcd.http.messages import Request, Response, json_response
from ppcd.http.router import Router
from ppcd.http.server import Limits, Site
from tests.conftest import Criticals
from tests.http.peers import Peer, Socket


class _World:
    """A site with a few routes, and what it reported."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.seen: list[Seen] = []
        self.requests: list[Request] = []
        self.slow: Deferred[None] = Deferred()
        self.cancelled: list[str] = []
        self.finished: list[str] = []
        router = Router()
        router.add("GET", "/hello", self._hello)
        router.add("POST", "/echo", self._echo)
        router.add("GET", "/things/{thingId}", self._hello)
        router.add("GET", "/things/special", self._echo)
        router.add("GET", "/slow", self._slow, deadline_s=5.0)
        router.add("POST", "/slow", self._slow, deadline_s=5.0)
        router.add("GET", "/stubborn", self._stubborn)
        router.add("GET", "/broken", self._broken)
        router.add("GET", "/bad-header", self._bad_header)
        router.add("GET", "/empty", self._empty)
        router.add("GET", "/stream", self._stream)
        self.pieces: Deferred[bytes] = Deferred()
        self.stream_ended: list[str] = []
        self.site = Site(
            router,
            reactor=self.clock,
            observe=self.seen.append,
            limits=limits or Limits(),
            date=lambda: "Mon, 23 Nov 2026 09:00:00 GMT",
        )

    def peer(self, address: str = "192.0.2.1") -> Peer:
        return Peer(self.site, address)

    async def _hello(self, request: Request) -> Response:
        self.requests.append(request)
        return json_response(200, {"params": dict(request.params)})

    async def _echo(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, [(b"Content-Type", b"text/plain")], request.body)

    async def _slow(self, request: Request) -> Response:
        try:
            await self.slow
        except CancelledError:
            self.cancelled.append(request.path)
            raise
        self.finished.append(request.path)
        return Response(200, body=b"at last")

    async def _stubborn(self, request: Request) -> Response:
        waiting: Deferred[None] = Deferred()
        self.slow.chainDeferred(waiting)
        for _ in range(3):
            try:
                await waiting
            except CancelledError:
                waiting = Deferred()
                self.slow.chainDeferred(waiting)
        return Response(200)

    async def _broken(self, request: Request) -> Response:
        raise RuntimeError("a secret of the house")

    async def _bad_header(self, request: Request) -> Response:
        return Response(200, [(b"X-Bad", b"one\r\nX-Two: two")])

    async def _empty(self, request: Request) -> Response:
        return Response(204)

    async def _stream(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while piece := await self.pieces:
                    self.pieces = Deferred()
                    yield piece
            finally:
                self.stream_ended.append("ended")

        return Response(200, [(b"Content-Type", b"text/event-stream")], pieces())

    def next_piece(self, data: bytes) -> None:
        waiting = self.pieces
        waiting.callback(data)


@pytest.fixture
def world() -> _World:
    return _World()


GET = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_request_is_answered_and_the_connection_kept(world: _World) -> None:
    peer = world.peer()
    for _ in range(3):
        peer.sends(GET)
        status, headers, body = peer.answer()
        assert (status, body) == (200, b'{"params":{}}')
        assert headers["date"] == "mon, 23 nov 2026 09:00:00 gmt"
        assert "server" not in headers
        assert "connection" not in headers
    assert not peer.closed
    assert [seen.route for seen in world.seen] == ["/hello"] * 3


def test_an_answer_goes_into_the_socket_at_once(world: _World) -> None:
    peer = Peer(world.site, transport=Socket)
    for _ in range(2):
        peer.sends(GET)
        assert peer.answer()[0] == 200
    assert isinstance(peer.transport, Socket)
    assert peer.transport.buffered == b""


@pytest.mark.parametrize("room", [0, 1, 100])
def test_what_a_full_socket_does_not_take_follows_in_its_order(world: _World, room: int) -> None:
    peer = Peer(world.site, transport=Socket)
    assert isinstance(peer.transport, Socket)
    peer.transport.room = [room]
    peer.sends(GET)
    whole = peer.got()
    assert peer.transport.buffered == whole[room:]
    # What is buffered must not be overtaken, and only the transport knows when it has left.
    peer.sends(GET)
    assert peer.got() == whole
    assert peer.transport.buffered == whole[room:] + whole


def test_a_socket_that_is_lost_is_the_reactors_to_notice(world: _World) -> None:
    peer = Peer(world.site, transport=Socket)
    assert isinstance(peer.transport, Socket)
    peer.transport.room = [-1]
    peer.sends(GET)
    assert peer.answer()[0] == 200
    assert peer.transport.buffered


def test_an_answer_does_not_overtake_the_word_to_go_on(world: _World) -> None:
    peer = Peer(world.site, transport=Socket)
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    peer.sends(head)
    peer.sends(b"hello")
    assert isinstance(peer.transport, Socket)
    assert peer.transport.buffered.startswith(b"HTTP/1.1 100 ")
    assert peer.transport.buffered.endswith(b"hello")


def test_any_cut_of_the_octets_gives_the_same_request(world: _World) -> None:
    wire = b"POST /echo?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
    for cut in range(1, len(wire)):
        peer = world.peer()
        peer.sends(wire[:cut])
        peer.sends(wire[cut:])
        assert peer.answer()[2] == b"hello"
        peer.hangs_up()
    assert {(r.path, r.query_string, r.header(b"x-a")) for r in world.requests} == {
        ("/echo", "a=1", b"b")
    }


def test_chunked_bodies_are_read(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.sends(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert peer.answer()[2] == b"abcde"


def test_literal_segments_win_and_parameters_are_decoded(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /things/a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n")
    assert json.loads(peer.answer()[2]) == {"params": {"thingId": "a/b"}}
    peer.sends(b"GET /things/special HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.answer()[2] == b""
    peer.sends(b"GET /things/%ff HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.answer()[0] == 404
    peer.sends(b"GET /things/ HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.answer()[0] == 404


def test_absolute_form_is_the_same_path(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET http://a/hello?x=y HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.answer()[0] == 200
    assert world.requests[0].query() == [("x", "y")]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        (b"DELETE", b"/hello", 405, "get, head, options"),
        (b"GET", b"/echo", 405, "options, post"),
        (b"OPTIONS", b"/hello", 204, "get, head, options"),
        (b"GET", b"/nowhere", 404, None),
        (b"OPTIONS", b"*", 400, None),
        (b"CONNECT", b"a:443", 400, None),
        (b"TRACE", b"/hello", 405, "get, head, options"),
    ],
)
def test_other_methods_and_paths(
    world: _World, method: bytes, path: bytes, status: int, allow: str | None
) -> None:
    peer = world.peer()
    peer.sends(b"%s %s HTTP/1.1\r\nHost: a\r\n\r\n" % (method, path))
    got, headers, body = peer.answer()
    assert got == status
    assert headers.get("allow") == allow
    if status != 204:
        assert headers["content-type"] == "application/json"
        assert json.loads(body)["status"] == status
    assert not peer.closed


def test_head_is_get_without_the_body(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    _, headers, body = peer.answer()
    assert headers["content-length"] == "13"
    assert body == b""


def test_no_content_has_no_length(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /empty HTTP/1.1\r\nHost: a\r\n\r\n")
    status, headers, _ = peer.answer()
    assert status == 204
    assert "content-length" not in headers


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),  # obs-fold
        (b"GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"GET /hello\r\n", 400),
        (b"G@T /hello HTTP/1.1\r\n", 400),
        (b"GET /\xd0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n", 400),  # TLS on a plain port
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", 400),
        (
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\n\r\n", 413),
        (
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\nX: y\r\n\r\n" % (b"1" * 5000),
            413,
        ),
        (
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            b"Content-Length: 65537\r\n\r\n",
            413,
        ),
        (
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n"
            + b"x" * 65537,
            413,
        ),
        (b"GET /hello HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20000, 431),
        (b"GET /hello HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 600 + b"\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"y" * 900 + b"\r\n") * 20, 400),
    ],
)
def test_what_is_no_proper_request_is_refused_in_json(
    world: _World, wire: bytes, status: int
) -> None:
    peer = world.peer()
    peer.sends(wire)
    got, headers, body = peer.answer()
    assert got == status
    assert headers["connection"] == "close"
    assert json.loads(body)["status"] == status
    # Whatever follows is dropped, and a good request among it finds no ear.
    peer.sends(GET)
    assert peer.got() == b""
    assert world.requests == []
    world.clock.advance(1.1)
    assert peer.closed
    peer.hangs_up()
    assert world.clock.getDelayedCalls() == []
    assert [seen.route for seen in world.seen] == ["(refused)"]


def test_dripped_headers_end_after_ten_seconds(world: _World) -> None:
    peer = world.peer()
    for octet in b"GET /hello"[:9]:
        peer.sends(bytes([octet]))
        world.clock.advance(1)
    assert not peer.closed
    world.clock.advance(1)
    assert peer.answer()[0] == 408
    assert peer.closed


def test_a_silent_connection_ends_without_a_word(world: _World) -> None:
    peer = world.peer()
    world.clock.advance(10)
    assert peer.got() == b""
    assert peer.closed
    assert not peer.transport.aborted
    world.clock.advance(5)
    assert peer.transport.aborted


def test_a_dripped_body_ends_after_twenty_seconds(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(19):
        peer.sends(b"x")
        world.clock.advance(1)
    assert not peer.closed
    world.clock.advance(1)
    assert peer.answer()[0] == 408
    assert peer.closed


def test_a_second_request_has_its_own_deadline_for_headers(world: _World) -> None:
    peer = world.peer()
    peer.sends(GET)
    peer.got()
    world.clock.advance(60)
    assert not peer.closed
    peer.sends(b"GE")
    world.clock.advance(10)
    assert peer.answer()[0] == 408


def test_an_idle_connection_is_closed(world: _World) -> None:
    peer = world.peer()
    peer.sends(GET)
    peer.got()
    world.clock.advance(75)
    assert peer.closed


def test_expect_continue_is_answered_before_the_body(world: _World) -> None:
    peer = world.peer()
    peer.sends(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert peer.got() == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.sends(b"ok")
    assert peer.answer()[2] == b"ok"


@pytest.mark.parametrize(
    "wire",
    [
        b"GET /hello HTTP/1.0\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n\r\n",
    ],
)
def test_a_connection_ends_when_the_client_says_so(world: _World, wire: bytes) -> None:
    peer = world.peer()
    peer.sends(wire)
    status, headers, _ = peer.answer()
    assert status == 200
    assert headers["connection"] == "close"
    assert peer.closed


def test_a_handler_that_fails_gives_json_and_one_log_entry(
    world: _World, criticals: Criticals
) -> None:
    peer = world.peer()
    peer.sends(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
    status, _, body = peer.answer()
    assert status == 500
    assert b"secret" not in body
    [said] = criticals.take()
    assert said.startswith("the handler of GET /broken failed")
    assert not peer.closed


def test_a_header_with_a_line_break_never_leaves(world: _World, criticals: Criticals) -> None:
    peer = world.peer()
    peer.sends(b"GET /bad-header HTTP/1.1\r\nHost: a\r\n\r\n")
    got = peer.got()
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"X-Two" not in got
    assert len(criticals.take()) == 1


def test_a_route_has_a_deadline(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    world.clock.advance(4.9)
    assert peer.got() == b""
    world.clock.advance(0.1)
    status, headers, _ = peer.answer()
    assert status == 503
    assert headers["retry-after"] == "1"
    assert world.cancelled == ["/slow"]
    peer.sends(GET)
    assert peer.answer()[0] == 200


def test_a_client_that_leaves_cancels_its_handler(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.hangs_up()
    assert world.cancelled == ["/slow"]
    assert [(seen.route, seen.status) for seen in world.seen] == [("/slow", CLIENT_GONE)]
    assert world.clock.getDelayedCalls() == []


def test_what_changes_something_is_not_cancelled_by_a_client_that_leaves(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    peer.hangs_up()
    assert world.cancelled == []
    assert [(seen.route, seen.status) for seen in world.seen] == [("/slow", CLIENT_GONE)]
    world.slow.callback(None)
    assert world.finished == ["/slow"]
    assert len(world.seen) == 1


def test_what_changes_something_runs_on_after_its_deadline(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    world.clock.advance(5)
    assert peer.answer()[0] == 503
    assert world.cancelled == []
    peer.sends(GET)
    assert peer.answer()[0] == 200
    world.slow.callback(None)
    assert world.finished == ["/slow"]
    assert peer.got() == b""
    assert [seen.status for seen in world.seen] == [503, 200]


def test_a_handler_that_will_not_be_cancelled_loses_its_client(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /stubborn HTTP/1.1\r\nHost: a\r\n\r\n")
    world.clock.advance(30)
    assert not peer.closed
    world.clock.advance(5)
    assert peer.transport.aborted
    peer.hangs_up()
    world.slow.callback(None)
    assert world.clock.getDelayedCalls() == []


def test_unknown_methods_are_not_repeated_in_logs(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"X" * 3000 + b" /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.answer()[0] == 405
    assert world.seen[0].method == "other"


def test_what_an_answer_took_is_observed(world: _World) -> None:
    peer = world.peer("198.51.100.7")
    peer.sends(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    world.clock.advance(2)
    world.slow.callback(None)
    assert world.seen == [Seen("/slow", "GET", 200, 2.0, "198.51.100.7")]


def test_a_pipelined_request_is_dropped_and_the_connection_ends(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    world.slow.callback(None)
    _, headers, body = peer.answer()
    assert body == b"at last"
    assert headers["connection"] == "close"
    assert world.requests == []
    assert peer.closed


def test_pipelined_after_a_body_is_dropped_too(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" + GET)
    _, headers, body = peer.answer()
    assert body == b"ab"
    assert headers["connection"] == "close"
    assert len(world.requests) == 1


def test_an_empty_line_after_a_body_is_forgiven(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\r\n")
    assert peer.answer()[2] == b"ab"
    peer.sends(GET)
    assert peer.answer()[0] == 200


def test_connections_are_capped_in_all_and_by_address() -> None:
    world = _World(Limits(connections_max=5, connections_per_address_max=2,
                          trusted_addresses=frozenset({"192.0.2.9"})))  # fmt: skip
    one, two = world.peer("192.0.2.1"), world.peer("192.0.2.1")
    assert world.peer("192.0.2.1").transport.aborted
    for _ in range(3):
        assert not world.peer("192.0.2.9").closed
    assert world.peer("192.0.2.2").transport.aborted
    one.hangs_up()
    two.hangs_up()
    assert world.site.connections == 3
    assert not world.peer("192.0.2.1").closed


def test_a_connection_has_so_many_requests_and_the_last_answer_ends_it() -> None:
    world = _World(Limits(requests_max=3))
    peer = world.peer()
    for _ in range(2):
        peer.sends(GET)
        assert "connection" not in peer.answer()[1]
    peer.sends(GET)
    status, headers, _ = peer.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert peer.closed


def test_an_ipv6_network_counts_as_one_address() -> None:
    world = _World(Limits(connections_per_address_max=1))
    assert not world.peer("2001:db8:1:2::1").closed
    assert world.peer("2001:db8:1:2:ffff::2").closed
    assert not world.peer("2001:db8:1:3::1").closed
    assert not world.peer("::ffff:192.0.2.1").closed
    assert world.peer("192.0.2.1").closed


# -- streamed answers


def test_a_stream_is_sent_piece_by_piece(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"transfer-encoding: chunked" in peer.got().lower()
    world.clock.advance(1000)
    world.next_piece(b"one")
    assert peer.got() == b"3\r\none\r\n"
    world.next_piece(b"")
    assert peer.got() == b"0\r\n\r\n"
    assert world.stream_ended == ["ended"]
    peer.sends(GET)
    assert peer.answer()[0] == 200


def test_a_stream_to_an_old_client_ends_with_the_connection(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /stream HTTP/1.0\r\n\r\n")
    world.next_piece(b"one")
    world.next_piece(b"")
    got = peer.got()
    assert got.endswith(b"\r\n\r\none")
    assert b"chunked" not in got.lower()
    assert peer.closed


def test_head_of_a_stream_does_not_start_it(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.got().endswith(b"\r\n\r\n")
    peer.sends(GET)
    assert peer.answer()[0] == 200


def test_a_client_that_leaves_ends_its_stream(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.hangs_up()
    assert world.stream_ended == ["ended"]
    assert world.seen[0].status == CLIENT_GONE


def test_a_slow_reader_slows_the_stream_and_a_stalled_one_is_cut(world: _World) -> None:
    peer = world.peer()
    peer.sends(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.transport.producer.pauseProducing()
    world.next_piece(b"one")
    asked_for = world.pieces
    world.clock.advance(29)
    assert not peer.closed
    peer.transport.producer.resumeProducing()
    assert world.pieces is asked_for
    world.clock.advance(100)
    assert not peer.closed
    peer.transport.producer.pauseProducing()
    world.next_piece(b"two")
    world.clock.advance(30)
    assert peer.transport.aborted
    peer.hangs_up()
    assert world.stream_ended == ["ended"]


def test_a_stream_that_breaks_has_no_end(world: _World, criticals: Criticals) -> None:
    peer = world.peer()
    peer.sends(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    world.pieces.errback(Failure(RuntimeError("broken")))
    assert not peer.got().endswith(b"0\r\n\r\n")
    assert peer.transport.aborted
    peer.hangs_up()
    assert len(criticals.take()) == 1


# -- stopping


def test_stopping_answers_what_is_in_hand_and_closes_the_rest(world: _World) -> None:
    idle, busy, fresh = world.peer(), world.peer(), world.peer()
    idle.sends(GET)
    busy.sends(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    stopped = Deferred.fromCoroutine(world.site.stop(3.0))
    assert idle.closed
    assert fresh.closed
    assert not busy.closed
    assert world.peer().transport.aborted
    world.slow.callback(None)
    assert busy.answer()[1]["connection"] == "close"
    assert busy.closed
    for peer in (idle, busy, fresh):
        peer.hangs_up()
    assert stopped.called
    assert world.clock.getDelayedCalls() == []


def test_stopping_cuts_what_does_not_end(world: _World) -> None:
    busy = world.peer()
    busy.sends(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    stopped = Deferred.fromCoroutine(world.site.stop(3.0))
    world.clock.advance(3)
    status, headers, _ = busy.answer()
    assert (status, headers["connection"]) == (503, "close")
    world.clock.advance(1)
    assert busy.transport.aborted
    busy.hangs_up()
    assert stopped.called
    assert world.clock.getDelayedCalls() == []


def test_stopping_cuts_streams_and_half_requests(world: _World) -> None:
    streaming, half = world.peer(), world.peer()
    streaming.sends(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    half.sends(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    stopped = Deferred.fromCoroutine(world.site.stop(3.0))
    world.clock.advance(3)
    assert streaming.transport.aborted
    assert half.closed
    streaming.hangs_up()
    half.hangs_up()
    assert world.stream_ended == ["ended"]
    assert stopped.called


def test_a_header_given_twice_is_not_a_header() -> None:
    make: Callable[..., Request] = Request
    request = make("GET", "/", "a=%ff", [(b"x", b"1"), (b"x", b"2"), (b"y", b"3")], b"", "")
    assert request.header(b"x") is None
    assert request.header(b"y") == b"3"
    assert request.header_values(b"x") == [b"1", b"2"]
    with pytest.raises(ValueError, match="utf-8"):
        request.query()
