"""What partners are promised over HTTP, to the letter of CAMARA where it has letters."""

import json
from decimal import Decimal
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.charge.debit import DenialReason
from ppcd.charge.money import Money
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.http.exchange import CLIENT_GONE
from ppcd.store.failures import NotApplied, OutcomeUnknown
from tests.conftest import Criticals
from tests.partner.world import BASE, PAID_AT, PHONE, World, a_payment


@pytest.fixture
def world() -> World:
    return World()


# -- createPayment


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
            "The resource that a client tried to create already exists.",
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
    assert got.message == "Unauthorized amount requested."
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
        ({"phone": "380971234567"}, "amountTransaction.phoneNumber"),
        ({"phone": "+0971234567"}, "amountTransaction.phoneNumber"),
        ({"phone": "+380971234567\n"}, "amountTransaction.phoneNumber"),
        ({"phone": "+38097123456712345"}, "amountTransaction.phoneNumber"),
        ({"phone": "+٣٨٠٩٧١٢٣٤٥"}, "amountTransaction.phoneNumber"),
        ({"phone": 380971234567}, "amountTransaction.phoneNumber"),
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
        ({"description": ""}, "chargingInformation.description"),
        ({"description": 5}, "chargingInformation.description"),
        ({"reference": None}, "amountTransaction.referenceCode is missing"),
        ({"reference": ""}, "amountTransaction.referenceCode"),
        ({"reference": "x" * 257}, "amountTransaction.referenceCode"),
        ({"correlator": ""}, "amountTransaction.clientCorrelator"),
        ({"isTaxIncluded": "yes"}, "chargingInformation.isTaxIncluded"),
        ({"taxAmount": -1}, "chargingInformation.taxAmount must be at least 0"),
        ({"fee": 0.001}, "chargingMetaData.fee must not have more than 2 decimals"),
        ({"channel": 5}, "chargingMetaData.channel"),
        ({"details": []}, "paymentAmount.paymentDetails"),
        ({"details": [{"id": "1"}]}, "paymentDetails[0].amount is missing"),
        ({"sink": 5}, "sink"),
        ({"sinkCredential": "token"}, "sinkCredential"),
        ({"surprise": 1}, "surprise is not a field of this request"),
        ({"sur\nprise": 1}, "sur\\nprise is not a field of this request"),
        ({"amountTransaction": None}, "amountTransaction is missing"),
        ({"amountTransaction": []}, "amountTransaction"),
    ],
)
def test_a_wrong_field_is_named(world: World, changes: dict[str, Any], said: str) -> None:
    got = world.create(a_payment(**changes))
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert said in got.message
    assert "\n" not in got.message
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


