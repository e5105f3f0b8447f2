"""Cancel, expiry, and what is left when a charge has ended."""

import pytest

from ppcd.charge.rules import END_STATES, State
from ppcd.store import charges, expiry
from ppcd.store.rows import Ended, WebhookKey
from tests.builders import POOL, Store


def test_a_cancel_ends_what_nobody_has_answered(store: Store) -> None:
    for charge in (store.a_charge(), store.a_written_charge()):
        webhook = WebhookKey(charge.charge_id, 1)
        assert store.cancel(charge) == Ended(charge.charge_id, "cancelled", webhook)
        row = store.get(charge)
        assert (row.state, row.reason) == ("cancelled", "CANCELLED_BY_MERCHANT")
        assert store.reply(charge).debit is None


@pytest.mark.parametrize("state", sorted(set(State) - {State.AWAITING}))
def test_a_cancel_that_lost_to_something_else_is_told_so(store: Store, state: State) -> None:
    if state in (State.RESERVING, State.RESERVED, State.CAPTURING, State.RELEASING):
        return  # no billing system here reserves
    charge = store.a_charge(state)
    assert store.cancel(charge) is None
    assert store.state(charge) is state


def test_nobody_cancels_anothers_charge(store: Store) -> None:
    charge = store.a_charge()
    other = store.a_partner(f"other-{store.number()}")
    assert store.cancel(charge, partner_id=other) is None
    assert store.state(charge) is State.AWAITING


def test_time_ends_what_nobody_has_answered(store: Store) -> None:
    charge, young = store.a_written_charge(), store.a_written_charge(lifetime_s=700)
    store.ahead(599)
    assert store.expire() == []
    store.ahead(1)
    webhook = WebhookKey(charge.charge_id, 1)
    assert store.expire() == [Ended(charge.charge_id, "expired", webhook)]
    row = store.get(charge)
    assert (row.state, row.reason) == ("expired", "CONFIRMATION_TIMEOUT")
    assert store.state(young) is State.AWAITING


def test_a_prompt_that_nobody_wrote_was_undeliverable(store: Store) -> None:
    charge = store.a_charge()
    store.ahead(600)
    assert [end.state for end in store.expire()] == ["undeliverable"]
    assert store.get(charge).reason == "PROMPT_UNDELIVERABLE"


def test_a_sweep_takes_the_oldest_first_and_no_more_than_it_may(store: Store) -> None:
    expiring = [store.a_written_charge(lifetime_s=seconds) for seconds in (30, 10, 20)]
    store.ahead(60)
    taken = [end.charge_id for end in store.expire(limit=2)]
    assert set(taken) == {expiring[1].charge_id, expiring[2].charge_id}
    assert [end.charge_id for end in store.expire(limit=2)] == [expiring[0].charge_id]


def test_consent_does_not_expire(store: Store) -> None:
    charge = store.a_charge(State.CONFIRMED)
    store.ahead(86_400)
    assert store.expire() == []
    assert store.state(charge) is State.CONFIRMED


@pytest.mark.parametrize("state", sorted(END_STATES))
def test_an_end_is_one_fact_with_one_notification(store: Store, state: State) -> None:
    charge = store.a_charge(state)
    assert store.count("outcome", charge) == 1
    assert store.query(
        "SELECT sequence, url FROM notification WHERE charge_id = %s", charge.charge_id
    ) == [(1, "https://shop.example/hook")]
    assert store.work_of(charge) <= {"webhook_job", "prompt_job"}


def test_a_charges_own_sink_is_told_instead(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED, sink="https://sink.example/x")
    assert store.query("SELECT url FROM notification WHERE charge_id = %s", charge.charge_id) == [
        ("https://sink.example/x",)
    ]


def test_readers_learn_which_charges_have_ended(store: Store) -> None:
    ended, waiting = store.a_charge(State.DENIED), store.a_charge(State.CONFIRMED)
    asked = [waiting.charge_id, ended.charge_id, 1]
    assert store.run(charges.settled, asked) == {ended.charge_id}


def test_a_charge_that_does_not_exist_is_none(store: Store) -> None:
    charge = store.a_charge()
    first, second = store.run(charges.get, [1, charge.charge_id])
    assert first is None
    assert second is not None


def test_a_hold_is_remembered_for_a_week_after_it_is_free(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED)
    store.ahead(600 + 86_400 + 6 * 86_400)
    assert store.run(expiry.free_holds, limit=10) == 0
    store.ahead(86_400)
    assert store.run(expiry.free_holds, limit=10) == 1
    assert store.count("hold", charge) == 0
    assert store.reply(charge).effect == "stray"


def test_holds_are_forgotten_no_more_at_once_than_told(store: Store) -> None:
    for address in POOL[:3]:
        store.a_charge(State.CANCELLED, pool=(address,))
    store.ahead(30 * 86_400)
    assert [store.run(expiry.free_holds, limit=2) for _ in range(3)] == [2, 1, 0]
