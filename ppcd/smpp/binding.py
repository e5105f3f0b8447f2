"""One bind kept up: dial, bind, watch, fall, wait, dial again.

Owns the connection's life and the waiting between two of them. Messages pass through to the owner
untouched. Binding happens from `opened` and not in `ClientService.prepareConnection`, which leaves
refused connections open, forgets to retry when a link falls meanwhile, and counts a refused bind
as a success because TCP connected.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure as Reason
from zope.interface import implementer

from ppcd.smpp.backoff import REFUSALS, Backoff, Failure
from ppcd.smpp.driver import Driver
from ppcd.smpp.events import Bound, End, Ended, Event
from ppcd.smpp.matrix import Role
from ppcd.smpp.pdu import Pdu
from ppcd.smpp.requests import bind
from ppcd.smpp.session import Session
from ppcd.smpp.settings import LinkSettings
from ppcd.smpp.status import status_name


class LinkState(Enum):
    """Where a bind, or a whole link, stands."""

    STOPPED = "stopped"  # not started, or stopped for good
    DOWN = "down"  # waits before the next attempt
    CONNECTING = "connecting"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"  # stopping, or the other side is leaving


class BindOwner(Protocol):
    """Who keeps the bind."""

    def bind_changed(self, bind: Bind) -> None:
        """`bind.state` is another one."""
        ...

    def bind_happened(self, bind: Bind, events: list[Event], read_at: float) -> None:
        """What the session reports, `Bound` and `Ended` included."""
        ...


@implementer(IStreamClientEndpoint)
class _Noticed:
    """An endpoint that says when it is used, and why in vain: ClientService doesn't."""

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        *,
        on_dial: Callable[[], None],
        on_failure: Callable[[Reason], None],
    ) -> None:
        self._endpoint = endpoint
        self._on_dial = on_dial
        self._on_failure = on_failure

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self._on_dial()
        dialled: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        dialled.addErrback(self._failed)
        return dialled

    def _failed(self, reason: Reason) -> Reason:
        self._on_failure(reason)
        return reason


