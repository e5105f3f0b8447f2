"""Facts stay as written; the status of a charge is a view over them; what people see of both."""

import pytest

from ppcd.charge.rules import END_STATES, RULES, Event, State, follow
from ppcd.store import debits, figures, history, prompts, registers
from ppcd.store.lanes import NotApplied
from tests.builders import Charge, Store

FACTS = (
    *("charge", "prompt", "prompt_answer", "receipt", "reply", "debit_attempt"),
    *("debit_result", "debit_resolution", "outcome", "notification", "delivery"),
)
TWO_STEP = {State.RESERVING, State.RESERVED, State.CAPTURING, State.RELEASING}
REACHABLE = sorted(set(State) - TWO_STEP)


def a_full_life(store: Store) -> int:
    """A charge with a fact of every kind; its id."""
    charge = store.a_written_charge()
    store.receive(store.a_receipt(charge, state="delivered"))
    store.reply(charge)
    store.intend(charge)
    store.result(charge, "debited", reference="ref-9", detail="ok")
    store.query(
        "INSERT INTO delivery VALUES (%s, 1, 1, 'delivered', '200', business_now())",
        charge.charge_id,
    )
    store.query(
        "INSERT INTO debit_resolution VALUES (%s, 'denied', 'why', NULL, 'who', business_now())",
        charge.charge_id,
    )
    return charge.charge_id


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_cannot_be_changed_or_deleted(store: Store, fact: str) -> None:
    charge_id = a_full_life(store)
    with pytest.raises(NotApplied, match=f"a fact does not change: UPDATE on {fact}"):
        store.query(f"UPDATE {fact} SET charge_id = charge_id WHERE charge_id = %s", charge_id)
    with pytest.raises(NotApplied, match=f"a fact does not change: DELETE on {fact}"):
        store.query(f"DELETE FROM {fact} WHERE charge_id = %s", charge_id)


def test_a_key_once_given_stays_its_charges(store: Store) -> None:
    store.a_charge()
    with pytest.raises(NotApplied, match="a fact does not change"):
        store.query("UPDATE charge_key SET charge_id = 0")


@pytest.mark.parametrize("state", REACHABLE)
def test_every_state_is_what_the_view_says(store: Store, state: State) -> None:
    charge = store.a_charge(state)
    row = store.get(charge)
    assert State(row.state) is state
    assert (row.decided_at is not None) == (state in END_STATES)
    assert (row.reason is not None) == (state in END_STATES - {State.SUCCEEDED})


def happens(store: Store, charge: Charge, event: Event) -> None:
    """The event, by the transaction that brings it about."""
    match event:
        case Event.PROMPT_WRITTEN:
            store.begin(charge)
        case Event.PROMPT_REFUSED:
            store.begin(charge)
            store.finish(store.an_answer(charge, next=prompts.Next.UNDELIVERABLE))
        case Event.PROMPT_FAILED:
            store.begin(charge)
            store.finish(store.an_answer(charge))
            store.receive(store.a_receipt(charge))
        case Event.AGREED:
            store.begin(charge)
            store.reply(charge)
        case Event.DECLINED:
            store.reply(charge, "no")
        case Event.UNCLEAR:
            store.reply(charge, "unclear")
        case Event.CANCEL:
            store.cancel(charge)
        case Event.TIME_UP:
            store.begin(charge)
            store.ahead(601)
            store.expire()
        case Event.NOT_STARTED_IN_TIME:
            store.ahead(121)
            store.intend(charge)
        case Event.DEBIT_STARTED:
            store.intend(charge)
        case Event.NEEDS_REVIEW:
            store.result(charge, "unknown", following=debits.Next.REVIEW)
        case _:
            answer = ANSWERS[event]
            reason = None if answer in ("debited", "unknown") else "BILLING_REJECTED"
            store.result(charge, answer, reason=reason)


ANSWERS = {
    Event.NOT_SENT: "not_sent",
    Event.DEBITED: "debited",
    Event.DENIED: "denied",
    Event.DEBIT_UNKNOWN: "unknown",
    Event.NOT_FOUND: "not_found",
}
HAPPENINGS = (
    *(Event.PROMPT_WRITTEN, Event.PROMPT_REFUSED, Event.PROMPT_FAILED, Event.AGREED),
    *(Event.DECLINED, Event.UNCLEAR, Event.CANCEL, Event.TIME_UP, Event.NOT_STARTED_IN_TIME),
    *(Event.DEBIT_STARTED, Event.NEEDS_REVIEW, *ANSWERS),
)


@pytest.mark.parametrize(
    ("state", "event"),
    sorted(pair for pair in RULES if pair[0] in REACHABLE and pair[1] in HAPPENINGS),
)
def test_what_happens_leads_where_the_rules_say(store: Store, state: State, event: Event) -> None:
    charge = store.a_charge(state)
    happens(store, charge, event)
    assert store.state(charge) is follow(state, event).state


@pytest.mark.parametrize("state", sorted(END_STATES))
def test_nothing_leaves_an_end(store: Store, state: State) -> None:
    charge = store.a_charge(state)
    before = store.get(charge)
    for event in HAPPENINGS:
        happens(store, charge, event)
        assert store.get(charge) == before, event


# --- for people -------------------------------------------------------------------------------


