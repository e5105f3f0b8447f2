"""One peer kept connected: dial, exchange capabilities, watch, fall, wait, dial again.

Owns the connection's life and the waiting between two of them. What is asked and answered passes
through to the owner.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger, LogLevel

from ppcd.billing.diameter.driver import Driver
from ppcd.billing.diameter.exchange import Ended, Event, Exchange, Odd, Opened, Pace, Suspected
from ppcd.billing.diameter.requests import Identity
from ppcd.billing.diameter.settings import DiameterBillingSettings, DiameterPeerSettings
from ppcd.smpp.settings import TlsSettings
from ppcd.smpp.tls import client_tls

log = Logger(namespace="ppcd.billing.diameter")

#: How much longer a peer is left alone that said it does not want to talk to us.
_UNWANTED: Final = 10
#: At most one line about odd messages in so many seconds.
_ODD_EVERY_S: Final = 10.0


class PeerOwner(Protocol):
    """Who asks over the peers."""

    def happened(self, peer: Peer, events: list[Event]) -> None:
        """What came of one read, one tick or one call; an empty list when there may be room."""
        ...


class _Connections(Factory):
    noisy = False

    def __init__(self, make: Callable[[], Driver]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Driver:
        return self._make()


class Peer:
    """A Diameter peer, tried again and again between `start` and `stop`."""

    def __init__(
        self,
        name: str,
        *,
        identity: Identity,
        pace: Pace,
        host: str | None,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        random: Random,
        reconnect_s: tuple[float, float],
        reopen_watchdogs: int,
        in_flight_max: int,
        owner: PeerOwner,
    ) -> None:
        """`host` is the only DiameterIdentity taken; `reconnect_s` the first and longest pause;
        `reopen_watchdogs` must be answered before a peer is used again that had failed."""
        self.name = name
        self.driver: Driver | None = None
        self._identity = identity
        self._pace = pace
        self._host = host
        self._clock = clock
        self._random = random
        self._reconnect_s = reconnect_s
        self._reopen_watchdogs = reopen_watchdogs
        self._in_flight_max = in_flight_max
        self._owner = owner
        self._failures = 0
        self._failed = False
        self._unwanted = False
        self._opened_at: float | None = None
        self._odd_at: float | None = None
        self._left: Deferred[None] | None = None
        self._service = ClientService(
            endpoint, _Connections(self._make_driver), retryPolicy=self._wait_s, clock=clock
        )

    @property
    def has_room(self) -> bool:
        """Whether a request can be written right now."""
        driver = self.driver
        return (
            driver is not None
            and driver.writable
            and driver.exchange.is_open
            and driver.exchange.in_flight < self._in_flight_max
        )

    @property
    def is_open(self) -> bool:
        return self.driver is not None and self.driver.exchange.is_open

    def start(self) -> None:
        self._service.startService()

    def stop(self) -> Deferred[None]:
        """Say goodbye, close; fires when nothing is left."""
        if not self._service.running:
            return succeed(None)
        if self._left is not None:
            return self._left
        left: Deferred[None] = Deferred()
        self._left = left
        if self.driver is None:
            self._stop_service()
        else:
            self.driver.leave()
        return left

    # What the service asks

    def _make_driver(self) -> Driver:
        exchange = Exchange(
            self._identity,
            self._pace,
            first_id=self._random.getrandbits(32),
            jitter=map(lambda _: self._random.random(), itertools.count()),
            peer_host=self._host,
            watchdogs_first=self._reopen_watchdogs if self._failed else 1,
        )
        self.driver = Driver(
            exchange, clock=self._clock, on_events=self._happened, on_closed=self._closed
        )
        return self.driver

    def _wait_s(self, _attempt: int) -> float:
        first_s, most_s = self._reconnect_s
        wait_s = min(most_s, first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        if self._unwanted:
            self._unwanted = False
            wait_s = most_s * _UNWANTED
        # The upper half only: never at once, and never all nodes together.
        wait_s *= 0.5 + 0.5 * self._random.random()
        log.warn(
            "diameter peer {peer} is not connected, next attempt in {wait_s} s",
            peer=self.name,
            wait_s=round(wait_s, 1),
        )
        return wait_s

    # What the driver tells

    def _happened(self, driver: Driver, events: list[Event]) -> None:
        for event in events:
            match event:
                case Opened(host):
                    self._opened(host)
                case Suspected():
                    log.warn("diameter peer {peer} does not answer the watchdog", peer=self.name)
                case Odd(what):
                    self._odd(what)
                case Ended():
                    self._ended(event)
        self._owner.happened(self, events)

    def _opened(self, host: str) -> None:
        self._failed = False
        if self._opened_at is None:
            self._opened_at = self._clock.seconds()
            log.info("diameter peer {peer} is open: {host}", peer=self.name, host=host)
        else:
            log.info("diameter peer {peer} answers again", peer=self.name)

    def _odd(self, what: str) -> None:
        now = self._clock.seconds()
        if self._odd_at is None or now - self._odd_at >= _ODD_EVERY_S:
            self._odd_at = now
            log.warn("diameter peer {peer} sent {what}", peer=self.name, what=what)

    def _ended(self, event: Ended) -> None:
        since, self._opened_at = self._opened_at, None
        # Only a connection that stood for a while was a good one.
        if since is not None and self._clock.seconds() - since >= self._reconnect_s[1]:
            self._failures = 0
        self._failed = self._failed or (since is not None and not event.orderly)
        self._unwanted = event.unwanted
        log.emit(
            LogLevel.warn if self._left is None else LogLevel.info,
            "diameter peer {peer} ended: {why}, {unanswered} unanswered",
            peer=self.name,
            why=event.why,
            unanswered=len(event.unanswered),
        )

    def _closed(self, driver: Driver) -> None:
        self.driver = None
        if self._left is not None:
            # The service has yet to hear of it; a retry it may plan is cancelled by this.
            self._clock.callLater(0, self._stop_service)

    def _stop_service(self) -> None:
        self._service.stopService().addBoth(self._finish)

    def _finish(self, _result: object) -> None:
        left, self._left = self._left, None
        if left is not None:
            left.callback(None)


def endpoint_of(
    settings: DiameterBillingSettings, peer: DiameterPeerSettings, reactor: Any
) -> IStreamClientEndpoint:
    """Where a peer of the settings is connected to, with TLS or without."""
    plain = HostnameEndpoint(reactor, peer.host, peer.port, timeout=settings.connect_timeout_s)
    if settings.tls is None:
        return plain
    tls = TlsSettings(
        ca_file=settings.tls.ca_file,
        certificate_file=settings.tls.certificate_file,
        key_file=settings.tls.key_file,
        server_name=peer.server_name,
        minimum_version=settings.tls.version_min,
    )
    endpoint: IStreamClientEndpoint = wrapClientTLS(client_tls(tls, peer.host), plain)
    return endpoint
