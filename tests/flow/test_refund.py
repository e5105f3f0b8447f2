"""Refunds: given back once whatever happens, never more than the debit, told with their end."""

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.charge.debit import Abilities
from ppcd.charge.money import Money
from ppcd.charge.refund import RefundState, Refusal
from ppcd.flow.listing import TooMany
from ppcd.flow.ports import TryLater
from ppcd.flow.refund_requests import (
    Obstacle,
    RefundCreated,
    RefundCriteria,
    RefundOfOlder,
    RefundView,
    RefundWanted,
)
from ppcd.flow.request import Busy, Partner
from ppcd.store import refund_jobs
from ppcd.store.debits import Next
from ppcd.store.failures import NotApplied, OutcomeUnknown
from ppcd.store.rows import ChargeRow, RefundJob
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.conftest import Criticals
from tests.flow.fakes import ABLE, IDEMPOTENT, QUERYABLE, UNABLE
from tests.flow.unsteady import Unsteady
from tests.flow.world import World, now

STRANGER = Partner(-1, "stranger", "Other Shop", "ru", None)


def wanted(world: World, amount_minor: int | None = None, **changes: Any) -> RefundWanted:
    number = world.store.number()
    return replace(
        RefundWanted(
            money=None if amount_minor is None else Money(amount_minor, "UAH"),
            reference=f"refund-{number}",
            correlator=f"rc-{number}",
            reason="changed their mind",
            sink=None,
            sink_token=None,
            sink_token_expires_at=None,
            document={"referenceCode": f"refund-{number}"},
            fingerprint=b"the same",
        ),
        **changes,
    )


def a_paid_charge(world: World, **changes: Any) -> ChargeRow:
    charge = world.a_charge(**changes)
    world.answer(charge)
    charge = world.charge(charge.charge_id)
    assert charge.state == "succeeded"
    return charge


def asks(world: World, charge: ChargeRow, order: RefundWanted) -> Any:
    """What the partner is answered, before anything else happens."""
    payment = now(world.refund_requests.payment(world.partner, charge.charge_id))
    assert payment is not None
    return now(world.refund_requests.create(payment, order))


def accepted(
    world: World, charge: ChargeRow, amount_minor: int | None = None, **changes: Any
) -> RefundView:
    answer = asks(world, charge, wanted(world, amount_minor, **changes))
    assert isinstance(answer, RefundCreated)
    return answer.refund


def refunded(world: World, charge: ChargeRow, *args: Any, **changes: Any) -> RefundView:
    """The refund when all that can happen at once has happened."""
    view = accepted(world, charge, *args, **changes)
    world.pump()
    return seen(world, view)


def seen(world: World, refund: RefundView) -> RefundView:
    requests = world.refund_requests
    view = now(requests.get(world.partner, refund.charge_id, refund.refund_id))
    assert view is not None
    return view


def left(world: World, charge: ChargeRow) -> int:
    found = now(world.refund_requests.left(world.partner, charge.charge_id))
    assert found is not None
    return found.money_minor


def given_back(world: World, refund: RefundView) -> list[int]:
    """What billing gave back for a refund, by its own journal."""
    return [
        amount for key, _, amount, _ in world.billing.given_back if key == str(refund.refund_id)
    ]


def test_a_total_refund_gives_everything_back(world: World) -> None:
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    assert (view.state, view.money) == (RefundState.ACCEPTED, Money(2500, "UAH"))
    assert left(world, charge) == 0
    world.pump()
    done = seen(world, view)
    assert done.state is RefundState.SUCCEEDED
    assert done.refunded_at is not None
    assert world.billing.given_back == [(str(view.refund_id), str(charge.msisdn), 2500, "UAH")]
    [order] = [o for o in world.billing.asked if o.key == str(view.refund_id)]
    assert order.debit_key == str(charge.charge_id)
    assert order.debit_reference == charge.billing_reference
    assert world.charge(charge.charge_id).state == "succeeded"


