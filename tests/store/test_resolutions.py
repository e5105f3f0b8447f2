"""What a person says of a doubt ends the charge once, and only where no machine is at it."""

from datetime import UTC, datetime

import pytest

from ppcd.charge.rules import State
from ppcd.store import history, migrate, partitions, resolutions
from ppcd.store.debits import Next
from ppcd.store.ids import first_id_of
from ppcd.store.lanes import Direct, Violated
from ppcd.store.resolutions import Obstacle, Resolution, Unresolved, Which
from ppcd.store.rows import Ended
from tests.builders import LEASE_S, Charge, Store

QUIET_S = 60.0
DOUBTS = [State.IN_DOUBT, State.REVIEW]


def resolve(store: Store, charge: Charge, end: Next) -> object:
    resolution = Resolution(
        charge.charge_id,
        end,
        "asked the billing team",
        "alice (uid 1000)",
        reason="BILLING_UNAVAILABLE" if end is Next.DENIED else None,
        reference="B-7" if end is Next.SUCCEEDED else None,
    )
    return store.run(resolutions.resolve, resolution, quiet_period_s=QUIET_S)


@pytest.mark.parametrize("state", DOUBTS)
@pytest.mark.parametrize("end", [Next.SUCCEEDED, Next.DENIED])
def test_a_person_ends_a_doubt_like_billing_would(store: Store, state: State, end: Next) -> None:
    charge = store.a_charge(state)
    store.ahead(QUIET_S + 1)
    done = resolve(store, charge, end)
    assert isinstance(done, Ended)
    assert store.state(charge) is State(end.value)
    # The partner is told, and so is the phone.
    assert done.webhook is not None
    assert store.work_of(charge) == {"webhook_job", "prompt_job"}
    assert store.query(
        "SELECT state, reason, reference, person FROM debit_resolution WHERE charge_id = %s",
        charge.charge_id,
    ) == [
        (
            end.value,
            "asked the billing team",
            "B-7" if end is Next.SUCCEEDED else None,
            "alice (uid 1000)",
        )
    ]
    row = store.get(charge)
    assert row.billing_reference == ("B-7" if end is Next.SUCCEEDED else None)
    assert row.reason == (None if end is Next.SUCCEEDED else "BILLING_UNAVAILABLE")


def test_the_history_says_who_decided_and_why(store: Store) -> None:
    charge = store.a_charge(State.REVIEW)
    resolve(store, charge, Next.SUCCEEDED)
    facts = store.run(history.facts, charge.charge_id)
    assert [e.detail for e in facts if e.what == "resolution"] == [
        "succeeded, reference B-7, said alice (uid 1000): asked the billing team"
    ]


@pytest.mark.parametrize(
    ("state", "obstacle"),
    [
        (State.AWAITING, Obstacle.NO_DEBIT),
        (State.CONFIRMED, Obstacle.NOT_IN_DOUBT),
        (State.DEBITING, Obstacle.NOT_IN_DOUBT),
        (State.SUCCEEDED, Obstacle.ENDED),
        (State.DENIED, Obstacle.ENDED),
        (State.DECLINED, Obstacle.ENDED),
    ],
)
@pytest.mark.parametrize("end", [Next.SUCCEEDED, Next.DENIED])
def test_only_doubts_are_resolved(
    store: Store, state: State, obstacle: Obstacle, end: Next
) -> None:
    charge = store.a_charge(state)
    assert resolve(store, charge, end) == Unresolved(obstacle)
    assert store.state(charge) is state
    assert store.count("debit_resolution", charge) == 0


def test_what_is_resolved_is_not_resolved_again(store: Store) -> None:
    charge = store.a_charge(State.REVIEW)
    assert isinstance(resolve(store, charge, Next.SUCCEEDED), Ended)
    store.ahead(QUIET_S + 1)
    assert resolve(store, charge, Next.DENIED) == Unresolved(Obstacle.ENDED)
    assert store.state(charge) is State.SUCCEEDED


def test_nobody_decides_while_billing_is_being_asked(store: Store) -> None:
    charge = store.a_charge(State.IN_DOUBT)
    assert store.intend(charge, attempt=2, repeat=True)
    for end in (Next.SUCCEEDED, Next.DENIED):
        assert resolve(store, charge, end) == Unresolved(Obstacle.UNDER_WAY)
    # Its node died: nobody is at it any more.
    store.ahead(LEASE_S + 1)
    assert isinstance(resolve(store, charge, Next.SUCCEEDED), Ended)


@pytest.mark.parametrize("state", DOUBTS)
def test_a_denial_waits_until_no_request_can_debit_any_more(store: Store, state: State) -> None:
    charge = store.a_charge(state)
    early = resolve(store, charge, Next.DENIED)
    assert isinstance(early, Unresolved)
    assert early.obstacle is Obstacle.NOT_QUIET
    assert 50 < early.left_s <= QUIET_S
    store.ahead(QUIET_S + 1)
    assert isinstance(resolve(store, charge, Next.DENIED), Ended)


def test_a_worker_that_comes_late_begins_nothing(store: Store) -> None:
    charge = store.a_charge(State.IN_DOUBT)
    resolve(store, charge, Next.SUCCEEDED)
    assert store.intend(charge, attempt=2, repeat=True) is None
    assert store.result(charge, "denied", attempt=1, reason="SERVICE_DENIED") is None
    assert store.state(charge) is State.SUCCEEDED


def test_a_resolution_without_its_words_is_refused(store: Store) -> None:
    charge = store.a_charge(State.REVIEW)
    silent = Resolution(charge.charge_id, Next.SUCCEEDED, "", "alice (uid 1000)")
    with pytest.raises(Violated):
        store.run(resolutions.resolve, silent, quiet_period_s=0)
    assert store.state(charge) is State.REVIEW


def test_the_list_has_the_open_debits_that_are_asked_for(store: Store) -> None:
    states = [State.CONFIRMED, State.IN_DOUBT, State.REVIEW, State.SUCCEEDED]
    made = {state: store.a_charge(state).charge_id for state in states}

    def listed(which: Which, limit: int = 10) -> tuple[list[int], int]:
        found, count = store.run(resolutions.list_open, which=which, limit=limit)
        return [debit.charge_id for debit in found], count

    three = [made[state] for state in states[:3]]
    assert listed(Which.ALL) == (three, 3)
    assert listed(Which.ALL, limit=1) == (three[:1], 3)
    assert listed(Which.IN_DOUBT) == ([made[State.IN_DOUBT]], 1)
    assert listed(Which.REVIEW) == ([made[State.REVIEW]], 1)
    debit = store.run(resolutions.get_open, made[State.REVIEW])
    assert debit is not None
    assert (debit.state, debit.attempts, debit.billing) == ("review", 1, "sim")
    assert store.run(resolutions.get_open, made[State.SUCCEEDED]) is None


def test_an_update_takes_in_doubts_that_are_older_than_it(bare_database: str) -> None:
    before = [m for m in migrate.load() if m.version < 3]
    long_ago = datetime(2025, 3, 15, tzinfo=UTC)
    migrate.migrate(bare_database, migrations=before)
    with Direct(bare_database) as direct:
        direct.run(partitions.make, months_ahead=0, now=long_ago)
        migrate.migrate(bare_database)
        direct.run(
            lambda cur: cur.execute(
                "INSERT INTO debit_resolution VALUES (%s, 'denied', 'x', NULL, 'y', now())",
                [first_id_of(long_ago)],
            )
        )
