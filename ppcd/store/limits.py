"""Limits by sum: which there are, for all partners and for one. What counts is `spending`'s."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ppcd.store.sql import Cursor


class Limit(StrEnum):
    """Which limit; the words of metrics and logs."""

    CHARGE = "charge"
    SUBSCRIBER_DAY = "subscriber_day"
    SUBSCRIBER_MONTH = "subscriber_month"
    PARTNER_DAY = "partner_day"
    PARTNER_MONTH = "partner_month"


Amounts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PartnerLimit:
    """A partner's own limits in one currency. None: what holds for all partners."""

    partner_id: int
    currency: str
    charge_minor: int | None
    day_minor: int | None
    month_minor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SumLimits:
    """The limits in force, in minor units by currency; a currency left out has none."""

    #: Whose days and months: a name that PostgreSQL knows.
    zone: str = "UTC"
    charge: Amounts = field(default_factory=dict)
    subscriber_day: Amounts = field(default_factory=dict)
    subscriber_month: Amounts = field(default_factory=dict)
    partner_day: Amounts = field(default_factory=dict)
    partner_month: Amounts = field(default_factory=dict)
    partners: Mapping[tuple[int, str], PartnerLimit] = field(default_factory=dict)

    @property
    def of_subscribers(self) -> bool:
        """Whether there is any on what a subscriber spends."""
        return bool(self.subscriber_day or self.subscriber_month)

    @property
    def any(self) -> bool:
        """Whether there is any at all: else nothing is asked of the database."""
        return bool(
            self.charge
            or self.of_subscribers
            or self.partner_day
            or self.partner_month
            or self.partners
        )

    def on(self, partner_id: int, currency: str) -> dict[Limit, int]:
        """Those that a charge of this partner must keep, in the order they are looked at."""
        own = self.partners.get((partner_id, currency))
        known = {
            Limit.CHARGE: (own and own.charge_minor) or self.charge.get(currency),
            Limit.SUBSCRIBER_DAY: self.subscriber_day.get(currency),
            Limit.SUBSCRIBER_MONTH: self.subscriber_month.get(currency),
            Limit.PARTNER_DAY: (own and own.day_minor) or self.partner_day.get(currency),
            Limit.PARTNER_MONTH: (own and own.month_minor) or self.partner_month.get(currency),
        }
        return {limit: most for limit, most in known.items() if most is not None}


NO_SUM_LIMITS: Final = SumLimits()


@dataclass(frozen=True, slots=True)
class OverLimit:
    """No charge was created and nobody is asked: this one is over a limit."""

    limit: Limit


# --- the register

_OWN = """
    SELECT partner_id, currency, charge_minor, day_minor, month_minor FROM partner_limit
     ORDER BY partner_id, currency
"""


def partner_limits(cur: Cursor) -> dict[tuple[int, str], PartnerLimit]:
    """Limits of partners' own, by partner and currency."""
    found = [PartnerLimit(*row) for row in cur.execute(_OWN).fetchall()]
    return {(own.partner_id, own.currency): own for own in found}


_SET_OWN = """
    INSERT INTO partner_limit (partner_id, currency, charge_minor, day_minor, month_minor)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (partner_id, currency) DO UPDATE
       SET charge_minor = excluded.charge_minor, day_minor = excluded.day_minor,
           month_minor = excluded.month_minor
"""


def set_partner_limit(cur: Cursor, own: PartnerLimit) -> None:
    """Give a partner limits of its own in one currency, in place of those it had."""
    if own.charge_minor is own.day_minor is own.month_minor is None:
        cur.execute(
            "DELETE FROM partner_limit WHERE partner_id = %s AND currency = %s",
            (own.partner_id, own.currency),
        )
        return
    values = (own.charge_minor, own.day_minor, own.month_minor)
    cur.execute(_SET_OWN, (own.partner_id, own.currency, *values))
