"""Two steps: what billing is asked to do with reserved money, and what follows when it is silent.

Owns how a doubt about a reserve, a capture and a release differ: only a capture moves money. A
reserve that nobody can clear up is let go; a release is repeated until it is answered. Refuses to
know who asks, and when "now" is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, assert_never

from ppcd.charge.debit import (
    HORIZON_S,
    Abilities,
    DenialReason,
    Denied,
    Doubt,
    NextStep,
    NotSent,
    Reserved,
    Unknown,
    resolve_doubt,
)
from ppcd.charge.rules import Event


class Act(StrEnum):
    """What billing is asked to do for a charge. A doubt is always about one of these."""

    DEBIT = "debit"  #: in one step
    RESERVE = "reserve"
    CAPTURE = "capture"
    RELEASE = "release"


class Decision(StrEnum):
    """How a reservation ended. The first one counts, whoever makes it."""

    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"  #: nobody decided in time


#: What a partner reads about a reservation that was let go.
RELEASE_REASONS: Final[Mapping[Decision, DenialReason]] = MappingProxyType(
    {
        Decision.CANCELLED: DenialReason.CANCELLED_BY_MERCHANT,
        Decision.LAPSED: DenialReason.CONFIRMATION_TIMEOUT,
        # Confirmed, and billing could not be reached in time to capture.
        Decision.CONFIRMED: DenialReason.BILLING_UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Released:
    """Nothing is held for us any more: it was let go, or there never was anything."""


ReserveAnswer = Reserved | Denied | NotSent | Unknown
ReleaseAnswer = Released | Denied | NotSent | Unknown


def judge_release(answer: ReleaseAnswer) -> Event:
    """The event to record for billing's answer to a release."""
    match answer:
        case Released():
            return Event.RELEASED
        case Denied():
            # It holds the money and will not let go: nothing that a machine could mend.
            return Event.NEEDS_REVIEW
        case NotSent():
            return Event.NOT_SENT
        case Unknown():
            return Event.DEBIT_UNKNOWN
        case other:
            assert_never(other)


#: A release takes nothing, and of what was let go it lets go nothing more: it may be repeated.
_REPEATABLE: Final = Abilities(idempotent=True, stores_refusals=True, quiet_period_s=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A doubt, as far as it counts: see `resolve_doubt`."""

    age_s: float
    quiet_s: float
    tries: int
    horizon_s: float = HORIZON_S

    def step(self, abilities: Abilities) -> NextStep:
        """What may be done about something that these abilities hold for."""
        return resolve_doubt(
            abilities,
            age_s=self.age_s,
            quiet_s=self.quiet_s,
            tries=self.tries,
            horizon_s=self.horizon_s,
        )


def resolve_reserve(abilities: Abilities, silence: Silence) -> NextStep:
    """What may be done next about a reserve of which nobody knows whether it holds the money.

    No money has moved, so no person is needed: what may be held is let go, when no request that
    could still reserve is under way.
    """
    step = silence.step(abilities)
    if step.what is not Doubt.REVIEW:
        return step
    quiet_left_s = abilities.quiet_period_s - silence.quiet_s
    return NextStep(Doubt.LET_GO, max(step.in_s, quiet_left_s))


def resolve_capture(abilities: Abilities, silence: Silence, *, still_held: bool) -> NextStep:
    """What may be done next about a capture of which nobody knows whether it took the money.

    `still_held`: asked when all requests had taken effect or died, billing said that it holds the
    money: none of them has taken it, and another one can't take it twice.
    """
    return silence.step(_REPEATABLE if still_held else abilities)


def resolve_release(silence: Silence) -> NextStep:
    """What may be done next about a release that was not answered."""
    return replace(silence, quiet_s=0).step(_REPEATABLE)
