"""What the transactions take and give, row by row: plain values, no behaviour.

Times are aware UTC. An MSISDN is an integer here (its E.164 digits); no row is to be logged whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import NamedTuple, overload

from ppcd.store.runs import Runs

#: `awaiting` and `hold` are keyed by subscriber and reply address in one integer.
ADDRESSES_MAX = 1000


def awaiting_key(msisdn: int, address_no: int) -> int:
    """The key of `awaiting` and `hold`: MSISDN, then three digits of the reply address's number."""
    assert 0 <= address_no < ADDRESSES_MAX
    return msisdn * ADDRESSES_MAX + address_no


def msisdn_of(key: int) -> int:
    """Whose key it is."""
    return key // ADDRESSES_MAX


class PromptNo:
    """Which of a charge's texts, each sent for once; 1 to 99 are the prompt's repetitions."""

    PROMPT = 0
    RECEIPT = 100
    NOT_DEBITED = 101
    LATE_YES = 102
    LATE_NO = 103


@dataclass(frozen=True, slots=True)
class Address:
    """One reply address of a route's pool; its number never changes."""

    address_no: int
    address: str


@dataclass(frozen=True, slots=True)
class NewCharge:
    """A charge as accepted by `flow`, before it has a reply address."""

    charge_id: int
    partner_id: int
    partner: str
    msisdn: int
    amount_minor: int
    currency: str
    major_number: str
    merchant: str
    description: str
    language: str
    reference: str
    correlator: str | None
    fingerprint: bytes
    product_id: str | None
    route: str
    pool: tuple[Address, ...]
    billing: str
    lifetime_s: float
    quarantine_s: float
    debit_start_s: int
    #: Four digits, asked for when `code_required` or when a held address must be reused.
    code: str
    code_required: bool
    sink: str | None
    sink_token: str | None
    document: str
    #: The token is not shown to the sink from then on.
    sink_token_expires_at: datetime | None = None
    #: The money is held first, and taken when the partner confirms.
    two_step: bool = False
    #: Consent is by this PIN on the partner's site, named by the id, instead of by an answer.
    authorization_id: str | None = None
    pin: str | None = None


class Conflict(StrEnum):
    """Why a charge was not created."""

    CORRELATOR_TAKEN = "correlator_taken"
    REFERENCE_TAKEN = "reference_taken"
    NO_FREE_ADDRESS = "no_free_address"


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """A charge with its status, as partners and people ask for it."""

    charge_id: int
    partner_id: int
    partner: str
    msisdn: int
    amount_minor: int
    currency: str
    merchant: str
    description: str
    reference: str
    correlator: str | None
    product_id: str | None
    sink: str | None
    document: str
    created_at: datetime
    expires_at: datetime
    state: str
    reason: str | None
    billing_reference: str | None
    decided_at: datetime | None
    two_step: bool = False
    #: Names the consent by a code that only the phone was sent; None: consent is by an answer.
    authorization_id: str | None = None
    #: Of two steps: the money is held, or was until somebody decided.
    was_reserved: bool = False


