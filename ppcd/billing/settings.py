"""How an operator's HTTP billing is described: where to ask, what to send, what answers mean.

Everything that is not described is UNKNOWN: a charge is then in doubt, which costs a question,
where a wrong guess would cost a subscriber's or the operator's money.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.charge.debit import Abilities, DenialReason

__all__ = ["AbilitiesSettings", "AnswerSettings", "HttpBillingSettings", "OrderField"]

#: What of an order can stand in a request; `amount` is a decimal text, `phone` has its plus.
OrderField = Literal[
    "key", "msisdn", "phone", "amount_minor", "amount", "currency", "description", "merchant"
]
FIELDS: Final = frozenset(OrderField.__args__)  # type: ignore[attr-defined]
PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

#: Reasons that billing can give; the others belong to the subscriber, the partner and us.
BILLING_REASONS: Final = frozenset(
    {
        DenialReason.INSUFFICIENT_FUNDS,
        DenialReason.SERVICE_DENIED,
        DenialReason.USER_UNKNOWN,
        DenialReason.LIMIT_EXCEEDED,
        DenialReason.BILLING_REJECTED,
    }
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
Member = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AbilitiesSettings(_Section):
    """What this billing system promises. Claiming too much debits people twice."""

    idempotent: bool = Field(
        default=False,
        description="The same key never debits twice. Wrongly true: a repeat after a timeout takes "
        "the money again.",
    )
    queryable: bool = Field(
        default=False,
        description="It can be asked by our key what became of a debit (`query_url`).",
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


class AnswerSettings(_Section):
    """Which answers mean what. Members of the JSON body are named by path, such as `result.code`;
    their values are compared as text."""

    statuses: tuple[Status, ...] = Field(
        default=(200,), description="HTTP statuses whose body is read; any other answer is unknown."
    )
    result: Member = Field(default="result", description="The member that says what happened.")
    debited: tuple[str, ...] = Field(
        default=("debited",), description="Values of `result` that mean: the money was taken."
    )
    refused: tuple[str, ...] = Field(
        default=("refused",),
        description="Values of `result` that mean: no money was taken, and none will be.",
    )
    reference: Member | None = Field(
        default="reference", description="The member with billing's own reference of the debit."
    )
    reason: Member | None = Field(
        default="reason",
        description="The member with the reason of a refusal; none: `result` itself.",
    )
    reasons: dict[str, DenialReason] = Field(
        default_factory=dict,
        description="Billing's reasons, and what the partner is told for each: INSUFFICIENT_FUNDS, "
        "SERVICE_DENIED, USER_UNKNOWN, LIMIT_EXCEEDED or BILLING_REJECTED.",
    )
    other_reasons: DenialReason = Field(
        default=DenialReason.BILLING_REJECTED,
        description="What the partner is told for any other reason.",
    )
    echoes: dict[Member, OrderField] = Field(
        default_factory=dict,
        description="Members that repeat what we asked for; one that differs makes the answer "
        "unknown.",
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

    @field_validator("reasons", "other_reasons")
    @classmethod
    def _billing_may_give_it(
        cls, value: dict[str, DenialReason] | DenialReason
    ) -> dict[str, DenialReason] | DenialReason:
        given = value.values() if isinstance(value, dict) else (value,)
        for reason in given:
            if reason not in BILLING_REASONS:
                raise ValueError(f"{reason.value} is not a reason that billing gives")
        return value

    @_model_validator(mode="after")
    def _one_meaning_each(self) -> Self:
        both = set(self.debited) & set(self.refused)
        if both:
            raise ValueError(f"{', '.join(sorted(both))} can't mean both debited and refused")
        doubled = set(self.statuses) & (
            set(self.not_processed_statuses) | set(self.not_found_statuses)
        )
        if doubled:
            raise ValueError(f"status {min(doubled)} can't mean two things")
        return self


class HttpBillingSettings(_Section):
    """A billing system with an HTTP interface that takes and gives JSON."""

    kind: Literal["http"] = Field(default="http", description="This kind of billing system.")
    url: str = Field(
        description="Where a debit is asked for; order fields such as `{key}` may stand in it."
    )
    method: Literal["POST", "PUT"] = Field(default="POST", description="HTTP method of the debit.")
    query_url: str | None = Field(
        default=None,
        description="Where the debit is asked about with GET, usually ending in `{key}`.",
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="More request headers; order fields may stand in their values. Secrets belong "
        "into `credentials_file`.",
    )
    credentials_file: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        default=None,
        description="File with the value of the Authorization header, such as `Bearer abc`; must "
        "not be readable by others.",
        json_schema_extra={"file": True},
    )
    credentials_credential: str | None = Field(
        default=None, description="The same as a systemd credential's name instead of a file."
    )
    body: dict[Annotated[str, StringConstraints(min_length=1)], OrderField] = Field(
        default=PLAIN_BODY,
        description="Members of the JSON body and the order fields they carry.",
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

    @field_validator("url", "query_url")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s?#@]+(/\S*)?", value):
            raise ValueError("must be an http:// or https:// URL without user and password")
        return value and _known_fields(value)

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            if name.lower() in {"host", "content-length", "transfer-encoding", "authorization"}:
                raise ValueError(f"{name} is set by ppcd itself")
            if not text.isascii() or not text.isprintable():
                raise ValueError(f"the value of {name} must be printable ASCII")
            _known_fields(text)
        return value

    @_model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.abilities.queryable and self.query_url is None:
            raise ValueError("abilities.queryable needs a query_url")
        if self.abilities.reserving or self.abilities.reversible:
            raise ValueError("this kind can neither reserve nor reverse")
        if self.abilities.stores_refusals and not self.abilities.idempotent:
            raise ValueError("abilities.stores_refusals needs idempotent: both are kept by the key")
        if self.credentials_file is not None and self.credentials_credential is not None:
            raise ValueError("give credentials_file or credentials_credential, not both")
        if "key" not in self.body.values() and "{key}" not in self.url + str(self.headers):
            raise ValueError("the key must be in body, url or headers: billing dedupes by it")
        return self


def _known_fields(template: str) -> str:
    for name in PLACEHOLDER.findall(template):
        if name not in FIELDS:
            known = ", ".join(sorted(FIELDS))
            raise ValueError(f"{{{name}}} is not a field of an order; known: {known}")
    return template
