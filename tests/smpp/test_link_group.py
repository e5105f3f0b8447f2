"""Several links: balance while they stand, go on when one falls."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ppcd.smpp import Accepted, LinkGroup, NotSent, Pdu, Peer, Status
from tests.smpp.links import App, Scene, a_link, a_prompt


class Pair(Scene):
    """Two links to one SMSC."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.other = a_link(self.network, App(), **{**settings, "name": "other"})
        self.group = LinkGroup([self.link, self.other])

    def up(self) -> Pair:
        super().up()
        self.other.start()
        self.network.turn()
        return self

    def send(self) -> list[Any]:
        answers: list[Any] = []
        Deferred.fromCoroutine(self.group.submit(a_prompt())).addCallback(answers.append)
        return answers

    def down(self) -> None:
        self.other.stop()
        super().down()


def never(peer: Peer, pdu: Pdu) -> None:
    pass


def test_without_a_bound_link_nothing_is_sent() -> None:
    pair = Pair()
    assert not pair.group.bound
    assert pair.group.choose() is None
    assert pair.send() == [NotSent("no link is bound")]


def test_quiet_links_take_turns_and_busy_ones_share() -> None:
    pair = Pair(window_max=4).up()
    assert pair.group.bound
    assert pair.group.room == 8
    pair.smsc.answering = never
    for _ in range(6):
        pair.send()
        pair.network.turn()
    assert (pair.link.window_in_use, pair.other.window_in_use) == (3, 3)
    pair.down()


def test_a_receiver_is_never_chosen() -> None:
    pair = Pair(bind="receiver").up()
    assert pair.group.bound
    assert pair.group.choose() is None
    pair.down()


def test_a_link_with_room_is_preferred() -> None:
    pair = Pair(window_max=2).up()
    pair.smsc.answering = never
    for _ in range(2):
        pair.link.submit(a_prompt())
    assert pair.group.choose() is pair.other
    assert pair.group.choose() is pair.other
    pair.down()


def test_when_one_falls_the_other_takes_over() -> None:
    pair = Pair().up()
    pair.link.drop()
    pair.network.turn()
    assert pair.group.choose() is pair.other
    answers = pair.send()
    pair.network.turn()
    assert isinstance(answers[0], Accepted)
    pair.down()


def test_what_one_could_not_send_the_other_does_and_unknown_ends_the_trying() -> None:
    pair = Pair(window_max=1, queue_max=1).up()
    pair.smsc.answering = never
    for _ in range(2):
        pair.link.submit(a_prompt())
        pair.other.submit(a_prompt())
    assert pair.send() == [NotSent("the link's queue is full")]
    assert len(pair.smsc.pdus) == 0
    pair.network.turn()
    pair.smsc.answering = lambda peer, pdu: peer.answer(pdu, Status.ESME_RSYSERR)
    pair.network.wait(12.0)
    pair.smsc.listener.drop_all()
    pair.network.turn()
    pair.down()
