"""Sessions: states, answers to what nobody asked for, and every request handed back once."""

from __future__ import annotations

import pytest

from ppcd.smpp import (
    Command,
    EncodeError,
    End,
    Oddity,
    Pdu,
    Role,
    State,
    Status,
    Tag,
    build,
    encode,
)
from ppcd.smpp.events import (
    Answered,
    BindRequested,
    Bound,
    Ended,
    Expired,
    Odd,
    PeerUnbinds,
    Requested,
    Told,
    Unsent,
)
from tests.smpp.conversation import (
    Talk,
    a_bind,
    a_deliver,
    a_submit,
    an_answer,
    bound_esme,
    bound_smsc,
)

R = 0x8000_0000


def kinds(events: list[object]) -> list[type]:
    return [type(event) for event in events]


# Binding


@pytest.mark.parametrize("state", [State.BOUND_TRX, State.BOUND_TX, State.BOUND_RX])
def test_each_kind_of_bind_leads_to_its_state_on_both_sides(state: State) -> None:
    assert bound_esme(state).session.state is state
    assert bound_smsc(state).session.state is state


def test_a_refused_bind_ends_the_session_with_its_status() -> None:
    talk = Talk()
    talk.session.bind(a_bind(), talk.now)
    (bind,) = talk.said()
    assert talk.session.state is State.BINDING
    (ended,) = talk.hear(an_answer(bind, Status.ESME_RINVPASWD))
    assert ended == Ended(End.BIND_REFUSED, [], [], Status.ESME_RINVPASWD)
    assert talk.session.state is State.CLOSED
    assert talk.hear(a_deliver(1)) == []


def test_a_bind_nacked_with_status_0_is_still_a_refusal() -> None:
    talk = Talk()
    talk.session.bind(a_bind(), talk.now)
    (bind,) = talk.said()
    (ended,) = talk.hear(Pdu(Command.GENERIC_NACK, 0, bind.sequence))
    assert isinstance(ended, Ended)
    assert ended.end is End.BIND_REFUSED


def test_an_unanswered_bind_ends_in_time() -> None:
    talk = Talk(session_init_s=10.0)
    talk.session.bind(a_bind(), talk.now)
    assert talk.wait(9.9) == []
    assert talk.wait(0.2) == [Ended(End.BIND_LATE, [], [])]
    assert talk.session.next_deadline(talk.now) is None


def test_nobody_binding_is_shown_out() -> None:
    talk = Talk(Role.SMSC, session_init_s=5.0)
    assert talk.wait(5.0) == [Ended(End.BIND_LATE, [], [])]


def test_a_refused_esme_may_try_again_on_the_same_connection() -> None:
    talk = Talk(Role.SMSC)
    (asked,) = talk.hear(a_bind(sequence=5))
    assert isinstance(asked, BindRequested)
    talk.session.answer_bind(an_answer(asked.pdu, Status.ESME_RINVPASWD), talk.now)
    assert [(p.command, p.status) for p in talk.said()] == [
        (Command.BIND_TRANSCEIVER_RESP, Status.ESME_RINVPASWD)
    ]
    assert talk.session.state is State.OPEN
    assert kinds(talk.hear(a_bind(sequence=6))) == [BindRequested]


def test_a_bind_answered_after_its_asker_left_does_nothing() -> None:
    talk = Talk(Role.SMSC)
    (asked,) = talk.hear(a_bind(sequence=5))
    assert isinstance(asked, BindRequested)
    talk.session.end(End.LOST, talk.now)
    assert talk.session.answer_bind(an_answer(asked.pdu), talk.now) == []
    assert talk.said() == []


def test_a_second_bind_is_told_so() -> None:
    talk = bound_smsc()
    (odd,) = talk.hear(a_bind(sequence=9))
    assert odd == Odd(a_bind(sequence=9), Oddity.WRONG_STATE, Status.ESME_RALYBND)
    (answer,) = talk.said()
    assert (answer.command, answer.status, answer.sequence) == (
        Command.BIND_TRANSCEIVER_RESP,
        Status.ESME_RALYBND,
        9,
    )
    assert talk.session.state is State.BOUND_TRX


