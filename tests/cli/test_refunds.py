"""`ppcd refund`: what people see of refunds in doubt, and how their decision is kept."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ppcd.charge.rules import State
from ppcd.store import refund_jobs
from ppcd.store.debits import Next
from ppcd.store.refund_jobs import Intent, Result
from tests.builders import Store, connections
from tests.cli.test_commands import Run, a_runner
from tests.store.test_refunds import a_new_refund, accept


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with connections(database) as (direct, pinned):
        yield Store(database, direct, pinned)


@pytest.fixture
def run(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_runner(store.dsn, tmp_path, capsys)


def begun(store: Store) -> tuple[int, int]:
    """A charge and its refund, asked for and not answered."""
    charge = store.a_charge(State.SUCCEEDED)
    refund = accept(store, a_new_refund(store, charge)).refund
    intent = Intent(charge.charge_id, refund.refund_id, 1, query=False)
    store.run(refund_jobs.begin, [intent], node="a", lease_s=60)
    return charge.charge_id, refund.refund_id


def in_review(store: Store) -> int:
    charge_id, refund_id = begun(store)
    result = Result(charge_id, refund_id, 1, "unknown", Next.REVIEW, detail="no answer")
    store.run(refund_jobs.record, [result], lease_s=0)
    return refund_id


def test_the_list_shows_doubts_without_numbers_of_subscribers(run: Run, store: Store) -> None:
    charge_id, doubt = begun(store)
    unknown = Result(charge_id, doubt, 1, "unknown", Next.DOUBT, plan="query", delay_s=60)
    store.run(refund_jobs.record, [unknown], lease_s=0)
    review = in_review(store)
    code, out, _ = run("refund", "list")
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["in_doubt", "review"]
    code, out, _ = run("refund", "list", "--review", "--json")
    listed = json.loads(out)
    assert listed["count"] == 1
    assert listed["refunds"][0]["refund"] == review
    assert listed["refunds"][0]["next"] == "a person decides"
    assert "•" in listed["refunds"][0]["msisdn"]
    code, out, _ = run("refund", "list", "--limit", "1")
    assert "… and 1 more" in out


def test_one_refund_is_shown_with_its_keys_and_what_to_do(run: Run, store: Store) -> None:
    refund_id = in_review(store)
    code, out, _ = run("refund", "show", str(refund_id))
    assert code == 0
    assert out.startswith(f"refund key   {refund_id}\n")
    assert "attempt 1: refund at sim, by node a" in out
    assert f"ppcd refund resolve {refund_id} denied" in out
    code, out, _ = run("refund", "show", str(refund_id), "--json")
    assert json.loads(out)["refund"]["state"] == "review"
    code, _, err = run("refund", "show", "1")
    assert (code, err) == (1, "ppcd: there is no refund 1\n")


def test_a_person_says_that_it_was_given_back(run: Run, store: Store) -> None:
    refund_id = in_review(store)
    said = ("--reason", "seen in billing's log", "--reference", "R-9")
    code, out, _ = run("refund", "resolve", str(refund_id), "succeeded", *said)
    assert code == 0
    assert "recorded as the" in out
    code, out, _ = run("refund", "show", str(refund_id))
    assert "succeeded, billing reference R-9" in out
    assert "seen in billing's log" in out
    code, _, err = run("refund", "resolve", str(refund_id), "denied", "--reason", "no")
    assert (code, "has ended already" in err) == (1, True)


def test_a_denial_waits_until_billing_can_no_longer_give_back(run: Run, store: Store) -> None:
    refund_id = in_review(store)
    denied = ("refund", "resolve", str(refund_id), "denied", "--reason", "not in billing's log")
    code, _, err = run(*denied)
    assert (code, "may still give refund" in err) == (1, True)
    store.ahead(120)
    code, _, _ = run(*denied)
    assert code == 0
    assert store.query("SELECT reason FROM refund_outcome") == [("BILLING_UNAVAILABLE",)]


def test_what_is_not_in_doubt_or_asked_right_now_is_left_alone(run: Run, store: Store) -> None:
    charge = store.a_charge(State.SUCCEEDED)
    fresh = accept(store, a_new_refund(store, charge)).refund.refund_id
    _, _, err = run("refund", "resolve", str(fresh), "succeeded", "--reason", "r")
    assert "is not in doubt" in err
    charge_id, refund_id = begun(store)
    unknown = Result(charge_id, refund_id, 1, "unknown", Next.DOUBT)
    store.run(refund_jobs.record, [unknown], lease_s=0)
    intent = Intent(charge_id, refund_id, 2, query=False, repeat=True)
    store.run(refund_jobs.begin, [intent], node="a", lease_s=60)
    _, _, err = run("refund", "resolve", str(refund_id), "succeeded", "--reason", "r")
    assert "at this moment" in err


def test_a_decision_needs_its_reason_and_only_success_a_reference(run: Run, store: Store) -> None:
    code, _, err = run("refund", "resolve", "1", "denied", "--reason", " ")
    assert (code, "--reason must" in err) == (2, True)
    code, _, err = run("refund", "resolve", "1", "denied", "--reason", "r", "--reference", "R")
    assert (code, "only with succeeded" in err) == (2, True)


def test_a_charges_history_has_its_refunds(run: Run, store: Store) -> None:
    refund_id = in_review(store)
    [[charge_id]] = store.query("SELECT charge_id FROM refund WHERE refund_id = %s", refund_id)
    _, out, _ = run("charge", "show", str(charge_id))
    assert f"{refund_id}: total, 2500 minor units UAH, reference refund-" in out
    assert "a person must decide" in out
