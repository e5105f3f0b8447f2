"""What is older than it may be goes by whole months, and never what is still open."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from ppcd.charge.rules import State
from ppcd.store import partitions, retention
from ppcd.store.ids import first_id_of
from ppcd.store.lanes import Direct
from ppcd.store.partitions import Month
from ppcd.store.retention import Due, Group, Kept
from tests.builders import Charge, Store, connections

MARCH = datetime(2025, 3, 15, tzinfo=UTC)
#: A month in which what is of March may go after 12 months, to the day.
LATER = datetime(2026, 4, 1, tzinfo=UTC)
YEAR = {group: 12 for group in Group}


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with connections(database) as (direct, pinned):
        direct.run(partitions.make, months_ahead=0, now=MARCH)
        yield Store(database, direct, pinned)


def of_march(store: Store, state: State = State.SUCCEEDED, **changes: Any) -> Charge:
    """A charge with an id of March 2025, and no work left unless its state has some."""
    charge_id = first_id_of(MARCH) + store.number()
    charge = store.a_charge(state, charge_id=charge_id, **changes)
    if state is State.SUCCEEDED:
        for table in ("webhook_job", "prompt_job", "hold"):
            store.query(f"DELETE FROM {table} WHERE charge_id = %s", charge.charge_id)
    return charge


def due(store: Store, now: datetime = LATER, **months: int) -> list[Due]:
    wanted = YEAR | {Group(name): count for name, count in months.items()}
    return store.run(retention.due, wanted, now=now)


def test_a_month_is_due_when_all_of_it_is_older(store: Store) -> None:
    before = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
    # The partitions that tests are made with begin with the month before this one.
    assert {one.month for one in due(store, before)} == {Month(2025, 2)}
    found = due(store)
    assert {one.month for one in found} == {Month(2025, 2), Month(2025, 3)}
    assert {one.table for one in found} == set(store.run(partitions.tables))
    assert next(one.table for one in found if one.month == Month(2025, 3)) == "charge"


def test_each_group_has_its_own_months_and_none_is_for_ever(store: Store) -> None:
    found = due(store, charges=0, messages=12, notifications=13)
    march = {one.table for one in found if one.month == Month(2025, 3)}
    assert march == {"prompt", "prompt_answer", "receipt", "reply"}
    assert due(store, charges=0, messages=0, notifications=0) == []


def test_tables_that_nobody_has_grouped_are_kept_like_money(store: Store) -> None:
    store.query("CREATE TABLE novelty (charge_id bigint) PARTITION BY RANGE (charge_id)")
    store.run(partitions.make, months_ahead=0, now=MARCH)
    [one] = [one for one in due(store) if (one.table, one.month) == ("novelty", Month(2025, 3))]
    assert one.group is Group.CHARGES


@pytest.mark.parametrize(
    "state", [State.AWAITING, State.CONFIRMED, State.DEBITING, State.IN_DOUBT, State.REVIEW]
)
def test_a_month_with_something_open_is_held_back(store: Store, state: State) -> None:
    of_march(store)
    charge = of_march(store, state)
    for table in ("webhook_job", "prompt_job", "hold"):
        store.query(f"DELETE FROM {table} WHERE charge_id = %s", charge.charge_id)
    for one in due(store):
        assert (one.open > 0) == (one.month >= Month(2025, 3))


def test_a_dead_notification_and_work_of_a_new_kind_hold_it_back_too(store: Store) -> None:
    charge = of_march(store, State.DENIED)
    for table in ("prompt_job", "hold"):
        store.query(f"DELETE FROM {table} WHERE charge_id = %s", charge.charge_id)
    store.query("UPDATE webhook_job SET dead_since = now()")
    march = Month(2025, 3)
    assert store.run(retention.still_open, march) == 1
    store.query("DELETE FROM webhook_job")
    assert store.run(retention.still_open, march) == 0
    store.query("CREATE TABLE novelty_job (charge_id bigint)")
    store.query("INSERT INTO novelty_job VALUES (%s)", charge.charge_id)
    assert store.run(retention.still_open, march) == 1
    # What was said of it may stand in the next month.
    assert store.run(retention.still_open, march.plus(1)) == 1
    assert store.run(retention.still_open, march.plus(-1)) == 0


def drop(store: Store, table: str, rows: int | None) -> Kept | None:
    [one] = [one for one in due(store) if (one.table, one.month) == (table, Month(2025, 3))]
    return store.run(retention.drop, one, rows=rows)


def test_what_is_dropped_is_what_was_exported(store: Store) -> None:
    charge = of_march(store)
    assert drop(store, "charge", 0) is Kept.CHANGED
    assert drop(store, "charge", 2) is Kept.CHANGED
    assert store.count("charge", charge) == 1
    assert drop(store, "charge", 1) is None
    assert store.count("charge", charge) == 0
    # Its keys stay: what was asked for once is not asked for again.
    assert store.count("charge_key", charge) == 1
    assert "charge" not in {o.table for o in due(store) if o.month == Month(2025, 3)}


def test_what_was_opened_meanwhile_is_kept(store: Store) -> None:
    charge = of_march(store)
    [one] = [one for one in due(store) if (one.table, one.month) == ("charge", Month(2025, 3))]
    store.query(
        "INSERT INTO webhook_job (charge_id, sequence, partner_id, first_at, run_at)"
        " VALUES (%s, 1, %s, now(), now())",
        *(charge.charge_id, store.partner_id),
    )
    assert store.run(retention.drop, one, rows=1) is Kept.OPEN
    assert store.count("charge", charge) == 1


def test_what_is_written_while_it_is_looked_at_is_waited_for(store: Store) -> None:
    """A transaction that had begun when the drop came: its row is counted."""
    of_march(store)
    late = first_id_of(MARCH) + store.number()
    with psycopg.connect(store.dsn) as first, Direct(store.dsn) as direct:
        first.execute(
            "INSERT INTO outcome VALUES (%s, 'denied', 'BILLING_REJECTED', NULL, now())", [late]
        )
        [one] = [o for o in due(store) if (o.table, o.month) == ("outcome", Month(2025, 3))]
        first.commit()
        assert direct.run(retention.drop, one, rows=1) is Kept.CHANGED
