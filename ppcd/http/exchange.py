"""One request on a connection and its answer: from the last octet in to the last octet out.

What `HTTPChannel` expects of a request, and nothing more: no forms, cookies or sessions.
"""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import INonQueuedRequestFactory
from zope.interface import implementer, provider

from ppcd.http.messages import Request, Response
from ppcd.http.router import Found, Route

if TYPE_CHECKING:
    from ppcd.http.server import Channel

_log = Logger(namespace="ppcd.http")

_REASONS: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: The status an access log gives a request whose client did not wait.
CLIENT_GONE: Final = 499


@dataclass(frozen=True, slots=True)
class Seen:
    """One answered request, for metrics and the access log. `route` is from a closed set."""

    route: str  #: a template, "(none)" for no such path, "(refused)" for what was no request
    method: str  #: "other" for one that no route has, "-" for what was no request
    status: int  #: CLIENT_GONE when the client went away first
    seconds: float
    peer: str
    notes: Mapping[str, str] = field(default_factory=dict)  #: what the handler said of it


def head_of(response: Response, date: bytes, *, close: bool, chunked: bool = False) -> bytes:
    """Status line and headers. Raises ValueError for a header that would break out of its line."""
    status = response.status
    lines = [b"HTTP/1.1 %d %s\r\nDate: %s\r\n" % (status, _REASONS.get(status, b"-"), date)]
    lines += [b"%s: %s\r\n" % header for header in response.headers]
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif isinstance(response.body, bytes) and status not in (204, 304):
        lines.append(b"Content-Length: %d\r\n" % len(response.body))
    if close:
        lines.append(b"Connection: close\r\n")
    lines.append(b"\r\n")
    head = b"".join(lines)
    ends = len(lines) + 1  # the status line and Date are one of them
    if not head.count(b"\r") == head.count(b"\n") == ends or b"\x00" in head:
        raise ValueError("a header has a line break or NUL in it")
    return head


class _HeaderList(list[tuple[bytes, bytes]]):
    """What the parser puts headers into."""

    def addRawHeader(self, name: bytes, value: bytes) -> None:
        self.append((name.lower(), value))


