"""Every way a debit can go, searched whole; and that the search would notice a wrong one."""

import pytest

from ppcd.charge.debit import Abilities, Denied, Doubt, NextStep, NotFound, Unknown, judge
from ppcd.charge.rules import Event, State
from tests.charge.model import Policy, search

IDEMPOTENT = Abilities(idempotent=True)
STORES_REFUSALS = Abilities(idempotent=True, stores_refusals=True)
QUERYABLE = Abilities(queryable=True)
BOTH = Abilities(idempotent=True, queryable=True)
ALL = Abilities(idempotent=True, queryable=True, stores_refusals=True)
NEITHER = Abilities()

EVERYBODY = {
    "idempotent": IDEMPOTENT,
    "stores_refusals": STORES_REFUSALS,
    "queryable": QUERYABLE,
    "idempotent and queryable": BOTH,
    "all": ALL,
    "neither": NEITHER,
}


@pytest.mark.parametrize("abilities", EVERYBODY.values(), ids=EVERYBODY.keys())
def test_no_promise_is_broken_whatever_happens(abilities: Abilities) -> None:
    found = search(Policy(abilities))
    assert found.broken is None, found
    assert found.states > 500


def unknown_is_refused(abilities, answer, **situation):  # type: ignore[no-untyped-def]
    if isinstance(answer, Unknown):
        return Event.DENIED
    return judge(abilities, answer, **situation)


def every_refusal_is_final(abilities, answer, **situation):  # type: ignore[no-untyped-def]
    if isinstance(answer, Denied):
        return Event.DENIED
    return judge(abilities, answer, **situation)


def not_found_is_always_final(abilities, answer, **situation):  # type: ignore[no-untyped-def]
    if isinstance(answer, NotFound):
        return Event.NOT_FOUND
    return judge(abilities, answer, **situation)


MUTANTS = {
    "a timeout is taken for a refusal": (
        Policy(IDEMPOTENT, judge=unknown_is_refused),
        "told unpaid, but debited",
    ),
    "a resend has a new key": (Policy(IDEMPOTENT, same_key=False), "debited twice"),
    "after a crash it is sent again as if for the first time": (
        Policy(IDEMPOTENT, crash_is_not_sent=True),
        "told unpaid, but debited",
    ),
    "a billing that knows no keys is sent it again": (
        Policy(NEITHER, resolve=lambda *_, **__: NextStep(Doubt.AGAIN, 0)),
        "debited twice",
    ),
    "a refusal is final when everything is quiet by the time it is heard": (
        Policy(IDEMPOTENT, quiet_counts_when_heard=True),
        "told unpaid, but debited",
    ),
    "billing is asked while a request is under way": (
        Policy(QUERYABLE, asks_before_quiet=True, judge=not_found_is_always_final),
        "told unpaid, but debited",
    ),
    "a late yes revives an expired charge": (
        Policy(IDEMPOTENT, rules={(State.EXPIRED, Event.AGREED): State.CONFIRMED}),
        "told unpaid, but debited",
    ),
    "a cancel works after consent": (
        Policy(IDEMPOTENT, rules={(State.DEBITING, Event.CANCEL): State.CANCELLED}),
        "told unpaid, but debited",
    ),
    "a cancel works in doubt": (
        Policy(QUERYABLE, rules={(State.IN_DOUBT, Event.CANCEL): State.CANCELLED}),
        "told unpaid, but debited",
    ),
    "a failed receipt counts after consent": (
        Policy(IDEMPOTENT, rules={(State.DEBITING, Event.PROMPT_FAILED): State.UNDELIVERABLE}),
        "told unpaid, but debited",
    ),
    "the refusal of a resend is believed while the first may be under way": (
        Policy(IDEMPOTENT, judge=every_refusal_is_final),
        "told unpaid, but debited",
    ),
    "a doubt goes back to confirmed when a resend is not sent": (
        Policy(IDEMPOTENT, rules={(State.IN_DOUBT, Event.NOT_SENT): State.CONFIRMED}),
        "told unpaid, but debited",
    ),
    "time runs out for a charge in doubt": (
        Policy(IDEMPOTENT, rules={(State.IN_DOUBT, Event.TIME_UP): State.EXPIRED}),
        "told unpaid, but debited",
    ),
    "a paused node sends an intent after its time": (
        Policy(QUERYABLE, zombie_minds_send_by=False),
        "told unpaid, but debited",
    ),
    "anything is a yes": (
        Policy(IDEMPOTENT, rules={(State.AWAITING, Event.UNCLEAR): State.CONFIRMED}),
        "debited without consent",
    ),
    "silence is a yes": (
        Policy(IDEMPOTENT, rules={(State.AWAITING, Event.TIME_UP): State.CONFIRMED}),
        "debited without consent",
    ),
    "a yes counts before the prompt was written": (
        Policy(IDEMPOTENT, unwritten_prompts_count=True),
        "debited without consent",
    ),
    "nobody reviews": (
        Policy(NEITHER, rules={(State.IN_DOUBT, Event.NEEDS_REVIEW): State.IN_DOUBT}),
        "no way to an end",
    ),
}


@pytest.mark.parametrize(("policy", "broken"), MUTANTS.values(), ids=MUTANTS.keys())
def test_the_search_catches_a_policy_that(policy: Policy, broken: str) -> None:
    found = search(policy)
    assert found.broken == broken, found
    assert found.trace
