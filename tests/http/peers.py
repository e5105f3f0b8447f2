"""Clients of a site, over memory transports."""

import re

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ppcd.http.server import Site


class Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class Socket(Transport, Connection):
    """A TCP connection, as far as a site writes to one."""

    #: What the socket takes of the next writes, then all; -1: the connection is lost.
    room: list[int]

    def __init__(self, peerAddress: object) -> None:
        Transport.__init__(self, peerAddress=peerAddress)  # type: ignore[no-untyped-call]
        self.room = []
        #: What went by way of the reactor.
        self.buffered = b""

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        room = self.room.pop(0) if self.room else len(data)
        if room < 0:
            return ConnectionLost()
        super().write(data[:room])  # type: ignore[no-untyped-call]
        return min(room, len(data))

    def write(self, data: bytes) -> None:
        self.buffered += data
        super().write(data)  # type: ignore[no-untyped-call]


class Peer:
    """One client at a site's end of the wire."""

    def __init__(
        self,
        site: Site,
        address: str = "192.0.2.1",
        transport: type[Transport] = Transport,
    ) -> None:
        self._site = site
        kind = IPv6Address if ":" in address else IPv4Address
        self.address = kind("TCP", address, 40000)
        self.channel = site.buildProtocol(self.address)
        self.transport = transport(peerAddress=self.address)
        self.channel.makeConnection(self.transport)

    def sends(self, data: bytes) -> None:
        if not self.transport.disconnecting:
            self.channel.dataReceived(data)

    def hangs_up(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))

    def got(self) -> bytes:
        data = self.transport.value()
        self.transport.clear()
        return data

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        return parse(self.got())

    @property
    def closed(self) -> bool:
        return self.transport.disconnecting or self.transport.aborted


def parse(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    match = re.match(r"HTTP/1.1 (\d{3}) .+", first)
    assert match, first
    headers = dict(line.lower().split(": ", 1) for line in lines)
    if "content-length" in headers:
        body = body[: int(headers["content-length"])]
    return int(match[1]), headers, body
