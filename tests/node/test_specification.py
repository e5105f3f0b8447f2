"""A running node against clients that others wrote: a tester that reads the specifications served,
and clients generated from CAMARA's own files, unchanged.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest

from ppcd.partner.scopes import Scope
from tests.node.generated import Client, generated
from tests.node.world import World, a_world, ask, wait_for
from tests.partner.specification import CHECKS, MUCH, NODE, run, served

PHONE = "380970777001"
PHONES = count(380970777002)
PIN_PHONES = count(380979977001)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("specification"), api=NODE) as world:
        yield world


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_answer_is_one_that_the_specification_has(world: World) -> None:
    """A few hundred cases; `scripts/fuzz_api.py` makes ten thousand."""
    assert "not_a_server_error" in CHECKS
    answers: dict[str, Counter[tuple[str, int]]] = {}
    paid = [world.paid(f"3809709{n:05}", f"paid-{n}", charging=MUCH) for n in range(5)]
    for name in served():
        origin = f"http://127.0.0.1:{world.node.partner_port}"
        client = ("gamex", world.partner.key)
        how = {"client": client, "paid": paid, "each": 15, "seed": 1}
        found = run(origin, name=name, sequences=False, **how)
        assert found.passed, found.report
        assert found.cases >= 50
        answers[name] = found.answers
        assert not any(status >= 500 for _, status in found.answers)
    # The tester got beyond the first look: tokens, sessions and payments were made and found.
    assert answers["oauth.yaml"]["POST", 200] > 0
    assert sum(made["POST", 201] for made in answers.values()) > 0
    assert sum(made["GET", 200] for made in answers.values()) > 0


# --- clients generated from CAMARA's own files --------------------------------------------------


@pytest.fixture(scope="module")
def client(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Carrier Billing's, with the partner's key."""
    directory = tmp_path_factory.mktemp("generated")
    url = f"http://127.0.0.1:{world.node.partner_port}/carrier-billing/v0.5"
    with (
        generated("carrier-billing", directory) as package,
        Client(package, url, world.partner.key) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def refunds(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Carrier Billing Refund's, with an access token, as CAMARA has it."""
    directory = tmp_path_factory.mktemp("generated")
    url = f"http://127.0.0.1:{world.node.partner_port}/carrier-billing-refund/v0.3"
    issued = ask(
        world.node.partner_port,
        "POST",
        "/oauth2/token",
        body=urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": "gamex",
                "client_secret": world.partner.key,
                "scope": " ".join(scope for scope in Scope if "refund" in scope),
            }
        ).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    with (
        generated("carrier-billing-refund", directory) as package,
        Client(package, url, issued.json["access_token"]) as client,
    ):
        yield client


def _order(phone: str, reference: str) -> dict[str, Any]:
    return {
        "amountTransaction": {
            "phoneNumber": f"+{phone}",
            "clientCorrelator": reference,
            "referenceCode": reference,
            "paymentAmount": {
                "chargingInformation": {
                    "amount": 25.0,
                    "currency": "UAH",
                    "description": "250 gold",
                },
            },
        },
    }


def _becomes(client: Client, payment: str, status: str) -> Any:
    """The payment, once it has that status."""

    def seen() -> Any:
        found = client.call("payment.retrieve_payment", payment).parsed
        return found.payment_status == status and found

    return wait_for(f"{payment} {status}", seen)


def _created(client: Client, world: World, phone: str, reference: str) -> Any:
    """A payment whose prompt is on the phone."""
    order = client.model("CreatePayment", _order(phone, reference))
    made = client.call("one_step_payment.create_payment", body=order, x_correlator="c-1")
    assert (made.status_code, type(made.parsed).__name__) == (201, "PaymentCreated")
    assert made.headers["x-correlator"] == "c-1"
    assert made.parsed.payment_status == "processing"
    wait_for("the prompt", lambda: world.messages(phone))
    return made.parsed


@pytest.mark.peer
def test_a_client_generated_from_camaras_own_file_sells(world: World, client: Client) -> None:
    made = _created(client, world, PHONE, "generated-1")
    world.reply(PHONE, "ДА")
    payment = _becomes(client, made.payment_id, "succeeded")
    assert payment.amount_transaction.payment_amount.charging_information.amount == 25
    listed = client.call("payment.retrieve_payments", per_page=5).parsed
    assert made.payment_id in [found.payment_id for found in listed]


@pytest.mark.peer
def test_the_generated_client_understands_refusals_and_cancels(client: Client) -> None:
    create = "one_step_payment.create_payment"
    order = client.model("CreatePayment", _order(PHONE, "generated-2"))
    made = client.call(create, body=order).parsed
    assert client.call(create, body=order).parsed.payment_id == made.payment_id
    order.amount_transaction.payment_amount.charging_information.amount = 26.0
    refused = client.call(create, body=order)
    assert (refused.status_code, refused.parsed.code) == (400, "INVALID_ARGUMENT")
    cancel = "two_step_payment.cancel_payment"
    body = client.model("PhoneNumber", {"phoneNumber": f"+{PHONE}"})
    assert client.call(cancel, made.payment_id, body=body).status_code == 202
    twice = client.call(cancel, made.payment_id, body=body)
    assert (twice.status_code, twice.parsed.code) == (409, "CARRIER_BILLING.PAYMENT_CANCELLED")
    missing = client.call("payment.retrieve_payment", "17")
    assert (missing.status_code, missing.parsed.code) == (404, "NOT_FOUND")


def _prepared(client: Client, phone: str, reference: str) -> Any:
    order = client.model(
        "BodyAmountReservationTransactionForReserveInput", _order(phone, reference)
    )
    made = client.call("two_step_payment.prepare_payment", body=order)
    assert made.status_code == 201
    return made.parsed


@pytest.mark.peer
@pytest.mark.parametrize(("decision", "end"), [("confirm", "succeeded"), ("cancel", "cancelled")])
def test_the_generated_client_reserves_and_decides(
    world: World, client: Client, decision: str, end: str
) -> None:
    phone = str(next(PHONES))
    made = _prepared(client, phone, f"generated-{decision}")
    assert made.payment_status == "processing"
    decide = f"two_step_payment.{decision}_payment"
    body = client.model("PhoneNumber", {"phoneNumber": f"+{phone}"})
    if decision == "confirm":
        early = client.call(decide, made.payment_id, body=body)
        assert (early.status_code, early.parsed.code) == (422, "SERVICE_NOT_APPLICABLE")
    wait_for("the prompt", lambda: world.messages(phone))
    world.reply(phone, "ДА")
    _becomes(client, made.payment_id, "reserved")
    assert client.call(decide, made.payment_id, body=body).status_code == 202
    _becomes(client, made.payment_id, end)
    taken = world.debited().get(made.payment_id, [])
    assert taken == ([2500] if decision == "confirm" else [])
    again = client.call(decide, made.payment_id, body=body)
    done = {"confirm": "CONFIRMED", "cancel": "CANCELLED"}[decision]
    assert (again.status_code, again.parsed.code) == (409, f"CARRIER_BILLING.PAYMENT_{done}")


@pytest.mark.peer
def test_the_generated_client_validates_with_a_pin(world: World, client: Client) -> None:
    phone = str(next(PIN_PHONES))
    made = _prepared(client, phone, "generated-pin")
    assert made.payment_status == "pending_validation"
    assert made.validation_info.action == "validate"
    [message] = wait_for("the PIN", lambda: world.messages(phone))
    pin = next(word for word in message["text"].split() if word.isdigit() and len(word) == 6)

    def validate(code: str, **other: str) -> Any:
        given = {"authorizationId": made.validation_info["authorizationId"], "code": code}
        body = client.model("ValidatePayment", given | other)
        return client.call("two_step_payment.validate_payment", made.payment_id, body=body)

    wrong = validate(f"{(int(pin) + 1) % 1_000_000:06d}")
    assert (wrong.status_code, wrong.parsed.code) == (400, "CARRIER_BILLING.INVALID_CODE")
    other = validate(pin, authorizationId="another")
    assert other.parsed.code == "CARRIER_BILLING.INVALID_AUTHORIZATION_ID"
    assert validate(pin).status_code == 204
    _becomes(client, made.payment_id, "reserved")
    again = validate(pin)
    assert (again.status_code, again.parsed.code) == (409, "ALREADY_EXISTS")
    body = client.model("PhoneNumber", {"phoneNumber": f"+{phone}"})
    confirmed = client.call("two_step_payment.confirm_payment", made.payment_id, body=body)
    assert confirmed.status_code == 202
    _becomes(client, made.payment_id, "succeeded")


def _refund(client: Client, name: str, amount: float | None = None, **changed: Any) -> Any:
    """A request for that much, or for all that is left."""
    charging = {"amount": amount, "currency": "UAH", "description": "gold"} | changed
    document = {
        "type": "total" if amount is None else "partial",
        "amountTransaction": {
            "clientCorrelator": name,
            "referenceCode": name,
            "refundAmount": {} if amount is None else {"chargingInformation": charging},
        },
    }
    return client.model("CreateTotalRefund" if amount is None else "CreatePartialRefund", document)


@pytest.mark.peer
def test_the_generated_client_gives_back_in_part_and_in_whole(
    world: World, client: Client, refunds: Client
) -> None:
    phone = str(next(PHONES))
    payment = _created(client, world, phone, "generated-refunds").payment_id

    def create(name: str, amount: float | None = None, **changed: Any) -> Any:
        wanted = _refund(refunds, name, amount, **changed)
        return refunds.call("refund.create_refund", payment, body=wanted)

    early = create("generated-early", 5.0)
    code = "CARRIER_BILLING_REFUND.INVALID_PAYMENT_STATUS"
    assert (early.status_code, early.parsed.code) == (422, code)
    world.reply(phone, "ДА")
    _becomes(client, payment, "succeeded")
    made: list[str] = []
    for name, amount, kind, left in (
        ("generated-part", 10.0, "partial", 15),
        ("generated-rest", None, "total", 0),
    ):
        answer = create(name, amount)
        assert (answer.status_code, type(answer.parsed).__name__) == (201, "Refund")
        assert (answer.parsed.refund_status, answer.parsed.type_) == ("processing", kind)
        made.append(answer.parsed.refund_id)
        # What is on its way is no longer left.
        remains = refunds.call("refund.retrieve_payment_remaining_amount", payment).parsed
        assert (remains.amount, remains.currency) == (left, "UAH")
        wait_for(
            f"{name} to succeed",
            lambda made=made: (
                (found := refunds.call("refund.retrieve_refund", payment, made[-1]).parsed)
                and found.refund_status == "succeeded"
                and found.refund_date
            ),
        )
        assert create(name, amount).parsed.refund_id == made[-1]
        if amount is not None:
            too_much = create("generated-too-much", 15.01)
            code = "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT"
            assert (too_much.status_code, too_much.parsed.code) == (422, code)
            taxed = create("generated-taxed", 1.0, isTaxIncluded=True)
            code = "CARRIER_BILLING_REFUND.TAXES_MANAGEMENT_MISMATCH"
            assert (taxed.status_code, taxed.parsed.code) == (422, code)
    listed = refunds.call("refund.retrieve_refunds", payment)
    assert [found.refund_id for found in listed.parsed] == made[::-1]
    assert listed.headers["x-total-count"] == "2"
    spent = create("generated-spent", 1.0)
    code = "CARRIER_BILLING_REFUND.PAYMENT_NOT_ELIGIBLE_FOR_REFUND"
    assert (spent.status_code, spent.parsed.code) == (403, code)
    for missing in (
        refunds.call("refund.retrieve_refund", payment, "17"),
        refunds.call("refund.retrieve_refunds", "17"),
        refunds.call("refund.retrieve_payment_remaining_amount", "17"),
        refunds.call("refund.create_refund", "17", body=_refund(refunds, "generated-none")),
    ):
        assert (missing.status_code, missing.parsed.code) == (404, "NOT_FOUND")
    assert len(world.account(phone)["refunds"]) == 2
