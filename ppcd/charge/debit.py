"""The debit: what billing is asked, what it can answer, and what may be done about a doubt.

Owns the answers' meaning. Refuses to know how a billing system is spoken to, and when "now" is:
ages and quiet periods come in as numbers, what to do comes out as values.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, assert_never

from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import Event, State


class DenialReason(StrEnum):
    """Why no money moved, in the tokens that partners build on."""

    USER_DECLINED = "USER_DECLINED"
    CONFIRMATION_TIMEOUT = "CONFIRMATION_TIMEOUT"
    PROMPT_UNDELIVERABLE = "PROMPT_UNDELIVERABLE"
    CANCELLED_BY_MERCHANT = "CANCELLED_BY_MERCHANT"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    SERVICE_DENIED = "SERVICE_DENIED"
    USER_UNKNOWN = "USER_UNKNOWN"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    BILLING_REJECTED = "BILLING_REJECTED"
    BILLING_UNAVAILABLE = "BILLING_UNAVAILABLE"


#: Reasons that the end state alone gives. `denied` is not here: billing, or the event, names it.
REASON_OF_END: Final[Mapping[State, DenialReason]] = MappingProxyType(
    {
        State.DECLINED: DenialReason.USER_DECLINED,
        State.EXPIRED: DenialReason.CONFIRMATION_TIMEOUT,
        State.UNDELIVERABLE: DenialReason.PROMPT_UNDELIVERABLE,
        State.CANCELLED: DenialReason.CANCELLED_BY_MERCHANT,
    }
)

#: Reasons of denials that billing did not word.
REASON_OF_EVENT: Final[Mapping[Event, DenialReason]] = MappingProxyType(
    {
        Event.LIMIT_EXCEEDED: DenialReason.LIMIT_EXCEEDED,
        Event.NOT_STARTED_IN_TIME: DenialReason.BILLING_UNAVAILABLE,
        Event.NOT_FOUND: DenialReason.BILLING_UNAVAILABLE,
        # Nobody learned in time whether the money was held, and it was let go.
        Event.RELEASED: DenialReason.BILLING_UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a billing system guarantees. A wrong claim here costs people money: default to no."""

    #: The same key never debits twice, however often and late it is sent.
    idempotent: bool = False
    #: It can be asked what became of a key.
    queryable: bool = False
    #: A refusal is kept under its key and repeated to any later request with that key.
    stores_refusals: bool = False
    #: Money can be given back.
    reversible: bool = False
    #: It gives back all of a debit or nothing.
    whole_only: bool = False
    reserving: bool = False
    #: The longest time a request may be under way before it takes effect or dies.
    quiet_period_s: float = 60.0

    def __post_init__(self) -> None:
        if self.stores_refusals and not self.idempotent:
            raise ValueError("stores_refusals without idempotent: a refusal kept under a key")
        if not 0 <= self.quiet_period_s < float("inf"):
            raise ValueError(f"quiet_period_s must be 0 or more, got {self.quiet_period_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One attempt at moving one charge's money. What is to be done with it, its subclass says."""

    key: str  #: the same for every attempt: it comes from what is asked for, never from the attempt
    charge_id: int
    attempt: int
    msisdn: Msisdn
    money: Money
    merchant: str
    description: str
    repeat: bool  #: an earlier attempt may have reached billing (Diameter: the T flag)


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitOrder(Order):
    """One attempt at one charge's only debit, in one step or two; the key is the charge's id."""

    #: Of a capture or release: billing's own reference of the reservation, where it gave one.
    reservation: str | None = None


@dataclass(frozen=True, slots=True)
class Debited:
    """The money has moved."""

    reference: str | None


@dataclass(frozen=True, slots=True)
class Denied:
    """Billing refused; `code` is its own word for it."""

    reason: DenialReason
    code: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing reached billing, or billing itself says that it did nothing."""

    detail: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have happened: silence, a lost link, an answer nobody understands."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """Billing knows nothing of the key. Only from a query."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """The money is held for us, and has not moved. From a reserve, or from a query about one."""

    reference: str | None


DebitAnswer = Debited | Denied | NotSent | Unknown
QueryAnswer = Debited | Reserved | Denied | NotFound | NotSent | Unknown


def judge(
    abilities: Abilities, answer: DebitAnswer | QueryAnswer, *, repeat: bool, quiet_over: bool
) -> Event:
    """The event to record for billing's answer to a debit or a query.

    `repeat`: another attempt than the one that is answered may have reached billing.
    `quiet_over`: each of those had taken effect or died *before the answered request was sent*,
    and none was sent since. Quiet when the answer arrives is not enough: attempt 1 is refused, its
    answer is slow; attempt 2 debits, its answer is lost; an hour later "1 refused" proves nothing.
    """
    match answer:
        case Debited():
            return Event.DEBITED
        case Reserved():
            return Event.RESERVED
        case Denied():
            # Attempt 2 refused, attempt 1 still on its way: that may debit after the refusal.
            # Where keys are not deduplicated, a refusal of one says nothing about the other.
            others_dead = abilities.idempotent and quiet_over
            final = not repeat or abilities.stores_refusals or others_dead
            return Event.DENIED if final else Event.DEBIT_UNKNOWN
        case NotFound():
            return Event.NOT_FOUND if quiet_over else Event.DEBIT_UNKNOWN
        case NotSent():
            return Event.NOT_SENT
        case Unknown():
            return Event.DEBIT_UNKNOWN
        case other:
            assert_never(other)


class Doubt(Enum):
    """What may be done next about a debit whose answer is unknown."""

    AGAIN = "again"  #: send the same key again
    ASK = "ask"  #: ask billing what became of the key
    REVIEW = "review"  #: leave it to a person or to reconciliation
    LET_GO = "let_go"  #: release what may be held: only of a reserve


class NextStep(NamedTuple):
    """What to do, and in how many seconds from now; 0 is at once."""

    what: Doubt
    in_s: float


#: Pauses before the first, second… try; the last one repeats. Jitter is the worker's.
PAUSES_S: Final = (2.0, 5.0, 15.0, 60.0)

#: A doubt older than this goes to people.
HORIZON_S: Final = 900.0


def resolve_doubt(
    abilities: Abilities,
    *,
    age_s: float,
    quiet_s: float,
    tries: int,
    horizon_s: float = HORIZON_S,
) -> NextStep:
    """What may be done next about a doubt, and when.

    `age_s`: since the doubt began. `quiet_s`: since the last moment at which a request that may
    debit could have left (the newest unanswered attempt's `send_by`; negative before it).
    `tries`: how often it was sent again or asked already.
    """
    if not (abilities.idempotent or abilities.queryable):
        return NextStep(Doubt.REVIEW, 0.0)
    pause_s = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
    quiet_left_s = abilities.quiet_period_s - quiet_s
    quick = tries < len(PAUSES_S)
    if abilities.queryable and not (abilities.idempotent and quick and quiet_left_s > 0):
        # Where both are possible it is sent again a few times, since that may still end in a sale;
        # then one keeps quiet and asks: a question can't take money from somebody who has left.
        step = NextStep(Doubt.ASK, max(pause_s, quiet_left_s))
    elif quick or abilities.stores_refusals:
        step = NextStep(Doubt.AGAIN, pause_s)
    else:
        # Only what is sent into the quiet can be refused for good.
        step = NextStep(Doubt.AGAIN, max(pause_s, quiet_left_s))
    left_s = max(0.0, horizon_s - age_s)
    return step if step.in_s < left_s else NextStep(Doubt.REVIEW, left_s)
