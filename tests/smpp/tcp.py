"""Real sockets: an SMSC and a link on loopback, awaited with deadlines."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251 - real sockets need it
from twisted.internet import task

from ppcd.smpp import (
    BackoffSettings,
    Command,
    End,
    Link,
    LinkSettings,
    Listener,
    ListenerSettings,
    Pdu,
    Peer,
)
from tests.smpp.links import App

reactor: Any = _reactor


async def until(what: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait for it to become true; AssertionError when it does not."""
    ends = reactor.seconds() + within_s
    while not what():
        assert reactor.seconds() < ends, f"still waiting after {within_s} s"
        await task.deferLater(reactor, 0.01)


class Answering:
    """An SMSC's handler that takes every bind and every request."""

    def __init__(self) -> None:
        self.pdus: list[Pdu] = []
        self.ends: list[End] = []
        self.stood: list[Peer] = []

    def bind_requested(self, peer: Peer, pdu: Pdu) -> int:
        return 0

    def bound(self, peer: Peer) -> None:
        self.stood.append(peer)

    def received(self, peer: Peer, pdus: list[Pdu]) -> None:
        self.pdus += pdus
        for pdu in pdus:
            if pdu.command == Command.SUBMIT_SM:
                peer.answer(pdu, message_id=b"%d" % pdu.sequence)
            else:
                peer.answer(pdu)

    def ended(self, peer: Peer, end: End) -> None:
        self.ends.append(end)


def a_listener(handler: Any, **settings: Any) -> Listener:
    return Listener(
        ListenerSettings(**settings), reactor=reactor, handler=handler, random=Random(1).random
    )


def a_link(port: int, app: App, **settings: Any) -> Link:
    settings = {
        "name": "acme",
        "host": "127.0.0.1",
        "port": port,
        "system_id": "ppcd",
        "password": "secret",
        "backoff": BackoffSettings(first_s=0.1),
        **settings,
    }
    return Link(
        LinkSettings(**settings),
        reactor=reactor,
        inbound=app,
        random=Random(1),
        on_state=app.on_state,
        on_told=app.on_told,
    )