def test_parts_are_given_back_until_nothing_is_left(world: World) -> None:
    charge = a_paid_charge(world)
    assert left(world, charge) == 2500
    refunded(world, charge, 1000)
    assert left(world, charge) == 1500
    assert asks(world, charge, wanted(world, 1501)) is Refusal.TOO_MUCH
    assert refunded(world, charge).money == Money(1500, "UAH")
    assert left(world, charge) == 0
    assert asks(world, charge, wanted(world, 1)) is Refusal.NOTHING_LEFT
    assert asks(world, charge, wanted(world)) is Refusal.NOTHING_LEFT
    assert sum(amount for _, _, amount, _ in world.billing.given_back) == 2500


def test_what_is_being_given_back_is_not_left_and_a_denied_refund_gives_it_free(
    world: World,
) -> None:
    charge = a_paid_charge(world)
    world.billing.faults.append(Fault.BARRED)
    view = accepted(world, charge, 2000)
    assert left(world, charge) == 500
    assert asks(world, charge, wanted(world, 501)) is Refusal.TOO_MUCH
    world.pump()
    denied = seen(world, view)
    assert denied.state is RefundState.DENIED
    assert denied.denial == "SERVICE_DENIED"
    assert denied.refunded_at is None
    assert left(world, charge) == 2500
    assert refunded(world, charge).state is RefundState.SUCCEEDED


def test_only_what_was_paid_can_be_refunded(world: World) -> None:
    charge = world.a_charge()
    assert asks(world, charge, wanted(world)) is Refusal.NOT_PAID
    assert left(world, charge) == 0
    world.answer(charge, "НІ")
    assert asks(world, charge, wanted(world)) is Refusal.NOT_PAID
    assert asks(world, a_paid_charge(world), wanted(world, 1, money=Money(1, "EUR"))) is (
        Refusal.OTHER_CURRENCY
    )


def test_a_billing_that_gives_nothing_back_is_not_asked(world: World) -> None:
    charge = a_paid_charge(world)
    world.adapter.reversible = False
    order = wanted(world)
    assert asks(world, charge, order) is Obstacle.NOT_REVERSIBLE
    world.adapters.clear()
    assert asks(world, charge, order) is Obstacle.NOT_REVERSIBLE
    world.adapters[world.adapter.name] = world.adapter
    world.adapter.reversible = True
    # It left no trace: the same request is right now.
    assert isinstance(asks(world, charge, order), RefundCreated)


def test_the_same_request_again_makes_no_second_refund(world: World) -> None:
    charge = a_paid_charge(world)
    order = wanted(world, 1000)
    first = asks(world, charge, order)
    world.pump()
    again = asks(world, charge, order)
    assert again == first
    assert again.refund.state is RefundState.ACCEPTED
    assert seen(world, again.refund).state is RefundState.SUCCEEDED
    other = replace(order, fingerprint=b"another", reference="other")
    assert asks(world, charge, other) is Obstacle.CORRELATOR_TAKEN
    same_reference = replace(order, correlator=None)
    assert asks(world, charge, same_reference) is Obstacle.REFERENCE_TAKEN
    assert left(world, charge) == 1500


def test_a_request_that_was_refused_leaves_no_key(world: World) -> None:
    charge = world.a_charge()
    order = wanted(world)
    assert asks(world, charge, order) is Refusal.NOT_PAID
    world.answer(charge)
    assert isinstance(asks(world, charge, order), RefundCreated)


def test_of_a_refund_that_was_forgotten_only_the_key_is_left(world: World) -> None:
    charge = a_paid_charge(world)
    payment = now(world.refund_requests.payment(world.partner, charge.charge_id))
    assert payment is not None
    order = wanted(world)
    world.store.query(
        "INSERT INTO refund_key VALUES (%s, 'correlator', sha256(%s), 1, 1, %s)",
        *(world.partner.partner_id, order.correlator.encode(), order.fingerprint),
    )
    assert now(world.refund_requests.create(payment, order)) == RefundOfOlder()


def test_nobody_sees_the_refunds_of_others(world: World) -> None:
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    requests = world.refund_requests
    assert now(requests.payment(STRANGER, charge.charge_id)) is None
    assert now(requests.left(STRANGER, charge.charge_id)) is None
    assert now(requests.get(STRANGER, charge.charge_id, view.refund_id)) is None
    assert now(requests.get(world.partner, charge.charge_id, 1)) is None
    page = requests.find(
        STRANGER, charge.charge_id, RefundCriteria(), offset=0, limit=1, newest_first=True
    )
    assert now(page) is None


