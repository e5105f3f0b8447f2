"""Which of the page's screens a session shows: a pure choice from what is known of it.

Owns that every ending is told for what it is. Refuses to know words and HTML.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import State
from ppcd.checkout.sessions import TRIES_MAX, Session


class Screen(StrEnum):
    """What the page shows."""

    CHOOSE = "choose"  #: the tariffs, each with its button
    PAY = "pay"  #: the number, with the tariffs where they were not chosen before
    WAIT = "wait"
    DEBIT = "debit"
    DOUBT = "doubt"
    START = "start"  #: nobody knows yet whether the operator took the try
    PAID = "paid"
    FAILED = "failed"
    GONE = "gone"
    MANY = "many"
    TAKEN = "taken"
    NONE = "none"


#: What the page learns of by itself. The others change by a press only.
LIVE: Final = frozenset({Screen.WAIT, Screen.DEBIT, Screen.DOUBT})

#: The words of each end without money: their title, and a text where there is more to say.
_ENDS: Final = {
    State.DECLINED: ("declined_title", ""),
    State.EXPIRED: ("expired_title", "expired_text"),
    State.CANCELLED: ("cancelled_title", ""),
    State.UNDELIVERABLE: ("undeliverable_title", "undeliverable_text"),
}
_REASONS: Final = {
    DenialReason.INSUFFICIENT_FUNDS: ("funds_title", "funds_text"),
    DenialReason.SERVICE_DENIED: ("barred_title", "barred_text"),
    DenialReason.USER_UNKNOWN: ("unknown_title", "barred_text"),
    DenialReason.LIMIT_EXCEEDED: ("limit_title", "limit_text"),
    DenialReason.BILLING_REJECTED: ("rejected_title", "barred_text"),
    DenialReason.BILLING_UNAVAILABLE: ("unavailable_title", "unavailable_text"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the browser asked for beside the session: all of it may be made up."""

    language: str
    #: Where it was chosen on the page, for its links to carry on.
    language_chosen: bool = False
    offer: int | None = None
    #: Another number than the one tried before.
    other: bool = False
    #: A new try after one that failed.
    again: bool = False


def screen_of(session: Session, wanted: Wanted) -> Screen:
    """The screen for a session as it is."""
    if session.charge is not None:
        shown = _of_charge(session.charge.state)
        if shown is not Screen.FAILED or not (wanted.again and session.may_try):
            return shown
        return _form(session, wanted)
    if session.pending:
        return Screen.START
    if session.row.try_refused == "reference_taken":
        return Screen.TAKEN
    if session.may_try:
        return _form(session, wanted)
    return Screen.MANY if session.row.tries >= TRIES_MAX else Screen.GONE


def _of_charge(state: State) -> Screen:
    match state:
        case State.AWAITING:
            return Screen.WAIT
        case State.SUCCEEDED:
            return Screen.PAID
        case State.IN_DOUBT | State.REVIEW:
            return Screen.DOUBT
        case State.DENIED | State.DECLINED | State.EXPIRED | State.CANCELLED | State.UNDELIVERABLE:
            return Screen.FAILED
        case _:
            return Screen.DEBIT


def _form(session: Session, wanted: Wanted) -> Screen:
    several = len(session.offers) > 1
    return Screen.CHOOSE if several and chosen(session, wanted) is None else Screen.PAY


def chosen(session: Session, wanted: Wanted) -> int | None:
    """The offer that is to be paid; None while it is to be chosen on a screen of its own."""
    if len(session.offers) == 1:
        return 0
    if wanted.offer is not None and 0 <= wanted.offer < len(session.offers):
        return wanted.offer
    if session.row.variant == 2:
        return session.row.try_offer or 0
    return None


def failure_words(state: State, reason: DenialReason | None) -> tuple[str, str]:
    """Keys of title and text for an end without money."""
    if state in _ENDS:
        return _ENDS[state]
    return _REASONS.get(reason or DenialReason.BILLING_REJECTED, ("rejected_title", "barred_text"))
