"""The operations address: metrics and health over HTTP, apart from the partners'."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IListeningPort

from ppcd.http.messages import Request, Response, json_response
from ppcd.http.router import Router
from ppcd.http.server import Limits, Site
from ppcd.metrics import Metrics
from ppcd.ops.health import Health

__all__ = ["listen", "operations_site"]

#: Scrapers and probes are few and small.
LIMITS: Final = Limits(
    body_size_max=1024, connections_max=100, connections_per_address_max=50, handler_s=10
)
NO_STORE: Final = (b"Cache-Control", b"no-store")
#: Connections that may wait for the reactor to accept them; the kernel has a limit of its own. What
#: finds no room is dropped and comes again after a second, so that a crowd took half a minute.
BACKLOG: Final = 4096


def operations_site(metrics: Metrics, health: Health, *, reactor: Any) -> Site:
    """What answers `/metrics`, `/health/live` and `/health/ready`."""

    async def scrape(request: Request) -> Response:
        accept = ",".join(value.decode("latin-1") for value in request.header_values(b"accept"))
        content_type, body = metrics.expose(accept)
        return Response(200, ((b"Content-Type", content_type.encode()), NO_STORE), body)

    async def live(request: Request) -> Response:
        return _answer(health.live_problems())

    async def ready(request: Request) -> Response:
        return _answer(health.ready_problems())

    router = Router()
    router.add("GET", "/metrics", scrape)
    router.add("GET", "/health/live", live)
    router.add("GET", "/health/ready", ready)
    return Site(router, reactor=reactor, limits=LIMITS)


def listen(reactor: Any, host_port: str, site: Site) -> Deferred[IListeningPort]:
    """Listen on `HOST:PORT`; fails with CannotListenError where that is taken."""
    host, _, port = host_port.rpartition(":")
    host = host.strip("[]")
    make = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
    endpoint: Any = make(reactor, int(port), backlog=BACKLOG, interface=host)
    listening: Deferred[IListeningPort] = endpoint.listen(site)
    return listening


def _answer(problems: dict[str, str]) -> Response:
    """The status code says it all; the body is for people."""
    status = 503 if problems else 200
    said = {"status": "failing" if problems else "ok", "problems": problems}
    return json_response(status, said, (NO_STORE,))
