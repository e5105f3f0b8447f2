"""The load: an SMSC that only writes prepared octets and counts answers, as cheaply as Python can.

A process of its own, told what to do by lines of JSON. It is no SMSC for anything else: it takes
every bind, and answers submit_sm. Latency counts from the moment an answer was meant to be sent.
"""

import json
import selectors
import socket
import struct
import sys
import time
from array import array
from typing import Any

from benchmarks.traffic import Stream, streams

ANSWER_SIZE = 17
READ_SIZE = 262_144
WRITE_MAX = 65_536
#: Of so many answers one is timed.
TIMED_EVERY = 4
#: What is in flight at the end may take so long.
LINGER_S = 30.0
BIND_S = 30.0
DELIVER_RESP, SUBMIT, ENQUIRE, UNBIND = 0x80000005, 4, 0x15, 6
_HEAD = struct.Struct(">4I")


class Bound:
    """One link's connection and where its stream is."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.stream = Stream()
        #: The number that was written last, and the one that may be written now.
        self.sent = 0
        self.octets_sent = 0
        self.answered = 0
        self.alive = True
        self.left = b""
        self.times = array("d")
        self.numbers: list[tuple[int, ...]] = []
        self.refused: set[int] = set()
        self.control = bytearray()

    def begin(self, stream: Stream) -> None:
        self.stream = stream
        self.sent = self.octets_sent = self.answered = 0
        self.times = array("d", bytes(8 * (len(stream) + 1)))
        self.numbers.clear()
        self.refused.clear()

    def write(self, until: int, meant_at: float | None, rate: float, now: float) -> None:
        """Write up to number `until`, as far as the connection takes it."""
        until = min(until, len(self.stream))
        end = min(self.stream.ends[until], self.octets_sent + WRITE_MAX * 4)
        if self.control:
            self._write_control()
        if self.control or end <= self.octets_sent:
            return
        view = memoryview(self.stream.octets)[self.octets_sent : end]
        try:
            self.octets_sent += self.connection.send(view)
        except BlockingIOError:
            return
        except OSError:
            self.alive = False
            return
        first = self.sent + 1
        ends = self.stream.ends
        while self.sent < until and ends[self.sent + 1] <= self.octets_sent:
            self.sent += 1
        if meant_at is None:
            self.times[first : self.sent + 1] = array("d", [now]) * (self.sent + 1 - first)
        else:
            for number in range(first, self.sent + 1):
                self.times[number] = meant_at + number / rate

    def read(self, now: float, latencies: list[float]) -> None:
        try:
            data = self.connection.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.alive = False
            return
        data = self.left + data if self.left else data
        whole = len(data) - len(data) % ANSWER_SIZE
        count = whole // ANSWER_SIZE
        # Answers and nothing else, as nearly always: taken in stripes, not one by one.
        if data[3:whole:ANSWER_SIZE] == b"\x11" * count and data[7:whole:ANSWER_SIZE] == (
            b"\5" * count
        ):
            self.left = data[whole:]
            self._answers(data[:whole], count, now, latencies)
        else:
            self._slowly(data, now, latencies)

    def _answers(self, data: bytes, count: int, now: float, latencies: list[float]) -> None:
        stripes = bytearray(4 * count)
        for octet in range(4):
            stripes[octet::4] = data[12 + octet :: ANSWER_SIZE]
        numbers = struct.unpack(f">{count}I", stripes)
        statuses = data[8::ANSWER_SIZE], data[9::ANSWER_SIZE], data[11::ANSWER_SIZE]
        if any(map(any, statuses)):
            self.refused.update(n for n, status in zip(numbers, statuses[2], strict=True) if status)
        self.answered += count
        self.numbers.append(numbers)
        times = self.times
        latencies += [now - times[n] for n in numbers[::TIMED_EVERY]]

    def _slowly(self, data: bytes, now: float, latencies: list[float]) -> None:
        at = 0
        while len(data) - at >= 16:
            length, command, _, number = _HEAD.unpack_from(data, at)
            if len(data) - at < length:
                break
            if command == DELIVER_RESP:
                self._answers(data[at : at + length], 1, now, latencies)
            elif command == SUBMIT:
                self.control += _HEAD.pack(22, SUBMIT | 1 << 31, 0, number) + b"m1234\0"
            elif command in (ENQUIRE, UNBIND):
                self.control += _HEAD.pack(16, command | 1 << 31, 0, number)
            at += length
        self.left = data[at:]
        self._write_control()

    def _write_control(self) -> None:
        # Only between whole PDUs of the stream.
        if self.control and self.octets_sent == self.stream.ends[self.sent]:
            try:
                del self.control[: self.connection.send(self.control)]
            except OSError:
                return


class Load:
    """All links of the node."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(BIND_S)
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self.bound: list[Bound] = []

    def accept(self, count: int) -> None:
        """Wait until so many links are bound; those of before are gone."""
        for old in self.bound:
            self._selector.unregister(old.connection)
            old.connection.close()
        self.bound = []
        while len(self.bound) < count:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = b""
            while len(data) < 16 or len(data) < _HEAD.unpack_from(data)[0]:
                data += connection.recv(4096)
            _, command, _, number = _HEAD.unpack_from(data)
            connection.sendall(_HEAD.pack(22, command | 1 << 31, 0, number) + b"bench\0")
            connection.settimeout(0)
            bound = Bound(connection)
            self._selector.register(connection, selectors.EVENT_READ, bound)
            self.bound.append(bound)

    def prepare(
        self,
        *,
        first: int,
        count: int,
        receipts: bool = False,
        both: bool = False,
        links: int | None = None,
    ) -> int:
        """Deal what these charges' phones say to the links; with `both`, to each half of them; with
        `links`, to the first so many.
        """
        links = links or (len(self.bound) // 2 if both else len(self.bound))
        made = streams(first, count, links=links, receipts=receipts)
        for number, bound in enumerate(self.bound):
            bound.begin(made[number % links] if both or number < links else Stream())
        return sum(map(len, made))

    def run(
        self, *, seconds: float, window: int | None = None, rate: float | None = None
    ) -> dict[str, Any]:
        """Send for so long, `window` unanswered a link or `rate` a second in all; then wait."""
        latencies: list[float] = []
        started, cpu = time.monotonic(), time.process_time()
        stop_at = started + seconds
        before = [(b.sent, b.answered) for b in self.bound]
        answered_in_time = 0
        done_at = started
        while True:
            now = time.monotonic()
            sending = now < stop_at
            if sending:
                self._send(now, started, before, window=window, rate=rate)
            elif not answered_in_time:
                answered_in_time = self._answered(before)
                done_at = now
            alive = [b for b in self.bound if b.alive]
            if not alive or all(b.sent == len(b.stream) == b.answered for b in alive):
                break
            if not sending and (
                all(b.answered >= b.sent for b in alive) or now > stop_at + LINGER_S
            ):
                break
            self._read(alive, latencies, timeout=0.001 if rate and sending else 0.02)
        if not answered_in_time:
            answered_in_time, done_at = self._answered(before), time.monotonic()
        return self._result(
            latencies, answered_in_time, done_at - started, time.process_time() - cpu, before
        )

    def _send(
        self,
        now: float,
        started: float,
        before: list[tuple[int, int]],
        *,
        window: int | None,
        rate: float | None,
    ) -> None:
        for bound, (sent, _) in zip(self.bound, before, strict=True):
            if not bound.alive:
                continue
            if rate is not None:
                share = rate / len(self.bound)
                bound.write(sent + int((now - started) * share), started - sent / share, share, now)
            else:
                assert window is not None
                bound.write(bound.answered + window, None, 0, now)

    def _read(self, alive: list[Bound], latencies: list[float], *, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data.alive:
                key.data.read(time.monotonic(), latencies)

    def _answered(self, before: list[tuple[int, int]]) -> int:
        return sum(b.answered - a for b, (_, a) in zip(self.bound, before, strict=True))

    def _result(
        self,
        latencies: list[float],
        in_time: int,
        seconds: float,
        cpu: float,
        before: list[tuple[int, int]],
    ) -> dict[str, Any]:
        latencies.sort()
        return {
            "sent": sum(b.sent - s for b, (s, _) in zip(self.bound, before, strict=True)),
            "answered": self._answered(before),
            "answered_in_time": in_time,
            "refused": sum(len(b.refused) for b in self.bound),
            "seconds": seconds,
            "load_cpu_s": cpu,
            "p50_ms": _share(latencies, 0.5),
            "p99_ms": _share(latencies, 0.99),
            "max_ms": _share(latencies, 1.0),
            "alive": all(b.alive for b in self.bound),
        }

    def acknowledged(self) -> dict[str, Any]:
        """Phones whose answer was taken with status 0, each once for each acknowledgement."""
        phones = [
            bound.stream.phones[number]
            for bound in self.bound
            for numbers in bound.numbers
            for number in numbers
            if number not in bound.refused
        ]
        return {"phones": phones}


def _share(ordered: list[float], share: float) -> float:
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def main() -> None:
    """Serve commands until the end of input."""
    load = Load()
    print(json.dumps({"port": load.port}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        answer = getattr(load, name)(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
