"""Magic numbers: phones whose last three digits say how they, and billing for them, behave.

Owns the one table that the partners' sandbox promises. Knows nothing of SMPP, HTTP and accounts:
the SMSC asks what a phone does with a message, billing how it behaves for an account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ppcd.sim.accounts import Mode

#: Seconds that a phone takes to answer.
ANSWER_S: Final = 1.0
#: What a prompt asks for, as prompts of all languages put it; other texts are read and kept.
_ASKED: Final = re.compile(
    r"(?:надішліть(?: лише)?|отправьте(?: только)?|reply(?: only)?) "
    r"(?P<yes>ТАК|ДА|YES)(?: (?P<code>[0-9]{4}))?"
)
_NO: Final = {"ТАК": "НІ", "ДА": "НЕТ", "YES": "NO"}


class Answer(Enum):
    """What the phone's owner does with a prompt."""

    YES = "yes"
    NO = "no"
    STOP = "stop"
    NOTHING = "nothing"
    #: What nobody understands; then yes, when asked again.
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Magic:
    """One row of the table."""

    does: str
    answer: Answer = Answer.YES
    reached: bool = True
    mode: Mode = Mode.OK


#: By a number's last three digits; all others say yes and pay.
NUMBERS: Final[dict[str, Magic]] = {
    "101": Magic("says no", Answer.NO),
    "102": Magic("never answers", Answer.NOTHING),
    "103": Magic("is switched off: no prompt reaches it", Answer.NOTHING, reached=False),
    "104": Magic("is not understood, and says yes when asked again", Answer.UNCLEAR),
    "105": Magic("says STOP, and is not to be asked again", Answer.STOP),
    "201": Magic("has not enough money", mode=Mode.INSUFFICIENT),
    "202": Magic("is barred from buying", mode=Mode.BARRED),
    "203": Magic("is unknown to billing", mode=Mode.UNKNOWN),
    "204": Magic("has used up a limit of its own", mode=Mode.LIMIT),
    "205": Magic("is refused by billing for another reason", mode=Mode.REJECTED),
    "301": Magic("is debited after three seconds", mode=Mode.SLOW),
    "302": Magic("is debited, and billing does not say so at first", mode=Mode.TIMEOUT_AFTER_DEBIT),
    "303": Magic("is not debited, and billing never says so", mode=Mode.TIMEOUT),
    "304": Magic("has a billing that is down", mode=Mode.UNAVAILABLE),
}
_ORDINARY: Final = Magic("says yes and pays")


def magic_of(msisdn: str) -> Magic:
    """How this number behaves."""
    return NUMBERS.get(msisdn[-3:], _ORDINARY)


def mode_of(msisdn: str) -> Mode:
    """How billing behaves for an account that nobody has set."""
    return magic_of(msisdn).mode


class Owners:
    """The people with the phones; each remembers whether it was asked a second time."""

    def __init__(self) -> None:
        self._asked_again: set[tuple[str, str]] = set()

    def reached(self, msisdn: str) -> bool:
        """Whether a message gets to the phone at all."""
        return magic_of(msisdn).reached

    def answer(self, msisdn: str, sender: str, text: str) -> str | None:
        """What the owner answers to a message from that sender; None: nothing."""
        asked = _ASKED.search(text)
        if asked is None:
            return None
        yes = asked["yes"] if asked["code"] is None else f"{asked['yes']} {asked['code']}"
        match magic_of(msisdn).answer:
            case Answer.YES:
                return yes
            case Answer.NO:
                return _NO[asked["yes"]]
            case Answer.STOP:
                return "STOP"
            case Answer.NOTHING:
                return None
            case Answer.UNCLEAR:
                thread = msisdn, sender
                if thread in self._asked_again:
                    self._asked_again.discard(thread)
                    return yes
                self._asked_again.add(thread)
                return "?"
