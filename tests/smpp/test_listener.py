"""The SMSC's side: who gets in, what can be sent, and how rude it can be."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ppcd.smpp import (
    Accepted,
    Command,
    End,
    NotSent,
    Pdu,
    Refused,
    State,
    Status,
    Unknown,
    build,
    encode,
)
from tests.smpp.conversation import a_deliver, a_submit
from tests.smpp.links import Scene


def silent(peer: Any, pdu: Pdu) -> None:
    pass


def test_a_connection_too_many_is_refused() -> None:
    scene = Scene(smsc={"connections_max": 1}).up()
    assert scene.smsc.listener.accept(None) is None
    scene.down()


def test_each_end_of_a_message_has_its_name() -> None:
    scene = Scene(
        smsc={"session": {"window_max": 1, "queue_max": 2, "response_timeout_s": 5.0,
                          "queue_s": 7.0}}
    ).up()  # fmt: skip
    peer = scene.smsc.peer
    answers: list[Any] = []
    scene.app.keep = True
    for number in range(4):
        peer.send(a_deliver(number)).addCallback(answers.append)
    assert answers == [NotSent("not bound for this, or the queue is full")]
    assert peer.room == 0
    scene.network.wait(5.0)
    assert answers[1] == Unknown("no answer in time")
    scene.network.wait(3.0)
    assert isinstance(answers[2], NotSent)
    peer.drop()
    scene.network.turn()
    assert isinstance(answers[3], Unknown)
    assert scene.smsc.ends == [End.DROPPED]
    scene.down()


def test_what_queues_at_the_end_was_not_sent() -> None:
    scene = Scene(smsc={"session": {"window_max": 1}}).up()
    answers: list[Any] = []
    scene.app.keep = True
    for number in range(2):
        scene.smsc.peer.send(a_deliver(number)).addCallback(answers.append)
    scene.smsc.peer.drop()
    scene.network.turn()
    assert [type(answer) for answer in answers] == [Unknown, NotSent]
    scene.down()


def test_an_esmes_refusal_reaches_the_sender() -> None:
    scene = Scene().up()
    scene.app.keep = True
    answers: list[Any] = []
    scene.smsc.peer.send(a_deliver(1)).addCallback(answers.append)
    scene.smsc.peer.send(a_deliver(2)).addCallback(answers.append)
    scene.network.turn()
    (box,) = scene.app.boxes
    box.answer([Status.ESME_RX_P_APPN, Status.ESME_ROK])
    scene.network.turn()
    assert answers[0] == Refused(Status.ESME_RX_P_APPN)
    assert isinstance(answers[1], Accepted)
    scene.down()


def test_a_peer_that_is_gone_takes_every_call_in_silence() -> None:
    scene = Scene().up()
    peer = scene.smsc.peer
    peer.drop()
    scene.network.turn()
    assert not peer.bound
    assert not peer.receives
    assert peer.room == 0
    peer.answer(a_submit(1))
    peer.answer_bind(0)
    peer.tell(build(Command.OUTBIND))
    peer.write_raw(b"x")
    peer.hold()
    peer.unhold()
    peer.unbind()
    peer.drop()
    answers: list[Any] = []
    peer.send(a_deliver(1)).addCallback(answers.append)
    assert isinstance(answers[0], NotSent)
    scene.down()


def test_garbage_written_on_purpose_ends_the_link_and_it_comes_back() -> None:
    scene = Scene().up()
    scene.smsc.peer.write_raw(b"\xff" * 40)
    scene.network.turn()
    assert scene.link.counts.lost == 1
    scene.network.wait(3.0)
    assert scene.link.bound
    scene.down()


def test_stopping_unbinds_everybody_and_waits() -> None:
    scene = Scene().up()
    assert scene.smsc.peer.bound
    assert scene.smsc.peer.session.state is State.BOUND_TRX
    done: list[Any] = []
    stopping = scene.smsc.listener.stop()

    Deferred.fromCoroutine(stopping).addCallback(done.append)
    assert done == []
    scene.network.turn()
    assert done == [None]
    Deferred.fromCoroutine(scene.smsc.listener.stop()).addCallback(done.append)
    assert done == [None, None]
    scene.down()


def test_a_query_is_answered_with_what_the_handler_says() -> None:
    scene = Scene().up()
    scene.smsc.answering = lambda peer, pdu: peer.answer(
        pdu, message_id=pdu.message_id, message_state=2
    )
    answers: list[Any] = []
    scene.link.submit(build(Command.QUERY_SM, message_id=b"7")).addCallback(answers.append)
    scene.network.turn()
    assert answers[0].pdu.message_state == 2
    scene.down()


def test_strange_requests_reach_no_handler() -> None:
    scene = Scene().up()
    ours, _ = scene.network.links[0]
    ours.write(encode(Pdu(0x00010101, 0, 1)) + encode(a_deliver(2)))
    scene.network.turn()
    assert scene.smsc.pdus == []
    assert scene.link.bound
    scene.down()
