"""An order as the parts of a request, and an answer's bytes as what they say about the money.

Pure functions of the settings. Whatever the settings do not name is Unknown, never a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, TypeAlias, TypedDict

from ppcd.billing.answers import Settled, judge_answer
from ppcd.billing.documents import Format, Unreadable, read_document
from ppcd.billing.exchanges import AnswerSettings, RefundAnswerSettings, RequestSettings
from ppcd.billing.refund_settings import HttpRefundSettings
from ppcd.billing.reserve_settings import (
    HttpCaptureSettings,
    HttpReleaseSettings,
    HttpReserveSettings,
    ReleaseAnswerSettings,
    ReserveAnswerSettings,
)
from ppcd.billing.settings import HttpBillingSettings
from ppcd.billing.template import (
    Encoding,
    Values,
    field_reader,
    fill,
    header_text,
    json_text,
    url_text,
)
from ppcd.charge.debit import NotFound, Order, Unknown

__all__ = [
    "Call",
    "call_of",
    "debit_call",
    "query_call",
    "read_answer",
    "read_not_found",
    "refund_query_call",
]

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
HttpAnswers: TypeAlias = (
    AnswerSettings | RefundAnswerSettings | ReserveAnswerSettings | ReleaseAnswerSettings
)

CONTENT_TYPES: Final[Mapping[Encoding, str]] = MappingProxyType(
    {
        "json": "application/json",
        "xml": "text/xml; charset=utf-8",
        "form": "application/x-www-form-urlencoded",
    }
)
ACCEPTED: Final[Mapping[Format, str]] = MappingProxyType(
    {
        "json": "application/json",
        "xml": "text/xml, application/xml, application/soap+xml",
        "xmlrpc": "text/xml",
        "form": "application/x-www-form-urlencoded, text/plain",
    }
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One kind of request, ready to be filled with an order, and what its answers mean.

    `authorization` is the value of that header.
    """

    method: bytes
    url: str
    headers: Mapping[str, str]
    write_body: Callable[[Order, Values], bytes]
    body_has_values: bool
    content_type: str
    answer: HttpAnswers
    authorization: bytes | None = None

    def url_for(self, values: Values) -> str:
        return url_text(self.url, values) if "{" in self.url else self.url

    def headers_for(self, values: Values, *, body: bytes) -> Headers:
        headers = self._with_body if body else self._without_body
        if self._all_alike:
            return headers  # type: ignore[return-value]
        return tuple(
            (name, value if type(value) is bytes else header_text(str(value), values).encode())
            for name, value in headers
        )

    @cached_property
    def has_values(self) -> bool:
        """Whether more stands in it of what it is filled with than the members of its body."""
        return self.body_has_values or not self._all_alike or "{" in self.url

    @cached_property
    def _all_alike(self) -> bool:
        return all(type(value) is bytes for _, value in self._without_body)

    @cached_property
    def _with_body(self) -> tuple[tuple[bytes, bytes | str], ...]:
        return (*self._without_body, (b"Content-Type", self.content_type.encode()))

    @cached_property
    def _without_body(self) -> tuple[tuple[bytes, bytes | str], ...]:
        """The headers of every request; as text where an order stands in them."""
        headers: list[tuple[bytes, bytes | str]] = [
            (name.encode(), value if "{" in value else value.encode())
            for name, value in self.headers.items()
        ]
        if "accept" not in {name.lower() for name in self.headers}:
            headers.append((b"Accept", ACCEPTED[self.answer.format].encode()))
        if self.authorization is not None:
            headers.append((b"Authorization", self.authorization))
        return tuple(headers)


def debit_call(settings: HttpBillingSettings) -> Call:
    """How this billing is asked for a debit."""
    return Call(
        method=settings.method.encode(),
        url=settings.url,
        headers=settings.headers,
        answer=settings.answer,
        **_written(settings, settings.body),
    )


