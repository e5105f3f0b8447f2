"""Everything around a node that takes charges end to end: partner, SMSC with phones, billing.

One process with one loop over raw sockets, so that what stands outside costs as little as it can in
Python: the partner posts charges over kept-alive connections, each phone answers ДА as soon as its
prompt is written and nothing to what comes after, billing debits whatever it is asked, and the
partner's webhook is counted. What each of the four costs is told, too.
"""

import json
import select
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.traffic import FIRST_PHONE

READ_SIZE = 262_144
#: Enough for as many as may be on their way at once: who waits for a 201 is one of them.
CONNECTIONS = 256
#: From the stop of new charges until the last webhook.
LINGER_S = 20.0
#: This share of a run is not counted in its rate.
FILLING = 0.25
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
        if self._in:
            data = self._in + data
        used, answer = self._take(self, data)
        self._in = data[used:]
        self.write(answer)
        return True

    def write(self, data: bytes) -> None:
        if data or self._out:
            self._out += data
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
        length_at = head.find(b"Content-Length:")
        if length_at < 0:
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
        self._poll = select.epoll()
        self.ports: dict[str, int] = {}
        self._listeners: dict[int, tuple[str, socket.socket]] = {}
        for role in ("smsc", "billing", "webhooks"):
            listener = socket.create_server(("127.0.0.1", 0))
            listener.settimeout(0)
            self.ports[role] = listener.getsockname()[1]
            self._listeners[listener.fileno()] = role, listener
            self._poll.register(listener, select.EPOLLIN)
        self._takes: dict[str, Callable[[Peer, bytes], tuple[int, bytes]]] = {
            "partner": self._created,
            "smsc": self._smpp,
            "billing": self._billing,
            "webhooks": self._webhook,
        }
        self._peers: dict[int, tuple[str, Peer]] = {}
        #: Seconds of CPU of each of the four.
        self._cost = dict.fromkeys(self._takes, 0.0)
        #: The nodes' ports, and the partner's connections to them.
        self._nodes: list[int] = []
        self._clients: list[Peer] = []
        #: Phones that have said yes; each is asked once.
        self._said: set[bytes] = set()
        self._number = 0
        self._stop_at = 0.0
        self._ahead_max = 0
        self.created = self.refused = self.debits = self.prompts = self.webhooks = 0
        #: Connections without a request, because too many charges are on their way.
        self._idle: list[Peer] = []

    def serve(self, until: Callable[[], bool]) -> None:
        """Turn the loop until that is true."""
        while not until():
            found = self._poll.poll(0.01)
            begun = time.thread_time()
            for number, _ in found:
                if number in self._peers:
                    role, peer = self._peers[number]
                    if not peer.read():
                        self._hang_up(peer)
                    now = time.thread_time()
                    self._cost[role] += now - begun
                    begun = now
                elif number in self._listeners:
                    role, listener = self._listeners[number]
                    self._add(listener.accept()[0], role)

    def run(self, *, ports: list[int], seconds: float, ahead: int) -> dict[str, Any]:
        """Post charges for so long, at most `ahead` of them on their way; wait for the last end.

        The nodes at these ports get equal shares.
        """
        if ports != self._nodes:
            for client in self._clients:
                self._hang_up(client)
            self._nodes, self._clients = ports, []
        while len(self._clients) < CONNECTIONS:
            port = ports[len(self._clients) % len(ports)]
            connection = socket.create_connection(("127.0.0.1", port))
            self._clients.append(self._add(connection, "partner"))
        self._ahead_max = ahead
        started, cpu = time.monotonic(), time.process_time()
        self._stop_at = started + seconds
        self._idle.clear()
        self._cost = dict.fromkeys(self._takes, 0.0)
        for client in self._clients:
            client.write(self._post())
        # Until as many are on their way as will be.
        self.serve(lambda: time.monotonic() > started + seconds * FILLING)
        full_at, before = time.monotonic(), self.webhooks
        self.serve(lambda: time.monotonic() > self._stop_at)
        in_time = self.webhooks - before
        took = time.monotonic() - full_at
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
            "cost_s": self._cost,
        }

    def close(self) -> None:
        """Nobody is served any more."""
        for _, peer in list(self._peers.values()):
            self._hang_up(peer)
        for _, listener in self._listeners.values():
            listener.close()
        self._poll.close()

    def _hang_up(self, peer: Peer) -> None:
        number = peer.connection.fileno()
        if self._peers.pop(number, None) is not None:
            self._poll.unregister(number)
            peer.connection.close()

    def _add(self, connection: socket.socket, role: str) -> Peer:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(connection, self._takes[role])
        self._peers[connection.fileno()] = role, peer
        self._poll.register(connection, select.EPOLLIN)
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
                out += self._answers(body)
            elif command in (0x15, 6):
                out.append(_HEAD.pack(16, command | 1 << 31, 0, number))
        return at, b"".join(out)

    def _answers(self, submit: bytes) -> list[bytes]:
        source_at = submit.index(0) + 3
        source = submit[source_at : submit.index(0, source_at)]
        phone_at = source_at + len(source) + 3
        phone = submit[phone_at : submit.index(0, phone_at)]
        if phone in self._said:  # the prompt's second segment, or the receipt
            return []
        self._said.add(phone)
        body = b"\0\1\1%b\0\0\1%b\0\0\0\0\0\0\0\0\10\0%c%b" % (phone, source, len(_YES), _YES)
        return [_HEAD.pack(16 + len(body), 5, 0, self.prompts) + body]


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
