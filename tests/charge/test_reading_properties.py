"""What holds for every message there can be."""

import sys
import timeit
import unicodedata
from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st

from ppcd.charge.reading import (
    Reader,
    Reading,
    Rule,
    Verdict,
)

READER = Reader()
YES, NO, STOP, UNCLEAR = Verdict.YES, Verdict.NO, Verdict.STOP, Verdict.UNCLEAR


def verdict(text: str) -> Verdict:
    return READER.read(text).verdict


def wrong(expected: Verdict, texts: Iterable[str]) -> dict[str, Reading]:
    """Those that were read otherwise; a table is one test, not seventy."""
    readings = {text: READER.read(text) for text in texts}
    return {text: reading for text, reading in readings.items() if reading.verdict is not expected}


ALPHABET = st.sampled_from(
    [*"даДАтакyesokYESnoнетНІ01+2549,.-!?() \n\x00«»", "\u200b", "\u0301", "👍", "Ｄ", "٢", "№"]
)


@given(st.text() | st.text(alphabet=ALPHABET, max_size=20))
@example("\ud800")
@example("İ")
@example("\U0010ffff" * 300)
def test_reading_never_fails_and_always_answers(text: str) -> None:
    reading = READER.read(text)
    assert reading == READER.read(text)
    assert (reading.number is not None) == (reading.rule == Rule.YES_AND_NUMBER)
    assert reading.number is None or reading.verdict is YES
    assert reading.rule in set(Rule)


YES_WORDS = st.sampled_from(["да", "ДА", "dа", "так", "TAK", "Yes", "ok"])
BETWEEN = st.sampled_from([" ", ", ", "\n", "-", "... ", "! ", "\u00a0", "\x00"])
CLEAR = st.builds(
    lambda first, more: first + "".join(gap + word for gap, word in more),
    YES_WORDS,
    st.lists(st.tuples(BETWEEN, YES_WORDS), max_size=3),
)


@given(CLEAR, st.sampled_from(["", ".", "!!", " )", "…"]))
def test_yes_words_with_nothing_but_listed_signs_between_are_a_yes(clear: str, end: str) -> None:
    assert READER.read(clear + end) == Reading(YES, None, Rule.YES)


@given(CLEAR, st.integers(0, 9999), st.sampled_from(["", ".", "!", "\n"]))
def test_a_number_after_them_is_handed_on(clear: str, number: int, end: str) -> None:
    said = f"{clear} {number:04}{end}"
    assert READER.read(said) == Reading(YES, f"{number:04}", Rule.YES_AND_NUMBER)


@given(CLEAR, st.characters(exclude_categories=["Zs", "Cf"]), st.data())
def test_one_strange_character_anywhere_takes_the_yes_away(
    clear: str, strange: str, data: st.DataObject
) -> None:
    if set(READER.read(f"да{strange}да")) & {YES} or strange in "+1":
        return  # listed, see the test of every character there is
    if verdict(f"д{strange}") is YES or verdict(f"да {strange}") is not UNCLEAR:
        return  # completes a word, or is a number or a stop
    place = data.draw(st.integers(0, len(clear)))
    spoilt = clear[:place] + strange + clear[place:]
    assert verdict(spoilt) is not YES


@given(st.text(alphabet=ALPHABET, max_size=12), st.integers(0, 12))
def test_invisible_characters_change_nothing(text: str, place: int) -> None:
    if "\x00" in text:
        return
    for invisible in "\u200b\u2066\u00ad\ufeff\u202e\ufe0f":
        assert READER.read(text[:place] + invisible + text[place:]) == READER.read(text)


def test_no_single_character_turns_a_yes_into_another_yes_unless_it_is_listed() -> None:
    """Every character there is, beside a yes: which of them does the reader overlook?"""
    overlooked = set()
    for point in range(sys.maxunicode + 1):
        char = chr(point)
        if unicodedata.category(char) in ("Cn", "Co", "Cf"):
            continue
        if verdict(f"да{char}") is YES:
            overlooked.add(char)
    spaces = {char for char in overlooked if char.isspace()}
    listed = {unicodedata.normalize("NFKC", char) for char in overlooked - spaces}
    assert listed == {*".,!;:«»\"'“”„‘’)+-‐–—\x00", "...", "..", "!!", "\ufe0e", "\ufe0f"}


def test_invisible_means_every_format_character() -> None:
    formats = [chr(p) for p in range(sys.maxunicode + 1) if unicodedata.category(chr(p)) == "Cf"]
    assert len(formats) > 100
    assert wrong(YES, [f"д{char}а" for char in formats]) == {}


def test_compatibility_forms_bring_no_invisible_characters_back() -> None:
    """Format characters are stripped before normalising; none may appear by it."""
    for point in range(sys.maxunicode + 1):
        char = chr(point)
        if unicodedata.category(char) != "Cf":
            normal = unicodedata.normalize("NFKC", char)
            assert not any(unicodedata.category(part) == "Cf" for part in normal)


def test_reading_a_reply_costs_microseconds() -> None:
    """The bound is ten times what it takes here: it finds a blow-up, not a busy machine."""

    def cost_us(text: str) -> float:
        return min(timeit.repeat(lambda: READER.read(text), number=20, repeat=5)) / 20 * 1e6

    assert cost_us("ДА") < 150
    assert cost_us("ДА 4821") < 150
    assert cost_us("да " * 60) < 3_000
    assert cost_us("1" * 1600) < 20_000
    assert cost_us("1+" * 800) < 20_000
