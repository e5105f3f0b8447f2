"""Debits: on record before the first byte, ended once, never twice, never in doubt by accident."""

from typing import Any

import pytest

from ppcd.charge.rules import State
from ppcd.store import debits, intents
from ppcd.store.debits import Next
from ppcd.store.intents import Begun, Intent
from ppcd.store.rows import DebitJob, Ended, PromptKey, PromptNo, WebhookKey
from tests.builders import Charge, Store

CONFIRMED, DEBITING = State.CONFIRMED, State.DEBITING


def a_job(store: Store, charge: Charge, **changes: Any) -> DebitJob:
    job = DebitJob(charge.charge_id, store.partner_id, charge.msisdn, 2500, "UAH", "sim", 0)
    return job._replace(**changes)


# --- beginning --------------------------------------------------------------------------------


def test_an_attempt_is_on_record_before_it_is_made(store: Store) -> None:
    charge = store.a_charge(CONFIRMED)
    assert store.intend(charge) == Begun(1, "Game Shop", "250 gold", None)
    assert store.state(charge) is DEBITING
    assert store.query(
        "SELECT attempt, kind, billing, node FROM debit_attempt WHERE charge_id = %s",
        charge.charge_id,
    ) == [(1, "debit", "sim", "a")]


def test_an_attempt_is_begun_by_one_worker_only(store: Store) -> None:
    charge = store.a_charge(CONFIRMED)
    assert isinstance(store.intend(charge), Begun)
    assert store.intend(charge) is None
    assert store.intend(charge, attempt=3) is None
    assert store.count("debit_attempt", charge) == 1


def test_nothing_is_begun_for_a_charge_that_has_ended_or_waits_for_people(store: Store) -> None:
    for state in (State.SUCCEEDED, State.DENIED, State.REVIEW, State.DECLINED):
        charge = store.a_charge(state)
        assert store.intend(charge, attempt=2, repeat=True) is None
        assert store.state(charge) is state


def test_a_batch_is_begun_each_for_itself(store: Store) -> None:
    good, ended, late = store.a_charge(CONFIRMED), store.a_charge(State.DENIED), None
    late = store.a_charge(CONFIRMED, debit_start_s=1)
    store.ahead(2)
    wanted = [Intent(c.charge_id, 1) for c in (late, ended, good)]
    results = store.run(intents.begin, wanted, node="a", lease_s=60)
    assert [type(r) for r in results] == [Ended, type(None), Begun]


def test_a_debit_that_was_not_begun_in_time_is_denied(store: Store) -> None:
    charge = store.a_charge(CONFIRMED)
    store.ahead(121)
    assert store.intend(charge) == Ended(
        charge.charge_id,
        "denied",
        WebhookKey(charge.charge_id, 1),
        PromptKey(charge.charge_id, PromptNo.NOT_DEBITED),
    )
    assert store.get(charge).reason == "BILLING_UNAVAILABLE"
    assert store.count("debit_attempt", charge) == 0


def test_a_debit_that_never_reached_billing_is_denied_when_its_time_is_over(store: Store) -> None:
    charge = store.a_charge(CONFIRMED)
    store.intend(charge)
    store.result(charge, "not_sent")
    assert store.state(charge) is CONFIRMED
    store.ahead(121)
    assert isinstance(store.intend(charge, attempt=2), Ended)


def test_a_doubt_is_never_denied_for_being_late(store: Store) -> None:
    charge = store.a_charge(State.IN_DOUBT)
    store.ahead(121)
    begun = store.intend(charge, attempt=2, repeat=True)
    assert isinstance(begun, Begun)
    assert begun.doubt_s is not None
    assert begun.doubt_s >= 121
    assert store.state(charge) is State.IN_DOUBT