# -- keys and correlators


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic ZGVtbzprZXk=", "demo-key",
     "Bearer demo-key extra", "Bearer демо"],
)  # fmt: skip
def test_without_a_good_key_it_is_401(world: World, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in (
        ("POST", "/payments"),
        ("GET", "/payments/1"),
        ("POST", "/payments/1/cancel"),
    ):
        wire = {name: value.encode().decode("latin-1") for name, value in headers.items()}
        got = world.ask(method, BASE + path, key=None, headers=wire)
        assert (got.status, got.code) == (401, "UNAUTHENTICATED")
        assert got.headers["www-authenticate"].startswith("bearer ")
        assert got.headers["x-correlator"] == "made-by-ppcd"


def test_two_authorization_headers_are_none(world: World) -> None:
    world.peer.sends(
        b"GET /carrier-billing/v0.5/payments/1 HTTP/1.1\r\nHost: a\r\n"
        b"Authorization: Bearer demo-key\r\nAuthorization: Bearer other-key\r\n\r\n"
    )
    assert world.peer.answer()[0] == 401


def test_the_scheme_is_case_insensitive(world: World) -> None:
    headers = {"Authorization": "bearer demo-key"}
    assert world.create(key=None, headers=headers).status == 201


@pytest.mark.parametrize("correlator", ["b4333c46-49c0", "a_:;./<>{}-9", "x" * 256])
def test_a_correlator_is_echoed_on_every_answer(world: World, correlator: str) -> None:
    headers = {"x-correlator": correlator}
    for got in (
        world.create(headers=headers),
        world.create(b"{", headers=headers),
        world.create(key=None, headers=headers),
        world.ask("GET", f"{BASE}/payments/1", headers=headers),
        world.ask("DELETE", f"{BASE}/payments/1", headers=headers),
        world.ask("GET", "/nowhere", headers=headers),
    ):
        assert got.headers["x-correlator"] == correlator


@pytest.mark.parametrize("correlator", ["a b", "x" * 257, "é", "a,b"])
def test_a_malformed_correlator_is_refused_and_not_echoed(world: World, correlator: str) -> None:
    got = world.create(headers={"x-correlator": correlator})
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert "x-correlator" in got.message
    assert got.headers["x-correlator"] == "made-by-ppcd"


def test_an_empty_correlator_is_none(world: World) -> None:
    got = world.create(headers={"x-correlator": ""})
    assert got.status == 201
    assert got.headers["x-correlator"] == "made-by-ppcd"


def test_two_correlators_are_refused(world: World) -> None:
    world.peer.sends(
        b"GET /carrier-billing/v0.5/payments/1 HTTP/1.1\r\nHost: a\r\n"
        b"Authorization: Bearer demo-key\r\nX-Correlator: a\r\nX-Correlator: b\r\n\r\n"
    )
    assert world.peer.answer()[0] == 400


# -- retrievePayment


_REASON = DenialReason.INSUFFICIENT_FUNDS


@pytest.mark.parametrize(
    ("state", "reason", "status", "context", "denial"),
    [
        (State.AWAITING, None, "processing", "PPCD.AWAITING_REPLY", None),
        (State.CONFIRMED, None, "processing", "PPCD.DEBITING", None),
        (State.DEBITING, None, "processing", "PPCD.DEBITING", None),
        (State.IN_DOUBT, None, "processing", "PPCD.OUTCOME_PENDING", None),
        (State.REVIEW, None, "processing", "PPCD.OUTCOME_PENDING", None),
        (State.RESERVED, None, "reserved", None, None),
        (State.SUCCEEDED, None, "succeeded", None, None),
        (State.DENIED, _REASON, "denied", "PPCD.INSUFFICIENT_FUNDS", "INSUFFICIENT_FUNDS"),
        (State.DENIED, None, "denied", "PPCD.BILLING_REJECTED", "BILLING_REJECTED"),
        (State.DECLINED, None, "denied", "PPCD.USER_DECLINED", "USER_DECLINED"),
        (State.EXPIRED, None, "denied", "PPCD.CONFIRMATION_TIMEOUT", "CONFIRMATION_TIMEOUT"),
        (State.UNDELIVERABLE, None, "denied", "PPCD.PROMPT_UNDELIVERABLE", "PROMPT_UNDELIVERABLE"),
        (State.CANCELLED, None, "denied", "PPCD.CANCELLED_BY_MERCHANT", "CANCELLED_BY_MERCHANT"),
    ],
)
def test_every_state_has_its_words(
    world: World,
    state: State,
    reason: DenialReason | None,
    status: str,
    context: str | None,
    denial: str | None,
) -> None:
    charge_id = world.created()
    world.requests.becomes(charge_id, state, reason)
    got = world.ask("GET", f"{BASE}/payments/{charge_id}")
    assert got.status == 200
    assert got.json["paymentStatus"] == status
    assert got.json.get("contextCode") == context
    assert got.json.get("denialReason") == denial
    assert "paymentDate" not in got.json


def test_every_state_can_be_shown(world: World) -> None:
    charge_id = world.created()
    for state in State:
        world.requests.becomes(charge_id, state)
        assert world.ask("GET", f"{BASE}/payments/{charge_id}").status == 200


def test_a_paid_payment_says_when_and_under_what_reference(world: World) -> None:
    charge_id = world.created()
    world.requests.becomes(charge_id, State.SUCCEEDED, paid_at=PAID_AT, billing_reference='B"1')
    payment = world.ask("GET", f"{BASE}/payments/{charge_id}").json
    assert payment["paymentDate"] == "2026-11-23T09:00:07.005Z"
    assert payment["amountTransaction"]["serverReferenceCode"] == 'B"1'


def test_resources_have_the_public_url() -> None:
    world = World(public_url="https://pay.example.net")
    got = world.create()
    url = f"https://pay.example.net{BASE}/payments/{got.json['paymentId']}"
    assert got.json["amountTransaction"]["resourceURL"] == url
    assert got.headers["location"] == url.lower()


@pytest.mark.parametrize(
    "payment_id",
    ["1", "0", "-1", "01", "abc", "9" * 19, "9" * 25, "1.0", "%D9%A1", "1%00", "%20", "1%2F2"],
)
def test_unknown_ids_are_404(world: World, payment_id: str) -> None:
    for method, path, body in (("GET", "", None), ("POST", "/cancel", {"phoneNumber": PHONE})):
        got = world.ask(method, f"{BASE}/payments/{payment_id}{path}", body)
        assert (got.status, got.code) == (404, "NOT_FOUND")
        assert got.message == "The specified resource is not found."


def test_another_partners_payment_looks_like_none(world: World) -> None:
    charge_id = world.created()
    theirs = world.ask("GET", f"{BASE}/payments/{charge_id}", key="other-key")
    none = world.ask("GET", f"{BASE}/payments/1", key="other-key")
    assert (theirs.status, theirs.body) == (none.status, none.body) == (404, none.body)
    got = world.ask(
        "POST", f"{BASE}/payments/{charge_id}/cancel", {"phoneNumber": PHONE}, key="other-key"
    )
    assert got.status == 404
    assert world.requests.cancelled == []


@pytest.mark.parametrize(
    ("query", "wait_s"),
    [("", 0), ("?wait=0", 0), ("?wait=25", 25), ("?wait=2.5", 2.5), ("?wait=31", 30),
     ("?wait=999999", 30), ("?other=1", 0)],
)  # fmt: skip
def test_how_long_it_waits(world: World, query: str, wait_s: float) -> None:
    charge_id = world.created()
    assert world.ask("GET", f"{BASE}/payments/{charge_id}{query}").status == 200
    assert world.requests.waits == [wait_s]


@pytest.mark.parametrize(
    "query", ["?wait=", "?wait=-1", "?wait=soon", "?wait=1&wait=2", "?wait=1e9", "?wait=%ff",
              "?wait=9999999", "?" + "a=1&" * 200]
)  # fmt: skip
def test_a_wait_that_is_none_is_an_error(world: World, query: str) -> None:
    got = world.ask("GET", f"{BASE}/payments/1{query}")
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert got.message.startswith("wait ")


def test_a_wait_outlives_the_deadline_of_other_requests(world: World) -> None:
    charge_id = world.created()
    world.requests.waiting = Deferred()
    world.sends("GET", f"{BASE}/payments/{charge_id}?wait=30")
    world.clock.advance(29.9)
    assert world.peer.got() == b""
    world.requests.waiting.callback(None)
    assert world.peer.answer()[0] == 200


def test_a_client_that_stops_waiting_is_forgotten(world: World) -> None:
    charge_id = world.created()
    world.requests.waiting = Deferred()
    world.sends("GET", f"{BASE}/payments/{charge_id}?wait=30")
    world.peer.hangs_up()
    assert world.seen[-1].status == CLIENT_GONE


# -- cancelPayment


def _cancel(world: World, charge_id: int, body: Any = None) -> Any:
    body = {"phoneNumber": PHONE} if body is None else body
    return world.ask("POST", f"{BASE}/payments/{charge_id}/cancel", body)


def test_a_cancel_is_accepted_without_a_body(world: World) -> None:
    charge_id = world.created()
    got = _cancel(world, charge_id)
    assert (got.status, got.body) == (202, b"")
    assert got.headers["content-length"] == "0"
    assert world.requests.cancelled == [charge_id]


@pytest.mark.parametrize(
    ("result", "status", "code", "message"),
    [
        (
            flow.AlreadyConfirmed(),
            409,
            "CARRIER_BILLING.PAYMENT_CONFIRMED",
            "Payment has been confirmed.",
        ),
        (
            flow.AlreadyCancelled(),
            409,
            "CARRIER_BILLING.PAYMENT_CANCELLED",
            "Payment has been cancelled.",
        ),
        (
            flow.AlreadyEnded(State.EXPIRED),
            409,
            "CARRIER_BILLING.PAYMENT_CANCELLED",
            "Payment has been cancelled.",
        ),
        (flow.NotFound(), 404, "NOT_FOUND", "The specified resource is not found."),
    ],
)
def test_why_a_cancel_fails(
    world: World, result: Any, status: int, code: str, message: str
) -> None:
    charge_id = world.created()
    world.requests.cancel_result = result
    got = _cancel(world, charge_id)
    assert (got.status, got.code, got.message) == (status, code, message)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "MISSING_IDENTIFIER"),
        ({"phoneNumber": "+380971234568"}, 404, "IDENTIFIER_NOT_FOUND"),
        ({"phoneNumber": "0971234567"}, 400, "INVALID_ARGUMENT"),
        ({"phoneNumber": None}, 400, "INVALID_ARGUMENT"),
        ({"phoneNumber": PHONE, "reason": "x"}, 400, "INVALID_ARGUMENT"),
        (b"", 400, "INVALID_ARGUMENT"),
        (b"[]", 400, "INVALID_ARGUMENT"),
    ],
)
def test_a_cancel_names_the_number(world: World, body: Any, status: int, code: str) -> None:
    charge_id = world.created()
    got = _cancel(world, charge_id, body)
    assert (got.status, got.code) == (status, code)
    assert world.requests.cancelled == []


