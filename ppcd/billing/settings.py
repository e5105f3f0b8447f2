"""How an operator's HTTP billing is described: where to ask, what to send, what answers mean.

Owns the description and its checks; what the values of a result mean is in `answers`.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import BILLING_REASONS, ResultSettings, Section
from ppcd.billing.documents import Format, Unreadable, parse_xml
from ppcd.billing.pace_settings import PaceSettings
from ppcd.billing.template import Encoding, OrderField, check_places, check_template, fill
from ppcd.charge.debit import Abilities

__all__ = [
    "BILLING_REASONS",
    "AbilitiesSettings",
    "AnswerSettings",
    "HttpBillingSettings",
    "QuerySettings",
    "RequestSettings",
]

HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Headers that come from other keys.
OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "authorization", "content-type", "connection"}
)

#: What a plain REST interface is sent.
PLAIN_BODY: Final[dict[str, OrderField]] = {
    "key": "key",
    "msisdn": "msisdn",
    "amount_minor": "amount_minor",
    "currency": "currency",
    "description": "description",
    "merchant": "merchant",
}

Status = Annotated[int, Field(ge=100, le=599)]
Text = Annotated[str, StringConstraints(min_length=1)]


class AbilitiesSettings(Section):
    """What this billing system promises. Claiming too much debits people twice."""

    idempotent: bool = Field(
        default=False,
        description="The same key never debits twice. Wrongly true: a repeat after a timeout takes "
        "the money again.",
    )
    queryable: bool = Field(
        default=False,
        description="It can be asked by our key what became of a debit (`query`, `query_url`).",
    )
    stores_refusals: bool = Field(
        default=False,
        description="A refusal is recorded under the key and repeated to a late first attempt. "
        "Wrongly true: a refused repeat is believed while the first attempt may still debit.",
    )
    reversible: bool = Field(default=False, description="A debit can be undone by its key.")
    reserving: bool = Field(default=False, description="It can reserve first and debit later.")
    quiet_period_s: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Seconds after which a request that it did not answer can no longer debit. "
        "Too short: «not found» is believed, and the debit comes after it.",
    )

    def abilities(self) -> Abilities:
        return Abilities(
            idempotent=self.idempotent,
            queryable=self.queryable,
            stores_refusals=self.stores_refusals,
            reversible=self.reversible,
            reserving=self.reserving,
            quiet_period_s=self.quiet_period_s,
        )

    @_model_validator(mode="after")
    def _refusals_are_kept_by_key(self) -> Self:
        if self.stores_refusals and not self.idempotent:
            raise ValueError("stores_refusals needs idempotent: both are kept by the key")
        return self


class AnswerSettings(ResultSettings):
    """Which answers mean what. Values are found by a path in the answer and compared as text; what
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
        "the debit may be sent again at any time. Wrongly listed: a second debit, where the keys "
        "are not remembered.",
    )
    not_found_statuses: tuple[Status, ...] = Field(
        default=(404,), description="HTTP statuses of a query that mean: no such debit is known."
    )

    @_model_validator(mode="after")
    def _each_status_has_one_meaning(self) -> Self:
        doubled = set(self.statuses) & (
            set(self.not_processed_statuses) | set(self.not_found_statuses)
        )
        if doubled:
            raise ValueError(f"status {min(doubled)} can't mean two things")
        return self


class RequestSettings(Section):
    """How one request is written."""

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
        check_template(self.template)
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


class QuerySettings(RequestSettings):
    """How billing is asked what became of a debit."""

    url: str = Field(description="Where it is asked; order fields may stand in it.")
    method: Literal["GET", "POST"] = Field(default="GET", description="HTTP method of the query.")
    headers: dict[str, str] | None = Field(
        default=None, description="Request headers in place of the debit's."
    )
    answer: AnswerSettings | None = Field(
        default=None, description="Which answers mean what; left out: as for the debit."
    )

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        return _url(value)

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        return None if value is None else _headers(value)

    @_model_validator(mode="after")
    def _has_the_key(self) -> Self:
        if self.method == "GET" and self.template is not None:
            raise ValueError("a GET has no template: use method POST")
        if "{key}" not in self.url + str(self.headers) + (self.template or ""):
            raise ValueError("the key must be in url, headers or template of the query")
        return self


