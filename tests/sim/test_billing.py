"""What the simulated billing does with money, and how it misbehaves when asked to."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from ppcd.sim.billing import Billing, BillingOptions
from ppcd.sim.journal import read_journal
from tests.sim.memory import Wire, done

PHONE = "380971234567"
ACCOUNT = f"/sim/billing/accounts/{PHONE}"


class World:
    """A started billing on a memory reactor with its journal."""

    def __init__(self, data_dir: Path, **options: Any) -> None:
        self.path = data_dir / "billing.jsonl"
        self.reactor = MemoryReactorClock()
        self.billing = Billing(self.reactor, BillingOptions(data_dir=data_dir, **options))
        done(self.billing.start())

    def wire(self) -> Wire:
        return Wire(self.reactor)

    def debit(self, key: str = "1", amount_minor: int = 2500, **more: Any) -> Wire:
        order = {"key": key, "msisdn": PHONE, "amount_minor": amount_minor, "currency": "UAH"}
        return self.wire().ask("POST", "/billing/debits", order | more)

    def refund(self, key: str = "9", amount_minor: int = 2500, **more: Any) -> Wire:
        order = {"key": key, "msisdn": PHONE, "amount_minor": amount_minor, "currency": "UAH"}
        return self.wire().ask("POST", "/billing/refunds", {"debit_key": "1"} | order | more)

    def behave(self, mode: str) -> None:
        assert self.wire().ask("PUT", ACCOUNT, {"mode": mode}).status == 200

    def account(self) -> dict[str, Any]:
        return self.wire().ask("GET", ACCOUNT).json()

    def entries(self, *kinds: str) -> list[str]:
        names = [str(entry["entry"]) for entry in read_journal(self.path)]
        return [name for name in names if name in kinds]


Start = Callable[..., World]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a billing on the test's directory; all of them are stopped in the end."""
    worlds = []

    def make(**options: Any) -> World:
        worlds.append(World(tmp_path, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        done(world.billing.stop())
        assert world.reactor.getDelayedCalls() == []


@pytest.fixture
def world(start: Start) -> World:
    return start()


def test_a_phone_never_set_has_a_thousand_and_behaves(world: World) -> None:
    assert world.account() == {
        "balance_minor": 100_000,
        "currency": "UAH",
        "debits": [],
        "mode": "ok",
    }


def test_a_debit_takes_the_money_and_gives_a_reference(world: World) -> None:
    answer = world.debit()
    assert answer.status == 200
    assert answer.json()["result"] == "debited"
    assert answer.json()["reference"]
    account = world.account()
    assert account["balance_minor"] == 97_500
    [debit] = account["debits"]
    assert (debit["key"], debit["amount_minor"], debit["currency"]) == ("1", 2500, "UAH")
    assert debit["at"].endswith("Z")


def test_the_same_key_debits_once_and_answers_the_same(world: World) -> None:
    assert world.debit().json() == world.debit().json()
    assert world.account()["balance_minor"] == 97_500
    assert world.entries("debited", "repeated") == ["debited", "repeated"]


@pytest.mark.parametrize("change", [{"amount_minor": 5000}, {"msisdn": "380970000000"}])
def test_the_same_key_with_other_content_is_a_conflict(
    world: World, change: dict[str, Any]
) -> None:
    world.debit()
    again = world.debit(**change)
    assert again.status == 409
    assert world.account()["balance_minor"] == 97_500
    assert world.entries("conflict") == ["conflict"]


@pytest.mark.parametrize("mode", ["insufficient", "barred", "unknown"])
def test_a_refusal_says_why_and_is_kept_under_its_key(world: World, mode: str) -> None:
    world.behave(mode)
    refusal = world.debit().json()
    assert (refusal["result"], refusal["reason"]) == ("refused", mode)
    world.behave("ok")
    assert world.debit().json() == refusal
    assert world.wire().ask("GET", "/billing/debits/1").json() == refusal
    assert world.account()["balance_minor"] == 100_000


def test_more_than_the_balance_is_refused(world: World) -> None:
    assert world.debit(amount_minor=100_001).json()["reason"] == "insufficient"
    assert world.debit(key="2", amount_minor=100_000).json()["result"] == "debited"


def test_another_currency_is_refused(world: World) -> None:
    assert world.debit(currency="EUR").json()["reason"] == "currency"


def test_a_query_gives_the_record_or_404(world: World) -> None:
    assert world.wire().ask("GET", "/billing/debits/1").status == 404
    debited = world.debit().json()
    assert world.wire().ask("GET", "/billing/debits/1").json() == debited


def test_slow_answers_after_three_seconds(world: World) -> None:
    world.behave("slow")
    answer = world.debit()
    world.reactor.advance(2.9)
    assert not answer.answered
    world.reactor.advance(0.1)
    assert answer.json()["result"] == "debited"


def test_timeout_never_answers_and_never_debits(world: World) -> None:
    world.behave("timeout")
    first, again = world.debit(), world.debit()
    world.reactor.advance(3600)
    assert not first.answered
    assert not again.answered
    assert world.account()["balance_minor"] == 100_000
    world.behave("ok")
    assert world.debit().json()["result"] == "debited"


def test_timeout_after_debit_answers_the_second_time(world: World) -> None:
    world.behave("timeout_after_debit")
    first = world.debit()
    assert not first.answered
    assert world.account()["balance_minor"] == 97_500
    assert world.debit().json()["result"] == "debited"
    assert world.account()["balance_minor"] == 97_500
    assert world.entries("debited", "answer_dropped", "repeated") == [
        "debited",
        "answer_dropped",
        "repeated",
    ]


def test_unavailable_leaves_the_account_alone(world: World) -> None:
    world.behave("unavailable")
    answer = world.debit()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert world.wire().ask("GET", "/billing/debits/1").status == 503
    world.behave("ok")
    assert world.account()["debits"] == []
    assert world.wire().ask("GET", "/billing/debits/1").status == 404


def test_a_zombie_debits_late(world: World) -> None:
    world.behave("zombie")
    answer = world.debit()
    assert world.wire().ask("GET", "/billing/debits/1").status == 404
    world.reactor.advance(10)
    assert not answer.answered
    assert world.account()["balance_minor"] == 97_500


def test_a_zombie_that_was_overtaken_does_nothing(world: World) -> None:
    world.behave("zombie")
    world.debit()
    assert world.debit().json()["result"] == "debited"
    world.reactor.advance(10)
    assert world.account()["balance_minor"] == 97_500


def test_a_zombie_whose_key_was_taken_does_nothing(world: World) -> None:
    world.behave("zombie")
    world.debit()
    world.debit(amount_minor=100)
    world.reactor.advance(10)
    assert world.account()["balance_minor"] == 99_900


@pytest.mark.parametrize(("mode", "balance"), [("error_before_debit", 100_000)])
def test_an_error_before_the_debit_takes_nothing(world: World, mode: str, balance: int) -> None:
    world.behave(mode)
    assert world.debit().status == 500
    assert world.debit().status == 500
    assert world.account()["balance_minor"] == balance


def test_an_error_after_the_debit_hides_it_once(world: World) -> None:
    world.behave("error_after_debit")
    assert world.debit().status == 500
    assert world.debit().json()["result"] == "debited"
    assert world.account()["balance_minor"] == 97_500


def test_garbage_hides_the_debit_once(world: World) -> None:
    world.behave("garbage")
    assert world.debit().body.startswith(b"<html>")
    assert world.debit().json()["result"] == "debited"


def test_reset_closes_the_connection_after_the_debit(world: World) -> None:
    world.behave("reset")
    answer = world.debit()
    assert not answer.connected
    assert not answer.answered
    assert world.debit().json()["result"] == "debited"


def test_a_billing_without_idempotency_debits_every_time(start: Start) -> None:
    world = start(idempotent=False)
    world.debit()
    world.debit()
    assert world.account()["balance_minor"] == 95_000


def test_a_billing_that_forgets_refusals_may_debit_later(start: Start) -> None:
    world = start(stores_refusals=False)
    world.behave("barred")
    assert world.debit().json()["result"] == "refused"
    world.behave("ok")
    assert world.debit().json()["result"] == "debited"


def test_accounts_survive_a_restart(start: Start) -> None:
    world = start(fsync=True)
    world.debit()
    world.behave("barred")
    refused = world.debit(key="2").json()
    before = world.account()
    done(world.billing.stop())
    later = start()
    assert later.account() == before
    assert later.debit(key="2").json() == refused
    later.behave("ok")
    assert later.debit(key="3").json()["reference"] == "SB000000002"


def test_a_line_torn_by_a_crash_is_forgotten(start: Start) -> None:
    world = start()
    world.debit()
    with world.path.open("ab") as file:
        file.write(b'{"at": "2026-01-01T00:00:00Z", "entry": "debi')
    later = start()
    assert later.account()["balance_minor"] == 97_500
    assert later.entries("started") == ["started", "started"]


def test_a_token_is_asked_for_when_one_is_set(start: Start) -> None:
    world = start(token="s3cret")
    assert world.debit().status == 401
    assert world.entries("debit_asked") == []
    order = {"key": "1", "msisdn": PHONE, "amount_minor": 1, "currency": "UAH"}
    answer = world.wire().ask("POST", "/billing/debits", order, Authorization="Bearer s3cret")
    assert answer.json()["result"] == "debited"


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""},
        {"key": 7},
        {"msisdn": None},
        {"amount_minor": 0},
        {"amount_minor": -5},
        {"amount_minor": "2500"},
        {"amount_minor": 25.0},
        {"amount_minor": True},
    ],
)
def test_a_malformed_debit_is_refused_with_its_reason(world: World, change: dict[str, Any]) -> None:
    answer = world.debit(**change)
    assert answer.status == 400
    assert next(iter(change)) in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(world: World, body: bytes) -> None:
    assert world.wire().ask("POST", "/billing/debits", body).status == 400


