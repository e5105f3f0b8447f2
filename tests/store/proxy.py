"""A proxy before PostgreSQL that loses connections at a chosen word of the client."""

import contextlib
import socket
import threading
from enum import Enum
from types import TracebackType
from typing import Self

from psycopg import conninfo


class Cut(Enum):
    """When the connection is lost."""

    #: The server never gets the word.
    BEFORE = 1
    #: The server gets it and answers; the client never gets the answer.
    AFTER = 2
    #: The server gets it when `let_go` is called; until then nobody hears anything.
    LATER = 3


class Proxy:
    """Threads and blocking sockets: whatever reactor is tested, it is not this one's."""

    def __init__(self, dsn: str) -> None:
        given = conninfo.conninfo_to_dict(dsn)
        self._upstream = f"{given['host']}/.s.PGSQL.{given.get('port', 5432)}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.dsn = conninfo.make_conninfo(
            dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )
        self._faults: list[tuple[bytes, Cut]] = []
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._let_go = threading.Event()

    def cut(self, word: bytes, when: Cut) -> None:
        """Lose the next connection whose client sends `word`."""
        self._faults.append((word, when))

    def let_go(self) -> None:
        """What was held back reaches the server now."""
        self._let_go.set()

    def refuse(self) -> None:
        """Take no more connections, and lose those there are."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._let_go.set()
        self.refuse()
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._upstream)
            self._sockets += [client, server]
            for target in (self._to_server, self._to_client):
                self._threads.append(threading.Thread(target=target, args=(client, server)))
                self._threads[-1].start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                fault = next((f for f in self._faults if f[0] in data), None)
                if fault is not None:
                    self._faults.remove(fault)
                    if fault[1] is Cut.LATER:
                        self._let_go.wait()
                        server.sendall(data)
                        continue
                    if fault[1] is Cut.AFTER:
                        # Nothing goes to the client any more, but the server does its work.
                        client.shutdown(socket.SHUT_WR)
                        server.sendall(data)
                        continue
                    client.shutdown(socket.SHUT_RDWR)
                    break
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                with contextlib.suppress(OSError):
                    client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