def test_an_esme_is_not_bound_to() -> None:
    talk = bound_esme()
    talk.hear(a_bind(sequence=9))
    (answer,) = talk.said()
    assert answer.status == Status.ESME_RINVBNDSTS


def test_strangers_get_three_answers_and_are_shown_out() -> None:
    talk = Talk(Role.SMSC)
    events = talk.hear(*[a_submit(i) for i in range(1, 7)])
    assert kinds(events) == [Odd, Odd, Odd, Odd, Ended]
    assert isinstance(events[-1], Ended)
    assert events[-1].end is End.STRAYS
    assert [p.status for p in talk.said()] == [Status.ESME_RINVBNDSTS] * 4


# The matrix


@pytest.mark.parametrize(
    ("state", "command", "allowed"),
    [
        (State.BOUND_TX, Command.SUBMIT_SM, True),
        (State.BOUND_TX, Command.REPLACE_SM, True),
        (State.BOUND_TX, Command.DATA_SM, True),
        (State.BOUND_TRX, Command.QUERY_SM, True),
        (State.BOUND_RX, Command.SUBMIT_SM, False),
        (State.BOUND_RX, Command.DATA_SM, False),
        (State.BOUND_TRX, Command.DELIVER_SM, False),
    ],
)
def test_an_esme_sends_what_its_bind_allows(state: State, command: Command, allowed: bool) -> None:
    talk = bound_esme(state)
    pdu = build(command)
    assert talk.session.may_send(command) is allowed
    assert talk.session.submit(pdu, "token", talk.now) is allowed
    assert len(talk.said()) == allowed


@pytest.mark.parametrize("state", [State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX])
def test_an_esme_takes_messages_only_where_it_receives(state: State) -> None:
    talk = bound_esme(state)
    events = talk.hear(a_deliver(1), build(Command.DATA_SM, sequence=2), a_deliver(3))
    if state is State.BOUND_TX:
        assert kinds(events) == [Odd] * 3
        assert [p.status for p in talk.said()] == [Status.ESME_RINVBNDSTS] * 3
    else:
        (requested,) = events
        assert isinstance(requested, Requested)
        assert [p.sequence for p in requested.batch] == [1, 2, 3]
        assert talk.said() == []


# What is answered to what


def test_enquire_link_is_answered_in_any_state_and_ahead_of_data() -> None:
    for talk in (Talk(), Talk(Role.SMSC), bound_esme(), bound_smsc()):
        talk.hear(Pdu(Command.ENQUIRE_LINK, 0, 42))
        (answer,) = talk.said()
        assert (answer.command, answer.sequence) == (Command.ENQUIRE_LINK_RESP, 42)
    talk = bound_esme()
    assert talk.submit("token")
    talk.hear(Pdu(Command.ENQUIRE_LINK, 0, 42))
    assert [p.command for p in talk.said()] == [Command.ENQUIRE_LINK_RESP, Command.SUBMIT_SM]


def test_an_unknown_command_is_nacked_and_the_link_stays() -> None:
    talk = bound_esme()
    events = talk.hear(Pdu(0x00010101, 0, 9), a_deliver(10))
    assert kinds(events) == [Odd, Requested]
    (nack,) = talk.said()
    assert (nack.command, nack.status, nack.sequence) == (
        Command.GENERIC_NACK,
        Status.ESME_RINVCMDID,
        9,
    )


@pytest.mark.parametrize(
    "command", [0x8001_0101, Command.SUBMIT_SM_RESP, Command.GENERIC_NACK, Command.UNBIND_RESP]
)
def test_answers_to_nothing_are_noted_and_never_answered(command: int) -> None:
    talk = bound_esme()
    (odd,) = talk.hear(Pdu(command, 3, 999))
    assert isinstance(odd, Odd)
    assert odd.oddity is Oddity.UNMATCHED
    assert talk.said() == []


