"""Lists of a partner's charges: exact in time, bounded in cost, nobody else's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ppcd.charge.rules import State
from ppcd.store import listing
from ppcd.store.ids import first_id_of
from ppcd.store.listing import Criteria, Standing
from tests.builders import Charge, Store

MERCHANT = '{"paymentAmount":{"chargingMetaData":{"merchantIdentifier":"m-1"}}}'
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def found(store: Store) -> Any:
    def found(looked_at_max: int = 100, **criteria: Any) -> Any:
        if "states" in criteria:
            states = criteria.pop("states")
            criteria["standings"] = tuple(Standing(state, False, False) for state in states)
        return store.run(
            listing.find,
            partner_id=store.partner_id,
            criteria=Criteria(**criteria),
            looked_at_max=looked_at_max,
        )

    return found


def ids(*charges: Charge) -> list[int]:
    return [charge.charge_id for charge in charges]


def shown(store: Store, charge: Charge) -> datetime:
    """When it was created, as partners see it."""
    at = store.get(charge).created_at
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def test_a_list_has_a_partners_own_charges_oldest_first(store: Store, found: Any) -> None:
    charges = [store.a_charge() for _ in range(3)]
    other = f"other-{store.number()}"
    store.a_charge(partner_id=store.a_partner(other), partner=other)
    assert found() == ids(*charges)


def test_times_include_what_was_created_in_that_very_millisecond(store: Store, found: Any) -> None:
    charge = store.a_charge()
    at = shown(store, charge)
    assert found(since=at, until=at) == ids(charge)
    assert found(since=at + MILLISECOND) == []
    assert found(until=at - MILLISECOND) == []


def test_a_time_finds_what_an_id_of_another_clock_has(store: Store, found: Any) -> None:
    now = store.query("SELECT business_now()")[0][0]
    for skew in (timedelta(minutes=-4), timedelta(minutes=4)):
        number = first_id_of(now + skew) + store.number()
        charge = store.a_charge(charge_id=number)
        at = shown(store, charge)
        assert number in found(since=at, until=at)


def test_any_time_can_be_asked_for(store: Store, found: Any) -> None:
    charge = store.a_charge()
    for year in (1, 1970, 2025):
        assert found(since=datetime(year, 1, 1, tzinfo=UTC)) == ids(charge)
        assert found(until=datetime(year, 1, 1, tzinfo=UTC)) == []
    for year in (2059, 9999):
        assert found(until=datetime(year, 12, 31, tzinfo=UTC)) == ids(charge)
        assert found(since=datetime(year, 12, 31, tzinfo=UTC)) == []


def test_more_than_may_be_looked_at_is_no_list(store: Store, found: Any) -> None:
    charges = [store.a_charge() for _ in range(3)]
    assert found(looked_at_max=3) == ids(*charges)
    assert found(looked_at_max=2) is None
    assert found(looked_at_max=2, states=("succeeded",)) is None


def test_states_and_merchants_choose(store: Store, found: Any) -> None:
    waiting = store.a_charge(document=MERCHANT)
    paid = store.a_charge(State.SUCCEEDED)
    declined = store.a_charge(State.DECLINED, document=MERCHANT)
    assert found(states=("awaiting", "succeeded")) == ids(waiting, paid)
    assert found(states=()) == []
    assert found(merchant_identifier="m-1") == ids(waiting, declined)
    assert found(merchant_identifier="m-1", states=("declined",)) == ids(declined)
    assert found(merchant_identifier="m-2") == []
