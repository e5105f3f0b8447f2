"""The adapter over peers that the test plays: what was handed over, what was not, which peer."""

import itertools
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from ppcd.billing.diameter.adapter import DiameterBilling
from ppcd.billing.diameter.codes import Action, Code, Command, Flag
from ppcd.billing.diameter.driver import Driver
from ppcd.billing.diameter.exchange import Event, Exchange, Pace
from ppcd.billing.diameter.octets import Message, text_avp, u32_avp
from ppcd.billing.diameter.settings import DiameterBillingSettings
from ppcd.charge.debit import Debited, DebitOrder, DenialReason, Denied, NotSent, Unknown
from ppcd.charge.refund import Refunded
from tests.billing.adapter_contract import a_refund, an_order
from tests.billing.diameter.messages import OURS, SESSION, a_cea, a_dwa, a_request, answer_to, cut


class Transport(StringTransport):
    aborting = False

    def abortConnection(self) -> None:
        self.aborting = True
        self.disconnecting = True


@implementer(IStreamClientEndpoint)
class Peer:
    """The other end of one endpoint: takes connections, greets, answers what it is told to."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.transport = Transport()
        self.refuses = False
        self.connected = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        if self.refuses:
            result.errback(Failure(ConnectionRefusedError()))
            return result
        self.connected += 1
        self.transport = Transport()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        result.callback(self.protocol)
        return result

    def said(self) -> list[Message]:
        messages = cut(self.transport.value())
        self.transport.clear()
        return messages

    def says(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def opens(self) -> None:
        [cer] = self.said()
        self.says(a_cea(cer))
        [dwr] = self.said()
        self.says(a_dwa(dwr))

    def answers(self, request: Message, code: int = 2001, *, session: str = SESSION) -> None:
        body = text_avp(Code.SESSION_ID, session) + u32_avp(Code.RESULT_CODE, code)
        self.says(answer_to(request, body))

    def goes(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionRefusedError()))


class Bench:
    def __init__(self, peers: int = 1, **changes: Any) -> None:
        self.clock = Clock()
        self.peers = [Peer() for _ in range(peers)]
        described = {
            "kind": "diameter",
            "origin_host": "ppcd1.ppcd.example",
            "origin_realm": "ppcd.example",
            "session_identity": "ppcd.ppcd.example",
            "destination_realm": "operator.example",
            "service_context_id": "ppcd@operator.example",
            "peers": {f"peer{n}": {"host": "127.0.0.1"} for n in range(peers)},
            "plaintext_ok": True,
        }
        self.adapter = DiameterBilling(
            "main",
            DiameterBillingSettings.model_validate(described | changes),
            reactor=self.clock,
            random=Random(1),
            endpoints=self.peers,
        )

    def opened(self) -> "Bench":
        self.adapter.start()
        for peer in self.peers:
            peer.opens()
        return self

    def debits(self, order: DebitOrder | None = None, may_send: bool = True) -> list[Any]:
        """A list that the answer will be in."""
        return results(self.adapter.debit(order or an_order(), may_send=lambda: may_send))


def results(coroutine: Coroutine[Any, Any, Any]) -> list[Any]:
    found: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(found.append)
    return found


def test_a_debit_is_answered() -> None:
    bench = Bench().opened()
    answer = bench.debits()
    [ccr] = bench.peers[0].said()
    assert ccr.command == Command.CREDIT_CONTROL
    assert answer == []
    bench.peers[0].answers(ccr)
    assert answer == [Debited(SESSION)]


def test_a_refund_is_an_event_of_its_own_session() -> None:
    bench = Bench(abilities={"reversible": True}).opened()
    assert bench.adapter.refund_abilities.reversible
    answer = results(bench.adapter.refund(a_refund(), may_send=lambda: True))
    [ccr] = bench.peers[0].said()
    assert ccr.avps().one(Code.REQUESTED_ACTION).u32() == Action.REFUND_ACCOUNT
    session = ccr.avps().one(Code.SESSION_ID).text()
    assert session == "ppcd.ppcd.example;0;9001;refund_account"
    bench.peers[0].answers(ccr, session=session)
    assert answer == [Refunded(session)]


def test_a_refund_that_was_answered_late_is_found() -> None:
    bench = Bench(abilities={"reversible": True}, answer_timeout_s=1).opened()
    answer = results(bench.adapter.refund(a_refund(), may_send=lambda: True))
    [ccr] = bench.peers[0].said()
    bench.clock.advance(2)
    assert answer == [Unknown("no answer in 1 s")]
    session = ccr.avps().one(Code.SESSION_ID).text()
    bench.peers[0].answers(ccr, session=session)
    assert results(bench.adapter.query_refund(a_refund())) == [Refunded(session)]
    again = a_refund(attempt=2, repeat=True)
    assert results(bench.adapter.refund(again, may_send=lambda: True)) == [Refunded(session)]


def test_what_does_not_take_refunds_is_not_asked_for_one() -> None:
    bench = Bench().opened()
    [answer] = results(bench.adapter.refund(a_refund(), may_send=lambda: True))
    assert isinstance(answer, NotSent)
    assert bench.peers[0].said() == []


def test_without_a_peer_nothing_was_sent() -> None:
    bench = Bench(peer_wait_s=2)
    bench.peers[0].refuses = True
    bench.adapter.start()
    answer = bench.debits()
    bench.clock.advance(1.9)
    assert answer == []
    bench.clock.advance(0.2)
    assert answer == [NotSent("no Diameter peer is open")]


def test_a_debit_waits_a_little_for_a_peer_and_is_asked_then_whether_it_may() -> None:
    bench = Bench()
    bench.adapter.start()
    first, second = bench.debits(may_send=False), bench.debits(an_order("1002"))
    bench.clock.advance(1)
    bench.peers[0].opens()
    assert first == [NotSent("it may not be sent any more")]
    [ccr] = bench.peers[0].said()
    bench.peers[0].answers(ccr, session="ppcd.ppcd.example;0;1002")
    assert isinstance(second[0], Debited)
    assert len(bench.clock.getDelayedCalls()) == 1  # the watchdog


def test_no_answer_is_unknown_and_a_late_debit_is_told_the_next_time() -> None:
    bench = Bench().opened()
    answer = bench.debits()
    [ccr] = bench.peers[0].said()
    bench.clock.advance(10)
    assert answer == [Unknown("no answer in 10 s")]
    assert isinstance(results(bench.adapter.query(an_order()))[0], Unknown)
    bench.peers[0].answers(ccr)
    assert results(bench.adapter.query(an_order())) == [Debited(SESSION)]
    assert bench.debits(an_order(attempt=2, repeat=True)) == [Debited(SESSION)]
    assert bench.peers[0].said() == []


class Heard:
    """Fulfils flow's `LateAnswers`."""

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def debit(self, adapter: str, order: Any, answer: Any) -> None:
        self.answers.append((adapter, order, answer))

    refund = debit


