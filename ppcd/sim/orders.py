"""The demo shop's orders: what was bought by whom, and what its buyer is told.

Owns an order's life as a partner sees it. Knows the payment API's words, and no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import Deferred

CONTEXT_PREFIX: Final = "PPCD."


@dataclass(frozen=True, slots=True)
class Tariff:
    id: str
    gold: int
    amount_minor: int
    currency: str = "UAH"

    @property
    def title(self) -> str:
        return f"{self.gold} gold"


TARIFFS: Final[Mapping[str, Tariff]] = MappingProxyType(
    {
        tariff.id: tariff
        for tariff in (
            Tariff("gold-250", 250, 2500),
            Tariff("gold-500", 500, 5000),
            Tariff("gold-1000", 1000, 10_000),
        )
    }
)


class Progress(StrEnum):
    """What the shop knows of an order."""

    WAITING = "waiting"
    DEBITING = "debiting"
    #: The operator's billing has not said what happened.
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"


_CONTEXTS: Final = {
    "PPCD.AWAITING_REPLY": Progress.WAITING,
    "PPCD.DEBITING": Progress.DEBITING,
    "PPCD.OUTCOME_PENDING": Progress.PENDING,
}


@dataclass(slots=True)
class Order:
    """One attempt to buy. `reason` says why it failed, in the payment API's own token."""

    id: str
    tariff: Tariff
    phone: str
    payment_id: str
    progress: Progress = Progress.WAITING
    reason: str | None = None
    _watchers: list[Deferred[None]] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.progress in (Progress.PAID, Progress.FAILED)

    def learn(self, payment: Mapping[str, Any]) -> None:
        """Takes over what a payment resource says."""
        context = payment.get("contextCode")
        match payment.get("paymentStatus"):
            case "succeeded":
                self.become(Progress.PAID)
            case "denied" | "cancelled":
                reason = payment.get("denialReason") or str(context or "")
                self.become(Progress.FAILED, reason.removeprefix(CONTEXT_PREFIX) or None)
            case "processing" if context in _CONTEXTS:
                self.become(_CONTEXTS[context])

    def become(self, progress: Progress, reason: str | None = None) -> None:
        """Moves on and tells whoever watches; an end is never left again."""
        if self.ended or (progress, reason) == (self.progress, self.reason):
            return
        self.progress, self.reason = progress, reason
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.callback(None)

    def changed(self) -> Deferred[None]:
        """Fires at the next change; cancelling it is harmless."""
        watcher: Deferred[None] = Deferred(lambda gone: self._watchers.remove(gone))
        self._watchers.append(watcher)
        return watcher

    def describe(self) -> dict[str, object]:
        return {
            "order": self.id,
            "tariff": self.tariff.id,
            "title": self.tariff.title,
            "amount_minor": self.tariff.amount_minor,
            "currency": self.tariff.currency,
            "phone": self.phone,
            "progress": self.progress.value,
            "reason": self.reason,
        }


def e164(typed: str) -> str | None:
    """+380… from any usual way to type a Ukrainian mobile number; None when it is none."""
    digits = "".join(c for c in typed if c.isascii() and c.isdigit())
    if len(digits) == 10 and digits.startswith("0"):
        digits = "38" + digits
    elif len(digits) == 9 and not digits.startswith("0"):
        digits = "380" + digits
    fits = len(digits) == 12 and digits.startswith("380") and digits[3] != "0"
    return "+" + digits if fits else None
