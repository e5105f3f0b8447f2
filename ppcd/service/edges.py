"""Where a node is spoken to: the partners' address, the NOC's, and the control socket."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from ppcd.flow.listing import Listings
from ppcd.flow.tokens import Tokens
from ppcd.http.exchange import Seen
from ppcd.http.router import Router
from ppcd.http.server import Site
from ppcd.http.tls import ServerTls, server_options
from ppcd.ops.health import Health
from ppcd.ops.server import listen, operations_site
from ppcd.partner.api import PartnerApi
from ppcd.partner.oauth import OAuth
from ppcd.partner.refund_api import RefundApi
from ppcd.partner.settings import PartnerApiSettings
from ppcd.service.chance import new_name
from ppcd.service.control import Control

if TYPE_CHECKING:
    from ppcd.service.node import Node

access = Logger(namespace="ppcd.access")

OPERATIONS_GRACE_S: Final = 1.0


class Edges:
    """The listeners of one node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._reactor: Any = node.lanes.reactor
        settings = node.in_force.settings
        self.health = Health(
            ready={"database": node.watch.store_problem, "links": node.watch.links_problem}
        )
        self._api = PartnerApi(
            node.requests,
            settings.partner_api,
            listings=Listings(lanes=node.lanes),
            reservations=node.reservations,
            validations=node.validations,
            clock=self._reactor,
            new_correlator=partial(new_name, node.random),
        )
        router = Router()
        self._api.add_routes(router)
        tokens = Tokens(lanes=node.lanes, lifetime_s=settings.partner_api.token_lifetime_s)
        OAuth(tokens, self._api.envelope, settings.partner_api, clock=self._reactor).add_routes(
            router
        )
        refunds = RefundApi(node.refund_requests, settings.partner_api, envelope=self._api.envelope)
        refunds.add_routes(router)
        self._checkout = node.checkout()
        self._checkout.add_routes(router, self._api)
        self._partners = Site(
            router,
            reactor=self._reactor,
            limits=self._api.limits,
            observe=self._observe,
            error=self._api.error,
        )
        node.metrics.http_connections.child().follow(lambda: self._partners.connections)
        self._operations = operations_site(node.metrics, self.health, reactor=self._reactor)
        self._control = Control(node)
        self._ports: dict[str, IListeningPort] = {}
        self._tls: ServerTls | None = None

    @property
    def partner_address(self) -> str:
        """HOST:PORT, empty before `start_partners`."""
        return self._address("partners")

    @property
    def operations_address(self) -> str:
        """HOST:PORT, empty before `start_operations`."""
        return self._address("operations")

    async def start_operations(self) -> None:
        """Raises CannotListenError."""
        settings = self._node.in_force.settings.operations
        self._ports["operations"] = await listen(self._reactor, settings.listen, self._operations)
        await self._control.start(settings.socket)

    async def start_partners(self) -> None:
        """Raises CannotListenError."""
        settings = self._node.in_force.settings.partner_api
        factory: Any = self._partners
        if settings.certificate_file is not None:
            self._tls = ServerTls(partial(_tls_of, settings))
            factory = TLSMemoryBIOFactory(
                self._tls, isClient=False, wrappedFactory=factory, clock=self._reactor
            )
        self._ports["partners"] = await listen(self._reactor, settings.listen, factory)

    def reload_certificates(self) -> None:
        """Show what is in the files now. Raises OSError or ValueError, and goes on with the old."""
        if self._tls is not None:
            self._tls.reload()

    async def stop_partners(self, *, grace_s: float) -> None:
        """Take no more requests; those in hand are answered."""
        port = self._ports.pop("partners", None)
        if port is not None:
            await maybeDeferred(port.stopListening)
        self._checkout.stop()
        await self._partners.stop(grace_s)

    async def stop_operations(self) -> None:
        """The last thing that stops: a draining node can be watched."""
        await self._control.stop()
        port = self._ports.pop("operations", None)
        if port is not None:
            await maybeDeferred(port.stopListening)
        await self._operations.stop(OPERATIONS_GRACE_S)

    def _address(self, which: str) -> str:
        port = self._ports.get(which)
        if port is None:
            return ""
        address: Any = port.getHost()
        return f"{address.host}:{address.port}"

    def _observe(self, seen: Seen) -> None:
        metrics = self._node.metrics
        metrics.know_route(seen.route)
        metrics.http_requests.child(seen.route, str(seen.status)).add()
        metrics.http_request_seconds.child(seen.route).observe(seen.seconds)
        access.info(
            "{method} {route} {status} in {milliseconds} ms from {peer} ({partner}, {correlator})",
            method=seen.method,
            route=seen.route,
            status=seen.status,
            milliseconds=round(seen.seconds * 1000, 1),
            peer=seen.notes.get("client", seen.peer),
            partner=seen.notes.get("partner", "-"),
            correlator=seen.notes.get("correlator", "-"),
        )


def _tls_of(settings: PartnerApiSettings) -> Any:
    assert settings.certificate_file is not None
    assert settings.key_file is not None
    authorities = settings.client_ca_file
    return server_options(
        Path(settings.certificate_file),
        Path(settings.key_file),
        client_ca_file=None if authorities is None else Path(authorities),
    )
