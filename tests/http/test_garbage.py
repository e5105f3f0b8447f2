"""Whatever comes over the wire: no exception escapes, and nobody is told what is not so.

Critical log events fail every test by themselves, so an exception in the parser would show here.
"""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from ppcd.http.client import Answer, Client, NoAnswer
from ppcd.http.messages import Request, Response
from ppcd.http.router import Router
from ppcd.http.server import Site
from tests.http.peers import Peer, parse

_REQUEST_PIECES = st.sampled_from(
    [
        b"GET /hello HTTP/1.1\r\n",
        b"POST /hello HTTP/1.1\r\n",
        b"HEAD /hello HTTP/1.0\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Host: b\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 99999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b" folded\r\n",
        b"\r\n",
        b"\n",
        b"hello",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"\x00",
        b"\xff\xfe",
        b": \r\n",
    ]
)
_WIRE = st.lists(_REQUEST_PIECES | st.binary(max_size=20), max_size=14)


async def _hello(request: Request) -> Response:
    return Response(200, body=request.body)


def _check_answers(data: bytes) -> None:
    """Every answer in `data` is well formed, and JSON if it is an error."""
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100 "):
            data = rest
            continue
        status, _, body = parse(data)
        if status >= 400:
            assert json.loads(body)["status"] == status
        data = rest[len(body) :]


@given(_WIRE)
@settings(max_examples=300, deadline=None)
def test_a_server_answers_garbage_in_json_or_not_at_all(pieces: list[bytes]) -> None:
    router = Router()
    router.add("GET", "/hello", _hello)
    router.add("POST", "/hello", _hello)
    clock = Clock()
    peer = Peer(Site(router, reactor=clock, date=lambda: "today"))
    for piece in pieces:
        peer.sends(piece)
    if b"HEAD" not in b"".join(pieces):
        _check_answers(peer.got())  # an answer to HEAD has a length and no body
    clock.pump([1.0] * 120)
    assert peer.closed
    peer.hangs_up()
    assert clock.getDelayedCalls() == []


_ANSWER_PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"hello",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"\n",
        b"\xff",
    ]
)


@given(st.lists(_ANSWER_PIECES | st.binary(max_size=20), max_size=12))
@settings(max_examples=300, deadline=None)
def test_a_client_takes_garbage_as_no_answer(pieces: list[bytes]) -> None:
    reactor = MemoryReactorClock()
    client = Client(reactor)
    results: list[Any] = []
    call = client.request(b"POST", "http://192.0.2.1/", body=b"x", timeout_s=5.0)
    call.addBoth(results.append)
    connection = reactor.tcpClients[0][2].buildProtocol(None)
    transport = _Transport()
    connection.makeConnection(transport)
    for piece in pieces:
        if not transport.disconnecting:
            connection.dataReceived(piece)
    reactor.advance(5)
    connection.connectionLost(Failure(ConnectionDone()))
    [result] = results
    if not isinstance(result, Answer):
        assert isinstance(result.value, NoAnswer)
    reactor.advance(60)
    assert reactor.getDelayedCalls() == []


class _Transport(StringTransport):
    def abortConnection(self) -> None:
        self.disconnecting = True
