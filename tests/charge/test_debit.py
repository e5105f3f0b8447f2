"""What billing's answers mean, in every situation there is, and what a doubt may lead to."""

from dataclasses import FrozenInstanceError, replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.charge.debit import (
    HORIZON_S,
    PAUSES_S,
    REASON_OF_END,
    REASON_OF_EVENT,
    Abilities,
    Debited,
    DebitOrder,
    DenialReason,
    Denied,
    Doubt,
    NextStep,
    NotFound,
    NotSent,
    QueryAnswer,
    Unknown,
    judge,
    resolve_doubt,
)
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import END_STATES, RULES, Effect, Event, State, follow

DEBITED = Debited("ref")
DENIED = Denied(DenialReason.INSUFFICIENT_FUNDS, "4012")
NOT_SENT = NotSent("refused", retry_after_s=5)
UNKNOWN = Unknown("timeout")
ORDER = DebitOrder(
    key="1",
    charge_id=1,
    attempt=1,
    msisdn=Msisdn(380971234567),
    money=Money(2500, "UAH"),
    merchant="GameX",
    description="250 gold",
    repeat=False,
)
ANSWERS: list[QueryAnswer] = [DEBITED, DENIED, NOT_SENT, UNKNOWN, NotFound()]

EVERY_ABILITY = [
    Abilities(idempotent=idempotent, queryable=queryable, stores_refusals=stores)
    for idempotent, queryable, stores in product([False, True], repeat=3)
    if idempotent or not stores
]
EVERY_SITUATION = list(product(EVERY_ABILITY, [False, True], [False, True]))


def test_debited_is_debited_in_every_situation() -> None:
    for abilities, repeat, quiet_over in EVERY_SITUATION:
        event = judge(abilities, DEBITED, repeat=repeat, quiet_over=quiet_over)
        assert event is Event.DEBITED


def test_what_was_not_sent_is_not_sent_in_every_situation() -> None:
    for abilities, repeat, quiet_over in EVERY_SITUATION:
        event = judge(abilities, NOT_SENT, repeat=repeat, quiet_over=quiet_over)
        assert event is Event.NOT_SENT


def test_unknown_is_never_taken_for_a_refusal() -> None:
    for abilities, repeat, quiet_over in EVERY_SITUATION:
        event = judge(abilities, UNKNOWN, repeat=repeat, quiet_over=quiet_over)
        assert event is Event.DEBIT_UNKNOWN


def test_a_refusal_is_final_only_when_no_other_attempt_can_still_debit() -> None:
    for abilities, repeat, quiet_over in EVERY_SITUATION:
        event = judge(abilities, DENIED, repeat=repeat, quiet_over=quiet_over)
        final = not repeat or abilities.stores_refusals or (abilities.idempotent and quiet_over)
        assert event is (Event.DENIED if final else Event.DEBIT_UNKNOWN)


def test_a_refused_resend_says_nothing_where_keys_are_not_deduplicated() -> None:
    event = judge(Abilities(queryable=True), DENIED, repeat=True, quiet_over=True)
    assert event is Event.DEBIT_UNKNOWN


def test_not_found_is_final_only_after_the_quiet_period() -> None:
    for abilities, repeat, quiet_over in EVERY_SITUATION:
        event = judge(abilities, NotFound(), repeat=repeat, quiet_over=quiet_over)
        assert event is (Event.NOT_FOUND if quiet_over else Event.DEBIT_UNKNOWN)


def test_every_judgement_is_something_that_can_happen_to_a_charge_being_debited() -> None:
    for (abilities, repeat, quiet_over), answer in product(EVERY_SITUATION, ANSWERS):
        event = judge(abilities, answer, repeat=repeat, quiet_over=quiet_over)
        if event is not Event.NOT_FOUND:  # only from a query, and one asks in doubt only
            assert follow(State.DEBITING, event).effect is Effect.RULE
        assert follow(State.IN_DOUBT, event).effect is Effect.RULE


def test_a_claim_to_keep_refusals_needs_keys() -> None:
    with pytest.raises(ValueError, match="stores_refusals without idempotent"):
        Abilities(stores_refusals=True)


@pytest.mark.parametrize("quiet_period_s", [-0.1, float("inf"), float("nan")])
def test_a_quiet_period_is_a_time(quiet_period_s: float) -> None:
    with pytest.raises(ValueError, match="quiet_period_s must be"):
        Abilities(quiet_period_s=quiet_period_s)