def test_an_account_keeps_what_is_not_named(world: World) -> None:
    world.wire().ask("PUT", ACCOUNT, {"balance_minor": 5})
    changed = world.wire().ask("PUT", ACCOUNT, {"mode": "slow", "debits": []}).json()
    assert (changed["balance_minor"], changed["mode"]) == (5, "slow")


@pytest.mark.parametrize(
    "body",
    [{"mode": "fast"}, {"mode": []}, {"balance_minor": "1"}, {"currency": "грн"}, {"mood": "ok"}],
)
def test_a_wrong_account_setting_changes_nothing(world: World, body: dict[str, Any]) -> None:
    assert world.wire().ask("PUT", ACCOUNT, body).status == 400
    assert world.account()["mode"] == "ok"


def test_a_number_may_have_its_plus(world: World) -> None:
    world.debit(msisdn="+" + PHONE)
    assert world.account()["balance_minor"] == 97_500
    path = f"/sim/billing/accounts/%2B{PHONE}"
    assert world.wire().ask("GET", path).json()["balance_minor"] == 97_500
    assert world.wire().ask("GET", "/sim/billing/accounts/abc").status == 400


def test_what_is_not_served_is_404_or_405(world: World) -> None:
    assert world.wire().ask("GET", "/nothing").status == 404
    assert world.wire().ask("DELETE", "/billing/debits").status == 405