def test_a_malformed_request_gets_its_own_response_and_the_link_stays() -> None:
    talk = bound_esme()
    cut = encode(a_deliver(5))[:-2]
    cut = len(cut).to_bytes(4, "big") + cut[4:]
    events = talk.hear(cut, a_deliver(6))
    assert kinds(events) == [Odd, Requested]
    assert isinstance(events[0], Odd)
    assert events[0].oddity is Oddity.MALFORMED
    (answer,) = talk.said()
    assert (answer.command, answer.status, answer.sequence) == (
        Command.DELIVER_SM_RESP,
        Status.ESME_RINVMSGLEN,
        5,
    )


def test_a_malformed_alert_is_noted_and_not_answered() -> None:
    talk = bound_esme()
    (odd,) = talk.hear(Pdu(Command.ALERT_NOTIFICATION, 0, 3, b"\1"))
    assert isinstance(odd, Odd)
    assert odd.oddity is Oddity.MALFORMED
    assert talk.said() == []


def test_alerts_and_outbinds_surface_at_an_esme_only() -> None:
    alert = build(Command.ALERT_NOTIFICATION, sequence=3, source_addr=b"1", esme_addr=b"2")
    assert bound_esme().hear(alert) == [Told(alert)]
    (odd,) = bound_smsc().hear(alert)
    assert isinstance(odd, Odd)
    assert odd.oddity is Oddity.WRONG_STATE


def test_an_smsc_tells_without_waiting_for_an_answer() -> None:
    talk = bound_smsc()
    talk.session.tell(build(Command.ALERT_NOTIFICATION, source_addr=b"1", esme_addr=b"2"))
    (alert,) = talk.said()
    assert alert.command == Command.ALERT_NOTIFICATION
    assert talk.session.outbox.in_flight == 0


def test_a_broken_length_delivers_what_came_before_nacks_and_closes() -> None:
    talk = bound_esme()
    bad = (8).to_bytes(4, "big") + bytes(12)
    events = talk.hear(a_deliver(1), bad, a_deliver(2))
    assert kinds(events) == [Requested, Ended]
    assert isinstance(events[1], Ended)
    assert events[1].end is End.FRAMING
    assert not events[1].end.abort
    (nack,) = talk.said()
    assert (nack.command, nack.status) == (Command.GENERIC_NACK, Status.ESME_RINVCMDLEN)


def test_an_smsc_gives_strangers_less_room() -> None:
    stranger = Talk(Role.SMSC, pdu_size_max_unbound=1024, pdu_size_max=16384)
    events = stranger.hear((1025).to_bytes(4, "big"))
    assert isinstance(events[0], Ended)
    known = bound_smsc(pdu_size_max_unbound=1024, pdu_size_max=16384)
    assert known.hear((16384).to_bytes(4, "big")) == []
    assert isinstance(bound_smsc().hear((16385).to_bytes(4, "big"))[0], Ended)


# Our requests


def test_an_answer_finds_its_request_by_number_in_any_order() -> None:
    talk = bound_esme()
    for token in "abc":
        assert talk.submit(token)
    a, b, c = talk.said()
    events = talk.hear(
        an_answer(c, message_id=b"3"), an_answer(a, message_id=b"1"), an_answer(b, 8)
    )
    assert [(e.token, e.pdu.status) for e in events if isinstance(e, Answered)] == [
        ("c", 0),
        ("a", 0),
        ("b", 8),
    ]
    assert talk.session.outbox.in_flight == 0


def test_answers_come_before_requests_of_the_same_read() -> None:
    talk = bound_esme()
    assert talk.submit("a")
    (submit,) = talk.said()
    events = talk.hear(a_deliver(1), an_answer(submit), a_deliver(2))
    assert kinds(events) == [Answered, Requested]


def test_an_answer_of_another_operation_leaves_the_request_waiting() -> None:
    talk = bound_esme()
    assert talk.submit("a")
    (submit,) = talk.said()
    (odd,) = talk.hear(Pdu(Command.QUERY_SM_RESP, 8, submit.sequence))
    assert isinstance(odd, Odd)
    assert odd.oddity is Oddity.WRONG_TYPE
    assert kinds(talk.hear(an_answer(submit))) == [Answered]


