"""The creation of charges: one request makes one charge, on an address that says which."""

from dataclasses import replace

import pytest

from ppcd.charge.rules import State
from ppcd.store import prompts
from ppcd.store.creation import Created, Replayed
from ppcd.store.rows import Conflict, PromptKey
from tests.builders import POOL, Store, charge_of


def test_a_charge_its_hold_and_its_prompt_job_come_together(store: Store) -> None:
    charge = store.a_charge(sink="https://sink.example/", sink_token="t0ken")
    assert store.work_of(charge) == {"awaiting", "prompt_job"}
    assert store.count("hold", charge) == 1
    assert store.count("sink_token", charge) == 1
    row = store.get(charge)
    assert (row.partner, row.msisdn, row.state) == (store.partner, charge.msisdn, "awaiting")
    assert (row.expires_at - row.created_at).total_seconds() == 600


def test_the_prompt_job_that_is_handed_over_is_the_one_in_the_database(store: Store) -> None:
    for with_code in (False, True):
        charge = store.a_charge(code_required=with_code)
        [loaded] = store.run(prompts.load, [PromptKey(charge.charge_id, 0)])
        assert loaded == charge.prompt
        assert charge.code == ("4821" if with_code else None)


def test_results_come_in_the_order_of_the_requests(store: Store) -> None:
    batch = [store.a_new_charge(msisdn=380979999999 - number) for number in range(5)]
    results = store.create(*batch)
    assert [charge_of(result).charge_id for result in results] == [n.charge_id for n in batch]


# --- idempotency ------------------------------------------------------------------------------


def test_the_same_correlator_with_the_same_content_is_answered_alike(store: Store) -> None:
    first = store.a_new_charge(correlator="c-1")
    charge = charge_of(store.create(first)[0])
    again = replace(first, charge_id=store.id())
    assert store.create(again) == [Replayed(charge.charge_id)]
    store.write(charge)
    store.reply(charge, "no")
    assert store.create(replace(first, charge_id=store.id())) == [Replayed(charge.charge_id)]


def test_the_same_correlator_with_other_content_conflicts(store: Store) -> None:
    first = store.a_new_charge(correlator="c-1")
    store.create(first)
    other = store.a_new_charge(correlator="c-1", fingerprint=b"another")
    assert store.create(other) == [Conflict.CORRELATOR_TAKEN]
    free = store.a_new_charge(reference=other.reference)
    assert isinstance(store.create(free)[0], Created), "the refused one kept its reference"


def test_a_reference_is_unique_for_a_partner_and_only_there(store: Store) -> None:
    first = store.a_new_charge(reference="order-x")
    store.create(first)
    assert store.create(store.a_new_charge(reference="order-x")) == [Conflict.REFERENCE_TAKEN]
    other = f"other-{store.number()}"
    partner_id = store.a_partner(other)
    theirs = store.a_new_charge(reference="order-x", partner_id=partner_id, partner=other)
    assert isinstance(store.create(theirs)[0], Created)


def test_a_correlator_is_not_a_reference(store: Store) -> None:
    store.create(store.a_new_charge(correlator="x"))
    assert isinstance(store.create(store.a_new_charge(reference="x"))[0], Created)


def test_a_refused_reference_leaves_its_correlator_free(store: Store) -> None:
    store.create(store.a_new_charge(reference="order-y"))
    store.create(store.a_new_charge(reference="order-y", correlator="c-2"))
    assert isinstance(store.create(store.a_new_charge(correlator="c-2"))[0], Created)


def test_two_subscribers_of_one_batch_cannot_share_a_reference(store: Store) -> None:
    one, two = store.a_new_charge(reference="same"), store.a_new_charge(reference="same")
    first, second = store.create(one, two)
    assert isinstance(first, Created)
    assert second is Conflict.REFERENCE_TAKEN


def test_run_twice_it_creates_once(store: Store) -> None:
    batch = [store.a_new_charge(correlator=f"c-{number}") for number in range(3)]
    store.create(*batch)
    again = store.create(*batch, repeat=True)
    assert again == [Replayed(new.charge_id) for new in batch]
    for new in batch:
        assert store.query("SELECT count(*) FROM hold WHERE charge_id = %s", new.charge_id) == [
            (1,)
        ]


