"""Gives a conversation its socket and its clock: one timer, and nothing about Diameter.

Owns the transport. Nothing is ever raised out of `dataReceived`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet import interfaces, protocol
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ppcd.billing.diameter.exchange import Ended, Event, Exchange

#: A deadline that a rounding put into the past must not make the reactor spin.
_TICK_S_MIN: Final = 0.001

log = Logger(namespace="ppcd.billing.diameter")


@implementer(IPushProducer)
class _Outflow:
    """What the transport sees as the source of bytes: it tells when its own buffer is full."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def pauseProducing(self) -> None:
        self._driver.writable = False

    def resumeProducing(self) -> None:
        self._driver.writable = True
        self._driver.handle([])

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` tells more."""


class Driver(protocol.Protocol):
    """One connection with its conversation; `on_events` hears of each batch, an empty one too."""

    transport: Any
    noisy = False

    def __init__(
        self,
        exchange: Exchange,
        *,
        clock: IReactorTime,
        on_events: Callable[[Driver, list[Event]], None],
        on_closed: Callable[[Driver], None],
    ) -> None:
        self.exchange = exchange
        #: Whether the transport takes more; while it does not, what is written stays with us.
        self.writable = True
        self._clock = clock
        self._on_events = on_events
        self._on_closed = on_closed
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self._closing = False

    # What Twisted calls

    def connectionMade(self) -> None:
        transport = self.transport
        if interfaces.ITCPTransport.providedBy(transport):
            # A request of 300 octets must not wait for the acknowledgement of the one before.
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        transport.registerProducer(_Outflow(self), streaming=True)
        self.exchange.greet(str(transport.getHost().host), self._clock.seconds())
        self.handle([])

    def dataReceived(self, data: bytes) -> None:
        try:
            self.handle(self.exchange.receive_data(data, self._clock.seconds()))
        except Exception:
            self._fault()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._closing = True
        self._stop_timer()
        self._report_end("the connection was lost")
        self._on_closed(self)

    # What the peer calls

    def ask(self, token: Any, body: bytes, *, end_to_end: int, repeat: bool) -> None:
        """Make a request: its bytes are the transport's when this returns."""
        now = self._clock.seconds()
        self.exchange.ask(token, body, now, end_to_end=end_to_end, repeat=repeat)
        self._flush()

    def leave(self) -> None:
        """Say goodbye and close."""
        self.handle(self.exchange.leave(self._clock.seconds()))

    def handle(self, events: list[Event]) -> None:
        """Write what there is to say, report, arm the timer, close at the end."""
        self._flush()
        self._on_events(self, events)
        if events and isinstance(events[-1], Ended):
            self._close()

    # Inside

    def _flush(self) -> None:
        data = self.exchange.data_to_send()
        if data and not self._closing:
            self.transport.write(data)
        self._arm()

    def _arm(self) -> None:
        deadline = self.exchange.next_deadline()
        if deadline is None or self._closing:
            self._stop_timer()
            return
        if self._timer is not None and self._timer_at <= deadline:
            return  # it will look again when it fires: cheaper than moving it with each request
        self._stop_timer()
        self._timer_at = deadline
        wait_s = max(_TICK_S_MIN, deadline - self._clock.seconds())
        self._timer = self._clock.callLater(wait_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self.handle(self.exchange.tick(self._clock.seconds()))
        except Exception:
            self._fault()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _report_end(self, why: str) -> None:
        events = self.exchange.end(why)
        try:
            if events:
                self._on_events(self, events)
        except Exception:
            log.failure("reporting the end of a Diameter connection failed")

    def _fault(self) -> None:
        """An error of ours: this connection is not to be trusted any more."""
        log.failure("an error while handling a Diameter connection; it is dropped")
        self._report_end("an error of ours")
        self._close()

    def _close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._stop_timer()
        self.transport.unregisterProducer()
        # The peer may not be reading; an orderly end was agreed on before, where there was one.
        self.transport.abortConnection()
