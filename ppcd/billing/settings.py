"""How an operator's HTTP billing is described: where to ask, what to send, what answers mean.

Owns the description and its checks; what the values of a result mean is in `answers`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import BILLING_REASONS, Section
from ppcd.billing.exchanges import (
    AnswerSettings,
    QuerySettings,
    RequestSettings,
    check_key,
    read_headers,
    read_url,
)
from ppcd.billing.pace_settings import PaceSettings
from ppcd.billing.refund_settings import HttpRefundSettings
from ppcd.billing.reserve_settings import (
    HttpCaptureSettings,
    HttpReleaseSettings,
    HttpReserveSettings,
)
from ppcd.billing.template import OrderField
from ppcd.charge.debit import Abilities

__all__ = [
    "BILLING_REASONS",
    "AbilitiesSettings",
    "HttpBillingSettings",
]

#: What a plain REST interface is sent.
PLAIN_BODY: Final[dict[str, OrderField]] = {
    "key": "key",
    "msisdn": "msisdn",
    "amount_minor": "amount_minor",
    "currency": "currency",
    "description": "description",
    "merchant": "merchant",
}

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
    reversible: bool = Field(
        default=False,
        description="Money can be given back (`refund`); without it refunds are refused to the "
        "partner.",
    )
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
    refund: HttpRefundSettings | None = Field(
        default=None, description="How money is given back; with `abilities.reversible`."
    )
    reserve: HttpReserveSettings | None = Field(
        default=None,
        description="How money is held for payments in two steps; with `abilities.reserving`.",
    )
    capture: HttpCaptureSettings | None = Field(
        default=None, description="How what is held is taken; with `abilities.reserving`."
    )
    release: HttpReleaseSettings | None = Field(
        default=None, description="How what is held is let go; with `abilities.reserving`."
    )
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
        return value and read_url(value)

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        return read_headers(value)

    @_model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.query is not None and self.query_url is not None:
            raise ValueError("give query or query_url, not both")
        if self.abilities.queryable and self.query is None and self.query_url is None:
            raise ValueError("abilities.queryable needs a query_url or query")
        steps = (self.reserve, self.capture, self.release)
        if any(self.abilities.reserving == (step is None) for step in steps):
            raise ValueError("abilities.reserving and reserve, capture, release belong together")
        if self.abilities.reversible != (self.refund is not None):
            raise ValueError("abilities.reversible and refund belong together")
        check_key(self, url=self.url, headers=self.headers, body=self.body)
        return self

    @_model_validator(mode="after")
    def _has_its_files(self) -> Self:
        for stem in ("credentials", "password"):
            if getattr(self, f"{stem}_file") and getattr(self, f"{stem}_credential"):
                raise ValueError(f"give {stem}_file or {stem}_credential, not both")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        refund = self.refund
        more = (
            *(self.query, refund, refund and refund.query),
            *(self.reserve, self.capture, self.release),
        )
        urls = [self.url, self.query_url or self.url, *(part.url for part in more if part)]
        if (self.ca_file or self.key_file) and not all(u.startswith("https:") for u in urls):
            raise ValueError("ca_file and certificate_file need https URLs")
        templates = "".join(part.template or "" for part in (self, *more) if part)
        has_password = self.password_file is not None or self.password_credential is not None
        if has_password != ("{password}" in templates):
            raise ValueError("{password} in a template and password_file belong together")
        return self
