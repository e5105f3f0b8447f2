"""Everything around a node that takes charges end to end: partner, SMSC with phones, billing.

One process with one loop over raw sockets, so that what stands outside costs as little as it can in
Python: the partner posts charges over kept-alive connections, each phone answers ДА as soon as its
prompt is written, billing debits whatever it is asked, and the partner's webhook is counted.
"""

import json
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.traffic import FIRST_PHONE

READ_SIZE = 262_144
#: A node takes 50 from one address.
CONNECTIONS = 48
#: From the stop of new charges until the last webhook.
LINGER_S = 20.0
_HEAD = struct.Struct(">4I")
_YES = "ДА".encode("utf-16-be")
_DEBITED = b'{"result": "debited", "reference": "r%d"}'
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_CHARGE = (
    b'{"amountTransaction": {"phoneNumber": "+%d", "clientCorrelator": "c-%d",'
    b' "referenceCode": "order-%d", "paymentAmount": {"chargingInformation": {"amount": 25.00,'
    b' "currency": "UAH", "description": "250 gold"}}}}'
)
_POST = (
    b"POST /carrier-billing/v0.5/payments HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Authorization: Bearer bench-key\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)


class Peer:
    """A connection and what is done with each whole message on it."""

    def __init__(
        self, connection: socket.socket, take: Callable[["Peer", bytes], tuple[int, bytes]]
    ) -> None:
        self.connection = connection
        self._take = take
        self._in = b""
        self._out = bytearray()

    def read(self) -> bool:
        """Take what came; False at the end."""
        try:
            data = self.connection.recv(READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        used, answer = self._take(self, self._in + data)
        self._in = (self._in + data)[used:]
        self.write(answer)
        return True

    def write(self, data: bytes) -> None:
        self._out += data
        if self._out:
            try:
                del self._out[: self.connection.send(self._out)]
            except BlockingIOError:
                return


def http_messages(data: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Whole messages as (head, body), and how many octets they are."""
    found = []
    at = 0
    while (end := data.find(b"\r\n\r\n", at)) >= 0:
        head = data[at:end]
        length_at = head.lower().find(b"content-length:")
        size = int(head[length_at + 15 :].split(b"\r\n", 1)[0]) if length_at >= 0 else 0
        if len(data) < end + 4 + size:
            break
        found.append((head, data[end + 4 : end + 4 + size]))
        at = end + 4 + size
    return found, at


class Outside:
    """The world, counted."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listeners = {
            name: socket.create_server(("127.0.0.1", 0)) for name in ("smsc", "billing", "partner")
        }
        self.ports = {name: s.getsockname()[1] for name, s in self._listeners.items()}
        takes = {"smsc": self._smpp, "billing": self._billing, "partner": self._webhook}
        for name, listener in self._listeners.items():
            listener.settimeout(0)
            self._selector.register(listener, selectors.EVENT_READ, takes[name])
        self._clients: list[Peer] = []
        self._number = 0
        self._stop_at = 0.0
        self._ahead_max = 0
        self.created = self.refused = self.debits = self.prompts = self.webhooks = 0
        #: Connections without a request, because too many charges are on their way.
        self._idle: list[Peer] = []

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
                    self._add(connection, key.data)

    def run(self, *, port: int, seconds: float, ahead: int) -> dict[str, Any]:
        """Post charges for so long, at most `ahead` of them on their way; wait for the last end."""
        while len(self._clients) < CONNECTIONS:
            connection = socket.create_connection(("127.0.0.1", port))
            self._clients.append(self._add(connection, self._created))
        self._ahead_max = ahead
        started, cpu = time.monotonic(), time.process_time()
        self._stop_at = started + seconds
        before = self.webhooks
        self._idle.clear()
        for client in self._clients:
            client.write(self._post())
        self.serve(lambda: time.monotonic() > self._stop_at)
        in_time = self.webhooks - before
        took = time.monotonic() - started
        last = self._stop_at + LINGER_S
        self.serve(lambda: self.webhooks >= self.created or time.monotonic() > last)
        return {
            "charges_per_s": in_time / took,
            "created": self.created,
            "refused": self.refused,
            "prompts": self.prompts,
            "debits": self.debits,
            "webhooks": self.webhooks,
            "cpu_s": time.process_time() - cpu,
        }

    def _add(
        self, connection: socket.socket, take: Callable[[Peer, bytes], tuple[int, bytes]]
    ) -> Peer:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(connection, take)
        self._selector.register(connection, selectors.EVENT_READ, peer)
        return peer

    def _post(self) -> bytes:
        if time.monotonic() > self._stop_at or self._number - self.webhooks > self._ahead_max:
            return b""
        self._number += 1
        body = _CHARGE % (FIRST_PHONE + self._number, self._number, self._number)
        return _POST % (len(body), body)

    def _created(self, peer: Peer, data: bytes) -> tuple[int, bytes]:
        messages, used = http_messages(data)
        for head, _ in messages:
            if head.startswith(b"HTTP/1.1 201"):
                self.created += 1
            else:
                self.refused += 1
        if not messages:
            return used, b""
        post = self._post()
        if not post:
            self._idle.append(peer)
        return used, post

    def _webhook(self, peer: Peer, data: bytes) -> tuple[int, bytes]:
        messages, used = http_messages(data)
        self.webhooks += len(messages)
        while self._idle and (post := self._post()):
            self._idle.pop().write(post)
        return used, _TAKEN * len(messages)

    def _billing(self, peer: Peer, data: bytes) -> tuple[int, bytes]:
        messages, used = http_messages(data)
        answers = []
        for _ in messages:
            self.debits += 1
            body = _DEBITED % self.debits
            answers.append(_OK % (len(body), body))
        return used, b"".join(answers)

    def _smpp(self, peer: Peer, data: bytes) -> tuple[int, bytes]:
        at = 0
        out: list[bytes] = []
        while len(data) - at >= 16:
            length, command, _, number = _HEAD.unpack_from(data, at)
            if len(data) - at < length:
                break
            body = data[at + 16 : at + length]
            at += length
            if command in (1, 2, 9):
                out.append(_HEAD.pack(22, command | 1 << 31, 0, number) + b"bench\0")
            elif command == 4:
                self.prompts += 1
                message_id = b"m%d\0" % self.prompts
                out.append(_HEAD.pack(16 + len(message_id), 0x80000004, 0, number) + message_id)
                out.append(self._yes(body))
            elif command in (0x15, 6):
                out.append(_HEAD.pack(16, command | 1 << 31, 0, number))
        return at, b"".join(out)

    def _yes(self, submit: bytes) -> bytes:
        source_at = submit.index(0) + 3
        source = submit[source_at : submit.index(0, source_at)]
        phone_at = source_at + len(source) + 3
        phone = submit[phone_at : submit.index(0, phone_at)]
        body = b"\0\1\1%b\0\0\1%b\0\0\0\0\0\0\0\0\10\0%c%b" % (phone, source, len(_YES), _YES)
        return _HEAD.pack(16 + len(body), 5, 0, self.prompts) + body


def main() -> None:
    """Say the ports, then serve; each line of input is a run."""
    outside = Outside()
    print(json.dumps(outside.ports), flush=True)
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin, selectors.EVENT_READ)
    while True:
        outside.serve(lambda: bool(waiting.select(0)))
        line = sys.stdin.readline()
        if not line:
            return
        print(json.dumps(outside.run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
