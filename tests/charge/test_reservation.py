"""Two steps: what silence about a reserve, a capture and a release leads to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.charge.debit import (
    HORIZON_S,
    PAUSES_S,
    Abilities,
    DenialReason,
    Denied,
    Doubt,
    NextStep,
    NotSent,
    Reserved,
    Unknown,
    judge,
)
from ppcd.charge.reservation import (
    ReleaseAnswer,
    Released,
    Silence,
    judge_release,
    resolve_capture,
    resolve_release,
    resolve_reserve,
)
from ppcd.charge.rules import Event

REFUSED = Denied(DenialReason.BILLING_REJECTED, "no")
EVERY_ABILITY = [
    Abilities(idempotent=idempotent, queryable=queryable)
    for idempotent in (False, True)
    for queryable in (False, True)
]
SILENCES = st.builds(
    Silence,
    age_s=st.floats(0, 2 * HORIZON_S),
    quiet_s=st.floats(-5, 2 * HORIZON_S),
    tries=st.integers(0, 20),
)


def test_a_held_sum_is_an_event_of_its_own() -> None:
    assert judge(Abilities(), Reserved("r1"), repeat=True, quiet_over=False) is Event.RESERVED


@pytest.mark.parametrize(
    ("answer", "event"),
    [
        (Released(), Event.RELEASED),
        (REFUSED, Event.NEEDS_REVIEW),
        (NotSent("refused"), Event.NOT_SENT),
        (Unknown("silence"), Event.DEBIT_UNKNOWN),
    ],
)
def test_what_an_answer_to_a_release_means(answer: ReleaseAnswer, event: Event) -> None:
    assert judge_release(answer) is event


@given(abilities=st.sampled_from(EVERY_ABILITY), silence=SILENCES)
def test_a_silent_reserve_never_needs_a_person(abilities: Abilities, silence: Silence) -> None:
    step = resolve_reserve(abilities, silence)
    assert step.what is not Doubt.REVIEW
    if step.what is Doubt.AGAIN:
        assert abilities.idempotent
    if step.what is Doubt.LET_GO:
        # Nothing may still reserve behind the release.
        assert silence.quiet_s + step.in_s >= abilities.quiet_period_s - 1e-6


def test_a_reserve_is_asked_for_again_first_and_let_go_at_the_horizon() -> None:
    able = Abilities(idempotent=True, queryable=True)
    fresh = Silence(age_s=10, quiet_s=-5, tries=0)
    assert resolve_reserve(able, fresh) == NextStep(Doubt.AGAIN, PAUSES_S[0])
    old = Silence(age_s=HORIZON_S, quiet_s=100, tries=9)
    assert resolve_reserve(able, old) == NextStep(Doubt.LET_GO, 0)
    assert resolve_reserve(Abilities(), fresh) == NextStep(Doubt.LET_GO, 65)


def test_a_capture_is_followed_up_as_a_debit_is() -> None:
    fresh = Silence(age_s=10, quiet_s=-5, tries=0)
    assert resolve_capture(Abilities(), fresh, still_held=False) == NextStep(Doubt.REVIEW, 0)
    ask = resolve_capture(Abilities(queryable=True), fresh, still_held=False)
    assert ask == NextStep(Doubt.ASK, 65)


def test_what_is_still_held_may_be_captured_again_whatever_billing_promises() -> None:
    held = Silence(age_s=70, quiet_s=65, tries=0)
    again = resolve_capture(Abilities(queryable=True), held, still_held=True)
    assert again == NextStep(Doubt.AGAIN, PAUSES_S[0])
    old = Silence(age_s=HORIZON_S, quiet_s=65, tries=0)
    assert resolve_capture(Abilities(queryable=True), old, still_held=True).what is Doubt.REVIEW


@given(silence=SILENCES)
def test_a_release_is_repeated_until_the_horizon_and_never_asked_about(silence: Silence) -> None:
    step = resolve_release(silence)
    in_time = silence.age_s < HORIZON_S - PAUSES_S[-1]
    assert step.what in ((Doubt.AGAIN,) if in_time else (Doubt.AGAIN, Doubt.REVIEW))
    assert step.in_s <= PAUSES_S[-1]
