"""The control socket: a line of JSON asks, one answers. Who may is a matter of file permissions.

Works while the database is away. Knows how to ask and answer, and none of the commands.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import struct
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["AdminError", "AdminServer", "Handler", "SocketTaken", "listen_admin"]

REQUEST_SIZE_MAX: Final = 65_536
CONNECTIONS_MAX: Final = 16
REQUEST_S: Final = 10.0
HANDLER_S: Final = 30.0
MODE: Final = 0o660

#: Gets the command, its arguments, and the uid of who asks; gives what JSON can hold.
Handler = Callable[[str, Mapping[str, Any], int], Coroutine[Any, Any, object]]


class AdminError(Exception):
    """A command that cannot be done; the message is for the person who gave it."""


class SocketTaken(Exception):
    """Another node answers on this socket, or something else stands in its place."""


class AdminServer(Factory):
    """Answers commands by `handle`."""

    noisy = False

    def __init__(self, handle: Handler, *, reactor: Any) -> None:
        self.handle = handle
        self.reactor = reactor
        self.log = Logger(namespace="ppcd.ops.admin")
        self.open: set[_Conversation] = set()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if len(self.open) >= CONNECTIONS_MAX:
            return None
        return _Conversation(self)

    def close(self) -> None:
        """End the conversations that are open."""
        for conversation in list(self.open):
            conversation.abort()


class _Conversation(Protocol):
    """One client: any number of requests, one after the other, each with its deadline."""

    def __init__(self, server: AdminServer) -> None:
        self._server = server
        self._buffer = b""
        self._running: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._server.open.add(self)
        self._wait(REQUEST_S)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > REQUEST_SIZE_MAX:
            self._answer({"ok": False, "error": "the request is too large"})
            self._close()
            return
        self._next()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._server.open.discard(self)
        self._disarm()
        if self._running is not None:
            self._running.cancel()

    def abort(self) -> None:
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def _next(self) -> None:
        if self._running is not None or b"\n" not in self._buffer:
            return
        line, _, self._buffer = self._buffer.partition(b"\n")
        self._running = Deferred.fromCoroutine(self._serve(line))
        self._wait(HANDLER_S)
        self._running.addCallbacks(self._served, self._failed)

    async def _serve(self, line: bytes) -> None:
        try:
            command, arguments = _parse(line)
            result = await self._server.handle(command, arguments, self._peer_uid())
            self._answer({"ok": True, "result": result})
        except AdminError as exc:
            self._answer({"ok": False, "error": str(exc)})

    def _served(self, _: None) -> None:
        self._running = None
        self._wait(REQUEST_S)
        self._next()

    def _failed(self, failure: Failure) -> None:
        self._running = None
        said = f"took more than {HANDLER_S:g} s and was given up"
        if not isinstance(failure.value, CancelledError):
            self._server.log.failure("a command failed unexpectedly", failure)
            said = "failed unexpectedly; the node's log says why"
        self._answer({"ok": False, "error": said})
        self._close()

    def _answer(self, answer: Mapping[str, Any]) -> None:
        if self in self._server.open and self.transport is not None:
            text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
            self.transport.write(text.encode() + b"\n")

    def _peer_uid(self) -> int:
        """Who asks, by the kernel; -1 where it does not say."""
        peer = getattr(self.transport, "socket", None)
        if peer is None:
            return -1
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        _, uid, _ = struct.unpack("3i", credentials)
        return int(uid)

    def _wait(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._server.reactor.callLater(seconds, self._expired)

    def _expired(self) -> None:
        self._timer = None
        if self._running is not None:
            self._running.cancel()
        else:
            self._close()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._disarm()
        assert self.transport is not None
        self.transport.loseConnection()


def _parse(line: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise AdminError("the request is no JSON object on one line") from exc
    command = request.get("command") if isinstance(request, dict) else None
    if not isinstance(command, str):
        raise AdminError("the request must be a JSON object with a command")
    return command, {key: value for key, value in request.items() if key != "command"}


def listen_admin(
    reactor: Any, path: str, server: AdminServer, *, mode: int = MODE
) -> IListeningPort:
    """Listen on the Unix socket at `path`, in place of one that a dead process left there.

    Raises SocketTaken when a living one answers there, or when it is no socket.
    """
    _remove_stale(path)
    # Between bind and chmod the socket must not be open to everybody.
    before = os.umask(0o177)
    try:
        port: IListeningPort = reactor.listenUNIX(path, server, mode=mode)
    finally:
        os.umask(before)
    return port


def _remove_stale(path: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise SocketTaken(f"{path} is there already and is no socket: remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        answer = probe.connect_ex(path)
    if answer in {0, errno.EAGAIN, errno.EINPROGRESS}:
        raise SocketTaken(f"another node answers on {path}: give this one a socket of its own")
    os.unlink(path)
