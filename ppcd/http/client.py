"""Outgoing HTTP/1.1: a small pool of kept-alive connections.

Owns connections, their limits and deadlines, and one distinction that money hangs on: `NotSent`
(no octet of the request was written) against `NoAnswer` (it was, and what came of it is unknown).
Refuses to follow redirects, to retry, and to know what is in a body.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, Unpack

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory

from ppcd.http.bounded import bounded, stop
from ppcd.http.connection import Connection, said, target_of
from ppcd.http.deadlines import Deadlines
from ppcd.http.pool import Host, How, NoAnswer, NoRoom, NotSent, Request, Tell
from ppcd.http.reader import Answer
from ppcd.http.resolve import SystemResolver
from ppcd.http.tls import ClientTls, UnbufferedTlsFactory, client_options
from ppcd.http.urls import Url, UrlError, literal_address

__all__ = [
    "Answer",
    "Client",
    "ClientTls",
    "How",
    "NoAnswer",
    "NoRoom",
    "NotSent",
    "Request",
    "Tell",
]

#: Provides IReactorTCP, IReactorTime and, unless `resolve` is given, a name resolver.
Reactor: TypeAlias = Any

_CLOSE_TIMEOUT_S = 2.0


class Resolve(Protocol):
    """Gives the addresses of a host name, at least one, or raises."""

    def __call__(self, name: str, /) -> Awaitable[Sequence[str]]: ...


class Client:
    """A pool of kept-alive connections. One instance serves one purpose (billing, webhooks)."""

    def __init__(
        self,
        reactor: Reactor,
        *,
        connections_per_host_max: int = 8,
        waiting_per_host_max: int = 1000,
        idle_s: float = 30.0,
        tls: ClientTls | None = None,
        resolve: Resolve | None = None,
        address_allowed: Callable[[str], bool] | None = None,
    ) -> None:
        """`idle_s`: unused connections close after it; keep it below the servers' own timeout.

        `address_allowed` judges every address a name resolves to. One refused address refuses the
        name: else a name with a public and an internal address would be a lottery ticket.
        """
        self._reactor = reactor
        self._connections_max = connections_per_host_max
        self._waiting_max = waiting_per_host_max
        self._idle_s = idle_s
        self._tls = tls or ClientTls()
        self._resolve = resolve or SystemResolver(reactor)
        self._address_allowed = address_allowed
        self._hosts: dict[tuple[bool, str, int], Host] = {}
        self._tls_options: dict[str, IOpenSSLClientConnectionCreator] = {}
        self._alive: dict[Connection, Deferred[None]] = {}
        self._sweep: Any = None
        self._deadlines: Deadlines[Request] = Deadlines(reactor, self._expire)
        self._closed = False

    def request(self, method: bytes, url: str, **how: Unpack[How]) -> Deferred[Answer]:
        """Send one request, give its answer whatever the status. Fails with NotSent or NoAnswer.

        Cancelling it ends the connection that carries it.
        """

        def cancel(_: Deferred[Answer]) -> None:
            assert sent is not None, "what is told at once can't be cancelled"
            self._cancel(sent)

        answer: Deferred[Answer] = Deferred(cancel)

        def tell(told: Answer | Exception) -> None:
            if isinstance(told, Answer):
                answer.callback(told)
            else:
                answer.errback(told)

        sent = self.send(method, url, tell, **how)
        return answer

    def send(
        self,
        method: bytes,
        url: str,
        tell: Tell,
        *,
        timeout_s: float,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        connect_timeout_s: float = 5.0,
        wait_s: float | None = None,
        answer_size_max: int = 65_536,
        may_send: Callable[[], bool] | None = None,
    ) -> Request | None:
        """As `request`, where a Deferred each would cost too much: `tell` gets the answer, or what
        `request` fails with, perhaps before this returns; it must not raise.
        """
        try:
            target = target_of(method, url, tuple(headers))
        except UrlError as exc:
            tell(NotSent(str(exc)))
            return None
        except ValueError as exc:
            tell(exc)
            return None
        where = target.where
        key = (where.secure, where.host, where.port)
        host = self._hosts.get(key) or self._hosts.setdefault(key, Host())
        request = Request(
            *(host, target, target.wire(body), timeout_s, connect_timeout_s, wait_s is not None),
            *(answer_size_max, may_send, tell),
            self._reactor.seconds() + (timeout_s if wait_s is None else wait_s),
        )
        self._go(request)
        return request

    def _go(self, request: Request) -> None:
        """Send it, if there is a connection; else make one, or wait while all are taken."""
        host = request.host
        connection = self._free(host)
        if connection is not None:
            self._send(request, connection)
        elif self._closed:
            self._fail(request, NotSent("the client is closed"))
        elif host.opened < self._connections_max:
            self._open_for(request)
        elif len(host.waiting) < self._waiting_max:
            self._deadlines.set(request, request.until)
            host.waiting.append(request)
        else:
            self._fail(request, NoRoom("too many requests wait for a connection"))

    def _open_for(self, request: Request) -> None:
        """What is out of time before the connection is there, is not sent: `_open` sees to it."""
        self._deadlines.drop(request)
        if request.waits_apart:
            request.waits_apart = False
            request.until = self._reactor.seconds() + request.timeout_s
        request.opening = opening = Deferred.fromCoroutine(
            self._open(request.host, request.target.where, request.until, request.connect_timeout_s)
        )
        opening.addCallbacks(
            lambda connection: self._send(request, connection),
            lambda why: self._fail(request, why.value),
        )

    def _send(self, request: Request, connection: Connection) -> None:
        """Write it in this very turn, if that is still allowed."""
        if request.waits_apart:
            request.until = self._reactor.seconds() + request.timeout_s
        why: Exception | None = None
        try:
            if request.may_send is not None and not request.may_send():
                why = NotSent("it was no longer allowed when the connection was ready")
        except Exception as exc:  # the caller's mistake, and nobody else's
            why = exc
        if why is not None:
            self._release(request.host, connection)
            self._fail(request, why)
            return
        self._deadlines.set(request, request.until)
        request.connection = connection
        connection.exchange(
            *(request.target.method, request.wire),
            answer_size_max=request.answer_size_max,
            tell=partial(self._answered, request),
        )

    def _answered(self, request: Request, answer: Answer | Exception) -> None:
        assert request.connection is not None
        self._deadlines.drop(request)
        self._release(request.host, request.connection)
        if isinstance(answer, (Answer, CancelledError)):
            request.tell(answer)
        else:
            late = isinstance(answer, TimeoutError)
            why = NoAnswer(
                "timeout waiting for the answer"
                if late
                else f"waiting for the answer: {said(answer)}"
            )
            why.__cause__ = answer
            request.tell(why)

    def _fail(self, request: Request, why: Exception) -> None:
        self._deadlines.drop(request)
        request.tell(why)

    def _expire(self, request: Request) -> None:
        if request.connection is not None:
            request.connection.end(TimeoutError())
        else:
            request.host.waiting.remove(request)
            self._fail(request, NoRoom("timeout waiting for a free connection"))

    def _cancel(self, request: Request) -> None:
        if request.connection is not None:
            request.connection.end(CancelledError())
        elif request.opening is not None:
            request.opening.cancel()
        else:
            request.host.waiting.remove(request)
            self._deadlines.drop(request)

    async def close(self) -> None:
        """Take no more requests, let those in flight end, close all connections."""
        self._closed = True
        if self._sweep is not None and self._sweep.active():
            self._sweep.cancel()
        for host in self._hosts.values():
            for connection, _ in host.idle:
                connection.close()
            self._wake(host)
        for connection, gone in list(self._alive.items()):
            if not connection.in_flight:
                timer = self._reactor.callLater(_CLOSE_TIMEOUT_S, connection.abort)
                gone.addBoth(stop, timer)
        await DeferredList(list(self._alive.values()))
        self._deadlines.stop()

    def _free(self, host: Host) -> Connection | None:
        """A connection that nobody uses, now taken."""
        while host.idle and not self._closed:
            connection, _ = host.idle.pop()
            if connection.usable:
                return connection
            connection.abort()
        return None

    def _wake(self, host: Host) -> None:
        """Let go on who waits, as far as there is room: one after another, for each that may not be
        sent any more makes room for the next.
        """
        if host.waking or not host.waiting:
            return
        host.waking = True
        try:
            while host.waiting and (
                host.idle or host.opened < self._connections_max or self._closed
            ):
                self._go(host.waiting.popleft())
        finally:
            host.waking = False

    async def _open(
        self, host: Host, where: Url, until: float, connect_timeout_s: float
    ) -> Connection:
        """A new connection, now taken. Whatever fails here, nothing was sent."""
        host.connecting += 1
        connection = None
        try:
            seconds = min(connect_timeout_s, max(0.0, until - self._reactor.seconds()))
            connection = await bounded(self._reactor, seconds, self._connect(host, where))
            host.members.add(connection)
            if self._closed:
                connection.abort()
                raise NotSent("the client is closed")
            return connection
        except (NotSent, CancelledError):
            raise
        except TimeoutError as exc:
            raise NotSent("timeout connecting") from exc
        except Exception as exc:
            raise NotSent(f"connecting: {said(exc)}") from exc
        finally:
            host.connecting -= 1
            if connection is None:
                self._wake(host)
                self._sweep_later()  # forgets a host that can't be reached

    async def _connect(self, host: Host, where: Url) -> Connection:
        last: Exception = NotSent("the name has no address")
        for address in await self._addresses(where.host):
            made: list[Connection] = []

            def build(made: list[Connection] = made) -> Connection:
                connection = Connection(secure=where.secure, on_lost=lambda c: self._lost(host, c))
                self._alive[connection] = Deferred()
                made.append(connection)
                return connection

            try:
                await self._dial(address, where, Factory.forProtocol(build))
                return await made[0].ready
            except CancelledError:
                raise
            except Exception as exc:  # the next address may do better
                last = exc
        raise last

    async def _addresses(self, name: str) -> Sequence[str]:
        literal = literal_address(name)
        found = [str(literal)] if literal is not None else await self._resolve(name)
        allowed = self._address_allowed
        if allowed is not None and not all(map(allowed, found)):
            raise NotSent("the host's address is not allowed")
        return found

    async def _dial(self, address: str, where: Url, factory: Factory) -> None:
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        # The deadline is ours (`_open`); the endpoint's own must only not come first.
        endpoint = kind(self._reactor, address, where.port, timeout=3600)
        if not where.secure:
            await endpoint.connect(factory)
            return
        options = self._tls_options.get(where.host)
        if options is None:
            options = self._tls_options[where.host] = client_options(where.host, self._tls)
        is_client = True
        await endpoint.connect(
            UnbufferedTlsFactory(options, is_client, factory, clock=self._reactor)
        )

    def _release(self, host: Host, connection: Connection) -> None:
        """After a request: back to the pool if it ended well, else away with it."""
        if connection.lost:
            return  # `_lost` has counted it
        if self._closed or not connection.in_step:
            # Not yet off the books: the peer's limit may be as low as ours.
            connection.abort()
            return
        host.idle.append((connection, self._reactor.seconds()))
        self._sweep_later()
        self._wake(host)

    def _sweep_later(self) -> None:
        if self._sweep is None:
            self._sweep = self._reactor.callLater(self._idle_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """One timer for all: a connection is closed between one and two `idle_s` after its use."""
        self._sweep = None
        oldest = self._reactor.seconds() - self._idle_s
        for host in self._hosts.values():
            for connection, since in host.idle:
                if since <= oldest:
                    connection.close()
            host.idle = [(c, since) for c, since in host.idle if since > oldest]
        self._hosts = {k: h for k, h in self._hosts.items() if h.opened or h.waiting}
        names = {name for _, name, _ in self._hosts}
        self._tls_options = {k: o for k, o in self._tls_options.items() if k in names}
        if any(host.idle for host in self._hosts.values()):
            self._sweep_later()

    def _lost(self, host: Host, connection: Connection) -> None:
        host.idle = [entry for entry in host.idle if entry[0] is not connection]
        if connection in host.members:
            host.members.discard(connection)
            self._wake(host)
        gone = self._alive.pop(connection)
        gone.callback(None)
