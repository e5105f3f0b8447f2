"""How a billing system gives money back: what it promises about it, and how HTTP and SQL ask."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import RefundResultSettings, Section
from ppcd.billing.exchanges import (
    RefundAnswerSettings,
    RefundQuerySettings,
    RefundRequestSettings,
    check_key,
    read_headers,
    read_url,
)
from ppcd.billing.template import REFUND_FIELDS, RefundField, check_statement
from ppcd.charge.debit import Abilities

__all__ = ["HttpRefundSettings", "RefundAbilitiesSettings", "SqlRefundSettings"]

#: What a plain REST interface is sent.
PLAIN_REFUND_BODY: Final[dict[str, RefundField]] = {
    "key": "key",
    "debit_key": "debit_key",
    "msisdn": "msisdn",
    "amount_minor": "amount_minor",
    "currency": "currency",
}

Text = Annotated[str, StringConstraints(min_length=1)]


class RefundAbilitiesSettings(Section):
    """What this billing system promises of refunds. Claiming too much gives money back twice."""

    idempotent: bool = Field(
        default=False,
        description="The same key never gives back twice. Wrongly true: a repeat after a timeout "
        "gives the money back again.",
    )
    queryable: bool = Field(
        default=False,
        description="It can be asked by our key what became of a refund (`query`).",
    )
    stores_refusals: bool = Field(
        default=False,
        description="A refusal is recorded under the key and repeated to a late first attempt. "
        "Wrongly true: a refund that a late attempt still makes is made a second time, as another.",
    )
    whole_only: bool = Field(
        default=False,
        description="It gives back all of a debit or nothing: partial refunds are refused to the "
        "partner.",
    )
    quiet_period_s: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Seconds after which a request that it did not answer can no longer give money "
        "back. Too short: «not found» is believed, and it is given back twice.",
    )

    def abilities(self) -> Abilities:
        return Abilities(
            idempotent=self.idempotent,
            queryable=self.queryable,
            stores_refusals=self.stores_refusals,
            reversible=True,
            whole_only=self.whole_only,
            quiet_period_s=self.quiet_period_s,
        )

    @_model_validator(mode="after")
    def _refusals_are_kept_by_key(self) -> Self:
        if self.stores_refusals and not self.idempotent:
            raise ValueError("stores_refusals needs idempotent: both are kept by the key")
        return self


class HttpRefundSettings(RefundRequestSettings):
    """How a billing system with an HTTP interface gives money back. The key is the refund's."""

    url: str = Field(
        description="Where a refund is asked for; order fields may stand in it, also `{debit_key}` "
        "and `{debit_reference}`, our and billing's own key of the debit."
    )
    method: Literal["POST", "PUT"] = Field(default="POST", description="HTTP method of the refund.")
    headers: dict[str, str] | None = Field(
        default=None, description="Request headers in place of the debit's."
    )
    body: dict[Text, RefundField] = Field(
        default=PLAIN_REFUND_BODY,
        description="Members of a JSON body and the order fields they carry, where there is no "
        "`template`.",
        min_length=1,
    )
    query: RefundQuerySettings | None = Field(
        default=None, description="How it is asked what became of a refund."
    )
    abilities: RefundAbilitiesSettings = Field(
        default=RefundAbilitiesSettings(),
        description="What this billing system promises of refunds.",
    )
    answer: RefundAnswerSettings = Field(
        default=RefundAnswerSettings(), description="Which answers mean what."
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
    def _fits_together(self) -> Self:
        if self.abilities.queryable and self.query is None:
            raise ValueError("abilities.queryable needs a query")
        check_key(self, url=self.url, headers=self.headers or {}, body=self.body)
        return self


class SqlRefundSettings(Section):
    """How a billing database gives money back. The key is the refund's."""

    statement: Text = Field(
        description="The statement that gives back and gives one row, such as `SELECT * FROM "
        "billing.refund({key}, {debit_key}, {amount_minor})`, as `debit` in all else."
    )
    query: Text | None = Field(
        default=None,
        description="The statement that says what became of `{key}`; no row: nothing is known "
        "of it.",
    )
    abilities: RefundAbilitiesSettings = Field(
        default=RefundAbilitiesSettings(),
        description="What this billing system promises of refunds.",
    )
    answer: RefundResultSettings = Field(
        default=RefundResultSettings(),
        description="Which rows mean what: columns by name, values compared as text.",
    )

    @field_validator("statement", "query")
    @classmethod
    def _has_the_key(cls, statement: str | None) -> str | None:
        if statement is not None and "key" not in check_statement(statement, REFUND_FIELDS):
            raise ValueError("{key} must be in the statement: billing dedupes by it")
        return statement

    @_model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.abilities.queryable and self.query is None:
            raise ValueError("abilities.queryable needs a query")
        return self
