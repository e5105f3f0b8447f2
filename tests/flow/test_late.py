"""Answers that come after their attempt was given up end a doubt, and prove no more than that."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.charge.debit import Abilities, Debited, DenialReason, Denied, Unknown
from ppcd.charge.refund import Refunded, RefundState
from ppcd.charge.rules import State
from ppcd.store import history
from ppcd.store.rows import ChargeRow
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.flow.fakes import ABLE, IDEMPOTENT, QUERYABLE, RESERVING, UNABLE
from tests.flow.test_refund import a_paid_charge, accepted, given_back, seen
from tests.flow.test_reservation import confirm, reserved
from tests.flow.world import World

REFUSED = Denied(DenialReason.INSUFFICIENT_FUNDS, "4012")


def in_doubt(world: World, fault: Fault) -> ChargeRow:
    """A charge whose first attempt got no answer."""
    charge = world.a_charge()
    world.hear(world.an_mo(charge))
    world.billing.faults.append(fault)
    world.pump()
    assert world.state(charge) in (State.IN_DOUBT, State.REVIEW)
    return charge


def comes_late(world: World, answer: Any, *, attempt: int = 1) -> None:
    """Billing's answer to one of the attempts that it was asked for."""
    [order] = [order for order in world.billing.asked if order.attempt == attempt]
    assert world.adapter.late is not None
    world.adapter.late.debit("sim", order, answer)
    world.pump()


@pytest.mark.parametrize("abilities", [UNABLE, IDEMPOTENT, QUERYABLE, ABLE])
def test_a_late_debit_ends_the_doubt_at_once(store: Store, abilities: Abilities) -> None:
    world = World(store, abilities=abilities)
    charge = in_doubt(world, Fault.LOST_ANSWER)
    comes_late(world, Debited("T17"))
    row = world.charge(charge.charge_id)
    assert (row.state, row.billing_reference) == ("succeeded", "T17")
    for _ in range(5):
        world.pass_(61)
    assert len(world.debits_of(charge)) == 1
    world.check_at_rest(charge)
    facts = [entry.detail for entry in store.run(history.facts, charge.charge_id)]
    assert any("late answer at sim, by node a" in detail for detail in facts)


def test_a_late_refusal_ends_it_where_nothing_else_was_sent(store: Store) -> None:
    world = World(store, abilities=UNABLE)
    charge = in_doubt(world, Fault.LOST_REQUEST)
    comes_late(world, REFUSED)
    row = world.charge(charge.charge_id)
    assert (row.state, row.reason) == ("denied", "INSUFFICIENT_FUNDS")
    world.check_at_rest(charge)


@pytest.mark.parametrize(("abilities", "state"), [(IDEMPOTENT, "in_doubt"), (ABLE, "denied")])
def test_a_late_refusal_says_nothing_of_another_attempt_unless_billing_keeps_it(
    store: Store, abilities: Abilities, state: str
) -> None:
    world = World(store, abilities=abilities)
    charge = in_doubt(world, Fault.LOST_REQUEST)
    world.billing.faults.append(Fault.LOST_REQUEST)
    world.pass_(3)
    assert [order.attempt for order in world.billing.asked] == [1, 2]
    comes_late(world, REFUSED)
    assert world.charge(charge.charge_id).state == state
    assert world.counted("contradictions") == 0


def test_what_settles_nothing_is_passed_over(store: Store) -> None:
    world = World(store, abilities=UNABLE)
    charge = in_doubt(world, Fault.LOST_REQUEST)
    comes_late(world, Unknown("an error"))
    assert world.state(charge) is State.REVIEW


def test_another_attempt_that_is_under_way_changes_nothing_any_more(store: Store) -> None:
    world = World(store, abilities=IDEMPOTENT)
    charge = in_doubt(world, Fault.LOST_ANSWER)
    world.adapter.gate = gate = Deferred[None]()
    world.pass_(3)
    comes_late(world, Debited("T17"))
    assert world.state(charge) is State.SUCCEEDED
    world.adapter.gate = None
    gate.callback(None)
    world.pump()
    assert (len(world.debits_of(charge)), world.counted("contradictions")) == (1, 0)
    world.check_at_rest(charge)


@pytest.mark.parametrize("answer", [Debited("T17"), REFUSED])
def test_a_late_answer_to_a_reserve_says_nothing_of_the_capture(store: Store, answer: Any) -> None:
    world = World(store, abilities=RESERVING)
    charge = reserved(world)
    world.billing.faults.append(Fault.LOST_REQUEST)
    confirm(world, charge)
    state = world.state(charge)
    assert state in (State.IN_DOUBT, State.REVIEW)
    comes_late(world, answer)
    assert world.state(charge) is state


@pytest.mark.parametrize(("answer", "contradictions"), [(Debited("T17"), 1), (REFUSED, 0)])
def test_a_late_debit_of_what_was_denied_is_an_alarm_and_no_change(
    store: Store, answer: Any, contradictions: int
) -> None:
    world = World(store, abilities=UNABLE)
    charge = in_doubt(world, Fault.LOST_ANSWER)
    store.result(charge, "denied", reason="BILLING_UNAVAILABLE")
    comes_late(world, answer)
    assert world.state(charge) is State.DENIED
    assert world.counted("contradictions") == contradictions


@pytest.mark.parametrize(
    ("answer", "state"),
    [(Refunded("R4"), RefundState.SUCCEEDED), (REFUSED, RefundState.DENIED)],
)
def test_a_late_answer_to_a_refund_ends_its_doubt(
    store: Store, answer: Any, state: RefundState
) -> None:
    world = World(store, abilities=UNABLE)
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    fault = Fault.LOST_ANSWER if isinstance(answer, Refunded) else Fault.LOST_REQUEST
    world.billing.faults.append(fault)
    world.pump()
    assert seen(world, view).state is RefundState.REVIEW
    order: Any = world.billing.asked[-1]
    assert world.adapter.late is not None
    world.adapter.late.refund("sim", order, Unknown("an error"))
    assert seen(world, view).state is RefundState.REVIEW
    world.adapter.late.refund("sim", order, answer)
    assert seen(world, view).state is state
    assert given_back(world, view) == [2500] * isinstance(answer, Refunded)
    world.adapter.late.refund("sim", order, Refunded("R4"))
    assert world.counted("contradictions") == (state is RefundState.DENIED)