def test_what_comes_after_its_time_is_told_at_once_and_nothing_else_is() -> None:
    bench = Bench(abilities={"reversible": True, "reserving": True}).opened()
    bench.adapter.late = heard = Heard()
    in_time = bench.debits(an_order("9"))
    [ccr] = bench.peers[0].said()
    bench.peers[0].answers(ccr, session="ppcd.ppcd.example;0;9")
    assert isinstance(in_time[0], Debited)
    orders = [an_order(), an_order("1002")]
    for order in orders:
        bench.debits(order)
    results(bench.adapter.refund(a_refund(), may_send=lambda: True))
    results(bench.adapter.reserve(an_order("1003"), may_send=lambda: True))
    bench.clock.advance(10)
    taken, refused, given_back, held = bench.peers[0].said()
    assert heard.answers == []
    bench.peers[0].answers(taken)
    bench.peers[0].answers(refused, 4012, session="ppcd.ppcd.example;0;1002")
    refund = "ppcd.ppcd.example;0;9001;refund_account"
    bench.peers[0].answers(given_back, session=refund)
    bench.peers[0].answers(held, session="ppcd.ppcd.example;0;1003;session")
    assert heard.answers == [
        ("main", orders[0], Debited(SESSION)),
        ("main", orders[1], Denied(DenialReason.INSUFFICIENT_FUNDS, "4012")),
        ("main", a_refund(), Refunded(refund)),
    ]


def test_a_late_refusal_is_not_told_as_the_answer_to_another_attempt() -> None:
    bench = Bench().opened()
    bench.debits()
    [ccr] = bench.peers[0].said()
    bench.clock.advance(10)
    bench.peers[0].answers(ccr, 4012)
    again = bench.debits(an_order(attempt=2, repeat=True))
    assert again == []
    [ccr] = bench.peers[0].said()
    assert ccr.flags & Flag.RETRANSMITTED


def test_a_lost_connection_makes_all_of_it_unknown_at_once() -> None:
    bench = Bench().opened()
    answers = [bench.debits(an_order(str(key))) for key in range(3)]
    bench.peers[0].goes()
    assert answers == [[Unknown("the connection was lost")]] * 3


