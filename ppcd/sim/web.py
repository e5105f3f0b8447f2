# mypy: allow-untyped-calls
"""The HTTP server of the simulators: routes, JSON, streams, and bad manners on purpose.

Owns how a simulator answers over HTTP. The product's own server (`ppcd.http`) refuses what the
simulators must be able to do: never answer, drop the connection, send nonsense. Knows nothing of
billing, phones or shops.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.server import Request as TwistedRequest

#: Ten times the product's own cap: a simulator should not be what refuses first.
BODY_SIZE_MAX: Final = 655_360

JSON_TYPE: Final = "application/json; charset=utf-8"

log = Logger(namespace="ppcd.sim.web")


class Reactor(IReactorTCP, IReactorTime):
    """What a simulator needs of a reactor: TCP and timers."""


class Refused(Exception):
    """Answers the request with this status and a JSON body {"error": message}."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    raw: TwistedRequest

    def header(self, name: bytes) -> str | None:
        value = self.raw.getHeader(name)
        return None if value is None else value.decode("latin-1")

    def json(self) -> dict[str, object]:
        try:
            value = json.loads(self.body)
        except ValueError as exc:
            raise Refused(400, f"not JSON: {exc}") from exc
        if not isinstance(value, dict):
            raise Refused(400, "not a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answers; the connection stays open until the caller gives up."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Closes the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Answers 200 and lets `run` write for as long as it likes; cancelled when the reader goes."""

    run: Callable[[Callable[[bytes], None]], Awaitable[None]]
    headers: tuple[tuple[str, str], ...] = ()


Answer = Response | Hang | Drop | Stream
Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path; `{name}` in the template is one path segment, handed over decoded."""

    method: str
    template: str
    handler: Handler
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts = re.split(r"\{(\w+)\}", self.template)
        text = "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
        object.__setattr__(self, "pattern", re.compile(text))


def json_response(value: object, status: int = 200, *headers: tuple[str, str]) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(
        status, body, (("Content-Type", JSON_TYPE), ("Cache-Control", "no-store"), *headers)
    )


class App(Resource):
    """Hands a request to the first route that fits; what fits none goes to `otherwise` or 404s."""

    isLeaf = True

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        headers: tuple[tuple[str, str], ...] = (),
        otherwise: Callable[[TwistedRequest], None] | None = None,
    ) -> None:
        super().__init__()
        self._routes = tuple(routes)
        self._headers = headers
        self._otherwise = otherwise

    def render(self, request: TwistedRequest) -> int:
        raw_path = request.path.decode("latin-1")
        route, params, allowed = self._find(request.method.decode("latin-1"), raw_path)
        if route is None and not allowed and self._otherwise is not None:
            self._otherwise(request)
            return NOT_DONE_YET
        answered = Deferred.fromCoroutine(self._answer(request, route, params, allowed))
        request.notifyFinish().addErrback(lambda _reason: answered.cancel())
        answered.addErrback(_report, request)
        return NOT_DONE_YET

    def _find(
        self, method: str, path: str
    ) -> tuple[Route | None, Mapping[str, str], tuple[str, ...]]:
        wanted = "GET" if method == "HEAD" else method
        allowed = []
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is None:
                continue
            if route.method == wanted:
                params = {name: unquote(text) for name, text in match.groupdict().items()}
                return route, params, ()
            allowed.append(route.method)
        return None, {}, tuple(allowed)

    async def _answer(
        self,
        raw: TwistedRequest,
        route: Route | None,
        params: Mapping[str, str],
        allowed: tuple[str, ...],
    ) -> None:
        answer: Answer
        if route is None:
            answer = json_response({"error": "no such path or method"}, 405 if allowed else 404)
        else:
            try:
                answer = await route.handler(_read(raw, params))
            except Refused as refused:
                answer = json_response({"error": refused.message}, refused.status)
        await self._send(raw, answer)

    async def _send(self, raw: TwistedRequest, answer: Answer) -> None:
        match answer:
            case Drop():
                raw.channel.forceAbortClient()
            case Hang():
                await Deferred()
            case Stream(run, headers):
                _put_headers(raw, (*self._headers, *headers))
                await run(raw.write)
                raw.finish()
            case Response(status, body, headers):
                raw.setResponseCode(status)
                _put_headers(raw, (*self._headers, *headers))
                raw.setHeader(b"Content-Length", b"%d" % len(body))
                raw.write(body)
                raw.finish()


class Server:
    """An `App` on a loopback port; `stop` also ends what is open, so that a test leaves nothing."""

    def __init__(self, reactor: Reactor, app: App, *, host: str, port: int) -> None:
        self._reactor = reactor
        self._host = host
        self._port_asked = port
        self._port: IListeningPort | None = None
        self._site = _Site(app, reactor)

    @property
    def port(self) -> int:
        assert self._port is not None, "not started"
        address = self._port.getHost()
        assert isinstance(address, IPv4Address)
        return address.port

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    async def start(self) -> None:
        endpoint = TCP4ServerEndpoint(self._reactor, self._port_asked, interface=self._host)
        self._port = await endpoint.listen(self._site)

    async def stop(self) -> None:
        if self._port is None:
            return
        port, self._port = self._port, None
        await maybeDeferred(port.stopListening)
        for channel in tuple(self._site.open):
            channel.forceAbortClient()
        while self._site.open:
            await _turn(self._reactor)


class _Channel(HTTPChannel):
    """A connection that its server knows of while it is open."""

    def connectionMade(self) -> None:
        self.factory.open.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.open.discard(self)
        super().connectionLost(reason)


class _Site(Site):
    """Keeps no access log, since a simulator's record is its journal."""

    protocol = _Channel  # type: ignore[assignment]  # typed for HTTP/2 as well

    def __init__(self, app: App, reactor: Reactor) -> None:
        super().__init__(app, reactor=reactor, timeout=75)
        self.open: set[_Channel] = set()

    def log(self, request: object) -> None:
        pass


def _read(raw: TwistedRequest, params: Mapping[str, str]) -> Request:
    assert raw.content is not None
    body = raw.content.read(BODY_SIZE_MAX + 1)
    if len(body) > BODY_SIZE_MAX:
        raise Refused(413, "body too large")
    uri = raw.uri.decode("latin-1")
    query = dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))
    return Request(
        raw.method.decode("latin-1"), raw.path.decode("latin-1"), params, query, body, raw
    )


def _put_headers(raw: TwistedRequest, headers: tuple[tuple[str, str], ...]) -> None:
    raw.responseHeaders.removeHeader(b"Server")
    for name, value in headers:
        raw.responseHeaders.setRawHeaders(name.encode(), [value.encode()])


def _report(failure: Failure, request: TwistedRequest) -> None:
    if failure.check(CancelledError, ConnectionDone, ConnectionLost):
        return
    log.failure("request failed", failure=failure)
    if request.startedWriting or request._disconnected:
        request.loseConnection()
        return
    request.setResponseCode(500)
    request.setHeader(b"Content-Type", JSON_TYPE.encode())
    request.write(b'{"error":"the simulator failed; its log says why"}')
    request.finish()


def _turn(reactor: IReactorTime) -> Deferred[None]:
    turned: Deferred[None] = Deferred()
    reactor.callLater(0, turned.callback, None)
    return turned
