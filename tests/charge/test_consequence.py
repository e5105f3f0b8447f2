"""What a reply does that decided nothing at once: every state, verdict and number."""

from itertools import product

import pytest

from ppcd.charge.consequence import ENDED_WITHOUT_DEBIT, Effect, Situation, consequence
from ppcd.charge.reading import Verdict
from ppcd.charge.rules import END_STATES, Event, State, follow
from ppcd.charge.rules import Effect as Means

YES, NO, STOP, UNCLEAR = Verdict.YES, Verdict.NO, Verdict.STOP, Verdict.UNCLEAR


def effect(verdict: Verdict, situation: Situation | None, number: str | None = None) -> Effect:
    return consequence(verdict, number, situation, reprompts_max=2, wrong_codes_max=3)


def awaiting(
    *,
    written: bool = True,
    alive: bool = True,
    code: str | None = None,
    reprompts: int = 0,
    wrong_codes: int = 0,
) -> Situation:
    return Situation(
        State.AWAITING,
        written=written,
        alive=alive,
        code=code,
        major_number="25",
        reprompts=reprompts,
        wrong_codes=wrong_codes,
    )


def test_an_answer_to_nothing_is_astray() -> None:
    assert {effect(verdict, None) for verdict in Verdict} == {Effect.STRAY}


def test_nothing_but_a_late_word_comes_of_an_answer_after_the_decision() -> None:
    for state, verdict in product(set(State) - {State.AWAITING}, Verdict):
        said = effect(verdict, Situation(state))
        if state in ENDED_WITHOUT_DEBIT:
            assert said is (Effect.LATE_YES if verdict is YES else Effect.LATE)
        else:
            assert said is (Effect.LATE_NO if verdict in (NO, STOP) else Effect.LATE)


def test_the_rules_agree_that_it_is_late() -> None:
    for state in set(State) - {State.AWAITING}:
        for event in (Event.AGREED, Event.DECLINED, Event.UNCLEAR, Event.WRONG_CODE):
            assert follow(state, event).effect is Means.LATE


def test_ends_without_a_debit_are_all_ends_but_success() -> None:
    assert END_STATES - {State.SUCCEEDED} == ENDED_WITHOUT_DEBIT


def test_a_charge_out_of_time_has_expired_before_the_sweep_says_so() -> None:
    for written in (False, True):
        late = awaiting(alive=False, written=written)
        assert [effect(verdict, late) for verdict in (YES, NO, STOP, UNCLEAR)] == [
            Effect.LATE_YES,
            Effect.LATE,
            Effect.LATE,
            Effect.LATE,
        ]


def test_nothing_answers_a_prompt_that_was_not_written() -> None:
    for verdict, code in product(Verdict, (None, "4821")):
        assert effect(verdict, awaiting(written=False, code=code), "25") is Effect.EARLY


def test_an_unclear_answer_asks_again_twice_and_then_waits() -> None:
    said = [effect(UNCLEAR, awaiting(reprompts=count)) for count in range(4)]
    assert said == [Effect.REPROMPTED, Effect.REPROMPTED, Effect.IGNORED, Effect.IGNORED]


def test_a_yes_without_the_code_or_with_another_price_is_unclear() -> None:
    assert effect(YES, awaiting(code="4821")) is Effect.REPROMPTED
    assert effect(YES, awaiting(code="4821", reprompts=2)) is Effect.IGNORED
    assert effect(YES, awaiting(), "26") is Effect.REPROMPTED
    assert effect(YES, awaiting(reprompts=2), "26") is Effect.IGNORED


def test_the_third_wrong_code_declines() -> None:
    said = [effect(YES, awaiting(code="4821", wrong_codes=count), "25") for count in range(4)]
    assert said == [
        Effect.WRONG_CODE,
        Effect.WRONG_CODE,
        Effect.CODES_USED_UP,
        Effect.CODES_USED_UP,
    ]


@pytest.mark.parametrize(
    ("verdict", "code", "number"),
    [
        (YES, None, None),
        (YES, None, "25"),
        (YES, "4821", "4821"),
        (NO, None, None),
        (STOP, "4821", None),
    ],
)
def test_what_became_decisive_between_two_looks_came_before_the_prompt(
    verdict: Verdict, code: str | None, number: str | None
) -> None:
    """The first look would have settled it, had the prompt been written by then."""
    assert effect(verdict, awaiting(code=code), number) is Effect.EARLY
