"""`ppcd debit`: what people see of debits in doubt, and how their decision is kept."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ppcd.charge.rules import State
from ppcd.cli.person import person_of
from tests.builders import Store, connections
from tests.cli.test_commands import Run, a_runner


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with connections(database) as (direct, pinned):
        yield Store(database, direct, pinned)


@pytest.fixture
def run(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_runner(store.dsn, tmp_path, capsys)


def test_the_list_shows_doubts_without_numbers_of_subscribers(run: Run, store: Store) -> None:
    doubt, review = store.a_charge(State.IN_DOUBT), store.a_charge(State.REVIEW)
    code, out, _ = run("debit", "list")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["in_doubt", "review"]
    assert str(doubt.msisdn) not in out
    code, out, _ = run("debit", "list", "--review", "--json")
    listed = json.loads(out)
    assert listed["count"] == 1
    assert listed["debits"][0]["charge"] == review.charge_id
    assert listed["debits"][0]["next"] == "a person decides"
    code, out, _ = run("debit", "list", "--in-doubt")
    assert str(doubt.charge_id) in out
    assert str(review.charge_id) not in out
    code, out, _ = run("debit", "list", "--limit", "1")
    assert "… and 1 more" in out


def test_one_debit_is_shown_with_its_key_and_what_to_do(run: Run, store: Store) -> None:
    charge = store.a_charge(State.REVIEW)
    code, out, _ = run("debit", "show", str(charge.charge_id))
    assert code == 0
    assert out.startswith(f"debit key    {charge.charge_id}\n")
    assert "attempt 1: debit at sim" in out
    assert f"ppcd debit resolve {charge.charge_id} denied" in out
    code, out, _ = run("debit", "show", str(charge.charge_id), "--json")
    assert json.loads(out)["debit"]["state"] == "review"
    done = store.a_charge(State.SUCCEEDED)
    code, out, _ = run("debit", "show", str(done.charge_id))
    assert (code, "resolve" in out) == (0, False)
    code, _, err = run("debit", "show", "1")
    assert (code, err) == (1, "ppcd: there is no debit of charge 1\n")


def test_a_resolution_is_kept_with_who_and_why(run: Run, store: Store) -> None:
    charge = store.a_charge(State.REVIEW)
    code, out, _ = run(
        *("debit", "resolve", str(charge.charge_id), "succeeded"),
        *("--reason", " booked,\nsays ticket 17 ", "--reference", "B-7"),
    )
    assert code == 0
    assert f"charge {charge.charge_id} has succeeded" in out
    [(why, reference, person)] = store.query(
        "SELECT reason, reference, person FROM debit_resolution WHERE charge_id = %s",
        charge.charge_id,
    )
    assert (why, reference) == ("booked, says ticket 17", "B-7")
    assert f"uid {os.getuid()}" in person
    assert "booked, says ticket 17" in run("charge", "show", str(charge.charge_id))[1]
    code, _, err = run("debit", "resolve", str(charge.charge_id), "denied", "--reason", "x")
    assert (code, "has ended already" in err) == (1, True)


def test_a_denial_is_told_how_long_to_wait(run: Run, store: Store) -> None:
    charge = store.a_charge(State.REVIEW)
    denied = ("debit", "resolve", str(charge.charge_id), "denied", "--reason", "not in the file")
    code, _, err = run(*denied)
    assert code == 1
    assert "may still debit" in err
    # 60 s is billing's quiet period by default; an intent itself is good for 5 s.
    store.ahead(63)
    assert run(*denied)[0] == 1
    store.ahead(3)
    assert run(*denied)[0] == 0
    assert store.state(charge) is State.DENIED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("denied", "--reason", "  "), "--reason must say"),
        (("denied", "--reason", "x", "--reference", "B-7"), "only with succeeded"),
    ],
)
def test_wrong_usage_is_said(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = run("debit", "resolve", "1", *arguments)
    assert code == 2
    assert message in err


def test_a_person_is_who_logged_in() -> None:
    assert person_of(0, None) == "root (uid 0)"
    assert person_of(0, 0) == "root (uid 0)"
    assert person_of(0, 3999999999) == "uid 3999999999 as root (uid 0)"
