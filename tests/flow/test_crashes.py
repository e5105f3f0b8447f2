"""A node that fails or stops at any point of a charge's way: the money agrees all the same.

One charge goes from its request to its end, again and again; each time something else fails: a
transaction did not happen, or happened and nobody was told, or the process ended before or after
it, or around a call to the outside. Then time goes by, another process takes over, and billing's
own journal is compared with what was promised.
"""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.charge.debit import Abilities
from ppcd.charge.rules import State
from ppcd.flow.request import Created, Replayed
from ppcd.store.failures import NotApplied, OutcomeUnknown, StoreError
from ppcd.store.lanes import Immediate
from ppcd.store.rows import ChargeRow
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.flow.fakes import ABLE, IDEMPOTENT, QUERYABLE, UNABLE, Stopped
from tests.flow.world import World, mos, now

#: How a transaction can fail: whether it is applied, and what its caller sees.
FAILURES: dict[str, tuple[bool, Exception]] = {
    "it did not happen": (False, NotApplied("down")),
    "nobody knows, and it did not happen": (False, OutcomeUnknown("lost")),
    "nobody knows, and it happened": (True, OutcomeUnknown("lost")),
    "the process ended before it": (False, Stopped()),
    "the process ended after it": (True, Stopped()),
}
WORK = """
    SELECT EXISTS (SELECT FROM awaiting WHERE charge_id = %s)
        OR EXISTS (SELECT FROM prompt_job WHERE charge_id = %s)
        OR EXISTS (SELECT FROM debit_job WHERE charge_id = %s AND review_since IS NULL)
        OR EXISTS (SELECT FROM webhook_job WHERE charge_id = %s)
"""


class Shaky(Immediate):
    """Fails the n-th transaction from when it is told so."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.direct, reactor=None)
        self.count = 0
        self.fail_at = 0
        self.failure = FAILURES["it did not happen"]

    def call(self, transaction: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        self.count += 1
        if self.count != self.fail_at:
            return super().call(transaction, *args, **kwargs)
        applied, exc = self.failure
        done = super().call(transaction, *args, **kwargs) if applied else None
        if done is not None:
            now(done)
        return Deferred.fromCoroutine(_raise(type(exc)(*exc.args)))

    async def run(self, transaction: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.call(transaction, *args, **kwargs)


async def _raise(exc: Exception) -> None:
    raise exc


class ShakyWorld(World):
    """A node whose workers leave failed work for later, and that starts again when it ends."""

    def __init__(self, store: Store, abilities: Abilities) -> None:
        self.shaky = Shaky(store)
        super().__init__(store, abilities=abilities, runner=self.shaky)
        self.shaky.reactor = self.clock
        self.ended = False

    def survive(self, act: Callable[[], Any]) -> Any:
        """What `act` gives, or None where the node failed; ended, it starts again."""
        try:
            return act()
        except StoreError:
            return None
        except Stopped:
            self.ended = True
            self.restart(self.shaky)
            return None

    def settle(self, waited: Any) -> Any:
        """The result of something that may pause and try again."""
        running = Deferred.fromCoroutine(waited)
        for _ in range(20):
            if running.called:
                break
            self.clock.advance(0.1)
        return now(running)

    def run(self, coro: Any) -> None:
        self.survive(lambda: World.run(self, coro))
        if self.adapter.gate is not None and self.pending:
            self.ended = True
            self.restart(self.shaky)  # it ended while it waited for billing

    def take_over(self) -> None:
        self.survive(lambda: World.take_over(self))

    def pump(self) -> None:
        self.survive(lambda: World.pump(self))


def one_charge(world: ShakyWorld) -> tuple[ChargeRow, bool]:
    """From the request to the end; whether the subscriber's yes was acknowledged."""
    order = world.an_order()
    created = None
    while not isinstance(created, Created | Replayed):  # the partner tries until it is told
        created = world.survive(lambda: world.settle(world.requests.create(world.partner, order)))
    charge = world.charge(created.charge.charge_id)
    world.pump()
    for _ in range(4):
        if world.texts(charge):
            break
        world.pass_(25)
    acknowledged = False
    for _ in range(5):  # the SMSC delivers until it is acknowledged
        if not acknowledged and world.texts(charge):
            heard = world.survive(
                lambda: world.settle(world.replies.receive(mos(world.an_mo(charge))))
            )
            acknowledged = heard == [True]
        world.pump()
        world.pass_(1)
    for _ in range(60):
        world.pass_(23)
        world.clock.advance(1)
        if not world.store.query(WORK, *[charge.charge_id] * 4)[0][0]:
            break
    return charge, acknowledged