@pytest.mark.parametrize(
    "answer",
    [
        Pdu(Command.SUBMIT_SM_RESP, 0, 2, b"no end"),
        Pdu(Command.GENERIC_NACK, 0, 2),
    ],
)
def test_a_yes_that_cannot_be_read_is_neither_yes_nor_no(answer: Pdu) -> None:
    talk = bound_esme(response_timeout_s=10.0)
    assert talk.submit("a")
    talk.said()
    (odd,) = talk.hear(answer)
    assert isinstance(odd, Odd)
    assert odd.oddity is Oddity.MALFORMED_ANSWER
    assert talk.wait(10.0) == [Expired("a")]


def test_a_nack_with_a_status_is_an_answer() -> None:
    talk = bound_esme()
    assert talk.submit("a")
    (submit,) = talk.said()
    (answered,) = talk.hear(Pdu(Command.GENERIC_NACK, Status.ESME_RINVCMDID, submit.sequence))
    assert isinstance(answered, Answered)


def test_a_refusal_counts_even_with_an_unreadable_body() -> None:
    talk = bound_esme()
    assert talk.submit("a")
    talk.said()
    (answered,) = talk.hear(Pdu(Command.SUBMIT_SM_RESP, Status.ESME_RSYSERR, 2, b"no end"))
    assert isinstance(answered, Answered)


def test_no_answer_is_unknown_and_a_late_one_is_noted() -> None:
    talk = bound_esme(response_timeout_s=10.0)
    assert talk.submit("a")
    (submit,) = talk.said()
    assert talk.wait(9.9) == []
    assert talk.wait(0.1) == [Expired("a")]
    (odd,) = talk.hear(an_answer(submit))
    assert isinstance(odd, Odd)
    assert odd.oddity is Oddity.UNMATCHED


def test_requests_are_handed_back_once_when_the_session_ends() -> None:
    talk = bound_esme(window_max=2)
    for token in "abcd":
        assert talk.submit(token)
    events = talk.session.end(End.LOST, talk.now)
    assert events == [Ended(End.LOST, ["a", "b"], ["c", "d"])]
    assert talk.session.end(End.LOST, talk.now) == []
    assert not talk.submit("e")
    assert talk.wait(100.0) == []


def test_what_cannot_be_written_raises_at_the_caller_and_changes_nothing() -> None:
    talk = bound_esme()
    with pytest.raises(EncodeError):
        talk.session.submit(Pdu(Command.SUBMIT_SM, 1 << 40), "a", talk.now)
    assert talk.session.outbox.in_flight == talk.session.outbox.queued == 0


def test_sequence_numbers_wrap_and_skip_what_is_in_flight() -> None:
    talk = bound_esme()
    talk.session.outbox._next_sequence = 0x7FFF_FFFE
    for token in "abc":
        assert talk.submit(token)
    assert [p.sequence for p in talk.said()] == [0x7FFF_FFFE, 0x7FFF_FFFF, 1]
    talk.session.outbox._next_sequence = 0x7FFF_FFFE
    assert talk.submit("d")
    assert [p.sequence for p in talk.said()] == [2]


# Their requests


def test_a_batch_is_answered_in_one_piece_each_with_its_status() -> None:
    talk = bound_esme()
    (requested,) = talk.hear(a_deliver(1), a_deliver(2), build(Command.DATA_SM, sequence=3))
    assert isinstance(requested, Requested)
    assert len(requested.batch) == 3
    assert requested.batch.pdus is requested.batch.pdus
    assert talk.session.owed.unanswered == 3
    answers = requested.batch.answers([0, Status.ESME_RSYSERR, 0])
    talk.session.answer(answers, 3, talk.now)
    octets = talk.session.data_to_send()
    assert len(octets) == 3 * 17
    assert octets[:17] == encode(build(Command.DELIVER_SM_RESP, sequence=1))
    assert int.from_bytes(octets[17 + 8 : 17 + 12], "big") == Status.ESME_RSYSERR
    assert int.from_bytes(octets[34 + 4 : 34 + 8], "big") == Command.DATA_SM_RESP
    assert talk.session.owed.unanswered == 0


