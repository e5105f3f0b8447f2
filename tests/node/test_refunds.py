"""Refunds on real parts: two nodes, a billing that misbehaves and keeps a journal, kills."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from ppcd.flow.ports import RUN_LEASE_S
from tests.node.giving import asks_for, given_back, refunds
from tests.node.world import Node, World, a_world, wait_for

PHONES = count(380970500001)
#: More by hand: PPCD_TEST_REFUND_KILLS=100.
KILLS = int(os.environ.get("PPCD_TEST_REFUND_KILLS", "3"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("refunds"), billing_timeout_s=1) as world:
        world.add_node().start()
        yield world


@pytest.fixture
def phone() -> str:
    return str(next(PHONES))


def paid(world: World, phone: str) -> str:
    """A payment of 25 UAH that has succeeded; its id."""
    return world.paid(phone, f"order-{phone}")


def ended(node: Node, payment: str, refund: str, *, seconds: float = 40) -> Any:
    """The refund at its end, and the one event that told it."""

    def over() -> Any:
        seen = refunds(node, "GET", payment, f"/{refund}")
        return seen.status == 200 and seen.json["refundStatus"] != "processing" and seen.json

    seen = wait_for(f"the end of refund {refund}", over, seconds=seconds)

    def told() -> list[Any]:
        events = node.world.partner.events_of(payment)
        return [entry for entry in events if entry[1]["data"].get("refundId") == refund]

    # Another node than the one that ended it waits for that one's lease.
    events = wait_for("the event", told, seconds=RUN_LEASE_S + 30)
    assert len({event_id for event_id, _, _ in events}) == 1
    assert all(good for _, _, good in events)
    completed = events[0][1]["type"].endswith("v0.refund-completed")
    assert completed == (seen["refundStatus"] == "succeeded")
    return seen


def journal(world: World, payment: str) -> list[tuple[str, int]]:
    """What billing gave back of a payment: the refund's key and the amount of each time."""
    return [
        (key, amount_minor)
        for key, times in given_back(world).items()
        for debit_key, amount_minor in times
        if debit_key == payment
    ]


def left(node: Node, payment: str) -> float:
    return float(refunds(node, "GET", payment, "/remaining-amount").json["amount"])


def test_refunds_of_two_nodes_at_once_never_exceed_the_payment(world: World, phone: str) -> None:
    payment = paid(world, phone)
    with ThreadPoolExecutor(8) as partners:
        answers = list(
            partners.map(
                lambda n: asks_for(world.nodes[n % 2], payment, 7, f"race-{phone}-{n}"), range(12)
            )
        )
    accepted = [a.json["refundId"] for a in answers if a.status == 201]
    assert len(accepted) == 3
    assert {a.json["code"] for a in answers if a.status != 201} == {
        "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT"
    }
    for refund in accepted:
        assert ended(world.nodes[1], payment, refund)["refundStatus"] == "succeeded"
    assert sorted(journal(world, payment)) == sorted((refund, 700) for refund in accepted)
    assert left(world.node, payment) == 4
    rest = asks_for(world.nodes[1], payment, None, f"rest-{phone}").json["refundId"]
    ended(world.node, payment, rest)
    assert sum(amount for _, amount in journal(world, payment)) == 2500
    account = world.account(phone)
    assert (account["balance_minor"], len(account["refunds"])) == (100_000, 4)
    history = world.node.run_command("charge", "show", payment)
    assert history.count("refund outcome") == 4


def test_the_same_request_to_two_nodes_at_once_is_one_refund(world: World, phone: str) -> None:
    payment = paid(world, phone)
    with ThreadPoolExecutor(8) as partners:
        answers = list(
            partners.map(
                lambda n: asks_for(world.nodes[n % 2], payment, 5, f"same-{phone}"), range(8)
            )
        )
    assert {a.status for a in answers} == {201}
    [refund] = {a.json["refundId"] for a in answers}
    ended(world.node, payment, refund)
    assert journal(world, payment) == [(refund, 500)]


#: How billing behaves, and what becomes of a refund when it does so for a while, then behaves well.
MODES = {
    "ok": "succeeded",
    "slow": "succeeded",
    "timeout": "succeeded",
    "timeout_after_debit": "succeeded",
    "unavailable": "succeeded",
    "zombie": "succeeded",
    "error_before_debit": "succeeded",
    "error_after_debit": "succeeded",
    "garbage": "succeeded",
    "reset": "succeeded",
    "barred": "denied",
    "unknown": "denied",
}


def test_whatever_billing_does_the_end_is_what_its_journal_says(world: World) -> None:
    """All at the same time, for most of it is waiting."""
    phones = {mode: str(next(PHONES)) for mode in MODES}
    payments = {mode: paid(world, phone) for mode, phone in phones.items()}
    made: dict[str, str] = {}
    for mode, payment in payments.items():
        world.account(phones[mode], mode=mode)
        answer = asks_for(world.node, payment, None, f"mode-{mode}")
        assert answer.status == 201
        made[mode] = answer.json["refundId"]
    for mode, refund in made.items():
        wait_for(
            f"billing to be asked in mode {mode}",
            lambda refund=refund: any(e.get("key") == refund for e in world.billing_journal()),
        )
        if MODES[mode] == "succeeded":
            world.account(phones[mode], mode="ok")
    for mode, refund in made.items():
        seen = ended(world.nodes[1], payments[mode], refund)
        assert seen["refundStatus"] == MODES[mode], mode
        times = 1 if MODES[mode] == "succeeded" else 0
        assert journal(world, payments[mode]) == [(refund, 2500)] * times, mode
        assert left(world.node, payments[mode]) == 25 * (1 - times), mode


def test_the_stop_button_of_debits_holds_refunds(world: World, phone: str) -> None:
    payment = paid(world, phone)
    world.node.run_command("pause", "debits")
    wait_for("both nodes to have seen it", lambda: all(_paused(node) for node in world.nodes))
    refund = asks_for(world.node, payment, None, f"held-{phone}").json["refundId"]
    assert refunds(world.node, "GET", payment, f"/{refund}").json["refundStatus"] == "processing"
    assert journal(world, payment) == []
    world.node.run_command("resume", "debits")
    assert ended(world.node, payment, refund)["refundStatus"] == "succeeded"
    assert journal(world, payment) == [(refund, 2500)]


def _paused(node: Node) -> bool:
    return 'ppcd_paused{kind="debits"} 1' in node.metrics()


def test_a_node_killed_again_and_again_gives_back_once_and_loses_nothing(world: World) -> None:
    """What was answered with 201 is made by whoever lives, once, whenever the node died."""
    phones = [str(next(PHONES)) for _ in range(KILLS)]
    payments = [paid(world, phone) for phone in phones]
    victim, survivor = world.nodes
    accepted: dict[str, list[str]] = {payment: [] for payment in payments}
    for number, payment in enumerate(payments):
        # Some while billing is slow, so that the kill falls between its act and its answer.
        world.account(phones[number], mode=("slow", "ok", "timeout_after_debit")[number % 3])
        for part in range(2):
            answer = asks_for(victim, payment, 5, f"kill-{number}-{part}")
            assert answer.status == 201
            accepted[payment].append(answer.json["refundId"])
        victim.party.kill()
        victim.start()
    for phone in phones:
        world.account(phone, mode="ok")
    for payment, made in accepted.items():
        for refund in made:
            seen = ended(survivor, payment, refund, seconds=90)
            assert seen["refundStatus"] == "succeeded"
        assert sorted(journal(world, payment)) == sorted((refund, 500) for refund in made)
        assert left(survivor, payment) == 15
