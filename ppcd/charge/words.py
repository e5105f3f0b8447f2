"""The words that mean yes, no and stop, language by language.

Owns the table, and nothing else: how a message is compared with it is `reading`'s. To add a word
or a language, add a line; the reader refuses words that would collide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Words:
    """What a reply may consist of. Case and look-alike alphabets need no entries of their own."""

    yes: frozenset[str]
    no: frozenset[str]
    stop: frozenset[str]

    def __or__(self, other: "Words") -> "Words":
        return Words(self.yes | other.yes, self.no | other.no, self.stop | other.stop)


def _words(*, yes: str, no: str, stop: str) -> Words:
    return Words(frozenset(yes.split()), frozenset(no.split()), frozenset(stop.split()))


# Transliterations are needed where folding can't help: Latin d and n look like no Cyrillic letter.
WORDS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "uk": _words(yes="так tak", no="ні ni скасувати відміна", stop="стоп"),
        "ru": _words(yes="да da", no="нет net отмена", stop="стоп"),
        "en": _words(yes="yes ok", no="no cancel", stop="stop"),
    }
)

#: Understood in every language.
SIGNS: Final = _words(yes="1 +", no="0", stop="")

#: The word a prompt asks for, and the one it offers as the no.
YES_WORD: Final[Mapping[str, str]] = MappingProxyType({"uk": "ТАК", "ru": "ДА", "en": "YES"})
NO_WORD: Final[Mapping[str, str]] = MappingProxyType({"uk": "НІ", "ru": "НЕТ", "en": "NO"})


def _all_words() -> Words:
    together = SIGNS
    for words in WORDS.values():
        together |= words
    return together


#: Words of all languages count for every charge: people answer in the one they think in.
DEFAULT_WORDS: Final = _all_words()
