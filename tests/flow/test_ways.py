"""Every way that a charge can go, from the partner's request to the partner's webhook."""

import pytest

from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import State
from ppcd.flow.ports import SendResult
from ppcd.flow.request import AlreadyConfirmed, Cancelled
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.flow.fakes import IDEMPOTENT, QUERYABLE, UNABLE
from tests.flow.world import World, now


def test_yes(world: World) -> None:
    charge = world.a_charge()
    [asked] = world.texts(charge)
    assert "25,00" in asked
    assert "ДА" in asked
    world.answer(charge)
    assert world.state(charge) is State.SUCCEEDED
    assert world.debits_of(charge) == [(str(charge.msisdn), 2500, "UAH")]
    reference = world.charge(charge.charge_id).billing_reference
    assert world.told(charge) == [f"succeeded None {reference}"]
    assert world.kinds(charge) == ["prompt", "receipt"]
    world.check_at_rest(charge)


@pytest.mark.parametrize("word", ["нет", "STOP"])
def test_no_and_stop(world: World, word: str) -> None:
    charge = world.a_charge()
    world.answer(charge, word)
    assert world.told(charge) == ["declined USER_DECLINED None"]
    assert world.kinds(charge) == ["prompt"]
    world.check_at_rest(charge)


def test_unclear_asks_again_twice_and_a_yes_still_counts(world: World) -> None:
    charge = world.a_charge()
    for _ in range(4):
        world.answer(charge, "что это?")
    assert world.kinds(charge) == ["prompt", "reprompt", "reprompt"]
    world.answer(charge, "да")
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


def test_late_yes(world: World) -> None:
    charge = world.a_charge()
    world.pass_(601)
    assert world.told(charge) == ["expired CONFIRMATION_TIMEOUT None"]
    for _ in range(2):
        world.answer(charge)
    assert world.kinds(charge) == ["prompt", "late_yes"]
    world.check_at_rest(charge)


def test_late_no(world: World) -> None:
    charge = world.a_charge()
    world.answer(charge)
    for _ in range(2):
        world.answer(charge, "нет")
    assert world.kinds(charge) == ["prompt", "receipt", "late_no"]
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


def test_duplicates(world: World) -> None:
    charge = world.a_charge()
    assert world.hear(*[world.an_mo(charge)] * 3) == [True] * 3
    world.pump()
    world.answer(charge)
    assert len(world.debits_of(charge)) == 1
    assert world.told(charge) == [world.told(charge)[0]]
    world.check_at_rest(charge)


def test_cancelled(world: World) -> None:
    charge = world.a_charge()
    assert now(world.requests.cancel(world.partner, charge.charge_id)) == Cancelled()
    world.pump()
    assert world.told(charge) == ["cancelled CANCELLED_BY_MERCHANT None"]
    world.answer(charge)
    assert world.kinds(charge) == ["prompt", "late_yes"]
    world.check_at_rest(charge)


def test_cancelled_too_late(world: World) -> None:
    charge = world.a_charge()
    world.hear(world.an_mo(charge))
    assert now(world.requests.cancel(world.partner, charge.charge_id)) == AlreadyConfirmed()
    world.pump()
    assert world.state(charge) is State.SUCCEEDED


def test_refused_by_the_smsc(world: World) -> None:
    world.carrier.answers.append(SendResult.REFUSED)
    charge = world.a_charge()
    assert world.told(charge) == ["undeliverable PROMPT_UNDELIVERABLE None"]
    world.check_at_rest(charge)


def test_undelivered_before_consent(world: World) -> None:
    charge = world.a_charge()
    world.receipt(charge, "delivered")
    assert world.state(charge) is State.AWAITING
    world.receipt(charge)
    assert world.told(charge) == ["undeliverable PROMPT_UNDELIVERABLE None"]
    world.check_at_rest(charge)


def test_undelivered_after_consent(world: World) -> None:
    charge = world.a_charge()
    world.answer(charge)
    world.receipt(charge)
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        (Fault.INSUFFICIENT, "INSUFFICIENT_FUNDS", ". Недостаточно средств"),
        (Fault.BARRED, "SERVICE_DENIED", ". Услуга недоступна для вашего номера"),
        (Fault.NO_SUCH_SUBSCRIBER, "USER_UNKNOWN", " грн"),
    ],
)
def test_refused_by_billing(world: World, fault: Fault, reason: str, said: str) -> None:
    charge = world.a_charge()
    world.billing.faults.append(fault)
    world.answer(charge)
    assert world.told(charge) == [f"denied {reason} None"]
    assert world.kinds(charge) == ["prompt", "not_debited"]
    assert world.texts(charge)[-1].endswith(said)
    world.check_at_rest(charge)


def test_billing_down_for_a_while(world: World) -> None:
    charge = world.a_charge()
    world.billing.down = True
    world.answer(charge)
    for _ in range(30):
        world.pass_(1)
    assert world.state(charge) is State.CONFIRMED
    assert world.told(charge) == []
    world.billing.down = False
    world.pass_(10)
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


def test_billing_down_for_too_long(world: World) -> None:
    charge = world.a_charge()
    world.billing.down = True
    world.answer(charge)
    for _ in range(13):
        world.pass_(10)
    assert world.told(charge) == ["denied BILLING_UNAVAILABLE None"]
    assert world.kinds(charge) == ["prompt", "not_debited"]
    world.billing.down = False
    world.pass_(100)
    world.check_at_rest(charge)


def test_billing_that_is_busy_says_when_to_come_again(world: World) -> None:
    charge = world.a_charge()
    world.billing.faults.append(Fault.BUSY)
    world.answer(charge)
    world.pass_(6)
    assert len(world.billing.asked) == 1
    world.pass_(1)
    assert world.state(charge) is State.SUCCEEDED


