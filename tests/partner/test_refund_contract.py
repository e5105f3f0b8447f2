"""The refund file that we serve says what we do, and is CAMARA's in all that CAMARA says."""

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from openapi_spec_validator import validate
from pydantic import BaseModel

from ppcd.charge.debit import DenialReason
from ppcd.charge.refund import RefundState, Refusal
from ppcd.flow.refund_requests import Obstacle, RefundOfOlder
from ppcd.flow.request import Busy
from ppcd.partner import wire
from ppcd.partner.errors import RefundProblem
from ppcd.partner.refunds import REFUND_STATUS
from ppcd.partner.scopes import Scope
from tests.partner.refund_world import (
    REFUND_BASE,
    RefundWorld,
    a_refund,
    a_total_refund,
)
from tests.partner.test_events import a_refund_event
from tests.partner.world import Got

TEXT = files("ppcd.partner").joinpath("openapi/carrier-billing-refund.yaml").read_text()
CONTRACT: dict[str, Any] = yaml.safe_load(TEXT)
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in CONTRACT["paths"].items()
    for method, operation in methods.items()
}
ALWAYS = {"x-correlator", "X-Total-Count", "Content-Last-Key", "Location", "Retry-After", "Allow"}


def _resolved(value: Any) -> Any:
    if isinstance(value, dict) and "$ref" in value:
        *_, kind, name = value["$ref"].split("/")
        return _resolved(CONTRACT["components"][kind][name])
    return value


def _check(schema: Any, instance: Any) -> None:
    whole = {"components": CONTRACT["components"], **schema}
    OAS30Validator(whole, format_checker=oas30_format_checker).validate(instance)


def _check_refund(refund: dict[str, Any]) -> None:
    """The discriminator chooses, as a generated client does."""
    mapping = CONTRACT["components"]["schemas"]["Refund"]["discriminator"]["mapping"]
    _check({"$ref": mapping[refund["type"]]}, refund)


def _check_answer(operation_id: str, got: Got) -> None:
    _, _, operation = OPERATIONS[operation_id]
    assert str(got.status) in operation["responses"], f"{got.status} is not documented"
    response = _resolved(operation["responses"][str(got.status)])
    for name in ALWAYS & set(response["headers"]):
        assert name.lower() in got.headers, name
    assert got.headers["content-type"] == "application/json"
    body = json.loads(got.body)
    _check(response["content"]["application/json"]["schema"], body)
    if got.status < 300 and operation_id != "retrievePaymentRemainingAmount":
        for refund in body if isinstance(body, list) else [body]:
            _check_refund(refund)


def test_the_contract_is_a_valid_specification_and_is_served_without_a_key() -> None:
    validate(CONTRACT)
    got = RefundWorld().ask("GET", "/openapi/carrier-billing-refund.yaml", key=None)
    assert got.body.decode() == TEXT
    assert "Apache License 2.0" in TEXT


def test_routes_are_the_contracts_operations() -> None:
    world = RefundWorld()
    routes = {(r.method, r.template) for r in world.router.routes if "refund" in r.template}
    served = {(method, REFUND_BASE + path) for method, path, _ in OPERATIONS.values()}
    assert routes == served | {("GET", "/openapi/carrier-billing-refund.yaml")}
    assert CONTRACT["servers"][0]["url"] == "{apiRoot}" + REFUND_BASE


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (wire.TotalRefundTransaction, "AmountTransactionTotalRefund"),
        (wire.PartialRefundTransaction, "AmountTransactionPartialRefund"),
        (wire.TotalRefundAmount, "RefundAmountTotalRefund"),
        (wire.PartialRefundAmount, "RefundAmountPartialRefund"),
        (wire.ChargingInformation, "ChargingInformation"),
        (wire.RefundMetaData, "ChargingMetaData"),
        (wire.RefundItem, "RefundItem"),
    ],
)
def test_models_are_the_contracts_schemas(model: type[BaseModel], schema: str) -> None:
    said = CONTRACT["components"]["schemas"][schema]
    fields = {field.alias: field for field in model.model_fields.values()}
    assert set(fields) == set(said["properties"])
    required = {name for name, field in fields.items() if field.is_required()}
    assert required == set(said.get("required", ()))
    assert said["additionalProperties"] is False


@pytest.mark.parametrize("model", [wire.CreateTotalRefund, wire.CreatePartialRefund])
def test_the_whole_request_is_the_contracts(model: type[BaseModel]) -> None:
    schemas = CONTRACT["components"]["schemas"]
    common, own = schemas[model.__name__]["allOf"]
    said = {**_resolved(common)["properties"], **own["properties"]}
    assert {field.alias for field in model.model_fields.values()} == set(said)


