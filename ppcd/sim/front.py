"""The demo's one address: its page, the simulators' own HTTP, and ppcd behind a reverse proxy.

Owns which path goes where, and the page's files with their security headers. Knows nothing of
what is behind the paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Final

from ppcd.sim.proxy import Proxy
from ppcd.sim.web import Answer, App, Handler, Reactor, Request, Response, Route, Server

TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PAGES: Final = {"index.html": "/", "shop.html": "/shop/"}
SECURITY_HEADERS: Final = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
)


class Front:
    """Serves `routes` and the page itself, and hands everything else on to `connect`'s URL."""

    def __init__(self, reactor: Reactor, routes: Iterable[Route], *, host: str, port: int) -> None:
        self._host = host
        self._proxy = Proxy(reactor)
        app = App((*_page_routes(), *routes), otherwise=self._proxy.hand_on)
        self._server = Server(reactor, app, host=host, port=port)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def local_url(self) -> str:
        """The address for callers on this machine, also where all addresses are listened on."""
        host = "127.0.0.1" if self._host == "0.0.0.0" else self._host  # noqa: S104
        return f"http://{host}:{self.port}"

    @property
    def port(self) -> int:
        return self._server.port

    def connect(self, upstream: str) -> None:
        """From now on ppcd's partner address is here; before that, its paths answer 502."""
        self._proxy.upstream = upstream.rstrip("/")

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._proxy.stop()
        await self._server.stop()


def _page_routes() -> list[Route]:
    routes = []
    for file in files("ppcd.sim").joinpath("assets").iterdir():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            path = PAGES.get(file.name, f"/demo/{file.name}")
            routes.append(Route("GET", path, _serve(file.read_bytes(), kind)))
    return routes


def _serve(content: bytes, kind: str) -> Handler:
    async def serve(_request: Request) -> Answer:
        return Response(200, content, (("Content-Type", kind), *SECURITY_HEADERS))

    return serve
