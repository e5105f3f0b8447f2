"""What counts as a yes: vectors from the field, and the rule behind them."""

from collections.abc import Iterable

from ppcd.charge.reading import (
    DEFAULT_WORDS,
    TEXT_LENGTH_MAX,
    Reader,
    Reading,
    Rule,
    Verdict,
    Words,
)
from ppcd.charge.wording import TEMPLATES
from ppcd.charge.words import NO_WORD, WORDS, YES_WORD

READER = Reader()
YES, NO, STOP, UNCLEAR = Verdict.YES, Verdict.NO, Verdict.STOP, Verdict.UNCLEAR


def verdict(text: str) -> Verdict:
    return READER.read(text).verdict


def wrong(expected: Verdict, texts: Iterable[str]) -> dict[str, Reading]:
    """Those that were read otherwise; a table is one test, not seventy."""
    readings = {text: READER.read(text) for text in texts}
    return {text: reading for text, reading in readings.items() if reading.verdict is not expected}


# The 54 messages collected from the field, by number. Codes have digits only, so 47 to 49, which
# answer with 7F3K, are unclear here; their like in digits is among the yeses below.
FIELD = {
    **dict.fromkeys(
        ["ДА", "да", "Да.", "дА!", "«ДА»", '"да"', " да ", "ДA", "DА", "DA", "da", "Дa"], YES
    ),
    **dict.fromkeys(["ДА ДА", "да 250"], YES),
    **dict.fromkeys(["ДА250", "да, 250 gold"], UNCLEAR),
    **dict.fromkeys(["1", "+"], YES),
    **dict.fromkeys(["Ага", "да нет"], UNCLEAR),
    **dict.fromkeys(["нет"], NO),
    **dict.fromkeys(["не да", "Не"], UNCLEAR),
    **dict.fromkeys(["НЕТ", "нi", "ні", "Ні дякую"], NO),
    **dict.fromkeys(["СТОП", "stop"], STOP),
    **dict.fromkeys(["TAK", "так", "Так!", "Yes", "ok", "ОК"], YES),
    **dict.fromkeys(["👍", "да👍"], UNCLEAR),
    **dict.fromkeys(["Да\u200b"], YES),
    **dict.fromkeys(
        [
            "да\n--\nОтправлено с iPhone",
            "Да, отправьте ДА в ответ",
            "Для подтверждения оплаты, отправьте ДА в ответ",
        ],
        UNCLEAR,
    ),
    **dict.fromkeys(["дА)"], YES),
    **dict.fromkeys(["даа", "lf", "Д А", "д.а"], UNCLEAR),
    **dict.fromkeys(["yes 7F3K", "7f3k", "ДА 7F3К"], UNCLEAR),
    # Other than the prototype had it: one rule for all emoji.
    **dict.fromkeys(["Да 😀"], UNCLEAR),
    **dict.fromkeys(["не надо да"], UNCLEAR),
    **dict.fromkeys(["ΔA", "ＤＡ", "𝐃𝐀"], YES),
}


def test_the_messages_from_the_field_are_read_as_they_were_meant() -> None:
    assert len(FIELD) == 54
    read = {text: verdict(text) for text in FIELD}
    assert {text: said for text, said in read.items() if said is not FIELD[text]} == {}


def test_a_message_of_yes_words_alone_is_a_yes() -> None:
    listed = [
        *(
            "yеs",
            "Taк",
            "тaк",
            "TAK!",
            "OK",
            "Ok.",
            "YES!",
            "дa ok",
            "так, так",
            "да-да",
            "да да да",
        ),
        *("ДА 1", "1+1", "①", "+1", "1.", "1)", "«1»", "１", "да…", "Да!!!", "да, да.", "- да"),
        *("да -", "да;", "да:)", "’да’", "Да – да", "да--", "“Да”", "„да”", "да ;)", "Yes, ok."),
    ]
    listed += [
        "ДА\x00",
        "ДА\r\n",
        "\u00a0да\u00a0",
        "\u2066да\u2069",
        "\u202aда\u202c",
        "да\ufeff",
        "д\u00adа",
        "да\ufe0f",
        "\u200fда",
        "да\u061c",
        "\U000e0001да",
    ]
    assert wrong(YES, listed) == {}


