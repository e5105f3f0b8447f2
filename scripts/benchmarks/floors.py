"""The floors: what no node could be cheaper than.

COPY into a table with a primary key, one connection, a commit for every so many rows; the shortest
program that parses a message and answers it; and the same links as a node's, which answer at once.
"""

import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from threading import Event, Thread
from typing import Any

import psycopg

from benchmarks import machine
from benchmarks.node import LINKS, Database, Load

COPY_ROWS = 2000
_TIMES = (
    b"2026-11-23 09:15:00.123456+00",
    b"2026-11-23 09:17:00.123456+00",
    b"2026-11-23 09:15:20.123456+00",
)

# The same rows as those that a confirmation leaves for the debit's worker, and nothing but the key.
_TABLE = """
    DROP TABLE IF EXISTS bench_floor;
    CREATE TABLE bench_floor (LIKE debit_job INCLUDING DEFAULTS);
    ALTER TABLE bench_floor ADD PRIMARY KEY (charge_id)
"""
_COPY = """
    COPY bench_floor (charge_id, partner_id, msisdn, amount_minor, currency, billing, confirmed_at,
                      start_by, run_at) FROM STDIN
"""


@dataclass(frozen=True, slots=True)
class CopyFloor:
    """Rows a second, and PostgreSQL's CPU for a row."""

    rows_per_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class LinkFloor:
    """Messages a second, and the process's CPU for a message, µs."""

    per_s: float
    cpu_us: float


@contextmanager
def copying(database: Database, *, seconds: float) -> Iterator[None]:
    """PostgreSQL at work with COPY for so long, as it is at work beside a node."""
    begun = Event()
    thread = Thread(
        target=copy_floor, args=(database,), kwargs={"seconds": seconds, "begun": begun}
    )
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        thread.join()


def copy_floor(database: Database, *, seconds: float, begun: Event | None = None) -> CopyFloor:
    """COPY + primary key + commit of the rows of debit jobs."""
    rows = 0
    with psycopg.connect(database.dsn, autocommit=True) as conn:
        for statement in _TABLE.split(";"):
            conn.execute(statement.encode())
        pids = database.pids
        blocks = [_block(n) for n in range(int(seconds * 400))]
        if begun is not None:
            begun.set()
        cpu, started = machine.cpu_s(pids), time.monotonic()
        for block in blocks:
            with conn.cursor().copy(_COPY) as copy:
                copy.write(block)
            rows += COPY_ROWS
            if time.monotonic() - started > seconds:
                break
        took = time.monotonic() - started
        used = machine.cpu_s(pids) - cpu
        conn.execute("DROP TABLE bench_floor")
    return CopyFloor(rows / took, used / rows * 1e6)


def _block(number: int) -> bytes:
    first = 10**15 + number * COPY_ROWS
    return b"".join(
        b"%d\t1\t%d\t2500\tUAH\tmain\t%b\t%b\t%b\n" % (first + n, 380_970_000_000 + n, *_TIMES)
        for n in range(COPY_ROWS)
    )


def link_floor(
    load: Load, kind: str, *, first: int, count: int, window: int, seconds: float
) -> LinkFloor:
    """The same messages to a process that answers at once: `bare` or `links`."""
    load.begin("accept", count=LINKS)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.floors", kind, str(load.port)], stdin=subprocess.PIPE
    )
    try:
        load.end()
        load.do("prepare", first=first, count=count)
        cpu = machine.cpu_s([process.pid])
        done = load.do("run", seconds=seconds, window=window)
        used = machine.cpu_s([process.pid]) - cpu
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
    return LinkFloor(done["answered"] / done["seconds"], used / done["answered"] * 1e6)


def bare(port: int) -> None:
    """Parse and answer, by the shortest program: a pattern over the mandatory parameters of each
    message, the key of its charge, its text, its answer; one write a read.

    No session, no limits, no checks, nothing that malformed octets could not break.
    """
    from twisted.internet import reactor as stock  # noqa: TID251
    from twisted.internet.endpoints import TCP4ClientEndpoint
    from twisted.internet.protocol import Factory, Protocol

    reactor: Any = stock
    read_length = struct.Struct(">I").unpack_from
    parse = re.compile(
        rb"(?s)....(....)....(....)([^\0]*+)\0(.)(.)([^\0]*+)\0(.)(.)([^\0]*+)\0(...)([^\0]*+)\0"
        rb"([^\0]*+)\0(.....)(.*+)"
    ).match
    bind = struct.pack(">4I", 24, 9, 0, 1) + b"x\0\0\0\x34\0\0\0"
    answer = struct.pack(">3I", 17, 0x80000005, 0)
    numbers: dict[bytes, int] = {}

    class Receiver(Protocol):
        def connectionMade(self) -> None:
            self._left = b""
            self.transport.write(bind)  # type: ignore[union-attr]

        def dataReceived(self, data: bytes) -> None:
            data = self._left + data
            at, end_of_data = 0, len(data)
            answers: list[bytes] = []
            heard: list[tuple[int, bytes, int]] = []
            while end_of_data - at >= 16:
                end = at + read_length(data, at)[0]
                if end > end_of_data:
                    break
                found = parse(data, at, end)
                if found is not None:
                    command, sequence, _, _, _, source, _, _, to, _, _, _, five, text = (
                        found.groups()
                    )
                    if command == b"\0\0\0\5":
                        number = numbers.setdefault(to, len(numbers))
                        heard.append((int(source) * 1000 + number, text[: five[4]], five[2]))
                        answers.append(answer + sequence + b"\0")
                at = end
            self._left = data[at:]
            self.transport.write(b"".join(answers))  # type: ignore[union-attr]

    for _ in range(LINKS):
        TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(Receiver))
    reactor.run()


def links(port: int) -> None:
    """A node's links, which answer what they have decoded, whatever it says."""
    from twisted.internet import reactor as stock  # noqa: TID251

    from ppcd.smpp import Inbox, Link, LinkSettings

    reactor: Any = stock

    class AtOnce:
        def received(self, link: Link, batch: Inbox) -> None:
            batch.answer([0] * len(batch))

    for number in range(LINKS):
        settings = LinkSettings(name=f"link{number}", host="127.0.0.1", port=port, system_id="x")
        Link(settings, reactor=reactor, inbound=AtOnce(), random=Random(number)).start()
    reactor.run()


#: The processes of `link_floor`.
KINDS: dict[str, Callable[[int], None]] = {"bare": bare, "links": links}

if __name__ == "__main__":
    KINDS[sys.argv[1]](int(sys.argv[2]))
