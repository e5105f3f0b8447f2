"""Every error code and every word of CAMARA's files: what makes ppcd send it; or that it never
does, which the partners' page then says with the reason.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ppcd.charge.debit import DenialReason
from ppcd.charge.refund import RefundState, Refusal
from ppcd.charge.reservation import Decision
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.flow.refund_requests import Obstacle, RefundOfOlder
from ppcd.flow.reservation import DecidedBefore, NotReserved
from ppcd.flow.validation import Validated
from ppcd.partner.payments import status_of
from ppcd.partner.refunds import REFUND_STATUS
from ppcd.store.limits import Limit, OverLimit
from ppcd.store.subscribers import Spared, Why
from tests.partner.refund_world import REFUND_BASE, RefundWorld, a_refund
from tests.partner.test_events import a_refund_event, an_event
from tests.partner.world import BASE, PHONE, Got, a_payment

#: As published.
FILES = {
    base: yaml.safe_load((Path(__file__).parent / "camara" / f"{name}.yaml").read_text())
    for base, name in ((BASE, "carrier-billing"), (REFUND_BASE, "carrier-billing-refund"))
}
PAGE = (Path(__file__).parents[2] / "docs/partner-api.md").read_text()

Case = tuple[str, str]  #: operation and code, without the API's prefix
Proof = Callable[[RefundWorld], Got]


def _short(code: str) -> str:
    return code.rpartition(".")[2]


def _opened(contract: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    *_, kind, name = value["$ref"].split("/")
    found: dict[str, Any] = contract["components"][kind][name]
    return found


def _codes(contract: dict[str, Any], operation: dict[str, Any]) -> set[tuple[int, str]]:
    """Status and code of all errors of an operation."""
    found = set()
    for status, response in operation["responses"].items():
        content = _opened(contract, response).get("content", {})
        for part in content.get("application/json", {}).get("schema", {}).get("allOf", ()):
            codes = part.get("properties", {}).get("code", {}).get("enum", ())
            found |= {(int(status), code) for code in codes}
    return found


#: By name: method, path, and status and code of each error.
OPERATIONS = {
    operation["operationId"]: (method.upper(), base + path, _codes(contract, operation))
    for base, contract in FILES.items()
    for path, methods in contract["paths"].items()
    for method, operation in methods.items()
}
#: What partners' servers answer to events.
TO_EVENTS = {
    code
    for contract in FILES.values()
    for methods in contract["paths"].values()
    for operation in methods.values()
    for callback in operation.get("callbacks", {}).values()
    for post in callback.values()
    for _, code in _codes(contract, post["post"])
}
#: All that a field of a request, an answer or an event must be one of.
WORDS = {
    word
    for contract in FILES.values()
    for schema in contract["components"]["schemas"].values()
    for part in (schema, *schema.get("allOf", ()))
    for field in part.get("properties", {}).values()
    for word in field.get("enum", ())
}
EVENTS = {
    kind
    for contract in FILES.values()
    for kind in contract["components"]["schemas"]["CloudEvent"]["discriminator"]["mapping"]
}


# --- errors --------------------------------------------------------------------------------------


def _ask(world: RefundWorld, name: str, body: Any = None, **more: Any) -> Got:
    """That operation, about a payment that is not there, where it is about one."""
    method, path, _ = OPERATIONS[name]
    path = path.replace("{paymentId}", "1").replace("{refundId}", "1")
    return world.ask(method, path, body, **more)


def _without_scope(world: RefundWorld, name: str) -> Got:
    world.requests.keys["none"] = replace(world.requests.shop, scopes=frozenset())
    return _ask(world, name, key="none")


def _too_often(world: RefundWorld, name: str) -> Got:
    while (got := _ask(world, name)).status != 429:
        pass
    return got


#: How each operation comes to what all of them have.
EVERYWHERE: dict[str, Callable[[RefundWorld, str], Got]] = {
    "INVALID_ARGUMENT": lambda world, name: _ask(world, name, headers={"x-correlator": "a b"}),
    "UNAUTHENTICATED": lambda world, name: _ask(world, name, key=None),
    "PERMISSION_DENIED": _without_scope,
    "TOO_MANY_REQUESTS": _too_often,
}


def _asked(name: str, body: Any = None) -> Proof:
    return lambda world: _ask(world, name, body)


def _wanted(name: str, **changed: Any) -> Proof:
    return _asked(name, a_payment(**changed))


def _found(name: str, result: Any) -> Proof:
    """What `flow` finds when it is asked for a payment."""

    def ask(world: RefundWorld) -> Got:
        world.requests.create_result = result
        return _ask(world, name, a_payment())

    return ask


def _listed(name: str, query: str = "", *, too_many: bool = False) -> Proof:
    def ask(world: RefundWorld) -> Got:
        world.listings.too_many = world.refunds.too_many = too_many
        base = world.at() if name == "retrieveRefunds" else f"{BASE}/payments"
        return world.ask("GET", base + query)

    return ask


def _decided(name: str, result: Any, phone: str | None = PHONE) -> Proof:
    """confirmPayment or cancelPayment of a payment in two steps."""

    def ask(world: RefundWorld) -> Got:
        payment = world.prepared()
        if isinstance(result, State):
            view = replace(world.requests.charges[payment][1], state=result)
            world.reservations.result = NotReserved(view)
        elif result is not None:
            world.reservations.result = result
        path = OPERATIONS[name][1].replace("{paymentId}", str(payment))
        return world.ask("POST", path, {} if phone is None else {"phoneNumber": phone})

    return ask


def _validated(result: Validated) -> Proof:
    def ask(world: RefundWorld) -> Got:
        world.validations.result = result
        return _ask(world, "validatePayment", {"authorizationId": "a", "code": "123456"})

    return ask


def _refund(result: Any = None, **changed: Any) -> Proof:
    def ask(world: RefundWorld) -> Got:
        world.refunds.create_result = result
        return world.refund(a_refund(**changed))

    return ask


_CREDENTIAL = {
    "credentialType": "ACCESSTOKEN",
    "accessToken": "t",
    "accessTokenType": "bearer",
    "accessTokenExpiresUtc": "2100-01-01T00:00:00Z",
}
_SUNK = {"sink": "https://a.example/"}
_PLAIN = {"credentialType": "PLAIN", "identifier": "a", "secret": "b"}
_REFRESH = _CREDENTIAL | {"credentialType": "REFRESHTOKEN"}
_NOT_BEARER = _CREDENTIAL | {"accessTokenType": "mac"}
_ITEM = {"paymentItemId": "none", "amount": 1, "currency": "UAH", "description": "a sword"}

#: What only some have.
OWN: dict[Case, Proof] = {
    **{
        case: proof
        for name in ("createPayment", "preparePayment")
        for case, proof in {
            (name, "INVALID_CREDENTIAL"): _wanted(name, **_SUNK, sinkCredential=_PLAIN),
            (name, "INVALID_TOKEN"): _wanted(name, **_SUNK, sinkCredential=_NOT_BEARER),
            (name, "INVALID_SINK"): _wanted(name, sink="http://a.example/"),
            (name, "PAYMENT_DENIED"): _found(name, Spared(Why.BLOCKED, 60)),
            (name, "IDENTIFIER_NOT_FOUND"): _found(name, flow.NotServed()),
            (name, "ALREADY_EXISTS"): _found(name, flow.ReferenceTaken()),
            (name, "MISSING_IDENTIFIER"): _wanted(name, phone=None),
            (name, "UNAUTHORIZED_AMOUNT"): _wanted(name, productId="gold-250", amount=1),
            (name, "USER_AMOUNT_THRESHOLD_OVERPASSED"): _found(
                name, OverLimit(Limit.SUBSCRIBER_DAY)
            ),
        }.items()
    },
    ("preparePayment", "SERVICE_NOT_APPLICABLE"): _found("preparePayment", flow.CannotReserve()),
    **{
        case: proof
        for name in ("confirmPayment", "cancelPayment")
        for case, proof in {
            (name, "NOT_FOUND"): _decided(name, flow.NotFound()),
            (name, "IDENTIFIER_NOT_FOUND"): _decided(name, None, "+380970000000"),
            (name, "MISSING_IDENTIFIER"): _decided(name, None, None),
            (name, "PAYMENT_CONFIRMED"): _decided(name, DecidedBefore(Decision.CONFIRMED)),
            (name, "PAYMENT_CANCELLED"): _decided(name, DecidedBefore(Decision.CANCELLED)),
            (name, "SERVICE_NOT_APPLICABLE"): _decided(name, State.RESERVING),
        }.items()
    },
    ("confirmPayment", "PAYMENT_DENIED"): _decided("confirmPayment", State.DENIED),
    ("validatePayment", "INVALID_AUTHORIZATION_ID"): _validated(Validated.WRONG_AUTHORIZATION),
    ("validatePayment", "INVALID_CODE"): _validated(Validated.WRONG_CODE),
    ("validatePayment", "VALIDATION_FAILED"): _validated(Validated.FAILED),
    ("validatePayment", "NOT_FOUND"): _validated(Validated.NOT_FOUND),
    ("validatePayment", "ALREADY_EXISTS"): _validated(Validated.ALREADY),
    **{
        case: proof
        for name in ("retrievePayments", "retrieveRefunds")
        for date in (f"{name.removeprefix('retrieve')[:-1].lower()}CreationDate",)
        for case, proof in {
            (name, "OUT_OF_RANGE"): _listed(name, "?page=0"),
            (name, "INVALID_DATE_RANGE"): _listed(
                name, f"?{date}.gte=2026-11-24T00:00:00Z&{date}.lte=2026-11-23T00:00:00Z"
            ),
            (name, "TOO_MANY_MATCHING_RECORDS"): _listed(name, too_many=True),
        }.items()
    },
    **{
        (name, "NOT_FOUND"): _asked(name)
        for name in (
            *("retrievePayment", "retrieveRefund", "retrieveRefunds"),
            "retrievePaymentRemainingAmount",
        )
    },
    ("createRefund", "NOT_FOUND"): _asked("createRefund", a_refund()),
    ("createRefund", "INVALID_CREDENTIAL"): _refund(**_SUNK, sinkCredential=_REFRESH),
    ("createRefund", "INVALID_TOKEN"): _refund(**_SUNK, sinkCredential=_NOT_BEARER),
    ("createRefund", "INVALID_SINK"): _refund(sink="http://a.example/"),
    ("createRefund", "ALREADY_EXISTS"): _refund(Obstacle.REFERENCE_TAKEN),
    ("createRefund", "PAYMENT_NOT_ELIGIBLE_FOR_REFUND"): _refund(Obstacle.NOT_REVERSIBLE),
    ("createRefund", "UNAUTHORIZED_AMOUNT"): _refund(Refusal.TOO_MUCH),
    ("createRefund", "INVALID_PAYMENT_STATUS"): _refund(Refusal.NOT_PAID),
    ("createRefund", "TAXES_MANAGEMENT_MISMATCH"): _refund(isTaxIncluded=True),
    ("createRefund", "REFUND_DETAILS_MISMATCH"): _refund(refundDetails=[_ITEM]),
}

#: What ppcd has no occasion for; docs/partner-api.md says why.
NEVER: set[Case] = {
    *((name, "UNNECESSARY_IDENTIFIER") for name in ("createPayment", "preparePayment")),
    *((name, "UNNECESSARY_IDENTIFIER") for name in ("confirmPayment", "cancelPayment")),
    *((name, "ALREADY_EXISTS") for name in ("confirmPayment", "cancelPayment")),
    ("createPayment", "SERVICE_NOT_APPLICABLE"),
    ("createRefund", "REFUND_DENIED"),
    ("createRefund", "USER_AMOUNT_THRESHOLD_OVERPASSED"),
}
NAMED: dict[Case, tuple[int, str]] = {
    (name, _short(code)): (status, code)
    for name, (_, _, codes) in OPERATIONS.items()
    for status, code in codes
}


def test_each_error_of_each_operation_is_in_the_tables() -> None:
    everywhere = {(name, code) for name in OPERATIONS for code in EVERYWHERE}
    assert everywhere <= NAMED.keys()
    assert NAMED.keys() == everywhere | OWN.keys() | NEVER
    assert not NEVER & OWN.keys()


@pytest.mark.parametrize(
    "case", [case for case in NAMED if case not in NEVER], ids=lambda case: "-".join(case)
)
def test_an_error_of_the_specification_is_sent(case: Case) -> None:
    name, code = case
    world = RefundWorld(requests_per_s_max=1)
    got = EVERYWHERE[code](world, name) if code in EVERYWHERE else OWN[case](world)
    assert (got.status, got.code) == NAMED[case]


def test_a_correlator_used_for_another_request_is_an_invalid_argument() -> None:
    """CAMARA has it as an example of that code, for payments and refunds."""
    for proof in (_found("createPayment", flow.CorrelatorTaken()), _refund(RefundOfOlder())):
        got = proof(RefundWorld())
        assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
        assert got.message == "clientCorrelator already exist on server."


# --- other words ---------------------------------------------------------------------------------

#: Words of requests and answers that a test elsewhere or below sees taken or sent.
SEEN = {
    *("PLAIN", "REFRESHTOKEN", "ACCESSTOKEN", "bearer"),
    *("validate", "total", "partial", "succeeded", "failed"),
}


def _never_sent() -> str:
    """The page's own list."""
    title = "### What the specifications have and ppcd never sends\n"
    return PAGE.partition(title)[2].partition("\n## ")[0]


