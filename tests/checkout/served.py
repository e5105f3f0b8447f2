"""A world of the page's tests on a port, for real browsers: its site stays what it is, in memory.

A thread a connection carries octets between socket and site, another lets the world's clock run.
The world is no more thread-safe for that: whoever touches it holds `lock`.
"""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.checkout.world import World
from tests.http.peers import Peer

_TICK_S = 0.05


class Served:
    """`World` at `url`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lock = threading.RLock()
        self._over = threading.Event()
        served = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(ConnectionError):
                    served._carry(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.block_on_close = True
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=[_TICK_S]),
            threading.Thread(target=self._let_time_pass),
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()

    def _let_time_pass(self) -> None:
        while not self._over.wait(_TICK_S):
            with self.lock:
                self.world.steps.clock.advance(_TICK_S)

    def _carry(self, connection: socketserver.BaseRequestHandler) -> None:
        sock = connection.request
        sock.settimeout(_TICK_S)
        with self.lock:
            peer = Peer(self.world.site)
        over = False
        while not (over or self._over.is_set()):
            try:
                data = sock.recv(65536)
                over = data == b""
            except TimeoutError:
                data = b""
            with self.lock:
                if data:
                    peer.sends(data)
                out = peer.got()
                over = over or peer.closed
            sock.sendall(out)
        with self.lock:
            peer.hangs_up()


@contextmanager
def served(world: World) -> Iterator[Served]:
    """While it lasts, browsers can come."""
    one = Served(world)
    one.start()
    yield one
    one.stop()
