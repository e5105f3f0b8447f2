"""Bare clients: the same calls to billing as a node makes, by the shortest program that makes them.

No intent, no result, no reading of what the answer means: the floor under a debit's cost. Each is a
process of its own, so that its CPU is its own; it prints calls and seconds.
"""

import importlib
import json
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

AT_ONCE = 64
#: How far apart a node's batches leave (`GATHER_S` in ppcd.service.node).
TOGETHER_S = 0.02
#: What each loads, before its clock starts.
NEEDED = {
    "http": ("twisted.internet.reactor", "twisted.internet.endpoints"),
    "agent": ("twisted.internet.reactor", "twisted.web.client", "twisted.web.http_headers"),
    "diameter": ("twisted.internet.reactor", "twisted.internet.endpoints", "benchmarks.billings"),
    "sql": ("psycopg", "concurrent.futures.thread"),
}
_BODY = (
    b'{"key":"%d","msisdn":"380970000001","amount_minor":2500,"currency":"UAH",'
    b'"description":"250 gold","merchant":"GameX"}'
)
_POST = (
    b"POST /billing/debits HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/json\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
)
#: The first key; a node's charges have others.
FIRST_KEY = 10**17


def http(target: str, count: int, per_s: float = 0.0) -> float:
    """POSTs over kept-alive connections, one at a time on each; seconds.

    As fast as they are answered; or `per_s`, by letting those go together that are due, every
    `TOGETHER_S`.
    """
    from twisted.internet import reactor as stock  # noqa: TID251
    from twisted.internet.endpoints import TCP4ClientEndpoint
    from twisted.internet.protocol import Factory, Protocol

    reactor: Any = stock
    port = int(target)
    left = count
    done = 0
    due = 0 if per_s else count
    free: list[Any] = []
    began = time.monotonic()

    def let_go() -> None:
        nonlocal due
        due = min(left, int((time.monotonic() - began) * per_s) - (count - left))
        reactor.callLater(TOGETHER_S, let_go)
        ask_all()

    def ask_all() -> None:
        nonlocal left, due
        while due > 0 and free:
            due -= 1
            left -= 1
            body = _BODY % (FIRST_KEY + left)
            free.pop().write(_POST % (port, len(body), body))

    class Client(Protocol):
        def connectionMade(self) -> None:
            self._got = b""
            free.append(self.transport)
            ask_all()

        def dataReceived(self, data: bytes) -> None:
            nonlocal done
            self._got += data
            head, found, body = self._got.partition(b"\r\n\r\n")
            if not found or len(body) < int(head.rpartition(b"Content-Length: ")[2]):
                return
            assert json.loads(body)["result"] == "debited"
            self._got = b""
            done += 1
            if done == count:
                reactor.stop()
            free.append(self.transport)
            ask_all()

    for _ in range(AT_ONCE):
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        endpoint.connect(Factory.forProtocol(Client))
    if per_s:
        reactor.callLater(TOGETHER_S, let_go)
    reactor.run()
    return time.monotonic() - began


def agent(target: str, count: int) -> float:
    """The same POSTs by Twisted's own client, as most programs would make them; seconds."""
    from io import BytesIO

    from twisted.internet import reactor as stock  # noqa: TID251
    from twisted.internet.defer import Deferred, DeferredList
    from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
    from twisted.web.http_headers import Headers

    reactor: Any = stock
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = AT_ONCE
    asking = Agent(reactor, pool=pool)
    url = b"http://127.0.0.1:%d/billing/debits" % int(target)
    headers = Headers({"Accept": ["application/json"], "Content-Type": ["application/json"]})
    left = count
    began = time.monotonic()

    async def ask() -> None:
        nonlocal left
        while left:
            left -= 1
            body = FileBodyProducer(BytesIO(_BODY % (FIRST_KEY + left)))
            answer = await asking.request(b"POST", url, headers, body)
            assert json.loads(await readBody(answer))["result"] == "debited"

    done = DeferredList([Deferred.fromCoroutine(ask()) for _ in range(AT_ONCE)])
    done.addBoth(lambda _: reactor.stop())
    reactor.run()
    return time.monotonic() - began