def test_the_second_peer_is_used_while_the_first_is_away() -> None:
    bench = Bench(2).opened()
    first, second = bench.peers
    bench.debits()
    assert len(first.said()) == 1
    first.goes()
    answer = bench.debits(an_order("1002"))
    [ccr] = second.said()
    second.answers(ccr, session="ppcd.ppcd.example;0;1002")
    assert isinstance(answer[0], Debited)


def test_too_busy_goes_to_the_other_peer_and_only_then_back() -> None:
    bench = Bench(2).opened()
    answer = bench.debits()
    for peer in bench.peers:
        assert answer == []
        [ccr] = peer.said()
        assert not ccr.flags & Flag.RETRANSMITTED
        peer.answers(ccr, 3004)
    assert answer == [NotSent("3004 too busy")]


def test_too_busy_is_told_when_there_is_no_other() -> None:
    bench = Bench(2)
    bench.peers[1].refuses = True
    bench.adapter.start()
    bench.peers[0].opens()
    answer = bench.debits()
    [ccr] = bench.peers[0].said()
    bench.peers[0].answers(ccr, 3004)
    assert answer == [NotSent("3004 too busy")]


def test_an_error_answer_is_followed_without_the_t_flag_and_silence_with_it() -> None:
    bench = Bench().opened()
    flags = []
    for attempt, code in enumerate((3002, 3002, None, 2001), start=1):
        bench.debits(an_order(attempt=attempt, repeat=attempt > 1))
        [ccr] = [m for m in bench.peers[0].said() if m.command == Command.CREDIT_CONTROL]
        flags.append(bool(ccr.flags & Flag.RETRANSMITTED))
        if code is None:
            bench.clock.advance(10)
        else:
            bench.peers[0].answers(ccr, code)
    assert flags == [False, False, False, True]


def test_no_more_than_agreed_are_in_flight_at_one_peer() -> None:
    bench = Bench(in_flight_max=2).opened()
    answers = [bench.debits(an_order(str(key))) for key in range(3)]
    first, second = bench.peers[0].said()
    bench.peers[0].answers(first, session="ppcd.ppcd.example;0;0")
    assert isinstance(answers[0][0], Debited)
    [third] = bench.peers[0].said()
    late = bench.debits(an_order("9"))
    bench.clock.advance(2)
    assert late == [NotSent("no peer has room")]
    assert {second.end_to_end, third.end_to_end} == {1, 2}


def test_a_peer_that_does_not_read_is_given_nothing_more() -> None:
    bench = Bench().opened()
    transport = bench.peers[0].transport
    transport.producer.pauseProducing()
    answer = bench.debits()
    assert bench.peers[0].said() == []
    transport.producer.resumeProducing()
    assert len(bench.peers[0].said()) == 1
    assert answer == []


def test_a_peer_that_failed_is_dialled_again_and_first_watched() -> None:
    bench = Bench().opened()
    bench.peers[0].goes()
    bench.clock.advance(1)
    assert bench.peers[0].connected == 2
    bench.peers[0].opens()
    # One watchdog is not enough after a failure.
    assert not bench.adapter.peers[0].is_open
    for _ in range(2):
        bench.clock.advance(32)
        [dwr] = bench.peers[0].said()
        bench.peers[0].says(a_dwa(dwr))
    assert bench.adapter.peers[0].is_open


def test_pauses_between_attempts_grow_and_an_unwelcome_guest_waits_long() -> None:
    bench = Bench()
    bench.peers[0].refuses = True
    bench.adapter.start()
    waits = []
    for _ in range(8):
        [call] = bench.clock.getDelayedCalls()
        waits.append(call.getTime() - bench.clock.seconds())
        bench.clock.advance(waits[-1])
    assert all(wait <= 30 for wait in waits)
    assert 15 <= waits[-1] <= 30
    bench = Bench().opened()
    bench.clock.advance(0)
    bench.peers[0].says(a_request(Command.DISCONNECT_PEER, u32_avp(Code.DISCONNECT_CAUSE, 2)))
    bench.peers[0].goes()
    [call] = bench.clock.getDelayedCalls()
    assert call.getTime() - bench.clock.seconds() >= 150


def test_an_unreadable_peer_is_dropped() -> None:
    bench = Bench().opened()
    answer = bench.debits()
    bench.peers[0].says(b"\x09\0\0\0")
    assert bench.peers[0].transport.aborting
    assert isinstance(answer[0], Unknown)


