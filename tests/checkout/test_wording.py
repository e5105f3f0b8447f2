"""Three languages that say the same things."""

import re
from pathlib import Path
from string import Formatter

import pytest

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import State
from ppcd.charge.texts import LANGUAGES as PROMPT_LANGUAGES
from ppcd.checkout.screens import Screen, failure_words
from ppcd.checkout.sessions import FAILED
from ppcd.checkout.wording import LANGUAGES, WORDS


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_the_page_speaks_the_languages_of_the_prompts() -> None:
    assert LANGUAGES == PROMPT_LANGUAGES == tuple(WORDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_words_with_the_same_fields(language: str) -> None:
    own, model = WORDS[language], WORDS["uk"]
    assert own.keys() == model.keys()
    assert {key: fields(text) for key, text in own.items()} == {
        key: fields(text) for key, text in model.items()
    }
    assert all(text and text == text.strip() for text in own.values())


def test_every_word_is_used() -> None:
    package = Path(__file__).parents[2] / "ppcd" / "checkout"
    code = "".join(path.read_text() for path in package.glob("*.py") if path.name != "wording.py")
    made = {f"{screen}_{part}" for screen in Screen for part in ("title", "text")}
    made |= {"wait_code_title", "wait_code_text"}
    unused = {
        key for key in WORDS["uk"] if not re.search(rf"[\"']{key}[\"']", code) and key not in made
    }
    assert unused == set()


def test_every_end_without_money_has_words_of_its_own() -> None:
    titles = set()
    for state in FAILED - {State.DENIED}:
        titles.add(failure_words(state, None)[0])
    for reason in DenialReason:
        title, text = failure_words(State.DENIED, reason)
        titles.add(title)
        for words in WORDS.values():
            assert words[title]
            assert not text or words[text]
    assert len(titles) == 10