def test_a_history_has_every_fact_in_order(store: Store) -> None:
    charge_id = a_full_life(store)
    told = store.run(history.facts, charge_id)
    assert [entry.what for entry in told] == [
        *("charge", "prompt", "prompt answer", "receipt", "reply"),
        *("debit attempt", "debit result", "outcome", "notification", "delivery"),
        "resolution",
    ]
    assert [entry.at for entry in told] == sorted(entry.at for entry in told)
    details = {entry.what: entry.detail for entry in told}
    assert details["charge"].startswith("accepted: reply address 717100, route main, billing sim")
    assert details["prompt"] == "written from 717100 in 1 segment(s): pay?"
    accepted = f"attempt 1 over acme, segment 0: accepted as m{charge_id}"
    assert details["prompt answer"] == accepted
    assert details["receipt"] == f"message m{charge_id}: delivered, error 001"
    assert details["reply"] == ("0x04140410 over acme to 717100, read as yes (test): confirmed")
    assert details["debit attempt"] == "attempt 1: debit at sim, by node a"
    assert details["debit result"] == "attempt 1: debited, reference ref-9, ok"
    assert details["outcome"] == "succeeded, billing reference ref-9"
    assert details["notification"] == "to https://shop.example/hook"
    assert details["delivery"] == "attempt 1: delivered, 200"


def test_a_history_tells_what_went_wrong(store: Store) -> None:
    charge = store.a_charge(code_required=True)
    store.begin(charge)
    store.finish(store.an_answer(charge, segments=((None, None), (11, None), (0, None))))
    answers = [e.detail for e in store.run(history.facts, charge.charge_id)]
    assert answers[0].endswith(", with code")
    assert [a.partition(": ")[2] for a in answers if a.startswith("attempt")] == [
        "no answer",
        "command_status 0xb",
        "accepted as ?",
    ]


def test_what_the_phone_said_is_had_with_all_that_decoding_needs(store: Store) -> None:
    charge = store.a_written_charge()
    store.settle(store.a_reply(charge, raw=b"\x04\x34", data_coding=8, esm_class=64))
    [said] = store.run(history.said, charge.charge_id)
    assert said == history.Said("acme", b"\x04\x34", 8, 64)


def test_what_is_still_to_be_done_is_shown_with_it(store: Store) -> None:
    assert [e.what for e in store.run(history.work, store.a_charge().charge_id)] == ["prompt job"]
    doubt, review = store.a_charge(State.IN_DOUBT), store.a_charge(State.REVIEW)
    [entry] = store.run(history.work, doubt.charge_id)
    assert entry.detail == "1 attempt(s) so far, next: debit, in doubt"
    [entry] = store.run(history.work, review.charge_id)
    assert entry.detail == "1 attempt(s) so far, next: debit, a person must decide"
    ended = store.a_charge(State.SUCCEEDED)
    assert {e.what for e in store.run(history.work, ended.charge_id)} == {
        "prompt job",
        "webhook job",
    }


def test_a_charge_is_found_by_what_people_know_of_it(store: Store) -> None:
    older = store.a_charge(reference=f"bill-{store.number()}")
    newer = store.a_charge(State.SUCCEEDED, msisdn=older.msisdn)
    find = {"msisdn": None, "reference": None, "billing_reference": None, "limit": 10}
    by_phone = {**find, "msisdn": older.msisdn}
    assert store.run(history.find, **by_phone) == [newer.charge_id, older.charge_id]
    assert store.run(history.find, **{**by_phone, "limit": 1}) == [newer.charge_id]
    reference = store.get(older).reference
    assert store.run(history.find, **{**find, "reference": reference}) == [older.charge_id]
    billing = f"ref-{newer.charge_id}"
    assert store.run(history.find, **{**find, "billing_reference": billing}) == [newer.charge_id]
    both = {**by_phone, "reference": reference}
    assert store.run(history.find, **both) == [older.charge_id]


def test_figures_count_what_is_due_and_what_is_stuck(store: Store) -> None:
    empty = store.run(figures.look)
    assert [(w.kind, w.count, w.oldest_s) for w in empty.work] == [
        ("prompt", 0, 0),
        ("debit", 0, 0),
        ("refund", 0, 0),
        ("webhook", 0, 0),
    ]
    store.a_charge()
    store.a_charge(State.IN_DOUBT)
    store.a_charge(State.REVIEW)
    store.a_charge(State.CONFIRMED)
    store.a_charge(State.CANCELLED)
    store.query("UPDATE webhook_job SET dead_since = business_now()")
    store.run(registers.pause, kind="prompts", partner="", adapter="")
    store.ahead(100)
    # Tried, and put off: they are waited for all the same.
    store.query("UPDATE prompt_job SET run_at = business_now() + interval '20 s'")
    store.query("UPDATE debit_job SET run_at = business_now() + interval '20 s'")
    seen = store.run(figures.look)
    assert {w.kind: w.count for w in seen.work} == {
        "prompt": 2,
        "debit": 2,
        "refund": 0,
        "webhook": 0,
    }
    assert 100 <= seen.work[0].oldest_s < 110
    assert 100 <= seen.work[1].oldest_s < 110
    assert (seen.awaiting, seen.in_doubt, seen.in_review, seen.dead_webhooks) == (1, 1, 1, 1)
    assert seen.months_left >= 1
    assert [pause.kind for pause in seen.pauses] == ["prompts"]