def test_closing_waits_for_answers_then_says_goodbye() -> None:
    bench = Bench().opened()
    [peer] = bench.peers
    answer, waiting = bench.debits(), None
    [ccr] = peer.said()
    closed = results(bench.adapter.close())
    waiting = bench.debits(an_order("1002"))
    assert waiting == [NotSent("ppcd is stopping")]
    assert closed == []
    peer.answers(ccr)
    assert answer == [Debited(SESSION)]
    [dpr] = peer.said()
    assert dpr.command == Command.DISCONNECT_PEER
    peer.says(answer_to(dpr, u32_avp(Code.RESULT_CODE, 2001)))
    assert peer.transport.aborting
    peer.goes()
    bench.clock.advance(0)
    assert len(closed) == 1
    assert bench.clock.getDelayedCalls() == []


def test_closing_releases_who_waits_for_a_peer() -> None:
    bench = Bench()
    bench.peers[0].refuses = True
    bench.adapter.start()
    waiting = bench.debits()
    closed = results(bench.adapter.close())
    assert waiting == [NotSent("ppcd is stopping")]
    assert len(closed) == 1
    assert bench.clock.getDelayedCalls() == []
    bench.adapter.start()
    assert bench.clock.getDelayedCalls() == []


@pytest.fixture
def errors() -> Any:
    seen: list[str] = []

    def see(event: LogEvent) -> None:
        if event["log_level"] is LogLevel.error:
            seen.append(formatEvent(event))

    globalLogPublisher.addObserver(see)
    yield seen
    globalLogPublisher.removeObserver(see)


def test_a_fault_of_the_configuration_alarms_now_and_then(errors: list[str]) -> None:
    bench = Bench().opened()
    for pause_s in (0, 1, 10):
        bench.clock.advance(pause_s)
        answer = bench.debits()
        [ccr] = [m for m in bench.peers[0].said() if m.command == Command.CREDIT_CONTROL]
        bench.peers[0].answers(ccr, 5031)
        assert isinstance(answer[0], Denied)
    assert len(errors) == 2
    assert "5031" in errors[0]


def test_who_gave_up_waiting_disturbs_nobody() -> None:
    bench = Bench().opened()
    asked = Deferred.fromCoroutine(bench.adapter.debit(an_order(), may_send=lambda: True))
    asked.addErrback(lambda _: None)
    [ccr] = bench.peers[0].said()
    asked.cancel()
    bench.peers[0].answers(ccr)
    assert results(bench.adapter.query(an_order())) == [Debited(SESSION)]


def test_a_suspect_peer_is_passed_over_until_it_speaks_again() -> None:
    bench = Bench(2, watchdog_s=6).opened()
    first, second = bench.peers
    for _ in range(2):
        bench.clock.advance(8.5)
        for message in second.said():
            second.says(a_dwa(message))
    debit = bench.debits()
    assert [m.command for m in second.said()] == [Command.CREDIT_CONTROL]
    [dwr] = first.said()
    first.says(a_dwa(dwr))
    bench.debits(an_order("1002"))
    assert [m.command for m in first.said()] == [Command.CREDIT_CONTROL]
    assert debit == []


def test_odd_messages_are_answered_and_told_now_and_then() -> None:
    bench = Bench().opened()
    for number in range(3):
        bench.peers[0].says(a_request(258, number=number))
    assert len(bench.peers[0].said()) == 3
    assert bench.adapter.peers[0].is_open


def test_stopping_twice_or_without_a_start_is_one_stop() -> None:
    bench = Bench()
    assert len(results(bench.adapter.close())) == 1
    bench = Bench().opened()
    both = [results(bench.adapter.close()), results(bench.adapter.close())]
    [dpr] = bench.peers[0].said()
    bench.peers[0].says(answer_to(dpr, b""))
    bench.peers[0].goes()
    bench.clock.advance(0)
    assert [len(one) for one in both] == [1, 1]


class Failing:
    """Reports of a driver that fail."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.fails = False
        self.closed = 0
        exchange = Exchange(OURS, Pace(), first_id=1, jitter=itertools.repeat(0.5))
        self.driver = Driver(
            exchange, clock=self.clock, on_events=self._happened, on_closed=self._closed
        )
        self.driver.makeConnection(self.transport)

    def _happened(self, driver: Driver, events: list[Event]) -> None:
        if self.fails:
            raise RuntimeError("boom")

    def _closed(self, driver: Driver) -> None:
        self.closed += 1


@pytest.mark.parametrize("during", ["a read", "a tick", "the end"])
def test_an_error_of_ours_drops_the_connection_and_no_more(during: str, criticals: Any) -> None:
    failing = Failing()
    failing.fails = True
    if during == "a read":
        failing.driver.dataReceived(b"\x01")
    elif during == "a tick":
        failing.clock.advance(10)
    assert failing.transport.aborting is (during != "the end")
    failing.driver.connectionLost()
    assert failing.closed == 1
    assert failing.clock.getDelayedCalls() == []
    assert all("boom" in text for text in criticals.take())
