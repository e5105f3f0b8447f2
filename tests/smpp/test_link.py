"""Links: binds kept up, answers that find their submits, batches that wait for theirs."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from ppcd.smpp import (
    Accepted,
    BackoffSettings,
    Command,
    Decoder,
    EncodeError,
    End,
    Link,
    LinkSettings,
    LinkState,
    NotSent,
    Oddity,
    Pdu,
    Peer,
    Refused,
    State,
    Status,
    TimerSettings,
    Unknown,
    build,
    encode,
)
from ppcd.smpp.driver import Driver
from ppcd.smpp.events import Event
from tests.conftest import Criticals
from tests.smpp.conversation import a_deliver, an_answer
from tests.smpp.links import App, Fixed, Scene, a_prompt
from tests.smpp.wire import Network


def silent(peer: Peer, pdu: Pdu) -> None:
    """An SMSC that takes everything and says nothing."""


# Binding and waiting


def test_a_link_binds_submits_and_unbinds() -> None:
    scene = Scene(system_type="VMA", addr_ton=1, addr_npi=1, address_range="^7171").up()
    (bind,) = scene.smsc.binds
    assert (bind.command, bind.system_id, bind.password) == (
        Command.BIND_TRANSCEIVER,
        b"ppcd",
        b"secret",
    )
    assert (bind.system_type, bind.addr_ton, bind.address_range) == (b"VMA", 1, b"^7171")
    assert scene.network.links[0][0].nodelay
    answers = scene.submit()
    scene.network.turn()
    (answer,) = answers
    assert isinstance(answer, Accepted)
    assert answer.message_id == "id1"
    scene.down()
    assert scene.app.states == [
        LinkState.CONNECTING,
        LinkState.BINDING,
        LinkState.BOUND,
        LinkState.UNBINDING,
        LinkState.STOPPED,
    ]
    assert scene.smsc.ends == [End.UNBOUND_BY_PEER]


def test_refused_binds_back_off_and_a_bound_one_starts_the_count_anew() -> None:
    scene = Scene(backoff=BackoffSettings(first_s=2.0, stable_s=30.0), enquire_link_s=None)
    scene.smsc.bind_status = Status.ESME_RALYBND
    scene.link.start()
    scene.network.wait(29.0)
    assert scene.network.dialled == [0.0, 2.0, 6.0, 14.0]
    assert not any(ours.connected for ours, _ in scene.network.links)
    assert scene.link.refused_with == Status.ESME_RALYBND
    assert scene.link.state is LinkState.DOWN
    scene.smsc.bind_status = Status.ESME_ROK
    scene.network.wait(2.0)
    assert scene.network.dialled[-1] == 30.0
    assert scene.link.bound
    assert scene.link.refused_with is None
    scene.network.wait(30.0)
    scene.smsc.bind_status = Status.ESME_RALYBND
    scene.smsc.peer.drop()
    lost_at = scene.network.seconds()
    scene.network.wait(7.0)
    assert scene.network.dialled[-2:] == [lost_at + 2.0, lost_at + 6.0]
    scene.down()


def test_a_bind_that_falls_at_once_is_a_failure_too() -> None:
    scene = Scene(backoff=BackoffSettings(first_s=2.0, stable_s=30.0))
    scene.up()
    for _ in range(3):
        while not scene.link.bound:
            scene.network.wait(1.0)
        scene.smsc.peer.drop()
        scene.network.turn()
    waits = [b - a for a, b in zip(scene.network.dialled, scene.network.dialled[1:], strict=False)]
    assert waits == [2.0, 4.0]
    scene.down()


def test_a_wrong_password_is_tried_slowly() -> None:
    scene = Scene()
    scene.smsc.bind_status = Status.ESME_RINVPASWD
    scene.link.start()
    scene.network.wait(800.0)
    assert scene.network.dialled == [0.0, 30.0, 90.0, 210.0, 450.0, 750.0]
    assert scene.link.refused_with == Status.ESME_RINVPASWD
    scene.down()


@pytest.mark.parametrize(
    ("refusing", "why"),
    [
        (True, "unreachable: Connection was refused by other side."),
        (False, "refused: bind refused with ESME_RINVPASWD"),
    ],
)
def test_the_log_warns_why_a_link_is_down(refusing: bool, why: str) -> None:
    seen: list[LogEvent] = []
    globalLogPublisher.addObserver(seen.append)
    try:
        scene = Scene()
        scene.network.refusing = refusing
        scene.smsc.bind_status = Status.ESME_RINVPASWD
        scene.link.start()
        scene.network.wait(0.5)
        scene.down()
    finally:
        globalLogPublisher.removeObserver(seen.append)
    warned = [formatEvent(e) for e in seen if e["log_level"] is LogLevel.warn]
    assert any(why in text and "attempt 1 in" in text for text in warned), warned


def test_an_unreachable_smsc_is_dialled_with_growing_waits_up_to_the_cap() -> None:
    scene = Scene(backoff=BackoffSettings(first_s=1.0, max_s=60.0))
    scene.network.refusing = True
    scene.link.start()
    scene.network.wait(250.0)
    waits = [b - a for a, b in zip(scene.network.dialled, scene.network.dialled[1:], strict=False)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    scene.network.refusing = False
    scene.network.wait(60.0)
    assert scene.link.bound
    scene.down()


def test_a_bind_that_nobody_answers_is_given_up_and_tried_again() -> None:
    scene = Scene(session_init_s=10.0)
    scene.smsc.bind_status = None
    scene.link.start()
    scene.network.wait(9.0)
    assert scene.link.state is LinkState.BINDING
    scene.network.wait(4.0)
    assert scene.network.dialled == [0.0, 12.0]
    assert scene.link.state is LinkState.BINDING
    scene.down()


def test_a_bind_answered_late_by_the_smsc_stands() -> None:
    scene = Scene()
    scene.smsc.bind_status = None
    scene.link.start()
    scene.network.wait(3.0)
    scene.smsc.peer.answer_bind(Status.ESME_ROK)
    scene.smsc.peer.answer_bind(Status.ESME_ROK)
    scene.network.turn()
    assert scene.link.bound
    assert scene.smsc.stood == [scene.smsc.peer]
    scene.down()


def test_an_unanswered_enquire_link_aborts_and_the_link_comes_back() -> None:
    quiet = {"timers": TimerSettings(enquire_link_s=None)}
    scene = Scene(smsc={"session": quiet}, enquire_link_s=30.0, enquire_link_timeout_s=10.0).up()
    scene.smsc.peer.hold()
    answers = scene.submit()
    scene.network.wait(39.0)
    assert scene.link.bound
    scene.network.wait(2.0)
    ours, _theirs = scene.network.links[0]
    assert ours.aborted
    assert answers == [Unknown("no answer in time")]
    scene.network.wait(5.0)
    assert scene.link.bound
    assert scene.link.counts.binds == 2
    scene.down()


@pytest.mark.parametrize("moment", ["connecting", "waiting", "binding", "bound"])
def test_stopping_ends_at_any_moment_and_starting_again_works(moment: str) -> None:
    scene = Scene()
    if moment == "connecting":
        scene.network.silent = True
    elif moment == "waiting":
        scene.network.refusing = True
    elif moment == "binding":
        scene.smsc.bind_status = None
    scene.link.start()
    scene.network.turn()
    scene.down()
    scene.network.silent = scene.network.refusing = False
    scene.smsc.bind_status = Status.ESME_ROK
    scene.up().down()


def test_stopping_twice_or_before_the_start_is_harmless() -> None:
    scene = Scene()
    done: list[None] = []
    scene.link.stop().addCallback(done.append)
    assert len(done) == 1
    scene.up()
    scene.link.stop().addCallback(done.append)
    scene.link.stop().addCallback(done.append)
    scene.network.wait(1.0)
    assert len(done) == 3
    scene.down()


def test_stopping_waits_for_answers_on_both_sides_but_not_for_ever() -> None:
    scene = Scene(drain_s=5.0, unbind_s=3.0).up()
    scene.smsc.answering = silent
    scene.app.keep = True
    answers = scene.submit()
    scene.smsc.peer.send(a_deliver(1))
    scene.network.turn()
    stopped: list[None] = []
    scene.link.stop().addCallback(stopped.append)
    scene.network.turn()
    assert scene.link.state is LinkState.UNBINDING
    late = scene.submit()
    assert isinstance(late[0], NotSent)
    scene.network.wait(4.0)
    assert stopped == []
    scene.network.wait(5.0)
    assert stopped == [None]
    assert isinstance(answers[0], Unknown)
    scene.down()


def test_their_unbind_ends_in_a_new_bind() -> None:
    scene = Scene().up()
    scene.app.keep = True
    scene.smsc.peer.send(a_deliver(1))
    scene.network.turn()
    scene.smsc.peer.unbind()
    scene.network.turn()
    # Their session waits for our answer before it unbinds at all.
    scene.app.boxes[0].answer([0])
    scene.network.turn()
    assert scene.smsc.ends == [End.UNBOUND]
    scene.network.wait(3.0)
    assert scene.link.bound
    scene.down()


def test_a_link_they_are_leaving_sends_nothing_more() -> None:
    scene = Scene().up()
    scene.app.keep = True
    _ours, theirs = scene.network.links[0]
    theirs.write(encode(a_deliver(1)) + encode(Pdu(Command.UNBIND, 0, 9)))
    scene.network.turn()
    assert scene.link.state is LinkState.UNBINDING
    assert isinstance(scene.submit()[0], NotSent)
    scene.app.boxes[0].answer([0])
    scene.network.turn()
    assert scene.link.state is LinkState.DOWN
    scene.down()


# Receiver and transmitter


def test_a_pair_sends_over_one_bind_and_receives_over_the_other() -> None:
    scene = Scene(bind="pair").up()
    kinds = {bind.command for bind in scene.smsc.binds}
    assert kinds == {Command.BIND_RECEIVER, Command.BIND_TRANSMITTER}
    answers = scene.submit()
    receiver = next(peer for peer in scene.smsc.listener.peers if peer.receives)
    receiver.send(a_deliver(1))
    scene.network.turn()
    assert isinstance(answers[0], Accepted)
    assert len(scene.app.boxes) == 1
    receiver.drop()
    scene.network.turn()
    assert not scene.link.bound
    answers = scene.submit()
    scene.network.wait(3.0)
    assert isinstance(answers[0], Accepted)
    assert scene.link.bound
    scene.down()


def test_a_receiver_sends_nothing() -> None:
    scene = Scene(bind="receiver").up()
    assert isinstance(scene.submit()[0], NotSent)
    assert (scene.link.room, scene.link.window_in_use, scene.link.queued) == (0, 0, 0)
    scene.down()


def test_a_transmitter_receives_nothing() -> None:
    scene = Scene(bind="transmitter").up()
    refused: list[object] = []
    scene.smsc.peer.send(a_deliver(1)).addCallback(refused.append)
    assert isinstance(refused[0], NotSent)
    scene.down()


# Submitting


def test_each_end_of_a_submit_has_its_name() -> None:
    scene = Scene(window_max=1, queue_max=1, response_timeout_s=10.0).up()
    scene.smsc.answering = lambda peer, pdu: peer.answer(pdu, Status.ESME_RINVDSTADR)
    answers = scene.submit()
    scene.network.turn()
    assert answers == [Refused(Status.ESME_RINVDSTADR)]
    scene.smsc.answering = silent
    answers = scene.submit(3)
    assert answers == [NotSent("the link's queue is full")]
    assert (scene.link.window_in_use, scene.link.room, scene.link.queued) == (1, 0, 1)
    scene.network.wait(10.0)
    assert answers[1] == Unknown("no answer in time")
    scene.smsc.peer.drop()
    scene.network.turn()
    assert isinstance(answers[2], Unknown)
    assert isinstance(scene.submit()[0], NotSent)
    counts = scene.link.counts
    assert (counts.submits, counts.unknown, counts.not_sent) == ({0x0B: 1}, 2, 2)
    scene.down()


def test_who_does_not_take_an_answer_keeps_nobody_else_from_theirs(criticals: Criticals) -> None:
    scene = Scene().up()
    told: list[object] = []

    def broken(end: object) -> None:
        raise ZeroDivisionError("a bug")

    for hear in (broken, told.append):
        scene.link.put(a_prompt(), hear)
    assert not scene.smsc.pdus
    scene.link.flush()
    scene.network.turn()
    assert [type(end) for end in told] == [Accepted]
    assert scene.link.bound
    (text,) = criticals.take()
    assert "an answer was not taken" in text
    scene.down()


def test_what_waits_when_the_link_falls_was_not_sent() -> None:
    scene = Scene(window_max=1).up()
    scene.smsc.answering = silent
    answers = scene.submit(2)
    scene.network.turn()
    scene.smsc.peer.drop()
    scene.network.turn()
    assert [type(answer) for answer in answers] == [Unknown, NotSent]
    scene.down()


def test_what_waits_too_long_was_not_sent() -> None:
    scene = Scene(window_max=1, queue_s=5.0).up()
    scene.smsc.answering = silent
    answers = scene.submit(2)
    scene.network.wait(6.0)
    assert [type(answer) for answer in answers] == [NotSent]
    scene.down()


def test_an_id_may_have_any_octets() -> None:
    scene = Scene().up()
    scene.smsc.answering = lambda peer, pdu: peer.answer(pdu, message_id=b"\xff9")
    answers = scene.submit()
    scene.network.turn()
    assert answers[0].message_id == "ÿ9"
    scene.down()


def test_other_requests_than_submit_sm_pass_as_well() -> None:
    scene = Scene().up()
    scene.smsc.answering = lambda peer, pdu: peer.answer(pdu)
    answers: list[object] = []
    scene.link.submit(build(Command.CANCEL_SM, message_id=b"1")).addCallback(answers.append)
    scene.network.turn()
    assert isinstance(answers[0], Accepted)
    assert answers[0].message_id == ""
    scene.down()


# Batches


def test_one_read_is_one_batch_and_its_answers_are_one_write() -> None:
    scene = Scene().up()
    ours, theirs = scene.network.links[0]
    writes = len(ours.writes)
    theirs.write(b"".join(encode(a_deliver(n)) for n in range(1, 101)))
    scene.network.turn()
    (box,) = scene.app.boxes
    assert [pdu.sequence for pdu in box.pdus] == list(range(1, 101))
    assert len(box) == 100
    assert sum(len(run) for run in box.runs if not isinstance(run, Pdu)) == 100
    assert box.read_at == scene.network.seconds()
    assert [len(data) for data in ours.writes[writes:]] == [1700]
    scene.down()


def test_nothing_is_answered_before_the_application_answers_and_then_once() -> None:
    scene = Scene().up()
    scene.app.keep = True
    answers: list[object] = []
    scene.smsc.peer.send(a_deliver(1)).addCallback(answers.append)
    scene.network.wait(5.0)
    assert answers == []
    assert scene.link.unanswered == 1
    (box,) = scene.app.boxes
    box.answer([Status.ESME_RSYSERR])
    box.answer([Status.ESME_ROK])
    box.not_now()
    scene.network.turn()
    assert answers == [Refused(Status.ESME_RSYSERR)]
    assert scene.link.unanswered == 0
    scene.down()


def test_some_of_a_batch_are_answered_before_the_others() -> None:
    scene = Scene().up()
    scene.app.keep = True
    ours, theirs = scene.network.links[0]
    single = build(Command.DATA_SM, sequence=3)
    batch = [a_deliver(1), a_deliver(2), single, a_deliver(4), a_deliver(5)]
    theirs.write(b"".join(map(encode, batch)))
    scene.network.turn()
    (box,) = scene.app.boxes
    box.answer_but([0, 2])
    assert _answered(ours.writes[-1]) == [(2, 0), (4, 0), (5, 0)]
    assert scene.link.unanswered == 2
    box.answer_but([])
    busy = Status.ESME_RSYSERR
    box.answer([0, busy, busy, busy, busy])
    assert _answered(ours.writes[-1]) == [(1, 0), (3, busy)]
    assert scene.link.unanswered == 0
    scene.down()


@pytest.mark.parametrize("late", [[], [0, 1]])
def test_answering_all_or_none_early_answers_each_once(late: list[int]) -> None:
    scene = Scene().up()
    scene.app.keep = True
    answers: list[object] = []
    for number in (1, 2):
        scene.smsc.peer.send(a_deliver(number)).addCallback(answers.append)
    scene.network.turn()
    (box,) = scene.app.boxes
    box.answer_but(late)
    scene.network.turn()
    assert len(answers) == 2 - len(late)
    box.answer([Status.ESME_ROK] * 2)
    scene.network.turn()
    assert len(answers) == 2
    assert scene.link.counts.lost == 0
    assert scene.link.unanswered == 0
    scene.down()


def _answered(octets: bytes) -> list[tuple[int, int]]:
    """sequence_number and command_status of each."""
    return [(pdu.sequence, pdu.status) for pdu in Decoder().feed(octets)]


def test_answering_after_the_link_fell_does_nothing() -> None:
    scene = Scene().up()
    scene.app.keep = True
    scene.smsc.peer.send(a_deliver(1))
    scene.network.turn()
    scene.smsc.peer.drop()
    scene.network.wait(5.0)
    assert scene.link.bound
    writes = len(scene.network.links[1][0].writes)
    scene.app.boxes[0].answer([0])
    scene.network.turn()
    assert len(scene.network.links[1][0].writes) == writes
    scene.down()


def test_not_now_is_said_as_the_link_is_set() -> None:
    scene = Scene(not_now_status=Status.ESME_RX_T_APPN).up()
    scene.app.keep = True
    answers: list[object] = []
    scene.smsc.peer.send(a_deliver(1)).addCallback(answers.append)
    scene.network.turn()
    scene.app.boxes[0].not_now()
    scene.network.turn()
    assert answers == [Refused(Status.ESME_RX_T_APPN)]
    scene.down()


def test_without_a_status_for_later_the_link_is_dropped_so_that_all_comes_again() -> None:
    scene = Scene(not_now_status=None).up()
    scene.app.keep = True
    answers: list[object] = []
    scene.smsc.peer.send(a_deliver(1)).addCallback(answers.append)
    scene.network.turn()
    scene.app.boxes[0].not_now()
    scene.app.boxes[0].not_now()
    scene.network.turn()
    assert isinstance(answers[0], Unknown)
    assert scene.network.links[0][0].aborted
    scene.down()


def test_a_batch_that_makes_the_application_raise_is_asked_to_come_again(
    criticals: Criticals,
) -> None:
    scene = Scene().up()
    scene.app.error = ZeroDivisionError("a bug")
    answers: list[object] = []
    scene.smsc.peer.send(a_deliver(1)).addCallback(answers.append)
    scene.network.turn()
    assert answers == [Refused(Status.ESME_RSYSERR)]
    assert scene.link.bound
    (text,) = criticals.take()
    assert "a batch was not taken" in text
    scene.down()


def test_alerts_reach_whoever_wants_them() -> None:
    scene = Scene().up()
    alert = build(Command.ALERT_NOTIFICATION, source_addr=b"1", esme_addr=b"2")
    scene.smsc.peer.tell(alert)
    scene.network.turn()
    assert [pdu.command for pdu in scene.app.told] == [Command.ALERT_NOTIFICATION]
    scene.link._on_told = None
    scene.smsc.peer.tell(alert)
    scene.network.turn()
    assert len(scene.app.told) == 1
    scene.down()


def test_odd_pdus_are_counted_and_the_link_stays() -> None:
    scene = Scene().up()
    scene.smsc.peer.write_raw(
        encode(Pdu(0x00010101, 0, 5)) * 3 + encode(an_answer(a_prompt().replace(sequence=99)))
    )
    scene.network.turn()
    assert scene.link.counts.odd == {Oddity.UNKNOWN_COMMAND: 3, Oddity.UNMATCHED: 1}
    assert scene.link.bound
    scene.down()


def test_rubbish_does_not_fill_the_log() -> None:
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"] is LogLevel.warn:
            lines.append(formatEvent(event))

    scene = Scene().up()
    globalLogPublisher.addObserver(observe)
    try:
        for _ in range(50):
            scene.smsc.peer.write_raw(encode(Pdu(0x00010101, 0, 5)))
            scene.network.wait(0.5)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert lines == [
        "link acme received 1 x an unknown command",
        "link acme received 20 x an unknown command",
        "link acme received 20 x an unknown command",
    ]
    scene.down()


# Pressure


def test_too_many_unanswered_messages_stop_the_reading_not_the_link() -> None:
    scene = Scene(inbound_max=10, enquire_link_s=30.0, enquire_link_timeout_s=10.0).up()
    scene.app.keep = True
    for number in range(30):
        scene.smsc.peer.send(a_deliver(number + 1))
        scene.network.turn(2)
    ours, _ = scene.network.links[0]
    assert not ours.reading
    assert scene.link.unanswered < 30
    scene.smsc.peer.session.outbox.pause()
    scene.network.wait(25.0)
    assert scene.link.bound
    for box in scene.app.boxes:
        box.answer([0] * len(box))
    scene.app.keep = False
    scene.network.turn()
    assert ours.reading
    assert scene.link.unanswered == 0
    assert scene.link.counts.received == 30
    scene.down()


def test_a_link_paused_by_us_does_not_kill_itself() -> None:
    scene = Scene(
        enquire_link_s=30.0,
        enquire_link_timeout_s=10.0,
        smsc={"session": {"response_timeout_s": 1e6}},
    ).up()
    answers = scene.submit()
    scene.link.pause_reading()
    scene.network.wait(30.0)
    scene.link.resume_reading()
    scene.network.turn()
    assert isinstance(answers[0], Accepted)
    scene.link.pause_reading()
    scene.smsc.peer.drop()
    scene.network.wait(40.0)
    assert not scene.network.links[-1][0].reading
    scene.link.resume_reading()
    scene.network.turn()
    assert scene.network.links[-1][0].reading
    scene.down()


def test_a_resting_link_keeps_its_time() -> None:
    scene = Scene(enquire_link_s=30.0, enquire_link_timeout_s=10.0).up()
    ours, _ = scene.network.links[0]
    scene.smsc.peer.send(a_deliver(1))
    scene.network.turn()
    (box,) = scene.app.boxes
    box.rest()
    assert not ours.reading
    box.wake()
    assert ours.reading
    scene.link.pause_reading()
    box.rest()
    box.wake()
    assert not ours.reading, "whoever paused it has the last word"
    scene.link.resume_reading()
    box.rest()
    scene.network.wait(41.0)
    assert scene.link.counts.lost == 1, "silence proves as much as ever"
    box.wake()
    scene.network.wait(5.0)
    assert scene.link.bound
    scene.down()


def test_a_paused_link_stops_as_quickly_as_any() -> None:
    scene = Scene().up()
    scene.link.pause_reading()
    answers = scene.submit()
    refused: list[object] = []
    scene.smsc.peer.send(a_deliver(1)).addCallback(refused.append)
    stopped: list[None] = []
    scene.link.stop().addCallback(stopped.append)
    scene.network.turn()
    assert stopped == [None]
    assert isinstance(answers[0], Accepted)
    assert refused == [Refused(Status.ESME_RSYSERR)]
    assert scene.app.boxes == []
    scene.down()


def test_pausing_a_link_that_is_down_holds_the_next_connection() -> None:
    scene = Scene()
    scene.link.pause_reading()
    scene.link.start()
    scene.network.turn()
    assert scene.link.bound
    assert not scene.network.links[0][0].reading
    scene.link.resume_reading()
    scene.down()
    scene.link.resume_reading()


def test_a_peer_that_does_not_read_is_dropped_at_a_bound() -> None:
    scene = Scene(write_buffer_max=2_000).up()
    ours, theirs = scene.network.links[0]
    ours.BUFFER_MAX = 100
    scene.smsc.peer.hold()
    for number in range(1, 100):
        theirs.write(encode(Pdu(Command.ENQUIRE_LINK, 0, number)) * 2)
        scene.network.turn(2)
    assert ours.aborted
    assert scene.link.counts.lost == 1
    scene.network.wait(5.0)
    assert scene.link.bound
    scene.down()


def test_what_waited_for_a_slow_peer_goes_when_it_reads_again() -> None:
    scene = Scene(window_max=50).up()
    ours, _ = scene.network.links[0]
    ours.BUFFER_MAX = 100
    scene.smsc.peer.hold()
    answers = scene.submit(20)
    scene.network.turn()
    assert len(ours.writes) < 10
    scene.smsc.peer.unhold()
    scene.network.turn()
    assert len(answers) == 20
    assert len(scene.smsc.pdus) == 20
    scene.down()


def test_leaving_a_peer_that_does_not_read_is_an_abort_in_the_end() -> None:
    scene = Scene(drain_s=1.0, unbind_s=1.0).up()
    ours, _ = scene.network.links[0]
    ours.BUFFER_MAX = 0
    scene.smsc.peer.hold()
    scene.smsc.peer.session.outbox.pause()
    scene.submit(1)
    stopped: list[None] = []
    scene.link.stop().addCallback(stopped.append)
    scene.network.wait(3.0)
    assert stopped == []
    scene.network.wait(5.0)
    assert stopped == [None]
    assert ours.aborted
    scene.down()


# Our own errors


@pytest.mark.parametrize("moment", [*LinkState][1:5])
def test_an_application_that_raises_when_told_of_a_state_does_not_stop_the_link(
    moment: LinkState, criticals: Criticals
) -> None:
    scene = Scene()
    raised: list[bool] = []

    def broken(link: Link) -> None:
        if link.state is moment and not raised:
            raised.append(True)
            raise ZeroDivisionError("a bug in on_state")

    scene.link._on_state = broken
    scene.up()
    scene.smsc.peer.drop()
    scene.network.wait(5.0)
    assert scene.link.bound
    assert raised
    assert "the application failed" in criticals.take()[0]
    scene.down()


def test_an_application_that_raises_at_an_alert_loses_nobody_elses_answer(
    criticals: Criticals,
) -> None:
    scene = Scene().up()

    def broken(link: Link, pdu: Pdu) -> None:
        raise ZeroDivisionError("a bug in on_told")

    scene.link._on_told = broken
    answers = scene.submit()
    scene.smsc.peer.tell(build(Command.ALERT_NOTIFICATION, source_addr=b"1", esme_addr=b"2"))
    scene.network.turn()
    assert isinstance(answers[0], Accepted)
    assert criticals.take()
    scene.down()


def test_an_error_of_ours_after_the_end_still_closes(criticals: Criticals) -> None:
    scene = Scene().up()
    bind = scene.link._binds[0]
    happened = bind.happened

    def broken(*args: object) -> None:
        happened(*args)  # type: ignore[arg-type]
        raise ZeroDivisionError("a bug in the owner")

    bind.happened = broken  # type: ignore[method-assign, assignment]
    scene.smsc.peer.write_raw(bytes(16))
    scene.network.turn()
    assert scene.network.links[0][0].aborted
    del bind.happened
    assert criticals.take()
    scene.network.wait(5.0)
    assert scene.link.bound
    scene.down()


def test_an_error_of_ours_drops_the_connection_and_nothing_else(criticals: Criticals) -> None:
    scene = Scene().up()
    bind = scene.link._binds[0]

    def broken(*args: object) -> None:
        raise ZeroDivisionError("a bug in the owner")

    bind.happened = broken  # type: ignore[method-assign, assignment]
    scene.smsc.peer.send(a_deliver(1))
    scene.network.turn(3)
    assert scene.network.links[0][0].aborted
    first, second = criticals.take()
    assert "an error while handling a connection" in first
    assert "reporting a dropped connection failed" in second
    del bind.happened
    scene.network.wait(5.0)
    assert scene.link.bound
    bind.happened = broken  # type: ignore[method-assign, assignment]
    scene.smsc.peer.drop()
    scene.network.turn(3)
    del bind.happened
    assert "reporting a lost connection failed" in criticals.take()[0]
    scene.network.wait(5.0)
    assert scene.link.bound
    scene.down()


def test_an_error_of_ours_after_we_closed_changes_nothing(criticals: Criticals) -> None:
    scene = Scene().up()
    bind = scene.link._binds[0]
    happened = bind.happened

    def broken(driver: Driver, events: list[Event], read_at: float) -> None:
        happened(driver, events, read_at)
        if driver.session.state is not State.CLOSED:
            driver.end(End.DROPPED)
            driver.write_raw(b"too late")
            raise ZeroDivisionError("a bug in the owner")

    bind.happened = broken  # type: ignore[method-assign]
    scene.smsc.peer.send(a_deliver(1))
    scene.network.turn()
    del bind.happened
    assert scene.network.links[0][0].aborted
    assert len(criticals.take()) == 1
    scene.network.wait(5.0)
    assert scene.link.bound
    scene.down()


def test_an_error_of_ours_before_anything_was_said(criticals: Criticals) -> None:
    scene = Scene()
    bind = scene.link._binds[0]

    def broken(driver: object) -> None:
        del bind.opened
        raise ZeroDivisionError("a bug in the owner")

    bind.opened = broken  # type: ignore[method-assign, assignment]
    scene.link.start()
    scene.network.wait(5.0)
    assert scene.link.bound
    assert criticals.take()
    scene.down()


def test_an_error_of_ours_while_time_passes(criticals: Criticals) -> None:
    scene = Scene(enquire_link_s=30.0).up()
    driver = scene.link._binds[0].driver
    assert driver is not None
    driver.session._timers = None  # type: ignore[assignment]
    scene.network.wait(31.0)
    assert scene.network.links[0][0].aborted
    assert criticals.take()
    scene.network.wait(5.0)
    assert scene.link.bound
    assert scene.link._binds[0].failures == 1
    scene.down()


def test_settings_that_no_bind_can_carry_fail_at_once() -> None:
    with pytest.raises(EncodeError, match="system_id"):
        Scene(system_id="sixteen characters")


def test_the_rate_in_force_can_be_seen() -> None:
    scene = Scene(rate_max=100.0)
    assert scene.link.rate == 100.0
    scene.up()
    scene.smsc.answering = lambda peer, pdu: peer.answer(pdu, Status.ESME_RTHROTTLED)
    scene.submit()
    scene.network.turn()
    assert scene.link.rate == 50.0
    scene.down()


def test_a_link_needs_nobody_to_tell() -> None:
    network = Network()
    link = Link(
        LinkSettings(name="acme", host="smsc.example", port=2775, system_id="ppcd"),
        reactor=network,
        inbound=App(),
        random=Fixed(),
        endpoint=network,
    )
    link.drop()
    link.start()
    link.stop()
    network.turn()
    assert link.state is LinkState.STOPPED


def test_a_transport_without_tcp_is_good_enough() -> None:
    scene = Scene()
    driver = scene.smsc.listener.accept(None)
    assert driver is not None
    transport = StringTransport()
    driver.makeConnection(transport)
    driver.dataReceived(encode(Pdu(Command.ENQUIRE_LINK, 0, 7)))
    assert len(transport.value()) == 16
    driver.connectionLost(Failure(ConnectionDone()))
    assert scene.network.getDelayedCalls() == []


def test_a_state_named_bound_is_the_only_one_that_sends() -> None:
    scene = Scene()
    assert scene.link.room == 0
    scene.link.start()
    assert scene.link.state is LinkState.BINDING
    assert isinstance(scene.submit()[0], NotSent)
    scene.network.turn()
    assert scene.link.room == 10
    assert scene.smsc.peer.session.state is State.BOUND_TRX
    scene.down()
