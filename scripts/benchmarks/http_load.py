"""The partner's side of the API benchmark: kept-alive connections, as cheap as Python can.

A process of its own, told what to do by lines of JSON. Closed loop for capacity; open loop for
latency, which counts from the moment a request was meant to be sent; and readers that wait.
"""

import json
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from benchmarks.traffic import FIRST_PHONE

READ_SIZE = 65_536
#: What is in flight at the end may take so long.
LINGER_S = 20.0
_PATH = "/carrier-billing/v0.5/payments"
_HEAD = (
    "Host: 127.0.0.1\r\nAuthorization: Bearer bench-key\r\nUser-Agent: shop/1.0\r\n"
    "Accept: application/json\r\n"
)
_CHARGE = (
    b'{"amountTransaction": {"phoneNumber": "+%d", "clientCorrelator": "c-%d",'
    b' "referenceCode": "order-%d", "paymentAmount": {"chargingInformation": {"amount": 25.00,'
    b' "currency": "UAH", "description": "250 gold"}}}}'
)
_POST = (
    f"POST {_PATH} HTTP/1.1\r\n{_HEAD}Content-Type: application/json\r\nContent-Length: "
).encode() + b"%d\r\n\r\n%b"
_GET = (f"GET {_PATH}/%s%s HTTP/1.1\r\n{_HEAD}\r\n").encode()
_CANCEL = (
    f"POST {_PATH}/%s/cancel HTTP/1.1\r\n{_HEAD}Content-Type: application/json\r\nContent-Length: "
).encode() + b"%d\r\n\r\n%b"


def create(number: int) -> bytes:
    """A request for the charge of that number; each has its own phone."""
    body = _CHARGE % (FIRST_PHONE + number, number, number)
    return _POST % (len(body), body)


def cancel(payment: bytes, number: int) -> bytes:
    """The partner does not want it any more."""
    body = b'{"phoneNumber": "+%d"}' % (FIRST_PHONE + number)
    return _CANCEL % (payment, len(body), body)


class Line:
    """A connection with at most one request on it."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.settimeout(0)
        #: The request's number, and when it was meant to be sent.
        self.number, self.since = 0, 0.0
        self._left = b""

    def send(self, octets: bytes, number: int, since: float) -> None:
        self.number, self.since = number, since
        # One small request on an idle connection fits into any socket's buffer.
        assert self.connection.send(octets) == len(octets)

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body once the answer is whole."""
        try:
            data = self.connection.recv(READ_SIZE)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionError("the server has closed a connection")
        data = self._left = self._left + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        at = data.find(b"Content-Length: ", 0, end)
        size = int(data[at + 16 : data.index(b"\r", at)]) if at >= 0 else 0
        if len(data) < end + 4 + size:
            return None
        self._left = b""
        return int(data[9:12]), data[end + 4 :]


