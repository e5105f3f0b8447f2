"""Random schedules, and planted bugs that they must find. `PPCD_SCHEDULES` says how many."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ppcd.charge import reservation
from ppcd.charge.debit import DebitOrder, Doubt, NextStep
from ppcd.charge.rules import Event
from ppcd.flow import asking, weighing
from ppcd.flow.reservation import DecideAnswer, Decided, DecidedBefore, Reservations
from ppcd.store import debits, intents, reservations
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.flow import schedules
from tests.flow.fakes import IDEMPOTENT, QUERYABLE
from tests.flow.schedules import ANYTHING, BRISK_S, SLOW_S, Chances

COUNT = int(os.environ.get("PPCD_SCHEDULES", "60"))


@pytest.mark.timeout(7200)
def test_no_schedule_debits_twice_or_ends_otherwise_than_billing_knows(store: Store) -> None:
    ends = schedules.run(store, range(COUNT))
    # Schedules in which nothing is at stake prove nothing.
    assert ends["succeeded"] > COUNT / 5
    assert ends["denied"] > COUNT / 5
    assert ends["review"] > COUNT / 20


# --- planted bugs


def a_key_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(**values: Any) -> DebitOrder:
        values["key"] = f"{values['key']}{values['attempt']}"
        return DebitOrder(**values)

    monkeypatch.setattr(asking, "DebitOrder", order)


def what_is_not_found_never_was(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = weighing.judge

    def hasty(abilities: Any, answer: Any, *, repeat: bool, quiet_over: bool) -> Event:
        return judge(abilities, answer, repeat=repeat, quiet_over=True)

    monkeypatch.setattr(weighing, "judge", hasty)


def a_doubt_is_sent_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*_: Any, **__: Any) -> NextStep:
        return NextStep(Doubt.AGAIN, 1.0)

    monkeypatch.setattr(reservation, "resolve_doubt", again)


def an_old_intent_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = asking.Asking.ask

    def late(self: Any, job: Any, begun: Any, send_by: float, may_send: Any) -> Any:
        return ask(self, job, begun, send_by + 100_000, lambda: True)

    monkeypatch.setattr(asking.Asking, "ask", late)


def an_open_attempt_is_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = debits._TAKEN.replace(debits.OPEN_SINCE, "(SELECT NULL::timestamptz)")
    lock = intents._LOCK.replace("d.attempt = j.attempts", "d.attempt < 0")
    assert (taken, lock) != (debits._TAKEN, intents._LOCK)
    monkeypatch.setattr(debits, "_TAKEN", taken)
    monkeypatch.setattr(intents, "_LOCK", lock)


def a_doubt_is_denied_when_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = intents._LOCK.replace("j.doubt_since,", "NULL::timestamptz,", 1)
    assert lock != intents._LOCK
    monkeypatch.setattr(intents, "_LOCK", lock)


def an_unanswered_capture_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def let_go(*_: Any, **__: Any) -> NextStep:
        return NextStep(Doubt.LET_GO, 1.0)

    monkeypatch.setattr(weighing, "resolve_capture", let_go)


def what_lapses_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reservations._ACTS, reservation.Decision.LAPSED, reservation.Act.CAPTURE)


def who_decides_second_is_told_that_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Reservations._decide

    async def hasty(self: Reservations, *args: Any) -> DecideAnswer:
        answer = await decide(self, *args)
        return Decided() if isinstance(answer, DecidedBefore) else answer

    monkeypatch.setattr(Reservations, "_decide", hasty)


#: Requests that take effect late, refusals that do not bind billing.
LATE = Chances(
    abilities=[IDEMPOTENT],
    passes_s=[BRISK_S],
    calls={"well": 40, "late": 60},
    at_billing={Fault.NONE: 60, Fault.INSUFFICIENT: 40},
    actions={"event": 60, "work": 28, "advance": 12},
)
#: Money that is held first, and partners who decide.
HELD = Chances(
    abilities=[replace(IDEMPOTENT, reserving=True)],
    two_steps=100,
    passes_s=[BRISK_S],
    calls={"well": 60, "answer lost": 40},
    at_billing={Fault.NONE: 100},
    actions={"event": 55, "work": 25, "advance": 8, "decide": 12},
)
#: Nodes that stand still between an intent and its request, for longer than others wait.
ASLEEP = Chances(
    abilities=[QUERYABLE],
    passes_s=[SLOW_S],
    calls={"well": 100},
    actions={"event": 55, "work": 25, "advance": 15, "pause": 5},
)
PLANTED = {
    a_key_an_attempt: ANYTHING,
    what_is_not_found_never_was: LATE,
    a_doubt_is_sent_again_at_once: ANYTHING,
    an_old_intent_is_sent: ASLEEP,
    an_open_attempt_is_overlooked: ANYTHING,
    a_doubt_is_denied_when_it_is_late: ANYTHING,
    an_unanswered_capture_is_let_go: HELD,
    what_lapses_is_captured: HELD,
    who_decides_second_is_told_that_it_counts: HELD,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(schedules.Broken):
        schedules.run(store, range(2_000), PLANTED[plant])


def test_a_seed_is_a_schedule(store: Store) -> None:
    def ends() -> tuple[Counter[str], list[str]]:
        schedule = schedules.Schedule(Store(store.dsn, store.direct, store.pinned), 7)
        found = schedule.run()
        return found, [line.split(" ")[0] for line in schedule.trace]

    assert ends() == ends()