def test_refunds_are_listed_a_page_at_a_time(world: World, monkeypatch: Any) -> None:
    charge = a_paid_charge(world)
    first = refunded(world, charge, 100)
    world.billing.faults.append(Fault.BARRED)
    document = {"refundAmount": {"chargingMetaData": {"merchantIdentifier": "m-1"}}}
    second = refunded(world, charge, 200, document=document)
    third = accepted(world, charge, 300)

    def page(criteria: RefundCriteria = RefundCriteria(), **how: Any) -> Any:  # noqa: B008
        how = {"offset": 0, "limit": 10, "newest_first": True} | how
        return now(world.refund_requests.find(world.partner, charge.charge_id, criteria, **how))

    def ids(found: Any) -> list[int]:
        return [view.refund_id for view in found.refunds]

    assert ids(page()) == [third.refund_id, second.refund_id, first.refund_id]
    assert ids(page(newest_first=False, limit=2)) == [first.refund_id, second.refund_id]
    assert (ids(page(offset=2)), page(offset=2).total) == ([first.refund_id], 3)
    assert ids(page(RefundCriteria(states=("denied",)))) == [second.refund_id]
    assert ids(page(RefundCriteria(merchant_identifier="m-1"))) == [second.refund_id]
    since = RefundCriteria(since=third.created_at.replace(microsecond=0, year=2050))
    assert ids(page(since)) == []
    monkeypatch.setattr("ppcd.flow.refund_requests.LOOKED_AT_MAX", 2)
    assert page() == TooMany()


def test_the_partner_is_told_how_it_ended_after_how_the_charge_did(world: World) -> None:
    charge = a_paid_charge(world)
    first = refunded(world, charge, 1000)
    world.billing.faults.append(Fault.BARRED)
    second = refunded(world, charge, 500)
    told = [(e.event_id, e.body.decode().rpartition(" ")[0]) for e in world.notifier.events]
    assert told == [
        (f"evt_{charge.charge_id}_1", "succeeded None"),
        (f"evt_{charge.charge_id}_2", f"refund {first.refund_id}: succeeded None"),
        (f"evt_{charge.charge_id}_3", f"refund {second.refund_id}: denied SERVICE_DENIED"),
    ]


def test_a_refund_is_told_where_it_says_with_its_own_token(world: World) -> None:
    charge = a_paid_charge(world, sink="https://shop.example/charge", sink_token="charge-token")
    sink = "https://shop.example/refund"
    world.notifier.answers.append(TryLater(None, "503"))
    refunded(world, charge, sink=sink, sink_token="refund-token")
    world.pass_(30)
    first, *others = world.notifier.events
    assert (first.url, first.bearer) == ("https://shop.example/charge", "charge-token")
    assert [(e.url, e.bearer) for e in others] == [(sink, "refund-token")] * 2
    assert (
        world.store.query("SELECT * FROM sink_token WHERE charge_id = %s", charge.charge_id) == []
    )
    tokens = "SELECT count(*) FROM sink_token WHERE token = 'refund-token'"
    assert world.store.query(tokens) == [(0,)]


@pytest.mark.parametrize(
    ("fault", "abilities", "times"),
    [
        (fault, abilities, times)
        for abilities in (ABLE, IDEMPOTENT, QUERYABLE)
        for fault, times in [
            (Fault.LOST_REQUEST, 1),
            (Fault.LOST_ANSWER, 1),
            (Fault.BUSY, 1),
            (Fault.ERROR_BEFORE_DEBIT, 1),
            (Fault.ERROR_AFTER_DEBIT, 1),
            (Fault.GARBAGE, 1),
            (Fault.RESET, 1),
            (Fault.ZOMBIE, 1),
        ]
    ],
)
def test_whatever_billing_does_it_is_given_back_exactly_once(
    store: Store, fault: Fault, abilities: Abilities, times: int
) -> None:
    world = World(store, abilities=abilities)
    charge = a_paid_charge(world)
    world.billing.faults.append(fault)
    view = refunded(world, charge)
    for second in range(40):
        if second == 1:
            world.billing.rise()
        world.pass_(10)
    assert seen(world, view).state is RefundState.SUCCEEDED
    assert given_back(world, view) == [2500] * times
    assert left(world, charge) == 0


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER])
def test_where_nothing_can_be_found_out_people_decide(store: Store, fault: Fault) -> None:
    world = World(store, abilities=UNABLE)
    charge = a_paid_charge(world)
    world.billing.faults.append(fault)
    view = refunded(world, charge)
    assert seen(world, view).state is RefundState.REVIEW
    assert left(world, charge) == 0
    world.pass_(10_000)
    assert seen(world, view).state is RefundState.REVIEW
    assert len([o for o in world.billing.asked if o.key == str(view.refund_id)]) == 1
    assert world.counted("refunds", "review") == 1


