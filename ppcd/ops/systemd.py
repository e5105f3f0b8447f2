"""What systemd wants to hear: ready, reloading, stopping, a status, and that the loop turns.

Without systemd every call does nothing. Nothing here waits, and a failure to tell is never ours
to fail on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.task import LoopingCall

__all__ = ["ServiceManager", "Watchdog", "watchdog_interval_s"]

STATUS_LENGTH_MAX: Final = 500


class ServiceManager:
    """The notify socket of this service, if there is one."""

    def __init__(self, address: str | None, *, now: Callable[[], float]) -> None:
        self._address = _resolve(address)
        self._now = now
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] = os.environ, *, now: Callable[[], float]
    ) -> ServiceManager:
        return cls(environ.get("NOTIFY_SOCKET"), now=now)

    def ready(self, status: str = "") -> None:
        """Started, or reloaded: configuration read, schema checked, listening."""
        self._tell("READY=1", status)

    def status(self, status: str) -> None:
        """One line that `systemctl status` shows."""
        self._tell("", status)

    def reloading(self) -> None:
        # The stamp is what Type=notify-reload (systemd 253) compares; older ones ignore it.
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={int(self._now() * 1_000_000)}")

    def stopping(self, status: str = "") -> None:
        self._tell("STOPPING=1", status)

    def watchdog(self) -> None:
        self._tell("WATCHDOG=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, message: str, status: str = "") -> None:
        if self._socket is None or self._address is None:
            return
        if status:
            line = " ".join(status.split())[:STATUS_LENGTH_MAX]
            message = f"{message}\nSTATUS={line}" if message else f"STATUS={line}"
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            pass  # systemd restarts, or its queue is full; the next ping comes


class Watchdog:
    """Pings at a third of the limit, from the loop and conditioned on the loop alone.

    A database or SMSC that is away must not get us restarted for ever.
    """

    def __init__(self, manager: ServiceManager, interval_s: float | None, *, reactor: Any) -> None:
        self._interval_s = interval_s
        self._call: LoopingCall = LoopingCall(manager.watchdog)
        self._call.clock = reactor

    def start(self) -> None:
        if self._interval_s is not None and not self._call.running:
            # Ends only by stop(): telling systemd cannot fail.
            self._call.start(self._interval_s)

    def stop(self) -> None:
        if self._call.running:
            self._call.stop()


def watchdog_interval_s(environ: Mapping[str, str], *, pid: int) -> float | None:
    """Seconds between pings; None when no watchdog watches this process."""
    limit = environ.get("WATCHDOG_USEC", "")
    if not limit.isdigit() or int(limit) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(limit) / 3_000_000


def _resolve(address: str | None) -> str | None:
    if not address or address[0] not in "@/":
        return None  # none, or a vsock that we don't speak
    # An abstract socket's name begins with NUL, which an environment variable cannot hold.
    return "\0" + address[1:] if address[0] == "@" else address
