"""A hardened HTTP/1.1 server: Twisted's parser behind limits that it lacks.

Owns deadlines, sizes, connection counts and the rule that every error is JSON. Handlers are
coroutines. A client that goes away, or a deadline, cancels the handler of a GET; others run to
their end without an audience. Knows nothing of what is served.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum, auto
from functools import partial
from ipaddress import IPv6Address
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from ppcd.http.exchange import Exchange, Seen, head_of
from ppcd.http.messages import ClientCertificate, Request, Response, error_response
from ppcd.http.router import Router
from ppcd.http.tls import peer_certificate

__all__ = ["Limits", "Seen", "Site"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may cost. Times in seconds, sizes in octets."""

    headers_s: float = 10.0  #: from the connection, or a request's first octet, to its last header
    body_s: float = 20.0  #: from the last header to the last octet of the body
    idle_s: float = 75.0  #: a kept-alive connection without a request
    requests_max: int = 10_000  #: on one connection; the last one's answer ends it
    handler_s: float = 30.0  #: for a route that names no deadline of its own
    stall_s: float = 30.0  #: a streamed answer that the peer does not read
    body_size_max: int = 65_536
    connections_max: int = 1000
    connections_per_address_max: int = 50
    #: Addresses the second cap does not hold for: proxies in front, through which all come.
    trusted_addresses: frozenset[str] = frozenset()


class _Phase(Enum):
    """What a connection's one timer is waiting for."""

    HEADERS = auto()
    BODY = auto()
    HANDLING = auto()
    STREAMING = auto()  #: an answer without an end in sight; nothing is waited for
    IDLE = auto()
    LINGERING = auto()  #: refused; the peer gets a moment to read why
    CLOSING = auto()


#: A refused peer may still be sending; closing under it would reset the answer away.
_LINGER_S = 1.0
#: From closing to aborting: a peer that never reads must not hold the descriptor.
_CLOSE_S = 5.0
#: "Content-Length:" and twenty digits, with room for blanks.
_LENGTH_LINE_MAX = 50


