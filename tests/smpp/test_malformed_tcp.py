"""Malformed PDUs by the ten thousand over real TCP: no unhandled error, and the good ones answered.

`PPCD_MALFORMED=100000 pytest tests/smpp/test_malformed_tcp.py` is the long form.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol

from ppcd.smpp import BackoffSettings, Command, Decoder, Pdu, encode, response_to
from tests.smpp import vectors
from tests.smpp.conversation import a_bind, a_deliver, a_submit
from tests.smpp.links import App
from tests.smpp.tcp import Answering, a_link, a_listener, reactor, until

COUNT = int(os.environ.get("PPCD_MALFORMED", "10000"))
BATCH = 100


def mutated(random: Random, octets: bytes) -> bytes:
    """The same PDU, spoilt behind its length; framing stays whole."""
    body = bytearray(octets[4:])
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(body))
        match random.randrange(4):
            case 0:
                body[at] = random.randrange(256)
            case 1:
                del body[at:]
            case 2:
                body[at:at] = random.randbytes(random.randrange(20))
            case _:
                body[at] = 0
        if len(body) < 12:
            body += bytes(12 - len(body))
    # An unbind would end the talk and a bind's answer begin it anew: both have tests of their own.
    if int.from_bytes(body[:4], "big") & 0x7FFF_FFFF in (Command.UNBIND, 1, 2, 9):
        body[:4] = Command.DELIVER_SM.to_bytes(4, "big")
    return (len(body) + 4).to_bytes(4, "big") + bytes(body)


def malformed(random: Random, count: int) -> Iterator[bytes]:
    """Vectors as they are, then spoilt ones."""
    whole = [v.octets for v in vectors.MALFORMED if v.fate in ("passes", "refused")]
    whole = [v for v in whole if v[4:8] not in (bytes((0, 0, 0, 6)), bytes((0x80, 0, 0, 6)))]
    for number in range(count):
        base = whole[number % len(whole)]
        yield base if number < len(whole) else mutated(random, base)


def breaking() -> list[bytes]:
    return [v.octets for v in vectors.MALFORMED if v.fate == "breaks"]


class Bare(Protocol):
    """A socket that remembers what it was told, and takes binds; it judges no numbers."""

    def __init__(self) -> None:
        self.heard: dict[int, Pdu] = {}
        self.lost: Deferred[None] = Deferred()
        self._reader = Decoder()

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        for pdu in self._reader.feed(data):
            self.heard[pdu.sequence] = pdu
            if pdu.command == Command.BIND_TRANSCEIVER:
                self.write(encode(response_to(pdu, system_id=b"bare")))

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(None)


class Bares(Factory):
    noisy = False

    def __init__(self) -> None:
        self.open: list[Bare] = []

    def buildProtocol(self, addr: Any) -> Bare:
        self.open.append(Bare())
        return self.open[-1]


@pytest_twisted.ensureDeferred
async def test_a_link_outlives_them_and_answers_every_good_message() -> None:
    random = Random(20261123)
    app, bares = App(), Bares()
    port = reactor.listenTCP(0, bares, interface="127.0.0.1")
    link = a_link(port.getHost().port, app, backoff=BackoffSettings(first_s=0.001, max_s=0.01))
    link.start()
    breaks = breaking()
    batch: list[bytes] = []
    for number, octets in enumerate(malformed(random, COUNT), 1):
        batch.append(octets)
        if number % BATCH:
            continue
        await until(lambda: link.bound)
        bare, sequence = bares.open[-1], 0x7000_0000 + number
        # In two writes, cut anywhere, and with a good one behind.
        joined = b"".join(batch) + encode(a_deliver(sequence))
        cut = random.randrange(len(joined))
        bare.write(joined[:cut])
        bare.write(joined[cut:])
        batch.clear()
        await until(lambda bare=bare, sequence=sequence: sequence in bare.heard)
        assert bare.heard[sequence] == response_to(a_deliver(sequence))
        if number % 1000 == 0:
            bare.write(breaks[number // 1000 % len(breaks)])
            await bare.lost
    assert link.counts.lost == COUNT // 1000
    assert sum(link.counts.odd.values()) > COUNT // 4
    await link.stop()
    await port.stopListening()


async def connected(port: int) -> Bare:
    endpoint = HostnameEndpoint(reactor, "127.0.0.1", port)
    bare: Bare = await endpoint.connect(Bares())
    return bare


@pytest_twisted.ensureDeferred
async def test_an_smsc_outlives_them_and_answers_every_good_submit() -> None:
    random = Random(20261124)
    handler = Answering()
    listener = a_listener(handler)
    port = await listener.start()
    client = await connected(port)
    client.write(encode(a_bind()))
    await until(lambda: client.heard)
    batch: list[bytes] = []
    for number, octets in enumerate(malformed(random, COUNT), 1):
        batch.append(octets)
        if number % BATCH == 0:
            client.heard.clear()
            client.write(b"".join(batch) + encode(a_submit(0x7000_0000 + number)))
            batch.clear()
            await until(lambda number=number: 0x7000_0000 + number in client.heard)
    assert not client.lost.called
    client.transport.abortConnection()  # type: ignore[union-attr]
    await client.lost
    await listener.stop()


@pytest_twisted.ensureDeferred
async def test_strangers_with_garbage_are_shown_out() -> None:
    random = Random(20261125)
    handler = Answering()
    listener = a_listener(handler)
    port = await listener.start()
    for number in range(50):
        client = await connected(port)
        client.write(
            random.randbytes(2_000) if number % 2 else breaking()[number % len(breaking())]
        )
        await client.lost
    await until(lambda: not listener.peers)
    assert handler.stood == []
    await listener.stop()