def test_answers_after_the_end_are_dropped() -> None:
    talk = bound_esme()
    (requested,) = talk.hear(a_deliver(1))
    assert isinstance(requested, Requested)
    talk.session.end(End.LOST, talk.now)
    assert talk.session.answer(requested.batch.answers([0]), 1, talk.now) == []
    assert talk.session.answer_with(an_answer(a_deliver(1)), talk.now) == []
    assert talk.session.data_to_send() == b""


def test_a_full_house_stops_reading_until_half_is_answered() -> None:
    talk = bound_esme(inbound_max=4)
    batches = []
    for sequence in range(1, 5):
        assert talk.session.owed.wants_reading
        (requested,) = talk.hear(a_deliver(sequence))
        assert isinstance(requested, Requested)
        batches.append(requested.batch)
    assert not talk.session.owed.wants_reading
    talk.session.paused()
    talk.session.answer(batches[0].answers([0]), 1, talk.now)
    assert not talk.session.owed.wants_reading
    talk.session.answer(batches[1].answers([0]), 1, talk.now)
    assert talk.session.owed.wants_reading


# Leaving


def test_leaving_waits_for_what_is_open_then_unbinds() -> None:
    talk = bound_esme(window_max=1)
    (requested,) = talk.hear(a_deliver(1))
    assert isinstance(requested, Requested)
    assert talk.submit("a")
    assert talk.submit("b")
    (submit,) = talk.said()
    assert talk.session.unbind(talk.now) == [Unsent("b")]
    assert not talk.submit("c")
    assert kinds(talk.hear(an_answer(submit))) == [Answered]
    assert talk.said() == []
    talk.session.answer(requested.batch.answers([0]), 1, talk.now)
    answer, unbind = talk.said()
    assert (answer.command, unbind.command) == (Command.DELIVER_SM_RESP, Command.UNBIND)
    assert talk.hear(an_answer(unbind)) == [Ended(End.UNBOUND, [], [])]


def test_leaving_does_not_wait_for_ever() -> None:
    talk = bound_esme(drain_s=5.0, unbind_s=3.0)
    assert talk.submit("a")
    talk.said()
    assert talk.session.unbind(talk.now) == []
    talk.session.unbind(talk.now)
    assert talk.wait(4.9) == []
    assert talk.wait(0.1) == []
    (unbind,) = talk.said()
    assert unbind.command == Command.UNBIND
    talk.session.unbind(talk.now)
    assert talk.wait(3.0) == [Ended(End.UNBIND_UNANSWERED, ["a"], [])]


def test_messages_that_come_while_leaving_are_asked_to_come_again() -> None:
    talk = bound_esme(not_now_status=Status.ESME_RSYSERR)
    talk.hear(a_deliver(1))
    talk.session.unbind(talk.now)
    (odd,) = talk.hear(a_deliver(2))
    assert isinstance(odd, Odd)
    assert (odd.oddity, odd.answered) == (Oddity.LEAVING, Status.ESME_RSYSERR)
    assert [p.status for p in talk.said()] == [Status.ESME_RSYSERR]


def test_where_no_status_means_later_silence_does() -> None:
    talk = bound_esme(not_now_status=None)
    talk.hear(a_deliver(1))
    talk.session.unbind(talk.now)
    (odd,) = talk.hear(a_deliver(2))
    assert isinstance(odd, Odd)
    assert odd.answered is None
    assert talk.said() == []


def test_a_message_that_crossed_our_unbind_is_not_refused() -> None:
    talk = bound_esme()
    talk.session.unbind(talk.now)
    talk.said()
    (odd,) = talk.hear(a_deliver(1))
    assert isinstance(odd, Odd)
    assert odd.oddity is Oddity.LEAVING
    assert talk.said() == []


