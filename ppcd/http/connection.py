"""One kept-alive HTTP/1.1 connection to a server.

Owns that a request leaves in one write, and whether a connection may carry another one; what an
answer is, `reader` knows. Knows nothing of pools, hosts and deadlines.
"""

import re
import select
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection as TcpConnection
from twisted.python.failure import Failure
from zope.interface import implementer

from ppcd.http.reader import Answer, AnswerReader, AnswerTooLarge, Garbled, read_whole
from ppcd.http.urls import Url

_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE_BAD = re.compile(rb"[\x00\r\n]")
_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})


class Target(NamedTuple):
    """Where requests go that differ in their bodies alone, and how they begin."""

    method: bytes
    where: Url
    head: bytes

    def wire(self, body: bytes) -> bytes:
        """The octets of a request."""
        if body or self.method in _WITH_BODY:
            return b"%bContent-Length: %d\r\n\r\n%b" % (self.head, len(body), body)
        return self.head + b"\r\n"


# At billing, nearly all are alike.
@lru_cache(maxsize=64)
def target_of(method: bytes, url: str, headers: tuple[tuple[bytes, bytes], ...]) -> Target:
    """Raises UrlError, and ValueError for a header that would break out of its line."""
    where = Url.parse(url)
    lines = [b"%b %b HTTP/1.1\r\n" % (method, where.target)]
    for name, value in ((b"Host", where.authority), *headers):
        if not _HEADER_NAME.match(name) or _HEADER_VALUE_BAD.search(value):
            raise ValueError(f"header {name!r} can't be sent: its name or value is not allowed")
        lines.append(b"%b: %b\r\n" % (name, value))
    return Target(method, where, b"".join(lines))


@implementer(IHandshakeListener)
class Connection(Protocol):
    """One connection. `ready` fires when octets may be written: after the TLS handshake, if any.

    Waiting for the handshake keeps a certificate error what it is: nothing was sent.
    """

    transport: Any

    def __init__(self, *, secure: bool, on_lost: Callable[["Connection"], None]) -> None:
        self._secure = secure
        self._on_lost = on_lost
        #: Of an answer that comes in pieces.
        self._reader: AnswerReader | None = None
        #: Whoever waits for an answer. None: no request is on the wire.
        self._tell: Callable[[Answer | Exception], None] | None = None
        self._method = b""
        self._answer_size_max = 0
        #: Nothing that it has said so far keeps it from carrying another request.
        self._in_step = True
        #: Where a request is written without the reactor.
        self._direct: TcpConnection | None = None
        self._socket: socket.socket | None = None
        #: Tells whether the socket has something to say that the reactor has not read.
        self._events: select.poll | None = None
        self.ready: Deferred[Connection] = Deferred(lambda _: self.abort())
        self.lost = False

    def connectionMade(self) -> None:
        self._socket = _socket_of(self.transport)
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._events = select.poll()
            self._events.register(self._socket, select.POLLIN)
        if not self._secure:
            if isinstance(self.transport, TcpConnection):
                self._direct = self.transport
            self.ready.callback(self)

    def handshakeCompleted(self) -> None:
        if not self.ready.called:
            self.ready.callback(self)

    @property
    def in_flight(self) -> bool:
        """Whether a request is on the wire."""
        return not self.lost and self._tell is not None

    @property
    def in_step(self) -> bool:
        """Whether another request may be written, as far as is known."""
        return not self.lost and self._in_step and self._tell is None

    @property
    def usable(self) -> bool:
        """Whether another request may be written now.

        Looks into the socket as well: a close that the reactor has not read yet would otherwise
        turn a request that nobody took into one whose outcome is unknown.
        """
        if self.lost or not self._in_step or self._tell is not None:
            return False
        # Closed, broken, or it speaks unasked: none is a peer to send money's words to.
        return self._events is None or not self._events.poll(0)

    def exchange(
        self,
        method: bytes,
        wire: bytes,
        *,
        answer_size_max: int,
        tell: Callable[[Answer | Exception], None],
    ) -> None:
        """Write `wire` in this very turn; `tell` gets the whole answer, or whatever ended it
        early: by then octets may have left.
        """
        assert self._tell is None, "one request at a time"
        self._tell = tell
        self._method = method
        self._answer_size_max = answer_size_max
        if self._direct is not None:
            # By way of the reactor's next turn it costs three system calls more.
            sent = self._direct.writeSomeData(wire)
            if sent == len(wire):
                return
            # A full socket or a lost one: the library's buffer, now and ever after, in their order.
            self._direct = None
            wire = wire[sent:] if isinstance(sent, int) else wire
        self.transport.write(wire)

    def end(self, why: Exception) -> None:
        """End it now, and tell whoever waits for an answer why."""
        self.abort()
        self._told(why)

    def dataReceived(self, data: bytes) -> None:
        if self._tell is None:
            self.abort()  # it speaks unasked: who knows what it will say when it is asked
            return
        try:
            answer = self._read(data)
        except (Garbled, AnswerTooLarge) as exc:
            self.end(exc)
            return
        if answer is not None:
            self._told(answer)

    def _read(self, data: bytes) -> Answer | None:
        reader = self._reader
        if reader is None:
            whole = read_whole(self._method, data, size_max=self._answer_size_max)
            if whole is not None:
                answer, self._in_step = whole
                return answer
            reader = self._reader = AnswerReader(self._method, size_max=self._answer_size_max)
        piece = reader.receive(data)
        if piece is not None:
            self._in_step = reader.stays_open
        return piece

    def _told(self, answer: Answer | Exception) -> None:
        self._reader = None
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        # RFC 9112, 9.8: an end without a proper close may have cut the answer short.
        is_proper = isinstance(reason.value, ConnectionDone)
        answer = self._reader.finish() if self._reader is not None and is_proper else None
        assert isinstance(reason.value, Exception)
        self._told(reason.value if answer is None else answer)
        if not self.ready.called:
            self.ready.errback(reason)
        self._on_lost(self)

    def abort(self) -> None:
        """End it now. Whoever waits for an answer is told so when it is over."""
        self._in_step = False
        if self.transport is not None and not self.lost:
            self.transport.abortConnection()

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


def said(exc: Exception) -> str:
    """One line about a transport's failure, for logs and facts; without addresses or content."""
    if isinstance(exc, Garbled | AnswerTooLarge):
        return f"{type(exc).__name__} ({exc})"
    reasons = getattr(exc, "reasons", None)
    if reasons:
        inner = reasons[0].value
        return f"{type(exc).__name__} ({type(inner).__name__})"
    return type(exc).__name__