@dataclass(frozen=True, slots=True)
class PromptJob:
    """A text to be written to a phone. `attempts` counts those before this one."""

    charge_id: int
    prompt_no: int
    kind: str
    code: str | None
    key: int
    attempts: int
    msisdn: int
    route: str
    address: str
    partner: str
    amount_minor: int
    currency: str
    merchant: str
    description: str
    language: str
    #: Why nothing was debited, in a text that says so.
    reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a reply says and how it was read, apart from whose it is.

    Thousands share one: who says the same to the same address over the same link. Known by its
    identity.
    """

    address: str
    link: str
    raw: bytes
    data_coding: int
    esm_class: int
    verdict: str
    number: str | None
    rule: str
    #: Of the reply address; None when that is none of ours.
    address_no: int | None = None


class NewReply(NamedTuple):
    """An MO as read. `key` is None when it can mean no charge of ours."""

    reply_id: int
    key: int | None
    msisdn: int | None
    evidence: Evidence


class ClearReplies(Sequence[tuple[bytes, Evidence]]):
    """Replies that may settle a charge at once, column by column: floods are made of them.

    As a sequence, of (MSISDN, evidence); the MSISDN as its digits in ASCII. Each evidence has its
    `address_no`. There are as many ids as replies; which one a reply gets, whoever records it says.
    """

    __slots__ = ("evidence", "ids", "msisdns")

    def __init__(self, ids: Runs, msisdns: list[bytes], evidence: list[Evidence]) -> None:
        self.ids = ids
        self.msisdns = msisdns
        self.evidence = evidence

    @classmethod
    def joined(cls, parts: "Sequence[ClearReplies]") -> "ClearReplies":
        """One after another."""
        return cls(
            Runs.joined([part.ids for part in parts]),
            list(chain.from_iterable([part.msisdns for part in parts])),
            list(chain.from_iterable([part.evidence for part in parts])),
        )

    def __len__(self) -> int:
        return len(self.msisdns)

    @overload
    def __getitem__(self, at: int) -> tuple[bytes, Evidence]: ...
    @overload
    def __getitem__(self, at: slice) -> "ClearReplies": ...
    def __getitem__(self, at: int | slice) -> "tuple[bytes, Evidence] | ClearReplies":
        if isinstance(at, slice):
            return ClearReplies(self.ids[at], self.msisdns[at], self.evidence[at])
        return self.msisdns[at], self.evidence[at]


class DebitJob(NamedTuple):
    """A debit to be asked for. `attempts` counts those before this one."""

    charge_id: int
    partner_id: int
    msisdn: int
    amount_minor: int
    currency: str
    billing: str
    attempts: int
    #: What the next attempt is: `debit`, `reserve`, `capture`, `release`, `query`, or to leave it
    #: to a `review`.
    plan: str = "debit"
    #: The last attempt has no result: its node stopped, or is slower than its lease.
    open: bool = False
    #: How long billing may have debited already without our knowing; None: it can't have.
    doubt_s: float | None = None
    #: Since the newest intent to debit that may have reached billing.
    quiet_s: float | None = None
    #: What the job is for; one that nobody has begun says `debit` for a charge of two steps too.
    act: str = "debit"
    #: Attempts at what came before that.
    tried_before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundJob:
    """A refund to be asked for. As a debit's job."""

    refund_id: int
    charge_id: int
    partner_id: int
    msisdn: int
    amount_minor: int
    currency: str
    billing: str
    attempts: int
    #: What the next attempt is: `refund`, `query`, or to leave it to a `review`.
    plan: str = "refund"
    #: No first attempt may be begun any more.
    late: bool = False
    open: bool = False
    doubt_s: float | None = None
    quiet_s: float | None = None


@dataclass(frozen=True, slots=True)
class WebhookKey:
    """One notification that is due."""

    charge_id: int
    sequence: int
    #: Whom it tells, so that partners don't wait for each other; no part of the key.
    partner_id: int = field(default=0, compare=False)


class PromptKey(NamedTuple):
    """One text that is to be written."""

    charge_id: int
    prompt_no: int


class Ended(NamedTuple):
    """A charge came to its end in this transaction, or was reserved; its work is leased to this
    node.
    """

    charge_id: int
    state: str
    webhook: WebhookKey | None = None
    prompt: PromptKey | None = None
    #: Seconds from the confirming reply to this commit.
    paid_s: float | None = None
    #: Which limit denied it, if one did.
    limit: str | None = None


def webhook_key(charge_id: int, sequence: int | None, partner_id: int | None) -> WebhookKey | None:
    """The notification of a charge, if there is somewhere to tell it."""
    return None if sequence is None else WebhookKey(charge_id, sequence, partner_id or 0)
