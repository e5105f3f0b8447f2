"""One connection's conversation, second by second."""

import itertools
from typing import Any

import pytest

from ppcd.billing.diameter.codes import BASE, Code, Command, Flag
from ppcd.billing.diameter.exchange import (
    LATE_MAX,
    Answered,
    Ended,
    Exchange,
    Expired,
    Odd,
    Opened,
    Pace,
    State,
    Suspected,
)
from ppcd.billing.diameter.octets import Message, avp, u32_avp
from tests.billing.diameter.messages import (
    OURS,
    a_cea,
    a_dwa,
    a_request,
    answer_to,
    cut,
    origin,
)

PACE = Pace(answer_s=10, watchdog_s=30, watchdog_jitter_s=0, greeting_s=5, late_s=600)


def greeted(**changes: Any) -> tuple[Exchange, Message]:
    """A conversation whose CER is on its way."""
    exchange = Exchange(OURS, PACE, first_id=0xFFFFFFFE, jitter=itertools.repeat(0.5), **changes)
    exchange.greet("127.0.0.1", 0)
    [cer] = cut(exchange.data_to_send())
    return exchange, cer


def opened() -> Exchange:
    """An open one, at 0 s."""
    exchange, cer = greeted()
    assert exchange.receive_data(a_cea(cer), 0) == []
    [dwr] = cut(exchange.data_to_send())
    assert exchange.receive_data(a_dwa(dwr), 0) == [Opened("ocs.operator.example")]
    return exchange


def asked(exchange: Exchange, token: str = "a", *, now: float = 0, repeat: bool = False) -> Message:
    exchange.ask(token, b"", now, end_to_end=7, repeat=repeat)
    [ccr] = cut(exchange.data_to_send())
    return ccr


def why(events: list[Any]) -> str:
    assert isinstance(events[-1], Ended)
    return events[-1].why


def test_nothing_is_asked_before_greeting_and_watchdog_are_answered() -> None:
    exchange, cer = greeted()
    assert (cer.command, cer.application, cer.flags) == (257, BASE, Flag.REQUEST)
    assert not exchange.is_open
    exchange.receive_data(a_cea(cer), 0)
    assert not exchange.is_open
    [dwr] = cut(exchange.data_to_send())
    exchange.receive_data(a_dwa(dwr), 0)
    assert exchange.is_open


def test_after_a_failure_more_watchdogs_must_be_answered() -> None:
    exchange, cer = greeted(watchdogs_first=3)
    exchange.receive_data(a_cea(cer), 0)
    for now in (0, 30):
        [dwr] = cut(exchange.data_to_send())
        assert exchange.receive_data(a_dwa(dwr), now) == []
        assert exchange.tick(now + 30) == []
    [dwr] = cut(exchange.data_to_send())
    assert exchange.receive_data(a_dwa(dwr), 60) == [Opened("ocs.operator.example")]


def test_hop_by_hop_identifiers_begin_anew_after_the_last() -> None:
    exchange = opened()
    assert asked(exchange).hop_by_hop == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (u32_avp(Code.RESULT_CODE, 3010) + origin(), "refuses us with 3010"),
        (origin(), "refuses us with nothing"),
        (u32_avp(Code.RESULT_CODE, 2001), "does not say who it is"),
        (u32_avp(Code.RESULT_CODE, 2001) + origin(), "does no credit control"),
        (
            u32_avp(Code.RESULT_CODE, 2001)
            + origin()
            + u32_avp(Code.AUTH_APPLICATION_ID, 16777238),
            "does no credit control",
        ),
        (b"\0\0\0\0", "can't be read"),
    ],
)
def test_a_greeting_that_is_not_good_ends_it(body: bytes, said: str) -> None:
    exchange, cer = greeted()
    assert said in why(exchange.receive_data(a_cea(cer, body), 0))
    assert exchange.state is State.CLOSED
    assert exchange.next_deadline() is None


