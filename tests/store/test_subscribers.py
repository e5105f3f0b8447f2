"""Subscribers who are left alone: limits over all partners, counted exactly, and the block list."""

import threading
from dataclasses import replace

import pytest

from ppcd.charge.rules import State
from ppcd.metrics import labels
from ppcd.store import creation, subscribers
from ppcd.store.creation import Created, CreateResult, Replayed
from ppcd.store.lanes import Direct
from ppcd.store.rows import NewCharge
from ppcd.store.subscribers import Limits, Spared, Why
from tests.builders import LEASE_S, Store

HOUR_S, DAY_S = 3600, 86_400
MANY = Limits(per_hour_max=3, per_day_max=5, open_max=0)


def create(store: Store, new: NewCharge, limits: Limits = MANY) -> CreateResult:
    [result] = store.run(creation.create, [new], lease_s=LEASE_S, limits=limits)
    return result


def a_phone(store: Store) -> int:
    return 380670000000 + store.number()


def ask(store: Store, phone: int, limits: Limits = MANY) -> CreateResult:
    """Another partner asks each time; what was asked before is over."""
    other = f"other-{store.number()}"
    new = store.a_new_charge(msisdn=phone, partner_id=store.a_partner(other), partner=other)
    result = create(store, new, limits)
    store.query("DELETE FROM awaiting")
    return result


def spared(result: CreateResult) -> Spared:
    assert isinstance(result, Spared), result
    return result


def test_a_phone_is_asked_so_often_an_hour_and_no_more(store: Store) -> None:
    phone = a_phone(store)
    for _ in range(3):
        assert isinstance(ask(store, phone), Created)
        store.ahead(600)
    over = spared(ask(store, phone))
    assert over.why is Why.HOUR
    # The first of the three leaves the hour after another half of it.
    assert over.retry_after_s == pytest.approx(HOUR_S - 1800, abs=60)
    assert isinstance(ask(store, a_phone(store)), Created), "another phone pays for it"
    store.ahead(over.retry_after_s + 1)
    assert isinstance(ask(store, phone), Created)
    assert spared(ask(store, phone)).why is Why.HOUR


def test_a_phone_is_asked_so_often_a_day_and_no_more(store: Store) -> None:
    phone = a_phone(store)
    for _ in range(5):
        assert isinstance(ask(store, phone), Created)
        store.ahead(HOUR_S)
    over = spared(ask(store, phone))
    assert over.why is Why.DAY
    assert over.retry_after_s == pytest.approx(DAY_S - 5 * HOUR_S, abs=60)


def test_a_refusal_counts_for_nothing_and_keeps_no_key(store: Store) -> None:
    phone = a_phone(store)
    for _ in range(3):
        ask(store, phone)
    refused = store.a_new_charge(msisdn=phone, correlator="c-spared")
    spared(create(store, refused))
    assert store.query("SELECT FROM charge_key WHERE charge_id = %s", refused.charge_id) == []
    assert store.query("SELECT FROM prompt_job WHERE charge_id = %s", refused.charge_id) == []
    store.ahead(HOUR_S + 1)
    assert isinstance(create(store, replace(refused, charge_id=store.id())), Created)


def test_a_repeated_request_is_answered_though_the_limit_is_reached(store: Store) -> None:
    phone = a_phone(store)
    first = store.a_new_charge(msisdn=phone, correlator=f"c-{phone}")
    create(store, first)
    for _ in range(2):
        ask(store, phone)
    store.run(subscribers.block, msisdn=phone, seconds=None, note="")
    again = create(store, replace(first, charge_id=store.id()))
    assert again == Replayed(first.charge_id)
    [repeated] = store.run(creation.create, [first], lease_s=LEASE_S, limits=MANY, repeat=True)
    assert repeated == Replayed(first.charge_id)


def test_so_many_charges_wait_for_a_phone_and_no_more(store: Store) -> None:
    phone, limits = a_phone(store), Limits(open_max=2)
    waiting = [store.a_charge(msisdn=phone) for _ in range(2)]
    new = store.a_new_charge(msisdn=phone)
    assert create(store, new, limits) == Spared(Why.OPEN)
    store.cancel(waiting[0])
    assert isinstance(create(store, replace(new, charge_id=store.id()), limits), Created)


def test_without_limits_all_are_asked(store: Store) -> None:
    phone = a_phone(store)
    for _ in range(6):
        assert isinstance(ask(store, phone, Limits()), Created)


def test_nodes_that_ask_at_the_same_time_stay_within_the_limit(store: Store) -> None:
    phone = a_phone(store)
    wanted = [store.a_new_charge(msisdn=phone) for _ in range(6)]
    results: list[CreateResult] = []
    begin = threading.Barrier(len(wanted))

    def node(new: NewCharge) -> None:
        with Direct(store.dsn) as direct:
            begin.wait()
            results.extend(direct.run(creation.create, [new], lease_s=LEASE_S, limits=MANY))

    threads = [threading.Thread(target=node, args=(new,)) for new in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(result, Created) for result in results) == 3
    assert sum(isinstance(result, Spared) for result in results) == 3


# --- the block list


def test_a_blocked_phone_is_not_asked_until_it_is_unblocked(store: Store) -> None:
    phone = a_phone(store)
    store.run(subscribers.block, msisdn=phone, seconds=None, note="asked by letter")
    store.ahead(1000 * DAY_S)
    assert spared(ask(store, phone)).why is Why.BLOCKED
    assert store.run(subscribers.unblock, msisdn=phone)
    assert not store.run(subscribers.unblock, msisdn=phone)
    assert isinstance(ask(store, phone), Created)


def test_a_block_ends_by_itself(store: Store) -> None:
    phone = a_phone(store)
    store.run(subscribers.block, msisdn=phone, seconds=60, note="")
    assert spared(ask(store, phone)).why is Why.BLOCKED
    store.ahead(61)
    assert isinstance(ask(store, phone), Created)
    assert not store.run(subscribers.unblock, msisdn=phone), "it was over"


def blocked(store: Store, phone: int) -> subscribers.Block:
    block = store.run(subscribers.show, msisdn=phone).block
    assert block is not None
    return block


def test_the_longer_of_two_blocks_stays(store: Store) -> None:
    phone = a_phone(store)
    store.run(subscribers.stop, [phone, phone], seconds=DAY_S)
    first = blocked(store, phone)
    store.ahead(HOUR_S)
    store.run(subscribers.stop, [phone], seconds=DAY_S)
    second = blocked(store, phone)
    assert (second.why, second.since > first.since) == ("stop", True)
    store.run(subscribers.stop, [phone], seconds=60)
    assert blocked(store, phone) == second
    store.run(subscribers.block, msisdn=phone, seconds=None, note="for good")
    store.run(subscribers.stop, [phone], seconds=DAY_S)
    assert (blocked(store, phone).why, blocked(store, phone).until) == ("operator", None)


def test_what_is_known_of_a_phone(store: Store) -> None:
    phone = a_phone(store)
    assert store.run(subscribers.show, msisdn=phone) == subscribers.Subscriber(None, 0, 0, 0)
    store.a_charge(State.CANCELLED, msisdn=phone)
    store.ahead(HOUR_S + 1)
    store.a_charge(msisdn=phone)
    assert store.run(subscribers.show, msisdn=phone) == subscribers.Subscriber(None, 1, 2, 1)


def test_every_reason_is_a_label() -> None:
    assert set(labels.SPARED) == set(Why)
