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


def begin(store: Store, *charges: Charge) -> list[Due | None]:
    return store.run(notifications.begin, [key(charge) for charge in charges], lease_s=60, node="a")


def claim(store: Store, limit: int = 100) -> Sequence[WebhookKey]:
    return store.run(notifications.claim, limit=limit, lease_s=60, node="a")


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
    )
    store.run(
        registers.rotate_webhook_secret,
        partner_id=store.partner_id,
        secret=b"newer",
        overlap_s=3600,
    )
    [due] = begin(store, charge)
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


def test_a_node_that_comes_back_takes_up_its_own_events_and_no_others(store: Store) -> None:
    begun, claimed, theirs, put_off, dead = (store.a_charge(State.CANCELLED) for _ in range(5))
    begin(store, begun, put_off, dead)
    store.run(notifications.begin, [key(theirs)], lease_s=60, node="b")
    told(store, put_off, Told.LATER, delay_s=300)
    told(store, dead, Told.DEAD)
    store.query(
        "UPDATE webhook_job SET run_at = business_now() WHERE charge_id = %s", claimed.charge_id
    )
    assert claim(store) == [key(claimed)]
    assert claim(store) == []
    assert store.run(notifications.reclaim, node="a") == 2
    assert set(claim(store)) == {key(begun), key(claimed)}
    assert begin(store, begun, theirs)[1] is None


def test_what_a_node_gave_back_is_not_its_own_any_more(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED)
    store.ahead(61)
    assert claim(store) == [key(charge)]
    store.run(notifications.release, [key(charge)])
    assert store.run(notifications.reclaim, node="a") == 0


def test_delivered_is_done_and_the_token_forgotten(store: Store) -> None:
    for result in (Told.DELIVERED, Told.GONE):
        charge = store.a_charge(State.CANCELLED, sink="https://s.example/", sink_token="t")
        told(store, charge, result)
        assert begin(store, charge) == [None]
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
    [due] = begin(store, charge)
    assert due is not None
    assert due.attempts == 1
    assert 30 <= due.age_s < 35


def test_the_dead_are_kept_and_not_tried(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED, sink="https://s.example/", sink_token="t")
    told(store, charge, Told.DEAD)
    store.ahead(1e6)
    assert claim(store) == []
    assert begin(store, charge) == [None]
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
    [due] = begin(store, charge)
    assert due is not None
    assert due.token == "t0ken"
    store.ahead(3601)
    [due] = begin(store, charge)
    assert due is not None
    assert due.token is None


def test_the_secret_before_signs_until_its_time(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED)
    for secret in (b"older", b"newer"):
        store.run(
            registers.rotate_webhook_secret,
            partner_id=store.partner_id,
            secret=secret,
            overlap_s=100,
        )
    [due] = begin(store, charge)
    assert due is not None
    assert (due.secret, due.secret_before) == (b"newer", b"older")
    store.ahead(101)
    [due] = begin(store, charge)
    assert due is not None
    assert (due.secret, due.secret_before) == (b"newer", None)


def test_two_that_begin_the_same_event_don_t_both_post_it(store: Store) -> None:
    """Whether it was leased or not: an event that nobody's lease covers is in two nodes' hands."""
    charge = store.a_charge(State.CANCELLED)
    [first], [second] = begin(store, charge), begin(store, charge)
    assert first is not None
    assert second is None
    store.run(notifications.release, [key(charge)])
    assert claim(store) == [], "it is being posted"
    store.ahead(61)
    assert claim(store) == [key(charge)], "whoever began it has stopped"
    [again] = begin(store, charge)
    assert again is not None


def test_an_event_put_off_is_no_attempt(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED)
    begin(store, charge)
    told(store, charge, Told.PUT_OFF, delay_s=3)
    assert store.count("delivery", charge) == 0
    assert claim(store) == []
    store.ahead(3)
    assert claim(store) == [key(charge)]
    [due] = begin(store, charge)
    assert due is not None
    assert due.attempts == 0


def a_second_event(store: Store, charge: Charge) -> WebhookKey:
    store.query(
        "INSERT INTO notification SELECT charge_id, 2, url, made_at FROM notification"
        " WHERE charge_id = %s",
        charge.charge_id,
    )
    store.query(
        "INSERT INTO webhook_job (charge_id, sequence, partner_id, first_at, run_at)"
        " SELECT charge_id, 2, partner_id, first_at, run_at FROM webhook_job WHERE charge_id = %s",
        charge.charge_id,
    )
    return WebhookKey(charge.charge_id, 2)


def test_events_of_a_charge_are_told_in_their_order(store: Store) -> None:
    charge = store.a_charge(State.CANCELLED, sink="https://s.example/", sink_token="t")
    second = a_second_event(store, charge)
    first, early = store.run(notifications.begin, [key(charge), second], lease_s=60, node="a")
    assert first is not None
    assert early is None, "the first is not told yet"
    told(store, charge, Told.LATER, delay_s=100)
    store.ahead(61)
    assert claim(store) == [second]
    assert store.run(notifications.begin, [second], lease_s=60, node="a") == [None]
    assert claim(store) == [], "it waits until the first is tried again"
    store.ahead(40)
    assert set(claim(store)) >= {key(charge)}
    told(store, charge, Told.DELIVERED, attempt=2)
    assert store.count("sink_token", charge) == 1, "the second needs it"
    [due] = store.run(notifications.begin, [second], lease_s=60, node="a")
    assert due is not None
    assert (due.sequence, due.token) == (2, "t")


def test_an_event_wakes_the_one_that_waits_for_it(store: Store) -> None:
    for result in (Told.DELIVERED, Told.GONE, Told.DEAD):
        charge = store.a_charge(State.CANCELLED)
        second = a_second_event(store, charge)
        store.run(notifications.begin, [key(charge), second], lease_s=60, node="a")
        told(store, charge, result)
        assert claim(store) == [second]
        [due] = store.run(notifications.begin, [second], lease_s=60, node="a")
        assert due is not None


def test_a_dead_event_holds_up_no_other_charge(store: Store) -> None:
    dead, other = store.a_charge(State.CANCELLED), store.a_charge(State.CANCELLED)
    told(store, dead, Told.DEAD)
    store.ahead(61)
    assert claim(store) == [key(other)]
    assert begin(store, dead, other)[0] is None


def test_a_partners_backlog_takes_nobody_elses_turn(store: Store) -> None:
    crowd = [store.a_charge(State.CANCELLED) for _ in range(12)]
    store.ahead(5)
    small = store.a_partner(f"small-{store.number()}")
    other = store.a_charge(State.CANCELLED)
    store.query(
        "UPDATE webhook_job SET partner_id = %s WHERE charge_id = %s", small, other.charge_id
    )
    store.ahead(61)
    claimed = claim(store, limit=4)
    assert key(other) in claimed, "though all of the crowd's are older"
    assert len(claimed) == 3, "half of them may be the crowd's"
    assert {k.partner_id for k in claimed} == {store.partner_id, small}
    assert set(claimed) - {key(other)} == {key(charge) for charge in crowd[:2]}
    full = store.run(
        notifications.claim, limit=100, lease_s=60, node="a", partner_max=3, full=[store.partner_id]
    )
    assert full == []
    assert len(store.run(notifications.claim, limit=100, lease_s=60, node="a", partner_max=3)) == 3