# --- billing's answer is unknown --------------------------------------------------------------

FAULTS = [Fault.LOST_REQUEST, Fault.LOST_ANSWER]


@pytest.mark.parametrize("fault", FAULTS)
def test_unknown_where_the_same_key_may_be_sent_again(store: Store, fault: Fault) -> None:
    world = World(store, abilities=IDEMPOTENT)
    charge = world.a_charge()
    world.billing.faults.append(fault)
    world.answer(charge)
    assert world.state(charge) is State.IN_DOUBT
    assert world.told(charge) == []
    world.pass_(2)
    assert world.state(charge) is State.SUCCEEDED
    first, second = world.billing.asked
    assert (first.key, first.repeat, second.key, second.repeat) == (
        *(str(charge.charge_id), False),
        *(str(charge.charge_id), True),
    )
    world.check_at_rest(charge)


@pytest.mark.parametrize("fault", FAULTS)
def test_unknown_where_billing_can_be_asked(store: Store, fault: Fault) -> None:
    world = World(store, abilities=QUERYABLE)
    charge = world.a_charge()
    world.billing.faults.append(fault)
    world.answer(charge)
    assert world.state(charge) is State.IN_DOUBT
    world.pass_(60)
    assert world.billing.queried == [], "a request may still be under way"
    world.pass_(6)
    lost = fault is Fault.LOST_REQUEST
    assert world.state(charge) is (State.DENIED if lost else State.SUCCEEDED)
    assert len(world.billing.asked) == 1
    assert world.kinds(charge)[-1] == ("not_debited" if lost else "receipt")
    world.check_at_rest(charge)


@pytest.mark.parametrize("fault", FAULTS)
def test_unknown_where_nothing_may_be_done_goes_to_people_at_once(
    store: Store, fault: Fault
) -> None:
    world = World(store, abilities=UNABLE)
    charge = world.a_charge()
    world.billing.faults.append(fault)
    world.answer(charge)
    assert world.state(charge) is State.REVIEW
    for _ in range(5):
        world.pass_(1000)
    assert world.state(charge) is State.REVIEW
    assert world.told(charge) == []
    assert len(world.billing.asked) == 1


@pytest.mark.parametrize("abilities", [IDEMPOTENT, QUERYABLE])
def test_a_doubt_that_stays_goes_to_people_at_the_horizon(store: Store, abilities: object) -> None:
    world = World(store, abilities=abilities)  # type: ignore[arg-type]
    charge = world.a_charge()
    world.billing.faults.append(Fault.LOST_ANSWER)
    world.answer(charge)
    world.billing.down = True
    for _ in range(17):
        world.pass_(60)
    assert world.state(charge) is State.REVIEW
    assert world.told(charge) == []
    assert world.counted("charges", "in_doubt") == 1  # entered once, however often it is tried
    assert world.counted("charges", "review") == 1
    assert len(world.debits_of(charge)) == 1


def test_not_found_is_not_believed_while_a_request_may_be_under_way(store: Store) -> None:
    world = World(store, abilities=QUERYABLE)
    charge = world.a_charge()
    world.billing.faults.append(Fault.ZOMBIE)
    world.answer(charge)
    world.pass_(50)
    world.billing.rise()
    world.pass_(16)
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


def test_a_refusal_of_a_repeat_is_not_believed_while_the_first_may_be_under_way(
    store: Store,
) -> None:
    """Attempt 2 is refused, attempt 1 arrives later and debits."""
    world = World(store, abilities=IDEMPOTENT)
    charge = world.a_charge()
    world.billing.faults.extend([Fault.ZOMBIE, Fault.INSUFFICIENT])
    world.answer(charge)
    world.pass_(2)
    assert world.state(charge) is State.IN_DOUBT
    world.billing.rise()
    world.pass_(5)
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


def test_a_refusal_into_the_quiet_is_final(store: Store) -> None:
    world = World(store, abilities=IDEMPOTENT)
    charge = world.a_charge()
    world.billing.faults.extend([Fault.LOST_REQUEST, *[Fault.INSUFFICIENT] * 20])
    world.answer(charge)
    for _ in range(60):
        world.pass_(10)
        if world.state(charge) is State.DENIED:
            break
    assert world.told(charge) == ["denied INSUFFICIENT_FUNDS None"]
    world.check_at_rest(charge)


# --- codes ------------------------------------------------------------------------------------


def test_with_a_code(world: World) -> None:
    world.with_code = True
    charge = world.a_charge()
    [asked] = world.texts(charge)
    assert "4821" in asked
    world.answer(charge, "да")
    world.answer(charge, "да 1111")
    assert ["4821" in text for text in world.texts(charge)] == [True] * 3
    world.answer(charge, "да 4821")
    assert world.state(charge) is State.SUCCEEDED
    shown = world.store.query("SELECT text FROM prompt WHERE charge_id = %s", charge.charge_id)
    assert not any("4821" in text for (text,) in shown), "only the phone is told the code"


def test_three_wrong_codes(world: World) -> None:
    world.with_code = True
    charge = world.a_charge()
    for code in ("1111", "2222", "3333"):
        world.answer(charge, f"да {code}")
    assert world.told(charge) == ["declined USER_DECLINED None"]
    world.answer(charge, "да 4821")
    assert world.debits_of(charge) == []
    world.check_at_rest(charge)


def test_a_redelivered_yes_does_not_pay_for_the_next_charge(world: World) -> None:
    paid = world.a_charge()
    yes = world.an_mo(paid)
    world.hear(yes)
    world.pump()
    younger = world.a_charge(msisdn=Msisdn(paid.msisdn))
    world.hear(yes)
    world.pump()
    assert world.state(younger) is State.AWAITING
    assert len(world.billing.journal) == 1
