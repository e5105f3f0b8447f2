"""How much may be given back, what billing's answers to a refund mean, and a refund's way."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.charge.debit import Abilities, DenialReason, Denied, NotFound, NotSent, Unknown
from ppcd.charge.money import Money
from ppcd.charge.refund import (
    REFUND_END_STATES,
    REFUND_RULES,
    Refunded,
    RefundEvent,
    RefundQueryAnswer,
    RefundState,
    Refusal,
    judge_refund,
    refund_diagram,
    refundable,
    remaining_minor,
)

PAID = Money(8000, "EUR")
DENIED = Denied(DenialReason.USER_UNKNOWN, "5030")
KEEPER = Abilities(idempotent=True, queryable=True, stores_refusals=True)
ASKED_ONLY = Abilities(queryable=True)


def test_what_is_left_is_the_debit_without_its_refunds() -> None:
    assert remaining_minor(PAID, 0) == 8000
    assert remaining_minor(PAID, 3500) == 4500
    assert remaining_minor(PAID, 8000) == 0


def test_more_given_back_than_debited_is_a_bug_of_ours() -> None:
    with pytest.raises(AssertionError):
        remaining_minor(PAID, 8001)


def test_a_total_refund_is_all_that_is_left() -> None:
    assert refundable(PAID, 0, None) == PAID
    assert refundable(PAID, 2000, None) == Money(6000, "EUR")


def test_a_partial_refund_is_what_was_asked_for_and_no_more_than_is_left() -> None:
    assert refundable(PAID, 2000, Money(6000, "EUR")) == Money(6000, "EUR")
    assert refundable(PAID, 2000, Money(6001, "EUR")) is Refusal.TOO_MUCH
    assert refundable(PAID, 0, Money(1, "USD")) is Refusal.OTHER_CURRENCY


def test_nothing_is_given_back_twice() -> None:
    assert refundable(PAID, 8000, None) is Refusal.NOTHING_LEFT
    assert refundable(PAID, 8000, Money(1, "EUR")) is Refusal.NOTHING_LEFT


def test_where_only_all_of_a_debit_can_be_given_back_a_part_is_refused() -> None:
    assert refundable(PAID, 0, Money(8000, "EUR"), whole_only=True) == PAID
    assert refundable(PAID, 0, None, whole_only=True) == PAID
    assert refundable(PAID, 0, Money(7999, "EUR"), whole_only=True) is Refusal.ONLY_WHOLE
    assert refundable(PAID, 1000, None, whole_only=True) is Refusal.ONLY_WHOLE


@given(st.lists(st.none() | st.integers(1, 9000), max_size=12))
def test_refunds_never_exceed_the_debit_in_sum(wanted: list[int | None]) -> None:
    given_back = 0
    for amount in wanted:
        money = None if amount is None else Money(amount, "EUR")
        accepted = refundable(PAID, given_back, money)
        if isinstance(accepted, Money):
            given_back += accepted.amount_minor
    assert given_back <= PAID.amount_minor


ANSWERS: list[tuple[RefundQueryAnswer, RefundEvent]] = [
    (Refunded("R1"), RefundEvent.REFUNDED),
    (DENIED, RefundEvent.DENIED),
    (NotSent("refused"), RefundEvent.NOT_SENT),
    (Unknown("timeout"), RefundEvent.UNKNOWN),
    (NotFound(), RefundEvent.NOT_FOUND),
]


@pytest.mark.parametrize(("answer", "event"), ANSWERS)
def test_a_first_answer_in_the_quiet_is_believed(
    answer: RefundQueryAnswer, event: RefundEvent
) -> None:
    assert judge_refund(KEEPER, answer, repeat=False, quiet_over=True) is event


def test_a_refusal_of_a_repeat_proves_nothing_where_refusals_are_not_kept() -> None:
    event = judge_refund(ASKED_ONLY, DENIED, repeat=True, quiet_over=True)
    assert event is RefundEvent.UNKNOWN


def test_not_found_proves_nothing_while_a_refund_may_be_late() -> None:
    event = judge_refund(KEEPER, NotFound(), repeat=True, quiet_over=False)
    assert event is RefundEvent.UNKNOWN


def test_nothing_leaves_an_end() -> None:
    assert not {state for state, _ in REFUND_RULES} & REFUND_END_STATES


def test_every_state_can_be_reached_and_every_event_happens() -> None:
    reached, before = {RefundState.ACCEPTED}, set[RefundState]()
    while reached != before:
        before = set(reached)
        reached |= {after for (state, _), after in REFUND_RULES.items() if state in before}
    assert reached == set(RefundState)
    assert {event for _, event in REFUND_RULES} == set(RefundEvent)


def test_money_moves_only_after_the_intent_and_may_be_learnt_of_from_wherever_it_moved() -> None:
    sure = {(s, e) for s, e in product(RefundState, [RefundEvent.REFUNDED])} & set(REFUND_RULES)
    assert {state for state, _ in sure} == {
        RefundState.REFUNDING,
        RefundState.IN_DOUBT,
        RefundState.REVIEW,
    }


def test_a_doubt_is_left_only_by_knowledge() -> None:
    out = {e for (s, e), to in REFUND_RULES.items() if s is RefundState.IN_DOUBT and to is not s}
    assert out == {
        RefundEvent.REFUNDED,
        RefundEvent.DENIED,
        RefundEvent.NOT_FOUND,
        RefundEvent.NEEDS_REVIEW,
    }


def test_the_documentation_shows_the_picture_as_it_is_drawn_today() -> None:
    page = Path(__file__).parents[2] / "docs" / "states.md"
    assert f"```mermaid\n{refund_diagram()}```\n" in page.read_text(encoding="utf-8")
