"""The `retention` section: what is kept for how long, and where it goes then."""

from __future__ import annotations

from pydantic import Field, field_validator

from ppcd.config.types import Section, Whole

__all__ = ["Retention"]


class Retention(Section):
    """For how long the operator keeps what was, as its law says. `ppcd retention` acts on it."""

    charges_months: Whole = Field(
        default=0,
        ge=0,
        le=1200,
        description="Months after which charges, their debits, refunds and ends may go. Too few, "
        "and a dispute finds nothing. 0, here and below: they are kept for ever.",
    )
    messages_months: Whole = Field(
        default=0,
        ge=0,
        le=1200,
        description="The same for texts, receipts and replies, which are the evidence of consent.",
    )
    notifications_months: Whole = Field(
        default=0,
        ge=0,
        le=1200,
        description="The same for what partners were told, and when.",
    )
    directory: str | None = Field(
        default=None,
        description="Directory, by its whole path, in which exports are kept before anything is "
        "dropped. They hold subscribers' numbers: keep it on an encrypted disk.",
    )
    months_ahead: Whole = Field(
        default=3,
        ge=2,
        le=24,
        description="Months for which partitions are made ahead, by any node.",
    )

    @field_validator("directory")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        if path is not None and not path.startswith("/"):
            raise ValueError("must be an absolute path, beginning with /")
        return path
