"""How one request to an HTTP billing is described, and which answers to it mean what.

Owns the description of a single exchange and its checks; which exchanges a billing system has is in
`settings`, what the values of a result mean in `answers`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import RefundResultSettings, ResultSettings, Section
from ppcd.billing.documents import Format, Unreadable, parse_xml
from ppcd.billing.template import (
    FIELDS,
    REFUND_FIELDS,
    Encoding,
    check_places,
    check_template,
    fill,
)

__all__ = [
    "AnswerSettings",
    "QuerySettings",
    "RefundAnswerSettings",
    "RefundQuerySettings",
    "RefundRequestSettings",
    "RequestSettings",
    "check_key",
    "read_headers",
    "read_url",
]

HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Headers that come from other keys.
OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "authorization", "content-type", "connection"}
)

Status = Annotated[int, Field(ge=100, le=599)]
Text = Annotated[str, StringConstraints(min_length=1)]


class _HttpAnswer(Section):
    """What every answer over HTTP has. Values are found by a path in it and compared as text; what
    is not there, or is there twice, is not found."""

    format: Format = Field(
        default="json",
        description="What the answer is written in: `json` and `xmlrpc` have paths such as "
        "`result.code`, `xml` such as `Envelope/Body/*/ResultCode` or `Answer/@code` (local names, "
        "`*` for any one), `form` plain names. An answer in another format is unknown.",
    )
    statuses: tuple[Status, ...] = Field(
        default=(200,), description="HTTP statuses whose body is read; any other answer is unknown."
    )
    not_processed_statuses: tuple[Status, ...] = Field(
        default=(),
        description="HTTP statuses by which billing says that it did nothing (503, say), so that "
        "the same may be sent again at any time. Wrongly listed: it is done twice, where the keys "
        "are not remembered.",
    )
    not_found_statuses: tuple[Status, ...] = Field(
        default=(),
        description="HTTP statuses of a query that mean, whatever the body says: the key is not "
        "known. 404 is what a wrong URL is answered too, and then every doubt would end as «not "
        "debited»; where the body of a 404 has a `result` among `not_found`, nothing needs to be "
        "listed here.",
    )

    @_model_validator(mode="after")
    def _each_status_has_one_meaning(self) -> Self:
        doubled = set(self.statuses) & (
            set(self.not_processed_statuses) | set(self.not_found_statuses)
        )
        if doubled:
            raise ValueError(f"status {min(doubled)} can't mean two things")
        return self


class AnswerSettings(_HttpAnswer, ResultSettings):
    """Which answers to a debit mean what."""


class RefundAnswerSettings(_HttpAnswer, RefundResultSettings):
    """Which answers to a refund mean what."""


class RequestSettings(Section):
    """How one request is written."""

    #: What can stand in it.
    fields: ClassVar[frozenset[str]] = FIELDS

    template: Text | None = Field(
        default=None,
        description="The request's body as text, fields of the order in braces such as `{key}`; "
        "also `{time:%Y%m%dT%H:%M:%S}` (UTC) and `{password}`. Each is escaped as `encoding` says, "
        "so it stands inside quotes or between tags, never in CDATA or a comment.",
    )
    encoding: Encoding = Field(
        default="json",
        description="What `template` is written in: `json`, `xml` (SOAP and XML-RPC too) or "
        "`form`.",
    )
    content_type: Text | None = Field(
        default=None,
        description="The Content-Type of `template`, where the usual one of `encoding` is wrong.",
    )

    @field_validator("content_type")
    @classmethod
    def _is_a_header(cls, value: str | None) -> str | None:
        if value is not None and not (value.isascii() and value.isprintable()):
            raise ValueError("must be printable ASCII")
        return value

    @_model_validator(mode="after")
    def _can_be_written(self) -> Self:
        if self.template is None:
            return self
        check_template(self.template, self.fields)
        if self.encoding == "xml" and re.search(r"<!(--|\[CDATA\[|DOCTYPE)", self.template):
            raise ValueError("template may hold no comment, CDATA or DOCTYPE: escapes fail in them")
        sample = fill(self.template, _sample, self.encoding)
        try:
            if self.encoding == "xml":
                parse_xml(sample.strip().encode())
            elif self.encoding == "json":
                json.loads(sample)
        except Unreadable as exc:
            raise ValueError(f"template is not XML: {exc.__cause__ or exc}") from exc
        except ValueError as exc:
            raise ValueError(f"template is not JSON: {exc}") from exc
        return self


class RefundRequestSettings(RequestSettings):
    """How one request about a refund is written."""

    fields = REFUND_FIELDS


class _Question(RequestSettings):
    """How billing is asked what became of a key."""

    url: str = Field(description="Where it is asked; order fields may stand in it.")
    method: Literal["GET", "POST"] = Field(default="GET", description="HTTP method of the query.")
    headers: dict[str, str] | None = Field(
        default=None, description="Request headers in place of the debit's."
    )

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        return read_url(value, cls.fields)

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        return None if value is None else read_headers(value, cls.fields)

    @_model_validator(mode="after")
    def _has_the_key(self) -> Self:
        if self.method == "GET" and self.template is not None:
            raise ValueError("a GET has no template: use method POST")
        if "{key}" not in self.url + str(self.headers) + (self.template or ""):
            raise ValueError("the key must be in url, headers or template of the query")
        return self


class QuerySettings(_Question):
    """How billing is asked what became of a debit."""

    answer: AnswerSettings | None = Field(
        default=None, description="Which answers mean what; left out: as for the debit."
    )


class RefundQuerySettings(RefundRequestSettings, _Question):
    """How billing is asked what became of a refund."""

    answer: RefundAnswerSettings | None = Field(
        default=None, description="Which answers mean what; left out: as for the refund."
    )


def read_url(value: str, fields: frozenset[str] = FIELDS) -> str:
    """Raises ValueError for what is no URL of a billing system."""
    if not re.fullmatch(r"https?://[^/\s?#@]+(/\S*)?", value):
        raise ValueError("must be an http:// or https:// URL without user and password")
    return check_places(value, fields)


def read_headers(value: dict[str, str], fields: frozenset[str] = FIELDS) -> dict[str, str]:
    """Raises ValueError for what can't be headers of a request."""
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"{name} is set by ppcd itself")
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"the value of {name} must be printable ASCII")
        check_places(text, fields)
    return value


def check_key(
    request: RequestSettings, *, url: str, headers: Mapping[str, str], body: Mapping[str, str]
) -> None:
    """Raises ValueError for a request that does not carry the key, or has two bodies."""
    if request.template is not None and "body" in request.model_fields_set:
        raise ValueError("give body or template, not both")
    carried = url + str(headers) + (request.template or "")
    in_body = request.template is None and "key" in body.values()
    if not in_body and "{key}" not in carried:
        raise ValueError("the key must be in body, url or headers: billing dedupes by it")


#: Texts that need their quotes or tags: a place without them would let a merchant's name out.
_SAMPLES: Final = {"phone": "+1", "currency": "UAH", "amount": "1.50"}
_SAMPLE_TEXTS: Final = frozenset({"description", "merchant", "password", "debit_reference"})


def _sample(name: str) -> str:
    """What stands in a place while a template is checked."""
    _, colon, form = name.partition(":")
    if colon:
        return datetime(2026, 1, 1, tzinfo=UTC).strftime(form)
    return 'a"<' if name in _SAMPLE_TEXTS else _SAMPLES.get(name, "1")
