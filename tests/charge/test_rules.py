"""What follows what: every pair of state and event, spelt out a second time."""

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.charge.rules import (
    CONTRADICTIONS,
    END_STATES,
    LATE,
    RULES,
    Effect,
    Event,
    Follows,
    IllegalEvent,
    State,
    diagram,
    follow,
)

# A row an event, a column a state. A state's letters: a rule, and where it leads. "." is late,
# "!" contradicts, "-" is illegal.
MATRIX = """
                        awt cnf deb rsg rsd cap rel idb rev suc den dcl exp can und
    prompt_written      awt .   .   .   .   .   .   .   .   .   .   .   .   .   .
    prompt_accepted     awt .   .   .   .   .   .   .   .   .   .   .   .   .   .
    prompt_refused      und .   .   .   .   .   .   .   .   .   .   .   .   .   .
    prompt_delivered    awt .   .   .   .   .   .   .   .   .   .   .   .   .   .
    prompt_failed       und .   .   .   .   .   .   .   .   .   .   .   .   .   .
    agreed              cnf .   .   .   .   .   .   .   .   .   .   .   .   .   .
    declined            dcl .   .   .   .   .   .   .   .   .   .   .   .   .   .
    unclear             awt .   .   .   .   .   .   .   .   .   .   .   .   .   .
    wrong_code          awt .   .   .   .   .   .   .   .   .   .   .   .   .   .
    codes_spent         dcl .   .   .   .   .   .   .   .   .   .   .   .   .   .
    cancel              can .   .   .   rel .   .   .   .   .   .   .   .   .   .
    time_up             exp .   .   .   .   .   .   .   .   .   .   .   .   .   .
    limit_exceeded      -   den .   .   .   .   .   .   .   .   .   -   -   .   -
    not_started_in_time -   den .   .   .   rel .   .   .   .   .   -   -   .   -
    debit_started       -   deb .   -   -   -   -   .   .   .   .   -   -   -   -
    not_sent            -   .   cnf cnf .   cap rel idb .   .   .   -   -   .   -
    debited             !   !   suc !   !   suc !   suc suc .   !   !   !   !   !
    denied              !   !   den den !   den rev den den !   .   .   .   .   .
    debit_unknown       -   !   idb idb .   idb rel idb .   .   .   -   -   .   -
    not_found           -   -   -   -   .   .   .   den den !   .   -   -   .   -
    needs_review        -   -   -   -   .   .   rev rev .   .   .   -   -   .   -
    reserve_started     -   rsg -   .   .   .   .   .   .   .   .   -   -   .   -
    reserved            !   !   !   rsd .   .   .   rsd .   .   !   !   !   !   !
    capture_started     -   -   -   -   cap .   .   .   .   .   .   -   -   .   -
    lapsed              -   -   -   -   rel .   .   .   .   .   .   -   -   .   -
    released            -   -   -   -   can .   can den can !   .   -   -   .   -
"""
LETTERS = dict(zip(MATRIX.split("\n")[1].split(), State, strict=True))

EVERY_PAIR = [(state, event) for state in State for event in Event]

#: Where a state may lead, as the design has it; the two-step states are "as debiting".
MAY_GO_TO = {
    State.AWAITING: {
        State.CONFIRMED,
        State.DECLINED,
        State.EXPIRED,
        State.CANCELLED,
        State.UNDELIVERABLE,
    },
    State.CONFIRMED: {State.DEBITING, State.RESERVING, State.DENIED},
    State.DEBITING: {State.SUCCEEDED, State.DENIED, State.IN_DOUBT, State.CONFIRMED},
    State.RESERVING: {State.RESERVED, State.DENIED, State.IN_DOUBT, State.CONFIRMED},
    State.RESERVED: {State.CAPTURING, State.RELEASING, State.CANCELLED},
    State.CAPTURING: {State.SUCCEEDED, State.DENIED, State.IN_DOUBT, State.RELEASING},
    State.RELEASING: {State.CANCELLED, State.REVIEW},
    State.IN_DOUBT: {State.SUCCEEDED, State.DENIED, State.REVIEW, State.RESERVED},
    State.REVIEW: {State.SUCCEEDED, State.DENIED, State.CANCELLED},
}


def outcome(state: State, event: Event) -> str:
    """What `follow` says about a pair, in the matrix' signs."""
    letters = {known: short for short, known in LETTERS.items()}
    try:
        effect, after = follow(state, event)
    except IllegalEvent:
        return "-"
    if effect is Effect.RULE:
        return letters[after]
    assert after is state
    return {Effect.LATE: ".", Effect.CONTRADICTION: "!"}[effect]