def diameter(target: str, count: int) -> float:
    """Requests over one connection, many unanswered; seconds."""
    from twisted.internet import reactor as stock  # noqa: TID251
    from twisted.internet.endpoints import TCP4ClientEndpoint
    from twisted.internet.protocol import Factory, Protocol

    from benchmarks.billings import CAPABILITIES, CREDIT, _avp, _u32

    reactor: Any = stock
    head = struct.Struct(">IIIII")
    own = _avp(264, b"bare.bench.example") + _avp(296, b"bench.example")
    hello = own + _avp(257, b"\0\1\x7f\0\0\1") + _u32(266, 0) + _avp(269, b"bare") + _u32(258, 4)
    money = _avp(413, _avp(445, _avp(447, struct.pack(">q", 2500)) + _u32(429, 2**32 - 2)))
    fixed = (
        own
        + _avp(283, b"bench.example")
        + _u32(258, 4)
        + _avp(461, b"ppcd@bench.example")
        + _u32(416, 4)
        + _u32(415, 0)
        + _u32(436, 0)
        + _avp(443, _u32(450, 0) + _avp(444, b"380970000001"))
        + _avp(437, money + _u32(425, 980))
    )
    left, done = count, 0
    began = time.monotonic()

    def request(command: int, application: int, number: int, body: bytes) -> bytes:
        size = 1 << 24 | len(body) + 20
        return head.pack(size, 0xC0 << 24 | command, application, number, number) + body

    class Client(Protocol):
        def connectionMade(self) -> None:
            self._got = b""
            self.transport.write(request(CAPABILITIES, 0, 1, hello))  # type: ignore[union-attr]

        def _ask(self, room: int) -> None:
            nonlocal left
            out = []
            for _ in range(min(room, left)):
                session = b"bare.bench.example;%d;%d" % (FIRST_KEY >> 32, left)
                out.append(request(CREDIT, 4, left, _avp(263, session) + fixed))
                left -= 1
            self.transport.write(b"".join(out))  # type: ignore[union-attr]

        def dataReceived(self, data: bytes) -> None:
            nonlocal done
            data = self._got + data
            at = answers = 0
            while len(data) - at >= 20:
                size, command, *_ = head.unpack_from(data, at)
                size &= 0xFFFFFF
                if len(data) - at < size:
                    break
                if command & 0xFFFFFF == CREDIT:
                    answers += 1
                    assert b"\0\0\x07\xd1" in data[at : at + size]  # 2001
                at += size
            self._got = data[at:]
            done += answers
            if done == count:
                reactor.stop()
            self._ask(answers or AT_ONCE)

    TCP4ClientEndpoint(reactor, "127.0.0.1", int(target)).connect(Factory.forProtocol(Client))
    reactor.run()
    return time.monotonic() - began


def sql(target: str, count: int) -> float:
    """The same function in the same database, a transaction each, from threads; seconds."""
    from concurrent.futures import ThreadPoolExecutor

    import psycopg

    threads = 16

    def work(first: int) -> None:
        with psycopg.connect(target) as conn:
            for key in range(first, FIRST_KEY + count, threads):
                row = conn.execute(
                    "SELECT * FROM billing.debit(%s, %s, %s, %s)",
                    (str(key), str(380970000000 + key % 1000), 2500, "UAH"),
                ).fetchone()
                assert row is not None
                assert row[0] == "debited"
                conn.commit()

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(FIRST_KEY, FIRST_KEY + threads)))
    return time.monotonic() - began


def file(target: str, count: int) -> float:
    """The same lines, synced as often as a node does at its best; seconds."""
    began = time.monotonic()
    with Path(target).open("ab", buffering=0) as out:
        for first in range(0, count, 500):
            lines = [
                b"%d;20261123091500;380970000001;2500;UAH;GameX\n" % (FIRST_KEY + key)
                for key in range(first, min(first + 500, count))
            ]
            out.write(b"".join(lines))
            os.fdatasync(out.fileno())
    return time.monotonic() - began


def main() -> None:
    """`KIND TARGET COUNT`, and for `http` how many a second, if not as fast as they go."""
    kind, target, count, *per_s = sys.argv[1:]
    calls: dict[str, Callable[..., float]] = {
        "http": http,
        "agent": agent,
        "diameter": diameter,
        "sql": sql,
        "file": file,
    }
    for name in NEEDED.get(kind, ()):
        importlib.import_module(name)
    # What loading the program costs is no debit's.
    started = time.process_time()
    took = calls[kind](target, int(count), *map(float, per_s))
    print(json.dumps({"seconds": took, "cpu_s": time.process_time() - started}))


if __name__ == "__main__":
    main()
