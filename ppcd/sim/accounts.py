"""The simulated operator's prepaid accounts: balances, debits and refunds by key, how each behaves.

Owns the money and its record. Knows nothing of HTTP, and of time only what the journal says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    #: A limit of the subscriber's own is used up.
    LIMIT = "limit"
    #: Refused for a reason that has no word of its own.
    REJECTED = "rejected"
    # What is said of debits here holds for refunds too.
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
class Refund(Order):
    """What the caller wants given back, and of which debit."""

    debit_key: str

    @classmethod
    def of(cls, order: Order, *, debit_key: str) -> Refund:
        """What an order asks for, as a refund."""
        return cls(
            key=order.key,
            msisdn=order.msisdn,
            amount_minor=order.amount_minor,
            currency=order.currency,
            debit_key=debit_key,
        )

    def asdict(self) -> dict[str, object]:
        return {**Order.asdict(self), "debit_key": self.debit_key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve(Order):
    """What the caller wants held, under the key of the debit that may follow."""

    @classmethod
    def of(cls, order: Order) -> Reserve:
        """What an order asks for, held only."""
        return cls(
            key=order.key,
            msisdn=order.msisdn,
            amount_minor=order.amount_minor,
            currency=order.currency,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of an order: debited or refunded with a reference, or refused with a reason."""

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
    refunds: list[Record] = field(default_factory=list)


def well_behaved(msisdn: str) -> Mode:
    """How billing behaves for an account that nobody has set."""
    return Mode.OK


#: Modes that refuse whatever the balance, and the reason they give.
REFUSING = {
    Mode.INSUFFICIENT: "insufficient",
    Mode.BARRED: "barred",
    Mode.UNKNOWN: "unknown",
    Mode.LIMIT: "limit",
    Mode.REJECTED: "rejected",
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
        mode_of: Callable[[str], Mode] = well_behaved,
    ) -> None:
        """`mode_of` says how billing behaves for an account that was never set."""
        self._journal = journal
        self._balance_minor = balance_minor
        self._currency = currency
        self._idempotent = idempotent
        self._stores_refusals = stores_refusals
        self._mode_of = mode_of
        self._accounts: dict[str, Account] = {}
        self._records: dict[str, Record] = {}
        #: What is held now, by key.
        self._held: dict[str, Record] = {}
        self._references = 0

    def account(self, msisdn: str) -> Account:
        """The account; one never set has the opening balance, and behaves well unless its number
        says otherwise.
        """
        known = self._accounts.get(msisdn)
        mode = self._mode_of(msisdn)
        return known or Account(msisdn, self._balance_minor, self._currency, mode)

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
        """Debits, gives back or refuses, once a key; the same key again gives back the record.

        Raises Conflict. A billing that is not idempotent does it every time it is asked.
        """
        known = self._records.get(order.key)
        if known is not None and self._idempotent:
            if known.order != order:
                self._journal.write("conflict", **order.asdict())
                raise Conflict(order.key)
            self._journal.write("repeated", key=order.key, result=known.result)
            return known
        refund = isinstance(order, Refund)
        reason = self._refusal(order)
        if reason is not None:
            at = self._journal.write(
                "refund_refused" if refund else "refused", **order.asdict(), reason=reason
            )
            return self._keep(order, reason, at)
        if isinstance(order, Refund):
            reference = f"SR{self._references + 1:09d}"
            at = self._journal.write("refunded", **order.asdict(), reference=reference)
            return self._credit(order, reference, at)
        if isinstance(order, Reserve):
            reference = f"SH{self._references + 1:09d}"
            at = self._journal.write("reserved", **order.asdict(), reference=reference)
            return self._hold(order, reference, at)
        reference = f"SB{self._references + 1:09d}"
        at = self._journal.write("debited", **order.asdict(), reference=reference)
        return self._debit(order, reference, at)

    def capture(self, order: Order) -> Record | None:
        """Takes what is held under the key, once; None when nothing is held there, or ever was.

        A refusal lets go of it.
        """
        known = self._held.get(order.key)
        if known is None:
            before = self._records.get(order.key)
            return before if before and before.result in ("debited", "refused") else None
        reason = REFUSING.get(self.account(order.msisdn).mode)
        if reason is None:
            at = self._journal.write("debited", **order.asdict(), reference=known.reference)
            return self._debit(order, known.reference or "", at)
        self.release(order.key)
        at = self._journal.write("refused", **order.asdict(), reason=reason)
        return self._keep(order, reason, at)

    def release(self, key: str) -> Record | None:
        """Lets go of what is held under the key; None when nothing is."""
        held = self._held.get(key)
        if held is None:
            return None
        self._journal.write("released", key=key, msisdn=held.order.msisdn)
        return self._let_go(key)

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
                case "reserved":
                    self._hold(Reserve.of(_order(entry)), entry["reference"], entry["at"])
                case "released":
                    self._let_go(entry["key"])
                case "refunded":
                    self._credit(_refund(entry), entry["reference"], entry["at"])
                case "refused":
                    self._keep(_order(entry), entry["reason"], entry["at"])
                case "refund_refused":
                    self._keep(_refund(entry), entry["reason"], entry["at"])

    def _refusal(self, order: Order) -> str | None:
        account = self.account(order.msisdn)
        if isinstance(order, Refund):
            return self._refusal_to_give_back(order, account)
        if account.mode in REFUSING:
            return REFUSING[account.mode]
        if order.currency != account.currency:
            return "currency"
        held_minor = sum(
            record.order.amount_minor
            for record in self._held.values()
            if record.order.msisdn == order.msisdn
        )
        if order.amount_minor > account.balance_minor - held_minor:
            return "insufficient"
        return None

    def _refusal_to_give_back(self, refund: Refund, account: Account) -> str | None:
        """An empty account is no reason."""
        if account.mode in REFUSING and account.mode is not Mode.INSUFFICIENT:
            return REFUSING[account.mode]
        debited = sum(
            record.order.amount_minor
            for record in account.debits
            if (record.order.key, record.order.currency) == (refund.debit_key, refund.currency)
        )
        if debited == 0:
            return "no_such_debit"
        given_back = sum(
            record.order.amount_minor
            for record in account.refunds
            if isinstance(record.order, Refund) and record.order.debit_key == refund.debit_key
        )
        return "too_much" if given_back + refund.amount_minor > debited else None

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
        self._held.pop(order.key, None)
        self._accounts[order.msisdn] = replace(
            account, balance_minor=account.balance_minor - order.amount_minor
        )
        self._records[order.key] = record
        return record

    def _hold(self, order: Order, reference: str, at: str) -> Record:
        record = Record(order=order, result="reserved", reference=reference, reason=None, at=at)
        self._references += 1
        self._records[order.key] = self._held[order.key] = record
        return record

    def _let_go(self, key: str) -> Record:
        held = self._held.pop(key)
        # Whatever comes late under this key reserves nothing any more.
        self._records[key] = released = replace(held, result="released", reference=None)
        return released

    def _credit(self, refund: Refund, reference: str, at: str) -> Record:
        account = self.account(refund.msisdn)
        record = Record(order=refund, result="refunded", reference=reference, reason=None, at=at)
        account.refunds.append(record)
        self._references += 1
        self._accounts[refund.msisdn] = replace(
            account, balance_minor=account.balance_minor + refund.amount_minor
        )
        self._records[refund.key] = record
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


def _refund(entry: dict[str, Any]) -> Refund:
    return Refund.of(_order(entry), debit_key=entry["debit_key"])