def test_their_unbind_is_answered_after_what_is_open() -> None:
    talk = bound_esme()
    assert talk.submit("a")
    (submit,) = talk.said()
    events = talk.hear(a_deliver(1), Pdu(Command.UNBIND, 0, 8))
    assert kinds(events) == [PeerUnbinds, Requested]
    assert isinstance(events[1], Requested)
    assert talk.said() == []
    talk.session.answer(events[1].batch.answers([0]), 1, talk.now)
    (answered, ended) = talk.hear(an_answer(submit))
    assert isinstance(answered, Answered)
    assert ended == Ended(End.UNBOUND_BY_PEER, [], [])
    assert [p.command for p in talk.said()] == [Command.DELIVER_SM_RESP, Command.UNBIND_RESP]


def test_their_unbind_does_not_wait_for_ever() -> None:
    talk = bound_esme(drain_s=5.0)
    talk.hear(a_deliver(1), Pdu(Command.UNBIND, 0, 8))
    assert talk.wait(5.0) == [Ended(End.UNBOUND_BY_PEER, [], [])]
    (answer,) = talk.said()
    assert (answer.command, answer.sequence) == (Command.UNBIND_RESP, 8)


def test_both_unbind_at_once() -> None:
    talk = bound_esme()
    talk.session.unbind(talk.now)
    (ours,) = talk.said()
    assert talk.hear(Pdu(Command.UNBIND, 0, 8)) == []
    (answer,) = talk.said()
    assert answer.command == Command.UNBIND_RESP
    assert talk.hear(an_answer(ours)) == [Ended(End.UNBOUND, [], [])]


def test_an_unbind_before_a_bind_is_answered() -> None:
    talk = Talk(Role.SMSC)
    assert talk.hear(Pdu(Command.UNBIND, 0, 8), a_submit(9)) == [Ended(End.UNBOUND_BY_PEER, [], [])]
    assert [p.command for p in talk.said()] == [Command.UNBIND_RESP]


def test_leaving_before_a_bind_needs_no_words() -> None:
    talk = Talk()
    assert talk.session.unbind(talk.now) == [Ended(End.UNBOUND, [], [])]
    assert talk.said() == []
    assert talk.session.unbind(talk.now) == []


def test_a_connection_closed_instead_of_unbind_resp_is_a_good_end() -> None:
    talk = bound_esme()
    talk.session.unbind(talk.now)
    assert talk.session.end(End.LOST, talk.now) == [Ended(End.UNBOUND, [], [])]


# Timers


def test_an_idle_line_is_asked_and_the_answer_keeps_it() -> None:
    talk = bound_esme(enquire_link_s=30.0, enquire_link_timeout_s=10.0)
    assert talk.wait(29.9) == []
    assert talk.said() == []
    talk.wait(0.1)
    (enquiry,) = talk.said()
    assert enquiry.command == Command.ENQUIRE_LINK
    assert talk.hear(Pdu(Command.ENQUIRE_LINK_RESP, 0, enquiry.sequence)) == []
    assert talk.wait(29.9) == []


def test_an_unanswered_enquiry_aborts() -> None:
    talk = bound_esme(enquire_link_s=30.0, enquire_link_timeout_s=10.0)
    assert talk.submit("a")
    talk.said()
    talk.session.outbox.pause()  # the response timer has a test of its own
    assert talk.wait(39.9) == []
    (ended,) = talk.wait(0.1)
    assert ended == Ended(End.ENQUIRY_LOST, ["a"], [])
    assert ended.end.abort


def test_any_traffic_proves_life_even_without_the_answer() -> None:
    talk = bound_esme(enquire_link_s=30.0, enquire_link_timeout_s=10.0, inbound_max=100)
    talk.wait(35.0)
    talk.hear(a_deliver(1))
    assert talk.wait(29.0) == []
    assert [p.command for p in talk.said()] == [Command.ENQUIRE_LINK]
    talk.wait(1.0)
    (second,) = talk.said()
    assert second.command == Command.ENQUIRE_LINK
    assert talk.session.outbox.reserved == {second.sequence: Command.ENQUIRE_LINK}


