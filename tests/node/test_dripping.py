"""Clients that send an octet now and then to hold connections: they are closed in time, and good
clients hardly notice.

The short form has fewer of them. All of the promise:
`PPCD_DRIPPING=1000 .venv/bin/pytest tests/node/test_dripping.py`
"""

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from math import ceil
from statistics import median

import pytest

from tests.node.dripped import COUNT, DEADLINE_S

#: Between two requests of the good client.
PAUSE_S = 0.002
WHOLE = COUNT >= 1000
#: How often it is measured without them and with them.
ROUNDS = 5 if WHOLE else 2
#: The short form runs beside other tests: below this, a difference is the machine's.
NOTICED_S = 0.0 if WHOLE else 0.005
#: From a deadline to the end of the connection: a lingering close, and a busy machine.
SLACK_S = 4.0

GOOD = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
DRIPS = (
    b"",  # never a word
    b"GET /hello HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 10_000,
    b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9_999,
    b"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 999,
)


class Drips:
    """Many connections from many addresses; each sends an octet a second, and after one that was
    closed comes another.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        #: What each has still to send, and since when it is open; who waits longest comes first.
        self._open: dict[socket.socket, tuple[bytes, float]] = {}
        self._opened = self.closed = 0
        self._began = time.monotonic()

    def go_on(self) -> None:
        """What falls in a pause of the good client."""
        now = time.monotonic()
        due = (now - self._began) * COUNT / DEADLINE_S
        while self._opened < due and len(self._open) < COUNT:
            self._open_one(now)
        for key, _ in self._selector.select(0):
            assert isinstance(key.fileobj, socket.socket)
            self._read(key.fileobj)
        for line in list(islice(self._open, ceil(COUNT * PAUSE_S))):
            text, since = self._open.pop(line)
            self._open[line] = text[1:], since
            # A body's time begins when the headers are there.
            assert now < since + 2 * DEADLINE_S + SLACK_S, "a dripping connection is open still"
            try:
                line.send(text[:1])
            except OSError:
                self._drop(line)

    def _open_one(self, now: float) -> None:
        # As many from one address as one address may have.
        source = f"127.0.1.{self._opened % (COUNT // 25) + 1}"
        line = socket.create_connection(("127.0.0.1", self._port), source_address=(source, 0))
        line.settimeout(0)
        text = DRIPS[self._opened % len(DRIPS)]
        head = text.find(b"\r\n\r\n")
        first = head + 4 if head > 0 else 1
        line.send(text[:first])
        self._opened += 1
        self._open[line] = text[first:], now
        self._selector.register(line, selectors.EVENT_READ)

    def _read(self, line: socket.socket) -> None:
        try:
            if line.recv(4096):
                return  # why it is refused; the end follows
        except OSError:
            pass
        self._drop(line)

    def _drop(self, line: socket.socket) -> None:
        self.closed += 1
        self._selector.unregister(line)
        del self._open[line]
        line.close()

    def close(self) -> None:
        for line in list(self._open):
            self._drop(line)
        self._selector.close()


class Client:
    """One that behaves, on a connection that it keeps."""

    def __init__(self, port: int) -> None:
        self._line = socket.create_connection(("127.0.0.1", port))
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._line.settimeout(10)

    def ask(self) -> float:
        """Seconds until the answer, after a moment's pause."""
        time.sleep(PAUSE_S)
        began = time.perf_counter()
        self._line.sendall(GOOD)
        assert self._line.recv(4096).startswith(b"HTTP/1.1 200 ")
        return time.perf_counter() - began

    def close(self) -> None:
        self._line.close()


@pytest.fixture
def port() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.node.dripped"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def asked(client: Client, seconds: float, drips: Drips | None = None) -> float:
    """The good client's p99 over so long a time."""
    times = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if drips is not None:
            drips.go_on()
        times.append(client.ask())
    return sorted(times)[int(len(times) * 0.99)]


def test_dripping_connections_are_closed_in_time_and_others_hardly_notice(port: int) -> None:
    client = Client(port)
    alone, among = [], []
    # In turns, so that what else the machine does falls on both.
    for _ in range(ROUNDS):
        alone.append(asked(client, DEADLINE_S))
        drips = Drips(port)
        asked(client, 1.5 * DEADLINE_S, drips)  # until they are as many as they will be
        before = drips.closed
        among.append(asked(client, DEADLINE_S, drips))
        assert drips.closed - before > COUNT / 3, "they are not closed as others come"
        newcomer = Client(port)
        newcomer.ask()
        newcomer.close()
        drips.close()
        asked(client, 0.2)  # until the server has seen them go
    client.close()
    pairs = list(zip(alone, among, strict=True))
    print("p99 alone and among them, ms:", [f"{1000 * p99:.2f}" for pair in pairs for p99 in pair])
    print(f"times: {median(with_them / without for without, with_them in pairs):.2f}")
    assert median(with_them - 2 * without for without, with_them in pairs) <= NOTICED_S, pairs
