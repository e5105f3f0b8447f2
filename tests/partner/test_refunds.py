"""createRefund and what can be read of refunds: CAMARA to the letter, and what ppcd adds."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ppcd.charge.debit import DenialReason
from ppcd.charge.money import Money
from ppcd.charge.refund import RefundState, Refusal
from ppcd.flow.refund_requests import Obstacle, RefundOfOlder
from ppcd.flow.request import Busy
from ppcd.partner.refunds import REFUND_STATUS
from ppcd.partner.scopes import Scope
from ppcd.store.failures import NotApplied
from tests.partner.refund_world import (
    PAYMENT_ID,
    REFUND_BASE,
    REFUND_ID,
    RefundWorld,
    a_refund,
    a_total_refund,
)


def test_a_partial_refund_is_accepted_and_echoed() -> None:
    world = RefundWorld(public_url="https://pay.example.net")
    body = a_refund(reason="broken", sink="https://shop.example/refunds")
    got = world.refund(body)
    assert got.status == 201
    assert got.json == {
        "refundId": str(REFUND_ID),
        "type": "partial",
        "amountTransaction": body["amountTransaction"],
        "refundStatus": "processing",
        "refundCreationDate": "2026-11-23T10:00:00.123Z",
        "reason": "broken",
        "sink": "https://shop.example/refunds",
    }
    path = f"{REFUND_BASE}/payments/{PAYMENT_ID}/refunds/{REFUND_ID}"
    assert got.headers["location"] == f"https://pay.example.net{path}"
    [wanted] = world.refunds.wanted
    assert wanted.money == Money(1000, "UAH")
    assert (wanted.reference, wanted.correlator) == ("refund-1", "refund-correlator-1")


def test_a_total_refund_names_no_amount() -> None:
    world = RefundWorld()
    got = world.refund(a_total_refund(chargingMetaData={"merchantIdentifier": "m"}))
    assert got.status == 201
    assert got.json["type"] == "total"
    assert world.refunds.wanted[0].money is None


def test_the_token_is_kept_and_not_shown() -> None:
    world = RefundWorld()
    credential = {
        "credentialType": "ACCESSTOKEN",
        "accessToken": "secret-token",
        "accessTokenExpiresUtc": "2027-01-01T00:00:00Z",
        "accessTokenType": "bearer",
    }
    body = a_refund(sink="https://shop.example/", sinkCredential=credential)
    got = world.refund(body)
    assert b"secret-token" not in got.body
    [wanted] = world.refunds.wanted
    assert wanted.sink_token == "secret-token"
    assert wanted.sink_token_expires_at == datetime(2027, 1, 1, tzinfo=UTC)
    world.refund(a_refund(sink="https://shop.example/"))
    # A renewed credential makes no other request.
    assert world.refunds.wanted[1].fingerprint == wanted.fingerprint


def test_the_same_words_about_another_payment_are_another_request() -> None:
    world = RefundWorld()
    world.refund()
    world.refund(a_refund(amount=11))
    one, other = world.refunds.wanted
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "INVALID_ARGUMENT"),
        (b"[]", "INVALID_ARGUMENT"),
        (a_refund(type=None), "INVALID_ARGUMENT"),
        (a_refund(type="half"), "INVALID_ARGUMENT"),
        (a_refund(type="total"), "INVALID_ARGUMENT"),
        (a_total_refund() | {"type": "partial"}, "INVALID_ARGUMENT"),
        (a_refund(amount=0), "INVALID_ARGUMENT"),
        (a_refund(amount="10"), "INVALID_ARGUMENT"),
        (a_refund(amount=10.001), "INVALID_ARGUMENT"),
        (a_refund(currency="XXX"), "INVALID_ARGUMENT"),
        (a_refund(description=None), "INVALID_ARGUMENT"),
        (a_refund(reference=None), "INVALID_ARGUMENT"),
        (a_refund(reference=""), "INVALID_ARGUMENT"),
        (a_refund(refundDetails=[]), "INVALID_ARGUMENT"),
        (a_refund(reason=5), "INVALID_ARGUMENT"),
        (a_refund(extra=1), "INVALID_ARGUMENT"),
        (a_refund(sink="http://shop.example/"), "INVALID_SINK"),
        (a_refund(sinkCredential={"credentialType": "PLAIN"}), "INVALID_CREDENTIAL"),
        (a_refund(sinkCredential={}), "INVALID_ARGUMENT"),
    ],
)
def test_what_is_wrong_is_refused(body: Any, code: str) -> None:
    world = RefundWorld()
    got = world.refund(body)
    assert (got.status, got.code) == (400, code)
    assert world.refunds.wanted == []


@pytest.mark.parametrize(("charged", "said"), [(True, None), (True, False), (None, True)])
def test_taxes_are_managed_as_in_the_payment(charged: bool | None, said: bool | None) -> None:
    world = RefundWorld()
    information = world.refunds.document["paymentAmount"]["chargingInformation"]
    if charged is not None:
        information["isTaxIncluded"] = charged
    got = world.refund(a_refund(isTaxIncluded=said))
    assert got.status == 422
    assert got.code == "CARRIER_BILLING_REFUND.TAXES_MANAGEMENT_MISMATCH"
    assert world.refund(a_refund(isTaxIncluded=bool(charged))).status == 201


SOLD = {"id": "sword", "amount": Decimal("10.50"), "currency": "UAH", "description": "a sword"}


def an_item(**changes: Any) -> dict[str, Any]:
    item = {"paymentItemId": "sword", "amount": 10, "currency": "UAH", "description": "it broke"}
    return item | changes


@pytest.mark.parametrize(
    "item",
    [
        an_item(paymentItemId="shield"),
        an_item(currency="EUR"),
        an_item(amount=10.51),
        an_item(isTaxIncluded=True),
    ],
)
def test_details_must_be_the_payments(item: dict[str, Any]) -> None:
    world = RefundWorld()
    got = world.refund(a_refund(refundDetails=[an_item()]))
    assert got.code == "CARRIER_BILLING_REFUND.REFUND_DETAILS_MISMATCH"
    world.refunds.document["paymentAmount"]["paymentDetails"] = [SOLD]
    got = world.refund(a_refund(refundDetails=[item]))
    assert (got.status, got.code) == (422, "CARRIER_BILLING_REFUND.REFUND_DETAILS_MISMATCH")
    assert world.refund(a_refund(refundDetails=[an_item(amount=10.5)])).status == 201


@pytest.mark.parametrize(
    ("result", "status", "code"),
    [
        (Refusal.NOT_PAID, 422, "CARRIER_BILLING_REFUND.INVALID_PAYMENT_STATUS"),
        (Refusal.NOTHING_LEFT, 403, "CARRIER_BILLING_REFUND.PAYMENT_NOT_ELIGIBLE_FOR_REFUND"),
        (Refusal.TOO_MUCH, 422, "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT"),
        (Refusal.ONLY_WHOLE, 422, "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT"),
        (Refusal.OTHER_CURRENCY, 400, "INVALID_ARGUMENT"),
        (Obstacle.CORRELATOR_TAKEN, 400, "INVALID_ARGUMENT"),
        (Obstacle.REFERENCE_TAKEN, 409, "ALREADY_EXISTS"),
        (Obstacle.NOT_REVERSIBLE, 403, "CARRIER_BILLING_REFUND.PAYMENT_NOT_ELIGIBLE_FOR_REFUND"),
        (Obstacle.TOO_OLD, 403, "CARRIER_BILLING_REFUND.PAYMENT_NOT_ELIGIBLE_FOR_REFUND"),
        (RefundOfOlder(), 400, "INVALID_ARGUMENT"),
        (Busy(7), 503, "UNAVAILABLE"),
    ],
)
def test_what_stands_against_a_refund_has_its_code(result: Any, status: int, code: str) -> None:
    world = RefundWorld()
    world.refunds.create_result = result
    got = world.refund()
    assert (got.status, got.code) == (status, code)
    if status == 503:
        assert got.headers["retry-after"] == "7"


@pytest.mark.parametrize("payment", [PAYMENT_ID + 1, "x", "0", "9" * 30])
@pytest.mark.parametrize("path", ["", "/remaining-amount", "/1"])
def test_what_is_not_the_partners_is_not_found(payment: object, path: str) -> None:
    world = RefundWorld()
    world.refunded()
    assert world.ask("GET", world.at(path, payment=payment)).code == "NOT_FOUND"
    assert world.ask("POST", world.at(payment=payment), a_refund()).code == "NOT_FOUND"


def test_nobody_else_sees_them() -> None:
    world = RefundWorld()
    refund_id = world.refunded()
    for path in ("", "/remaining-amount", f"/{refund_id}"):
        assert world.ask("GET", world.at(path), key="other-key").code == "NOT_FOUND"
    assert world.refund(key="other-key").code == "NOT_FOUND"
    assert world.ask("GET", world.at(f"/{refund_id}"), key=None).status == 401


@pytest.mark.parametrize("scope", [Scope.CREATE_REFUND, Scope.READ_REFUNDS])
def test_each_operation_needs_its_scope(scope: Scope) -> None:
    world = RefundWorld()
    refund_id = world.refunded()
    world.requests.keys["k"] = world.requests.shop = replace(
        world.requests.shop, scopes=frozenset({scope})
    )
    world.refunds.shop = world.requests.shop
    creating = world.refund(a_refund(reference="r2", correlator="c2"), key="k")
    reading = world.ask("GET", world.at(f"/{refund_id}"), key="k")
    allowed = 403, 200
    if scope is Scope.CREATE_REFUND:
        allowed = 201, 403
    assert (creating.status, reading.status) == allowed


@pytest.mark.parametrize("state", list(RefundState))
def test_a_refund_is_shown_as_it_stands(state: RefundState) -> None:
    world = RefundWorld()
    refund_id = world.refunded()
    denied = DenialReason.BILLING_REJECTED if state is RefundState.DENIED else None
    world.refunds.becomes(refund_id, state, denied)
    shown = world.ask("GET", world.at(f"/{refund_id}")).json
    assert shown["refundStatus"] == REFUND_STATUS[state][0]
    assert ("refundDate" in shown) == (state is RefundState.SUCCEEDED)
    assert shown.get("denialReason") == denied
    context = f"PPCD.{denied}" if denied else REFUND_STATUS[state][1]
    assert shown.get("contextCode") == context


def test_an_unknown_refund_is_not_found() -> None:
    world = RefundWorld()
    assert world.ask("GET", world.at("/77")).code == "NOT_FOUND"


def test_refunds_are_listed_with_their_count_and_last_index() -> None:
    world = RefundWorld()
    ids = [str(world.refunded()) for _ in range(3)]
    got = world.ask("GET", world.at("?perPage=2"))
    assert [refund["refundId"] for refund in got.json] == [ids[2], ids[1]]
    assert (got.headers["x-total-count"], got.headers["content-last-key"]) == ("3", "2")
    got = world.ask("GET", world.at("?perPage=2&page=2&order=asc"))
    assert [refund["refundId"] for refund in got.json] == [ids[2]]
    got = world.ask("GET", world.at("?page=3"))
    assert (got.json, got.headers["content-last-key"]) == ([], "0")


def test_a_list_can_be_narrowed() -> None:
    world = RefundWorld()
    query = (
        "?refundStatus=processing&refundStatus=denied&merchantIdentifier=m-1"
        "&refundCreationDate.gte=2026-11-23T09:00:00Z"
        "&refundCreationDate.lte=2026-11-23T10:59:00%2B02:00"
    )
    assert world.ask("GET", world.at(query)).status == 400  # it ends before it begins
    query = query.replace("10:59:00%2B02:00", "11:00:00Z")
    assert world.ask("GET", world.at(query)).status == 200
    [criteria] = world.refunds.asked
    assert criteria.since == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert criteria.until == datetime(2026, 11, 23, 11, tzinfo=UTC)
    assert criteria.merchant_identifier == "m-1"
    assert criteria.states == ("accepted", "refunding", "in_doubt", "review", "denied")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?refundStatus=reserved", "INVALID_ARGUMENT"),
        ("?refundCreationDate.gte=today", "INVALID_ARGUMENT"),
        ("?order=up", "INVALID_ARGUMENT"),
        ("?page=1&page=2", "INVALID_ARGUMENT"),
        ("?page=0", "OUT_OF_RANGE"),
        ("?perPage=101", "OUT_OF_RANGE"),
        (
            "?refundCreationDate.gte=2026-11-24T00:00:00Z&refundCreationDate.lte=2026-11-23T00:00:00Z",
            "CARRIER_BILLING_REFUND.INVALID_DATE_RANGE",
        ),
    ],
)
def test_a_wrong_query_is_refused(query: str, code: str) -> None:
    got = RefundWorld().ask("GET", RefundWorld().at(query))
    assert (got.status, got.code) == (400, code)


def test_too_many_to_look_at_is_said() -> None:
    world = RefundWorld()
    world.refunds.too_many = True
    got = world.ask("GET", world.at())
    assert got.code == "CARRIER_BILLING_REFUND.TOO_MANY_MATCHING_RECORDS"


@pytest.mark.parametrize(("minor", "said"), [(2500, b"25.00"), (0, b"0.00"), (5, b"0.05")])
def test_what_is_left_is_said_to_the_last_digit(minor: int, said: bytes) -> None:
    world = RefundWorld()
    world.refunds.left_minor = minor
    got = world.ask("GET", world.at("/remaining-amount"))
    assert got.body == b'{"amount":%s,"currency":"UAH","isTaxIncluded":false}' % said


def test_without_a_database_the_partner_comes_again() -> None:
    world = RefundWorld()

    async def away(*args: Any, **more: Any) -> Any:
        raise NotApplied

    world.refunds.find = away  # type: ignore[method-assign]
    assert world.ask("GET", world.at()).status == 503