def test_a_nacked_enquiry_proves_life_too() -> None:
    talk = bound_esme(enquire_link_s=30.0, enquire_link_timeout_s=10.0)
    talk.wait(30.0)
    (enquiry,) = talk.said()
    assert talk.hear(Pdu(Command.GENERIC_NACK, 3, enquiry.sequence)) == []
    assert talk.wait(20.0) == []


def test_an_enquiry_answered_as_something_else_is_odd_but_alive() -> None:
    talk = bound_esme(enquire_link_s=30.0, enquire_link_timeout_s=10.0)
    talk.wait(30.0)
    (enquiry,) = talk.said()
    (odd,) = talk.hear(Pdu(Command.UNBIND_RESP, 0, enquiry.sequence))
    assert isinstance(odd, Odd)
    assert odd.oddity is Oddity.WRONG_TYPE


def test_without_an_interval_nobody_is_asked() -> None:
    talk = bound_esme(enquire_link_s=None)
    assert talk.session.next_deadline(talk.now) is None
    assert talk.wait(10_000.0) == []


def test_no_messages_for_long_unbinds_where_that_is_wanted() -> None:
    talk = bound_esme(inactivity_s=100.0)
    for _ in range(3):
        talk.wait(33.0)
        for pdu in talk.said():
            talk.hear(Pdu(pdu.command | R, 0, pdu.sequence))
    talk.wait(1.0)
    assert [p.command for p in talk.said()] == [Command.UNBIND]


def test_a_pdu_that_never_ends_aborts() -> None:
    talk = bound_esme(incomplete_s=10.0)
    octets = encode(a_deliver(1))
    for at in range(9):
        assert talk.hear(octets[at : at + 1]) == []
        assert talk.wait(1.0) == []
    assert talk.wait(1.0) == [Ended(End.INCOMPLETE_PDU, [], [])]


def test_a_pdu_that_ends_in_time_stops_that_timer_and_the_next_has_its_own() -> None:
    talk = bound_esme(incomplete_s=10.0)
    octets = encode(a_deliver(1))
    talk.hear(octets[:20])
    talk.wait(9.0)
    assert kinds(talk.hear(octets[20:] + octets[:20])) == [Requested]
    assert talk.wait(9.0) == []
    assert kinds(talk.hear(octets[20:])) == [Requested]
    assert talk.wait(20.0) == []


def test_while_we_do_not_read_silence_proves_nothing() -> None:
    talk = bound_esme(
        enquire_link_s=30.0, enquire_link_timeout_s=10.0, response_timeout_s=10.0,
        incomplete_s=10.0,
    )  # fmt: skip
    assert talk.submit("a")
    talk.said()
    talk.hear(encode(a_deliver(1))[:20])
    talk.wait(1.0)
    talk.session.paused()
    assert talk.wait(300.0) == []
    assert [p.command for p in talk.said()] == [Command.ENQUIRE_LINK]
    talk.session.resumed(talk.now)
    assert talk.wait(9.9) == []
    events = talk.wait(0.1)
    assert set(kinds(events)) <= {Expired, Ended}
    assert Ended in kinds(events)


def test_a_resumed_line_with_nothing_open_has_its_whole_time() -> None:
    talk = bound_esme(enquire_link_s=30.0)
    talk.session.paused()
    talk.session.resumed(talk.now)
    assert talk.wait(29.0) == []
    assert talk.said() == []


def test_an_unmatched_bind_event_is_reported_once() -> None:
    talk = Talk()
    talk.session.bind(a_bind(), talk.now)
    (bind,) = talk.said()
    (bound,) = talk.hear(build(Command.BIND_TRANSCEIVER_RESP, sequence=bind.sequence))
    assert isinstance(bound, Bound)
    assert Tag.SC_INTERFACE_VERSION not in bound.pdu.tlvs
