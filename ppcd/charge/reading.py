"""Reading a reply: from decoded text to a verdict and, if there is one, a number.

Owns what counts as a clear yes. Refuses to see the charge: whether the number is the right one is
compared where the charge is locked; `confirms` is that comparison, written down once.

The rule is the whole message: yes-words, and after them at most one number. Anything else is
unclear and costs nothing. A no-word first, or STOP anywhere, declines, whatever else is there.
"""

import re
import unicodedata
from enum import StrEnum
from typing import Final, NamedTuple

from ppcd.charge.words import DEFAULT_WORDS, Words

__all__ = [
    "DEFAULT_WORDS",
    "TEXT_LENGTH_MAX",
    "Confirmation",
    "Reader",
    "Reading",
    "Rule",
    "UnreadableWord",
    "Verdict",
    "Words",
    "WordsCollide",
    "confirms",
]

#: More than ten segments are cut, and are no yes. It bounds what one message may cost.
TEXT_LENGTH_MAX: Final = 1600

#: Longer numbers are nobody's code or amount: Money has at most 13 digits before the comma.
_NUMBER_LENGTH_MAX: Final = 16


class Verdict(StrEnum):
    """What the subscriber said."""

    YES = "yes"
    NO = "no"
    STOP = "stop"
    UNCLEAR = "unclear"


class Rule(StrEnum):
    """Why it was read so: kept with the evidence."""

    YES = "yes"
    YES_AND_NUMBER = "yes_and_number"
    NO_FIRST = "no_first"
    STOP_ANYWHERE = "stop_anywhere"
    EMPTY = "empty"
    NUMBER_ALONE = "number_alone"
    OTHER_WORDS = "other_words"
    TOO_LONG = "too_long"


class Reading(NamedTuple):
    """A verdict, the number beside a yes (canonical, see `to_major_number`), and the rule."""

    verdict: Verdict
    number: str | None
    rule: str


class WordsCollide(ValueError):
    """One word would be a yes and a no."""


class UnreadableWord(ValueError):
    """A word of the table that no message could ever match, or that codes would match."""


# Latin and Greek letters that look like Cyrillic ones. Latin d, n, u look like none.
_FOLD: Final = str.maketrans(
    "abcehikmoptxy" + "αβεηικμορτχυδ",
    "авсенікмортху" + "авенікмортхуд",
)

# Variation selectors (text or emoji form of a character) are marks to Unicode, not format
# characters, and just as invisible.
_VARIATION_SELECTORS: Final = frozenset("\ufe0e\ufe0f")

#: Takes the place of every symbol: NFKC would make words of some (№ is "No", ™ is "TM").
_SYMBOL: Final = "\ufffd"

# What stands inside of a word or beside it and means nothing. Whatever is in none of these lists is
# a token that is no word, so that a sign nobody thought of (👎, ?, %, a lone bracket that frowns)
# makes the message unclear instead of being overlooked.
_WORD: Final = re.compile(r"""[^\W_]+|\+|[^.,!;:«»"'“”„‘’)\-‐–—]""")
_OPENING: Final = "«\"'“„‘"
_CLOSING: Final = ".,!;:»\"'”’)"

# Numbers are read before commas and points are dropped, and only as pieces between spaces: -1,
# +380…, 12:30, 1-5 and да4821 are none.
_NUMBER: Final = re.compile(r"([0-9]+)(?:[.,]([0-9]+))?")
_DIGIT: Final = re.compile(r"[0-9]")
_FOREIGN_DIGIT: Final = re.compile(r"[^\D0-9]")
_SPACED: Final = re.compile(r"[^\s\x00]+")  # some links pad with NUL


#: Stands for whatever is neither a word nor a number; no table contains it.
_NEITHER: Final = ""


