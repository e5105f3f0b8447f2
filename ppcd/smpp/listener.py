"""The SMSC's side: takes binds and requests, sends messages, and can be as rude as real ones are.

For simulators and tests. Owns connections and their sessions; who may bind, what is answered and
when is the handler's to say. Everything that makes a bad SMSC is here as a plain call: refuse,
answer late or never, throttle, drop, write garbage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.smpp.command import Command
from ppcd.smpp.driver import Driver
from ppcd.smpp.events import (
    Answered,
    BindRequested,
    Bound,
    End,
    Ended,
    Event,
    Expired,
    Requested,
    Unsent,
)
from ppcd.smpp.matrix import BOUND, Role
from ppcd.smpp.pdu import Pdu, response_to
from ppcd.smpp.session import Session
from ppcd.smpp.settings import SessionSettings, TlsSettings
from ppcd.smpp.status import Status
from ppcd.smpp.submission import Accepted, NotSent, Refused, SubmitAnswer, Unknown
from ppcd.smpp.tls import server_tls
from ppcd.smpp.tlv import Tag

# Twisted's own classes carry no types.
_tcp: Callable[..., IStreamServerEndpoint] = TCP4ServerEndpoint
_ssl: Callable[..., IStreamServerEndpoint] = SSL4ServerEndpoint
#: What bind responses say we speak (sc_interface_version).
INTERFACE_VERSION = 0x34


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """Where to listen and how to talk."""

    host: str = "127.0.0.1"
    #: 0: any free one; `Listener.port` tells which.
    port: int = 0
    system_id: str = "SMSC"
    connections_max: int = 1000
    write_buffer_max: int = 1_048_576
    tls: TlsSettings | None = None
    session: SessionSettings = field(default_factory=lambda: SessionSettings(window_max=1000))


class Handler(Protocol):
    """Who decides."""

    def bind_requested(self, peer: Peer, pdu: Pdu) -> int | None:
        """The status to answer a bind with; None: `peer.answer_bind` follows later, or never."""
        ...

    def received(self, peer: Peer, pdus: list[Pdu]) -> None:
        """Requests of one read, each to be answered by `peer.answer`, now, later or never."""
        ...

    def bound(self, peer: Peer) -> None:
        """The bind stands; messages may be sent if `peer.receives`."""
        ...

    def ended(self, peer: Peer, end: End) -> None:
        """The conversation is over; comes once for every connection."""
        ...


class Peer:
    """One ESME's connection."""

    def __init__(self, listener: Listener, number: int, address: str) -> None:
        self._listener = listener
        self.number = number
        self.address = address
        #: Of the bind: who, with what; empty before.
        self.system_id = ""
        self.driver: Driver | None = None
        self._bind: Pdu | None = None

    @property
    def session(self) -> Session:
        assert self.driver is not None
        return self.driver.session

    @property
    def bound(self) -> bool:
        return self.driver is not None and self.session.state in BOUND

    @property
    def receives(self) -> bool:
        """Whether messages may be sent to it now."""
        return self.driver is not None and self.session.may_send(Command.DELIVER_SM)

    @property
    def room(self) -> int:
        """Messages that could be written now without waiting."""
        if self.driver is None or not self.receives:
            return 0
        return self.session.outbox.room_now(self.driver.now())

    def answer_bind(self, status: int) -> None:
        """Answer the bind that was asked for; ESME_ROK makes it stand."""
        if self.driver is None or self._bind is None:
            return
        bind, self._bind = self._bind, None
        if status == Status.ESME_ROK:
            system_id = self._listener.settings.system_id.encode()
            tlvs = [(Tag.SC_INTERFACE_VERSION, INTERFACE_VERSION)]
            answer = response_to(bind, system_id=system_id, tlvs=tlvs)
        else:
            answer = response_to(bind, status)
        self.driver.handle(self.session.answer_bind(answer, self.driver.now()))

    def answer(self, request: Pdu, status: int = 0, **fields: object) -> None:
        """Answer one request; after the connection is gone, nothing."""
        if self.driver is not None:
            answer = response_to(request, status, **fields)  # type: ignore[arg-type]
            self.driver.handle(self.session.answer_with(answer, self.driver.now()))

    def send(self, pdu: Pdu) -> Deferred[SubmitAnswer]:
        """Send deliver_sm or data_sm; fires once with its end, never fails."""
        answer: Deferred[SubmitAnswer] = Deferred()
        if self.driver is None or not self.session.submit(pdu, answer, self.driver.now()):
            return succeed(NotSent("not bound for this, or the queue is full"))
        self.driver.flush()
        return answer

    def tell(self, pdu: Pdu) -> None:
        """Send alert_notification or outbind, which have no answer."""
        if self.driver is not None:
            self.session.tell(pdu)
            self.driver.flush()

    def write_raw(self, data: bytes) -> None:
        """Write octets as they are, good or bad."""
        if self.driver is not None:
            self.driver.write_raw(data)

    def hold(self) -> None:
        """Stop reading: a half-dead SMSC."""
        if self.driver is not None:
            self.driver.hold()

    def unhold(self) -> None:
        if self.driver is not None:
            self.driver.unhold()

    def unbind(self) -> None:
        """Ask it to leave, after what is open."""
        if self.driver is not None:
            self.driver.handle(self.session.unbind(self.driver.now()))

    def drop(self) -> None:
        """Abort the connection."""
        if self.driver is not None:
            self.driver.end(End.DROPPED)

    # What the driver reports

    def opened(self, driver: Driver) -> None:
        self.driver = driver

    def happened(self, driver: Driver, events: list[Event], read_at: float) -> None:
        handler = self._listener.handler
        for event in events:
            match event:
                case BindRequested(pdu):
                    self._bind = pdu
                    self.system_id = pdu.system_id.decode("latin-1")
                    status = handler.bind_requested(self, pdu)
                    if status is not None:
                        self.answer_bind(status)
                case Bound():
                    handler.bound(self)
                case Requested(batch):
                    handler.received(self, batch.pdus)
                case Answered(token, pdu):
                    token.callback(Accepted("", pdu) if pdu.status == 0 else Refused(pdu.status))
                case Expired(token):
                    token.callback(Unknown("no answer in time"))
                case Unsent(token):
                    token.callback(NotSent("waited too long, or the link is leaving"))
                case Ended():
                    self._ended(event)

    def _ended(self, event: Ended) -> None:
        self._listener.handler.ended(self, event.end)
        for token in event.unanswered:
            token.callback(Unknown(event.end.value))
        for token in event.unsent:
            token.callback(NotSent(event.end.value))

    def closed(self, driver: Driver, reason: Failure) -> None:
        self.driver = None
        self._listener.gone(self)