def test_every_problem_is_documented_with_its_message() -> None:
    documented = {
        (example["value"]["status"], example["value"]["code"], example["value"]["message"])
        for response in CONTRACT["components"]["responses"].values()
        for content in response["content"].values()
        for example in content["examples"].values()
    }
    for problem in RefundProblem:
        assert problem.value in documented, problem


def test_all_tokens_and_scopes_are_documented() -> None:
    refund = CONTRACT["components"]["schemas"]["Refund"]["properties"]
    for status, context in REFUND_STATUS.values():
        assert f"`{status}`" in refund["refundStatus"]["description"]
        assert context is None or f"`{context}`" in refund["contextCode"]["description"]
    said = CONTRACT["components"]["securitySchemes"]["partnerKey"]["description"]
    mine = [scope for scope in Scope if scope.startswith("carrier-billing-refund:")]
    assert all(f"`{scope}`" in said for scope in mine)


def test_answers_to_create_are_the_contracts() -> None:
    world = RefundWorld()
    for body in (
        *(a_refund(), a_total_refund(), a_refund(reason="x", sink="https://a.example/")),
        *(a_refund(amount="x"), a_refund(currency="XXX"), a_refund(sink="x"), b"{"),
        *(a_refund(isTaxIncluded=True), a_refund(sinkCredential={"credentialType": "PLAIN"})),
    ):
        _check_answer("createRefund", world.refund(body))
    _check_answer("createRefund", world.refund(key=None))
    _check_answer("createRefund", world.refund(headers={"Content-Type": "text/plain"}))
    _check_answer("createRefund", world.ask("POST", world.at(payment=1), a_refund()))
    for result in (*Refusal, *Obstacle, RefundOfOlder(), Busy(1)):
        world.refunds.create_result = result
        _check_answer("createRefund", world.refund())
    got = world.refund(a_refund(description="x" * 70_000))
    assert got.status == 413
    _check_answer("createRefund", got)


def test_what_we_accept_the_contract_allows() -> None:
    mapping = CONTRACT["components"]["schemas"]["CreateRefund"]["discriminator"]["mapping"]
    for body in (a_refund(reason="x"), a_total_refund(sink="https://a.example/")):
        assert RefundWorld().refund(body).status == 201
        _check({"$ref": mapping[body["type"]]}, body)


@pytest.mark.parametrize("state", list(RefundState))
def test_answers_to_reading_are_the_contracts(state: RefundState) -> None:
    world = RefundWorld()
    ids = [world.refunded(a_refund()), world.refunded(a_total_refund())]
    for refund_id in ids:
        denied = DenialReason.BILLING_REJECTED if state is RefundState.DENIED else None
        world.refunds.becomes(refund_id, state, denied)
        _check_answer("retrieveRefund", world.ask("GET", world.at(f"/{refund_id}")))
    for query in ("", "?page=7", "?page=0", "?page=x", "?refundCreationDate.gte=x"):
        _check_answer("retrieveRefunds", world.ask("GET", world.at(query)))
    world.refunds.too_many = True
    _check_answer("retrieveRefunds", world.ask("GET", world.at()))
    for minor in (0, 1, 2500):
        world.refunds.left_minor = minor
        got = world.ask("GET", world.at("/remaining-amount"))
        _check_answer("retrievePaymentRemainingAmount", got)
    for name, path in (
        ("retrieveRefund", "/1"),
        ("retrieveRefunds", ""),
        ("retrievePaymentRemainingAmount", "/remaining-amount"),
    ):
        _check_answer(name, world.ask("GET", world.at(path, payment=1)))
        _check_answer(name, world.ask("GET", world.at(path), key=None))


def test_a_missing_scope_is_answered_as_the_contract_says() -> None:
    world = RefundWorld()
    world.requests.keys["none"] = replace(world.requests.shop, scopes=frozenset())
    for operation_id, (method, path, _) in OPERATIONS.items():
        here = path.replace("{paymentId}", "1").replace("{refundId}", "1")
        got = world.ask(method, REFUND_BASE + here, key="none")
        assert got.code == "PERMISSION_DENIED"
        _check_answer(operation_id, got)


@pytest.mark.parametrize("reason", [None, DenialReason.SERVICE_DENIED])
def test_events_are_the_contracts(reason: DenialReason | None) -> None:
    event = a_refund_event(reason)
    mapping = CONTRACT["components"]["schemas"]["CloudEvent"]["discriminator"]["mapping"]
    _check({"$ref": mapping[event["type"]]}, event)
