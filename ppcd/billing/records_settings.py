"""How a billing system's own file of debits is described: its lines, its columns, its words."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import Section
from ppcd.charge.money import EXPONENTS

__all__ = ["Columns", "RecordsSettings"]

Column = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Word = Annotated[str, StringConstraints(max_length=200)]


class Columns(Section):
    """Which column holds what: its name in the header, or its number, from 1."""

    key: Column = Field(description="The debit key: the charge's id, as ppcd sent it.")
    amount: Column = Field(description="The amount.")
    currency: Column | None = Field(
        default=None, description="ISO 4217 code; without it, `currency` holds for all rows."
    )
    result: Column | None = Field(
        default=None, description="What became of it; without it, every row is money taken."
    )
    time: Column | None = Field(
        default=None,
        description="When billing booked it; without it, `--from` and `--to` must say the period.",
    )
    kind: Column | None = Field(default=None, description="Debit or refund (`refunds: kind`).")
    msisdn: Column | None = Field(
        default=None, description="The subscriber's number, with country code; compared if given."
    )
    reference: Column | None = Field(
        default=None, description="Billing's reference, kept with what is settled."
    )


class RecordsSettings(Section):
    """A file with one row a debit."""

    columns: Columns = Field(description="Where things stand in a row.")
    delimiter: str = Field(
        default=",", description="One character between fields, or the word `tab`."
    )
    encoding: str = Field(default="utf-8", description="Such as utf-8 or cp1251.")
    header: bool = Field(default=True, description="Whether the first line names the columns.")
    ignore_lines: tuple[Word, ...] = Field(
        default=(), description="Beginnings of lines that are no rows: comments, trailers."
    )
    currency: str | None = Field(
        default=None, description="The currency of all rows, where no column says it."
    )
    amount_form: Literal["major", "minor"] = Field(
        default="major", description="major: 25.00 is twenty-five; minor: 2500 is."
    )
    decimal_point: Literal[".", ","] = Field(
        default=".", description="Of amounts in major units. Thousands must not be grouped."
    )
    time_form: str = Field(
        default="iso",
        min_length=1,
        description="`iso` (2026-11-23T12:04:05+02:00), `unix`, `unix_ms`, or a form for strptime "
        "such as `%d.%m.%Y %H:%M:%S`.",
    )
    time_zone: str = Field(
        default="UTC", description="Of times that don't say it themselves, such as Europe/Kyiv."
    )
    results: dict[str, Literal["debited", "denied", "ignored"]] = Field(
        default_factory=dict,
        description="Billing's words in the column `result`, and what they mean. A word that is "
        "not here is an error.",
    )
    refunds: Literal["none", "negative", "kind"] = Field(
        default="none",
        description="How a refund shows: not at all, by a negative amount, or in the column "
        "`kind`.",
    )
    kinds: dict[str, Literal["debit", "refund", "ignored"]] = Field(
        default_factory=dict, description="Billing's words in the column `kind`."
    )

    @property
    def separator(self) -> str:
        """The delimiter itself."""
        return "\t" if self.delimiter == "tab" else self.delimiter

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if value != "tab" and (len(value) != 1 or value in '"\r\n'):
            raise ValueError("must be one character, or the word tab")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError("is no encoding, such as utf-8 or cp1251") from None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            if value != "UTC":
                ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is no time zone of this machine, such as Europe/Kyiv") from None
        return value

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str | None) -> str | None:
        if value is not None and value not in EXPONENTS:
            raise ValueError("is no currency, such as UAH")
        return value

    @_model_validator(mode="after")
    def _together(self) -> Self:
        columns = self.columns
        if (columns.currency is None) == (self.currency is None):
            raise ValueError("must have currency or columns.currency, one of them")
        if (columns.result is None) != (not self.results):
            raise ValueError("columns.result and results go together")
        if (self.refunds == "kind") != (columns.kind is not None) or (
            (columns.kind is None) != (not self.kinds)
        ):
            raise ValueError("refunds: kind, columns.kind and kinds go together")
        named = [value for value in columns.model_dump().values() if value is not None]
        if not self.header and not all(value.isdecimal() and int(value) for value in named):
            raise ValueError("columns must be numbers from 1, as there is no header")
        return self