class HttpBillingSettings(RequestSettings):
    """A billing system with an HTTP interface: JSON, form data, XML, SOAP or XML-RPC."""

    kind: Literal["http"] = Field(default="http", description="This kind of billing system.")
    url: str = Field(
        description="Where a debit is asked for; order fields such as `{key}` may stand in it."
    )
    method: Literal["POST", "PUT"] = Field(default="POST", description="HTTP method of the debit.")
    query_url: str | None = Field(
        default=None,
        description="Where the debit is asked about with GET, usually ending in `{key}`.",
    )
    query: QuerySettings | None = Field(
        default=None, description="The same in full, instead of `query_url`."
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="More request headers; order fields may stand in their values. Secrets belong "
        "into `credentials_file`.",
    )
    credentials_file: Text | None = Field(
        default=None,
        description="File with the value of the Authorization header, such as `Bearer abc`; must "
        "not be readable by others.",
        json_schema_extra={"file": True},
    )
    credentials_credential: str | None = Field(
        default=None, description="The same as a systemd credential's name instead of a file."
    )
    password_file: Text | None = Field(
        default=None,
        description="File with the password that stands in templates as `{password}`; must not be "
        "readable by others.",
        json_schema_extra={"file": True},
    )
    password_credential: str | None = Field(
        default=None, description="The same as a systemd credential's name instead of a file."
    )
    ca_file: Text | None = Field(
        default=None,
        description="File with the authorities of billing's certificate, in place of the "
        "platform's.",
        json_schema_extra={"file": True},
    )
    certificate_file: Text | None = Field(
        default=None,
        description="File with our own certificate, where billing asks for one.",
        json_schema_extra={"file": True},
    )
    key_file: Text | None = Field(
        default=None,
        description="File with the private key of `certificate_file`; must not be readable by "
        "others.",
        json_schema_extra={"file": True},
    )
    body: dict[Annotated[str, StringConstraints(min_length=1)], OrderField] = Field(
        default=PLAIN_BODY,
        description="Members of a JSON body and the order fields they carry, where there is no "
        "`template`.",
        min_length=1,
    )
    timeout_s: float = Field(
        default=10,
        gt=0,
        le=45,
        description="Seconds for an answer; after them the outcome is unknown. Too short: many "
        "charges in doubt. Too long: a hanging billing system keeps its connections busy. Never "
        "longer than a node's work is its own, a minute.",
    )
    connect_timeout_s: float = Field(
        default=5, gt=0, le=10, description="Seconds to connect; after them nothing was sent."
    )
    connections_max: int = Field(
        default=8, ge=1, le=1000, description="Connections kept open, so also debits at once."
    )
    answer_size_max: int = Field(
        default=65_536,
        ge=1,
        le=1_048_576,
        description="Bytes of an answer; a larger one is unknown.",
    )
    abilities: AbilitiesSettings = Field(
        default=AbilitiesSettings(), description="What this billing system promises."
    )
    answer: AnswerSettings = Field(default=AnswerSettings(), description="Which answers mean what.")
    pace: PaceSettings = Field(
        default=PaceSettings(), description="How fast it is asked, and when it is left alone."
    )

    @property
    def at_once_max(self) -> int:
        """How many requests can be sent before one is answered."""
        return self.connections_max

    @field_validator("url", "query_url")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        return value and _url(value)

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        return _headers(value)

    @_model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.query is not None and self.query_url is not None:
            raise ValueError("give query or query_url, not both")
        if self.abilities.queryable and self.query is None and self.query_url is None:
            raise ValueError("abilities.queryable needs a query_url or query")
        if self.abilities.reserving or self.abilities.reversible:
            raise ValueError("this kind can neither reserve nor reverse")
        if self.template is not None and "body" in self.model_fields_set:
            raise ValueError("give body or template, not both")
        carried = self.url + str(self.headers) + (self.template or "")
        in_body = self.template is None and "key" in self.body.values()
        if not in_body and "{key}" not in carried:
            raise ValueError("the key must be in body, url or headers: billing dedupes by it")
        return self

    @_model_validator(mode="after")
    def _has_its_files(self) -> Self:
        for stem in ("credentials", "password"):
            if getattr(self, f"{stem}_file") and getattr(self, f"{stem}_credential"):
                raise ValueError(f"give {stem}_file or {stem}_credential, not both")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        urls = [self.url, self.query_url or self.url, self.query.url if self.query else self.url]
        if (self.ca_file or self.key_file) and not all(u.startswith("https:") for u in urls):
            raise ValueError("ca_file and certificate_file need https URLs")
        templates = (self.template or "") + ((self.query and self.query.template) or "")
        has_password = self.password_file is not None or self.password_credential is not None
        if has_password != ("{password}" in templates):
            raise ValueError("{password} in a template and password_file belong together")
        return self


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/\s?#@]+(/\S*)?", value):
        raise ValueError("must be an http:// or https:// URL without user and password")
    return check_places(value)


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"{name} is set by ppcd itself")
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"the value of {name} must be printable ASCII")
        check_places(text)
    return value


#: Texts that need their quotes or tags: a place without them would let a merchant's name out.
_SAMPLES: Final = {"phone": "+1", "currency": "UAH", "amount": "1.50"}
_SAMPLE_TEXTS: Final = frozenset({"description", "merchant", "password"})


def _sample(name: str) -> str:
    """What stands in a place while a template is checked."""
    _, colon, form = name.partition(":")
    if colon:
        return datetime(2026, 1, 1, tzinfo=UTC).strftime(form)
    return 'a"<' if name in _SAMPLE_TEXTS else _SAMPLES.get(name, "1")