def test_a_no_word_first_declines_whatever_follows() -> None:
    texts = [
        *("нет да", "no да", "нет, не надо", "HET", "Nо", "HI", "0", "Ні!", "NET", "Отмена"),
        *("cancel", "скасувати", "Відміна!", "no 25", "нет 👎", "«Нет»", "- нет", "0 1", "нет?"),
    ]
    assert wrong(NO, texts) == {}


def test_stop_anywhere_declines() -> None:
    texts = [
        *("да стоп", "СТОП пожалуйста", "стоп да", "да 25 СТОП", "STOP!", "please stop this"),
        *("да 👎 stop", "нет стоп", "СТОП.", "ДА, стоп", "стоп 👎", "Прошу, стоп", "sTOP", "стoп"),
    ]
    assert wrong(STOP, texts) == {}


def test_everything_else_is_unclear() -> None:
    texts = [
        # Yes and no at once, or nearly yes.
        *("да/нет", "да.нет", "да no", "так ні", "да 0", "ДА 250 НЕТ", "да нет да", "1+0"),
        *("0K", "okay", "ОКей", "Угу", "дада", "ДАДА", "не", "yes please", "ага да", "ДаДа"),
        # Nothing at all.
        *("", " ", "-", "...", "\n", "\x00", "\u200b", "()", "«»"),
        # Signs: one rule for all of them.
        *(
            "да 👎",
            "Да ❌",
            "ок 👍",
            "👍👍",
            "👍🏽",
            "да ♥",
            "да ✅",
            "🆗",
            "1️⃣",
            "да 1️⃣",
            "№1",
            "да №",
        ),
        *("да?", "да ?", "Да?!", "да*", "да%", "да/", "да :(", "(да", "да@", "да=", "да~", "да_"),
        *("да #", "да $", "да ₽", "да®", "™", "да^", "да`", "да´", "да¨", "\ufffd", "да\ufffd"),
        # Letters with something on them.
        *("да\u0301", "д\u0301а", "да\u20dd", "dȁ"),
        # Damage of the wire: ДА read in the wrong alphabet.
        *("\u1404\u1004", "ÄÀ", "äá", "´°", "Ð\x94Ð\x90", "\x84\x80", "да\x1b", "\ud804да"),
    ]
    assert wrong(UNCLEAR, texts) == {}


def test_a_number_is_read_after_a_yes_and_only_there() -> None:
    read = {
        "да 25": "25",
        "да 2500": "2500",
        "да 25,00": "25",
        "да 25.00": "25",
        "ДА 25,50": "25.5",
        "да 25.05": "25.05",
        "да 0,5": "0.5",
        "да 1,250": "1.25",
        "да 1,00": "1",
        "ДА 4821": "4821",
        "yes 4821": "4821",
        "ДА 4821.": "4821",
        "да «4821»": "4821",
        "да, 4821!": "4821",
        "ДА\n4821": "4821",
        "ДА ДА 4821": "4821",
        "+ 4821": "4821",
        "да 0042": "0042",
        "да 00": "00",
        "да 25.": "25",
        "да ٢٥": "25",
        "да २५": "25",
        "да ２５，５０": "25.5",
        "да 4\u200b821": "4821",
        "да 𝟒𝟖𝟐𝟏": "4821",
        "да 1234567890123,45": "1234567890123.45",
    }
    assert {text: READER.read(text) for text in read} == {
        text: Reading(YES, number, Rule.YES_AND_NUMBER) for text, number in read.items()
    }


def test_a_number_in_any_other_place_or_shape_is_unclear() -> None:
    texts = [
        # Alone, or before the yes, or two of them.
        *("4821", "25", "25,00", "1,5", "00", "٢٥", "4821 да", "25,00 да", "1,00 да"),
        *("да 48 21", "да 25 25", "да 4821 25", "да 25 да", "да 25 1", "ДА ДА 7F3K", "да 7F3K 250"),
        # Not as a piece of its own.
        *(
            "да4821",
            "ДА7F3K",
            "да,4821",
            "да-4821",
            "да:4821",
            "да.25",
            "да+25",
            "4821да",
            "да25,00",
        ),
        # With a sign, a unit, or more than one comma: dates, times, phone numbers, sums.
        *("да -25", "да +25", "+25", "-1", "−1", "+380971234567", "да +380971234567", "да 25грн"),
        *(
            "да 25 грн",
            "да 25₽",
            "да 25%",
            "да 12:30",
            "да 1.2.3",
            "да 1,250.00",
            "да 1-5",
            "да 1/2",
        ),
        *(
            "да 25..",
            "да .25",
            "да ,25",
            "да 25,",
            "да 25-",
            "да ½",
            "да 25²x",
            "да #4821",
            "да 1e3",
        ),
        *("да 12345678901234567", "да " + "1" * 500, "1/1", "1:1", "1-1", "1.1.1"),
        # After a yes in digits it may be the rest of a bigger number.
        *("1 250", "1 4821", "да 1 250", "1 да 250", "1 250,00"),
    ]
    tolerated = {"да 25..": "25", "да 25,": "25"}
    assert wrong(UNCLEAR, [text for text in texts if text not in tolerated]) == {}
    assert {text: READER.read(text).number for text in tolerated} == tolerated


