"""What follows what: the whole way of a charge, as one literal table.

Owns states, events, the rules between them, what is merely late and what contradicts. Refuses to
know how an event came about or who stores it: facts and work rows are the store's.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class State(StrEnum):
    """Where a charge stands. The words are the ones of API, tables, metrics and logs."""

    AWAITING = "awaiting"
    CONFIRMED = "confirmed"
    DEBITING = "debiting"
    RESERVING = "reserving"
    RESERVED = "reserved"
    CAPTURING = "capturing"
    RELEASING = "releasing"
    IN_DOUBT = "in_doubt"
    REVIEW = "review"
    SUCCEEDED = "succeeded"
    DENIED = "denied"
    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNDELIVERABLE = "undeliverable"


class Event(StrEnum):
    """What can happen to a charge."""

    # The prompt, and what the SMSC says about it.
    PROMPT_WRITTEN = "prompt_written"
    PROMPT_ACCEPTED = "prompt_accepted"
    PROMPT_REFUSED = "prompt_refused"  # for good; "not now" is the worker's to repeat
    PROMPT_DELIVERED = "prompt_delivered"
    PROMPT_FAILED = "prompt_failed"  # a receipt that says it never will be delivered
    # The subscriber.
    AGREED = "agreed"
    DECLINED = "declined"  # a no, or STOP
    UNCLEAR = "unclear"
    WRONG_CODE = "wrong_code"
    CODES_SPENT = "codes_spent"  # the last wrong code that is put up with
    # The partner, and the time.
    CANCEL = "cancel"
    TIME_UP = "time_up"
    # The debit. `*_STARTED`: the intent is recorded, nothing has been sent yet.
    LIMIT_EXCEEDED = "limit_exceeded"
    NOT_STARTED_IN_TIME = "not_started_in_time"
    DEBIT_STARTED = "debit_started"
    NOT_SENT = "not_sent"
    DEBITED = "debited"
    DENIED = "denied"
    DEBIT_UNKNOWN = "debit_unknown"
    NOT_FOUND = "not_found"  # asked after the quiet period: billing never took it
    NEEDS_REVIEW = "needs_review"  # past the horizon, or nothing is left that may be tried
    # Two steps, where billing can reserve.
    RESERVE_STARTED = "reserve_started"
    RESERVED = "reserved"
    CAPTURE_STARTED = "capture_started"  # the partner confirmed
    LAPSED = "lapsed"  # nobody confirmed in time
    RELEASED = "released"


S, E = State, Event

RULES: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(
    {
        # Before consent. No "prompt accepted" needed first: the reply may overtake submit_sm_resp.
        (S.AWAITING, E.PROMPT_WRITTEN): S.AWAITING,
        (S.AWAITING, E.PROMPT_ACCEPTED): S.AWAITING,
        (S.AWAITING, E.PROMPT_REFUSED): S.UNDELIVERABLE,
        (S.AWAITING, E.PROMPT_DELIVERED): S.AWAITING,
        (S.AWAITING, E.PROMPT_FAILED): S.UNDELIVERABLE,
        (S.AWAITING, E.AGREED): S.CONFIRMED,
        (S.AWAITING, E.DECLINED): S.DECLINED,
        (S.AWAITING, E.UNCLEAR): S.AWAITING,
        (S.AWAITING, E.WRONG_CODE): S.AWAITING,
        (S.AWAITING, E.CODES_SPENT): S.DECLINED,
        (S.AWAITING, E.CANCEL): S.CANCELLED,
        (S.AWAITING, E.TIME_UP): S.EXPIRED,
        # After it.
        (S.CONFIRMED, E.LIMIT_EXCEEDED): S.DENIED,
        (S.CONFIRMED, E.NOT_STARTED_IN_TIME): S.DENIED,
        (S.CONFIRMED, E.DEBIT_STARTED): S.DEBITING,
        (S.DEBITING, E.NOT_SENT): S.CONFIRMED,
        (S.DEBITING, E.DEBITED): S.SUCCEEDED,
        (S.DEBITING, E.DENIED): S.DENIED,
        (S.DEBITING, E.DEBIT_UNKNOWN): S.IN_DOUBT,
        # In doubt the way back to `confirmed` is closed: an attempt may have arrived, and what is
        # tried now, in vain or not sent at all, says nothing about it.
        (S.IN_DOUBT, E.NOT_SENT): S.IN_DOUBT,
        (S.IN_DOUBT, E.DEBITED): S.SUCCEEDED,
        (S.IN_DOUBT, E.DENIED): S.DENIED,
        (S.IN_DOUBT, E.DEBIT_UNKNOWN): S.IN_DOUBT,
        (S.IN_DOUBT, E.NOT_FOUND): S.DENIED,
        (S.IN_DOUBT, E.NEEDS_REVIEW): S.REVIEW,
        (S.REVIEW, E.DEBITED): S.SUCCEEDED,
        (S.REVIEW, E.DENIED): S.DENIED,
        (S.REVIEW, E.NOT_FOUND): S.DENIED,
        # In two steps. A lost answer to a reserve: it is asked for again, and money that is held
        # is held; or, past the horizon, whatever is held is let go, and nobody was told of it.
        (S.CONFIRMED, E.RESERVE_STARTED): S.RESERVING,
        (S.RESERVING, E.NOT_SENT): S.CONFIRMED,
        (S.RESERVING, E.RESERVED): S.RESERVED,
        (S.RESERVING, E.DENIED): S.DENIED,
        (S.RESERVING, E.DEBIT_UNKNOWN): S.IN_DOUBT,
        (S.IN_DOUBT, E.RESERVED): S.RESERVED,
        (S.IN_DOUBT, E.RELEASED): S.DENIED,
        (S.RESERVED, E.CAPTURE_STARTED): S.CAPTURING,
        (S.RESERVED, E.CANCEL): S.RELEASING,
        (S.RESERVED, E.LAPSED): S.RELEASING,
        (S.RESERVED, E.RELEASED): S.CANCELLED,  # billing let it lapse by itself
        # Never back to `reserved`: the partner was told that it is being taken.
        (S.CAPTURING, E.NOT_SENT): S.CAPTURING,
        (S.CAPTURING, E.NOT_STARTED_IN_TIME): S.RELEASING,
        (S.CAPTURING, E.DEBITED): S.SUCCEEDED,
        (S.CAPTURING, E.DENIED): S.DENIED,
        (S.CAPTURING, E.DEBIT_UNKNOWN): S.IN_DOUBT,
        # A release takes no money, so it may be repeated until it is answered. It never goes back
        # to `reserved`: the partner was told that the charge is cancelled.
        (S.RELEASING, E.NOT_SENT): S.RELEASING,
        (S.RELEASING, E.DEBIT_UNKNOWN): S.RELEASING,
        (S.RELEASING, E.RELEASED): S.CANCELLED,
        (S.RELEASING, E.DENIED): S.REVIEW,
        (S.RELEASING, E.NEEDS_REVIEW): S.REVIEW,
        (S.REVIEW, E.RELEASED): S.CANCELLED,
    }
)

# States by what has happened before them. A charge may be cancelled before consent or, released,
# after it.
_TWO_STEP: Final = (S.RESERVING, S.RESERVED, S.CAPTURING, S.RELEASING)
_UNDECIDED: Final = (S.IN_DOUBT, S.REVIEW)
_DECIDED: Final = (S.SUCCEEDED, S.DENIED)
_AFTER_DEBIT_STARTED: Final = (S.DEBITING, *_UNDECIDED, *_DECIDED)
_AFTER_RESERVE_STARTED: Final = (*_TWO_STEP, *_UNDECIDED, *_DECIDED, S.CANCELLED)
_AFTER_RESERVED: Final = (S.CAPTURING, S.RELEASING, *_UNDECIDED, *_DECIDED, S.CANCELLED)
_AFTER_STARTED: Final = (S.DEBITING, *_AFTER_RESERVE_STARTED)
_NOT_TO_BE_STARTED: Final = tuple(s for s in _AFTER_STARTED if s is not S.CAPTURING)
_WITHOUT_CONSENT: Final = (S.DECLINED, S.EXPIRED, S.UNDELIVERABLE)


def _pairs(listing: Mapping[Event, Iterable[State]]) -> frozenset[tuple[State, Event]]:
    return frozenset((state, event) for event, states in listing.items() for state in states)


_AFTER_AWAITING: Final = tuple(state for state in State if state is not S.AWAITING)

#: Too late to change anything: recorded, counted, and where a person wrote, answered.
LATE: Final[frozenset[tuple[State, Event]]] = _pairs(
    {
        # The SMSC, the subscriber, the partner and the clock may come when they like.
        E.PROMPT_WRITTEN: _AFTER_AWAITING,
        E.PROMPT_ACCEPTED: _AFTER_AWAITING,
        E.PROMPT_REFUSED: _AFTER_AWAITING,
        E.PROMPT_DELIVERED: _AFTER_AWAITING,
        E.PROMPT_FAILED: _AFTER_AWAITING,
        E.AGREED: _AFTER_AWAITING,
        E.DECLINED: _AFTER_AWAITING,
        E.UNCLEAR: _AFTER_AWAITING,
        E.WRONG_CODE: _AFTER_AWAITING,
        E.CODES_SPENT: _AFTER_AWAITING,
        E.CANCEL: tuple(state for state in _AFTER_AWAITING if state is not S.RESERVED),
        E.TIME_UP: _AFTER_AWAITING,
        # Our own acts, where another node was faster.
        E.LIMIT_EXCEEDED: _AFTER_STARTED,
        E.NOT_STARTED_IN_TIME: _NOT_TO_BE_STARTED,
        E.DEBIT_STARTED: _AFTER_DEBIT_STARTED,
        E.RESERVE_STARTED: _AFTER_RESERVE_STARTED,
        E.CAPTURE_STARTED: _AFTER_RESERVED,
        E.LAPSED: _AFTER_RESERVED,
        E.NEEDS_REVIEW: (S.RESERVED, S.CAPTURING, S.REVIEW, *_DECIDED, S.CANCELLED),
        # Billing, said again or overtaken by what it said later.
        E.NOT_SENT: (S.CONFIRMED, S.RESERVED, S.REVIEW, *_DECIDED, S.CANCELLED),
        E.DEBIT_UNKNOWN: (S.RESERVED, S.REVIEW, *_DECIDED, S.CANCELLED),
        E.DEBITED: (S.SUCCEEDED,),
        E.DENIED: (S.DENIED, S.CANCELLED, *_WITHOUT_CONSENT),
        E.NOT_FOUND: (S.RESERVED, S.CAPTURING, S.RELEASING, S.DENIED, S.CANCELLED),
        E.RESERVED: (S.RESERVED, S.CAPTURING, S.RELEASING, S.REVIEW, S.SUCCEEDED),
        E.RELEASED: (S.CAPTURING, S.DENIED, S.CANCELLED),
    }
)

#: What billing says and what we know can't both be true: an alarm for people, and no change.
CONTRADICTIONS: Final[frozenset[tuple[State, Event]]] = _pairs(
    {
        # Money is gone for a charge that nobody is debiting.
        E.DEBITED: (
            *(S.AWAITING, S.CONFIRMED, S.RESERVING, S.RESERVED, S.RELEASING),
            *(S.DENIED, S.CANCELLED, *_WITHOUT_CONSENT),
        ),
        # Money is held that nobody will capture.
        E.RESERVED: (
            *(S.AWAITING, S.CONFIRMED, S.DEBITING),
            *(S.DENIED, S.CANCELLED, *_WITHOUT_CONSENT),
        ),
        # The answer to a request that, by our records, was never sent; or against "debited".
        E.DENIED: (S.AWAITING, S.CONFIRMED, S.RESERVED, S.SUCCEEDED),
        E.DEBIT_UNKNOWN: (S.CONFIRMED,),
        E.NOT_FOUND: (S.SUCCEEDED,),
        E.RELEASED: (S.SUCCEEDED,),
    }
)

#: Nothing leaves these, and what the partner was told with them never changes.
END_STATES: Final[frozenset[State]] = frozenset(
    {S.SUCCEEDED, S.DENIED, S.DECLINED, S.EXPIRED, S.CANCELLED, S.UNDELIVERABLE}
)


class Effect(Enum):
    """What an event means to a charge."""

    RULE = "rule"
    LATE = "late"
    CONTRADICTION = "contradiction"


class Follows(NamedTuple):
    """The effect of an event, and the state after it: the same one unless it is a rule."""

    effect: Effect
    state: State


class IllegalEvent(Exception):
    """An event that cannot happen in this state: a bug of ours, not of the world."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event} cannot happen to a charge that is {state}")
        self.state = state
        self.event = event


def follow(state: State, event: Event) -> Follows:
    """What the event does to a charge in this state; raises IllegalEvent where it is a bug."""
    pair = (state, event)
    after = RULES.get(pair)
    if after is not None:
        return Follows(Effect.RULE, after)
    if pair in LATE:
        return Follows(Effect.LATE, state)
    if pair in CONTRADICTIONS:
        return Follows(Effect.CONTRADICTION, state)
    raise IllegalEvent(state, event)


def diagram() -> str:
    """The rules as a Mermaid state diagram: an arrow a pair of states, its events on it.

    What leaves the state as it is has no arrow.
    """
    arrows: dict[tuple[State, State], list[Event]] = {}
    for (before, event), after in RULES.items():
        if before is not after:
            arrows.setdefault((before, after), []).append(event)
    lines = ["stateDiagram-v2", f"    [*] --> {S.AWAITING}"]
    for (before, after), events in arrows.items():
        lines.append(f"    {before} --> {after}: {', '.join(events)}")
    lines += [f"    {state} --> [*]" for state in State if state in END_STATES]
    return "\n".join(lines) + "\n"
