"""Every way that a charge of two steps can go, searched whole; and that a wrong one is noticed."""

from dataclasses import replace

import pytest

from ppcd.charge.debit import Abilities, Denied, Doubt, NextStep, NotFound, Unknown, judge
from ppcd.charge.reservation import Act, Decision, judge_release
from ppcd.charge.rules import Event, State
from tests.charge.test_model import EVERYBODY, IDEMPOTENT, NEITHER, QUERYABLE
from tests.charge.two_steps import ACTS, Policy, search


@pytest.mark.parametrize("abilities", EVERYBODY.values(), ids=EVERYBODY.keys())
def test_no_promise_is_broken_whatever_happens(abilities: Abilities) -> None:
    found = search(Policy(replace(abilities, reserving=True)))
    assert found.broken is None, found
    assert found.states > 500


def let_go_at_once(*_, **__):  # type: ignore[no-untyped-def]
    return NextStep(Doubt.LET_GO, 0)


def not_found_is_always_final(abilities, answer, **situation):  # type: ignore[no-untyped-def]
    if isinstance(answer, NotFound):
        return Event.NOT_FOUND
    return judge(abilities, answer, **situation)


def asks_at_once(*_, **__):  # type: ignore[no-untyped-def]
    return NextStep(Doubt.ASK, 0)


def a_silent_release_is_believed(answer):  # type: ignore[no-untyped-def]
    return Event.RELEASED if isinstance(answer, Unknown) else judge_release(answer)


def a_refused_release_is_believed(answer):  # type: ignore[no-untyped-def]
    return Event.RELEASED if isinstance(answer, Denied) else judge_release(answer)


MUTANTS = {
    "a cancel works after the confirmation": (
        Policy(IDEMPOTENT, rules={(State.CAPTURING, Event.CANCEL): State.RELEASING}),
        "decided twice",
    ),
    "a confirmation works after the lapse": (
        Policy(IDEMPOTENT, rules={(State.RELEASING, Event.CAPTURE_STARTED): State.CAPTURING}),
        "decided twice",
    ),
    "a cancel works in doubt": (
        Policy(IDEMPOTENT, rules={(State.IN_DOUBT, Event.CANCEL): State.CANCELLED}),
        "held for nothing",
    ),
    "what lapses is captured": (
        Policy(IDEMPOTENT, acts={**ACTS, Decision.LAPSED: Act.CAPTURE}),
        "debited without a confirmation",
    ),
    "silence is a yes": (
        Policy(IDEMPOTENT, rules={(State.AWAITING, Event.TIME_UP): State.CONFIRMED}),
        "held without consent",
    ),
    "an unanswered capture is not wanted any more": (
        Policy(IDEMPOTENT, resolve_capture=let_go_at_once),
        "told unpaid, but debited",
    ),
    "a reserve that is under way is let go": (
        Policy(NEITHER, resolve_reserve=let_go_at_once),
        "held for nothing",
    ),
    "billing is asked while a reserve is under way": (
        Policy(QUERYABLE, resolve_reserve=asks_at_once, judge=not_found_is_always_final),
        "held for nothing",
    ),
    "a billing that knows no keys is sent a reserve again": (
        Policy(NEITHER, resolve_reserve=lambda *_, **__: NextStep(Doubt.AGAIN, 0)),
        "held or debited twice",
    ),
    "a release that is not answered is taken for done": (
        Policy(IDEMPOTENT, judge_release=a_silent_release_is_believed),
        "held for nothing",
    ),
    "a release that is refused is taken for done": (
        Policy(IDEMPOTENT, judge_release=a_refused_release_is_believed),
        "held for nothing",
    ),
    "a paused node sends an intent after its time": (
        Policy(QUERYABLE, zombie_minds_send_by=False),
        "held for nothing",
    ),
    "a late refusal of a reserve ends the capture": (
        Policy(IDEMPOTENT, late_answers_count_for_any_act=True),
        "held for nothing",
    ),
    "a capture in doubt goes to nobody": (
        Policy(NEITHER, rules={(State.IN_DOUBT, Event.NEEDS_REVIEW): State.IN_DOUBT}),
        "no way to an end",
    ),
}


@pytest.mark.parametrize(("policy", "broken"), MUTANTS.values(), ids=MUTANTS.keys())
def test_the_search_catches_a_policy_that(policy: Policy, broken: str) -> None:
    found = search(policy)
    assert found.broken == broken, found
    assert found.trace