def test_run_twice_it_refuses_twice(store: Store) -> None:
    store.create(store.a_new_charge(reference="order-z"))
    refused = store.a_new_charge(reference="order-z", correlator="c-9")
    assert store.create(refused) == [Conflict.REFERENCE_TAKEN]
    assert store.create(refused, repeat=True) == [Conflict.REFERENCE_TAKEN]


# --- reply addresses --------------------------------------------------------------------------


def test_addresses_are_used_least_recently_used_first(store: Store) -> None:
    phone = 380500000000 + store.number()
    used = [store.a_charge(msisdn=phone).address for _ in POOL]
    assert used == [address.address for address in POOL]
    # The holds end in the order of creation; who waits no more than that keeps its place.
    store.ahead(600 + 86_400)
    store.expire()
    again = [store.a_charge(msisdn=phone).address for _ in POOL]
    assert again == used


def test_another_phone_has_all_addresses(store: Store) -> None:
    assert {store.a_charge().address for _ in range(3)} == {POOL[0].address}


def test_a_held_address_is_not_used_while_another_is_free(store: Store) -> None:
    phone = 380500000000 + store.number()
    first = store.a_charge(State.CANCELLED, msisdn=phone)
    second = store.a_charge(State.SUCCEEDED, msisdn=phone)
    third = store.a_charge(msisdn=phone)
    assert len({first.address, second.address, third.address}) == 3
    assert third.code is None


def test_when_all_addresses_are_held_the_oldest_is_used_with_a_code(store: Store) -> None:
    phone = 380500000000 + store.number()
    ended = [store.a_charge(State.CANCELLED, msisdn=phone) for _ in POOL]
    reused = store.a_charge(msisdn=phone)
    assert reused.address == ended[0].address
    assert reused.code == "4821"
    next_one = store.a_charge(msisdn=phone)
    assert next_one.address == ended[1].address


def test_a_waiting_charge_keeps_its_address_when_held_ones_are_reused(store: Store) -> None:
    phone = 380500000000 + store.number()
    waiting = store.a_charge(msisdn=phone)
    ended = [store.a_charge(State.CANCELLED, msisdn=phone) for _ in POOL[1:]]
    assert store.a_charge(msisdn=phone).address == ended[0].address
    assert store.state(waiting) is State.AWAITING


def test_when_all_addresses_wait_there_is_none_and_nothing_is_kept(store: Store) -> None:
    phone = 380500000000 + store.number()
    for _ in POOL:
        store.a_charge(msisdn=phone)
    refused = store.a_new_charge(msisdn=phone, correlator="later")
    assert store.create(refused) == [Conflict.NO_FREE_ADDRESS]
    assert store.query("SELECT * FROM charge_key WHERE charge_id = %s", refused.charge_id) == []
    store.ahead(601)
    store.expire()
    again = replace(refused, charge_id=store.id())
    assert isinstance(store.create(again)[0], Created)


@pytest.mark.parametrize("quarantine_s", [0, 60])
def test_an_address_is_not_free_before_its_charge_has_ended(
    store: Store, quarantine_s: float
) -> None:
    """The sweep may be late: without the database, or behind a backlog."""
    phone = 380500000000 + store.number()
    late = store.a_charge(msisdn=phone, quarantine_s=quarantine_s, pool=POOL[:1])
    store.ahead(600 + quarantine_s + 1)
    blocked = store.a_new_charge(msisdn=phone, pool=POOL[:1])
    assert store.create(blocked) == [Conflict.NO_FREE_ADDRESS]
    assert store.state(late) is State.AWAITING
    store.expire()
    assert store.a_charge(msisdn=phone, pool=POOL[:1]).code is None


def test_a_pool_of_one_asks_for_codes_from_the_second_charge_on(store: Store) -> None:
    phone = 380500000000 + store.number()
    first = store.a_charge(State.CANCELLED, msisdn=phone, pool=POOL[:1])
    second = store.a_charge(msisdn=phone, pool=POOL[:1])
    assert (first.code, second.code) == (None, "4821")


def test_an_address_that_left_the_pool_is_not_given_out(store: Store) -> None:
    phone = 380500000000 + store.number()
    store.a_charge(msisdn=phone)
    assert store.a_charge(msisdn=phone, pool=POOL[2:]).address == POOL[2].address