class Channel(HTTPChannel):
    """One connection."""

    site: "Site"
    requestFactory = Exchange  # type: ignore[assignment]  # all that the parser asks of one
    timeOut = None  # the library's idle timer; every octet restarts it, so it is of no use

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._phase = _Phase.HEADERS
        self._timer: IDelayedCall | None = None
        self._fresh = True
        self._refused = False
        #: The socket itself, while all that was written to it has left.
        self._socket: Connection | None = None
        self._requests = 0
        self.peer_host = ""
        self._certificate: ClientCertificate | None = None

    @property
    def certificate(self) -> ClientCertificate | None:
        """What the peer has proved in the handshake, which is over when octets arrive."""
        if self._socket is None and self._certificate is None:
            self._certificate = peer_certificate(self.transport)
        return self._certificate

    # -- the one timer

    def wait(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        if self._timer is None:
            self._timer = self.site.reactor.callLater(seconds, self._expired)
        else:
            self._timer.reset(seconds)

    def _expired(self) -> None:
        self._timer = None
        match self._phase:
            case _Phase.HANDLING:
                self.requests[0].time_is_up()
                if self._phase is _Phase.HANDLING:
                    self.wait(_Phase.CLOSING, _CLOSE_S)  # it would not be cancelled
            case _Phase.STREAMING:
                pass
            case _Phase.CLOSING:
                self.abort()
            case _Phase.BODY:
                self.refuse(408)
            case _Phase.HEADERS if not self._fresh:
                self.refuse(408)
            case _:
                self.close()

    def close(self) -> None:
        self.wait(_Phase.CLOSING, _CLOSE_S)
        self.loseConnection()  # type: ignore[no-untyped-call]

    def abort(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]

    def send(self, data: bytes) -> None:
        """Into the socket at once where that can be: by way of the reactor's next turn, an answer
        costs three system calls more, each of them a chance to lose the interpreter to a lane.
        """
        if self._socket is not None:
            sent = self._socket.writeSomeData(data)
            if sent == len(data):
                return
            # A full socket or a lost one: the library's buffer, now and ever after, in their order.
            self._socket = None
            data = data[sent:] if isinstance(sent, int) else data
        self.transport.write(data)  # type: ignore[union-attr]

    def attach(self, flow: IPushProducer) -> None:
        """`flow` hears when the peer's window is full, and when it has room again."""
        streaming = True
        self.registerProducer(flow, streaming)  # type: ignore[no-untyped-call]

    def detach(self) -> None:
        self.unregisterProducer()  # type: ignore[no-untyped-call]

    # -- what comes in

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        transport: Any = self.transport
        self._socket = transport if isinstance(transport, Connection) else None
        self.peer_host = getattr(self.getPeer(), "host", "")  # type: ignore[no-untyped-call]
        self.wait(_Phase.HEADERS, self.site.limits.headers_s)
        self.site.connected(self)

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        self._fresh = False
        if self._phase is _Phase.IDLE:
            self.wait(_Phase.HEADERS, self.site.limits.headers_s)
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        if self._refused:
            return
        if line[:1] in (b" ", b"\t"):
            self.refuse(400)  # RFC 9112 5.2: folded headers are for smugglers
            return
        super().lineReceived(line)  # type: ignore[no-untyped-call]

    def headerReceived(self, line: bytes) -> bool:
        # More digits than Python converts would be an exception in the parser.
        if len(line) > _LENGTH_LINE_MAX and line[:15].lower() == b"content-length:":
            self.refuse(413)
            return False
        fine: bool = super().headerReceived(line)  # type: ignore[no-untyped-call]
        return fine

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(431)

    def allHeadersReceived(self) -> None:
        """As the library's, with what it lets pass refused."""
        request: Exchange = self.requests[-1]
        limits = self.site.limits
        if not request.headers_complete(self._version):
            self.refuse(400)
        elif self.length is not None and self.length > limits.body_size_max:
            self.refuse(413)
        else:
            self._requests += 1
            last = self._requests >= limits.requests_max or self.site.stopping
            self.persistent = request.keep_alive and not last
            if self.length != 0:
                self.wait(_Phase.BODY, limits.body_s)
                if request.expects_continue:
                    self._socket = None  # the library writes this itself
                    self._send100Continue()  # type: ignore[no-untyped-call]

    def rawDataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        if self._phase in (_Phase.HANDLING, _Phase.STREAMING):
            self._pipelined(data)
            return
        super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        if self._refused:
            return
        if self._dataBuffer:
            self._pipelined(b"".join(self._dataBuffer))
            self._dataBuffer.clear()
        self.wait(_Phase.HANDLING, self.site.limits.handler_s)
        super().allContentReceived()  # type: ignore[no-untyped-call]

    def _pipelined(self, data: bytes) -> None:
        """A request before the last one's answer: that one is answered, then the connection ends.

        Queues of requests have been a source of mixed-up answers; no client of ours needs one.
        """
        if data.strip(b"\r\n"):
            self.persistent = False

    # -- what goes out

    def deadline(self, seconds: float) -> None:
        """The running handler's time."""
        self.wait(_Phase.HANDLING, seconds)

    def streaming(self) -> None:
        """No deadline while the answer flows."""
        self._phase = _Phase.STREAMING

    def requestDone(self, request: Exchange) -> None:
        if self.persistent and not self.site.stopping:
            self.wait(_Phase.IDLE, self.site.limits.idle_s)
        else:
            self.persistent = False
            self.wait(_Phase.CLOSING, _CLOSE_S)
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def refuse(self, status: int) -> None:
        """Answer what is no proper request, and be done with the connection."""
        if self._refused:
            return
        self._refused = True
        known = self.requests[-1].as_request() if self.requests else None
        response = self.site.error(status, known)
        assert isinstance(response.body, bytes)
        self.send(head_of(response, self.site.date(), close=True) + response.body)
        self.site.observe(Seen("(refused)", "-", status, 0.0, self.peer_host))
        if status == 408:
            self.close()
        else:
            self.wait(_Phase.LINGERING, _LINGER_S)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(400)

    def stop(self) -> None:
        """No further request; the one in hand is answered first."""
        self.persistent = False
        if self._phase in (_Phase.IDLE, _Phase.HEADERS) and not self._refused:
            self.close()

    def hurry(self) -> None:
        """The time for answers is over."""
        if self._phase in (_Phase.HANDLING, _Phase.STREAMING):
            self.requests[0].time_is_up()
        else:
            self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.site.disconnected(self)


class _TurnedAway(Protocol):
    """A connection too many. Not None from the factory: a TLS wrapper could not close that."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


def network_of(host: str) -> str:
    """What counts as one address: of IPv6 the /64, which is the least that anybody has."""
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.exploded[:19]


_http_date = partial(formatdate, usegmt=True)


class Site(ServerFactory):
    """What listens. One instance an address."""

    noisy = False

    def __init__(
        self,
        router: Router,
        *,
        reactor: Any,
        limits: Limits = Limits(),
        observe: Callable[[Seen], None] = lambda seen: None,
        error: Callable[[int, Request | None], Response] = error_response,
        date: Callable[[], str] = _http_date,
    ) -> None:
        """`error` makes the answers that no handler made: a status and, if known, the request.

        `date` gives the Date header, once a second at most.
        """
        self.router = router
        self.reactor = reactor
        self.limits = limits
        self.observe = observe
        self.error = error
        self.stopping = False
        self._make_date = date
        self._date = (-1, b"")
        self._channels: dict[Channel, Deferred[None]] = {}
        self._from_address: Counter[str] = Counter()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        host = getattr(addr, "host", "")
        limits = self.limits
        if self.stopping or len(self._channels) >= limits.connections_max:
            return _TurnedAway()
        if (
            host not in limits.trusted_addresses
            and self._from_address[network_of(host)] >= limits.connections_per_address_max
        ):
            return _TurnedAway()
        channel = Channel()
        channel.site = self
        return channel

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._channels)

    def connected(self, channel: Channel) -> None:
        self._channels[channel] = Deferred()
        self._from_address[network_of(channel.peer_host)] += 1

    def disconnected(self, channel: Channel) -> None:
        network = network_of(channel.peer_host)
        self._from_address[network] -= 1
        if not self._from_address[network]:
            del self._from_address[network]
        self._channels.pop(channel).callback(None)

    def date(self) -> bytes:
        """The Date header's value."""
        second = int(self.reactor.seconds())
        if self._date[0] != second:
            self._date = (second, self._make_date().encode("ascii"))
        return self._date[1]

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, let those in hand end; after `grace_s` they are told 503."""
        self.stopping = True
        for channel in list(self._channels):
            channel.stop()
        timers = [
            self.reactor.callLater(grace_s, self._each, Channel.hurry),
            self.reactor.callLater(grace_s + _LINGER_S, self._each, Channel.abort),
        ]
        await DeferredList(list(self._channels.values()))
        for timer in timers:
            if timer.active():
                timer.cancel()

    def _each(self, act: Callable[[Channel], None]) -> None:
        for channel in list(self._channels):
            act(channel)
