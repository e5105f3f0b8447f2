"""Hooks of schemathesis: most requests that are well formed are also made to be for a phone that
there is, in money that it has. Else hardly any would get beyond the first look, and answers to
payments that exist would never be seen.
"""

import json
import zlib
from typing import Any

import schemathesis


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    if _chosen(body):
        for part in _objects(body):
            _fit(part)
    return body


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    # A wait that is one may be long, and says nothing more for that.
    if isinstance(query, dict) and isinstance(query.get("wait"), int | float):
        query["wait"] = min(query["wait"], 0.01) if query["wait"] > 0 else query["wait"]
    return query


def _chosen(body: Any) -> bool:
    """Three of four, and the same ones whenever a run is repeated."""
    try:
        return zlib.crc32(json.dumps(body, sort_keys=True).encode()) % 4 > 0
    except (TypeError, ValueError):
        return False


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(found for part in value.values() for found in _objects(part))]
    if isinstance(value, list):
        return [found for part in value for found in _objects(part)]
    return []


def _fit(part: dict[str, Any]) -> None:
    phone, amount = part.get("phoneNumber"), part.get("amount")
    if isinstance(phone, str) and phone[1:].isdigit():
        # Few phones: those of the payments that there are should come again.
        part["phoneNumber"] = f"+38097000{zlib.crc32(phone.encode()) % 500:04}"
    if isinstance(amount, int | float) and not isinstance(amount, bool) and amount > 0:
        part["amount"] = max(round(amount % 100, 2), 0.01)
    if isinstance(part.get("currency"), str):
        part["currency"] = "UAH"
    part.pop("productId", None)
    if isinstance(part.get("tariffs"), list):
        # A payment page's, of which this partner has none: the amount says it as well.
        del part["tariffs"]
        part |= {"amount": 25, "currency": "UAH", "description": "250 gold"}
        for name in ("successUrl", "cancelUrl", "branding", "variant"):
            part.pop(name, None)
    if isinstance(part.get("sink"), str):
        del part["sink"]
        part.pop("sinkCredential", None)