def test_the_rule_is_kept_with_the_verdict() -> None:
    rules = {
        "да": Rule.YES,
        "да 25": Rule.YES_AND_NUMBER,
        "нет": Rule.NO_FIRST,
        "да стоп": Rule.STOP_ANYWHERE,
        "-": Rule.EMPTY,
        "25": Rule.NUMBER_ALONE,
        "ага": Rule.OTHER_WORDS,
        "1 25": Rule.OTHER_WORDS,
        "да" + " " * TEXT_LENGTH_MAX: Rule.TOO_LONG,
    }
    assert {text: READER.read(text).rule for text in rules} == rules


def test_a_number_goes_with_a_yes_only() -> None:
    for text in ("нет 25", "стоп 25", "25", "да 25 ага", "1 25"):
        assert READER.read(text).number is None


def test_a_message_longer_than_any_reply_is_no_yes_but_may_decline() -> None:
    assert verdict("да" + " " * (TEXT_LENGTH_MAX - 2)) is YES
    assert verdict("да" + " " * (TEXT_LENGTH_MAX - 1)) is UNCLEAR
    assert verdict("да " + "x" * TEXT_LENGTH_MAX) is UNCLEAR
    assert verdict("нет " + "x" * TEXT_LENGTH_MAX) is NO
    assert verdict("стоп " + "x" * TEXT_LENGTH_MAX) is STOP


def test_a_quoted_prompt_never_confirms() -> None:
    """Neither as it is nor with a yes before it, in no language and on no occasion."""
    values = {
        "merchant": "GameX",
        "description": "250 gold",
        "amount": "25,00",
        "currency": "грн",
        "code": "4821",
        "reference": "7F3K",
        "reason": "",
    }
    for templates in TEMPLATES.values():
        for template in templates.values():
            for form in template.split("\n"):
                quoted = form.replace("[", "").replace("]", "").format(**values)
                assert verdict(quoted) is UNCLEAR, quoted
                assert verdict(f"да {quoted}") is UNCLEAR
                assert verdict(f"{quoted}\nДА") is UNCLEAR


def test_what_a_prompt_asks_for_is_understood() -> None:
    for language in WORDS:
        assert verdict(YES_WORD[language]) is YES
        assert verdict(NO_WORD[language]) is NO
        assert READER.read(f"{YES_WORD[language]} 4821").number == "4821"


def test_every_word_of_the_table_works_in_any_case_and_wrapping() -> None:
    for words, expected in (
        (DEFAULT_WORDS.yes, YES),
        (DEFAULT_WORDS.no, NO),
        (DEFAULT_WORDS.stop, STOP),
    ):
        spelt = {form(word) for word in words for form in (str.upper, str.lower, str.title)}
        assert wrong(expected, spelt) == {}
        assert wrong(expected, {f" «{word}»!.. " for word in spelt}) == {}


def test_look_alikes_of_three_alphabets_are_one_letter() -> None:
    pairs = list(zip("abcehikmoptxy", "авсенікмортху", strict=True))
    pairs += zip("αβεηικμορτχυδ", "авенікмортхуд", strict=True)
    for look_alike, letter in pairs:
        word = f"ж{letter}ж"
        reader = Reader(Words(frozenset({word}), frozenset(), frozenset()))
        assert reader.read(word.replace(letter, look_alike)).verdict is YES
        assert reader.read(word.replace(letter, look_alike).upper()).verdict is YES
    for other in "dfgjlnqrsuvwz":
        assert verdict(f"{other}а") is (YES if other == "d" else UNCLEAR)
