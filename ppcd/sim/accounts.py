"""The simulated operator's prepaid accounts: balances, debits by key, and how each behaves.

Owns the money and its record. Knows nothing of HTTP, and of time only what the journal says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ppcd.sim.journal import Journal


class Mode(StrEnum):
    """How billing behaves for one account."""

    OK = "ok"
    INSUFFICIENT = "insufficient"
    BARRED = "barred"
    #: No such subscriber.
    UNKNOWN = "unknown"
    #: Debits, and answers after `slow_s`.
    SLOW = "slow"
    #: Never answers, never debits.
    TIMEOUT = "timeout"
    #: Debits and never answers the first time; the same key again gets the recorded answer.
    TIMEOUT_AFTER_DEBIT = "timeout_after_debit"
    #: 503, account untouched.
    UNAVAILABLE = "unavailable"
    # The rest is for tests of what billing systems also do.
    #: Never answers the first request of a key, and debits it `zombie_s` later.
    ZOMBIE = "zombie"
    #: 500, account untouched.
    ERROR_BEFORE_DEBIT = "error_before_debit"
    #: Debits and answers 500 the first time.
    ERROR_AFTER_DEBIT = "error_after_debit"
    #: Debits and answers what is not JSON the first time.
    GARBAGE = "garbage"
    #: Debits and closes the connection without an answer the first time.
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the caller wants debited."""

    key: str
    msisdn: str
    amount_minor: int
    currency: str

    def asdict(self) -> dict[str, object]:
        return {
            "key": self.key,
            "msisdn": self.msisdn,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of an order: debited with a reference, or refused with a reason."""

    order: Order
    result: str
    reference: str | None
    reason: str | None
    at: str


class Conflict(Exception):
    """The key was used before for another account or amount."""


@dataclass(frozen=True, slots=True)
class Account:
    msisdn: str
    balance_minor: int
    currency: str
    mode: Mode = Mode.OK
    debits: list[Record] = field(default_factory=list)


#: Modes that refuse whatever the balance, and the reason they give.
REFUSING = {
    Mode.INSUFFICIENT: "insufficient",
    Mode.BARRED: "barred",
    Mode.UNKNOWN: "unknown",
}


class Accounts:
    """All accounts and all recorded results; every change is in the journal before it counts."""

    def __init__(
        self,
        journal: Journal,
        *,
        balance_minor: int,
        currency: str,
        idempotent: bool,
        stores_refusals: bool,
    ) -> None:
        self._journal = journal
        self._balance_minor = balance_minor
        self._currency = currency
        self._idempotent = idempotent
        self._stores_refusals = stores_refusals
        self._accounts: dict[str, Account] = {}
        self._records: dict[str, Record] = {}
        self._references = 0

    def account(self, msisdn: str) -> Account:
        """The account; one never set has the opening balance and behaves well."""
        known = self._accounts.get(msisdn)
        return known or Account(msisdn, self._balance_minor, self._currency)

    def put(self, msisdn: str, *, balance_minor: int, currency: str, mode: Mode) -> Account:
        self._journal.write(
            "account_set",
            msisdn=msisdn,
            balance_minor=balance_minor,
            currency=currency,
            mode=mode.value,
        )
        return self._set(msisdn, balance_minor, currency, mode)

    def record(self, key: str) -> Record | None:
        return self._records.get(key)

    def settle(self, order: Order) -> Record:
        """Debits or refuses, once a key; the same key again gives back what was recorded.

        Raises Conflict. A billing that is not idempotent debits every time it is asked.
        """
        known = self._records.get(order.key)
        if known is not None and self._idempotent:
            if known.order != order:
                self._journal.write("conflict", **order.asdict())
                raise Conflict(order.key)
            self._journal.write("repeated", key=order.key, result=known.result)
            return known
        reason = self._refusal(order)
        if reason is not None:
            return self._refuse(order, reason)
        reference = f"SB{self._references + 1:09d}"
        at = self._journal.write("debited", **order.asdict(), reference=reference)
        return self._debit(order, reference, at)

    def replay(self, entries: Iterable[dict[str, Any]]) -> None:
        """Brings back the state that the journal of an earlier run tells of."""
        for entry in entries:
            match entry["entry"]:
                case "account_set":
                    self._set(
                        entry["msisdn"],
                        entry["balance_minor"],
                        entry["currency"],
                        Mode(entry["mode"]),
                    )
                case "debited":
                    self._debit(_order(entry), entry["reference"], entry["at"])
                case "refused":
                    self._keep(_order(entry), entry["reason"], entry["at"])

    def _refusal(self, order: Order) -> str | None:
        account = self.account(order.msisdn)
        if account.mode in REFUSING:
            return REFUSING[account.mode]
        if order.currency != account.currency:
            return "currency"
        if order.amount_minor > account.balance_minor:
            return "insufficient"
        return None

    def _refuse(self, order: Order, reason: str) -> Record:
        at = self._journal.write("refused", **order.asdict(), reason=reason)
        return self._keep(order, reason, at)

    def _keep(self, order: Order, reason: str, at: str) -> Record:
        record = Record(order=order, result="refused", reference=None, reason=reason, at=at)
        if self._stores_refusals:
            self._records[order.key] = record
        return record

    def _debit(self, order: Order, reference: str, at: str) -> Record:
        account = self.account(order.msisdn)
        record = Record(order=order, result="debited", reference=reference, reason=None, at=at)
        account.debits.append(record)
        self._references += 1
        self._accounts[order.msisdn] = replace(
            account, balance_minor=account.balance_minor - order.amount_minor
        )
        self._records[order.key] = record
        return record

    def _set(self, msisdn: str, balance_minor: int, currency: str, mode: Mode) -> Account:
        account = replace(
            self.account(msisdn), balance_minor=balance_minor, currency=currency, mode=mode
        )
        self._accounts[msisdn] = account
        return account


def _order(entry: dict[str, Any]) -> Order:
    return Order(
        key=entry["key"],
        msisdn=entry["msisdn"],
        amount_minor=entry["amount_minor"],
        currency=entry["currency"],
    )
