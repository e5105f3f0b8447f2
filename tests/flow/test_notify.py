"""The notify step: one id and one body until it is told, gone or dead."""

from datetime import timedelta

import pytest

from ppcd.charge.rules import State
from ppcd.flow.notify import GIVE_UP_S
from ppcd.flow.ports import Delivered, Event, Gone, NotTried, TryLater
from ppcd.store.failures import Broken, NotApplied
from ppcd.store.rows import ChargeRow, WebhookKey
from tests.builders import Store
from tests.conftest import Criticals
from tests.flow.unsteady import Unsteady
from tests.flow.world import World, now


def declined(world: World) -> ChargeRow:
    charge = world.a_charge(sink="https://sink.example/", sink_token="t0ken")
    world.hear(world.an_mo(charge, "нет"))
    return charge


def results(world: World, charge: ChargeRow) -> list[str]:
    rows = world.store.query(
        "SELECT result FROM delivery WHERE charge_id = %s ORDER BY attempt", charge.charge_id
    )
    return [result for (result,) in rows]


def test_an_end_is_told_with_its_secrets_and_token(world: World) -> None:
    charge = declined(world)
    assert world.notifier.events == [], "not before somebody runs the job"
    world.pump()
    [event] = world.notifier.events
    assert event.event_id == f"evt_{charge.charge_id}_1"
    assert (event.url, event.bearer) == ("https://sink.example/", "t0ken")
    assert event.secrets == (b"secret",)
    assert event.body == b"declined USER_DECLINED None"
    world.store.query("UPDATE partner SET webhook_secret_before = 'older'")
    other = declined(world)
    world.pump()
    assert world.notifier.events[-1].secrets == (b"secret", b"older")
    assert results(world, other) == ["delivered"]
    assert world.counted("webhooks", "delivered") == 2


def test_it_is_told_again_with_growing_pauses_and_the_same_words(world: World) -> None:
    charge = declined(world)
    world.notifier.answers.extend([TryLater(None, "500"), TryLater(None, "500")])
    world.pump()
    world.pass_(9)
    assert len(world.notifier.events) == 1
    world.pass_(1)
    assert len(world.notifier.events) == 2
    world.pass_(19)
    assert len(world.notifier.events) == 2
    world.pass_(1)
    assert results(world, charge) == ["later", "later", "delivered"]
    assert len({(e.event_id, e.body) for e in world.notifier.events}) == 1
    world.check_at_rest(charge)


def test_a_partner_may_ask_for_a_longer_pause_and_for_no_shorter_one(world: World) -> None:
    declined(world)
    world.notifier.answers.extend([TryLater(100, "429"), TryLater(1, "429")])
    world.pump()
    world.pass_(99)
    assert len(world.notifier.events) == 1
    world.pass_(1)
    assert len(world.notifier.events) == 2
    world.pass_(19)
    assert len(world.notifier.events) == 2


def test_a_partner_that_wants_no_more_is_left_alone(world: World) -> None:
    charge = declined(world)
    world.notifier.answers.append(Gone("410"))
    world.pump()
    world.pass_(1000)
    assert results(world, charge) == ["gone"]
    assert len(world.notifier.events) == 1


def test_after_three_days_a_person_is_needed(world: World, criticals: Criticals) -> None:
    charge = declined(world)
    world.notifier.answers.extend([TryLater(None, "500")] * 50)
    world.pump()
    for _ in range(20):
        world.pass_(GIVE_UP_S / 18)
    assert results(world, charge)[-1] == "dead"
    told = len(world.notifier.events)
    world.pass_(1e6)
    assert len(world.notifier.events) == told
    assert world.counted("webhooks", "dead") == 1
    assert world.store.query(
        "SELECT dead_since IS NOT NULL FROM webhook_job WHERE charge_id = %s", charge.charge_id
    ) == [(True,)]
    assert criticals.take() == []