def test_a_billing_system_is_trusted_with_nothing_by_default() -> None:
    assert Abilities() == Abilities(
        idempotent=False,
        queryable=False,
        stores_refusals=False,
        reversible=False,
        reserving=False,
        quiet_period_s=60.0,
    )
    assert Abilities(quiet_period_s=0).quiet_period_s == 0


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Abilities(), "idempotent"),
        (ORDER, "key"),
        (DEBITED, "reference"),
        (DENIED, "reason"),
        (NOT_SENT, "detail"),
        (UNKNOWN, "detail"),
    ],
)
def test_orders_answers_and_abilities_are_values(value: object, field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, None)
    with pytest.raises((TypeError, AttributeError)):
        value.another = 1  # type: ignore[attr-defined]
    assert hash(value) == hash(replace(value))  # type: ignore[type-var]


# Doubts.

NEITHER = Abilities()
IDEMPOTENT = Abilities(idempotent=True)
STORES_REFUSALS = Abilities(idempotent=True, stores_refusals=True)
QUERYABLE = Abilities(queryable=True)
BOTH = Abilities(idempotent=True, queryable=True)


def at(
    abilities: Abilities,
    *,
    age_s: float = 0,
    quiet_s: float = 0,
    tries: int = 0,
    horizon_s: float = HORIZON_S,
) -> NextStep:
    return resolve_doubt(abilities, age_s=age_s, quiet_s=quiet_s, tries=tries, horizon_s=horizon_s)


def test_where_nothing_can_be_done_people_are_asked_at_once() -> None:
    assert at(NEITHER) == NextStep(Doubt.REVIEW, 0)
    assert at(NEITHER, quiet_s=1000, tries=9) == NextStep(Doubt.REVIEW, 0)


def test_the_same_key_is_sent_again_after_growing_pauses() -> None:
    assert list(PAUSES_S) == [2, 5, 15, 60]
    for abilities in (IDEMPOTENT, STORES_REFUSALS):
        steps = [at(abilities, tries=tries, quiet_s=60) for tries in range(6)]
        assert steps == [NextStep(Doubt.AGAIN, pause_s) for pause_s in (2, 5, 15, 60, 60, 60)]


def test_after_the_quick_tries_it_is_sent_into_the_quiet_where_a_refusal_is_final() -> None:
    assert [at(IDEMPOTENT, tries=tries, quiet_s=-5).in_s for tries in range(6)] == [
        *(2, 5, 15, 60),
        *(65, 65),
    ]
    assert at(IDEMPOTENT, tries=4, quiet_s=-5).what is Doubt.AGAIN
    assert at(STORES_REFUSALS, tries=4, quiet_s=-5) == NextStep(Doubt.AGAIN, 60)


def test_the_quiet_period_changes_nothing_where_one_cannot_ask() -> None:
    assert at(IDEMPOTENT, quiet_s=1000) == NextStep(Doubt.AGAIN, 2)


def test_one_asks_only_after_the_quiet_period() -> None:
    assert at(QUERYABLE, quiet_s=-10) == NextStep(Doubt.ASK, 70)
    assert at(QUERYABLE, quiet_s=0) == NextStep(Doubt.ASK, 60)
    assert at(QUERYABLE, quiet_s=59) == NextStep(Doubt.ASK, 2)
    assert at(QUERYABLE, quiet_s=60) == NextStep(Doubt.ASK, 2)
    assert at(QUERYABLE, quiet_s=61, tries=3) == NextStep(Doubt.ASK, 60)
    assert at(QUERYABLE, quiet_s=0, tries=9) == NextStep(Doubt.ASK, 60)


def test_where_both_are_possible_it_is_sent_again_four_times_and_then_asked() -> None:
    assert [at(BOTH, tries=tries).what for tries in range(6)] == [
        *[Doubt.AGAIN] * 4,
        *[Doubt.ASK] * 2,
    ]
    assert at(BOTH, tries=4, quiet_s=-5) == NextStep(Doubt.ASK, 65)


def test_where_both_are_possible_a_question_is_preferred_once_it_proves_something() -> None:
    assert at(BOTH, quiet_s=59.9) == NextStep(Doubt.AGAIN, 2)
    assert at(BOTH, quiet_s=60) == NextStep(Doubt.ASK, 2)


