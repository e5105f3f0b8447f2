"""One kept-alive HTTP/1.1 connection to a server.

Twisted's `HTTP11ClientProtocol` parses; this module owns what it lacks: the request leaves in one
write, the answer has a size limit, and a connection says whether it may carry another request.
Knows nothing of pools, hosts and deadlines.
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol, Response
from twisted.web._newclient import Request as _LibraryRequest
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

#: Status line, headers and chunk framing may take this much beyond the body's own limit.
FRAMING_SIZE_MAX = 32_768

_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE_BAD = re.compile(rb"[\x00\r\n]")


class AnswerTooLarge(Exception):
    """The peer sent more than was asked for; the connection is gone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are lower case, in the order received."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower case) name."""
        return next((value for have, value in self.headers if have == name), None)


def wire_request(
    method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """The octets of a request. Raises ValueError for a header that would break out of its line."""
    lines = [method, b" ", target, b" HTTP/1.1\r\n"]
    for name, value in headers:
        if not _HEADER_NAME.match(name) or _HEADER_VALUE_BAD.search(value):
            raise ValueError(f"header {name!r} can't be sent: its name or value is not allowed")
        lines += (name, b": ", value, b"\r\n")
    if body or method in (b"POST", b"PUT", b"PATCH"):
        lines.append(b"Content-Length: %d\r\n" % len(body))
    lines += (b"\r\n", body)
    return b"".join(lines)


class _Request(_LibraryRequest):
    """A request whose octets are ready: one write, so "not written" and "written" are all."""

    def __init__(self, method: bytes, target: bytes, wire: bytes) -> None:
        # Headers are in `wire` already; the library only checks method and target here.
        super().__init__(method, target, None, None, persistent=True)  # type: ignore[no-untyped-call]
        self._wire = wire

    def writeTo(self, transport: object) -> Deferred[None]:
        transport.write(self._wire)  # type: ignore[attr-defined]
        return succeed(None)


class _Body(Protocol):
    """Collects an answer's body up to a limit."""

    def __init__(self, size_max: int, connection: "Connection") -> None:
        self._size_max = size_max
        self._size = 0
        self._pieces: list[bytes] = []
        self.whole: Deferred[bytes] = Deferred(lambda _: connection.abort())

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._size_max:
            self._pieces.append(data)
        elif not self.whole.called:
            self.whole.errback(AnswerTooLarge(f"more than {self._size_max} octets"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # Without a length the close is the end: what came is all there is.
        if isinstance(reason.value, ResponseDone | PotentialDataLoss):
            self.whole.callback(b"".join(self._pieces))
        else:
            self.whole.errback(reason)


@implementer(IHandshakeListener)
class Connection(HTTP11ClientProtocol):
    """One connection. `ready` fires when octets may be written: after the TLS handshake, if any.

    Waiting for the handshake keeps a certificate error what it is: nothing was sent.
    """

    def __init__(self, *, secure: bool, on_lost: Callable[["Connection"], None]) -> None:
        super().__init__(self._became_quiescent)  # type: ignore[no-untyped-call]
        self._secure = secure
        self._on_lost = on_lost
        self._quiescent = True  # nothing in flight yet
        self._octets_left = 0
        self.ready: Deferred[Connection] = Deferred(lambda _: self.abort())
        self.lost = False

    def connectionMade(self) -> None:
        super().connectionMade()  # sets TCP_NODELAY
        if not self._secure:
            self.ready.callback(self)

    def handshakeCompleted(self) -> None:
        if not self.ready.called:
            self.ready.callback(self)

    def _became_quiescent(self, _: object) -> None:
        self._quiescent = True

    @property
    def in_flight(self) -> bool:
        """Whether a request is on the wire."""
        return not self.lost and not self._quiescent

    @property
    def usable(self) -> bool:
        """Whether another request may be written now.

        Looks into the socket as well: a close that the reactor has not read yet would otherwise
        turn a request that nobody took into one whose outcome is unknown.
        """
        if self.lost or not self._quiescent:
            return False
        sock = _socket_of(self.transport)
        if sock is None:
            return True
        try:
            sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        # Closed, or it speaks unasked: neither is a peer to send money's words to.
        return False

    async def exchange(
        self, method: bytes, target: bytes, wire: bytes, *, answer_size_max: int
    ) -> Answer:
        """Write `wire` in this very turn, then wait for the whole answer.

        Raises whatever ended it early; by then octets may have left.
        """
        self._quiescent = False
        self._octets_left = answer_size_max + FRAMING_SIZE_MAX
        request = _Request(method, target, wire)
        response: Response = await self.request(request)  # type: ignore[assignment]
        body = _Body(answer_size_max, self)
        response.deliverBody(body)  # type: ignore[no-untyped-call]
        content = await body.whole
        if response.version < (b"HTTP", 1, 1):
            # An older server closes after its answer, if not now then soon.
            self._quiescent = False
        headers = tuple(
            (name.lower(), value)
            for name, values in response.headers.getAllRawHeaders()
            for value in values
        )
        return Answer(response.code, headers, content)

    def dataReceived(self, data: bytes) -> None:
        self._octets_left -= len(data)
        if self._octets_left < 0:
            # The library limits neither the number of header lines nor what follows an answer.
            self.abort()
            return
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if not self.ready.called:
            self.ready.errback(reason)
        self._on_lost(self)

    def abort(self) -> None:
        """End it now. Whoever waits for an answer is told so."""
        if self.transport is not None and not self.lost:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def close(self) -> None:
        """End it politely; nothing may be in flight."""
        if self.transport is not None and not self.lost:
            self.transport.loseConnection()


def _socket_of(transport: object) -> socket.socket | None:
    """The socket under a TCP or TLS transport; None for a memory transport."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    found = getattr(transport, "socket", None)
    return found if isinstance(found, socket.socket) else None