def test_a_doubt_that_outlives_the_horizon_is_left_to_people(store: Store) -> None:
    world = World(store, abilities=QUERYABLE)
    charge = a_paid_charge(world)
    world.billing.faults.append(Fault.LOST_ANSWER)
    view = refunded(world, charge)
    world.billing.down = True
    for _ in range(60):
        world.pass_(30)
    assert seen(world, view).state is RefundState.REVIEW


def test_a_billing_that_is_away_is_tried_until_the_time_is_over(world: World) -> None:
    charge = a_paid_charge(world)
    world.billing.down = True
    view = refunded(world, charge)
    world.pass_(1800)
    assert seen(world, view).state is RefundState.ACCEPTED
    world.pass_(1900)
    denied = seen(world, view)
    assert (denied.state, denied.denial) == (RefundState.DENIED, "BILLING_UNAVAILABLE")
    assert left(world, charge) == 2500
    assert given_back(world, view) == []


def test_a_refund_waits_while_billing_is_down_and_is_made_when_it_is_back(world: World) -> None:
    charge = a_paid_charge(world)
    world.billing.down = True
    view = refunded(world, charge)
    world.billing.down = False
    world.pass_(15)
    assert seen(world, view).state is RefundState.SUCCEEDED


def the_job(world: World, view: RefundView) -> RefundJob:
    """As a worker has it."""
    world.store.ahead(100)
    [job] = now(world.refunds.claim(10))
    assert job.refund_id == view.refund_id
    return job


def test_a_held_refund_is_put_off_and_ends_when_its_time_is_over(world: World) -> None:
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    now(world.refunds.postpone(the_job(world, view), 10))
    assert now(world.refunds.claim(10)) == []
    assert seen(world, view).state is RefundState.ACCEPTED
    world.store.ahead(3700)
    now(world.refunds.postpone(the_job(world, view), 10))
    world.pump()
    assert seen(world, view).denial == "BILLING_UNAVAILABLE"
    assert given_back(world, view) == []


def test_a_held_doubt_goes_to_people_all_the_same(store: Store) -> None:
    world = World(store, abilities=QUERYABLE)
    charge = a_paid_charge(world)
    world.billing.faults.append(Fault.LOST_REQUEST)
    view = refunded(world, charge)
    job = replace(the_job(world, view), plan="review")
    now(world.refunds.postpone(job, 10))
    assert seen(world, view).state is RefundState.REVIEW


def test_what_was_given_back_is_released_for_others(world: World) -> None:
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    job = the_job(world, view)
    now(world.refunds.release([job]))
    assert [j.refund_id for j in now(world.refunds.claim(10))] == [view.refund_id]


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.LOST_REQUEST])
def test_a_node_that_stops_while_billing_answers_leaves_no_second_refund(
    world: World, fault: Fault
) -> None:
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    world.billing.faults.append(fault)
    world.adapter.gate = Deferred()
    world.pump()
    assert seen(world, view).state is RefundState.REFUNDING
    world.restart()
    now(world.refunds.reclaim())
    world.take_over()
    assert seen(world, view).state is RefundState.IN_DOUBT
    for _ in range(10):
        world.pass_(10)
    assert seen(world, view).state is RefundState.SUCCEEDED
    assert given_back(world, view) == [2500]


def test_a_held_job_that_a_node_left_open_is_in_doubt(world: World) -> None:
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    world.adapter.gate = Deferred()
    world.pump()
    world.restart()
    now(world.refunds.postpone(the_job(world, view), 10))
    assert seen(world, view).state is RefundState.IN_DOUBT


