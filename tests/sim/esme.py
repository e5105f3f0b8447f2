"""An ESME on a memory reactor's wire: says PDUs, and remembers what it was told."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.python.failure import Failure

from ppcd.smpp import Command, Decoder, Pdu, bind, encode, response_to, split, submit_sm


class Esme:
    """One connection to the first port that the reactor listens on."""

    def __init__(self, reactor: MemoryReactorClock, *, index: int = 0) -> None:
        factory = reactor.tcpServers[index][1]
        self.reactor = reactor
        self.protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40_000))
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self.protocol
        self._reader = Decoder()
        self._sequence = 0
        self.protocol.makeConnection(self.transport)

    @property
    def connected(self) -> bool:
        return self.transport.connected

    def say(self, *pdus: Pdu) -> None:
        octets = b""
        for pdu in pdus:
            if pdu.sequence == 0:
                self._sequence += 1
                octets += encode(pdu, sequence=self._sequence)
            else:
                octets += encode(pdu)
        self.protocol.dataReceived(octets)

    def heard(self) -> list[Pdu]:
        """What came since the last look."""
        octets = self.transport.value()
        self.transport.clear()
        return self._reader.feed(octets)

    def bind(self, command: int = Command.BIND_TRANSCEIVER, **fields: Any) -> Pdu:
        """The answer to a bind; messages that came with it are left for `heard`."""
        self.say(bind(command, system_id=b"ppcd", **fields))
        answer, *rest = self.heard()
        self.transport.write(b"".join(encode(pdu) for pdu in rest))
        return answer

    def submit(self, text: str, **fields: Any) -> list[Pdu]:
        """What is heard after a text from 717100 to a phone."""
        fields = {"source_addr": b"717100", "destination_addr": b"380971234567", **fields}
        for part in split(text, reference=1):
            self.say(submit_sm(**fields, **part._asdict()))
        return self.heard()

    def answer(self, pdu: Pdu, status: int = 0) -> None:
        self.say(response_to(pdu, status))

    def leave(self) -> None:
        if self.connected:
            self.transport.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))
