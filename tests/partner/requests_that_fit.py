"""Hooks of schemathesis: most requests that are well formed are also made to be for a phone that
there is, in money that it has, to a sink that is registered. Else hardly any would get beyond the
first look, and answers to payments that exist would never be seen.

Bodies that the specification refuses are left alone: they must be seen to be refused.
"""

import json
import os
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import schemathesis
import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker

ROOT = Path(__file__).parents[2]
#: Payments that have succeeded, and from which most of what is refunded can be taken.
PAID = [payment for payment in os.environ.get("PPCD_PAID", "").split(",") if payment]
CREATE_REFUND = "POST /payments/{paymentId}/refunds"
CREDENTIAL = {
    "credentialType": "ACCESSTOKEN",
    "accessToken": "t0ken",
    "accessTokenType": "bearer",
    "accessTokenExpiresUtc": "2100-01-01T00:00:00Z",
}


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    validator = _validator(context.operation.method.lower(), context.operation.path)
    if validator is not None and _chosen(body) and validator.is_valid(body):
        for part in _objects(body):
            _fit(part)
        if context.operation.label == CREATE_REFUND:
            _fit_refund(body)
    return body


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    # Refunds belong to what was paid, which no request of the tester's own becomes.
    if PAID and isinstance(path_parameters, dict) and "paymentId" in path_parameters:
        given = zlib.crc32(str(path_parameters["paymentId"]).encode())
        if given % 4 > 0:
            path_parameters["paymentId"] = PAID[given % len(PAID)]
    return path_parameters


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    # A wait that is one may be long, and says nothing more for that.
    if isinstance(query, dict) and isinstance(query.get("wait"), int | float):
        query["wait"] = min(query["wait"], 0.01) if query["wait"] > 0 else query["wait"]
    return query


@cache
def _validator(method: str, path: str) -> OAS30Validator | None:
    for file in ROOT.glob("ppcd/*/openapi/*.yaml"):
        contract = yaml.safe_load(file.read_text())
        operation = contract["paths"].get(path, {}).get(method, {})
        if "requestBody" in operation:
            [content] = operation["requestBody"]["content"].values()
            whole = {"components": contract["components"], **content["schema"]}
            return OAS30Validator(whole, format_checker=oas30_format_checker)
    return None


def _chosen(body: Any) -> bool:
    """Three of four, and the same ones whenever a run is repeated."""
    try:
        return _number_of(body) % 4 > 0
    except (TypeError, ValueError):
        return False


def _number_of(body: Any) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(found for part in value.values() for found in _objects(part))]
    if isinstance(value, list):
        return [found for part in value for found in _objects(part)]
    return []


def _fit_refund(body: dict[str, Any]) -> None:
    """What is to be refunded, which the specification hides behind a discriminator: no body made
    from it has it. Mostly small parts, and of each payment all that is left now and then.
    """
    given = _number_of(body)
    total = given % 40 == 1
    body["type"] = "total" if total else "partial"
    # Few correlators: some come again, and with other words.
    body["amountTransaction"] = {
        "referenceCode": f"refund-{given}",
        "clientCorrelator": f"refund-{given % 5000}",
        "refundAmount": {}
        if total
        else {"chargingInformation": {"amount": 1, "currency": "UAH", "description": "a part"}},
    }


def _fit(part: dict[str, Any]) -> None:
    if "phoneNumber" in part or "referenceCode" in part:
        # Few phones: those of the payments that there are should come again.
        given = str(part.get("phoneNumber", part.get("referenceCode")))
        part["phoneNumber"] = f"+38097000{zlib.crc32(given.encode()) % 500:04}"
    if "amount" in part:
        part["amount"] = max(round(part["amount"] % 100, 2), 1)
    for name, good in (
        ("currency", "UAH"),
        ("sink", "https://127.0.0.1/"),
        ("sinkCredential", CREDENTIAL),
    ):
        if name in part:
            part[name] = good
    if "isTaxIncluded" in part:
        part["isTaxIncluded"] = False
    for name in ("productId", "refundDetails"):
        part.pop(name, None)
    if "client_secret" in part or "grant_type" in part or "token" in part:
        # Forms of OAuth 2: who asks is said in the header.
        for name in ("client_id", "client_secret"):
            part.pop(name, None)
        if "scope" in part:
            part["scope"] = "carrier-billing:payments:read"
    if "tariffs" in part:
        # A payment page's, of which this partner has none: the amount says it as well.
        del part["tariffs"]
        part |= {"amount": 25, "currency": "UAH", "description": "250 gold"}