@provider(INonQueuedRequestFactory)
class Exchange:
    """A request being received, then handled, then answered."""

    def __init__(self, channel: "Channel") -> None:
        self._channel: Channel | None = channel
        self._site = channel.site
        self._peer = channel.peer_host
        self.requestHeaders = _HeaderList()
        self.keep_alive = True
        self.expects_continue = False
        self._version = b""
        self._body: list[bytes] = []
        self._body_size = 0
        self._method = "-"
        self._template = "(none)"
        self._started = 0.0
        self._request: Request | None = None
        self._running: Deferred[None] | None = None
        self._answering = False
        self._observed = False
        self._notes: Mapping[str, str] = {}

    # -- what the parser calls

    def headers_complete(self, version: bytes) -> bool:
        """Whether they are in order; also notes what they say about the connection."""
        self._version = version
        hosts = 0
        for name, value in self.requestHeaders:
            if name == b"host":
                hosts += 1
            elif name == b"connection":
                tokens = {token.strip() for token in value.lower().split(b",")}
                self.keep_alive = self.keep_alive and b"close" not in tokens
            elif name == b"expect":
                self.expects_continue = value.lower() == b"100-continue"
        if version != b"HTTP/1.1":
            self.keep_alive = self.expects_continue = False
            return hosts <= 1
        return hosts == 1  # RFC 9112 3.2

    def handleContentChunk(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._body_size <= self._site.limits.body_size_max:
            self._body.append(data)
        elif self._channel is not None:
            self._channel.refuse(413)

    def requestReceived(self, command: bytes, target: bytes, version: bytes) -> None:
        site = self._site
        self._started = site.reactor.seconds()
        self._method = command.decode("ascii")
        try:
            path, query_string = _path_and_query(target)
        except ValueError:
            self._answer(site.error(400, self.as_request()))
            return
        found = site.router.find(self._method, path)
        if found is None:
            self._answer(site.error(404, self.as_request(path, query_string)))
            return
        self._template = found.template
        request = self.as_request(path, query_string, found)
        if found.route is not None:
            self._handle(found.route, request)
            return
        allow = (b"Allow", ", ".join(found.allowed).encode("ascii"))
        answer = Response(204) if self._method == "OPTIONS" else site.error(405, request)
        self._answer(dataclasses.replace(answer, headers=[*answer.headers, allow]))

    def connectionLost(self, reason: Failure) -> None:
        self._channel = None
        if self._running is None:
            return
        if self._answering or self._may_cancel:
            self._running.cancel()
        else:
            self._observe(CLIENT_GONE)

    # -- handling

    def as_request(
        self, path: str = "", query_string: str = "", found: Found | None = None
    ) -> Request:
        """What is known of it so far."""
        return Request(
            method=self._method,
            path=path,
            query_string=query_string,
            headers=self.requestHeaders,
            body=b"".join(self._body),
            peer=self._peer,
            route="" if found is None else found.template,
            params={} if found is None else found.params,
            certificate=None if self._channel is None else self._channel.certificate,
        )

    def time_is_up(self) -> None:
        """The handler's deadline, or the peer's for reading a streamed answer."""
        if self._channel is None or self._running is None:
            return
        if self._answering:
            self._channel.abort()
        elif self._may_cancel:
            self._running.cancel()
        else:
            self._answer(self._site.error(503, self._request))

    @property
    def _may_cancel(self) -> bool:
        """Whether work may stop half-way. Not where a request changes something: what is committed
        already must still be followed up, whoever left meanwhile.
        """
        return self._method in ("GET", "HEAD")

    def _handle(self, route: Route, request: Request) -> None:
        assert self._channel is not None
        self._request = request
        if route.deadline_s is not None:
            self._channel.deadline(route.deadline_s)
        running = Deferred.fromCoroutine(self._run(route, request))
        if not running.called:
            self._running = running

    async def _run(self, route: Route, request: Request) -> None:
        """The outermost loop of a request: whatever happens, the peer gets an answer."""
        try:
            response = await route.handler(request)
        except CancelledError:
            if self._channel is None:
                self._observe(CLIENT_GONE)
                return
            response = self._site.error(503, request)
        except Exception:
            _log.failure("the handler of {method} {route} failed", method=route.method,
                         route=route.template)  # fmt: skip
            response = self._site.error(500, request)
        try:
            if isinstance(response.body, bytes):
                self._answer(response)
            else:
                await self._stream(response, response.body)
        except CancelledError:
            self._observe(CLIENT_GONE)
        except Exception:
            _log.failure("the answer of {method} {route} failed", method=route.method,
                         route=route.template)  # fmt: skip
            if self._answering:
                self._cut_off()
            else:
                self._answer(self._site.error(500, request))

    # -- answering

    def _answer(self, response: Response) -> None:
        self._notes = response.notes
        channel = self._channel
        if channel is None:
            self._observe(CLIENT_GONE)
            return
        assert isinstance(response.body, bytes)
        head = head_of(response, self._site.date(), close=not channel.persistent)
        self._answering = True
        bare = self._method == "HEAD" or response.status in (204, 304)
        channel.send(head if bare else head + response.body)
        self._finish(response.status)

    async def _stream(self, response: Response, pieces: AsyncIterator[bytes]) -> None:
        """Chunked; to an HTTP/1.0 peer up to the close. A peer that reads slowly slows us."""
        channel = self._channel
        self._notes = response.notes
        flow = _Flow(self)
        try:
            if channel is None:
                self._observe(CLIENT_GONE)
                return
            chunked = self._version == b"HTTP/1.1"
            head = head_of(
                response, self._site.date(), close=not channel.persistent, chunked=chunked
            )
            self._answering = True
            channel.send(head)
            if self._method == "HEAD":
                self._finish(response.status)
                return
            channel.streaming()
            channel.attach(flow)
            async for piece in pieces:
                if piece:
                    channel.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                await flow.open()
            channel.detach()
            if chunked:
                channel.send(b"0\r\n\r\n")
            self._finish(response.status)
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    def stalled(self) -> None:
        if self._channel is not None:
            self._channel.deadline(self._site.limits.stall_s)

    def flowing(self) -> None:
        if self._channel is not None:
            self._channel.streaming()

    def _finish(self, status: int) -> None:
        channel, self._channel, self._running = self._channel, None, None
        assert channel is not None
        self._observe(status)
        channel.requestDone(self)

    def _cut_off(self) -> None:
        """An answer that broke half-way: only a missing end tells the peer."""
        if self._channel is not None:
            self._observe(500)
            self._channel.abort()

    def _observe(self, status: int) -> None:
        if self._observed:
            return  # answered for it already, when its time was up or its client left
        self._observed = True
        seconds = self._site.reactor.seconds() - self._started
        method = self._method if self._method in _METHODS else "other"
        self._site.observe(Seen(self._template, method, status, seconds, self._peer, self._notes))


@implementer(IPushProducer)
class _Flow:
    """Whether the peer's window has room for another piece."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._room: Deferred[None] | None = None
        self._paused = False

    async def open(self) -> None:
        """Returns at once unless the transport is full."""
        if self._paused:
            self._room = Deferred()
            await self._room

    def pauseProducing(self) -> None:
        self._paused = True
        self._exchange.stalled()

    def resumeProducing(self) -> None:
        self._paused = False
        self._exchange.flowing()
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None: ...


def _path_and_query(target: bytes) -> tuple[str, str]:
    """Of a request target in origin or absolute form. Raises ValueError for any other."""
    text = target.decode("ascii")
    if text.startswith(("http://", "https://")):
        parts = urlsplit(text)
        text = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not text.startswith("/"):
        raise ValueError("neither a path nor an absolute URL")
    path, _, query_string = text.partition("?")
    return path, query_string