# -- when things break


@pytest.mark.parametrize("failure", [NotApplied("no connection"), OutcomeUnknown("lost")])
def test_without_the_store_it_is_503_and_try_again(world: World, failure: Exception) -> None:
    world.requests.failure = failure
    got = world.create()
    assert (got.status, got.code) == (503, "UNAVAILABLE")
    assert got.headers["retry-after"] == "1"
    assert b"connection" not in got.body


def test_a_bug_is_500_without_its_story(world: World, criticals: Criticals) -> None:
    world.requests.failure = RuntimeError("secret")
    got = world.create()
    assert (got.status, got.code) == (500, "INTERNAL")
    assert b"secret" not in got.body
    assert got.headers["x-correlator"] == "made-by-ppcd"
    assert len(criticals.take()) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/payments", 405, "options, post"),
        ("DELETE", "/payments/1", 405, "get, head, options"),
        ("GET", "/payments/1/cancel", 405, "options, post"),
        ("POST", "/payments/1/confirm", 404, None),
        ("GET", "/metrics", 404, None),
        ("GET", "/../openapi/carrier-billing.yaml", 404, None),
    ],
)
def test_other_methods_and_paths(
    world: World, method: str, path: str, status: int, allow: str | None
) -> None:
    got = world.ask(method, BASE + path)
    assert got.status == status
    assert got.json["status"] == status
    assert got.headers.get("allow") == allow


def test_answers_are_not_to_be_stored(world: World) -> None:
    assert world.create().headers["cache-control"] == "no-store"
    assert world.create(key=None).headers["cache-control"] == "no-store"


def test_routes_are_observed_by_their_templates(world: World) -> None:
    charge_id = world.created()
    world.ask("GET", f"{BASE}/payments/{charge_id}")
    assert [(seen.route, seen.status) for seen in world.seen] == [
        (f"{BASE}/payments", 201),
        (f"{BASE}/payments/{{paymentId}}", 200),
    ]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", None),
        ("en", "en"),
        ("EN-us", "en"),
        ("de", None),
        ("*", None),
        ("uk;q=0", None),
        ("ru;q=0.3, en;q=0.4", "en"),
        ("ru, en", "ru"),
        ("ru;q=0.001", "ru"),
        (";;q=,,uk;q=9", None),
        ("ukr", None),
    ],
)
def test_the_language_asked_for(world: World, header: str, language: str | None) -> None:
    world.create(headers={"Accept-Language": header})
    assert world.requests.orders[0].language == language