class _Peers(Factory):
    noisy = False

    def __init__(self, accept: Callable[[IAddress | None], Driver | None]) -> None:
        self._accept = accept

    def buildProtocol(self, addr: IAddress | None) -> Driver | None:
        return self._accept(addr)


class Listener:
    """A listening port with a session for each connection."""

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        reactor: Any,
        handler: Handler,
        random: Callable[[], float],
        endpoint: IStreamServerEndpoint | None = None,
    ) -> None:
        self.settings = settings
        self.handler = handler
        self.peers: list[Peer] = []
        self.port = settings.port
        self._reactor = reactor
        self._random = random
        self._endpoint = endpoint or _endpoint(settings, reactor)
        self._listening: IListeningPort | None = None
        self._accepted = 0
        self._emptied: list[Deferred[None]] = []
        self._log = Logger(namespace="ppcd.smpp.listener")

    async def start(self) -> int:
        """Listen; gives the port."""
        self._listening = await self._endpoint.listen(_Peers(self.accept))
        host = self._listening.getHost()
        self.port = getattr(host, "port", self.port)
        return self.port

    async def stop(self) -> None:
        """Close the port, unbind whoever is bound, and wait until all are gone."""
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await maybeDeferred(listening.stopListening)
        for peer in list(self.peers):
            peer.unbind()
        if self.peers:
            emptied: Deferred[None] = Deferred()
            self._emptied.append(emptied)
            await emptied

    def drop_all(self) -> None:
        """Abort every connection."""
        for peer in list(self.peers):
            peer.drop()

    def accept(self, address: IAddress | None) -> Driver | None:
        """A protocol for a new connection; None when there are enough."""
        settings = self.settings
        if len(self.peers) >= settings.connections_max:
            self._log.warn("a connection too many, refused", connections=len(self.peers))
            return None
        self._accepted += 1
        peer = Peer(self, self._accepted, str(getattr(address, "host", "")))
        now = self._reactor.seconds()
        session = Session(Role.SMSC, settings.session, random=self._random, now=now)
        self.peers.append(peer)
        return Driver(
            session,
            peer,
            self._reactor,
            write_buffer_max=settings.write_buffer_max,
            log=self._log,
        )

    def gone(self, peer: Peer) -> None:
        """A connection is closed."""
        self.peers.remove(peer)
        if not self.peers:
            waiting, self._emptied = self._emptied, []
            for emptied in waiting:
                emptied.callback(None)


def _endpoint(settings: ListenerSettings, reactor: Any) -> IStreamServerEndpoint:
    if settings.tls is None:
        return _tcp(reactor, settings.port, interface=settings.host)
    return _ssl(reactor, settings.port, server_tls(settings.tls), interface=settings.host)
