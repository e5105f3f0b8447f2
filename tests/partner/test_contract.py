"""The file that we serve says what we do: routes, models, statuses, bodies."""

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from openapi_spec_validator import validate
from pydantic import BaseModel

from ppcd.charge.debit import DenialReason
from ppcd.charge.reservation import Decision
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.flow.reservation import Decided, DecidedBefore, NotReserved
from ppcd.flow.validation import Validated
from ppcd.partner import wire
from ppcd.partner.errors import Problem
from ppcd.partner.payments import STATUS
from ppcd.partner.scopes import Scope
from ppcd.store.failures import NotApplied
from ppcd.store.limits import Limit, OverLimit
from ppcd.store.subscribers import Spared, Why
from tests.partner.test_events import an_event
from tests.partner.world import BASE, PAID_AT, PHONE, Got, World, a_payment

TEXT = files("ppcd.partner").joinpath("openapi/carrier-billing.yaml").read_text()
CONTRACT: dict[str, Any] = yaml.safe_load(TEXT)
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in CONTRACT["paths"].items()
    for method, operation in methods.items()
}


_LISTS = ("X-Total-Count", "Content-Last-Key")


def _resolved(value: Any) -> Any:
    """References opened, for reading properties; schemas themselves are not recursive."""
    if isinstance(value, dict) and "$ref" in value:
        *_, kind, name = value["$ref"].split("/")
        return _resolved(CONTRACT["components"][kind][name])
    return value


def _check(schema: Any, instance: Any) -> None:
    whole = {"components": CONTRACT["components"], **schema}
    OAS30Validator(whole, format_checker=oas30_format_checker).validate(instance)


def _check_answer(operation_id: str, got: Got) -> None:
    """The answer is one that the contract names for this operation."""
    _, _, operation = OPERATIONS[operation_id]
    assert str(got.status) in operation["responses"], f"{got.status} is not documented"
    response = _resolved(operation["responses"][str(got.status)])
    for name in response["headers"]:
        if name in (
            "x-correlator",
            "Location",
            "WWW-Authenticate",
            "Retry-After",
            "Allow",
            *_LISTS,
        ):
            assert name.lower() in got.headers, name
    if "content" in response:
        assert got.headers["content-type"] == "application/json"
        _check(response["content"]["application/json"]["schema"], json.loads(got.body))
    else:
        assert got.body == b""


def test_the_contract_is_a_valid_specification() -> None:
    validate(CONTRACT)


def test_it_is_served_without_a_key() -> None:
    got = World().ask("GET", "/openapi/carrier-billing.yaml", key=None)
    assert got.status == 200
    assert got.headers["content-type"] == "application/yaml"
    assert got.body.decode() == TEXT


def test_the_licence_comes_along() -> None:
    licence = files("ppcd.partner").joinpath("openapi/LICENSE").read_text()
    assert "Apache License" in licence
    assert "Apache License 2.0" in TEXT


def test_routes_are_the_contracts_operations() -> None:
    routes = {(route.method, route.template) for route in World().router.routes}
    served = {(method, BASE + path) for method, path, _ in OPERATIONS.values()}
    assert routes == served | {("GET", "/openapi/carrier-billing.yaml")}
    assert CONTRACT["servers"][0]["url"] == "{apiRoot}" + BASE


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (wire.CreatePayment, "CreatePayment"),
        (wire.AmountTransaction, "AmountTransactionInput"),
        (wire.PaymentAmount, "PaymentAmountForCharge"),
        (wire.ChargingInformation, "ChargingInformation"),
        (wire.ChargingMetaData, "ChargingMetaData"),
        (wire.PaymentItem, "PaymentItem"),
        (wire.SecondStepOf, "PhoneNumber"),
        (wire.ValidatePayment, "ValidatePayment"),
    ],
)
def test_models_are_the_contracts_schemas(model: type[BaseModel], schema: str) -> None:
    said = CONTRACT["components"]["schemas"][schema]
    fields = {field.alias: field for field in model.model_fields.values()}
    assert set(fields) == set(said["properties"])
    required = {name for name, field in fields.items() if field.is_required()}
    assert required == set(said.get("required", ()))
    assert said["additionalProperties"] is False


