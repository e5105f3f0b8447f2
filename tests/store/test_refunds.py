"""Refunds in the database: never more than the debit, from however many nodes at once."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from ppcd.charge.money import Money
from ppcd.charge.refund import Refusal
from ppcd.charge.rules import State
from ppcd.store import refund_jobs, refunds
from ppcd.store.debits import Next
from ppcd.store.failures import Broken
from ppcd.store.ids import first_id_of
from ppcd.store.refund_jobs import Intent, Result
from ppcd.store.refunds import Accepted, NewRefund, Obstacle, Replayed
from tests.builders import Charge, Store


def a_new_refund(store: Store, charge: Charge, **changes: Any) -> NewRefund:
    number = store.number()
    new = NewRefund(
        refund_id=store.id(),
        charge_id=charge.charge_id,
        partner_id=store.partner_id,
        msisdn=charge.msisdn,
        billing="sim",
        debited=Money(2500, "UAH"),
        wanted=None,
        whole_only=False,
        obstacle=None,
        reference=f"refund-{number}",
        correlator=f"refund-correlator-{number}",
        fingerprint=b"the same",
        reason=None,
        sink=None,
        sink_token=None,
        sink_token_expires_at=None,
        document="{}",
        start_s=3600,
    )
    return replace(new, **changes)


def asks(store: Store, new: NewRefund) -> refunds.CreateResult:
    [result] = store.run(refunds.create, [new], lease_s=20)
    return result


def accept(store: Store, new: NewRefund) -> Accepted:
    result = asks(store, new)
    assert isinstance(result, Accepted)
    return result


@pytest.fixture
def charge(store: Store) -> Charge:
    return store.a_charge(State.SUCCEEDED)


def test_a_refund_begins_accepted_with_its_job_leased(store: Store, charge: Charge) -> None:
    accepted = accept(store, a_new_refund(store, charge))
    assert accepted.refund.state == "accepted"
    assert accepted.job.amount_minor == 2500
    assert store.run(refund_jobs.claim, limit=10, lease_s=20) == []
    store.ahead(21)
    [job] = store.run(refund_jobs.claim, limit=10, lease_s=20)
    assert job == accepted.job


def test_the_first_run_of_a_repeated_request_is_found(store: Store, charge: Charge) -> None:
    new = a_new_refund(store, charge)
    first = accept(store, new)
    [again] = store.run(refunds.create, [new], lease_s=20, repeat=True)
    assert again == first


def test_one_request_makes_one_refund_whoever_it_comes_to(store: Store, charge: Charge) -> None:
    new = a_new_refund(store, charge, wanted=Money(100, "UAH"))
    first = accept(store, new)
    again = asks(store, replace(new, refund_id=store.id()))
    assert again == Replayed(first.refund)
    other = replace(new, refund_id=store.id(), fingerprint=b"another")
    assert asks(store, other) is Obstacle.CORRELATOR_TAKEN
    same_reference = replace(new, refund_id=store.id(), correlator=None)
    assert asks(store, same_reference) is Obstacle.REFERENCE_TAKEN
    keys = store.query("SELECT count(*) FROM refund_key WHERE charge_id = %s", charge.charge_id)
    assert keys == [(2,)]


def test_facts_of_refunds_do_not_change(store: Store, charge: Charge) -> None:
    accepted = accept(store, a_new_refund(store, charge))
    refund_id = accepted.refund.refund_id
    store.run(
        refund_jobs.begin,
        [Intent(charge.charge_id, refund_id, 1, query=False)],
        node="a",
        lease_s=60,
    )
    result = Result(charge.charge_id, refund_id, 1, "refunded", Next.SUCCEEDED, reference="R")
    store.run(refund_jobs.record, [result], lease_s=0)
    for table in ("refund", "refund_attempt", "refund_result", "refund_outcome"):
        for change in (f"DELETE FROM {table}", f"UPDATE {table} SET charge_id = charge_id"):
            with pytest.raises(Broken, match="does not change"):
                store.query(change)


def test_a_charge_whose_notifications_were_dropped_is_too_old(store: Store, charge: Charge) -> None:
    old = first_id_of(datetime(2025, 3, 1, tzinfo=UTC)) + 7
    new = a_new_refund(store, charge, charge_id=old)
    assert asks(store, new) is Obstacle.TOO_OLD
    assert store.query("SELECT * FROM refund_key WHERE charge_id = %s", old) == []


def test_a_job_that_another_took_over_is_not_begun(store: Store, charge: Charge) -> None:
    refund_id = accept(store, a_new_refund(store, charge)).refund.refund_id
    first = Intent(charge.charge_id, refund_id, 1, query=False)
    begin = {"node": "a", "lease_s": 60}
    assert store.run(refund_jobs.begin, [first], **begin) != [None]
    assert store.run(refund_jobs.begin, [first], **begin) == [None]
    # It became doubtful meanwhile: a plan to send it for the first time is no longer right.
    second = Intent(charge.charge_id, refund_id, 2, query=False)
    assert store.run(refund_jobs.begin, [second], **begin) == [None]
    gone = Intent(charge.charge_id, 1, 1, query=False)
    assert store.run(refund_jobs.begin, [gone], **begin) == [None]


def test_refunds_from_two_nodes_at_once_never_exceed_the_debit(
    store: Store, charge: Charge
) -> None:
    """Each round, two nodes ask for so much at the same moment that only one can have it."""
    given, nodes = [], 2
    barrier = threading.Barrier(nodes)
    wanted = [a_new_refund(store, charge, wanted=Money(700, "UAH")) for _ in range(8)]

    def ask(mine: list[NewRefund]) -> None:
        with psycopg.connect(store.dsn) as connection:
            for new in mine:
                barrier.wait(20)
                with connection.transaction(), connection.cursor() as cur:
                    [result] = refunds.create(cur, [new], lease_s=20)
                given.append(result)

    threads = [threading.Thread(target=ask, args=[wanted[n::nodes]]) for n in range(nodes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    accepted = [result for result in given if isinstance(result, Accepted)]
    assert len(given) == 8
    assert len(accepted) == 3  # of 2500
    assert set(given) - set(accepted) == {Refusal.TOO_MUCH}
    assert store.run(refunds.given_back, charge.charge_id) == 2100


def test_without_the_lock_they_would(store: Store, charge: Charge, monkeypatch: Any) -> None:
    """The test above can fail: two that look before either has written take too much."""
    monkeypatch.setattr(refunds, "lock_charge", lambda cur, charge_id: None)
    looked = threading.Barrier(2)
    given_back = refunds.given_back

    def slow(cur: Any, charge_id: int) -> int:
        amount = given_back(cur, charge_id)
        looked.wait(20)
        return amount

    monkeypatch.setattr(refunds, "given_back", slow)
    wanted = [a_new_refund(store, charge, wanted=Money(2000, "UAH")) for _ in range(2)]

    def ask(new: NewRefund) -> None:
        with psycopg.connect(store.dsn) as connection, connection.cursor() as cur:
            refunds.create(cur, [new], lease_s=20)

    threads = [threading.Thread(target=ask, args=[new]) for new in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    monkeypatch.undo()
    assert store.run(refunds.given_back, charge.charge_id) == 4000


def test_events_of_a_charge_have_their_places_whoever_ends_first(
    store: Store, charge: Charge
) -> None:
    store.query("UPDATE partner SET webhook_url = 'https://shop.example/'")
    ids = [
        accept(store, a_new_refund(store, charge, wanted=Money(100, "UAH"))).refund.refund_id
        for _ in range(6)
    ]
    for refund_id in ids:
        intent = Intent(charge.charge_id, refund_id, 1, query=False)
        store.run(refund_jobs.begin, [intent], node="a", lease_s=60)

    def end(refund_id: int) -> None:
        result = Result(charge.charge_id, refund_id, 1, "refunded", Next.SUCCEEDED)
        with psycopg.connect(store.dsn) as connection, connection.cursor() as cur:
            refund_jobs.record(cur, [result], lease_s=0)

    threads = [threading.Thread(target=end, args=[refund_id]) for refund_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    places = store.query(
        """SELECT array_agg(sequence ORDER BY sequence) FROM notification
            WHERE charge_id = %s AND refund_id IS NOT NULL""",
        charge.charge_id,
    )
    assert places == [([2, 3, 4, 5, 6, 7],)]
