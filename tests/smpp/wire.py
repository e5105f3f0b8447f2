"""A network without sockets under a task.Clock: two transports that hand bytes over a turn later.

As a real one it can refuse, never connect, stop reading, and tell a producer that it is full.
Owns no SMPP.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import (
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

ADDRESS = IPv4Address("TCP", "127.0.0.1", 2775)


@implementer(ITCPTransport)
class Transport:
    """One end. What is written arrives at `peer` in a later turn."""

    BUFFER_MAX = 65_536

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.peer: Transport
        self.protocol: Any = None
        self.connected = True
        self.reading = True
        self.nodelay = False
        self.aborted = False
        self.writes: list[bytes] = []
        self.producer: Any = None
        self._paused_producer = False
        self._inbox = b""  # written by the peer, not read yet
        self._closing = False
        self._fin = False

    def write(self, data: bytes) -> None:
        if not self.connected or self._closing:
            return
        self.writes.append(data)
        self.peer._inbox += data
        if len(self.peer._inbox) > self.BUFFER_MAX and self.producer is not None:
            self._paused_producer = True
            self.producer.pauseProducing()
        self.clock.callLater(0, self.peer._deliver)

    def _deliver(self) -> None:
        if not self.connected or not self.reading:
            return
        data, self._inbox = self._inbox, b""
        if data:
            self.protocol.dataReceived(data)
            if self.peer._paused_producer and self.peer.producer is not None:
                self.peer._paused_producer = False
                self.peer.producer.resumeProducing()
        if self._fin:
            self._lose(ConnectionDone())
        self.peer._flushed()

    def _flushed(self) -> None:
        if self._closing and not self.peer._inbox and self.connected:
            self.peer._fin = True
            self.clock.callLater(0, self.peer._deliver)
            self._lose(ConnectionDone())

    def _lose(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            self.clock.callLater(0, self.protocol.connectionLost, Failure(reason))

    def loseConnection(self) -> None:
        if self.connected and not self._closing:
            self._closing = True
            self._flushed()

    def abortConnection(self) -> None:
        if self.connected:
            self.aborted = True
            self._lose(ConnectionLost())
            self.peer._lose(ConnectionLost())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        assert IPushProducer.providedBy(producer)
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True
        self.clock.callLater(0, self._deliver)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.nodelay = enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass


@implementer(IReactorTime, IStreamClientEndpoint, IStreamServerEndpoint)
class Network(Clock):
    """Clock, client endpoint and server endpoint in one."""

    def __init__(self) -> None:
        super().__init__()
        self.dialled: list[float] = []
        self.refusing = False
        self.silent = False
        self.links: list[tuple[Transport, Transport]] = []
        self._factory: Any = None

    def listen(self, factory: Any) -> Any:
        self._factory = factory
        return succeed(self)

    def getHost(self) -> IPv4Address:
        return ADDRESS

    def stopListening(self) -> Any:
        self._factory = None
        return succeed(None)

    def connect(self, factory: Any) -> Any:
        self.dialled.append(self.seconds())
        if self.silent:
            return Deferred(lambda d: d.errback(ConnectionRefusedError()))
        protocol = None
        if self._factory is not None and not self.refusing:
            protocol = self._factory.buildProtocol(ADDRESS)
        if protocol is None:
            return fail(ConnectionRefusedError())
        ours, theirs = Transport(self), Transport(self)
        ours.peer, theirs.peer = theirs, ours
        ours.protocol = factory.buildProtocol(ADDRESS)
        theirs.protocol = protocol
        self.links.append((ours, theirs))
        theirs.protocol.makeConnection(theirs)
        ours.protocol.makeConnection(ours)
        return succeed(ours.protocol)

    def turn(self, turns: int = 30) -> None:
        """Let what was written arrive, without time passing."""
        for _ in range(turns):
            self.advance(0)

    def wait(self, seconds: float) -> None:
        """Time passes, each deadline in its own turn."""
        until = self.seconds() + seconds
        self.turn()
        while (due := min((c.getTime() for c in self.getDelayedCalls()), default=until)) < until:
            self.advance(max(0.0, due - self.seconds()))
        self.advance(until - self.seconds())
        self.turn()