def test_every_problem_is_documented_with_its_message() -> None:
    documented = {
        (example["value"]["status"], example["value"]["code"], example["value"]["message"])
        for response in CONTRACT["components"]["responses"].values()
        for content in response["content"].values()
        for example in content["examples"].values()
    }
    # The parser's own refusal, before there is an operation.
    beyond = {Problem.HEADERS_TOO_LARGE}
    for problem in set(Problem) - beyond:
        assert problem.value in documented, problem


def test_all_tokens_are_documented() -> None:
    payment = CONTRACT["components"]["schemas"]["Payment"]["properties"]
    for reason in DenialReason:
        assert f"`{reason.value}`" in payment["denialReason"]["description"]
    for status, context in STATUS.values():
        assert status in payment["paymentStatus"]["enum"]
        assert context is None or f"`{context}`" in payment["contextCode"]["description"]


def _requests() -> list[Any]:
    """Bodies of createPayment for every answer that it can have."""
    return [
        a_payment(),
        a_payment(amount="x"),
        a_payment(currency="XXX"),
        a_payment(phone=None),
        a_payment(sink="x"),
        a_payment(sinkCredential={"credentialType": "PLAIN"}),
        a_payment(productId="gold-250", amount=1),
        b"{",
    ]


def test_answers_to_create_are_the_contracts() -> None:
    world = World()
    for body in _requests():
        _check_answer("createPayment", world.create(body))
    _check_answer("createPayment", world.create(key=None))
    _check_answer("createPayment", world.create(headers={"Content-Type": "text/plain"}))
    for result in (
        flow.CorrelatorTaken(),
        flow.ReferenceTaken(),
        flow.NoFreeAddress(),
        flow.NotServed(),
        *(Spared(why, 60) for why in Why),
        *(OverLimit(limit) for limit in Limit),
        flow.Busy(1),
    ):
        world.requests.create_result = result
        _check_answer("createPayment", world.create())
    world.requests.failure = NotApplied()
    _check_answer("createPayment", world.create())
    got = world.create(a_payment(description="x" * 70_000))
    assert got.status == 413
    _check_answer("createPayment", got)


def test_the_check_itself_finds_what_is_wrong() -> None:
    with pytest.raises(ValidationError):
        _check({"$ref": "#/components/schemas/Payment"}, {"paymentId": "1"})
    with pytest.raises(ValidationError):
        _check({"$ref": "#/components/schemas/CreatePayment"}, a_payment(currency=5))
    event = an_event(State.SUCCEEDED)
    del event["data"]["paymentDate"]
    with pytest.raises(ValidationError):
        _check({"$ref": "#/components/schemas/EventPaymentCompleted"}, event)


def test_what_we_accept_the_contract_allows() -> None:
    schema = {"$ref": "#/components/schemas/CreatePayment"}
    for changes in ({}, {"sink": "https://a.example/"}, {"fee": 12.5, "channel": "web"}):
        body = a_payment(**changes)
        assert World().create(body).status == 201
        _check(schema, body)


def test_answers_to_prepare_are_the_contracts() -> None:
    world = World()
    for body in _requests():
        _check_answer("preparePayment", world.prepare(body))
    world.requests.authorization_id = "abc"
    got = world.prepare(a_payment(correlator="another", reference="another"))
    assert got.json["validationInfo"] == {"action": "validate", "authorizationId": "abc"}
    _check({"$ref": "#/components/schemas/Validate"}, got.json["validationInfo"])
    _check_answer("preparePayment", got)
    for result in (flow.CannotReserve(), flow.NoFreeAddress(), flow.Busy(1)):
        world.requests.create_result = result
        _check_answer("preparePayment", world.prepare())


def test_answers_to_confirm_and_cancel_what_is_prepared_are_the_contracts() -> None:
    world = World()
    charge_id = world.prepared()
    view = world.requests.charges[charge_id][1]
    results = [
        Decided(),
        *map(DecidedBefore, Decision),
        flow.NotFound(),
        *(NotReserved(replace(view, state=state)) for state in State),
    ]
    for operation in ("confirm", "cancel"):
        path = f"{BASE}/payments/{charge_id}/{operation}"
        for body in ({"phoneNumber": PHONE}, {}, {"phoneNumber": "+380000000"}, [], {"x": 1}):
            _check_answer(f"{operation}Payment", world.ask("POST", path, body))
        for result in results:
            world.reservations.result = result
            got = world.ask("POST", path, {"phoneNumber": PHONE})
            _check_answer(f"{operation}Payment", got)


