"""What partners ask: create, look up, wait, cancel, and whose key it is."""

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import State
from ppcd.flow.request import (
    AlreadyCancelled,
    AlreadyConfirmed,
    AlreadyEnded,
    Busy,
    Cancelled,
    CorrelatorTaken,
    Created,
    NoFreeAddress,
    NotFound,
    NotServed,
    Partner,
    ReferenceTaken,
    Replayed,
    RouteRules,
)
from ppcd.flow.view import ChargeView
from ppcd.flow.waiting import WAITING_MAX
from ppcd.store import registers
from ppcd.store.failures import NotApplied, OutcomeUnknown
from ppcd.store.lanes import Immediate
from ppcd.store.limits import Limit, OverLimit, SumLimits
from ppcd.store.registers import TariffRow
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.flow.world import World, now

STORE_DOWN = NotApplied("down")


class Failing(Immediate):
    """Fails the next calls as told, the last of them perhaps after doing it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.direct, reactor=None)
        self.failures: list[Exception] = []
        self.apply = False
        self.calls = 0

    def call(self, transaction: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        self.calls += 1
        if not self.failures:
            return super().call(transaction, *args, **kwargs)
        if self.apply:
            super().call(transaction, *args, **kwargs)
        return fail(self.failures.pop(0))

    async def run(self, transaction: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.call(transaction, *args, **kwargs)


@pytest.fixture
def failing(store: Store) -> tuple[World, Failing]:
    runner = Failing(store)
    world = World(store, runner=runner)
    runner.reactor = world.clock
    return world, runner


def create(world: World, **changes: Any) -> Any:
    return now(world.requests.create(world.partner, world.an_order(**changes)))


# --- creating ---------------------------------------------------------------------------------


def test_a_charge_is_created_with_its_prompt_on_its_way(world: World) -> None:
    created = create(world, document={"amount": "25.00", "note": None})
    assert isinstance(created, Created)
    view = created.charge
    assert (view.state, view.reason, view.paid_at) == (State.AWAITING, None, None)
    assert view.document == {"amount": "25.00", "note": None}
    [job] = world.offers.prompted
    assert job.charge_id == view.charge_id
    assert world.counted("charges", "awaiting") == 1


def test_a_prompt_that_nobody_here_would_send_is_whoever_comes_first_s(world: World) -> None:
    world.offers.wanted = False
    created = create(world)
    assert isinstance(created, Created)
    assert not world.offers.prompted
    [job] = now(world.prompts.claim(10))
    assert job.charge_id == created.charge.charge_id


def test_the_same_request_again_is_answered_with_the_same_charge(world: World) -> None:
    order = world.an_order()
    first = now(world.requests.create(world.partner, order))
    assert isinstance(first, Created)
    again = now(world.requests.create(world.partner, order))
    assert again == Replayed(first.charge)
    assert len(world.offers.prompted) == 1


def test_the_same_request_is_answered_alike_for_ever(world: World) -> None:
    order = world.an_order()
    first = now(world.requests.create(world.partner, order))
    assert isinstance(first, Created)
    charge = world.charge(first.charge.charge_id)
    world.pump()
    world.hear(world.an_mo(charge, "нет"))
    world.pass_(1000 * 86_400)
    again = now(world.requests.create(world.partner, order))
    assert isinstance(again, Replayed)
    assert again.charge.charge_id == charge.charge_id
    # Also when the number is nobody's that we serve any more.
    world.pool = ()
    world.routes_gone = True
    again = now(world.requests.create(world.partner, order))
    assert isinstance(again, Replayed)
    other = replace(order, fingerprint=b"other")
    assert now(world.requests.create(world.partner, other)) == CorrelatorTaken()
    fresh = replace(order, correlator="fresh")
    assert now(world.requests.create(world.partner, fresh)) == NotServed()
    assert now(world.requests.create(world.partner, replace(order, correlator=None))) == NotServed()


def test_what_was_taken_is_said(world: World) -> None:
    first = create(world, correlator="c-x", reference="r-x")
    assert isinstance(first, Created)
    assert create(world, correlator="c-x", fingerprint=b"other") == CorrelatorTaken()
    assert create(world, reference="r-x") == ReferenceTaken()


def test_the_longest_prefix_finds_the_route_and_without_one_nobody_is_served(
    world: World,
) -> None:
    assert create(world, msisdn=Msisdn.from_digits("48501234567")) == NotServed()

    def route(name: str, *prefixes: str) -> RouteRules:
        return RouteRules(
            name=name,
            prefixes=prefixes,
            pool=world.pool,
            billing="sim",
            with_code=lambda money: False,
            quarantine_s=0,
        )

    routes = [route("any"), route("one", "38097", "38050"), route("two", "380")]
    world.requests._routes = lambda: routes  # a reload
    names = {}
    for digits in ("380971234567", "380661234567", "48501234567"):
        created = create(world, msisdn=Msisdn.from_digits(digits))
        assert isinstance(created, Created)
        query = "SELECT route FROM charge WHERE charge_id = %s"
        names[digits] = world.store.query(query, created.charge.charge_id)[0][0]
    assert list(names.values()) == ["one", "two", "any"]


def test_when_every_address_waits_the_partner_is_told_so(world: World) -> None:
    phone = Msisdn.from_digits(str(380970000000 + world.store.number()))
    for _ in world.pool:
        assert isinstance(create(world, msisdn=phone), Created)
    assert create(world, msisdn=phone) == NoFreeAddress()
    assert world.counted("no_free_address") == 1


def test_what_is_over_a_limit_is_refused_before_anybody_is_asked(world: World) -> None:
    world.sum_limits = SumLimits(charge={"UAH": 2499})
    assert create(world) == OverLimit(Limit.CHARGE)
    assert not world.offers.prompted
    assert world.counted("limits_hit", "charge", "request") == 1


def test_words_of_partners_are_cut_and_kept_on_one_line(world: World) -> None:
    created = create(
        world, merchant="Evil\nShop", description="x" * 500, language="xx", sink="https://s/"
    )
    row = world.charge(created.charge.charge_id)
    assert row.merchant == "Evil Shop"
    assert len(row.description) <= 120
    assert row.sink == "https://s/"
    assert world.offers.prompted[0].language == "uk"


def test_a_tariff_may_give_billing_more_time(world: World) -> None:
    tariff = TariffRow("slow", 2500, "UAH", "slow", 3600)
    world.store.run(registers.add_tariff, partner_id=world.store.partner_id, tariff=tariff)
    assert now(world.requests.tariff(world.partner, "slow")) == tariff
    assert now(world.requests.tariff(world.partner, "none")) is None
    created = create(world, product_id="slow")
    query = "SELECT debit_start_s FROM charge WHERE charge_id = %s"
    assert world.store.query(query, created.charge.charge_id) == [(3600,)]
    created = create(world, product_id="none")
    assert world.store.query(query, created.charge.charge_id) == [(120,)]


def test_a_charge_above_the_limit_asks_for_a_code_that_is_not_its_price(world: World) -> None:
    world.with_code = True
    create(world, money=Money(482100, "UAH"))
    assert world.offers.prompted[0].code == "4822"


# --- a database that is not there -------------------------------------------------------------


def test_nothing_is_promised_without_the_database(failing: tuple[World, Failing]) -> None:
    world, runner = failing
    runner.failures = [STORE_DOWN]
    assert isinstance(create(world), Busy)
    world.ids.failure = STORE_DOWN
    assert isinstance(create(world), Busy)
    assert not world.offers.prompted


def test_a_replay_that_cannot_be_read_is_busy(failing: tuple[World, Failing]) -> None:
    world, runner = failing
    order = world.an_order()
    now(world.requests.create(world.partner, order))
    creating = runner.call

    def call(transaction: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        result = creating(transaction, *args, **kwargs)
        runner.failures = [STORE_DOWN]
        return result

    runner.call = call  # type: ignore[method-assign]
    assert isinstance(now(world.requests.create(world.partner, order)), Busy)


def test_a_creation_whose_answer_was_lost_is_run_again_and_told_as_created(
    failing: tuple[World, Failing],
) -> None:
    world, runner = failing
    runner.failures, runner.apply = [OutcomeUnknown("lost")], True
    creating = Deferred.fromCoroutine(world.requests.create(world.partner, world.an_order()))
    assert not creating.called
    world.clock.advance(1)
    created = now(creating)
    assert isinstance(created, Created)
    assert len(world.offers.prompted) == 1
    world.pump()
    assert world.kinds(world.charge(created.charge.charge_id)) == ["prompt"]


def test_a_replay_of_what_retention_has_dropped_is_a_conflict(world: World) -> None:
    order = world.an_order(reference="old", correlator=None)
    lost = world.an_order(correlator="old")
    world.store.query(
        "INSERT INTO charge_key VALUES (%s, 'correlator', sha256('old'), 1, 'the same')",
        world.store.partner_id,
    )
    assert isinstance(now(world.requests.create(world.partner, order)), Created)
    assert now(world.requests.create(world.partner, lost)) == CorrelatorTaken()


# --- looking and waiting ----------------------------------------------------------------------


def test_a_charge_is_its_partners_own(world: World) -> None:
    charge = world.a_charge()
    view = now(world.requests.get(world.partner, charge.charge_id))
    assert isinstance(view, ChargeView)
    other = Partner(world.store.partner_id + 1, "other", "Other", "uk", None)
    assert now(world.requests.get(other, charge.charge_id)) is None
    assert now(world.requests.cancel(other, charge.charge_id)) == NotFound()
    for nothing in (1, 0, -5, 1 << 63):
        assert now(world.requests.get(world.partner, nothing)) is None


def test_a_reader_waits_until_the_end(world: World) -> None:
    charge = world.a_charge()
    waiting = Deferred.fromCoroutine(world.requests.get(world.partner, charge.charge_id, 25))
    world.clock.advance(5)
    assert not waiting.called
    world.answer(charge)
    assert not waiting.called
    world.clock.advance(0.25)
    view = now(waiting)
    assert view is not None
    assert view.state is State.SUCCEEDED
    assert view.paid_at == world.charge(charge.charge_id).decided_at
    world.clock.advance(0.25)
    assert world.clock.getDelayedCalls() == []


def test_a_reader_waits_no_longer_than_it_said(world: World) -> None:
    charge = world.a_charge()
    waiting = Deferred.fromCoroutine(world.requests.get(world.partner, charge.charge_id, 2))
    world.clock.pump([0.5] * 3)
    assert not waiting.called
    world.clock.advance(0.5)
    view = now(waiting)
    assert view is not None
    assert view.state is State.AWAITING
    world.clock.advance(0.25)
    assert world.clock.getDelayedCalls() == []


def test_an_ended_charge_is_answered_at_once(world: World) -> None:
    charge = world.a_charge()
    world.answer(charge, "нет")
    view = now(world.requests.get(world.partner, charge.charge_id, 25))
    assert view is not None
    assert view.state is State.DECLINED
    assert world.clock.getDelayedCalls() == []


def test_many_readers_cost_one_look(failing: tuple[World, Failing]) -> None:
    world, runner = failing
    charges = [world.a_charge() for _ in range(3)]
    waiting = [
        Deferred.fromCoroutine(world.requests.get(world.partner, c.charge_id, 25))
        for c in [*charges, charges[0]]
    ]
    calls = runner.calls
    world.clock.advance(0.25)
    assert runner.calls == calls + 1
    for charge in charges:
        world.answer(charge)
    world.clock.advance(0.25)
    assert all(now(w) is not None for w in waiting)
    world.clock.advance(30)
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("trouble", [STORE_DOWN, OutcomeUnknown("lost")])
def test_a_failed_look_is_only_later(failing: tuple[World, Failing], trouble: Exception) -> None:
    world, runner = failing
    charge = world.a_charge()
    waiting = Deferred.fromCoroutine(world.requests.get(world.partner, charge.charge_id, 25))
    world.answer(charge)
    runner.failures = [trouble]
    world.clock.advance(0.25)
    assert not waiting.called
    world.clock.advance(0.25)
    assert now(waiting) is not None


def test_a_reader_that_goes_away_leaves_nothing(world: World) -> None:
    charge = world.a_charge()
    waiting = Deferred.fromCoroutine(world.requests.get(world.partner, charge.charge_id, 25))
    failures: list[Any] = []
    waiting.addErrback(failures.append)
    waiting.cancel()
    assert len(failures) == 1
    world.clock.advance(0.25)
    assert world.clock.getDelayedCalls() == []


def test_too_many_readers_are_answered_at_once(world: World) -> None:
    charge = world.a_charge()
    world.requests._ends._count = WAITING_MAX
    assert now(world.requests.get(world.partner, charge.charge_id, 25)) is not None


# --- cancelling -------------------------------------------------------------------------------


def test_a_cancel_is_told_what_became_of_the_charge(world: World) -> None:
    def cancel(charge: Any) -> Any:
        return now(world.requests.cancel(world.partner, charge.charge_id))

    waiting, declined, paid, denied = (world.a_charge() for _ in range(4))
    assert cancel(waiting) == Cancelled()
    assert cancel(waiting) == AlreadyCancelled()
    world.answer(declined, "нет")
    assert cancel(declined) == AlreadyEnded(State.DECLINED)
    world.answer(paid)
    assert cancel(paid) == AlreadyConfirmed()
    world.billing.faults.append(Fault.INSUFFICIENT)
    world.answer(denied)
    assert cancel(denied) == AlreadyConfirmed()
    assert now(world.requests.cancel(world.partner, 1)) == NotFound()
