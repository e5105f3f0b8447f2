"""Notifications: told at least once under one key, or kept as dead."""

from collections.abc import Sequence
from datetime import timedelta

from ppcd.charge.rules import State
from ppcd.store import notifications, registers
from ppcd.store.notifications import Delivery, Due, Told
from ppcd.store.rows import WebhookKey
from tests.builders import Charge, Store


def key(charge: Charge) -> WebhookKey:
    return WebhookKey(charge.charge_id, 1)


def load(store: Store, *charges: Charge) -> list[Due | None]:
    return store.run(notifications.load, [key(charge) for charge in charges])


def claim(store: Store, limit: int = 100) -> Sequence[WebhookKey]:
    return store.run(notifications.claim, limit=limit, lease_s=60)


def told(
    store: Store, charge: Charge, result: Told, *, attempt: int = 1, delay_s: float = 0
) -> None:
    delivery = Delivery(charge.charge_id, 1, attempt, result, "detail", delay_s)
    store.run(notifications.record, [delivery])


def test_a_notification_says_all_that_its_body_and_signature_need(store: Store) -> None:
    charge = store.a_charge(State.SUCCEEDED, sink="https://sink.example/x", sink_token="t0ken")
    store.run(
        registers.set_webhook,
        partner_id=store.partner_id,
        url="https://new.example/",
        secret=b"newer",
    )
    [due] = load(store, charge)
    assert due is not None
    assert (due.attempts, due.partner, due.url) == (0, store.partner, "https://sink.example/x")
    assert (due.secret, due.secret_before, due.token) == (b"newer", b"secret", "t0ken")
    assert (due.state, due.reason) == ("succeeded", None)
    assert due.billing_reference == f"ref-{charge.charge_id}"
    assert due.made_at == due.decided_at == store.get(charge).decided_at
    assert 0 <= due.age_s < 5


def test_an_end_is_its_nodes_to_tell_until_the_lease_is_over(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED)
    assert claim(store) == []
    store.ahead(61)
    assert claim(store) == [key(charge)]
    assert claim(store) == []


def test_delivered_is_done_and_the_token_forgotten(store: Store) -> None:
    for result in (Told.DELIVERED, Told.GONE):
        charge = store.a_charge(State.CANCELLED, sink="https://s.example/", sink_token="t")
        told(store, charge, result)
        assert load(store, charge) == [None]
        assert store.count("sink_token", charge) == 0
        assert store.query(
            "SELECT result, detail FROM delivery WHERE charge_id = %s", charge.charge_id
        ) == [(result.value, "detail")]


def test_what_was_not_taken_is_told_later(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED)
    told(store, charge, Told.LATER, delay_s=30)
    assert claim(store) == []
    store.ahead(30)
    assert claim(store) == [key(charge)]
    [due] = load(store, charge)
    assert due is not None
    assert due.attempts == 1
    assert 30 <= due.age_s < 35


def test_the_dead_are_kept_and_not_tried(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED, sink="https://s.example/", sink_token="t")
    told(store, charge, Told.DEAD)
    store.ahead(1e6)
    assert claim(store) == []
    assert load(store, charge) == [None]
    assert store.count("webhook_job", charge) == 1
    assert store.count("sink_token", charge) == 1


def test_an_attempt_recorded_twice_is_one_fact(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED)
    told(store, charge, Told.LATER)
    told(store, charge, Told.LATER)
    assert store.count("delivery", charge) == 1


def test_a_job_given_back_is_anybodys_at_once(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED)
    store.run(notifications.release, [key(charge)])
    assert claim(store) == [key(charge)]


def test_a_claim_takes_the_oldest_and_no_more_than_it_may(store: Store) -> None:
    first = store.a_charge(State.CANCELLED)
    store.ahead(1)
    store.a_charge(State.CANCELLED)
    store.ahead(100)
    assert claim(store, limit=1) == [key(first)]
    assert len(claim(store)) == 1


def test_a_token_is_shown_until_it_expires_and_the_end_is_told_all_the_same(store: Store) -> None:
    now = store.query("SELECT business_now()")[0][0]
    charge = store.a_charge(
        State.CANCELLED,
        sink="https://s.example/",
        sink_token="t0ken",
        sink_token_expires_at=now + timedelta(hours=1),
    )
    [due] = load(store, charge)
    assert due is not None
    assert due.token == "t0ken"
    store.ahead(3601)
    [due] = load(store, charge)
    assert due is not None
    assert due.token is None
