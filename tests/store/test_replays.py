"""Events that people look at and have told again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from ppcd.charge.rules import State
from ppcd.store import history, notifications, registers, replays
from ppcd.store.notifications import Delivery
from ppcd.store.notifications import Told as Result
from ppcd.store.replays import Search, Which
from ppcd.store.rows import WebhookKey
from tests.builders import Charge, Store


def key(charge: Charge) -> WebhookKey:
    return WebhookKey(charge.charge_id, 1)


def an_event(store: Store, result: Result | None, **changes: Any) -> Charge:
    charge = store.a_charge(State.CANCELLED, **changes)
    if result is not None:
        store.run(notifications.record, [Delivery(charge.charge_id, 1, 1, result, "500")])
    return charge


def find(store: Store, which: Which, **wanted: Any) -> list[int]:
    search = Search(which=which, **{"partner_id": store.partner_id, **wanted})
    return [told.charge_id for told in store.run(replays.find, search, limit=100)]


def replay(store: Store, *charges: Charge) -> None:
    keys = [key(charge) for charge in charges]
    store.run(replays.replay, keys, person="anna (uid 7)", reason="their outage is over")


def due(store: Store) -> Sequence[WebhookKey]:
    return store.run(notifications.claim, limit=100, lease_s=60, node="a")


def test_events_are_found_by_how_telling_them_goes(store: Store) -> None:
    dead = an_event(store, Result.DEAD)
    waiting = an_event(store, None)
    over = an_event(store, Result.DELIVERED)
    gone = an_event(store, Result.GONE)
    assert find(store, Which.DEAD) == [dead.charge_id]
    assert find(store, Which.WAITING) == [waiting.charge_id]
    assert find(store, Which.OVER) == [over.charge_id, gone.charge_id]
    assert find(store, Which.DEAD, partner_id=None)[-1] == dead.charge_id
    assert find(store, Which.DEAD, partner_id=store.partner_id + 10**6) == []
    [told] = store.run(replays.of_charge, dead.charge_id)
    assert (told.partner, told.attempts, told.result, told.detail) == (
        store.partner,
        1,
        "dead",
        "500",
    )
    assert (told.which, told.run_at) == (Which.DEAD, None)
    assert [store.run(replays.of_charge, c.charge_id)[0].which for c in (waiting, over)] == [
        Which.WAITING,
        Which.OVER,
    ]


def test_a_period_is_that_of_the_charges(store: Store) -> None:
    first = an_event(store, Result.DEAD)
    made: datetime = store.get(first).created_at
    hour = timedelta(hours=1)
    assert find(store, Which.DEAD, since=made - hour, until=made + hour) == [first.charge_id]
    assert find(store, Which.DEAD, since=made + hour) == []
    assert find(store, Which.DEAD, until=made - hour) == []


def test_a_dead_event_is_told_again_for_three_days(store: Store) -> None:
    charge = an_event(store, Result.DEAD, sink="https://s.example/", sink_token="t")
    store.ahead(1000)
    replay(store, charge)
    assert due(store) == [key(charge)]
    [event] = store.run(notifications.begin, [key(charge)], lease_s=60, node="a")
    assert event is not None
    assert (event.attempts, event.token) == (1, "t")
    assert event.age_s < 5


def test_a_replay_goes_where_the_partner_is_told_by_now(store: Store) -> None:
    own = an_event(store, Result.DEAD, sink="https://s.example/")
    registered = an_event(store, Result.DEAD)
    store.run(registers.set_webhook, partner_id=store.partner_id, url="https://moved.example/")
    replay(store, own, registered)
    begun = store.run(notifications.begin, [key(own), key(registered)], lease_s=60, node="a")
    assert [event and event.url for event in begun] == [
        "https://s.example/",
        "https://moved.example/",
    ]


def test_an_event_that_was_told_can_be_told_again_under_its_id(store: Store) -> None:
    charge = an_event(store, Result.DELIVERED)
    replay(store, charge)
    [event] = store.run(notifications.begin, [key(charge)], lease_s=60, node="a")
    assert event is not None
    assert (event.sequence, event.attempts) == (1, 1)
    store.run(notifications.record, [Delivery(charge.charge_id, 1, 2, Result.DELIVERED, "200")])
    assert due(store) == []
    assert store.count("delivery", charge) == 2


def test_a_replay_is_a_fact_once_an_attempt(store: Store) -> None:
    charge = an_event(store, Result.DEAD)
    replay(store, charge)
    replay(store, charge)
    facts = [
        entry for entry in store.run(history.facts, charge.charge_id) if entry.what == "replay"
    ]
    [fact] = facts
    assert fact.detail.endswith("by anna (uid 7): their outage is over")
    tried = store.run(replays.tried, key(charge))
    assert [(entry.what, entry.detail) for entry in tried[:1]] == [("attempt 1", "dead, 500")]
    assert [entry.what for entry in tried] == ["attempt 1", "replay"]


def test_an_event_that_is_being_posted_is_not_posted_beside_it(store: Store) -> None:
    charge = an_event(store, None)
    store.run(notifications.begin, [key(charge)], lease_s=60, node="a")
    replay(store, charge)
    assert due(store) == []
