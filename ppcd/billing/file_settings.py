"""How files of debits (CDRs) are described: where they go, what a record is, when a file ends."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import Section
from ppcd.billing.pace_settings import PaceSettings
from ppcd.billing.settings import AbilitiesSettings
from ppcd.billing.template import FIELDS, REFUND_FIELDS, check_template, fill

__all__ = ["FileBillingSettings"]

Text = Annotated[str, StringConstraints(min_length=1)]
Path = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$")]


class FileBillingSettings(Section):
    """Post-paid or batch billing that takes files: a debit is a record in one, made once a key."""

    kind: Literal["file"] = Field(description="This kind of billing system.")
    directory: Path = Field(
        description="Directory, by its whole path, in which finished files appear, renamed into "
        "place. Whoever collects them takes them away."
    )
    journal: Path = Field(
        description="Directory of the journal, by its whole path, on a disk that survives a crash. "
        "One for all nodes of a database: with one each, a debit that another node takes over is "
        "written twice. A second process that finds it in use writes nothing."
    )
    name: Text = Field(
        default="ppcd_{time:%Y%m%d%H%M%S}_{sequence}.csv",
        description="Name of a file: `{sequence}` and a `{time:…}` in UTC, when it was begun.",
    )
    header: Text | None = Field(default=None, description="First line of each file.")
    record: Text = Field(
        default="{key};{time:%Y%m%d%H%M%S};{msisdn};{amount_minor};{currency};{merchant}",
        description="A debit's line, fields of the order in braces, with `{time:…}` in UTC.",
    )
    refund_record: Text | None = Field(
        default=None,
        description="A refund's line, a credit to whoever reads the files; also `{debit_key}` and "
        "`{debit_reference}`, key and place of the debit's record. None: refunds are refused to "
        "the partner.",
    )
    encoding: Literal["csv", "json"] = Field(
        default="csv",
        description="How a record's values are kept inside their fields: `csv` puts quotes around "
        "those that need them, `json` escapes what stands between quotes.",
    )
    records_max: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Records after which a file ends."
    )
    age_s: float = Field(
        default=300, gt=0, le=86_400, description="Seconds after its first record that a file ends."
    )
    keys_kept_days: int = Field(
        default=8,
        ge=1,
        le=60,
        description="Days for which a key is remembered, in memory too (about 200 bytes each). "
        "Longer than `charges.in_doubt_horizon_s`, or a debit may be written twice.",
    )
    pace: PaceSettings = Field(
        default=PaceSettings(), description="How fast it is asked, and when it is left alone."
    )

    @property
    def at_once_max(self) -> int:
        """What is synced in one go."""
        return 500

    @property
    def abilities(self) -> AbilitiesSettings:
        """The journal's promises, not the operator's."""
        return AbilitiesSettings(
            idempotent=True,
            queryable=True,
            reversible=self.refund_record is not None,
            quiet_period_s=10,
        )

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, value: str) -> str:
        plain = re.sub(r"\{(sequence|time:[^{}]*)\}", "", value)
        check_template(value.replace("{sequence}", ""))
        if "{sequence}" not in value or not re.fullmatch(r"[A-Za-z0-9_.-]*", plain):
            raise ValueError("must be letters, digits, _ . - with {sequence} and {time:…} in it")
        if value.startswith("."):
            raise ValueError("must not begin with a dot: that is what unfinished files do")
        return value

    @field_validator("header", "record", "refund_record")
    @classmethod
    def _is_a_line(cls, value: str | None) -> str | None:
        value = value and value.rstrip("\n")
        if value is not None and len(value.splitlines()) != 1:
            raise ValueError("must be one line")
        return value

    @_model_validator(mode="after")
    def _has_the_key(self) -> Self:
        self._check("record", self.record, FIELDS)
        if self.refund_record is not None:
            self._check("refund_record", self.refund_record, REFUND_FIELDS)
        return self

    def _check(self, name: str, record: str, fields: frozenset[str]) -> None:
        names = check_template(record, fields)
        if "key" not in names or "password" in names:
            raise ValueError(f"{name} must have {{key}} in it, and no password")
        if self.encoding == "json":
            try:
                json.loads(fill(record, _sample, "json"))
            except ValueError as exc:
                raise ValueError(f"{name} is not JSON: {exc}") from exc


def _sample(name: str) -> str:
    texts = ("merchant", "description", "debit_reference")
    return 'a"' if name in texts or name.startswith("time") else "1"
