"""Window, queue and pace: how much goes out, and what complaints do to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.smpp import Advice, Command, End, Pdu, Status, Tag, build
from ppcd.smpp.events import Answered, Ended, Event, Unsent
from ppcd.smpp.throttle import Pace
from tests.smpp.conversation import Talk, an_answer, bound_esme


def refuse(talk: Talk, status: int = Status.ESME_RTHROTTLED) -> list[Event]:
    return talk.hear(*[an_answer(pdu, status) for pdu in talk.said()])


def test_no_more_than_the_window_is_in_flight() -> None:
    talk = bound_esme(window_max=3, queue_max=10)
    for token in range(5):
        assert talk.submit(token)
    first = talk.said()
    assert len(first) == 3
    assert talk.session.outbox.in_flight == 3
    assert talk.session.outbox.queued == 2
    assert talk.session.outbox.room_now(talk.now) == 0
    talk.hear(an_answer(first[0]))
    assert len(talk.said()) == 1


def test_a_full_queue_says_so() -> None:
    talk = bound_esme(window_max=1, queue_max=2)
    assert [talk.submit(token) for token in range(4)] == [True, True, True, False]


def test_what_queued_too_long_goes_back_unsent() -> None:
    talk = bound_esme(window_max=1, queue_s=20.0, response_timeout_s=100.0)
    assert talk.submit("a")
    talk.wait(1.0)
    assert talk.submit("b")
    talk.said()
    assert [e for e in talk.wait(20.0) if isinstance(e, Unsent)] == [Unsent("b")]


def test_a_rate_spreads_messages_over_time() -> None:
    talk = bound_esme(window_max=100, rate_max=5.0)
    for token in range(10):
        assert talk.submit(token)
    assert len(talk.said()) == 1
    for _ in range(9):
        talk.wait(0.2)
        assert len(talk.said()) == 1
    assert talk.session.outbox.room_now(talk.now) == 0
    talk.wait(0.2)
    assert talk.session.outbox.room_now(talk.now) == 90


def test_a_long_message_costs_its_segments() -> None:
    talk = bound_esme(window_max=100, rate_max=5.0)
    assert talk.session.submit(build(Command.SUBMIT_SM), "long", talk.now, segments=5)
    assert talk.submit("next")
    assert len(talk.said()) == 1
    talk.wait(0.9)
    assert talk.said() == []
    talk.wait(0.2)
    assert len(talk.said()) == 1


def test_a_throttled_message_is_sent_again_first_and_with_a_new_number() -> None:
    talk = bound_esme(window_max=2)
    for token in "abc":
        assert talk.submit(token, short_message=token.encode())
    a, b = talk.said()
    assert talk.hear(an_answer(b, Status.ESME_RTHROTTLED)) == []
    assert talk.hear(an_answer(a, Status.ESME_RMSGQFUL)) == []
    assert talk.said() == []
    assert talk.wait(0.9) == []
    assert talk.said() == []
    sent: list[Pdu] = []
    for _ in range(30):
        talk.wait(0.5)
        for pdu in talk.said():
            if pdu.command == Command.SUBMIT_SM:
                sent.append(pdu)
                talk.hear(an_answer(pdu))
    assert [pdu.short_message for pdu in sent] == [b"a", b"b", b"c"]
    assert not {pdu.sequence for pdu in sent} & {a.sequence, b.sequence}


def test_patience_with_throttling_is_bounded() -> None:
    talk = bound_esme(
        throttle_retries_max=2, queue_s=1000.0, enquire_link_s=None, response_timeout_s=1000.0
    )
    assert talk.submit("a")
    events: list[Event] = []
    tries = 0
    while not events:
        tries += len(talk.session.outbox._flying)
        events = refuse(talk)
        talk.wait(60.0)
    assert tries == 3
    (answered,) = events
    assert isinstance(answered, Answered)
    assert answered.pdu.status == Status.ESME_RTHROTTLED


def test_a_throttled_message_is_not_kept_by_a_session_that_leaves() -> None:
    talk = bound_esme()
    assert talk.submit("a")
    talk.session.unbind(talk.now)
    (answered,) = refuse(talk)
    assert isinstance(answered, Answered)


def test_what_waits_to_be_sent_again_comes_back_unsent_at_the_end() -> None:
    talk = bound_esme()
    assert talk.submit("a")
    assert refuse(talk) == []
    (unsent,) = talk.session.unbind(talk.now)
    assert unsent == Unsent("a")
    talk = bound_esme(queue_s=1.0)
    assert talk.submit("a")
    assert refuse(talk) == []
    assert talk.wait(1.0) == [Unsent("a")]


def test_an_operators_own_table_decides_what_throttling_is() -> None:
    talk = bound_esme(advice={0x45: Advice.SLOW, Status.ESME_RTHROTTLED: Advice.GIVE_UP})
    assert talk.submit("a")
    assert refuse(talk, 0x45) == []
    talk = bound_esme(advice={0x45: Advice.SLOW, Status.ESME_RTHROTTLED: Advice.GIVE_UP})
    assert talk.submit("a")
    assert len(refuse(talk)) == 1


def test_congestion_state_slows_the_bind_down() -> None:
    talk = bound_esme(rate_max=100.0)
    for state, rate in ((50, 100.0), (85, 100.0), (100, 50.0), (100, 50.0)):
        assert talk.submit("a")
        (pdu,) = talk.said()
        octets = state.to_bytes(1, "big")
        answer = build(
            Command.SUBMIT_SM_RESP,
            sequence=pdu.sequence,
            tlvs=[(Tag.CONGESTION_STATE, octets)],
        )
        assert len(talk.hear(answer)) == 1
        assert talk.session.outbox.pace.rate == rate
        talk.wait(0.1)


def test_a_congestion_tag_inside_an_id_means_nothing() -> None:
    talk = bound_esme()
    assert talk.submit("a")
    (pdu,) = talk.said()
    assert len(talk.hear(an_answer(pdu, message_id=b"\x04\x28\x00\x01"[:2]))) == 1
    assert talk.session.outbox.pace.rate is None


# Pace alone


def test_an_unlimited_bind_learns_its_rate_from_the_first_complaint_and_forgets_it() -> None:
    pace = Pace(None, lambda: 0.0, 0.0)
    now = 0.0
    for i in range(400):
        now = i / 200
        assert pace.may_send(now)
        pace.spend(1)
        pace.answered(now)
    pace.throttled(now)
    assert pace.rate is not None
    assert 90 <= pace.rate <= 101
    assert not pace.may_send(now)
    assert pace.ready_at(now) == now + 0.5
    held = pace.rate
    for _ in range(100):
        now += 1.0
        pace.answered(now)
    assert pace.rate is None
    assert held < 200
    assert pace.ready_at(now) <= now


def test_a_limited_bind_grows_back_to_its_limit_by_steps() -> None:
    pace = Pace(100.0, lambda: 0.0, 0.0)
    pace.throttled(0.0)
    rates = []
    for second in range(1, 15):
        pace.answered(float(second))
        pace.answered(float(second))
        rates.append(pace.rate)
    assert rates[:3] == [55.0, 60.0, 65.0]
    assert rates[-1] == 100.0


def test_one_windowful_of_refusals_is_one_piece_of_news() -> None:
    pace = Pace(100.0, lambda: 1.0, 0.0)
    for _ in range(10):
        pace.throttled(0.5)
    assert pace.rate == 50.0
    pace.throttled(1.6)
    assert pace.rate == 25.0


def test_the_pause_doubles_while_nothing_gets_through_and_has_a_cap() -> None:
    pace = Pace(100.0, lambda: 1.0, 0.0)
    now, pauses = 0.0, []
    for _ in range(7):
        pace.throttled(now)
        ready = pace.ready_at(now)
        pauses.append(round(ready - now))
        now = ready
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert pace.rate == 1.0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5), st.sampled_from(["send", "answered", "throttled", "full", "busy"])
        ),
        max_size=60,
    ),
    st.one_of(st.none(), st.floats(0.5, 1000)),
)
def test_pace_never_stops_for_good(steps: list[tuple[float, str]], rate: float | None) -> None:
    now = 0.0
    pace = Pace(rate, lambda: 0.5, now)
    for wait, what in steps:
        now += wait
        if what == "send" and pace.may_send(now):
            pace.spend(1)
        elif what == "answered":
            pace.answered(now)
        elif what == "throttled":
            pace.throttled(now)
        elif what == "full":
            pace.congestion(100, now)
        elif what == "busy":
            pace.congestion(80, now)
    if not pace.may_send(now):
        ready = pace.ready_at(now)
        assert ready - now < 60
        assert pace.may_send(ready + 1e-6)


@given(st.lists(st.sampled_from(["put", "answer", "refuse", "late", "wait", "slow"]), max_size=40))
def test_every_token_comes_back_exactly_once(steps: list[str]) -> None:
    talk = bound_esme(window_max=2, queue_max=4, queue_s=15.0, throttle_retries_max=1)
    given_in: list[int] = []
    back: list[object] = []
    flying: list[Pdu] = []

    def note(events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Ended):
                back.extend(event.unanswered + event.unsent)
            elif hasattr(event, "token"):
                back.append(event.token)

    for number, step in enumerate(steps):
        flying += [pdu for pdu in talk.said() if pdu.command == Command.SUBMIT_SM]
        if step == "put" and talk.submit(number):
            given_in.append(number)
        elif step in ("answer", "refuse", "slow") and flying:
            status = {"answer": 0, "refuse": 8, "slow": Status.ESME_RTHROTTLED}[step]
            note(talk.hear(an_answer(flying.pop(0), status)))
        elif step == "late":
            note(talk.wait(11.0))
        elif step == "wait":
            note(talk.wait(0.5))
    note(talk.session.end(End.LOST, talk.now))
    assert sorted(back, key=str) == sorted(given_in, key=str)


@pytest.mark.parametrize("count", [1, 3])
def test_room_counts_what_queues(count: int) -> None:
    talk = bound_esme(window_max=4)
    for token in range(count):
        assert talk.submit(token)
    assert talk.session.outbox.room_now(talk.now) == 4 - count
