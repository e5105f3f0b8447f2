"""systemd hears what it must, over both kinds of socket, and nothing of ours depends on it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from twisted.internet.task import Clock

from ppcd.ops.systemd import ServiceManager, Watchdog, watchdog_interval_s


@contextmanager
def a_listener(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(address)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_a_service_s_life_is_told(tmp_path):
    with a_listener(str(tmp_path / "notify")) as listener:
        manager = ServiceManager(str(tmp_path / "notify"), now=lambda: 1.5)
        manager.ready("2/2 links up")
        manager.status("two\nlines")
        manager.reloading()
        manager.ready()
        manager.watchdog()
        manager.stopping("draining")
        manager.close()
        manager.status("nobody hears this")
        assert heard(listener) == [
            "READY=1\nSTATUS=2/2 links up",
            "STATUS=two lines",
            "RELOADING=1\nMONOTONIC_USEC=1500000",
            "READY=1",
            "WATCHDOG=1",
            "STOPPING=1\nSTATUS=draining",
        ]


def test_an_abstract_socket_is_reached():
    name = f"ppcd-test-{os.getpid()}"
    with a_listener("\0" + name) as listener:
        manager = ServiceManager.from_environment({"NOTIFY_SOCKET": "@" + name}, now=lambda: 0)
        manager.ready()
        manager.close()
        assert heard(listener) == ["READY=1"]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "/nowhere/notify"])
def test_without_a_listener_nothing_happens(address):
    manager = ServiceManager(address, now=lambda: 0)
    manager.ready("all is well")
    manager.watchdog()
    manager.close()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 10),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_three_times_in_its_limit(environ, interval):
    assert watchdog_interval_s(environ, pid=7) == interval


def test_the_loop_feeds_the_watchdog_until_it_stops(tmp_path):
    with a_listener(str(tmp_path / "notify")) as listener:
        reactor = Clock()
        manager = ServiceManager(str(tmp_path / "notify"), now=reactor.seconds)
        watchdog = Watchdog(manager, 10, reactor=reactor)
        watchdog.start()
        watchdog.start()
        reactor.pump([5] * 6)
        watchdog.stop()
        watchdog.stop()
        reactor.advance(60)
        assert heard(listener) == ["WATCHDOG=1"] * 4
        assert reactor.getDelayedCalls() == []
        manager.close()


def test_without_a_watchdog_there_is_no_timer():
    reactor = Clock()
    watchdog = Watchdog(ServiceManager(None, now=reactor.seconds), None, reactor=reactor)
    watchdog.start()
    assert reactor.getDelayedCalls() == []
    watchdog.stop()
