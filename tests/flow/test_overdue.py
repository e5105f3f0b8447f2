"""Queues that stand still: what time has decided about is ended all the same."""

from typing import Any

from ppcd.charge.rules import State
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.flow.fakes import QUERYABLE
from tests.flow.test_debit import confirmed
from tests.flow.world import World, now


def away(world: World) -> None:
    """Billing has not answered, and is left alone for long."""
    world.pace.failed(0, retry_after_s=None)
    assert world.pace.is_open


def left_alone(store: Store, **changes: Any) -> World:
    long = {"failures_max": 1, "pause_first_s": 100_000, "pause_max_s": 100_000}
    return World(store, pacing=long, **changes)


def test_a_debit_that_could_not_be_begun_in_time_is_denied_while_billing_is_away(
    store: Store,
) -> None:
    world = left_alone(store)
    charge = confirmed(world)
    world.offers.clear()
    away(world)
    world.pass_(119)
    assert world.state(charge) is State.CONFIRMED
    world.pass_(2)
    assert world.state(charge) is State.DENIED
    assert world.billing.asked == []
    world.check_at_rest(charge)


def test_a_doubt_goes_to_people_at_its_horizon_while_billing_is_away(store: Store) -> None:
    world = left_alone(store, abilities=QUERYABLE)
    world.billing.faults.append(Fault.LOST_ANSWER)
    charge = confirmed(world)
    world.pump()
    away(world)
    world.pass_(120)  # a minute after the question was due
    assert world.state(charge) is State.IN_DOUBT
    world.pass_(world.horizon_s)
    assert world.state(charge) is State.REVIEW
    assert world.billing.queried == []
    world.check_at_rest(charge)


def test_a_node_that_ended_while_asking_leaves_a_doubt_though_billing_is_away(
    store: Store,
) -> None:
    world = left_alone(store)
    charge = confirmed(world)
    [job] = world.offers.debited
    assert store.run(_begun, job) is not None
    world.offers.clear()
    away(world)
    world.pass_(130)
    assert world.state(charge) is State.IN_DOUBT
    world.pass_(world.horizon_s)
    assert world.state(charge) is State.REVIEW


def test_what_no_node_here_can_ask_is_denied_in_its_time_and_else_left_to_others(
    store: Store,
) -> None:
    world = World(store)
    charge = confirmed(world)
    world.offers.clear()
    world.adapters.clear()
    world.pace.failed(0)
    world.take_over = lambda: now(world.overdue.sweep())  # type: ignore[method-assign]
    world.pass_(30)
    assert world.state(charge) is State.CONFIRMED
    world.pass_(100)
    assert world.state(charge) is State.DENIED


def test_a_queue_that_is_worked_off_is_not_looked_through(store: Store) -> None:
    world = World(store)
    charge = confirmed(world)
    world.offers.clear()
    world.clock.advance(200)
    store.ahead(200)
    now(world.overdue.sweep())
    assert world.state(charge) is State.CONFIRMED


def test_many_are_ended_in_one_sweep(store: Store) -> None:
    world = left_alone(store)
    charges = [world.a_charge() for _ in range(3)]
    world.hear(*(world.an_mo(charge) for charge in charges))
    world.offers.clear()
    away(world)
    world.pass_(121)
    assert {world.state(charge) for charge in charges} == {State.DENIED}


def test_billing_that_is_away_is_tried_with_what_is_not_in_doubt(store: Store) -> None:
    world = World(store, pacing={"failures_max": 1, "pause_first_s": 1, "pause_max_s": 1})
    stuck, other = world.a_charge(), world.a_charge()
    world.billing.faults.append(Fault.LOST_REQUEST)
    world.hear(world.an_mo(stuck))
    world.pump()
    assert world.state(stuck) is State.IN_DOUBT
    assert world.pace.is_away
    world.hear(world.an_mo(other))
    world.offers.clear()
    world.clock.advance(30)
    store.ahead(30)
    [job] = now(world.debits.claim("sim", 1))
    assert job.charge_id == other.charge_id
    [job] = now(world.debits.claim("sim", 1))
    assert job.charge_id == stuck.charge_id, "rather than nothing"


def _begun(cur: Any, job: Any) -> Any:
    from ppcd.store.intents import Intent, begin

    intent = Intent(job.charge_id, job.attempts + 1, job.plan)
    return begin(cur, [intent], node="a", lease_s=60)[0]
