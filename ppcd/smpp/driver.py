"""Gives a session its socket and its clock: one write a batch, one timer, and nothing about SMPP.

Owns the transport: Nagle off, not reading while too much is unanswered, a bound on what waits for
a peer that does not read, and closing for good. Nothing is ever raised out of `dataReceived`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from twisted.internet import interfaces, protocol
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ppcd.smpp.events import End, Ended, Event
from ppcd.smpp.matrix import State
from ppcd.smpp.session import Session

#: How long an orderly close may take before it becomes an abort: the peer may not be reading.
LINGER_S: Final = 5.0
#: A deadline that a rounding put into the past must not make the reactor spin.
_TICK_S_MIN: Final = 0.001


class Transport(Protocol):
    """What is asked of a connection; TCP and TLS have it."""

    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def registerProducer(self, producer: object, streaming: bool) -> None: ...  # noqa: FBT001
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


class Owner(Protocol):
    """Who a driver reports to."""

    def opened(self, driver: Driver) -> None:
        """Connected; nothing was read yet."""
        ...

    def happened(self, driver: Driver, events: list[Event], read_at: float) -> None:
        """What came of one read, one tick or one call; the bytes are written after this."""
        ...

    def closed(self, driver: Driver, reason: Failure) -> None:
        """The connection is gone. Comes once, after `Ended`."""
        ...


@implementer(IPushProducer)
class _Outflow:
    """What the transport sees as the source of bytes: it tells when its own buffer is full."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def pauseProducing(self) -> None:
        self._driver.writable = False

    def resumeProducing(self) -> None:
        self._driver.writable = True
        self._driver.flush()

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` tells more."""


class Driver(protocol.Protocol):
    """One connection with its session."""

    transport: Transport  # type: ignore[assignment]  # Twisted's interface lacks half of it
    noisy = False

    def __init__(
        self,
        session: Session,
        owner: Owner,
        clock: IReactorTime,
        *,
        write_buffer_max: int,
        log: Logger,
    ) -> None:
        self.session = session
        self.writable = True
        self.log = log
        self._owner = owner
        self._clock = clock
        self._write_buffer_max = write_buffer_max
        self._backlog: list[bytes] = []  # what the transport has no room for
        self._backlog_octets = 0
        self._held = False  # the application asked not to be read to
        self._resting = False  # the same, but for so short that the session is not told
        self._reading = True
        self._flowing = True  # as the transport knows it
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self._closing = False
        self._handling = False

    # What Twisted calls

    def connectionMade(self) -> None:
        transport = self.transport
        if interfaces.ITCPTransport.providedBy(transport):
            # A 17-octet answer must not wait for the acknowledgement of the one before.
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        transport.registerProducer(_Outflow(self), streaming=True)
        try:
            self._owner.opened(self)
            self.flush()
        except Exception:
            self._fault()

    def dataReceived(self, data: bytes) -> None:
        now = self._clock.seconds()
        try:
            self.handle(self.session.receive_data(data, now), read_at=now)
        except Exception:
            self._fault()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._closing = True
        self._stop_timer()
        now = self._clock.seconds()
        try:
            events = self.session.end(End.LOST, now)
            if events:
                self._owner.happened(self, events, now)
        except Exception:
            self.log.failure("reporting a lost connection failed")
        self._owner.closed(self, reason)

    # What the owner calls

    def now(self) -> float:
        return self._clock.seconds()

    def handle(self, events: list[Event], *, read_at: float | None = None) -> None:
        """Report events, write what the session has to say, arm the timer, close at the end."""
        if events:
            outer, self._handling = self._handling, True
            try:
                at = self._clock.seconds() if read_at is None else read_at
                self._owner.happened(self, events, at)
            finally:
                self._handling = outer
        self.flush()
        if events and isinstance(events[-1], Ended):
            self._close(events[-1].end)

    def end(self, end: End) -> None:
        """End it at once for a reason of the owner's."""
        self.handle(self.session.end(end, self._clock.seconds()))

    def hold(self) -> None:
        """Stop reading until `unhold`."""
        self._held = True
        self.flush()

    def unhold(self) -> None:
        self._held = False
        self.flush()

    def rest(self) -> None:
        """Stop reading until `wake`, for milliseconds: all timers go on, as silence still counts.

        A peer that writes one message at a time is read from once in a while, not for each.
        """
        self._resting = True
        self._regulate()

    def wake(self) -> None:
        self._resting = False
        self._regulate()

    def write_raw(self, data: bytes) -> None:
        """Write bytes that no session knows of: for those who test the other side."""
        self._write([data])

    def flush(self) -> None:
        """Write what is there in one piece; then see what must be waited for."""
        data = self.session.data_to_send()
        if data or (self._backlog and self.writable):
            self._write([data])
        self._regulate()
        if not self._handling:  # else once, when all of it has been handled
            self._arm()

    # Inside

    def _write(self, pieces: Sequence[bytes]) -> None:
        if self._closing:
            return
        self._backlog.extend(pieces)
        if self.writable:
            data = b"".join(self._backlog)
            self._backlog.clear()
            self._backlog_octets = 0
            self.transport.write(data)
            return
        self._backlog_octets += sum(map(len, pieces))
        if self._backlog_octets > self._write_buffer_max:
            self._backlog.clear()
            self._backlog_octets = 0
            self.end(End.SLOW_READER)

    def _regulate(self) -> None:
        if self._closing:
            return
        wanted = not self._held and self.session.owed.wants_reading
        if wanted and not self._reading:
            self._reading = True
            self.session.resumed(self._clock.seconds())
        elif not wanted and self._reading:
            self._reading = False
            self.session.paused()
        flowing = wanted and not self._resting
        if flowing and not self._flowing:
            self.transport.resumeProducing()
        elif not flowing and self._flowing:
            self.transport.pauseProducing()
        self._flowing = flowing

    def _arm(self) -> None:
        now = self._clock.seconds()
        deadline = self.session.next_deadline(now)
        if deadline is None or self._closing:
            self._stop_timer()
            return
        if self._timer is not None and self._timer_at <= deadline:
            return  # it will look again when it fires: cheaper than moving it with each PDU
        self._stop_timer()
        self._timer_at = deadline
        self._timer = self._clock.callLater(max(_TICK_S_MIN, deadline - now), self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self.handle(self.session.tick(self._clock.seconds()))
        except Exception:
            self._fault()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fault(self) -> None:
        """An error of ours: this connection is not to be trusted any more, all others are."""
        self.log.failure("an error while handling a connection; it is dropped")
        if self.session.state is not State.CLOSED:
            events = self.session.end(End.FAULT, self._clock.seconds())
            try:
                self._owner.happened(self, events, self._clock.seconds())
            except Exception:
                self.log.failure("reporting a dropped connection failed")
        self._close(End.FAULT)

    def _close(self, end: End) -> None:
        if self._closing:
            return
        self._closing = True
        self._stop_timer()
        transport = self.transport
        transport.unregisterProducer()
        if end.abort:
            transport.abortConnection()
            return
        if self._backlog:
            transport.write(b"".join(self._backlog))
            self._backlog.clear()
        self._timer = self._clock.callLater(LINGER_S, self._abort)
        transport.loseConnection()

    def _abort(self) -> None:
        self._timer = None
        self.transport.abortConnection()
