"""Billing systems that debit whatever they are asked, as cheaply as Python can: HTTP and Diameter.

A process of its own with one loop over raw sockets. Each line on standard input is answered with
what has been debited since the last one, by adapter's protocol, and when.
"""

import json
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.outside import Peer, http_messages

_DEBITED = b'{"result": "debited", "reference": "r%d"}'
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_HEAD = struct.Struct(">IIIII")
_AVP = struct.Struct(">II")
_LENGTH = 0xFFFFFF
CAPABILITIES, WATCHDOG, CREDIT, FAREWELL = 257, 280, 272, 282
_HOST = b"ocs.bench.example"
_REALM = b"bench.example"


def _avp(code: int, data: bytes) -> bytes:
    return _AVP.pack(code, 0x40 << 24 | len(data) + 8) + data + bytes(-len(data) % 4)


def _u32(code: int, number: int) -> bytes:
    return _avp(code, number.to_bytes(4, "big"))


_DONE = _u32(268, 2001)
_OWN = _avp(264, _HOST) + _avp(296, _REALM)
#: What follows the session in an answer: application, type (event) and number of the request.
_CREDITED = _DONE + _OWN + _u32(258, 4) + _u32(416, 4) + _u32(415, 0)
_CAPABLE = (
    _DONE + _OWN + _avp(257, b"\0\1\x7f\0\0\1") + _u32(266, 0) + _avp(269, b"bench") + _u32(258, 4)
)


class Billings:
    """Both of them, counted."""

    def __init__(self, http_port: int) -> None:
        self._selector = selectors.DefaultSelector()
        takes = {"http": self._http, "diameter": self._diameter}
        ports = {"http": http_port, "diameter": 0}
        listeners = {
            name: socket.create_server(("127.0.0.1", port), backlog=500)
            for name, port in ports.items()
        }
        self.ports = {name: s.getsockname()[1] for name, s in listeners.items()}
        for name, listener in listeners.items():
            listener.settimeout(0)
            self._selector.register(listener, selectors.EVENT_READ, takes[name])
        self._number = 0
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.first = self.last = 0.0
        self.debits = 0
        #: Debits in each tenth of a second since the first.
        self.tenths: Counter[int] = Counter()

    def seen(self) -> dict[str, Any]:
        """What has been debited since `forget`."""
        return {
            "debits": self.debits,
            "seconds": self.last - self.first,
            "tenths": [self.tenths[n] for n in range(max(self.tenths, default=-1) + 1)],
        }

    def serve(self, until: Callable[[], bool]) -> None:
        """Turn the loop until that is true."""
        while not until():
            for key, _ in self._selector.select(0.01):
                if isinstance(key.data, Peer):
                    if not key.data.read():
                        self._selector.unregister(key.data.connection)
                        key.data.connection.close()
                else:
                    connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
                    connection.settimeout(0)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._selector.register(
                        connection, selectors.EVENT_READ, Peer(connection, key.data)
                    )

    def _count(self, debits: int) -> None:
        self.last = time.monotonic()
        if not self.debits:
            self.first = self.last
        self.debits += debits
        self.tenths[int((self.last - self.first) * 10)] += debits

    def _http(self, peer: Peer, data: bytes) -> tuple[int, bytes]:
        messages, used = http_messages(data)
        answers = []
        for _ in messages:
            self._number += 1
            body = _DEBITED % self._number
            answers.append(_OK % (len(body), body))
        if messages:
            self._count(len(messages))
        return used, b"".join(answers)

    def _diameter(self, peer: Peer, data: bytes) -> tuple[int, bytes]:
        at = debits = 0
        out = []
        while len(data) - at >= 20:
            first, command, application, hop, end = _HEAD.unpack_from(data, at)
            size = first & _LENGTH
            if len(data) - at < size:
                break
            asks, kind = command >> 31, command & _LENGTH
            if asks:
                body = _DONE + _OWN
                if kind == CREDIT:
                    # Session-Id stands first, and goes back as it came.
                    length = _AVP.unpack_from(data, at + 20)[1] & _LENGTH
                    body = data[at + 20 : at + 20 + length + -length % 4] + _CREDITED
                    debits += 1
                elif kind == CAPABILITIES:
                    body = _CAPABLE
                flags = command >> 24 & 0x40
                out.append(
                    _HEAD.pack(1 << 24 | len(body) + 20, flags << 24 | kind, application, hop, end)
                    + body
                )
            at += size
        if debits:
            self._count(debits)
        return at, b"".join(out)


def main() -> None:
    """Say the ports, then serve; the argument is the port for HTTP, 0 for any."""
    billings = Billings(int(sys.argv[1]))
    print(json.dumps(billings.ports), flush=True)
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin, selectors.EVENT_READ)
    while True:
        billings.serve(lambda: bool(waiting.select(0)))
        if not sys.stdin.readline():
            return
        print(json.dumps(billings.seen()), flush=True)
        billings.forget()


if __name__ == "__main__":
    main()