def test_stop_ends_what_is_open(world: World) -> None:
    world.behave("slow")
    waiting = world.debit()
    world.behave("zombie")
    world.debit(key="2")
    done(world.billing.stop())
    assert not waiting.connected
    assert world.reactor.getDelayedCalls() == []


def test_a_refund_gives_the_money_back_once_a_key(world: World) -> None:
    world.debit()
    refunded = world.refund().json()
    assert refunded["result"] == "refunded"
    assert refunded["reference"]
    assert world.refund().json() == refunded
    account = world.account()
    assert account["balance_minor"] == 100_000
    assert len(account["debits"]) == 1
    [refund] = account["refunds"]
    assert (refund["key"], refund["debit_key"], refund["amount_minor"]) == ("9", "1", 2500)
    assert world.entries("refunded", "repeated") == ["refunded", "repeated"]


@pytest.mark.parametrize("change", [{"amount_minor": 1000}, {"debit_key": "2"}])
def test_a_refunds_key_with_other_content_is_a_conflict(
    world: World, change: dict[str, Any]
) -> None:
    world.debit()
    world.refund()
    assert world.refund(**change).status == 409


def test_what_was_not_debited_can_not_be_given_back(world: World) -> None:
    assert world.refund().json()["reason"] == "no_such_debit"
    world.debit()
    assert world.refund(key="10", currency="EUR").json()["reason"] == "no_such_debit"
    assert world.refund(key="11", amount_minor=2000).json()["result"] == "refunded"
    assert world.refund(key="12", amount_minor=501).json()["reason"] == "too_much"
    assert world.refund(key="13", amount_minor=500).json()["result"] == "refunded"
    assert world.entries("refund_refused") == ["refund_refused"] * 3


@pytest.mark.parametrize(
    ("mode", "result"), [("insufficient", "refunded"), ("barred", "refused"), ("slow", None)]
)
def test_an_empty_account_takes_a_refund_and_a_barred_one_does_not(
    world: World, mode: str, result: str | None
) -> None:
    world.debit()
    world.behave(mode)
    answer = world.refund()
    if result is None:
        assert not answer.answered
        world.reactor.advance(3)
        result = "refunded"
    assert answer.json()["result"] == result


def test_a_query_for_a_refund_gives_its_record_and_no_debits(world: World) -> None:
    world.debit()
    assert world.wire().ask("GET", "/billing/refunds/1").status == 404
    refunded = world.refund().json()
    assert world.wire().ask("GET", "/billing/refunds/9").json() == refunded
    assert world.wire().ask("GET", "/billing/debits/9").status == 404


def test_refunds_survive_a_restart_and_so_do_refusals(start: Start) -> None:
    world = start()
    world.debit()
    refunded = world.refund(amount_minor=2000).json()
    refused = world.refund(key="10").json()
    again = start()
    assert again.refund(amount_minor=2000).json() == refunded
    assert again.refund(key="10").json() == refused
    assert again.account()["balance_minor"] == 99_500
