"""Payments in two steps on real parts: reserved after the yes, then confirmed, cancelled or lapsed.

Billing's own journal is the judge: what it took, and what it let go of.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from tests.node.world import Answer, World, a_world, wait_for

PHONES = count(380973000001)
PIN_PHONES = count(380979900001)
LAPSE_S = 30


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("two-steps")
    with a_world(directory, reservation_s=LAPSE_S, billing_timeout_s=1) as world:
        world.add_node().start()
        yield world


@pytest.fixture
def phone() -> str:
    return str(next(PHONES))


def prepared(world: World, phone: str) -> str:
    """A payment whose prompt is on the phone."""
    return world.node.prompted(phone, f"two-{phone}", path="/prepare")


def reserved(world: World, phone: str) -> str:
    payment = prepared(world, phone)
    world.reply(phone, "ДА")
    becomes(world, payment, "reserved")
    return payment


def becomes(world: World, payment: str, status: str, *, seconds: float = 30) -> Any:
    """The payment, once it has that status."""
    return wait_for(
        f"{payment} {status}",
        lambda: (seen := world.node.payment(payment))["paymentStatus"] == status and seen,
        seconds=seconds,
    )


def decide(world: World, what: str, payment: str, phone: str, node: int = 0) -> Answer:
    return world.nodes[node].api("POST", f"/{payment}/{what}", {"phoneNumber": f"+{phone}"})


def kinds(world: World, payment: str) -> list[str]:
    """The events that the partner was told of, each once, in order."""
    events = {event: body["type"] for event, body, _ in world.partner.events_of(payment)}
    return [kind.rpartition(".")[2] for kind in events.values()]


def billing(world: World, payment: str) -> list[str]:
    """What billing did about a payment."""
    done = ("reserved", "debited", "released", "refused")
    return [
        entry["entry"]
        for entry in world.billing_journal()
        if entry.get("key") == payment and entry["entry"] in done
    ]


@pytest.fixture(scope="module", autouse=True)
def lapsing(world: World) -> str:
    """Reserved before everything else, so that its time passes meanwhile."""
    return reserved(world, str(next(PHONES)))


def test_it_is_reserved_and_taken_once_when_the_partner_confirms(world: World, phone: str) -> None:
    payment = prepared(world, phone)
    seen = world.node.payment(payment)
    assert (seen["paymentStatus"], seen["contextCode"]) == ("processing", "PPCD.AWAITING_REPLY")
    early = decide(world, "confirm", payment, phone)
    assert (early.status, early.json["code"]) == (422, "SERVICE_NOT_APPLICABLE")
    world.reply(phone, "ДА")
    assert world.node.payment(payment, wait_s=20)["paymentStatus"] == "reserved"
    assert billing(world, payment) == ["reserved"]
    wait_for("the event", lambda: kinds(world, payment) == ["payment-reserved"])
    assert decide(world, "confirm", payment, phone, node=1).status == 202
    seen = becomes(world, payment, "succeeded")
    assert seen["amountTransaction"]["serverReferenceCode"]
    assert billing(world, payment) == ["reserved", "debited"]
    assert world.debited()[payment] == [2500]
    ends = ["payment-reserved", "payment-completed"]
    wait_for("the end's event", lambda: kinds(world, payment) == ends)
    again = decide(world, "confirm", payment, phone)
    assert (again.status, again.json["code"]) == (409, "CARRIER_BILLING.PAYMENT_CONFIRMED")
    history = world.node.run_command("charge", "show", payment)
    for said in ("two steps", "reserve at main", "confirmed by the partner", "capture at main"):
        assert said in history


def test_a_cancel_lets_go(world: World, phone: str) -> None:
    payment = reserved(world, phone)
    assert decide(world, "cancel", payment, phone).status == 202
    seen = becomes(world, payment, "cancelled")
    assert seen["contextCode"] == "PPCD.CANCELLED_BY_MERCHANT"
    assert billing(world, payment) == ["reserved", "released"]
    ends = ["payment-reserved", "payment-cancelled"]
    wait_for("the end's event", lambda: kinds(world, payment) == ends)
    late = decide(world, "confirm", payment, phone)
    assert (late.status, late.json["code"]) == (409, "CARRIER_BILLING.PAYMENT_CANCELLED")
    listed = world.node.api("GET", "?paymentStatus=cancelled").json
    assert payment in [one["paymentId"] for one in listed]


@pytest.mark.parametrize("mode", ["timeout_after_debit", "reset"])
def test_a_lost_answer_to_any_step_is_found_again(world: World, phone: str, mode: str) -> None:
    world.account(phone, mode=mode)
    payment = reserved(world, phone)
    assert decide(world, "confirm", payment, phone).status == 202
    other = str(next(PHONES))
    world.account(other, mode=mode)
    cancelled = reserved(world, other)
    assert decide(world, "cancel", cancelled, other).status == 202
    becomes(world, payment, "succeeded")
    becomes(world, cancelled, "cancelled")
    assert billing(world, payment) == ["reserved", "debited"]
    assert billing(world, cancelled) == ["reserved", "released"]


def test_confirm_and_cancel_from_two_nodes_at_once_agree_on_one(world: World) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            phone = str(next(PHONES))
            payment = reserved(world, phone)
            confirmed = pool.submit(decide, world, "confirm", payment, phone, 0)
            cancelled = pool.submit(decide, world, "cancel", payment, phone, 1)
            statuses = [confirmed.result().status, cancelled.result().status]
            assert sorted(statuses) == [202, 409]
            won = statuses[0] == 202
            becomes(world, payment, "succeeded" if won else "cancelled")
            assert billing(world, payment) == ["reserved", "debited" if won else "released"]


def test_a_pin_from_the_phone_is_consent(world: World) -> None:
    phone = str(next(PIN_PHONES))
    answer = world.node.create(phone, f"pin-{phone}", path="/prepare")
    assert (answer.status, answer.json["paymentStatus"]) == (201, "pending_validation")
    payment, info = answer.json["paymentId"], answer.json["validationInfo"]
    assert info["action"] == "validate"
    [message] = wait_for("the PIN", lambda: world.messages(phone))
    pin = next(word for word in message["text"].split() if word.isdigit() and len(word) == 6)
    authorization = {"authorizationId": info["authorizationId"]}
    wrong = f"{(int(pin) + 1) % 1_000_000:06d}"
    refused = world.node.api("POST", f"/{payment}/validate", authorization | {"code": wrong})
    assert (refused.status, refused.json["code"]) == (400, "CARRIER_BILLING.INVALID_CODE")
    validated = world.nodes[1].api("POST", f"/{payment}/validate", authorization | {"code": pin})
    assert validated.status == 204
    becomes(world, payment, "reserved")
    assert decide(world, "confirm", payment, phone).status == 202
    becomes(world, payment, "succeeded")
    assert world.debited()[payment] == [2500]
    told = ["payment-pending-validation", "payment-reserved", "payment-completed"]
    wait_for("the events", lambda: kinds(world, payment) == told)
    again = world.node.create(phone, f"pin-{phone}", path="/prepare")
    assert again.json["validationInfo"] == info
    history = world.node.run_command("charge", "show", payment)
    assert "consent by PIN" in history
    assert "code 2: confirmed" in history
    for where in (history, world.node.party.log.read_text(), world.nodes[1].party.log.read_text()):
        assert pin not in where


def test_what_nobody_decides_about_lapses(world: World, lapsing: str) -> None:
    seen = becomes(world, lapsing, "cancelled", seconds=LAPSE_S + 20)
    assert seen["contextCode"] == "PPCD.CONFIRMATION_TIMEOUT"
    assert billing(world, lapsing) == ["reserved", "released"]


@pytest.mark.parametrize("step", ["reserve", "capture", "release"])
def test_nodes_killed_while_billing_is_asked_lose_nothing(
    world: World, phone: str, step: str
) -> None:
    """kill -9 of both, between the request and its answer."""
    payment = prepared(world, phone) if step == "reserve" else reserved(world, phone)
    world.account(phone, mode="slow")
    if step == "reserve":
        world.reply(phone, "ДА")
    else:
        decide(world, "confirm" if step == "capture" else "cancel", payment, phone)
    asked = (f"{step}_asked", payment)
    wait_for(
        f"the {step}",
        lambda: asked in [(e["entry"], e.get("key")) for e in world.billing_journal()],
    )
    for node in world.nodes:
        node.party.kill()
    world.account(phone, mode="ok")
    for node in world.nodes:
        node.start()
    if step == "reserve":
        becomes(world, payment, "reserved", seconds=60)
        decide(world, "confirm", payment, phone)
    end = "cancelled" if step == "release" else "succeeded"
    becomes(world, payment, end, seconds=60)
    done = "released" if step == "release" else "debited"
    assert billing(world, payment) == ["reserved", done]