class Reader:
    """Reads replies by one table of words. Pure: the same text gives the same reading."""

    __slots__ = ("_counting", "_known", "_no", "_stop", "_yes")

    def __init__(self, words: Words = DEFAULT_WORDS) -> None:
        self._yes = frozenset(map(_skeleton, words.yes))
        self._no = frozenset(map(_skeleton, words.no))
        self._stop = frozenset(map(_skeleton, words.stop))
        if colliding := self._yes & (self._no | self._stop):
            spelt = sorted(w for w in words.yes | words.no | words.stop if _fold(w) in colliding)
            raise WordsCollide(f"these words would mean both yes and no: {', '.join(spelt)}")
        self._known = self._yes | self._no | self._stop
        self._counting = frozenset(word for word in self._yes if word.isdigit())

    def read(self, text: str) -> Reading:
        """The verdict on a decoded message. Never raises, whatever the text is."""
        words, number = self._cut(_fold(text[:TEXT_LENGTH_MAX]))
        if not self._stop.isdisjoint(words):
            return Reading(Verdict.STOP, None, Rule.STOP_ANYWHERE)
        if not words:
            return Reading(
                Verdict.UNCLEAR, None, Rule.EMPTY if number is None else Rule.NUMBER_ALONE
            )
        if words[0] in self._no:
            return Reading(Verdict.NO, None, Rule.NO_FIRST)
        if not self._yes.issuperset(words):
            return Reading(Verdict.UNCLEAR, None, Rule.OTHER_WORDS)
        if len(text) > TEXT_LENGTH_MAX:
            return Reading(Verdict.UNCLEAR, None, Rule.TOO_LONG)
        if number is None:
            return Reading(Verdict.YES, None, Rule.YES)
        if not self._counting.isdisjoint(words):
            # "1 250" is rather a price with a gap in it than a yes and 250.
            return Reading(Verdict.UNCLEAR, None, Rule.OTHER_WORDS)
        return Reading(Verdict.YES, number, Rule.YES_AND_NUMBER)

    def _cut(self, folded: str) -> tuple[list[str], str | None]:
        """The words in order, and the number if it is the last thing said."""
        words: list[str] = []
        number: str | None = None
        for piece in _SPACED.findall(folded):
            if number is not None:
                words.append(_NEITHER)  # something follows the number
                number = None
            if _DIGIT.search(piece) is None:
                words += _WORD.findall(piece)
                continue
            piece = piece.lstrip(_OPENING).rstrip(_CLOSING)
            if all(part in self._known for part in piece.split("+") if part):
                words += _WORD.findall(piece)  # 1, +1, 1+1
            elif (found := _NUMBER.fullmatch(piece)) and len(piece) <= _NUMBER_LENGTH_MAX:
                whole, fraction = found.groups(default="")
                fraction = fraction.rstrip("0")
                number = f"{whole}.{fraction}" if fraction else whole
            else:
                words.append(_NEITHER)
        return words, number


def _fold(text: str) -> str:
    """The text as it is compared: without case, invisible characters and look-alikes."""
    shown = "".join(
        _SYMBOL if category == "So" else char
        for char, category in zip(text, map(unicodedata.category, text), strict=True)
        if category != "Cf" and char not in _VARIATION_SELECTORS
    )
    folded = unicodedata.normalize("NFKC", shown).casefold().translate(_FOLD)
    return _FOREIGN_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), folded)


def _skeleton(word: str) -> str:
    """A word of the table as it is compared; raises UnreadableWord if it can't be one."""
    folded = _fold(word)
    # A longer number would pass for a code or an amount; a symbol would let in all of them.
    if not (folded.isalpha() or folded == "+" or (folded.isdigit() and len(folded) == 1)):
        raise UnreadableWord(f"{word!r} is no word: one word of letters, one digit, or +")
    return folded


class Confirmation(StrEnum):
    """What a reading means to one charge."""

    CONFIRMED = "confirmed"
    DECLINED = "declined"
    WRONG_CODE = "wrong_code"
    UNCLEAR = "unclear"


def confirms(reading: Reading, *, code: str | None, major_number: str) -> Confirmation:
    """What the reading means to a charge with this code (None: none asked for) and amount.

    The confirming statement of the store says the same in SQL and is tested against this.
    `major_number` is `money.to_major_number` of the charge's amount.
    """
    if reading.verdict in (Verdict.NO, Verdict.STOP):
        return Confirmation.DECLINED
    if reading.verdict is not Verdict.YES:
        return Confirmation.UNCLEAR
    if code is not None:
        if reading.number is None:
            return Confirmation.UNCLEAR
        # Never read as an amount: the code is what tells this charge from an older one.
        return Confirmation.CONFIRMED if reading.number == code else Confirmation.WRONG_CODE
    if reading.number is None or reading.number == major_number:
        return Confirmation.CONFIRMED
    return Confirmation.UNCLEAR
