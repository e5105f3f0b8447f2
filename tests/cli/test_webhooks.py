"""`ppcd webhook`: what people see of events that were not taken, and how they are told again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ppcd.charge.rules import State
from ppcd.store import notifications
from ppcd.store.notifications import Delivery, Told
from tests.builders import Charge, Store, connections
from tests.cli.test_commands import Run, a_runner


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with connections(database) as (direct, pinned):
        yield Store(database, direct, pinned)


@pytest.fixture
def run(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_runner(store.dsn, tmp_path, capsys)


def an_event(store: Store, result: Told | None = Told.DEAD) -> Charge:
    charge = store.a_charge(State.CANCELLED)
    if result is not None:
        store.run(notifications.record, [Delivery(charge.charge_id, 1, 1, result, "503")])
    return charge


def event_id(charge: Charge) -> str:
    return f"evt_{charge.charge_id}_1"


def due(store: Store) -> list[int]:
    found = store.run(notifications.claim, limit=1000, lease_s=60, node="a")
    return [key.charge_id for key in found]


def test_dead_events_are_listed_and_others_when_asked_for(run: Run, store: Store) -> None:
    dead, waiting = an_event(store), an_event(store, None)
    code, out, _ = run("webhook", "list", "--partner", store.partner)
    assert code == 0
    [line] = out.splitlines()[1:]
    assert line.split()[:2] == [event_id(dead), store.partner]
    assert line.endswith("dead: 503")
    [listed] = json.loads(run("webhook", "list", "--partner", store.partner, "--json")[1])
    assert (listed["event"], listed["state"], listed["attempts"]) == (event_id(dead), "dead", 1)
    code, out, _ = run("webhook", "list", "--state", "waiting", "--limit", "1")
    assert event_id(dead) not in out
    assert "use --limit" in out
    [listed] = json.loads(
        run("webhook", "list", "--state", "waiting", "--partner", store.partner, "--json")[1]
    )
    assert (listed["event"], listed["dead"]) == (event_id(waiting), None)
    assert run("webhook", "list", "--since", "2999-01-01")[1].count("evt_") == 0


def test_one_event_is_shown_with_every_attempt_and_what_to_do(run: Run, store: Store) -> None:
    charge = an_event(store)
    code, out, _ = run("webhook", "show", event_id(charge))
    assert code == 0
    assert "attempt 1  dead, 503" in out
    assert f"ppcd webhook replay {event_id(charge)} --reason TEXT" in out
    assert run("webhook", "show", str(charge.charge_id))[1] == out
    [shown] = json.loads(run("webhook", "show", event_id(charge), "--json")[1])
    assert shown["tried"][0]["what"] == "attempt 1"
    done = an_event(store, Told.DELIVERED)
    assert "replay" not in run("webhook", "show", event_id(done))[1]


def test_a_replay_is_told_again_and_recorded(run: Run, store: Store) -> None:
    charge, other = an_event(store), an_event(store)
    code, out, _ = run("webhook", "replay", event_id(charge), "--reason", " their\ncertificate ")
    assert code == 0
    assert out.startswith(f"{event_id(charge)}\n1 events are told again")
    assert f"(uid {os.getuid()})" in out
    assert due(store) == [charge.charge_id]
    assert "their certificate" in run("charge", "show", str(charge.charge_id))[1]
    assert "their certificate" in run("webhook", "show", event_id(charge))[1]
    assert event_id(other) in run("webhook", "list", "--partner", store.partner)[1]


def test_a_partners_dead_events_are_replayed_together(run: Run, store: Store) -> None:
    charges = [an_event(store), an_event(store)]
    over = an_event(store, Told.DELIVERED)
    _, out, _ = run("webhook", "replay", "--partner", store.partner, "--reason", "x", "--json")
    assert json.loads(out) == {"replayed": [event_id(charge) for charge in charges]}
    # Those that they have are theirs to ask for, by partner and time.
    period = ("--since", "2000-01-01", "--until", "2999-01-01T00:00+02:00")
    wanted = ("--over", "--partner", store.partner, *period, "--reason", "they lost them")
    assert json.loads(run("webhook", "replay", *wanted, "--json")[1]) == {
        "replayed": [event_id(over)]
    }
    assert set(due(store)) == {charge.charge_id for charge in (*charges, over)}
    left = [an_event(store), an_event(store)]
    _, out, _ = run(
        *("webhook", "replay", "--partner", store.partner, "--limit", "1", "--reason", "x")
    )
    assert "There may be more" in out
    assert due(store) == [left[0].charge_id]
    assert run("webhook", "replay", "--all-dead", "--reason", "x", "--json")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("replay", "--reason", "x"), "name events, or say which"),
        (("replay", "evt_1_1", "--all-dead", "--reason", "x"), "name events, or say which"),
        (("replay", "evt_1_1", "--reason", " "), "--reason must say"),
        (("replay", "--over", "--partner", "p", "--reason", "x"), "--over wants"),
        (("replay", "--since", "yesterday", "--reason", "x"), "'yesterday' is no time"),
        (("show", "evt_x"), "is no id of an event"),
        (("show", "99999999999999999999"), "is no id of an event"),
    ],
)
def test_wrong_usage_is_said(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = run("webhook", *arguments)
    assert (code, message in err) == (2, True)


def test_what_is_not_there_is_said(run: Run) -> None:
    assert run("webhook", "show", "17") == (
        1,
        "",
        "ppcd: there is no event 17: the charge has not ended, or none was wanted\n",
    )
    assert "there is no partner" in run("webhook", "list", "--partner", "nobody")[2]
