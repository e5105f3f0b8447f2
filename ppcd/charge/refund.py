"""The refund: how much may be given back, what billing can answer, and what follows what.

Owns that the refunds of a charge never exceed its debit in sum, and a refund's way as one literal
table. Refuses to know how a billing system is spoken to, and who stores what.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ppcd.charge.debit import (
    Abilities,
    Debited,
    Denied,
    NotFound,
    NotSent,
    Order,
    Unknown,
    judge,
)
from ppcd.charge.money import Money
from ppcd.charge.rules import Event

# --- how much ----------------------------------------------------------------------------------


class Refusal(StrEnum):
    """Why a refund is not begun."""

    #: The charge has not succeeded, or not yet.
    NOT_PAID = "not_paid"
    #: Everything was given back, or is being given back.
    NOTHING_LEFT = "nothing_left"
    #: More than what is left.
    TOO_MUCH = "too_much"
    #: Another currency than the debit's.
    OTHER_CURRENCY = "other_currency"
    #: A part, where billing gives back all of a debit or nothing.
    ONLY_WHOLE = "only_whole"


def remaining_minor(debited: Money, refunds_minor: int) -> int:
    """What is left of a debit. `refunds_minor`: all its refunds but those that were denied."""
    left = debited.amount_minor - refunds_minor
    assert left >= 0, "more was given back than was debited"
    return left


def refundable(
    debited: Money, refunds_minor: int, wanted: Money | None, *, whole_only: bool = False
) -> Money | Refusal:
    """The money of a new refund; `wanted` None: all that is left."""
    left = remaining_minor(debited, refunds_minor)
    if wanted is not None and wanted.currency != debited.currency:
        return Refusal.OTHER_CURRENCY
    if left == 0:
        return Refusal.NOTHING_LEFT
    money = wanted or Money(left, debited.currency)
    if money.amount_minor > left:
        return Refusal.TOO_MUCH
    return Refusal.ONLY_WHOLE if whole_only and money != debited else money


# --- what billing is asked, and answers --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder(Order):
    """One attempt at one refund; the key is the refund's id."""

    refund_id: int
    debit_key: str  #: under which the money was taken
    debit_reference: str | None  #: billing's own for that


@dataclass(frozen=True, slots=True)
class Refunded:
    """The money has been given back."""

    reference: str | None


RefundAnswer = Refunded | Denied | NotSent | Unknown
RefundQueryAnswer = Refunded | Denied | NotFound | NotSent | Unknown


# --- what follows what -------------------------------------------------------------------------


class RefundState(StrEnum):
    """Where a refund stands."""

    ACCEPTED = "accepted"
    REFUNDING = "refunding"
    IN_DOUBT = "in_doubt"
    REVIEW = "review"
    SUCCEEDED = "succeeded"
    DENIED = "denied"


class RefundEvent(StrEnum):
    """What can happen to a refund."""

    #: The intent is recorded, nothing has been sent yet.
    STARTED = "started"
    NOT_STARTED_IN_TIME = "not_started_in_time"
    NOT_SENT = "not_sent"
    REFUNDED = "refunded"
    DENIED = "denied"
    UNKNOWN = "unknown"
    NOT_FOUND = "not_found"  # asked after the quiet period: billing never did it
    NEEDS_REVIEW = "needs_review"


_S, _E = RefundState, RefundEvent

REFUND_RULES: Final[Mapping[tuple[RefundState, RefundEvent], RefundState]] = MappingProxyType(
    {
        (_S.ACCEPTED, _E.STARTED): _S.REFUNDING,
        (_S.ACCEPTED, _E.NOT_STARTED_IN_TIME): _S.DENIED,
        (_S.REFUNDING, _E.NOT_SENT): _S.ACCEPTED,
        (_S.REFUNDING, _E.REFUNDED): _S.SUCCEEDED,
        (_S.REFUNDING, _E.DENIED): _S.DENIED,
        (_S.REFUNDING, _E.UNKNOWN): _S.IN_DOUBT,
        # As for a debit: what is tried now, in vain, says nothing about what was sent before.
        (_S.IN_DOUBT, _E.NOT_SENT): _S.IN_DOUBT,
        (_S.IN_DOUBT, _E.UNKNOWN): _S.IN_DOUBT,
        (_S.IN_DOUBT, _E.REFUNDED): _S.SUCCEEDED,
        (_S.IN_DOUBT, _E.DENIED): _S.DENIED,
        # Unlike a debit, which nobody wants any more by then: it is simply begun again.
        (_S.IN_DOUBT, _E.NOT_FOUND): _S.ACCEPTED,
        (_S.IN_DOUBT, _E.NEEDS_REVIEW): _S.REVIEW,
        (_S.REVIEW, _E.REFUNDED): _S.SUCCEEDED,
        (_S.REVIEW, _E.DENIED): _S.DENIED,
    }
)

#: Nothing leaves these, and what the partner was told with them never changes.
REFUND_END_STATES: Final = frozenset({_S.SUCCEEDED, _S.DENIED})


def refund_diagram() -> str:
    """The rules as a Mermaid state diagram: an arrow a pair of states, its events on it."""
    arrows: dict[tuple[RefundState, RefundState], list[RefundEvent]] = {}
    for (before, event), after in REFUND_RULES.items():
        if before is not after:
            arrows.setdefault((before, after), []).append(event)
    lines = ["stateDiagram-v2", f"    [*] --> {_S.ACCEPTED}"]
    for (before, after), events in arrows.items():
        lines.append(f"    {before} --> {after}: {', '.join(events)}")
    lines += [f"    {state} --> [*]" for state in RefundState if state in REFUND_END_STATES]
    return "\n".join(lines) + "\n"


_OF_DEBIT: Final[Mapping[Event, RefundEvent]] = MappingProxyType(
    {
        Event.DEBITED: _E.REFUNDED,
        Event.DENIED: _E.DENIED,
        Event.DEBIT_UNKNOWN: _E.UNKNOWN,
        Event.NOT_SENT: _E.NOT_SENT,
        Event.NOT_FOUND: _E.NOT_FOUND,
    }
)


def judge_refund(
    abilities: Abilities,
    answer: RefundAnswer | RefundQueryAnswer,
    *,
    repeat: bool,
    quiet_over: bool,
) -> RefundEvent:
    """The event to record for billing's answer, with the same care as for a debit's: see `judge`.

    The abilities hold for refunds as they do for debits, by the refund's own key.
    """
    moved = Debited(answer.reference) if isinstance(answer, Refunded) else answer
    return _OF_DEBIT[judge(abilities, moved, repeat=repeat, quiet_over=quiet_over)]
