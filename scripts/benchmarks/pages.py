"""The payment page: what an open, waiting page costs a node, and how soon it learns of the answer.

A node of its own process between a simulated SMSC and billing, as an operator would run it. Pages
are event streams on connections of their own, as browsers open them after «Оплатить».
"""

import json
import resource
import selectors
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import figure

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.node.world import World, ask, wait_for  # noqa: E402  # the whole outside, as tests have it

FIRST_PHONE = 380973000000
PAGE_KIB_MUST = 30
PAGE_S_MUST = 1.0
#: Answers a second: far below what a node confirms; what is measured is the page, not the node.
ANSWERS_PER_S = 40
_ROOM = "partner_api:\n  connections_max: 8000\n  connections_per_address_max: 8000\n"


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001  # as all benchmarks are called
    pages, answered = (300, 100) if quick else (1000, 400)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a descriptor a page, on both sides
    with (
        tempfile.TemporaryDirectory(prefix="bench-pages-") as directory,
        World(Path(directory)) as world,
    ):
        node = world.node
        narrow = node.config.read_text()
        roomy = narrow.replace("partner_api:\n", _ROOM)
        assert roomy != narrow
        node.config.write_text(roomy)
        node.start()
        return _measure(world, pages, answered)


def _measure(world: World, pages: int, answered: int) -> list[dict[str, Any]]:
    paths = [_pressed(world, FIRST_PHONE + number) for number in range(pages)]
    # All prompts are out, and the node has the memory that charges alone take.
    last = str(FIRST_PHONE + pages - 1)
    wait_for("the last prompt", lambda: world.messages(last), seconds=60)
    readers = _Readers(world.node.partner_port)
    for path in paths[:50]:  # what the first pages load is not theirs
        readers.open(path)
    readers.wait_open(50)
    before = _memory_kib(world)
    for path in paths[50:]:
        readers.open(path)
    readers.wait_open(pages)
    time.sleep(2)
    each_kib = (_memory_kib(world) - before) / (pages - 50)
    delays = _answer(world, readers, paths[:answered])
    readers.close()
    delays.sort()
    return [
        figure("memory of a waiting page", each_kib, "KiB", better="lower", must=PAGE_KIB_MUST),
        figure("reply to page, median", delays[len(delays) // 2], "s", better="lower"),
        figure(
            "reply to page, p99",
            delays[min(len(delays) - 1, int(len(delays) * 0.99))],
            "s",
            better="lower",
            must=PAGE_S_MUST,
        ),
        figure("pages open at once", pages, "pages", better="higher"),
    ]


def _pressed(world: World, phone: int) -> str:
    """The path of a session whose buyer has pressed «Оплатить»."""
    port = world.node.partner_port
    wanted = {"amount": 25, "currency": "UAH", "description": "250 gold"}
    got = ask(
        port,
        "POST",
        "/checkout/v1/sessions",
        wanted | {"phoneNumber": f"+{phone}", "language": "ru"},
        headers={"Authorization": f"Bearer {world.partner.key}"},
    )
    assert got.status == 201, got.body
    path = "/pay/" + str(got.json["id"])
    with socket.create_connection(("127.0.0.1", port)) as line:
        body = b"after=0&offer=0&same=1"
        line.sendall(
            b"POST %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: %d\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n%s"
            % (path.encode(), len(body), body)
        )
        assert line.recv(100).startswith(b"HTTP/1.1 303"), path
    return path


class _Readers:
    """Browsers that wait: one thread for all their connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._stopped = False
        self.opened = 0
        #: By path, when its page was told that it is paid.
        self.paid: dict[str, float] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def open(self, path: str) -> None:
        line = socket.create_connection(("127.0.0.1", self._port))
        line.sendall(f"GET {path}/events HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        line.settimeout(0)
        self._selector.register(line, selectors.EVENT_READ, [path, b""])

    def wait_open(self, count: int) -> None:
        wait_for("all pages to be told the first time", lambda: self.opened >= count, seconds=60)

    def _read(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select(0.05):
                line, state = key.fileobj, key.data
                assert isinstance(line, socket.socket)
                data = line.recv(65_536)
                at = time.monotonic()
                if not data:
                    self._selector.unregister(line)
                    line.close()
                    continue
                state[1] += data
                *events, state[1] = state[1].split(b"\n\n")
                for event in events:
                    found = event.find(b"data: ")
                    if found >= 0:
                        self._told(state[0], event[found + 6 :], at)

    def _told(self, path: str, data: bytes, at: float) -> None:
        result = json.loads(data)["result"]
        if result == "succeeded":
            self.paid[path] = at
        elif result == "processing":
            self.opened += 1

    def close(self) -> None:
        self._stopped = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()


def _answer(world: World, readers: _Readers, paths: list[str]) -> list[float]:
    """Seconds from each phone's answer to its page's word that it is paid."""
    sent: dict[str, float] = {}
    began = time.monotonic()
    for number, path in enumerate(paths):
        pause = began + number / ANSWERS_PER_S - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        sent[path] = time.monotonic()
        world.reply(str(FIRST_PHONE + number), "ДА")
    wait_for("all pages to be told", lambda: len(readers.paid) == len(paths), seconds=60)
    return [readers.paid[path] - sent[path] for path in paths]


def _memory_kib(world: World) -> int:
    """What the node's process has in memory."""
    process = world.node.party.process
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
