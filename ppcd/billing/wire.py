"""An order as the bytes of a request, and an answer's bytes as what they say about the money.

Pure functions of the settings. Whatever the settings do not name is Unknown, never a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from ppcd.billing.settings import PLACEHOLDER, AnswerSettings, HttpBillingSettings, OrderField
from ppcd.charge.debit import Debited, DebitOrder, Denied, Unknown
from ppcd.charge.money import to_decimal_text

#: Billing's own words are kept as evidence; more than this of them is noise.
CODE_LENGTH_MAX: Final = 64
REFERENCE_LENGTH_MAX: Final = 128

Settled = Debited | Denied | Unknown

_READERS: Final[dict[OrderField, Callable[[DebitOrder], str | int]]] = {
    "key": lambda order: order.key,
    "msisdn": lambda order: order.msisdn.digits,
    "phone": lambda order: "+" + order.msisdn.digits,
    "amount_minor": lambda order: order.money.amount_minor,
    "amount": lambda order: to_decimal_text(order.money),
    "currency": lambda order: order.money.currency,
    "description": lambda order: order.description,
    "merchant": lambda order: order.merchant,
}


class _Doubled(ValueError):
    """A JSON object has a member twice, and each reader may take another one."""


def request_url(template: str, order: DebitOrder) -> str:
    return PLACEHOLDER.sub(lambda m: quote(_text(order, m[1]), safe=""), template)


def request_headers(settings: HttpBillingSettings, order: DebitOrder) -> list[tuple[bytes, bytes]]:
    # Only ASCII passes: a merchant's name can't break out of its header line.
    def printable(name: str) -> str:
        return "".join(c if c.isascii() and c.isprintable() else "?" for c in _text(order, name))

    return [
        (name.encode(), PLACEHOLDER.sub(lambda m: printable(m[1]), value).encode())
        for name, value in settings.headers.items()
    ]


def request_body(settings: HttpBillingSettings, order: DebitOrder) -> bytes:
    members = {name: _READERS[field](order) for name, field in settings.body.items()}
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def read_answer(settings: AnswerSettings, order: DebitOrder, status: int, body: bytes) -> Settled:
    """What the answer says about the money; Unknown unless the settings say otherwise."""
    if status not in settings.statuses:
        return Unknown(f"status {status}")
    try:
        document = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return Unknown("the answer is not JSON")
    result = _member(document, settings.result)
    if result is None:
        return Unknown(f"no {settings.result} in the answer")
    for name, field in settings.echoes.items():
        echo = _member(document, name)
        if echo is not None and echo != _text(order, field):
            return Unknown(f"the answer has another {name} than we asked for")
    if result in settings.debited:
        reference = _member(document, settings.reference)
        return Debited(reference and reference[:REFERENCE_LENGTH_MAX])
    if result in settings.refused:
        return _refusal(settings, document, result)
    return Unknown(f"{settings.result} is {result[:CODE_LENGTH_MAX]!r}")


def _refusal(settings: AnswerSettings, document: object, result: str) -> Denied:
    code = _member(document, settings.reason) or result
    reason = settings.reasons.get(code, settings.other_reasons)
    return Denied(reason, code[:CODE_LENGTH_MAX])


def _text(order: DebitOrder, field: str) -> str:
    return str(_READERS[field](order))  # type: ignore[index]  # checked when it was loaded


def _member(document: object, path: str | None) -> str | None:
    """The scalar at `path` as text; None when there is none."""
    if path is None:
        return None
    for name in path.split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    match document:
        case bool():
            return "true" if document else "false"
        case str() | int() | float():
            return str(document)
    return None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Doubled
    return members
