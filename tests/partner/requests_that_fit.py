"""Hooks of schemathesis: most requests that are well formed are also made to be for a phone that
there is, in money that it has. Else hardly any would get beyond the first look, and answers to
payments that exist would never be seen.
"""

import json
import re
import zlib
from typing import Any, Final

import schemathesis

_PHONE: Final = re.compile(r"\+[1-9][0-9]{4,14}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_HTTPS: Final = re.compile(r"https://[a-z0-9.-]+/?")


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
    """Only values that are good already: what is bad must be seen to be refused."""
    for name, pattern, make in (
        # Few phones: those of the payments that there are should come again.
        ("phoneNumber", _PHONE, lambda given: f"+38097000{zlib.crc32(given.encode()) % 500:04}"),
        ("currency", _CURRENCY, lambda given: "UAH"),
        ("sink", _HTTPS, lambda given: "https://127.0.0.1/"),
    ):
        value = part.get(name)
        if isinstance(value, str) and pattern.fullmatch(value):
            part[name] = make(value)
    amount = part.get("amount")
    if type(amount) in (int, float) and amount >= 1:
        part["amount"] = max(round(amount % 100, 2), 1)
    if isinstance(part.get("productId"), str):
        del part["productId"]
    tariffs = part.get("tariffs")
    priced = part.keys() & {"amount", "currency", "description"}
    if isinstance(tariffs, list) and len(tariffs) == 1 and not priced:
        # A payment page's, of which this partner has none: the amount says it as well.
        del part["tariffs"]
        part |= {"amount": 25, "currency": "UAH", "description": "250 gold"}
