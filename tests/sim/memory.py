"""A simulator's HTTP without a network: a memory reactor, and requests put on its wire."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection


class Wire:
    """One connection to a started server; `ask` writes a request, `status` and `json` read."""

    def __init__(self, reactor: MemoryReactorClock, *, index: int = 0) -> None:
        factory = reactor.tcpServers[index][1]
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> "Wire":
        self.transport.clear()
        data = b"" if body is None else _encode(body)
        lines = [f"{method} {path} HTTP/1.1", "Host: sim", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.protocol.dataReceived("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        return self

    @property
    def connected(self) -> bool:
        return self.transport.connected

    @property
    def received(self) -> bytes:
        return self.transport.value()

    @property
    def answered(self) -> bool:
        return self.received != b""

    @property
    def status(self) -> int:
        return int(self.received.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        head = self.received.partition(b"\r\n\r\n")[0].decode()
        pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:])
        return {name.lower(): value for name, value in pairs}

    @property
    def body(self) -> bytes:
        return self.received.partition(b"\r\n\r\n")[2]

    def json(self) -> Any:
        return json.loads(self.body)

    def leave(self) -> None:
        self.transport.loseConnection()


def done(awaitable: Any) -> Any:
    """The result of a coroutine or Deferred that has nothing to wait for any more."""
    results: list[Any] = []
    failures: list[Any] = []
    waited = awaitable if isinstance(awaitable, Deferred) else Deferred.fromCoroutine(awaitable)
    waited.addCallbacks(results.append, failures.append)
    if failures:
        failures[0].raiseException()
    assert results, "still waiting"
    return results[0]


def _encode(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()