def check(world: ShakyWorld, charge: ChargeRow, *, acknowledged: bool) -> State:
    state = world.state(charge)
    taken = world.debits_of(charge)
    assert len(taken) <= 1, "debited twice"
    if acknowledged:
        assert state in (State.SUCCEEDED, State.DENIED, State.REVIEW)
    if state is State.REVIEW:
        assert world.told(charge) == [], "told before anybody knows"
        return state
    assert len(taken) == (state is State.SUCCEEDED), "what was told is not what happened"
    world.check_at_rest(charge)
    return state


def transactions_of(store: Store, abilities: Abilities, fault: Fault) -> int:
    """How many there are when nothing fails."""
    world = ShakyWorld(store, abilities)
    world.billing.faults.append(fault)
    charge, acknowledged = one_charge(world)
    check(world, charge, acknowledged=acknowledged)
    return world.shaky.count


@pytest.mark.parametrize("how", FAILURES)
def test_whatever_transaction_fails(store: Store, how: str) -> None:
    for number in range(1, transactions_of(store, ABLE, Fault.NONE) + 1):
        world = ShakyWorld(store, ABLE)
        world.shaky.fail_at, world.shaky.failure = number, FAILURES[how]
        charge, acknowledged = one_charge(world)
        assert acknowledged, number
        state = check(world, charge, acknowledged=acknowledged)
        # Of an intent that nobody sent, who takes it over can't know: billing has never heard of
        # it, and it is too late to ask somebody who has left for money.
        assert state is State.SUCCEEDED or not world.billing.asked, number


@pytest.mark.parametrize(
    ("abilities", "fault"),
    [
        (IDEMPOTENT, Fault.LOST_ANSWER),
        (QUERYABLE, Fault.LOST_REQUEST),
        (UNABLE, Fault.NONE),
        (ABLE, Fault.INSUFFICIENT),
    ],
    ids=["idempotent, answer lost", "queryable, request lost", "unable", "refused"],
)
def test_wherever_the_process_ends(store: Store, abilities: Abilities, fault: Fault) -> None:
    seen = set()
    for number in range(1, transactions_of(store, abilities, fault) + 1):
        world = ShakyWorld(store, abilities)
        world.billing.faults.append(fault)
        how = "the process ended after it" if number % 2 else "the process ended before it"
        world.shaky.fail_at, world.shaky.failure = number, FAILURES[how]
        charge, acknowledged = one_charge(world)
        seen.add(check(world, charge, acknowledged=acknowledged))
    assert State.EXPIRED not in seen


@pytest.mark.parametrize("abilities", [ABLE, IDEMPOTENT, QUERYABLE, UNABLE])
@pytest.mark.parametrize("place", ["carrier", "billing", "partner"])
def test_a_process_that_ends_in_a_call_to_the_outside(
    store: Store, abilities: Abilities, place: str
) -> None:
    world = ShakyWorld(store, abilities)

    def stop_once(what: object) -> None:
        if not world.ended:
            raise Stopped

    if place == "carrier":
        world.carrier.on_send = stop_once
    elif place == "partner":
        world.notifier.on_event = stop_once
    else:
        world.adapter.gate = Deferred()
    charge, acknowledged = one_charge(world)
    assert world.ended
    state = check(world, charge, acknowledged=acknowledged)
    if place == "billing" and not abilities.idempotent and not abilities.queryable:
        assert state is State.REVIEW
        assert len(world.debits_of(charge)) == 1
    else:
        assert state is State.SUCCEEDED
