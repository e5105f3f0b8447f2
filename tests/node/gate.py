"""A TCP gate before a party: while it is shut, connections to it are refused."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.node.world import free_port


class Gate:
    """Open at first; `upstream` is a port of this machine, or the path of a socket."""

    def __init__(self, upstream: int | Path) -> None:
        self._upstream = upstream
        self.port = free_port()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.open()

    def open(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._begin(self._accept, self._listener)

    def shut(self) -> None:
        """Refuse connections, and lose those there are."""
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()
        self._open.clear()
        self._threads.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.shut()

    def _begin(self, target: object, *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if isinstance(self._upstream, Path):
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._upstream))
            else:
                server = socket.create_connection(("127.0.0.1", self._upstream))
            self._open += [client, server]
            self._begin(self._pass, client, server)
            self._begin(self._pass, server, client)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
