"""createPayment: what is taken, what is refused and in which words."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ppcd.charge.money import Money
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.store.limits import Limit, OverLimit
from ppcd.store.registers import TariffRow
from ppcd.store.subscribers import Spared, Why
from tests.partner.world import BASE, PAID_AT, PHONE, World, a_payment


@pytest.fixture
def world() -> World:
    return World()


def test_a_payment_is_created_and_echoed(world: World) -> None:
    got = world.create()
    assert got.status == 201
    assert got.headers["content-type"] == "application/json"
    payment_id = got.json["paymentId"]
    path = f"{BASE}/payments/{payment_id}"
    assert got.headers["location"] == path
    assert got.json == {
        "paymentId": payment_id,
        "amountTransaction": a_payment()["amountTransaction"] | {"resourceURL": path},
        "paymentStatus": "processing",
        "contextCode": "PPCD.AWAITING_REPLY",
        "paymentCreationDate": "2026-11-23T09:00:00.123Z",
    }


def test_what_flow_is_asked_for(world: World) -> None:
    body = a_payment(
        productId="gold-250",
        sink="https://shop.example/hook",
        sinkCredential={
            "credentialType": "ACCESSTOKEN",
            "accessToken": "tok-en",
            "accessTokenExpiresUtc": "2026-12-01T00:00:00Z",
            "accessTokenType": "Bearer",
        },
    )
    got = world.create(body, headers={"Accept-Language": "de, en;q=0.5, uk-UA;q=0.8"})
    assert got.status == 201
    assert got.json["sink"] == "https://shop.example/hook"
    assert b"tok-en" not in got.body
    [order] = world.requests.orders
    assert order.msisdn.digits == PHONE[1:]
    assert order.money == Money(2500, "UAH")
    assert order.description == "250 gold"
    assert order.reference == "order-1"
    assert order.correlator == "correlator-1"
    assert order.merchant == "Game Shop"
    assert order.language == "uk"
    assert order.product_id == "gold-250"
    assert order.sink == "https://shop.example/hook"
    assert order.sink_token == "tok-en"
    assert order.sink_token_expires_at == datetime(2026, 12, 1, tzinfo=UTC)
    assert len(order.fingerprint) == 32


@pytest.mark.parametrize(
    "digits", ["25", "25.0", "25.00", "0.35", "0.7", "2.5e1", "99999999.99", "25.000"]
)
def test_amounts_go_back_with_the_digits_they_came_with(world: World, digits: str) -> None:
    body = json.dumps(a_payment(amount=11111)).replace("11111", digits).encode()
    got = world.create(body)
    assert got.status == 201
    assert world.requests.orders[0].money.amount_minor == int(Decimal(digits) * 100)
    amount = got.json["amountTransaction"]["paymentAmount"]["chargingInformation"]["amount"]
    assert amount == Decimal(digits)
    if "e" not in digits:
        assert f'"amount":{digits},'.encode() in got.body


def test_the_same_request_gets_the_same_answer(world: World) -> None:
    first = world.create()
    world.requests.becomes(
        int(first.json["paymentId"]), State.SUCCEEDED, paid_at=PAID_AT, billing_reference="B1"
    )
    again = world.create()
    assert (again.status, again.body) == (201, first.body)


def test_what_would_be_refused_by_now_is_answered_as_it_was(world: World) -> None:
    order = a_payment(productId="gold-250", sink="https://shop.example/hook")
    first = world.create(order)
    assert first.status == 201
    world.requests.tariffs["gold-250"] = TariffRow("gold-250", 3000, "UAH", "250 gold", None)
    assert world.create(order).body == first.body
    assert world.create(order | {"sink": "https://a.example/"}).code == "INVALID_ARGUMENT"
    new = a_payment(productId="gold-250", correlator="new", reference="new")
    assert world.create(new).code == "CARRIER_BILLING.UNAUTHORIZED_AMOUNT"


def test_a_host_that_is_registered_no_more_changes_no_answer() -> None:
    world = World(sink_hosts=["shop.example"])
    first = world.create(a_payment(sink="https://shop.example/hook"))
    world.settings.__dict__["sink_hosts"] = ()
    again = world.create(a_payment(sink="https://shop.example/hook"))
    assert (again.status, again.body) == (201, first.body)


def test_the_same_number_written_otherwise_is_the_same_request(world: World) -> None:
    first = world.create()
    body = json.dumps(a_payment(), indent=2, sort_keys=True).replace(": 25,", ": 25.00,")
    assert world.create(body.encode()).body == first.body


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 26},
        {"description": "other"},
        {"reference": "order-2"},
        {"phone": "+380971234568"},
        {"merchantName": "Other"},
        {"productId": "other"},
        {"sink": "https://other.example/"},
    ],
)
def test_the_same_correlator_with_other_content_is_an_error(
    world: World, change: dict[str, Any]
) -> None:
    world.created()
    got = world.create(a_payment(**change))
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert got.message == "clientCorrelator already exist on server."


def test_a_renewed_credential_is_no_other_content(world: World) -> None:
    def body(token: str) -> dict[str, Any]:
        return a_payment(
            sinkCredential={
                "credentialType": "ACCESSTOKEN",
                "accessToken": token,
                "accessTokenExpiresUtc": "2026-12-01T00:00:00+02:00",
                "accessTokenType": "bearer",
            }
        )

    first = world.create(body("one"))
    assert world.create(body("two")).body == first.body


@pytest.mark.parametrize(
    ("result", "status", "code", "message"),
    [
        (
            flow.ReferenceTaken(),
            409,
            "ALREADY_EXISTS",
            "The resource that a client tried to create already exists. "
            "The referenceCode was used before.",
        ),
        (
            flow.NoFreeAddress(),
            409,
            "ALREADY_EXISTS",
            "Another session is created for the same UE",
        ),
        (flow.NotServed(), 404, "IDENTIFIER_NOT_FOUND", "phoneNumber not found."),
        (flow.Busy(2.0), 503, "UNAVAILABLE", "Service unavailable."),
    ],
)
def test_why_a_payment_is_not_created(
    world: World, result: Any, status: int, code: str, message: str
) -> None:
    world.requests.create_result = result
    got = world.create()
    assert (got.status, got.code, got.message) == (status, code, message)
    assert got.headers.get("retry-after") == ("2" if status == 503 else None)


def test_a_tariff_has_its_price(world: World) -> None:
    got = world.create(a_payment(productId="gold-250", amount=50))
    assert (got.status, got.code) == (422, "CARRIER_BILLING.UNAUTHORIZED_AMOUNT")
    assert got.message == "Unauthorized amount requested. The tariff's price is 25.00 UAH."
    got = world.create(a_payment(productId="gold-250", currency="USD"))
    assert got.status == 422
    assert world.create(a_payment(productId="gold-250")).status == 201


def test_a_product_that_is_no_tariff_has_any_price(world: World) -> None:
    assert world.create(a_payment(productId="a sword", amount=0.5)).status == 201


def test_without_a_phone_number_there_is_nobody_to_ask(world: World) -> None:
    got = world.create(a_payment(phone=None))
    assert (got.status, got.code) == (422, "MISSING_IDENTIFIER")
    assert got.message == "The phone number cannot be identified."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phone": "380971234567"}, "amountTransaction.phoneNumber does not match ^"),
        ({"phone": "+0971234567"}, "amountTransaction.phoneNumber"),
        ({"phone": "+380971234567\n"}, "amountTransaction.phoneNumber"),
        ({"phone": "+38097123456712345"}, "amountTransaction.phoneNumber"),
        ({"phone": "+٣٨٠٩٧١٢٣٤٥"}, "amountTransaction.phoneNumber"),
        ({"phone": 380971234567}, "amountTransaction.phoneNumber must be a string"),
        ({"amount": "25"}, "chargingInformation.amount must be a JSON number"),
        ({"amount": True}, "chargingInformation.amount must be a JSON number"),
        ({"amount": 0}, "chargingInformation.amount must be at least 0.001"),
        ({"amount": -1}, "chargingInformation.amount must be at least 0.001"),
        ({"amount": 0.001}, "UAH has 2 decimals"),
        ({"amount": 10**13}, "chargingInformation.amount must be at most"),
        ({"amount": 10**12}, "over 1000000000000 minor units"),
        ({"amount": 1.0001}, "must not have more than 3 decimals"),
        ({"amount": None}, "chargingInformation.amount is missing"),
        ({"currency": None}, "chargingInformation.currency is missing"),
        ({"description": None}, "chargingInformation.description is missing"),
        ({"description": ""}, "description must have at least 1 character"),
        ({"description": 5}, "chargingInformation.description"),
        ({"reference": None}, "amountTransaction.referenceCode is missing"),
        ({"reference": ""}, "amountTransaction.referenceCode"),
        ({"reference": "x" * 257}, "referenceCode must have at most 256 characters"),
        ({"correlator": ""}, "amountTransaction.clientCorrelator"),
        ({"isTaxIncluded": "yes"}, "chargingInformation.isTaxIncluded must be true or"),
        ({"taxAmount": -1}, "chargingInformation.taxAmount must be at least 0"),
        ({"fee": 0.001}, "chargingMetaData.fee must not have more than 2 decimals"),
        ({"channel": 5}, "chargingMetaData.channel"),
        ({"details": []}, "paymentAmount.paymentDetails must have at least 1 item"),
        ({"details": [{}] * 101}, "paymentDetails must have at most 100 items"),
        ({"details": {}}, "paymentDetails must be an array"),
        ({"details": [{"id": "1"}]}, "paymentDetails[0].amount is missing"),
        ({"sink": 5}, "sink"),
        ({"sinkCredential": "token"}, "sinkCredential must be a JSON object"),
        ({"surprise": 1}, "surprise is not a field of this request"),
        ({"sur\nprise": 1}, "sur\\nprise is not a field of this request"),
        ({"amountTransaction": None}, "amountTransaction is missing"),
        ({"amountTransaction": []}, "amountTransaction must be a JSON object"),
    ],
)
def test_a_wrong_field_is_named(world: World, changes: dict[str, Any], said: str) -> None:
    got = world.create(a_payment(**changes))
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert said in got.message
    assert "\n" not in got.message
    assert " is wrong" not in got.message
    assert world.requests.orders == []


def test_null_is_not_absent(world: World) -> None:
    body = json.dumps(a_payment()).replace('"correlator-1"', "null").encode()
    got = world.create(body)
    assert got.status == 400
    assert got.message == (
        "amountTransaction.clientCorrelator must not be null; leave it out instead"
    )


def test_a_message_never_repeats_the_number(world: World) -> None:
    got = world.create(a_payment(phone="+380971234567890123"))
    assert b"38097" not in got.body


@pytest.mark.parametrize("currency", ["uah", "XXX", "", "UAHH", "XTS"])
def test_an_unknown_currency_has_a_message_of_its_own(world: World, currency: str) -> None:
    got = world.create(a_payment(currency=currency))
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert got.message == "Currency is unknown or not authorized."


def test_all_optional_fields_are_taken_and_echoed(world: World) -> None:
    body = a_payment(
        isTaxIncluded=True,
        taxAmount=4.17,
        fee=12.5,
        channel="web",
        details=[
            {
                "id": "1",
                "amount": 25,
                "currency": "UAH",
                "description": "gold",
                "isTaxIncluded": False,
                "taxAmount": 0,
            }
        ],
    )
    got = world.create(body)
    assert got.status == 201
    echoed = json.loads(got.body)["amountTransaction"]
    assert echoed["paymentAmount"] == body["amountTransaction"]["paymentAmount"]


# -- bodies


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"{}", "amountTransaction is missing"),
        (b'{"a": 1, "a": 2}', 'the field "a" is given twice'),
        (b'{"amountTransaction": NaN}', "NaN"),
        (b'{"amountTransaction": -Infinity}', "-Infinity"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        (b'{"a": "\x01"}', "not JSON"),
        (b"[" * 30000, "not JSON"),
        (b"[" * 100 + b"]" * 100, "nested"),
        (b'{"a": ' + b"1" * 5000 + b"}", "a is not a field"),
        (b'{"amountTransaction": 1e99999999999999999999}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
    ],
)
def test_what_is_no_good_json_is_refused(world: World, body: bytes, said: str) -> None:
    got = world.create(body)
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert said in got.message


@pytest.mark.parametrize("exponent", ["1e400", "1e99999999", "1e-400", "1E+30"])
def test_numbers_beyond_reason_are_refused(world: World, exponent: str) -> None:
    body = json.dumps(a_payment(amount=11111)).replace("11111", exponent).encode()
    assert world.create(body).status == 400


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_media_type_is_415(world: World, media_type: str) -> None:
    got = world.create(headers={"Content-Type": media_type})
    assert (got.status, got.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_charset_does_no_harm(world: World) -> None:
    got = world.create(headers={"Content-Type": "Application/JSON; charset=utf-8"})
    assert got.status == 201


def test_a_large_body_is_413() -> None:
    world = World(body_size_max=2000)
    got = world.create(a_payment(description="x" * 2000))
    assert (got.status, got.code) == (413, "PAYLOAD_TOO_LARGE")
    assert got.headers["x-correlator"] == "made-by-ppcd"


# -- sinks


@pytest.mark.parametrize(
    "sink",
    [
        "http://shop.example/hook",
        "ftp://shop.example/",
        "shop.example",
        "",
        "https://",
        "https://user:pw@shop.example/",
        "https://shop.example/\u00fc",
        "HTTPS://shop example/",
        "https://shop.example/" + "x" * 2048,
    ],
)
def test_a_sink_that_is_no_https_url_is_invalid_sink(world: World, sink: str) -> None:
    got = world.create(a_payment(sink=sink))
    assert (got.status, got.code) == (400, "INVALID_SINK")
    assert got.message == "sink not valid for the specified protocol"


def test_a_sink_has_a_registered_host_unless_configured() -> None:
    world = World(sink_hosts=[])
    world.requests.shop = replace(world.requests.shop, webhook_url="https://shop.example/hook")
    world.requests.keys["demo-key"] = world.requests.shop
    assert world.create(a_payment(sink="https://shop.example/other")).status == 201
    got = world.create(a_payment(sink="https://other.example/", correlator="c2"))
    assert (got.status, got.code) == (400, "INVALID_SINK")
    assert "not registered" in got.message
    # A partner without a URL of its own has no host of its own either.
    for url in (None, "no url"):
        world.requests.keys["demo-key"] = replace(world.requests.shop, webhook_url=url)
        got = world.create(a_payment(sink="https://shop.example/", correlator="c3"))
        assert got.code == "INVALID_SINK"


def test_sinks_can_be_limited_to_hosts_and_some_may_be_plain() -> None:
    world = World(sink_hosts=["shop.example"], http_sink_hosts="127.0.0.1")
    for number, (sink, status) in enumerate(
        {
            "https://shop.example/hook": 201,
            "https://other.example/hook": 400,
            "http://127.0.0.1:8080/hook": 201,
            "https://127.0.0.1/hook": 201,
            "http://shop.example/hook": 400,
        }.items()
    ):
        got = world.create(a_payment(sink=sink, correlator=f"c{number}"))
        assert got.status == status, sink


def _credential(**changes: Any) -> dict[str, Any]:
    credential = {
        "credentialType": "ACCESSTOKEN",
        "accessToken": "token",
        "accessTokenExpiresUtc": "2026-12-01T00:00:00.5Z",
        "accessTokenType": "bearer",
    } | changes
    return {name: value for name, value in credential.items() if value is not None}


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ({"credentialType": "PLAIN", "identifier": "a", "secret": "b"}, "INVALID_CREDENTIAL"),
        (_credential(credentialType="REFRESHTOKEN", refreshToken="x"), "INVALID_CREDENTIAL"),
        (_credential(credentialType="SURPRISE"), "INVALID_CREDENTIAL"),
        (_credential(credentialType=None), "INVALID_ARGUMENT"),
        (_credential(credentialType=5), "INVALID_ARGUMENT"),
        (_credential(accessTokenType="mac"), "INVALID_TOKEN"),
        (_credential(accessTokenType=5), "INVALID_ARGUMENT"),
        (_credential(accessTokenType=None), "INVALID_ARGUMENT"),
        (_credential(accessToken=None), "INVALID_ARGUMENT"),
        (_credential(accessToken=""), "INVALID_ARGUMENT"),
        (_credential(accessToken="a\r\nX: b"), "INVALID_ARGUMENT"),
        (_credential(accessToken="a b"), "INVALID_ARGUMENT"),
        (_credential(accessTokenExpiresUtc=None), "INVALID_ARGUMENT"),
        (_credential(accessTokenExpiresUtc="soon"), "INVALID_ARGUMENT"),
        (_credential(accessTokenExpiresUtc="2026-12-01T00:00:00"), "INVALID_ARGUMENT"),
        (_credential(accessTokenExpiresUtc="2026-13-01T00:00:00Z"), "INVALID_ARGUMENT"),
        (_credential(surprise="x"), "INVALID_ARGUMENT"),
        ({}, "INVALID_ARGUMENT"),
    ],
)
def test_what_is_no_bearer_token_for_the_sink(
    world: World, credential: dict[str, Any], code: str
) -> None:
    got = world.create(a_payment(sink="https://shop.example/", sinkCredential=credential))
    assert (got.status, got.code) == (400, code)
    messages = {
        "INVALID_CREDENTIAL": "Only Access token is supported",
        "INVALID_TOKEN": "Only bearer token is supported",
    }
    if code in messages:
        assert got.message == messages[code]
    else:
        assert "sinkCredential" in got.message


# -- subscribers who are spared


@pytest.mark.parametrize(
    ("why", "status", "code", "retry_after"),
    [
        (Why.BLOCKED, 403, "CARRIER_BILLING.PAYMENT_DENIED", None),
        (Why.OPEN, 409, "ALREADY_EXISTS", None),
        (Why.HOUR, 429, "TOO_MANY_REQUESTS", "91"),
        (Why.DAY, 429, "TOO_MANY_REQUESTS", "91"),
        (Why.SLOWED, 429, "TOO_MANY_REQUESTS", "91"),
    ],
)
def test_a_subscriber_who_is_spared_is_an_error(
    why: Why, status: int, code: str, retry_after: str | None
) -> None:
    world = World()
    world.requests.create_result = Spared(why, 90.2)
    got = world.create()
    assert (got.status, got.code) == (status, code)
    assert got.headers.get("retry-after") == retry_after


# -- limits by sum


@pytest.mark.parametrize(
    ("limit", "code", "message"),
    [
        (Limit.CHARGE, "UNAUTHORIZED_AMOUNT", "above what one payment may be"),
        (Limit.SUBSCRIBER_DAY, "USER_AMOUNT_THRESHOLD_OVERPASSED", "Accumulated user mobile"),
        (Limit.SUBSCRIBER_MONTH, "USER_AMOUNT_THRESHOLD_OVERPASSED", "Accumulated user mobile"),
        (Limit.PARTNER_DAY, "USER_AMOUNT_THRESHOLD_OVERPASSED", "Your own limit for this day"),
        (Limit.PARTNER_MONTH, "USER_AMOUNT_THRESHOLD_OVERPASSED", "limit for this month"),
    ],
)
def test_a_charge_over_a_limit_is_an_error(limit: Limit, code: str, message: str) -> None:
    world = World()
    world.requests.create_result = OverLimit(limit)
    got = world.create()
    assert (got.status, got.code) == (422, f"CARRIER_BILLING.{code}")
    assert message in got.message