@pytest.fixture
def unsteady(store: Store) -> tuple[World, Unsteady]:
    runner = Unsteady(store)
    world = World(store, runner=runner)
    runner.reactor = world.clock
    return world, runner


def test_a_node_that_was_paused_sends_no_old_intent(unsteady: tuple[World, Unsteady]) -> None:
    world, runner = unsteady
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    runner.troubles["begin"] = [lambda: world.clock.advance(6)]
    world.pump()
    assert given_back(world, view) == []
    assert seen(world, view).state is RefundState.ACCEPTED
    world.pass_(2)
    assert seen(world, view).state is RefundState.SUCCEEDED


@pytest.mark.parametrize("applied", ["applied", "lost"])
def test_an_intent_whose_commit_is_unknown_is_made_once(
    unsteady: tuple[World, Unsteady], applied: str
) -> None:
    world, runner = unsteady
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    runner.troubles["begin"] = [OutcomeUnknown(applied), NotApplied("down")]
    world.pump()
    world.clock.pump([0.1] * 6)
    world.pump()
    assert seen(world, view).state is RefundState.SUCCEEDED
    assert given_back(world, view) == [2500]


@pytest.mark.parametrize("applied", ["applied", "lost"])
def test_a_request_whose_commit_is_unknown_makes_one_refund(
    unsteady: tuple[World, Unsteady], applied: str
) -> None:
    world, runner = unsteady
    charge = a_paid_charge(world)
    payment = now(world.refund_requests.payment(world.partner, charge.charge_id))
    assert payment is not None
    runner.troubles["create"] = [OutcomeUnknown(applied), NotApplied("down")]
    found: list[Any] = []
    creating = Deferred.fromCoroutine(world.refund_requests.create(payment, wanted(world)))
    creating.addCallback(found.append)
    world.clock.pump([0.1] * 6)
    [answer] = found
    assert isinstance(answer, RefundCreated)
    world.pump()
    assert given_back(world, answer.refund) == [2500]
    assert left(world, charge) == 0


def test_an_answer_is_kept_until_the_database_takes_it(
    unsteady: tuple[World, Unsteady],
) -> None:
    world, runner = unsteady
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    runner.troubles["record"] = [NotApplied("down"), OutcomeUnknown("applied")]
    world.pump()
    world.clock.pump([0.5] * 6)
    world.pump()
    assert seen(world, view).state is RefundState.SUCCEEDED
    assert given_back(world, view) == [2500]


def test_an_answer_that_contradicts_an_end_is_an_alarm(world: World, criticals: Criticals) -> None:
    """A person said that it was denied; then the slow answer comes."""
    charge = a_paid_charge(world)
    view = accepted(world, charge)
    world.adapter.gate = gate = Deferred[None]()
    world.pump()
    world.store.ahead(100)
    [job] = now(world.refunds.claim(10))
    now(world.refunds.postpone(job, 0))
    result = refund_jobs.Result(
        charge.charge_id, view.refund_id, 1, "", Next.DENIED, "BILLING_UNAVAILABLE"
    )
    world.store.run(refund_jobs.end, result, lease_s=0)
    gate.callback(None)
    assert seen(world, view).state is RefundState.DENIED
    assert world.counted("contradictions") == 1


def test_an_adapter_that_breaks_leaves_a_doubt(world: World, criticals: Criticals) -> None:
    charge = a_paid_charge(world)

    def bug(answer: object) -> None:
        raise KeyError("status")

    world.adapter.on_answer = bug
    view = refunded(world, charge)
    assert seen(world, view).state is RefundState.IN_DOUBT
    [logged] = criticals.take()
    assert "KeyError" in logged
    world.adapter.on_answer = lambda answer: None
    for _ in range(8):
        world.pass_(10)
    assert seen(world, view).state is RefundState.SUCCEEDED
    assert given_back(world, view) == [2500]


def test_without_a_database_the_partner_comes_again(world: World) -> None:
    charge = a_paid_charge(world)
    payment = now(world.refund_requests.payment(world.partner, charge.charge_id))
    assert payment is not None

    async def away(count: int) -> None:
        raise OutcomeUnknown("away")

    world.ids.ensure = away  # type: ignore[method-assign]
    assert isinstance(now(world.refund_requests.create(payment, wanted(world))), Busy)