@pytest.mark.parametrize(
    "application",
    [
        u32_avp(Code.AUTH_APPLICATION_ID, 0xFFFFFFFF),
        avp(Code.VENDOR_SPECIFIC_APPLICATION_ID, u32_avp(Code.AUTH_APPLICATION_ID, 4)),
    ],
    ids=["relay", "under a vendor"],
)
def test_relays_and_vendors_forms_will_do(application: bytes) -> None:
    exchange, cer = greeted()
    body = u32_avp(Code.RESULT_CODE, 2001) + origin() + application
    assert exchange.receive_data(a_cea(cer, body), 0) == []
    assert exchange.state is State.PROBED


def test_another_peer_than_the_named_one_is_refused_and_case_does_not_count() -> None:
    exchange, cer = greeted(peer_host="other.operator.example")
    assert "and not" in why(exchange.receive_data(a_cea(cer), 0))
    exchange, cer = greeted(peer_host="OCS.operator.example")
    assert exchange.receive_data(a_cea(cer), 0) == []


def test_a_greeting_must_be_answered_first_and_in_time() -> None:
    exchange, _ = greeted()
    assert "before the answer" in why(exchange.receive_data(a_request(Command.DEVICE_WATCHDOG), 0))
    exchange, _ = greeted()
    assert exchange.tick(4.9) == []
    assert exchange.next_deadline() == 5
    assert why(exchange.tick(5)) == "no answer to our greeting"


def test_a_request_is_answered_by_its_hop_by_hop_identifier() -> None:
    exchange = opened()
    first, second = asked(exchange, "a"), asked(exchange, "b", repeat=True)
    assert first.flags == Flag.REQUEST | Flag.PROXIABLE
    assert second.flags == Flag.REQUEST | Flag.PROXIABLE | Flag.RETRANSMITTED
    assert (first.application, first.end_to_end) == (4, 7)
    events = exchange.receive_data(answer_to(second, b"") + answer_to(first, b""), 1)
    assert [(e.token, e.late) for e in events if isinstance(e, Answered)] == [
        ("b", False),
        ("a", False),
    ]
    assert exchange.in_flight == 0


def test_what_gets_no_answer_expires_and_is_recognised_when_it_comes_late() -> None:
    exchange = opened()
    ccr = asked(exchange, now=1)
    assert exchange.next_deadline() == 11
    assert exchange.tick(10.9) == []
    assert exchange.tick(11) == [Expired("a")]
    assert exchange.in_flight == 0
    [event] = exchange.receive_data(answer_to(ccr, b""), 20)
    assert isinstance(event, Answered)
    assert event.late
    [event] = exchange.receive_data(answer_to(ccr, b""), 20)
    assert isinstance(event, Odd)


def test_late_answers_are_waited_for_with_a_bound() -> None:
    exchange = opened()
    old = asked(exchange, "old")
    exchange.tick(10)
    exchange.tick(611)
    assert isinstance(exchange.receive_data(answer_to(old, b""), 611)[-1], Odd)
    exchange.data_to_send()  # a watchdog
    for number in range(LATE_MAX + 1):
        exchange.ask(number, b"", 611, end_to_end=1, repeat=False)
    [first, *_, last] = cut(exchange.data_to_send())
    exchange.tick(621)
    assert isinstance(exchange.receive_data(answer_to(first, b""), 622)[-1], Odd)
    assert isinstance(exchange.receive_data(answer_to(last, b""), 622)[-1], Answered)


def test_a_silent_peer_is_tested_suspected_and_left() -> None:
    exchange = opened()
    assert exchange.tick(29) == []
    assert exchange.data_to_send() == b""
    assert exchange.tick(30) == []
    [dwr] = cut(exchange.data_to_send())
    assert dwr.command == Command.DEVICE_WATCHDOG
    assert exchange.tick(60) == [Suspected()]
    assert not exchange.is_open
    assert why(exchange.tick(90)) == "the peer is silent"


def test_a_suspect_that_speaks_is_used_again() -> None:
    exchange = opened()
    exchange.tick(30)
    [dwr] = cut(exchange.data_to_send())
    exchange.tick(60)
    assert exchange.receive_data(a_dwa(dwr), 61) == [Opened("ocs.operator.example")]
    assert exchange.is_open
    assert exchange.next_deadline() == 91


