"""How an operator's billing database is described: statements, and what their rows mean."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import ResultSettings, Section
from ppcd.billing.pace_settings import PaceSettings
from ppcd.billing.refund_settings import SqlRefundSettings
from ppcd.billing.reserve_settings import SqlCaptureSettings, SqlReleaseSettings, SqlReserveSettings
from ppcd.billing.settings import AbilitiesSettings
from ppcd.billing.template import check_statement

__all__ = ["SqlBillingSettings"]

Text = Annotated[str, StringConstraints(min_length=1)]


class SqlBillingSettings(Section):
    """A billing system in a PostgreSQL database, asked with one statement a debit."""

    kind: Literal["sql"] = Field(description="This kind of billing system.")
    dsn: Text = Field(
        description="A libpq connection string or URL without password. PostgreSQL 15 or newer; "
        "several hosts are allowed, with `target_session_attrs=read-write`."
    )
    password_file: Text | None = Field(
        default=None,
        description="File with the role's password; must not be readable by others.",
        json_schema_extra={"file": True},
    )
    password_credential: str | None = Field(
        default=None, description="The same as a systemd credential's name instead of a file."
    )
    debit: Text = Field(
        description="The statement that debits and gives one row, such as `SELECT * FROM "
        "billing.debit({key}, {msisdn}, {amount_minor})`. Fields of the order are parameters, "
        "never text. It runs in a transaction of its own (see `together_max`) and must do nothing "
        "outside of it."
    )
    query: Text | None = Field(
        default=None,
        description="The statement that says what became of `{key}`; no row: nothing is known "
        "of it.",
    )
    connections_max: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Connections kept open, so also transactions at once.",
    )
    together_max: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Debits that may share a transaction when more wait than there are "
        "connections. Several times as many a second, where commits take their time; but what one "
        "locks it keeps until all are done, and a lost commit leaves all of them in doubt. Where "
        "one fails, or all take longer than `timeout_s`, each is tried by itself.",
    )
    timeout_s: float = Field(
        default=5,
        gt=0,
        le=20,
        description="Seconds until the server cancels a statement, or a transaction that we left "
        "open; nothing was debited then.",
    )
    commit_timeout_s: float = Field(
        default=8,
        gt=0,
        le=20,
        description="Seconds for the answer to a commit; after them the outcome is unknown.",
    )
    connect_timeout_s: int = Field(
        default=3, ge=1, le=10, description="Seconds to wait for a connection to each host."
    )
    abilities: AbilitiesSettings = Field(
        default=AbilitiesSettings(), description="What this billing system promises."
    )
    answer: ResultSettings = Field(
        default=ResultSettings(),
        description="Which rows mean what: columns by name, values compared as text.",
    )
    refund: SqlRefundSettings | None = Field(
        default=None, description="How money is given back; with `abilities.reversible`."
    )
    reserve: SqlReserveSettings | None = Field(
        default=None,
        description="How money is held for payments in two steps; with `abilities.reserving`.",
    )
    capture: SqlCaptureSettings | None = Field(
        default=None, description="How what is held is taken; with `abilities.reserving`."
    )
    release: SqlReleaseSettings | None = Field(
        default=None, description="How what is held is let go; with `abilities.reserving`."
    )
    pace: PaceSettings = Field(
        default=PaceSettings(), description="How fast it is asked, and when it is left alone."
    )

    @property
    def at_once_max(self) -> int:
        """How many requests can be sent before one is answered."""
        return self.connections_max * self.together_max

    @field_validator("dsn")
    @classmethod
    def _no_password(cls, dsn: str) -> str:
        if re.search(r"://[^/@\s]*:[^/@\s]*@|[?&\s]password\s*=|^password\s*=", dsn):
            raise ValueError("must not hold a password: use password_file")
        return dsn

    @field_validator("debit", "query")
    @classmethod
    def _has_the_key(cls, statement: str | None) -> str | None:
        if statement is not None and "key" not in check_statement(statement):
            raise ValueError("{key} must be in the statement: billing dedupes by it")
        return statement

    @_model_validator(mode="after")
    def _fits_together(self) -> Self:
        promised = self.abilities
        if promised.queryable and self.query is None:
            raise ValueError("abilities.queryable needs a query")
        steps = (self.reserve, self.capture, self.release)
        if any(promised.reserving == (step is None) for step in steps):
            raise ValueError("abilities.reserving and reserve, capture, release belong together")
        if promised.reversible != (self.refund is not None):
            raise ValueError("abilities.reversible and refund belong together")
        if self.password_file and self.password_credential:
            raise ValueError("give password_file or password_credential, not both")
        longest_s = 2 * self.timeout_s + self.commit_timeout_s
        refund = self.refund
        quiet_s = [promised.quiet_period_s, *([refund.abilities.quiet_period_s] if refund else [])]
        if min(quiet_s) < longest_s:
            raise ValueError(
                f"abilities.quiet_period_s must be at least {longest_s:g}: a statement can take "
                "effect as late as 2 * timeout_s + commit_timeout_s"
            )
        return self
