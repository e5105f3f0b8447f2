"""How fast a billing system may be asked, and when it is left alone: the same for every kind."""

from __future__ import annotations

from typing import Self

from pydantic import Field
from pydantic import model_validator as _model_validator

from ppcd.billing.answers import Section
from ppcd.flow.pace import PaceRules

__all__ = ["PaceSettings"]


class PaceSettings(Section):
    """What one node may ask of this billing system."""

    running_max: int | None = Field(
        default=None,
        ge=1,
        le=20_000,
        description="Debits under way at once; left out, four times as many as can be sent at once "
        "(connections, or unanswered requests).",
    )
    rate_max: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Requests a second from one node; left out, no limit. After an outage what has "
        "waited is sent at this rate. Too high: billing is flooded when it comes back.",
    )
    failures_max: int = Field(
        default=5,
        ge=1,
        le=10_000,
        description="Charges in a row that billing did not take or gave no clear answer to, after "
        "which it is left alone for a while. Too low: a hiccup holds up everybody. Too high: an "
        "outage leaves many charges in doubt.",
    )
    pause_first_s: float = Field(
        default=1,
        gt=0,
        le=60,
        description="Seconds after which it is tried again with one debit; doubled with each "
        "failure, and up to half as much longer by chance.",
    )
    pause_max_s: float = Field(
        default=30, gt=0, le=600, description="Most seconds between two such tries."
    )

    @_model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.pause_max_s < self.pause_first_s:
            raise ValueError("pause_max_s must not be below pause_first_s")
        return self

    def rules(self, at_once: int) -> PaceRules:
        """With what the kind can send at once."""
        return PaceRules(
            running_max=self.running_max or 4 * at_once,
            rate_max=self.rate_max,
            failures_max=self.failures_max,
            pause_first_s=self.pause_first_s,
            pause_max_s=self.pause_max_s,
        )
