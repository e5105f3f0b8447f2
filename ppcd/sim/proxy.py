# mypy: allow-untyped-calls
"""Hands requests on to another HTTP server and its answers back, as they come.

Owns streaming in both speeds (long polls, event streams, slow readers) and what must not be
passed on. Knows no paths.
"""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.server import Request

from ppcd.sim.web import JSON_TYPE, Reactor

#: Headers that belong to one connection and not to the message (RFC 9110 7.6.1).
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
UNREACHABLE: Final = b'{"status":502,"code":"UNREACHABLE","message":"ppcd does not answer yet"}'


class Proxy:
    """Passes requests to `upstream`, which may change; without one it answers 502."""

    def __init__(self, reactor: Reactor) -> None:
        self._pool = HTTPConnectionPool(cast(Any, reactor))
        self._pool.maxPersistentPerHost = 20
        self._agent = Agent(cast(Any, reactor), pool=self._pool, connectTimeout=5)
        self._asking: set[Deferred[Any]] = set()
        self.upstream: str | None = None

    async def stop(self) -> None:
        for asking in tuple(self._asking):
            asking.cancel()
        await self._pool.closeCachedConnections()

    def hand_on(self, request: Request) -> None:
        if self.upstream is None:
            _unreachable(request)
            return
        asking: Deferred[IResponse] = self._agent.request(
            request.method,
            self.upstream.encode() + request.uri,
            _headers_for(request),
            _body_of(request),
        )
        self._asking.add(asking)
        gone = _Gone(asking)
        request.notifyFinish().addBoth(gone.reader_left)

        def answered(result: IResponse | Failure) -> None:
            self._asking.discard(asking)
            if gone.done:
                # Nobody reads any more; failures of a cancelled request mean nothing either.
                return
            if isinstance(result, Failure):
                _unreachable(request)
            else:
                _send_head(request, result)
                relay = _Relay(request)
                gone.relay = relay
                result.deliverBody(relay)

        asking.addBoth(answered)


class _Gone:
    """Ends the question when its asker has left, in whichever stage it is."""

    def __init__(self, asking: Deferred[Any]) -> None:
        self._asking = asking
        self.relay: _Relay | None = None
        self.done = False

    def reader_left(self, _result: object) -> None:
        self.done = True
        if self.relay is not None:
            self.relay.abandon()
        else:
            self._asking.cancel()


class _Relay(Protocol):
    """Writes an answer's body into the request as it arrives, no faster than it is read."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._left = False
        self._over = False

    def connectionMade(self) -> None:
        pushes = True
        self._request.registerProducer(cast(IPushProducer, self.transport), pushes)

    def dataReceived(self, data: bytes) -> None:
        if not self._left:
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        if not self._left:
            self._request.unregisterProducer()
            if reason.check(ResponseDone, PotentialDataLoss):
                self._request.finish()
            else:
                # The reader must not take a torn answer for a whole one.
                self._request.loseConnection()

    def abandon(self) -> None:
        self._left = True
        if not self._over and self.transport is not None:
            self.transport.loseConnection()


def _body_of(request: Request) -> FileBodyProducer | None:
    """The body, chunked or not; a producer for an empty one would make the request chunked."""
    content = request.content
    if content is None or not content.read(1):
        return None
    content.seek(0)
    return FileBodyProducer(content)


def _headers_for(request: Request) -> Headers:
    headers = Headers()
    for name, values in request.requestHeaders.getAllRawHeaders():
        if name.lower() not in HOP_BY_HOP and name.lower() != b"content-length":
            headers.setRawHeaders(name, values)
    peer = request.getClientAddress()
    headers.setRawHeaders(b"X-Forwarded-For", [str(getattr(peer, "host", "")).encode()])
    headers.setRawHeaders(b"X-Forwarded-Proto", [b"http"])
    return headers


def _send_head(request: Request, response: IResponse) -> None:
    request.setResponseCode(response.code, response.phrase)
    request.responseHeaders.removeHeader(b"Server")
    for name, values in response.headers.getAllRawHeaders():
        if name.lower() not in HOP_BY_HOP:
            request.responseHeaders.setRawHeaders(name, values)
    if isinstance(response.length, int):
        # The client takes this header for its own; the browser needs it as well.
        request.setHeader(b"Content-Length", b"%d" % response.length)


def _unreachable(request: Request) -> None:
    request.setResponseCode(502)
    request.setHeader(b"Content-Type", JSON_TYPE.encode())
    request.setHeader(b"Content-Length", b"%d" % len(UNREACHABLE))
    request.write(UNREACHABLE)
    request.finish()
