"""Links and SMSCs for tests: a recording SMSC, a recording application, one network between."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from ppcd.smpp import (
    BackoffSettings,
    Command,
    End,
    Inbox,
    Link,
    LinkSettings,
    LinkState,
    Listener,
    ListenerSettings,
    Pdu,
    Peer,
    SessionSettings,
    Status,
    submit_sm,
)
from tests.smpp.wire import Network


class Smsc:
    """Answers as told; keeps what happened."""

    def __init__(self, network: Network, **settings: Any) -> None:
        self.bind_status: int | None = Status.ESME_ROK
        self.answering: Callable[[Peer, Pdu], None] | None = None
        self.binds: list[Pdu] = []
        self.pdus: list[Pdu] = []
        self.ends: list[End] = []
        self.stood: list[Peer] = []
        session = SessionSettings(**{"window_max": 1000, **settings.pop("session", {})})
        self.listener = Listener(
            ListenerSettings(session=session, **settings),
            reactor=network,
            handler=self,
            random=lambda: 0.5,
            endpoint=network,
        )

    @property
    def peer(self) -> Peer:
        return self.listener.peers[-1]

    def bind_requested(self, peer: Peer, pdu: Pdu) -> int | None:
        self.binds.append(pdu)
        return self.bind_status

    def bound(self, peer: Peer) -> None:
        self.stood.append(peer)

    def received(self, peer: Peer, pdus: list[Pdu]) -> None:
        for pdu in pdus:
            self.pdus.append(pdu)
            if self.answering is not None:
                self.answering(peer, pdu)
            elif pdu.command == Command.SUBMIT_SM:
                peer.answer(pdu, message_id=b"id%d" % len(self.pdus))

    def ended(self, peer: Peer, end: End) -> None:
        self.ends.append(end)


class App:
    """Takes batches; answers them at once unless told to keep them."""

    def __init__(self) -> None:
        self.boxes: list[Inbox] = []
        self.keep = False
        self.states: list[LinkState] = []
        self.told: list[Pdu] = []
        self.error: Exception | None = None

    def received(self, link: Link, batch: Inbox) -> None:
        if self.error is not None:
            raise self.error
        self.boxes.append(batch)
        if not self.keep:
            batch.answer([Status.ESME_ROK] * len(batch))

    def on_state(self, link: Link) -> None:
        self.states.append(link.state)

    def on_told(self, link: Link, pdu: Pdu) -> None:
        self.told.append(pdu)


class Scene:
    """One link, one SMSC, one network."""

    def __init__(self, *, smsc: dict[str, Any] | None = None, **settings: Any) -> None:
        self.network = Network()
        self.smsc = Smsc(self.network, **(smsc or {}))
        self.app = App()
        self.link = a_link(self.network, self.app, **settings)
        coroutine = self.smsc.listener.start()
        try:
            coroutine.send(None)
        except StopIteration:
            pass

    def up(self) -> Scene:
        self.link.start()
        self.network.turn()
        assert self.link.bound
        return self

    def submit(self, count: int = 1) -> list[Any]:
        """The answers as they come."""
        answers: list[Any] = []
        for _ in range(count):
            self.link.submit(a_prompt()).addCallback(answers.append)
        return answers

    def down(self) -> None:
        """Stop the link; nothing may be left that waits."""
        stopped: list[Any] = []
        self.link.stop().addCallback(stopped.append)
        self.network.wait(20)
        assert stopped == [None]
        assert self.link.state is LinkState.STOPPED
        self.smsc.listener.drop_all()
        self.network.turn()
        assert self.network.getDelayedCalls() == []


class Fixed(Random):
    """No jitter: waits are what the policy says."""

    def random(self) -> float:
        return 1.0


def a_link(network: Network, app: App, **settings: Any) -> Link:
    settings = {
        "name": "acme",
        "host": "smsc.example",
        "port": 2775,
        "system_id": "ppcd",
        "password": "secret",
        "backoff": BackoffSettings(first_s=2.0),
        **settings,
    }
    return Link(
        LinkSettings(**settings),
        reactor=network,
        inbound=app,
        random=Fixed(),
        on_state=app.on_state,
        on_told=app.on_told,
        endpoint=network,
    )


def a_prompt(text: bytes = b"pay?") -> Pdu:
    return submit_sm(source_addr=b"717100", destination_addr=b"380971234567", short_message=text)