@pytest.mark.parametrize("same_node", [True, False])
def test_a_delivery_that_was_not_recorded_is_made_again(world: World, same_node: bool) -> None:
    """At least once: the partner knows it by its id. Who comes back need not wait for his lease."""
    charge = declined(world)

    def stop(event: object) -> None:
        raise RuntimeError("the node stops here")

    world.notifier.on_event = stop
    key = world.offers.notified.popleft()
    running = world.notifications.run(key)
    try:
        running.send(None)
    except RuntimeError:
        pass
    world.notifier.on_event = lambda event: None
    world.restart()
    world.pass_(1)
    assert results(world, charge) == [], "its node may live"
    if same_node:
        now(world.notifications.reclaim())
        world.take_over()
    else:
        world.pass_(60)
    assert results(world, charge) == ["delivered"]
    assert len({e.event_id for e in world.notifier.events}) == 1


def test_what_was_told_by_another_node_is_not_told_again(world: World) -> None:
    charge = declined(world)
    [key] = world.offers.notified
    world.pump()
    now(world.notifications.run(key))
    assert len(world.notifier.events) == 1
    assert world.state(charge) is State.DECLINED


def test_an_event_without_room_is_put_off_and_no_attempt(world: World) -> None:
    charge = declined(world)
    world.notifier.answers.append(NotTried("all connections are taken"))
    world.pump()
    assert results(world, charge) == []
    world.pass_(4)
    assert results(world, charge) == ["delivered"]
    assert world.counted("webhooks", "put_off") == 1
    assert world.counted("webhooks", "delivered") == 1


def test_an_event_in_two_hands_is_posted_by_one(world: World) -> None:
    """As it is when nobody could lease it: the other's attempt is under way."""
    charge = declined(world)
    [key] = world.offers.notified
    posted: list[str] = []

    def meanwhile(event: object) -> None:
        posted.append("this node")
        now(world.notifications.run(key))

    world.notifier.on_event = meanwhile
    world.pump()
    assert posted == ["this node"]
    assert results(world, charge) == ["delivered"]


def test_jobs_can_be_given_back(world: World) -> None:
    charge = declined(world)
    keys = [WebhookKey(charge.charge_id, 1)]
    now(world.notifications.release(keys))
    assert now(world.notifications.claim(10)) == keys
    assert Delivered(200).status == 200


def test_an_expired_token_is_not_shown(world: World) -> None:
    [(at,)] = world.store.query("SELECT business_now()")
    charge = world.a_charge(
        sink="https://sink.example/",
        sink_token="t0ken",
        sink_token_expires_at=at + timedelta(hours=1),
    )
    world.hear(world.an_mo(charge, "нет"))
    world.store.ahead(3601)
    world.pump()
    assert world.notifier.events[-1].bearer is None
    assert results(world, charge) == ["delivered"]


@pytest.mark.parametrize("place", ["the body", "the record"])
def test_an_event_that_breaks_something_keeps_no_other_from_its_partner(
    store: Store, place: str
) -> None:
    runner = Unsteady(store)
    world = World(store, runner=runner)
    runner.reactor = world.clock
    first, key = declined(world), world.offers.notified.popleft()
    second, keys = declined(world), [key, world.offers.notified.popleft()]
    bad = ZeroDivisionError("a bug") if place == "the body" else Broken("refused")

    def breaking(event: Event) -> None:
        if f"_{first.charge_id}_" in event.event_id:
            raise bad

    if place == "the body":
        world.notifier.on_event = breaking
    else:
        runner.troubles["begin"] = [bad, bad, None]
    over: dict[int, object] = {}
    world.notifications.begin(
        keys,
        lambda key, why: over.update({key.charge_id: why and why.value}),
    )
    assert over == {first.charge_id: bad, second.charge_id: None}
    assert results(world, first) == []
    assert results(world, second) == ["delivered"]


def test_an_event_whose_record_fails_has_failed(store: Store) -> None:
    runner = Unsteady(store)
    world = World(store, runner=runner)
    runner.reactor = world.clock
    declined(world)
    runner.troubles["record"] = [NotApplied("down")]
    with pytest.raises(NotApplied):
        now(world.notifications.run(world.offers.notified[0]))
