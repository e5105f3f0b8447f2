"""Texts with places in braces, and what of an order can stand in them.

Owns the fields of an order, the times and the password that a request can carry, and how each wire
format keeps a value inside its place. Refuses to know what is sent where.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape as _xml_entities

from ppcd.charge.debit import DebitOrder, Order
from ppcd.charge.money import to_decimal_text
from ppcd.charge.refund import RefundOrder

__all__ = [
    "FIELDS",
    "REFUND_FIELDS",
    "Encoding",
    "OrderField",
    "RefundField",
    "Values",
    "check_places",
    "check_statement",
    "check_template",
    "field_of",
    "field_reader",
    "fill",
    "header_text",
    "json_text",
    "statement_with_parameters",
    "texts_of",
    "url_text",
]

#: What of an order can stand in a request; `amount` is a decimal text, `phone` has its plus,
#: `reservation` is billing's own reference of what a capture or release is about, else empty.
OrderField = Literal[
    "key",
    "msisdn",
    "phone",
    "amount_minor",
    "amount",
    "currency",
    "description",
    "merchant",
    "reservation",
]
FIELDS: Final = frozenset(OrderField.__args__)  # type: ignore[attr-defined]
#: And of a refund: the debit that it gives back, by our key and by billing's own reference.
RefundField = Literal[
    "key",
    "msisdn",
    "phone",
    "amount_minor",
    "amount",
    "currency",
    "description",
    "merchant",
    "debit_key",
    "debit_reference",
]
REFUND_FIELDS: Final = frozenset(RefundField.__args__)  # type: ignore[attr-defined]
#: How values are kept inside their places.
Encoding = Literal["json", "xml", "form"]

#: In a URL or a header every brace is meant for us.
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
#: In a template of JSON or XML only those that look like it are.
_TEMPLATE_PLACE: Final = re.compile(r"\{([a-z_]+(?::[^{}\"<>&]*)?)\}")
#: Of strftime only what means the same in every locale.
_TIME_FORM: Final = re.compile(r"(?:%[YmdHMS]|[A-Za-z0-9:/ .+_-])+")
_PASSWORD: Final = "password"  # noqa: S105  # the name of a place

#: Gives the text for the name of a place.
Values = Callable[[str], str]

_READERS: Final[Mapping[str, Callable[[Order], str | int]]] = MappingProxyType(
    {
        "key": attrgetter("key"),
        "msisdn": attrgetter("msisdn.digits"),
        "phone": lambda order: "+" + order.msisdn.digits,
        "amount_minor": attrgetter("money.amount_minor"),
        "amount": lambda order: to_decimal_text(order.money),
        "currency": attrgetter("money.currency"),
        "description": attrgetter("description"),
        "merchant": attrgetter("merchant"),
        "reservation": lambda order: (
            (order.reservation or "") if isinstance(order, DebitOrder) else ""
        ),
    }
)
_REFUND_READERS: Final[Mapping[str, Callable[[RefundOrder], str]]] = MappingProxyType(
    {
        "debit_key": lambda order: order.debit_key,
        "debit_reference": lambda order: order.debit_reference or "",
    }
)


def field_reader(name: str) -> Callable[[Any], str | int]:
    """What gives one field of an order; minor units are a number."""
    return _REFUND_READERS.get(name) or _READERS[name]


def field_of(order: Order, name: str) -> str | int:
    """One field of an order; minor units are a number."""
    return field_reader(name)(order)


def texts_of(order: Order, *, now: datetime | None = None, password: str = "") -> Values:
    """What stands in the places of a request for this order. `now` is aware UTC."""

    def text(name: str) -> str:
        if name == _PASSWORD:
            return password
        what, colon, form = name.partition(":")
        if colon:
            assert what == "time"
            assert now is not None, "a template with a time needs a clock"
            return now.strftime(form)
        return str(field_of(order, name))

    return text


def fill(template: str, values: Values, encoding: Encoding | Literal["csv"]) -> str:
    """The template with its places filled, each value escaped as the format wants it."""
    escape = _ESCAPES[encoding]
    pieces = list(_pieces(template))
    pieces[1::2] = [escape(values(name)) for name in pieces[1::2]]
    return "".join(pieces)


@lru_cache(maxsize=256)
def _pieces(template: str) -> tuple[str, ...]:
    """Text and names of places by turns."""
    return tuple(_TEMPLATE_PLACE.split(template))


def url_text(template: str, values: Values) -> str:
    return _PLACE.sub(lambda m: quote(values(m[1]), safe=""), template)


def header_text(template: str, values: Values) -> str:
    """Only printable ASCII passes: a merchant's name can't break out of its header line."""

    def printable(name: str) -> str:
        return "".join(c if c.isascii() and c.isprintable() else "?" for c in values(name))

    return _PLACE.sub(lambda m: printable(m[1]), template)


def check_places(template: str, fields: frozenset[str] = FIELDS) -> str:
    """Raises ValueError for a place in a URL or header that is none of `fields`."""
    for name in _PLACE.findall(template):
        _check(name, fields)
    return template


def _check(name: str, fields: frozenset[str], *more: str) -> None:
    if name not in fields and name not in more:
        known = ", ".join([*sorted(fields), *more])
        raise ValueError(f"{{{name}}} is not a field of an order; known: {known}")


def check_template(template: str, fields: frozenset[str] = FIELDS) -> frozenset[str]:
    """The names of a template's places; raises ValueError for one that nothing can fill."""
    names = frozenset(_TEMPLATE_PLACE.findall(template))
    for name in names:
        what, colon, form = name.partition(":")
        if colon and what == "time":
            if not _TIME_FORM.fullmatch(form):
                raise ValueError(
                    f"{{{name}}} may hold %Y, %m, %d, %H, %M and %S, letters, digits and : / . + -"
                )
        else:
            _check(name, fields, _PASSWORD, "time:…")
    return names


def check_statement(statement: str, fields: frozenset[str] = FIELDS) -> frozenset[str]:
    """The names of a statement's parameters; raises ValueError for one that no order has."""
    names = frozenset(_TEMPLATE_PLACE.findall(statement))
    for name in names:
        _check(name, fields)
    return names


def statement_with_parameters(statement: str) -> str:
    """A statement as the driver takes it: parameters by name, never their values as text."""
    return _TEMPLATE_PLACE.sub(lambda m: f"%({m[1]})s", statement.replace("%", "%%"))


#: A text as JSON, in its quotes: the library's own, without an encoder made for each.
json_text: Final[Callable[[str], str]] = json.encoder.encode_basestring


def _xml_text(value: str) -> str:
    allowed = "".join(c if _is_xml(c) else "?" for c in value)
    return _xml_entities(allowed, {'"': "&quot;", "'": "&apos;", "\r": "&#13;"})


def _is_xml(char: str) -> bool:
    """XML 1.0, 2.2: what no escape can bring in is left out."""
    code = ord(char)
    return char in "\t\n\r" or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code > 0xFFFF


def _csv_text(value: str) -> str:
    """One field of one line, whichever delimiter it has."""
    plain = "".join(c if c.isprintable() else " " for c in value)
    return '"' + plain.replace('"', '""') + '"' if _CSV_SPECIAL.search(plain) else plain


_CSV_SPECIAL: Final = re.compile(r"[\",;|:\t ]")

_ESCAPES: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "json": lambda value: json_text(value)[1:-1],
        "xml": _xml_text,
        "form": lambda value: quote_plus(value, safe=""),
        "csv": _csv_text,
    }
)