def test_the_peers_watchdog_is_answered_at_once_and_counts_as_life() -> None:
    exchange = opened()
    assert exchange.receive_data(a_request(Command.DEVICE_WATCHDOG), 20) == []
    [dwa] = cut(exchange.data_to_send())
    assert (dwa.command, dwa.flags, dwa.hop_by_hop) == (280, 0, 77)
    code = dwa.avps().one(Code.RESULT_CODE)
    assert code is not None
    assert code.u32() == 2001
    assert exchange.next_deadline() == 50


@pytest.mark.parametrize(("cause", "unwanted"), [(0, False), (1, True), (2, True)])
def test_a_goodbye_is_answered_and_nothing_new_is_asked(cause: int, unwanted: bool) -> None:
    exchange = opened()
    ccr = asked(exchange)
    dpr = a_request(Command.DISCONNECT_PEER, u32_avp(Code.DISCONNECT_CAUSE, cause))
    assert exchange.receive_data(dpr, 1) == []
    [dpa] = cut(exchange.data_to_send())
    assert dpa.command == Command.DISCONNECT_PEER
    assert not exchange.is_open
    # What was asked before may still be answered.
    [event] = exchange.receive_data(answer_to(ccr, b""), 2)
    assert isinstance(event, Answered)
    [ended] = exchange.tick(11)
    assert ended == Ended("left", (), orderly=True, unwanted=unwanted)


def test_we_say_goodbye_and_wait_a_little_for_the_answer() -> None:
    exchange = opened()
    assert exchange.leave(0) == []
    assert exchange.leave(0) == []
    [dpr] = cut(exchange.data_to_send())
    crossing = a_request(Command.DISCONNECT_PEER)
    assert exchange.receive_data(crossing, 0) == []
    stranger = answer_to(Message(0, dpr.command, 0, 5, 5, b""), b"")
    assert exchange.receive_data(stranger, 0) == []
    assert why(exchange.receive_data(answer_to(dpr, b""), 1)) == "left"
    exchange = opened()
    exchange.leave(0)
    assert why(exchange.tick(2)) == "left"
    exchange, _ = greeted()
    assert why(exchange.leave(0)) == "we are leaving"


def test_requests_that_are_not_for_us_are_refused_as_unsupported() -> None:
    exchange = opened()
    [event] = exchange.receive_data(a_request(258), 1)
    assert isinstance(event, Odd)
    [answer] = cut(exchange.data_to_send())
    assert (answer.command, answer.flags) == (258, Flag.ERROR)
    code = answer.avps().one(Code.RESULT_CODE)
    assert code is not None
    assert code.u32() == 3001


def test_what_is_unanswered_at_the_end_comes_back_once() -> None:
    exchange = opened()
    asked(exchange, "a")
    asked(exchange, "b")
    assert exchange.end("lost") == [Ended("lost", ("a", "b"), orderly=False, unwanted=False)]
    assert exchange.end("lost") == []
    assert exchange.tick(1000) == []


def test_broken_octets_end_it_after_what_was_good() -> None:
    exchange = opened()
    ccr = asked(exchange)
    answered, ended = exchange.receive_data(answer_to(ccr, b"") + b"\x03\0\0\x14", 1)
    assert isinstance(answered, Answered)
    assert "make no messages" in why([ended])


def test_a_message_that_can_not_be_read_is_passed_over() -> None:
    exchange = opened()
    [event] = exchange.receive_data(a_request(258, b"\0\0\0\0"), 1)
    assert isinstance(event, Odd)
    assert exchange.is_open


def test_nothing_is_read_after_the_end() -> None:
    exchange, cer = greeted()
    refusal = u32_avp(Code.RESULT_CODE, 3010) + origin()
    events = exchange.receive_data(a_cea(cer, refusal) + a_cea(cer), 0)
    assert len(events) == 1