def test_every_other_word_is_used_or_listed() -> None:
    assert {"open"} | SEEN == WORDS
    assert "`open`" in _never_sent()
    assert RefundWorld().create(a_payment(**_SUNK, sinkCredential=_CREDENTIAL)).status == 201


def test_every_status_is_one_that_payments_and_refunds_have() -> None:
    payments = {
        status_of(state, was_reserved=was_reserved, by_pin=by_pin)[0]
        for state in State
        for was_reserved in (False, True)
        for by_pin in (False, True)
    }
    lists = [
        contract["components"]["parameters"][name]["schema"]["items"]["enum"]
        for contract, name in zip(FILES.values(), ("PaymentStatus", "RefundStatus"), strict=True)
    ]
    assert payments == set(lists[0])
    assert {REFUND_STATUS[state][0] for state in RefundState} == set(lists[1])


def test_every_kind_of_event_is_sent_or_listed() -> None:
    sent = {
        *(an_event(state)["type"] for state in (State.SUCCEEDED, State.DENIED, None)),
        *(
            an_event(state, was_reserved=True)["type"]
            for state in (State.RESERVED, State.CANCELLED)
        ),
        *(a_refund_event(reason)["type"] for reason in (None, DenialReason.SERVICE_DENIED)),
    }
    [missing] = EVENTS - sent
    assert sent < EVENTS
    assert f"`{missing.rpartition('.')[2]}`" in _never_sent()


def test_the_page_says_what_is_never_sent_and_nothing_else() -> None:
    listed = re.findall(r"^\| `([A-Z_.]+)`", _never_sent(), re.MULTILINE)
    assert {code for _, code in NEVER} == {_short(code) for code in listed}


def test_what_partners_may_answer_to_an_event_is_on_the_page() -> None:
    beyond = {code for codes in OPERATIONS.values() for _, code in codes[2]}
    assert TO_EVENTS - beyond == {"GONE"}
    assert "`410` ends it" in PAGE
