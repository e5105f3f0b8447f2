"""The whole way of a charge, on real parts: every ending that a partner and a phone can see."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.node.world import World, a_world, wait_for

PHONES = count(380970000001)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("charge")) as world:
        yield world


@pytest.fixture
def phone() -> str:
    return str(next(PHONES))


def ended(world: World, payment: str) -> Any:
    """The payment at its end, and the one event that told it."""
    seen = world.node.payment(payment, wait_s=20)
    assert seen["paymentStatus"] != "processing", seen
    events = wait_for("the webhook", lambda: world.partner.events_of(payment))
    assert len({event_id for event_id, _, _ in events}) == 1
    assert all(good for _, _, good in events), "a signature is wrong"
    return seen, events[0][1]


def texts(world: World, phone: str) -> list[str]:
    return [message["text"] for message in world.messages(phone)]


def test_a_yes_debits_exactly_the_amount_once_and_the_partner_learns_it(
    world: World, phone: str
) -> None:
    payment = world.node.prompted(phone, f"yes-{phone[-3:]}")
    assert "Для подтверждения оплаты, отправьте ДА в ответ" in texts(world, phone)[0]
    assert "25,00" in texts(world, phone)[0]
    world.reply(phone, "ДА")
    seen, event = ended(world, payment)
    assert seen["paymentStatus"] == "succeeded"
    assert seen["amountTransaction"]["serverReferenceCode"]
    assert event["type"] == "org.camaraproject.carrier-billing.v0.payment-completed"
    assert world.debited()[payment] == [2500]
    wait_for("the receipt", lambda: "Оплачено 25,00 грн" in texts(world, phone)[-1])
    history = world.node.run_command("charge", "show", payment)
    assert "«ДА» 0x04140410" in history
    assert phone not in history, "the number is to be masked"


@pytest.mark.parametrize("word", ["нет", "СТОП", "да стоп"])
def test_a_no_ends_it_without_a_debit(world: World, phone: str, word: str) -> None:
    payment = world.node.prompted(phone, f"no-{phone[-3:]}")
    world.reply(phone, word)
    seen, event = ended(world, payment)
    assert (seen["paymentStatus"], seen["contextCode"]) == ("denied", "PPCD.USER_DECLINED")
    assert event["data"]["denialReason"] == "USER_DECLINED"
    assert payment not in world.debited()


def test_an_unclear_answer_is_asked_about_at_most_twice_and_a_yes_still_counts(
    world: World, phone: str
) -> None:
    payment = world.node.prompted(phone, f"unclear-{phone[-3:]}")
    for asked in (2, 3):
        world.reply(phone, "ну ладно")
        wait_for("the re-prompt", lambda asked=asked: len(texts(world, phone)) == asked)
    mo = world.reply(phone, "что?")
    wait_for(
        "the third unclear answer",
        lambda: any(e["entry"] == "mo_acked" and e["id"] == mo for e in world.smsc_journal()),
    )
    assert len(texts(world, phone)) == 3
    assert world.node.payment(payment)["contextCode"] == "PPCD.AWAITING_REPLY"
    world.reply(phone, "да")
    assert ended(world, payment)[0]["paymentStatus"] == "succeeded"


def test_a_second_yes_changes_nothing(world: World, phone: str) -> None:
    payment = world.node.prompted(phone, f"twice-{phone[-3:]}")
    address = world.messages(phone)[0]["from"]
    for _ in range(5):
        world.reply(phone, "ДА", to=address)
    ended(world, payment)
    assert world.debited()[payment] == [2500]


def test_a_late_yes_does_not_pay_for_a_younger_charge(world: World, phone: str) -> None:
    first = world.node.prompted(phone, f"old-{phone[-3:]}")
    old_address = world.messages(phone)[0]["from"]
    world.reply(phone, "нет", to=old_address)
    ended(world, first)
    second = world.node.prompted(phone, f"young-{phone[-3:]}")
    assert world.messages(phone)[-1]["from"] != old_address
    before = len(texts(world, phone))
    world.reply(phone, "ДА", to=old_address)
    # The phone is told once that nothing was taken for the old one; the young one waits on.
    wait_for("the notice", lambda: len(texts(world, phone)) == before + 1)
    world.reply(phone, "ДА", to=old_address)
    assert world.node.payment(second)["contextCode"] == "PPCD.AWAITING_REPLY"
    assert not {first, second} & world.debited().keys()
    world.reply(phone, "ДА", to=world.messages(phone)[-2]["from"])
    assert ended(world, second)[0]["paymentStatus"] == "succeeded"
    assert len([t for t in texts(world, phone) if "ничего не списано" in t.lower()]) == 1


def test_a_cancel_ends_what_nobody_answered_and_loses_to_an_answer(
    world: World, phone: str
) -> None:
    payment = world.node.prompted(phone, f"cancel-{phone[-3:]}")
    number = {"phoneNumber": f"+{phone}"}
    assert world.node.api("POST", f"/{payment}/cancel", number).status == 202
    seen, event = ended(world, payment)
    assert seen["contextCode"] == "PPCD.CANCELLED_BY_MERCHANT"
    assert event["data"]["denialReason"] == "CANCELLED_BY_MERCHANT"
    again = world.node.api("POST", f"/{payment}/cancel", number)
    assert (again.status, again.json["code"]) == (409, "CARRIER_BILLING.PAYMENT_CANCELLED")
    answered = world.node.prompted(phone, f"confirmed-{phone[-3:]}")
    world.reply(phone, "ДА")
    ended(world, answered)
    lost = world.node.api("POST", f"/{answered}/cancel", number)
    assert (lost.status, lost.json["code"]) == (409, "CARRIER_BILLING.PAYMENT_CONFIRMED")


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("insufficient", "INSUFFICIENT_FUNDS"),
        ("barred", "SERVICE_DENIED"),
        ("unknown", "USER_UNKNOWN"),
    ],
)
def test_billings_refusal_reaches_partner_and_phone(
    world: World, phone: str, mode: str, reason: str
) -> None:
    world.account(phone, mode=mode)
    payment = world.node.prompted(phone, f"{mode}-{phone[-3:]}")
    world.reply(phone, "ДА")
    seen, event = ended(world, payment)
    assert (seen["paymentStatus"], seen["contextCode"]) == ("denied", f"PPCD.{reason}")
    assert event["data"]["denialReason"] == reason
    wait_for("the notice", lambda: "ничего не списано" in texts(world, phone)[-1].lower())


def test_an_answer_lost_after_the_debit_is_found_with_the_same_key(
    world: World, phone: str
) -> None:
    world.account(phone, mode="timeout_after_debit")
    payment = world.node.prompted(phone, f"lost-{phone[-3:]}")
    world.reply(phone, "ДА")
    wait_for(
        "doubt",
        lambda: world.node.payment(payment).get("contextCode") == "PPCD.OUTCOME_PENDING",
    )
    assert ended(world, payment)[0]["paymentStatus"] == "succeeded"
    assert world.debited()[payment] == [2500]


def test_billing_that_was_down_is_asked_again(world: World, phone: str) -> None:
    world.account(phone, mode="unavailable")
    payment = world.node.prompted(phone, f"down-{phone[-3:]}")
    world.reply(phone, "ДА")
    wait_for(
        "the first attempt",
        lambda: any(e["entry"] == "unavailable" for e in world.billing_journal()),
    )
    assert world.node.payment(payment)["contextCode"] == "PPCD.DEBITING"
    world.account(phone, mode="ok")
    assert ended(world, payment)[0]["paymentStatus"] == "succeeded"
    assert world.debited()[payment] == [2500]


def test_an_unreachable_phone_ends_the_charge(world: World, phone: str) -> None:
    world.faults(undeliverable=[phone])
    answer = world.node.create(phone, f"unreachable-{phone[-3:]}")
    seen, event = ended(world, answer.json["paymentId"])
    assert event["data"]["denialReason"] == "PROMPT_UNDELIVERABLE"
    world.faults(undeliverable=[], refuse={phone: "ESME_RINVDSTADR"})
    answer = world.node.create(phone, f"refused-{phone[-3:]}")
    seen, event = ended(world, answer.json["paymentId"])
    assert seen["contextCode"] == "PPCD.PROMPT_UNDELIVERABLE"
    world.faults(refuse={})


def test_the_same_request_makes_the_same_charge(world: World, phone: str) -> None:
    first, again = (world.node.create(phone, f"same-{phone[-3:]}") for _ in range(2))
    assert first.status == again.status == 201
    assert first.json["paymentId"] == again.json["paymentId"]
    wait_for("the prompt", lambda: texts(world, phone))
    other = world.node.create(phone, f"same-{phone[-3:]}", charging={"amount": 26})
    assert (other.status, other.json["code"]) == (400, "INVALID_ARGUMENT")
    taken = world.node.create(phone, f"same-{phone[-3:]}", correlator=f"other-{phone}")
    assert (taken.status, taken.json["code"]) == (409, "ALREADY_EXISTS")
    assert len(texts(world, phone)) == 1


def test_metrics_and_logs_hold_no_numbers_and_no_words(world: World, phone: str) -> None:
    payment = world.node.prompted(phone, f"canary-{phone[-3:]}")
    world.reply(phone, "ДА")
    ended(world, payment)
    scrape = world.node.metrics()
    assert 'ppcd_link_up{link="main"} 1.0' in scrape
    assert 'ppcd_charges_total{state="succeeded"}' in scrape
    for where, text in (("metrics", scrape), ("log", world.node.party.log.read_text())):
        for canary in (phone, "ДА", "secret", world.partner.key):
            assert canary not in text, f"{canary} in {where}"


def test_the_log_is_in_the_directory(world: World, tmp_path: Path) -> None:
    assert all({"time", "level", "namespace", "message"} <= e.keys() for e in world.node.log())
