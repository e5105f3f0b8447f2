"""Two steps: reserve after the yes, then the partner or the time decides. Money moves once or not.

Billing's own journal judges, and what it still holds at the end is somebody's locked money.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.charge.debit import Abilities
from ppcd.charge.reservation import Decision
from ppcd.charge.rules import END_STATES, State
from ppcd.flow.request import Cancelled, CannotReserve, Created, NotFound, Partner
from ppcd.flow.reservation import Decided, DecidedBefore, NotReserved
from ppcd.flow.validation import Validated
from ppcd.store import history, reservations, resolutions
from ppcd.store.debits import Next
from ppcd.store.lanes import Direct
from ppcd.store.resolutions import LettingGo, Resolution
from ppcd.store.rows import ChargeRow, Ended
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.flow.fakes import ABLE, RESERVING, UNABLE
from tests.flow.world import World, now

ABILITIES = {
    "all": RESERVING,
    "idempotent": Abilities(idempotent=True, reserving=True, quiet_period_s=60),
    "queryable": Abilities(queryable=True, reserving=True, quiet_period_s=60),
    "neither": replace(UNABLE, reserving=True),
}
LOST = [
    Fault.LOST_REQUEST,
    Fault.LOST_ANSWER,
    Fault.ZOMBIE,
    Fault.ERROR_BEFORE_DEBIT,
    Fault.ERROR_AFTER_DEBIT,
    Fault.GARBAGE,
    Fault.RESET,
    Fault.BUSY,
]


@pytest.fixture
def world(store: Store) -> World:
    return World(store, abilities=RESERVING)


def reserved(world: World) -> ChargeRow:
    charge = world.a_charge(two_step=True)
    world.answer(charge)
    assert world.state(charge) is State.RESERVED
    return charge


def confirm(world: World, charge: ChargeRow) -> Any:
    answer = now(world.reservations.confirm(world.partner, charge.charge_id))
    world.pump()
    return answer


def cancel(world: World, charge: ChargeRow) -> Any:
    answer = now(world.reservations.cancel(world.partner, charge.charge_id))
    world.pump()
    return answer


def told(world: World, charge: ChargeRow) -> list[str]:
    """What the partner was told, each event once, in order."""
    ids = [f"evt_{charge.charge_id}_{number}" for number in (1, 2, 3)]
    seen = {e.event_id: e.body.decode() for e in world.notifier.events if e.event_id in ids}
    return [seen[i] for i in ids if i in seen]


def check_at_rest(world: World, charge: ChargeRow, state: State) -> None:
    """Ended so; no work left; nothing held; money moved once if it succeeded, else not."""
    row = world.charge(charge.charge_id)
    assert State(row.state) is state
    if state is State.REVIEW:
        return
    for table in ("awaiting", "reservation", "debit_job", "webhook_job"):
        assert world.store.count(table, charge) == 0, table
    assert len(world.debits_of(charge)) == (state is State.SUCCEEDED)
    assert world.billing.held == {}
    assert told(world, charge)[-1].startswith(state.value)


def settle(world: World, charge: ChargeRow) -> State:
    """Time goes by until nothing more happens of itself."""
    for number in range(60):
        state = world.state(charge)
        if state in END_STATES | {State.REVIEW}:
            break
        world.pass_(61)
        if number == 0:
            world.billing.rise()
    world.pump()
    return world.state(charge)


def test_confirmed(world: World) -> None:
    charge = reserved(world)
    assert world.debits_of(charge) == []
    assert world.billing.held
    assert confirm(world, charge) == Decided()
    check_at_rest(world, charge, State.SUCCEEDED)
    assert [event.split()[0] for event in told(world, charge)] == ["reserved", "succeeded"]
    assert world.kinds(charge) == ["prompt", "receipt"]
    row = world.charge(charge.charge_id)
    assert (row.two_step, row.was_reserved) == (True, True)


def test_billing_is_told_its_own_reference_of_the_reservation(world: World) -> None:
    charge = reserved(world)
    confirm(world, charge)
    reserve, capture = world.billing.asked
    assert reserve.reservation is None  # type: ignore[union-attr]
    assert capture.reservation == f"hold-{charge.charge_id}"  # type: ignore[union-attr]
    assert reserve.key == capture.key


def test_cancelled(world: World) -> None:
    charge = reserved(world)
    assert cancel(world, charge) == Decided()
    check_at_rest(world, charge, State.CANCELLED)
    assert told(world, charge)[-1] == "cancelled CANCELLED_BY_MERCHANT None"
    assert world.kinds(charge) == ["prompt", "not_debited"]


def test_lapsed(world: World) -> None:
    charge = reserved(world)
    world.pass_(899)
    assert world.state(charge) is State.RESERVED
    world.pass_(2)
    check_at_rest(world, charge, State.CANCELLED)
    assert told(world, charge)[-1] == "cancelled CONFIRMATION_TIMEOUT None"
    assert confirm(world, charge) == DecidedBefore(Decision.LAPSED)


def test_out_of_time_nobody_can_confirm_although_nobody_has_swept(world: World) -> None:
    charge = reserved(world)
    world.store.ahead(901)
    assert confirm(world, charge) == DecidedBefore(Decision.LAPSED)
    assert world.debits_of(charge) == []
    world.take_over()
    check_at_rest(world, charge, State.CANCELLED)


def test_the_first_decision_counts(world: World) -> None:
    one, two = reserved(world), reserved(world)
    assert confirm(world, one) == Decided()
    assert confirm(world, one) == cancel(world, one) == DecidedBefore(Decision.CONFIRMED)
    assert cancel(world, two) == Decided()
    assert confirm(world, two) == cancel(world, two) == DecidedBefore(Decision.CANCELLED)
    check_at_rest(world, one, State.SUCCEEDED)
    check_at_rest(world, two, State.CANCELLED)


def test_confirm_cancel_and_lapse_at_once_on_several_nodes_agree_on_one(
    world: World, store: Store
) -> None:
    """Real threads and connections, in the moments in which the time runs out."""
    charges = [reserved(world) for _ in range(30)]
    ids = [charge.charge_id for charge in charges]
    store.query("UPDATE reservation SET lapses_at = business_now() + random() * interval '0.1 s'")
    store.query("UPDATE reservation SET lapses_at = business_now() WHERE charge_id = %s", ids[15])
    at_once = Barrier(3)

    def decide(order: list[int], decision: Decision) -> set[int]:
        about: dict[str, Any] = {"partner_id": store.partner_id, "decision": decision}
        with Direct(store.dsn) as direct:
            at_once.wait(30)
            decided = {i: direct.run(reservations.decide, i, lease_s=60, **about) for i in order}
        return {charge_id for charge_id, job in decided.items() if job is not None}

    def lapse() -> set[int]:
        gone: set[int] = set()
        with Direct(store.dsn) as direct:
            at_once.wait(30)
            while store.query("SELECT count(*) FROM reservation") != [(0,)]:
                gone |= {j.charge_id for j in direct.run(reservations.lapse, limit=2, lease_s=60)}
        return gone

    with ThreadPoolExecutor(3) as pool:
        running = {
            Decision.CONFIRMED: pool.submit(decide, ids, Decision.CONFIRMED),
            Decision.CANCELLED: pool.submit(decide, ids[::-1], Decision.CANCELLED),
            Decision.LAPSED: pool.submit(lapse),
        }
        won = {decision: each.result() for decision, each in running.items()}
    assert ids[15] in won[Decision.LAPSED]
    assert sorted(charge_id for each in won.values() for charge_id in each) == sorted(ids)
    for decision, each in won.items():
        for charge in [c for c in charges if c.charge_id in each]:
            assert store.run(reservations.decision_of, charge.charge_id) is decision
            settle(world, charge)
            taken = decision is Decision.CONFIRMED
            assert world.state(charge) is (State.SUCCEEDED if taken else State.CANCELLED)
            assert len(world.debits_of(charge)) == taken
    assert world.billing.held == {}


def test_nobody_decides_about_somebody_elses(world: World, store: Store) -> None:
    charge = reserved(world)
    other = Partner(store.a_partner(f"other-{store.number()}"), "other", "Other", "ru", None)
    assert now(world.reservations.confirm(other, charge.charge_id)) == NotFound()
    assert now(world.reservations.cancel(other, charge.charge_id)) == NotFound()
    assert world.state(charge) is State.RESERVED


def test_there_is_nothing_to_confirm_before_the_yes_and_a_cancel_ends_it(world: World) -> None:
    charge = world.a_charge(two_step=True)
    answer = confirm(world, charge)
    assert isinstance(answer, NotReserved)
    assert answer.charge.state is State.AWAITING
    assert cancel(world, charge) == Cancelled()
    check_at_rest(world, charge, State.CANCELLED)
    assert not world.charge(charge.charge_id).was_reserved


def test_a_no_and_a_refusal_end_it_as_ever(world: World) -> None:
    declined = world.a_charge(two_step=True)
    world.answer(declined, "нет")
    check_at_rest(world, declined, State.DECLINED)
    refused = world.a_charge(two_step=True)
    world.billing.faults.append(Fault.INSUFFICIENT)
    world.answer(refused)
    check_at_rest(world, refused, State.DENIED)
    assert told(world, refused) == ["denied INSUFFICIENT_FUNDS None"]
    answer = confirm(world, refused)
    assert isinstance(answer, NotReserved)
    assert answer.charge.state is State.DENIED


def test_a_refused_capture_is_a_denial(world: World) -> None:
    charge = reserved(world)
    world.billing.faults.append(Fault.BARRED)
    confirm(world, charge)
    check_at_rest(world, charge, State.DENIED)
    assert told(world, charge)[-1] == "denied SERVICE_DENIED None"


def test_billing_that_will_not_let_go_is_for_people(world: World) -> None:
    charge = reserved(world)
    world.billing.faults.append(Fault.BARRED)
    cancel(world, charge)
    assert world.state(charge) is State.REVIEW
    denied = Resolution(charge.charge_id, Next.DENIED, "looked", "alice", reason="SERVICE_DENIED")
    ended = world.store.run(resolutions.resolve, denied, quiet_period_s=0)
    assert isinstance(ended, Ended)
    assert ended.state == "cancelled"
    world.billing.held.clear()
    world.take_over()
    check_at_rest(world, charge, State.CANCELLED)
    assert told(world, charge)[-1] == "cancelled CANCELLED_BY_MERCHANT None"


def test_where_billing_cannot_reserve_nobody_is_asked(store: Store) -> None:
    world = World(store, abilities=ABLE)
    order = world.an_order(two_step=True)
    assert now(world.requests.create(world.partner, order)) == CannotReserve()
    assert world.carrier.sent == []


def test_a_reservation_is_waited_for(world: World) -> None:
    charge = world.a_charge(two_step=True)
    view = Deferred.fromCoroutine(world.requests.get(world.partner, charge.charge_id, 25))
    world.answer(charge)
    assert not view.called
    world.clock.advance(0.3)
    assert now(view).state is State.RESERVED  # type: ignore[union-attr]
    # From then on it is the partner's turn: nothing is waited for.
    assert now(world.requests.get(world.partner, charge.charge_id, 25)) is not None


@pytest.mark.parametrize("abilities", ABILITIES.values(), ids=ABILITIES.keys())
@pytest.mark.parametrize("fault", LOST)
def test_every_fault_in_the_reserve_ends_without_held_money(
    store: Store, fault: Fault, abilities: Abilities
) -> None:
    world = World(store, abilities=abilities)
    charge = world.a_charge(two_step=True)
    world.billing.faults.append(fault)
    world.answer(charge)
    assert world.debits_of(charge) == []
    world.billing.rise()
    for _ in range(30):
        if world.state(charge) in END_STATES | {State.RESERVED}:
            break
        world.pass_(61)
    if world.state(charge) is State.RESERVED:
        assert world.billing.held
        assert confirm(world, charge) == Decided()
        check_at_rest(world, charge, State.SUCCEEDED)
    else:
        check_at_rest(world, charge, State.DENIED)
        assert told(world, charge) == ["denied BILLING_UNAVAILABLE None"]


@pytest.mark.parametrize("abilities", ABILITIES.values(), ids=ABILITIES.keys())
@pytest.mark.parametrize("fault", LOST)
def test_every_fault_in_the_capture_takes_the_money_once_or_goes_to_people(
    store: Store, fault: Fault, abilities: Abilities
) -> None:
    world = World(store, abilities=abilities)
    charge = reserved(world)
    world.billing.faults.append(fault)
    confirm(world, charge)
    state = settle(world, charge)
    assert len(world.debits_of(charge)) <= 1
    able = abilities.idempotent or abilities.queryable or fault is Fault.BUSY
    assert state is (State.SUCCEEDED if able else State.REVIEW)
    check_at_rest(world, charge, state)


@pytest.mark.parametrize("abilities", ABILITIES.values(), ids=ABILITIES.keys())
@pytest.mark.parametrize("fault", LOST)
def test_every_fault_in_the_release_is_asked_again_until_it_is_let_go(
    store: Store, fault: Fault, abilities: Abilities
) -> None:
    world = World(store, abilities=abilities)
    charge = reserved(world)
    world.billing.faults.append(fault)
    cancel(world, charge)
    assert world.state(charge) in (State.RELEASING, State.CANCELLED)
    assert settle(world, charge) is State.CANCELLED
    check_at_rest(world, charge, State.CANCELLED)


def test_billing_that_stays_silent_to_a_release_is_for_people(world: World) -> None:
    charge = reserved(world)
    world.billing.faults.extend([Fault.LOST_REQUEST] * 99)
    cancel(world, charge)
    assert settle(world, charge) is State.REVIEW


def test_what_is_still_held_after_the_quiet_period_is_captured_again(store: Store) -> None:
    """Billing knows no keys, but it can be asked: none of the requests can have taken it."""
    world = World(store, abilities=ABILITIES["queryable"])
    charge = reserved(world)
    world.billing.faults.append(Fault.LOST_REQUEST)
    confirm(world, charge)
    assert world.state(charge) is State.IN_DOUBT
    assert settle(world, charge) is State.SUCCEEDED
    check_at_rest(world, charge, State.SUCCEEDED)


def test_a_reserve_that_billing_kept_for_itself_too_long_is_let_go(world: World) -> None:
    charge = world.a_charge(two_step=True)
    world.billing.faults.extend([Fault.LOST_ANSWER, *[Fault.LOST_REQUEST] * 50])
    world.answer(charge)
    assert world.state(charge) is State.IN_DOUBT
    world.billing.queried.clear()
    world.billing.down = True
    for _ in range(20):
        world.pass_(61)
    assert world.state(charge) is State.IN_DOUBT
    assert world.billing.held, "it was reserved, and nobody knows"
    world.billing.down = False
    world.billing.faults.clear()
    assert settle(world, charge) is State.DENIED
    check_at_rest(world, charge, State.DENIED)


def test_a_capture_that_cannot_be_sent_in_time_is_released(world: World) -> None:
    charge = reserved(world)
    world.billing.down = True
    confirm(world, charge)
    assert world.state(charge) is State.CAPTURING
    for _ in range(4):
        world.pass_(61)
    assert world.state(charge) is State.RELEASING
    world.billing.down = False
    assert settle(world, charge) is State.CANCELLED
    check_at_rest(world, charge, State.CANCELLED)
    assert told(world, charge)[-1] == "cancelled BILLING_UNAVAILABLE None"


def test_a_release_waits_for_billing_however_long(world: World) -> None:
    charge = reserved(world)
    world.billing.down = True
    cancel(world, charge)
    for _ in range(30):
        world.pass_(601)
    assert world.state(charge) is State.RELEASING
    world.billing.down = False
    assert settle(world, charge) is State.CANCELLED


@pytest.mark.parametrize("step", ["reserve", "capture", "release"])
def test_a_node_that_dies_between_a_request_and_its_answer_loses_nothing(
    world: World, step: str
) -> None:
    charge = world.a_charge(two_step=True) if step == "reserve" else reserved(world)
    world.adapter.gate = Deferred()  # the answer never comes to this process
    if step == "reserve":
        world.answer(charge)
    elif step == "capture":
        confirm(world, charge)
    else:
        cancel(world, charge)
    world.restart()
    for _ in range(5):
        world.pass_(61)
    if step == "reserve":
        assert world.state(charge) is State.RESERVED
        confirm(world, charge)
    end = State.CANCELLED if step == "release" else State.SUCCEEDED
    check_at_rest(world, charge, end)


def test_billing_that_was_reserving_must_stay_so(world: World) -> None:
    charge = reserved(world)
    now(world.reservations.confirm(world.partner, charge.charge_id))
    world.billing.abilities = ABLE
    world.pump()
    assert world.state(charge) is State.CAPTURING
    assert world.debits_of(charge) == []
    world.billing.abilities = RESERVING
    world.pass_(31)
    check_at_rest(world, charge, State.SUCCEEDED)


def test_the_history_tells_of_both_steps(world: World) -> None:
    charge = reserved(world)
    work = world.store.run(history.work, charge.charge_id)
    assert [entry.what for entry in work] == ["reservation"]
    confirm(world, charge)
    facts = world.store.run(history.facts, charge.charge_id)
    assert "confirmed by the partner" in " ".join(entry.detail for entry in facts)
    assert [entry.what for entry in facts].count("debit attempt") == 2


# --- a PIN instead of an answer ---------------------------------------------------------------


@pytest.fixture
def pins(world: World) -> World:
    world.by_pin = True
    return world


def pending(world: World) -> ChargeRow:
    created = now(world.requests.create(world.partner, world.an_order(two_step=True)))
    assert isinstance(created, Created)
    world.take_over()
    return world.charge(created.charge.charge_id)


def validate(world: World, charge: ChargeRow, typed: str, authorization: str = "") -> Validated:
    validated = now(
        world.validations.validate(
            world.partner,
            charge.charge_id,
            authorization_id=authorization or charge.authorization_id or "",
            typed=typed,
        )
    )
    world.pump()
    return validated


PIN = "003821"


def test_a_pin_is_consent(pins: World) -> None:
    charge = pending(pins)
    [text] = pins.texts(charge)
    assert PIN in text
    assert "25,00" in text
    assert validate(pins, charge, PIN) is Validated.CONFIRMED
    assert pins.state(charge) is State.RESERVED
    assert confirm(pins, charge) == Decided()
    check_at_rest(pins, charge, State.SUCCEEDED)
    events = [event.split()[0] for event in told(pins, charge)]
    assert events == ["pending_validation", "reserved", "succeeded"]
    tried = pins.store.query("SELECT effect FROM validation WHERE charge_id = %s", charge.charge_id)
    assert tried == [("confirmed",)]


def test_only_the_phone_is_told_the_pin(pins: World) -> None:
    charge = pending(pins)
    for table in ("awaiting", "prompt", "charge", "prompt_job"):
        shown = f"SELECT t::text FROM {table} t WHERE charge_id = %s"
        rows = pins.store.query(shown, charge.charge_id)
        assert all(PIN not in row[0] for row in rows), table
    facts = pins.store.run(history.facts, charge.charge_id)
    assert all(PIN not in fact.detail for fact in facts)


def test_three_wrong_pins_decline(pins: World) -> None:
    charge = pending(pins)
    assert validate(pins, charge, "111111") is Validated.WRONG_CODE
    assert validate(pins, charge, PIN, "another") is Validated.WRONG_AUTHORIZATION
    assert validate(pins, charge, "111112") is Validated.WRONG_CODE
    assert validate(pins, charge, "111113") is Validated.FAILED
    check_at_rest(pins, charge, State.DECLINED)
    assert validate(pins, charge, PIN) is Validated.FAILED
    assert pins.debits_of(charge) == []


def test_a_pin_counts_once_in_time_and_for_its_own_charge(pins: World) -> None:
    one, two, late = pending(pins), pending(pins), pending(pins)
    assert validate(pins, one, PIN, two.authorization_id or "") is Validated.WRONG_AUTHORIZATION
    assert validate(pins, one, PIN) is Validated.CONFIRMED
    assert validate(pins, one, PIN) is Validated.ALREADY
    assert validate(pins, one, PIN, "another") is Validated.WRONG_AUTHORIZATION
    pins.store.ahead(601)
    assert validate(pins, late, PIN) is Validated.FAILED
    stranger = replace(pins.partner, partner_id=10**9)
    asked = pins.validations.validate(stranger, two.charge_id, authorization_id="x", typed=PIN)
    assert now(asked) is Validated.NOT_FOUND


def test_an_answer_does_not_agree_where_a_pin_is_wanted_and_a_no_declines(pins: World) -> None:
    charge = pending(pins)
    for said in ("ДА", f"ДА {PIN}", PIN, "что?"):
        pins.answer(charge, said)
    assert pins.state(charge) is State.AWAITING
    assert pins.kinds(charge) == ["pin"]
    pins.answer(charge, "нет")
    check_at_rest(pins, charge, State.DECLINED)


def test_a_pin_that_was_never_written_is_never_right(pins: World) -> None:
    created = now(pins.requests.create(pins.partner, pins.an_order(two_step=True)))
    assert isinstance(created, Created)
    charge = pins.charge(created.charge.charge_id)
    assert validate(pins, charge, PIN) is Validated.WRONG_CODE


def test_what_needs_no_pin_has_no_authorization(pins: World) -> None:
    charge = pins.a_charge()
    assert charge.authorization_id is None
    assert validate(pins, charge, PIN, "x") is Validated.WRONG_AUTHORIZATION


# --- what a person says of a doubt


def says(world: World, charge: ChargeRow, end: Next) -> object:
    reason = "BILLING_UNAVAILABLE" if end is Next.DENIED else None
    said = Resolution(charge.charge_id, end, "asked them", "alice", reason=reason)
    return world.store.run(resolutions.resolve, said, quiet_period_s=5)


def in_doubt_about(world: World, act: str) -> ChargeRow:
    """A reserve was made, or a capture was not, and nobody knows."""
    if act == "reserve":
        charge = world.a_charge(two_step=True)
        world.billing.faults.append(Fault.LOST_ANSWER)
        world.answer(charge)
    else:
        charge = reserved(world)
        world.billing.faults.append(Fault.LOST_REQUEST)
        confirm(world, charge)
    assert world.state(charge) in (State.IN_DOUBT, State.REVIEW)
    world.clock.advance(20)
    world.store.ahead(20)
    return charge


@pytest.mark.parametrize(("act", "end"), [("reserve", "denied"), ("capture", "cancelled")])
def test_what_a_person_says_was_not_taken_is_let_go_before_it_ends(
    store: Store, act: str, end: str
) -> None:
    world = World(store, abilities=ABILITIES["idempotent"])
    charge = in_doubt_about(world, act)
    assert world.billing.held
    assert says(world, charge, Next.DENIED) == LettingGo()
    world.take_over()
    check_at_rest(world, charge, State(end))
    assert world.charge(charge.charge_id).reason == "BILLING_UNAVAILABLE"


@pytest.mark.parametrize(("act", "end"), [("reserve", "denied"), ("capture", "cancelled")])
def test_when_billing_will_not_let_go_the_second_word_ends_it(
    store: Store, act: str, end: str
) -> None:
    world = World(store, abilities=ABILITIES["idempotent"])
    charge = in_doubt_about(world, act)
    says(world, charge, Next.DENIED)
    world.billing.faults.append(Fault.BARRED)
    world.take_over()
    assert world.state(charge) is State.REVIEW
    store.ahead(20)
    ended = says(world, charge, Next.DENIED)
    assert isinstance(ended, Ended)
    assert world.state(charge) is State(end)
    assert store.count("debit_resolution", charge) == 2


def test_what_a_person_says_was_captured_is_paid(store: Store) -> None:
    world = World(store, abilities=ABILITIES["idempotent"])
    charge = in_doubt_about(world, "capture")
    assert isinstance(says(world, charge, Next.SUCCEEDED), Ended)
    assert world.state(charge) is State.SUCCEEDED
