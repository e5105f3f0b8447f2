"""The demo shop's orders: what a buyer wants, and whether it is paid.

Owns an order as the shop sees it. Knows no HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Integration(StrEnum):
    """The three ways to use the payment page."""

    #: Tariff, then number, then the SMS.
    STEPS = "1"
    #: Tariff and number on one page.
    ONE_PAGE = "2"
    #: The shop knows its buyer's number: tariff and one press.
    KNOWN = "known"


@dataclass(slots=True)
class Order:
    """One purchase: one session, at most one payment."""

    id: str
    integration: Integration
    #: The number linked to the buyer's account, as +380…; asked for by nobody then.
    phone: str | None = None
    #: Where its payment page is, once somebody wanted to pay.
    url: str | None = None
    session: str | None = None
    #: What was bought, once it is paid, such as "500 gold".
    bought: str | None = None

    def describe(self) -> dict[str, object]:
        return {"order": self.id, "paid": self.bought is not None, "bought": self.bought}