def test_every_pair_of_state_and_event_does_what_the_matrix_says() -> None:
    said = {
        event: dict(zip(LETTERS.values(), signs, strict=True))
        for event, *signs in (line.split() for line in MATRIX.strip().split("\n")[1:])
    }
    assert list(said) == list(Event)
    differing = {
        (state, event): f"{said[event][state]} in the matrix, {outcome(state, event)} by the rules"
        for state, event in EVERY_PAIR
        if said[event][state] != outcome(state, event)
    }
    assert not differing


def test_no_pair_is_classified_twice() -> None:
    assert not RULES.keys() & LATE
    assert not RULES.keys() & CONTRADICTIONS
    assert not LATE & CONTRADICTIONS


def test_the_rules_lead_where_the_design_says_and_nowhere_else() -> None:
    leads: dict[State, set[State]] = defaultdict(set)
    for (before, _), after in RULES.items():
        if before is not after:
            leads[before].add(after)
    assert leads == MAY_GO_TO


def test_the_rules_cannot_be_changed_while_running() -> None:
    with pytest.raises(TypeError):
        RULES[State.EXPIRED, Event.AGREED] = State.CONFIRMED  # type: ignore[index]


def test_an_illegal_event_is_a_bug_and_names_both() -> None:
    with pytest.raises(
        IllegalEvent, match="debit_started cannot happen to a charge that is awaiting"
    ) as caught:
        follow(State.AWAITING, Event.DEBIT_STARTED)
    assert (caught.value.state, caught.value.event) == (State.AWAITING, Event.DEBIT_STARTED)


def test_nothing_leaves_an_end_state() -> None:
    assert set(State) - set(MAY_GO_TO) == END_STATES
    assert not [pair for pair in RULES if pair[0] in END_STATES]


def test_every_state_has_a_way_to_an_end_and_is_reached_from_the_beginning() -> None:
    reached = {State.AWAITING}
    ending = set(END_STATES)
    for _ in State:
        reached |= {after for (before, _), after in RULES.items() if before in reached}
        ending |= {before for (before, _), after in RULES.items() if after in ending}
    assert reached == ending == set(State)


def test_no_debit_starts_without_consent() -> None:
    """The only way into the states where money may move leads through `confirmed`."""
    before_consent = {State.AWAITING}
    for _ in State:
        before_consent |= {
            after
            for (before, event), after in RULES.items()
            if before in before_consent and event is not Event.AGREED
        }
    assert before_consent == {
        State.AWAITING,
        State.DECLINED,
        State.EXPIRED,
        State.CANCELLED,
        State.UNDELIVERABLE,
    }


def test_money_that_moved_is_never_overlooked() -> None:
    """Wherever "debited" comes from, it is believed, known already, or alarms somebody."""
    assert {state for state in State if outcome(state, Event.DEBITED) in ".-"} == {State.SUCCEEDED}


def test_what_comes_from_outside_is_never_a_bug_of_ours() -> None:
    outside = [
        Event.PROMPT_ACCEPTED,
        Event.PROMPT_REFUSED,
        Event.PROMPT_DELIVERED,
        Event.PROMPT_FAILED,
        Event.AGREED,
        Event.DECLINED,
        Event.UNCLEAR,
        Event.CANCEL,
        Event.DEBITED,
        Event.DENIED,
    ]
    assert not [
        (state, event) for state in State for event in outside if outcome(state, event) == "-"
    ]


@given(st.lists(st.sampled_from(list(Event))))
def test_an_end_once_reached_stays_whatever_happens(events: list[Event]) -> None:
    state = State.AWAITING
    end = None
    for event in events:
        try:
            state = follow(state, event).state
        except IllegalEvent:
            continue
        end = end or (state if state in END_STATES else None)
        assert end is None or state is end


@given(st.sampled_from(EVERY_PAIR))
def test_only_a_rule_changes_the_state(pair: tuple[State, Event]) -> None:
    state, event = pair
    try:
        follows = follow(state, event)
    except IllegalEvent:
        return
    assert follows.effect is Effect.RULE or follows == Follows(follows.effect, state)


def test_the_picture_has_an_arrow_for_every_change() -> None:
    picture = diagram()
    lines = picture.split("\n")
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> awaiting"]
    assert picture.endswith("\n")
    for (before, event), after in RULES.items():
        arrow = next((line for line in lines if line.startswith(f"    {before} --> {after}:")), "")
        assert (event in arrow.replace(",", "").split()) == (before is not after)
    assert {line.split()[0] for line in lines if line.endswith("--> [*]")} == END_STATES


def test_the_documentation_shows_the_picture_as_it_is_drawn_today() -> None:
    page = Path(__file__).parents[2] / "docs" / "states.md"
    assert f"```mermaid\n{diagram()}```\n" in page.read_text(encoding="utf-8")
