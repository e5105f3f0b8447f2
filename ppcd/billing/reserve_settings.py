"""How a billing system holds money first: what HTTP and SQL ask for each of the two steps."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import ReleaseResultSettings, ReserveResultSettings, ResultSettings
from ppcd.billing.answers import Section as _Section
from ppcd.billing.exchanges import (
    AnswerSettings,
    HttpAnswer,
    RequestSettings,
    check_key,
    read_headers,
    read_url,
)
from ppcd.billing.template import OrderField, check_statement

__all__ = [
    "HttpActSettings",
    "HttpCaptureSettings",
    "HttpReleaseSettings",
    "HttpReserveSettings",
    "ReleaseAnswerSettings",
    "ReserveAnswerSettings",
    "SqlCaptureSettings",
    "SqlReleaseSettings",
    "SqlReserveSettings",
]

Text = Annotated[str, StringConstraints(min_length=1)]

#: What a plain REST interface is sent.
PLAIN_ACT_BODY: Final[dict[str, OrderField]] = {
    "key": "key",
    "msisdn": "msisdn",
    "amount_minor": "amount_minor",
    "currency": "currency",
}


class ReserveAnswerSettings(HttpAnswer, ReserveResultSettings):
    """Which answers to a reserve mean what."""


class ReleaseAnswerSettings(HttpAnswer, ReleaseResultSettings):
    """Which answers to a release mean what; «not found» means that nothing is held."""


class HttpActSettings(RequestSettings):
    """How one of the two steps is asked for. The key is the charge's, in each of them."""

    url: str = Field(
        description="Where it is asked for; order fields may stand in it. After the reserve "
        "`{reservation}` is billing's own reference of it."
    )
    method: Literal["POST", "PUT", "DELETE"] = Field(default="POST", description="HTTP method.")
    headers: dict[str, str] | None = Field(
        default=None, description="Request headers in place of the debit's."
    )
    body: dict[Text, OrderField] = Field(
        default=PLAIN_ACT_BODY,
        description="Members of a JSON body and the order fields they carry, where there is no "
        "`template`.",
        min_length=1,
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
        check_key(self, url=self.url, headers=self.headers or {}, body=self.body)
        return self


class HttpReserveSettings(HttpActSettings):
    """How the money is held."""

    answer: ReserveAnswerSettings = Field(
        default=ReserveAnswerSettings(), description="Which answers mean what."
    )


class HttpCaptureSettings(HttpActSettings):
    """How what is held is taken."""

    answer: AnswerSettings = Field(default=AnswerSettings(), description="Which answers mean what.")


class HttpReleaseSettings(HttpActSettings):
    """How what is held is let go; it is repeated until it is answered."""

    answer: ReleaseAnswerSettings = Field(
        default=ReleaseAnswerSettings(), description="Which answers mean what."
    )


class _SqlAct(_Section):
    statement: Text = Field(
        description="The statement that does it and gives one row, as `debit` in all else. After "
        "the reserve `{reservation}` is billing's own reference of it."
    )

    @field_validator("statement")
    @classmethod
    def _has_the_key(cls, statement: str) -> str:
        if "key" not in check_statement(statement):
            raise ValueError("{key} must be in the statement: billing dedupes by it")
        return statement


class SqlReserveSettings(_SqlAct):
    """How the money is held."""

    answer: ReserveResultSettings = Field(
        default=ReserveResultSettings(), description="Which rows mean what, as for the debit."
    )


class SqlCaptureSettings(_SqlAct):
    """How what is held is taken."""

    answer: ResultSettings = Field(
        default=ResultSettings(), description="Which rows mean what, as for the debit."
    )


class SqlReleaseSettings(_SqlAct):
    """How what is held is let go; it is repeated until it is answered."""

    answer: ReleaseResultSettings = Field(
        default=ReleaseResultSettings(), description="Which rows mean what, as for the debit."
    )
