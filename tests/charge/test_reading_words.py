"""The words that are read, the page about them, and what a reading means to a charge."""

from pathlib import Path

import pytest

from ppcd.charge.reading import (
    DEFAULT_WORDS,
    Confirmation,
    Reader,
    Rule,
    UnreadableWord,
    Verdict,
    Words,
    WordsCollide,
    confirms,
)
from ppcd.charge.words import SIGNS, WORDS

READER = Reader()
YES, NO, STOP, UNCLEAR = Verdict.YES, Verdict.NO, Verdict.STOP, Verdict.UNCLEAR


def verdict(text: str) -> Verdict:
    return READER.read(text).verdict


# The page for operators.

PAGE = Path(__file__).parents[2] / "docs" / "reading-replies.md"


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_page_for_operators_has_the_words_that_are_read() -> None:
    tables = {**WORDS, "any": SIGNS}
    assert [row[0] for row in rows_of("The words")] == list(tables)
    for language, *cells in rows_of("The words"):
        table = tables[language]
        listed = [", ".join(sorted(words)) for words in (table.yes, table.no, table.stop)]
        assert cells == listed


def test_the_examples_for_operators_are_read_as_the_page_says() -> None:
    examples = rows_of("Examples")
    assert len(examples) > 30
    for text, said, number, _ in examples:
        reading = READER.read(text.strip("`"))
        assert (reading.verdict, reading.number or "") == (said, number), text
    assert {said for _, said, _, _ in examples} == set(Verdict)


def test_the_page_for_operators_names_every_rule() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert not [rule for rule in Rule if f"`{rule}`" not in page]


# Configuring the words.


def words(*, yes: str = "да", no: str = "нет", stop: str = "стоп") -> Words:
    return Words(frozenset(yes.split()), frozenset(no.split()), frozenset(stop.split()))


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (words(yes="да", no="да"), "да"),
        (words(yes="да", no="ДА"), "ДА, да"),
        (words(yes="ні", no="HI"), "HI, ні"),
        (words(yes="стоп"), "стоп"),
        (words(yes="hет"), "hет, нет"),
        (DEFAULT_WORDS | words(no="ок"), "ok, ок"),
    ],
)
def test_a_word_that_would_mean_both_is_refused_by_name(table: Words, named: str) -> None:
    with pytest.raises(WordsCollide, match=f"yes and no: {named}$"):
        Reader(table)


@pytest.mark.parametrize(
    "word", ["", " ", "да да", "да!", "25", "10", "да1", "👍", "да\u0301", "?"]
)
def test_what_no_message_could_mean_clearly_is_no_word(word: str) -> None:
    for table in (
        Words(frozenset({word}), frozenset(), frozenset()),
        Words(frozenset(), frozenset({word}), frozenset()),
        Words(frozenset(), frozenset(), frozenset({word})),
    ):
        with pytest.raises(UnreadableWord, match="is no word"):
            Reader(table)


def test_no_and_stop_may_share_words() -> None:
    assert Reader(words(no="нет стоп")).read("стоп").verdict is STOP


def test_a_table_replaces_the_default() -> None:
    reader = Reader(words(yes="згоден", no="проти", stop="досить"))
    assert [reader.read(text).verdict for text in ("Згоден", "проти", "досить!", "так", "+")] == [
        YES,
        NO,
        STOP,
        UNCLEAR,
        UNCLEAR,
    ]
    assert reader.read("1").rule == Rule.NUMBER_ALONE
    assert reader.read("+1").rule == Rule.OTHER_WORDS


def test_words_of_all_languages_count_at_once() -> None:
    for table in WORDS.values():
        assert table.yes <= DEFAULT_WORDS.yes
        assert table.no <= DEFAULT_WORDS.no
        assert table.stop <= DEFAULT_WORDS.stop
    assert DEFAULT_WORDS.yes >= {"1", "+"}
    assert "0" in DEFAULT_WORDS.no


# What the reading means to a charge.


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("да", None, Confirmation.CONFIRMED),
        ("да 25", None, Confirmation.CONFIRMED),
        ("да 25,00", None, Confirmation.CONFIRMED),
        ("да 25.0", None, Confirmation.CONFIRMED),
        ("да 2500", None, Confirmation.UNCLEAR),
        ("да 25,01", None, Confirmation.UNCLEAR),
        ("да 025", None, Confirmation.UNCLEAR),
        ("да 4821", None, Confirmation.UNCLEAR),
        ("25", None, Confirmation.UNCLEAR),
        ("ага", None, Confirmation.UNCLEAR),
        ("нет", None, Confirmation.DECLINED),
        ("да стоп", None, Confirmation.DECLINED),
        ("да 4821", "4821", Confirmation.CONFIRMED),
        ("да", "4821", Confirmation.UNCLEAR),
        ("да 4822", "4821", Confirmation.WRONG_CODE),
        ("да 25", "4821", Confirmation.WRONG_CODE),
        ("да 04821", "4821", Confirmation.WRONG_CODE),
        ("4821", "4821", Confirmation.UNCLEAR),
        ("да4821", "4821", Confirmation.UNCLEAR),
        ("да 48 21", "4821", Confirmation.UNCLEAR),
        ("нет 4821", "4821", Confirmation.DECLINED),
        ("стоп", "4821", Confirmation.DECLINED),
    ],
)
def test_a_yes_confirms_only_with_the_code_or_without_another_number(
    text: str, code: str | None, expected: Confirmation
) -> None:
    assert confirms(READER.read(text), code=code, major_number="25") is expected