def test_a_doubt_past_the_horizon_goes_to_people() -> None:
    assert HORIZON_S == 900
    assert at(IDEMPOTENT, age_s=900) == NextStep(Doubt.REVIEW, 0)
    assert at(IDEMPOTENT, age_s=1e6) == NextStep(Doubt.REVIEW, 0)
    assert at(QUERYABLE, age_s=900, quiet_s=900) == NextStep(Doubt.REVIEW, 0)


def test_what_could_only_be_done_past_the_horizon_is_left_to_people_in_time() -> None:
    assert at(IDEMPOTENT, age_s=898.5) == NextStep(Doubt.REVIEW, 1.5)
    assert at(IDEMPOTENT, age_s=898) == NextStep(Doubt.REVIEW, 2)
    assert at(IDEMPOTENT, age_s=897.9) == NextStep(Doubt.AGAIN, 2)
    assert at(QUERYABLE, horizon_s=60) == NextStep(Doubt.REVIEW, 60)
    assert at(QUERYABLE, horizon_s=60.5) == NextStep(Doubt.ASK, 60)


TIMES = st.floats(-3600, 36000)


@given(
    st.sampled_from(EVERY_ABILITY),
    st.floats(0, 36000),
    TIMES,
    st.integers(0, 100),
    st.floats(0, 36000),
)
def test_whatever_is_done_is_allowed_and_in_time(
    abilities: Abilities, age_s: float, quiet_s: float, tries: int, horizon_s: float
) -> None:
    what, in_s = resolve_doubt(
        abilities, age_s=age_s, quiet_s=quiet_s, tries=tries, horizon_s=horizon_s
    )
    assert in_s >= 0
    if what is Doubt.AGAIN:
        assert abilities.idempotent
    if what is Doubt.ASK:
        assert abilities.queryable
        assert quiet_s + in_s >= abilities.quiet_period_s - 1e-6
    if what is Doubt.REVIEW:
        assert age_s + in_s <= max(age_s, horizon_s) + 1e-6
    else:
        assert age_s + in_s < horizon_s + 1e-6


@pytest.mark.parametrize("abilities", EVERY_ABILITY)
def test_every_doubt_comes_to_people_in_a_bounded_number_of_tries(abilities: Abilities) -> None:
    age_s = quiet_s = 0.0
    tries, what = 0, Doubt.AGAIN
    for tries in range(100):
        what, in_s = at(abilities, age_s=age_s, quiet_s=quiet_s, tries=tries)
        age_s += in_s
        quiet_s = 0.0 if what is Doubt.AGAIN else quiet_s + in_s
        if what is Doubt.REVIEW:
            break
    assert what is Doubt.REVIEW
    assert tries < 20
    assert age_s <= HORIZON_S


# Reasons.


def test_every_end_without_a_debit_has_its_reason() -> None:
    without_debit = END_STATES - {State.SUCCEEDED}
    assert REASON_OF_END.keys() == without_debit - {State.DENIED}
    assert len({*REASON_OF_END.values()}) == len(REASON_OF_END)


def test_every_denial_that_billing_did_not_word_has_its_reason() -> None:
    denying = {event for (_, event), after in RULES.items() if after is State.DENIED}
    assert REASON_OF_EVENT.keys() == denying - {Event.DENIED}


def test_the_reasons_are_the_tokens_that_partners_build_on() -> None:
    assert [reason.value for reason in DenialReason] == [
        "USER_DECLINED",
        "CONFIRMATION_TIMEOUT",
        "PROMPT_UNDELIVERABLE",
        "CANCELLED_BY_MERCHANT",
        "INSUFFICIENT_FUNDS",
        "SERVICE_DENIED",
        "USER_UNKNOWN",
        "LIMIT_EXCEEDED",
        "BILLING_REJECTED",
        "BILLING_UNAVAILABLE",
    ]
    assert {state.value: reason.value for state, reason in REASON_OF_END.items()} == {
        "declined": "USER_DECLINED",
        "expired": "CONFIRMATION_TIMEOUT",
        "undeliverable": "PROMPT_UNDELIVERABLE",
        "cancelled": "CANCELLED_BY_MERCHANT",
    }
    assert {event.value: reason.value for event, reason in REASON_OF_EVENT.items()} == {
        "limit_exceeded": "LIMIT_EXCEEDED",
        "not_started_in_time": "BILLING_UNAVAILABLE",
        "not_found": "BILLING_UNAVAILABLE",
        "released": "BILLING_UNAVAILABLE",
    }