def test_answers_to_validate_are_the_contracts() -> None:
    world = World()
    path = f"{BASE}/payments/{world.prepared()}/validate"
    right = {"authorizationId": "abc", "code": "123456"}
    for body in (right, {}, {"code": "1"}, {"authorizationId": "abc"}, right | {"x": 1}, []):
        _check_answer("validatePayment", world.ask("POST", path, body))
    for result in Validated:
        world.validations.result = result
        _check_answer("validatePayment", world.ask("POST", path, right))


def test_answers_to_retrieve_are_the_contracts() -> None:
    world = World()
    charge_id = world.created(sink="https://a.example/")
    for state in State:
        paid = {"paid_at": PAID_AT, "billing_reference": "B1"} if state == "succeeded" else {}
        world.requests.becomes(charge_id, state, **paid)
        got = world.ask("GET", f"{BASE}/payments/{charge_id}?wait=0")
        assert got.status == 200
        _check_answer("retrievePayment", got)
    for path, key in (("1", "demo-key"), ("1?wait=x", "demo-key"), ("1", None)):
        got = world.ask("GET", f"{BASE}/payments/{path}", key=key)
        _check_answer("retrievePayment", got)


def test_answers_to_lists_are_the_contracts() -> None:
    world = World()
    world.created(sink="https://a.example/")
    for query in ("", "?page=7", "?page=0", "?page=x", "?paymentCreationDate.gte=x"):
        _check_answer("retrievePayments", world.ask("GET", f"{BASE}/payments{query}"))
    world.listings.too_many = True
    _check_answer("retrievePayments", world.ask("GET", f"{BASE}/payments"))
    _check_answer("retrievePayments", world.ask("GET", f"{BASE}/payments", key=None))


def test_a_missing_scope_is_answered_as_the_contract_says() -> None:
    world = World()
    world.requests.keys["none"] = replace(world.requests.shop, scopes=frozenset())
    for operation_id, (method, path, _) in OPERATIONS.items():
        got = world.ask(method, BASE + path.replace("{paymentId}", "1"), key="none")
        assert got.code == "PERMISSION_DENIED"
        _check_answer(operation_id, got)


def test_every_scope_is_in_the_contract() -> None:
    said = CONTRACT["components"]["securitySchemes"]["partnerKey"]["description"]
    mine = [scope for scope in Scope if not scope.startswith("carrier-billing-refund:")]
    assert all(f"`{scope}`" in said for scope in mine)


def test_answers_to_cancel_are_the_contracts() -> None:
    world = World()
    path = f"{BASE}/payments/{world.created()}/cancel"
    for body in ({"phoneNumber": PHONE}, {}, {"phoneNumber": "+380000000"}, [], {"x": 1}):
        _check_answer("cancelPayment", world.ask("POST", path, body))
    for result in (
        flow.AlreadyConfirmed(),
        flow.AlreadyCancelled(),
        flow.AlreadyEnded(State.DECLINED),
        flow.NotFound(),
    ):
        world.requests.cancel_result = result
        _check_answer("cancelPayment", world.ask("POST", path, {"phoneNumber": PHONE}))


@pytest.mark.parametrize("state", [None, State.RESERVED, State.CANCELLED])
def test_events_of_two_steps_are_the_contracts(state: State | None) -> None:
    event = an_event(state, was_reserved=True)
    mapping = CONTRACT["components"]["schemas"]["CloudEvent"]["discriminator"]["mapping"]
    _check({"$ref": mapping[event["type"]]}, event)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.DENIED, State.DECLINED, State.CANCELLED])
def test_events_are_the_contracts(state: State) -> None:
    event = an_event(state)
    mapping = CONTRACT["components"]["schemas"]["CloudEvent"]["discriminator"]["mapping"]
    _check({"$ref": mapping[event["type"]]}, event)