class Partner:
    """All connections, and what came back."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lines: list[Line] = []
        self._waiting: list[Line] = []
        #: Payments in the order of their answers, with the numbers of their charges.
        self.payments: list[tuple[int, bytes]] = []

    def run(
        self,
        *,
        port: int,
        what: str,
        first: int,
        seconds: float,
        connections: int = 0,
        rate: float | None = None,
    ) -> dict[str, Any]:
        """Requests for so long: `creates` of new charges, or `reads` of those that there are.

        As many at a time as there are connections, or with `rate` so many a second.
        """
        self._connect(port, connections)
        started, cpu = time.monotonic(), time.process_time()
        until = started + seconds
        delays: list[float] = []
        statuses: dict[int, int] = {}
        idle = deque(self._lines)
        number, in_time = first, 0
        while True:
            now = time.monotonic()
            while idle and now < until:
                meant = now if rate is None else started + (number - first) / rate
                if meant > now:
                    break
                idle.popleft().send(self._request(what, number), number, meant)
                number += 1
            if len(idle) == len(self._lines) and now >= until:
                break
            assert now < until + LINGER_S, f"{len(self._lines) - len(idle)} got no answer"
            for line, status, body in self._answers(0.0005 if rate is not None else 0.01):
                at = time.monotonic()
                delays.append(at - line.since)
                statuses[status] = statuses.get(status, 0) + 1
                in_time += at <= until
                idle.append(line)
                if what == "creates" and status == 201:
                    self.payments.append((line.number, _payment(body)))
        return _told(delays, statuses) | {
            "per_s": in_time / seconds,
            "asked": number - first,
            "cpu_s": time.process_time() - cpu,
        }

    def wait(self, *, port: int, count: int) -> dict[str, Any]:
        """So many more readers that wait, each for a payment of its own, the oldest first."""
        first = len(self._waiting)
        for number, payment in self.payments[first : first + count]:
            line = Line(port)
            line.send(_GET % (payment, b"?wait=30"), number, time.monotonic())
            self._selector.register(line.connection, selectors.EVENT_READ, line)
            self._waiting.append(line)
        return {"waiting": len(self._waiting)}

    def end(self, *, port: int, count: int) -> dict[str, Any]:
        """Cancel so many payments that are waited for; how long until their readers knew."""
        self._connect(port, 1)
        cancelled: dict[int, float] = {}
        waiting = set(self._waiting)
        early = 0
        delays = []
        statuses: dict[int, int] = {}
        wanted = deque(self.payments[:count])
        until = time.monotonic() + LINGER_S
        busy = False
        while len(delays) < count:
            assert time.monotonic() < until, f"{count - len(delays)} readers were not told"
            if wanted and not busy:
                number, payment = wanted.popleft()
                self._lines[0].send(cancel(payment, number), number, time.monotonic())
                busy = True
            for line, status, body in self._answers(0.01):
                now = time.monotonic()
                statuses[status] = statuses.get(status, 0) + 1
                if line not in waiting:
                    busy = False
                    cancelled[line.number] = now
                elif b'"denied"' not in body:
                    early += 1
                else:
                    # The reader may have been told before the one who cancelled.
                    delays.append(max(0.0, now - cancelled.get(line.number, now)))
        return _told(delays, statuses) | {"early": early}

    def hang_up(self, *, kept: int | None = None) -> dict[str, Any]:
        """Close everything; of the payments, keep the first ones."""
        del self.payments[kept if kept is not None else len(self.payments) :]
        for line in [*self._lines, *self._waiting]:
            self._selector.unregister(line.connection)
            line.connection.close()
        self._lines.clear()
        self._waiting.clear()
        return {}

    def _connect(self, port: int, connections: int) -> None:
        while len(self._lines) < connections:
            line = Line(port)
            self._selector.register(line.connection, selectors.EVENT_READ, line)
            self._lines.append(line)

    def _request(self, what: str, number: int) -> bytes:
        if what == "creates":
            return create(number)
        return _GET % (self.payments[number % len(self.payments)][1], b"")

    def _answers(self, timeout_s: float) -> list[tuple[Line, int, bytes]]:
        found = []
        for key, _ in self._selector.select(timeout_s):
            line: Line = key.data
            answer = line.answer()
            if answer is not None:
                found.append((line, *answer))
        return found


def _payment(body: bytes) -> bytes:
    at = body.find(b'"paymentId":"') + 13
    return body[at : body.index(b'"', at)]


def _told(delays: list[float], statuses: dict[int, int]) -> dict[str, Any]:
    delays.sort()
    return {
        "statuses": statuses,
        "answered": len(delays),
        "p50_ms": _at(delays, 0.5) * 1000,
        "p99_ms": _at(delays, 0.99) * 1000,
    }


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def main() -> None:
    """Each line of input is an order, each line of output its answer."""
    partner = Partner()
    orders: dict[str, Callable[..., dict[str, Any]]] = {
        "run": partner.run,
        "wait": partner.wait,
        "end": partner.end,
        "hang_up": partner.hang_up,
    }
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(orders[order.pop("do")](**order)), flush=True)


if __name__ == "__main__":
    main()