class _Connections(Factory):
    noisy = False

    def __init__(self, make: Callable[[], Driver]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Driver:
        return self._make()


class Bind:
    """One bind of one kind to one SMSC, tried again and again between `start` and `stop`.

    EncodeError when the settings hold what a bind can't carry.
    """

    def __init__(
        self,
        command: int,
        settings: LinkSettings,
        *,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        random: Callable[[], float],
        owner: BindOwner,
        log: Logger,
    ) -> None:
        self.command = command
        self.state = LinkState.STOPPED
        self.driver: Driver | None = None
        #: The status of the last refusal, for whoever asks why there is no link.
        self.refused_with: int | None = None
        self.bound_at: float | None = None
        self._settings = settings
        # Built now: settings that no bind can carry should fail where they are made.
        self._request = bind_pdu(command, settings)
        self._clock = clock
        self._random = random
        self._owner = owner
        self._log = log
        self._backoff = Backoff(settings.backoff, random)
        self._failure = Failure.UNREACHABLE
        #: Why the last connection is no more, or never was: for people.
        self._why = ""
        self._stopping = False
        self._held = False
        self._stopped: list[Deferred[None]] = []
        self._service = ClientService(
            _Noticed(endpoint, on_dial=self._dialled, on_failure=self._not_reached),
            _Connections(self._make_driver),
            retryPolicy=self._wait_s,
            clock=clock,
        )

    @property
    def failures(self) -> int:
        """Attempts that failed since the last good bind."""
        return self._backoff.failures

    def start(self) -> None:
        """Dial and keep dialling. May be called again after `stop`."""
        self._stopping = False
        self._service.startService()

    def stop(self) -> Deferred[None]:
        """Drain, unbind, close, each within its time; fires when nothing is left."""
        if self.state is LinkState.STOPPED:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if self._stopping:
            return stopped
        self._stopping = True
        if self.driver is None:
            self._stop_service()
        else:
            self._become(LinkState.UNBINDING)
            self.driver.handle(self.driver.session.unbind(self._clock.seconds()))
            # What is open can only end if it is read; what is new is told to come later.
            self.driver.unhold()
        return stopped

    def drop(self) -> None:
        """Abort the connection, as if it were lost; a new one will be tried."""
        if self.driver is not None:
            self.driver.end(End.DROPPED)

    def hold(self) -> None:
        """Stop reading, on this connection and the next ones, until `unhold`."""
        self._held = True
        if self.driver is not None:
            self.driver.hold()

    def unhold(self) -> None:
        self._held = False
        if self.driver is not None:
            self.driver.unhold()

    # What ClientService asks

    def _dialled(self) -> None:
        self._become(LinkState.CONNECTING)

    def _not_reached(self, reason: Reason) -> None:
        self._why = reason.getErrorMessage()

    def _make_driver(self) -> Driver:
        clock, settings = self._clock, self._settings
        session = Session(Role.ESME, settings.session(), random=self._random, now=clock.seconds())
        buffer_max = settings.write_buffer_max
        return Driver(session, self, clock, write_buffer_max=buffer_max, log=self._log)

    def _wait_s(self, _attempts: int) -> float:
        # ClientService counts from each TCP connect, so its number is of no use.
        failure, self._failure = self._failure, Failure.UNREACHABLE
        wait_s = self._backoff.wait_s(failure)
        if not self._stopping:
            self._become(LinkState.DOWN)
            self._log.warn(
                "link {link} to {host}:{port} is down, {failure}: {why}; attempt {failures} "
                "in {wait_s:.1f} s",
                link=self._settings.name,
                host=self._settings.host,
                port=self._settings.port,
                failure=failure.value,
                why=self._why,
                failures=self._backoff.failures,
                wait_s=wait_s,
            )
        return wait_s

    # What the driver reports

    def opened(self, driver: Driver) -> None:
        self.driver = driver
        driver.session.bind(self._request, self._clock.seconds())
        self._become(LinkState.BINDING)

    def happened(self, driver: Driver, events: list[Event], read_at: float) -> None:
        for event in events:
            if type(event) is Bound:
                self.bound_at = self._clock.seconds()
                self.refused_with = None
                self._become(LinkState.BOUND)
                if self._held:
                    driver.hold()
            elif type(event) is Ended:
                self._ended(event)
        self._owner.bind_happened(self, events, read_at)
        if driver.session.leaving and self.state is LinkState.BOUND:
            self._become(LinkState.UNBINDING)

    def closed(self, driver: Driver, reason: Reason) -> None:
        self.driver = None
        if self._stopping:
            # ClientService has yet to hear of it; a retry it may plan is cancelled by this.
            self._clock.callLater(0, self._stop_service)

    # Inside

    def _ended(self, event: Ended) -> None:
        stood_s = 0.0 if self.bound_at is None else self._clock.seconds() - self.bound_at
        self.bound_at = None
        self._why = event.end.value
        if event.end is End.BIND_REFUSED:
            self.refused_with = event.status
            refused = event.status in REFUSALS
            self._failure = Failure.REFUSED if refused else Failure.UNREACHABLE
            assert event.status is not None, "a refusal has a status"
            self._why += f" with {status_name(event.status)}"
        elif stood_s >= self._settings.backoff.stable_s:
            self._failure = Failure.LOST
        else:
            self._failure = Failure.UNREACHABLE
        if not self._stopping:
            self._become(LinkState.DOWN)

    def _become(self, state: LinkState) -> None:
        if state is self.state:
            return
        self.state = state
        self._owner.bind_changed(self)

    def _stop_service(self) -> None:
        self._service.stopService().addBoth(self._finish)

    def _finish(self, _result: object) -> None:
        self._become(LinkState.STOPPED)
        waiting, self._stopped = self._stopped, []
        for stopped in waiting:
            stopped.callback(None)


def bind_pdu(command: int, settings: LinkSettings) -> Pdu:
    """The bind request of a link; EncodeError when its settings can't be written."""
    return bind(
        command,
        system_id=settings.system_id.encode(),
        password=settings.password.encode(),
        system_type=settings.system_type.encode(),
        interface_version=settings.interface_version,
        addr_ton=settings.addr_ton,
        addr_npi=settings.addr_npi,
        address_range=settings.address_range.encode(),
    )