def query_call(settings: HttpBillingSettings) -> Call | None:
    """How it is asked what became of a debit; None when it can't be."""
    query = settings.query
    if query is None:
        if settings.query_url is None:
            return None
        return Call(
            method=b"GET",
            url=settings.query_url,
            headers=settings.headers,
            write_body=_nothing,
            body_has_values=False,
            content_type="",
            answer=settings.answer,
        )
    return Call(
        method=query.method.encode(),
        url=query.url,
        headers=settings.headers if query.headers is None else query.headers,
        answer=query.answer or settings.answer,
        **_written(query, None),
    )


def call_of(
    settings: HttpBillingSettings,
    act: HttpRefundSettings
    | HttpReserveSettings
    | HttpCaptureSettings
    | HttpReleaseSettings
    | None,
) -> Call | None:
    """How this billing is asked for something else than a debit; None when it can't be."""
    if act is None:
        return None
    return Call(
        method=act.method.encode(),
        url=act.url,
        headers=settings.headers if act.headers is None else act.headers,
        answer=act.answer,
        **_written(act, act.body),
    )


def refund_query_call(settings: HttpBillingSettings) -> Call | None:
    """How it is asked what became of a refund; None when it can't be."""
    refund = settings.refund
    query = refund and refund.query
    if refund is None or query is None:
        return None
    headers = refund.headers if query.headers is None else query.headers
    return Call(
        method=query.method.encode(),
        url=query.url,
        headers=settings.headers if headers is None else headers,
        answer=query.answer or refund.answer,
        **_written(query, None),
    )


class _Written(TypedDict):
    write_body: Callable[[Order, Values], bytes]
    body_has_values: bool
    content_type: str


def _written(request: RequestSettings, members: Mapping[str, str] | None) -> _Written:
    """How the body is written, and what it is: the template, else the members, else nothing."""
    plain = request.template is None and members is not None
    content_type = request.content_type or CONTENT_TYPES["json" if plain else request.encoding]
    if request.template is not None:
        write = _text(request.template, request.encoding)
    else:
        write = _nothing if members is None else _members(members)
    return {
        "write_body": write,
        "body_has_values": request.template is not None,
        "content_type": content_type,
    }


def _members(members: Mapping[str, str]) -> Callable[[Order, Values], bytes]:
    names = [json_text(name).replace("%", "%%") for name in members]
    form = "{" + ",".join([f"{name}:%s" for name in names]) + "}"
    readers = [field_reader(field) for field in members.values()]

    def write(order: Order, values: Values) -> bytes:
        found = [read(order) for read in readers]
        texts = [value if type(value) is int else json_text(str(value)) for value in found]
        return (form % tuple(texts)).encode(errors="replace")

    return write


def _text(template: str, encoding: Encoding) -> Callable[[Order, Values], bytes]:
    # White space before an XML declaration makes it none.
    stripped = template.strip()

    def write(order: Order, values: Values) -> bytes:
        return fill(stripped, values, encoding).encode(errors="replace")

    return write


def _nothing(order: Order, values: Values) -> bytes:
    return b""


def read_answer(settings: HttpAnswers, order: Order, status: int, body: bytes) -> Settled:
    """What the answer says about the money; Unknown unless the settings say otherwise."""
    if status not in settings.statuses:
        return Unknown(f"status {status}")
    return _judged(settings, order, body)


def read_not_found(settings: HttpAnswers, order: Order, status: int, body: bytes) -> Settled:
    """What an answer says whose status a wrong URL has too: not found, if the body says so."""
    if status in settings.statuses:
        return _judged(settings, order, body)
    settled = _judged(settings, order, body)
    return settled if isinstance(settled, NotFound) else Unknown(f"status {status}")


def _judged(settings: HttpAnswers, order: Order, body: bytes) -> Settled:
    try:
        find = read_document(settings.format, body)
    except Unreadable as exc:
        return Unknown(str(exc))
    return judge_answer(settings, order, find)
