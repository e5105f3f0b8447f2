"""What a reply does that did not decide its charge in the first round: a pure function.

The clear yes and no are settled by one statement in bulk. Here is the rest: unclear words, wrong
codes, answers that come too early or too late. Refuses to know the words themselves (`reading`
does) and how effects are stored.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ppcd.charge.reading import Verdict
from ppcd.charge.rules import State


class Effect(StrEnum):
    """What a reply did, as recorded with it."""

    CONFIRMED = "confirmed"
    DECLINED = "declined"
    #: Unclear, and the phone is asked again.
    REPROMPTED = "reprompted"
    #: Unclear once too often: waiting goes on in silence.
    IGNORED = "ignored"
    WRONG_CODE = "wrong_code"
    #: The last wrong code that is allowed: the charge is declined.
    CODES_USED_UP = "codes_used_up"
    #: An answer to a prompt that was not written yet can't be one.
    EARLY = "early"
    LATE = "late"
    #: A yes to a charge that ended without a debit: the phone is told so, once.
    LATE_YES = "late_yes"
    #: A no after consent: the phone is told so, once.
    LATE_NO = "late_no"
    #: No charge was ever meant by this subscriber and address.
    STRAY = "stray"
    #: Came over a link whose senders are not vouched for: recorded, nothing else.
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True)
class Situation:
    """The charge that a reply can only have meant, at the moment of judging."""

    state: State
    #: Only of an awaiting charge: the prompt was written, and the charge has time left.
    written: bool = False
    alive: bool = False
    code: str | None = None
    major_number: str = ""
    reprompts: int = 0
    wrong_codes: int = 0
    #: Consent is by a PIN on the partner's site: an answer can only refuse.
    by_pin: bool = False


#: Ends that cost nothing: a late yes to them deserves the word that nothing was taken.
ENDED_WITHOUT_DEBIT: Final = frozenset(
    {State.DECLINED, State.EXPIRED, State.CANCELLED, State.UNDELIVERABLE, State.DENIED}
)


def consequence(
    verdict: Verdict,
    number: str | None,
    situation: Situation | None,
    *,
    reprompts_max: int,
    wrong_codes_max: int,
) -> Effect:
    """The effect of a reply that confirmed and declined nothing in the first round."""
    if situation is None:
        return Effect.STRAY
    if situation.state is State.AWAITING and situation.alive:
        return _on_awaiting(
            verdict, number, situation, reprompts_max=reprompts_max, wrong_codes_max=wrong_codes_max
        )
    if verdict is Verdict.YES:
        # An awaiting charge out of time is expired, whether or not the sweep has come by.
        ended = situation.state is State.AWAITING or situation.state in ENDED_WITHOUT_DEBIT
        return Effect.LATE_YES if ended else Effect.LATE
    if verdict in (Verdict.NO, Verdict.STOP):
        consented = (
            situation.state is not State.AWAITING and situation.state not in ENDED_WITHOUT_DEBIT
        )
        return Effect.LATE_NO if consented else Effect.LATE
    return Effect.LATE


def _on_awaiting(
    verdict: Verdict,
    number: str | None,
    situation: Situation,
    *,
    reprompts_max: int,
    wrong_codes_max: int,
) -> Effect:
    if not situation.written:
        return Effect.EARLY
    if situation.by_pin and verdict in (Verdict.YES, Verdict.UNCLEAR):
        return Effect.IGNORED
    if verdict is Verdict.YES and situation.code is not None and number is not None:
        if number == situation.code:
            return Effect.EARLY  # became right between the two rounds: it was sent before that
        if situation.wrong_codes + 1 >= wrong_codes_max:
            return Effect.CODES_USED_UP
        return Effect.WRONG_CODE
    if (
        verdict is Verdict.YES
        and situation.code is None
        and number in (None, situation.major_number)
    ):
        return Effect.EARLY
    if verdict in (Verdict.NO, Verdict.STOP):
        return Effect.EARLY  # likewise
    return Effect.REPROMPTED if situation.reprompts < reprompts_max else Effect.IGNORED
