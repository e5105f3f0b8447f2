"""The `limits` section: how often phones are asked, and how much is debited."""

from __future__ import annotations

from pydantic import Field

from ppcd.config.types import AmountByCurrency, Number, Section, Whole

__all__ = ["Limits"]


class Limits(Section):
    """How often one phone is asked, and how much is debited, through all nodes together."""

    prompts_per_hour_max: Whole = Field(
        default=60,
        ge=0,
        le=1000,
        description="Charges for one phone within an hour; more get 429. The default only stops a "
        "flood: 3 suits most. 0: no limit, and anybody with a key can bomb a phone with texts.",
    )
    prompts_per_day_max: Whole = Field(
        default=200,
        ge=0,
        le=1000,
        description="Charges for one phone within 24 hours; more get 429. 10 suits most. 0: no "
        "limit.",
    )
    open_max: Whole = Field(
        default=0,
        ge=0,
        le=1000,
        description="Charges of one phone that wait for its answer at the same time; more get 409. "
        "0: as many as the pool has addresses.",
    )
    stop_blocks_days: Whole = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Days for which a phone that answered STOP is not asked again, by any partner; "
        "`ppcd subscriber unblock` ends it. 0: a STOP only declines.",
    )
    agreed_min: Number = Field(
        default=0,
        ge=0,
        le=1,
        description="Share of a partner's charges that subscribers must say yes to, such as 0.05; "
        "a partner below it is slowed: it seems to ask people who did not order anything. 0: "
        "nobody is slowed.",
    )
    agreed_window_s: Whole = Field(
        default=3600,
        ge=60,
        le=86_400,
        description="Seconds back in which charges must have ended to count for that share.",
    )
    agreed_asked_min: Whole = Field(
        default=200,
        ge=1,
        le=1_000_000,
        description="Ended charges in that time below which nothing is concluded about a partner.",
    )
    slowed_per_minute_max: Whole = Field(
        default=10,
        ge=1,
        le=100_000,
        description="Charges a minute of a slowed partner, through all nodes together; more get "
        "429. Too few, and it needs long to show that it does better.",
    )
    charge_max: AmountByCurrency = Field(
        default_factory=dict,
        description="Amount for each currency that a charge may have at most; more gets 422. A "
        "currency left out has no limit, here and below.",
    )
    subscriber_day_max: AmountByCurrency = Field(
        default_factory=dict,
        description="Amount for each currency that a subscriber may be debited in a day "
        "(`charges.time_zone`) by all partners together; a charge beyond it gets 422, or is denied "
        "if the room was used up since. Refunds give nothing back.",
    )
    subscriber_month_max: AmountByCurrency = Field(
        default_factory=dict, description="The same in a calendar month."
    )
    partner_day_max: AmountByCurrency = Field(
        default_factory=dict,
        description="Amount for each currency that each partner's charges may debit in a day; "
        "`ppcd partner set-limits` has other amounts for one. Counted from when a limit is set.",
    )
    partner_month_max: AmountByCurrency = Field(
        default_factory=dict, description="The same in a calendar month."
    )