def test_an_attempt_without_a_result_makes_a_doubt(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    store.ahead(61)
    assert store.intend(charge, attempt=2) is None, "its worker does not know of the doubt"
    begun = store.intend(charge, attempt=2, repeat=True)
    assert isinstance(begun, Begun)
    assert begun.doubt_s is not None
    assert begun.doubt_s >= 61
    assert store.state(charge) is State.IN_DOUBT


def test_a_question_is_no_debit(store: Store) -> None:
    charge = store.a_charge(State.IN_DOUBT)
    assert isinstance(store.intend(charge, attempt=2, query=True), Begun)
    store.ahead(61)
    [job] = store.claim_debits()
    assert not job.open, "a question without an answer is no debit in flight"


# --- claiming ---------------------------------------------------------------------------------


def test_a_confirmed_job_is_taken_over_when_its_lease_is_over(store: Store) -> None:
    charge = store.a_charge(CONFIRMED)
    assert store.claim_debits() == []
    store.ahead(61)
    assert store.claim_debits() == [a_job(store, charge)]
    assert store.claim_debits() == []


def test_a_job_taken_over_in_the_middle_of_an_attempt_says_so(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    store.ahead(61)
    [job] = store.claim_debits()
    assert (job.charge_id, job.attempts, job.open) == (charge.charge_id, 1, True)
    assert job.doubt_s is not None
    assert job.quiet_s is not None
    assert 61 <= job.doubt_s < 65
    assert 61 <= job.quiet_s < 65


def test_quiet_counts_from_the_newest_attempt_that_may_have_arrived(store: Store) -> None:
    charge = store.a_charge(State.IN_DOUBT)
    store.ahead(10)
    store.intend(charge, attempt=2, repeat=True)
    store.result(charge, "not_sent", attempt=2, following=Next.DOUBT)
    store.ahead(10)
    [job] = store.claim_debits()
    assert job.quiet_s is not None
    assert 20 <= job.quiet_s < 25
    store.intend(charge, attempt=3, repeat=True)
    store.result(charge, "unknown", attempt=3, plan="query")
    store.ahead(10)
    [job] = store.claim_debits()
    assert job.quiet_s is not None
    assert job.doubt_s is not None
    assert (job.plan, job.open) == ("query", False)
    assert 10 <= job.quiet_s < 15
    assert 30 <= job.doubt_s < 35


def test_a_job_given_back_is_anybodys_at_once_or_after_its_pause(store: Store) -> None:
    now, later = store.a_charge(CONFIRMED), store.a_charge(CONFIRMED)
    store.run(debits.release, [now.charge_id])
    store.run(debits.release, [later.charge_id], delay_s=10)
    assert [job.charge_id for job in store.claim_debits()] == [now.charge_id]
    store.ahead(10)
    assert [job.charge_id for job in store.claim_debits()] == [later.charge_id]


def test_a_node_that_comes_back_takes_up_its_own_open_attempts_and_no_others(
    store: Store,
) -> None:
    mine, theirs, answered = (store.a_charge(DEBITING) for _ in range(3))
    store.query("UPDATE debit_job SET run_at = business_now() + interval '50 s'")
    store.result(answered, "not_sent", delay_s=30)
    store.run(intents.begin, [Intent(theirs.charge_id, 2, repeat=True)], node="b", lease_s=60)
    assert store.run(debits.reclaim, node="a") == 1
    assert [job.charge_id for job in store.claim_debits()] == [mine.charge_id]


def test_what_people_must_decide_is_not_claimed(store: Store) -> None:
    store.a_charge(State.REVIEW)
    store.ahead(1e6)
    assert store.claim_debits() == []


# --- answers ----------------------------------------------------------------------------------


def test_debited_ends_with_a_receipt_for_the_phone_and_word_to_the_partner(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    ended = store.result(charge, "debited", reference="ref-1")
    assert ended is not None
    assert ended.paid_s is not None
    assert 0 <= ended.paid_s < 5
    assert (ended.state, ended.webhook, ended.prompt) == (
        "succeeded",
        WebhookKey(charge.charge_id, 1),
        PromptKey(charge.charge_id, PromptNo.RECEIPT),
    )
    row = store.get(charge)
    assert (row.state, row.reason, row.billing_reference) == ("succeeded", None, "ref-1")
    assert store.work_of(charge) == {"prompt_job", "webhook_job"}


def test_denied_ends_with_its_reason_and_the_phone_is_told(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    ended = store.result(charge, "denied", reason="INSUFFICIENT_FUNDS", detail="4012")
    assert ended is not None
    assert ended.paid_s is None
    assert ended.prompt == PromptKey(charge.charge_id, PromptNo.NOT_DEBITED)
    assert store.get(charge).reason == "INSUFFICIENT_FUNDS"


def test_an_answer_recorded_twice_ends_once(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    assert store.result(charge, "debited") is not None
    assert store.result(charge, "debited") is None
    for table in ("outcome", "notification", "debit_result", "webhook_job"):
        assert store.count(table, charge) == 1


def test_not_sent_gives_the_attempt_back(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    assert store.result(charge, "not_sent", delay_s=5) is None
    assert store.state(charge) is CONFIRMED
    assert store.claim_debits() == []
    store.ahead(5)
    assert store.claim_debits() == [a_job(store, charge, attempts=1)]


def test_unknown_is_a_doubt_since_the_intent(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    store.ahead(10)
    store.result(charge, "unknown", delay_s=2, plan="query")
    assert store.state(charge) is State.IN_DOUBT
    store.ahead(2)
    [job] = store.claim_debits()
    assert job.doubt_s is not None
    assert 12 <= job.doubt_s < 15
    assert job.plan == "query"


def test_a_debit_that_moved_money_ends_whoever_says_so(store: Store) -> None:
    """A slow node's answer, after its job was taken over and tried again."""
    for state in (DEBITING, State.IN_DOUBT, State.REVIEW):
        charge = store.a_charge(state)
        if state is DEBITING:
            store.intend(charge, attempt=2, repeat=True)
        ended = store.result(charge, "debited", attempt=1, reference="ref-2")
        assert ended is not None
        assert store.state(charge) is State.SUCCEEDED


def test_the_denial_of_a_superseded_attempt_ends_nothing(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    store.intend(charge, attempt=2, repeat=True)
    assert store.result(charge, "denied", attempt=1, reason="BILLING_REJECTED") is None
    assert store.state(charge) is State.IN_DOUBT
    assert store.count("debit_result", charge) == 1


def test_a_superseded_attempts_other_answers_change_no_plan(store: Store) -> None:
    charge = store.a_charge(DEBITING)
    store.intend(charge, attempt=2, repeat=True)
    store.result(charge, "not_sent", attempt=1, delay_s=0)
    store.result(charge, "unknown", attempt=1, following=Next.REVIEW)
    assert store.state(charge) is State.IN_DOUBT
    assert store.claim_debits() == []


def test_an_answer_after_the_end_changes_nothing(store: Store) -> None:
    charge = store.a_charge(State.SUCCEEDED)
    for answer in ("denied", "unknown", "not_sent", "debited"):
        assert store.result(charge, answer, attempt=1, reason="BILLING_REJECTED") is None
    row = store.get(charge)
    assert (row.state, row.billing_reference) == ("succeeded", f"ref-{charge.charge_id}")


@pytest.mark.parametrize("answer", ["unknown", "not_sent"])
def test_a_slow_answer_does_not_take_a_review_back(store: Store, answer: str) -> None:
    charge = store.a_charge(State.REVIEW)
    store.result(charge, answer)
    assert store.state(charge) is State.REVIEW


@pytest.mark.parametrize(("answer", "state"), [("debited", "succeeded"), ("denied", "denied")])
def test_a_review_can_be_ended_by_what_billing_really_did(
    store: Store, answer: str, state: str
) -> None:
    charge = store.a_charge(State.REVIEW)
    reason = None if answer == "debited" else "BILLING_REJECTED"
    assert store.result(charge, answer, reason=reason) is not None
    assert store.state(charge) is State(state)


def test_a_batch_of_answers_is_carried_out_each_for_itself(store: Store) -> None:
    charges = [store.a_charge(DEBITING) for _ in range(4)]
    answers = [
        debits.Result(charges[0].charge_id, 1, "unknown", Next.DOUBT),
        debits.Result(charges[1].charge_id, 1, "debited", Next.SUCCEEDED, reference="r"),
        debits.Result(charges[2].charge_id, 1, "not_sent", Next.AGAIN),
        debits.Result(charges[3].charge_id, 1, "denied", Next.DENIED, reason="USER_UNKNOWN"),
    ]
    answers.reverse()
    ended = store.run(debits.record, answers, lease_s=60)
    assert [end and end.state for end in ended] == ["denied", None, "succeeded", None]
    states = [State.IN_DOUBT, State.SUCCEEDED, CONFIRMED, State.DENIED]
    assert [store.state(charge) for charge in charges] == states


def test_a_partner_without_an_address_has_no_notification(store: Store) -> None:
    silent = f"silent-{store.number()}"
    partner_id = store.a_partner(silent, webhook_url=None)
    charge = store.a_charge(DEBITING, partner_id=partner_id, partner=silent)
    ended = store.result(charge, "debited")
    assert ended is not None
    assert ended.webhook is None
    assert store.count("notification", charge) == 0
