"""What subscribers read: price and yes-word always in sight, never a word too many."""

import re
from collections.abc import Mapping

import gsm0338
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ppcd.charge.debit import DenialReason
from ppcd.charge.money import AMOUNT_MINOR_MAX, EXPONENTS, Money, format_money
from ppcd.charge.reading import Reader, Verdict
from ppcd.charge.texts import ASKING, LANGUAGES, TEMPLATES, Kind, TemplateError, Texts, lint
from ppcd.charge.wording import REASONS
from ppcd.charge.words import YES_WORD

TEXTS = Texts()
PRICE = Money(2500, "UAH")
GSM = gsm0338.Codec()
EVERY_KIND = [(kind, language) for language in LANGUAGES for kind in Kind]


def segments(text: str) -> int:
    """How many SMS a text takes, counted by somebody else's alphabet."""
    try:
        alone, part, length = 160, 153, len(GSM.encode(text)[0])
    except UnicodeEncodeError:
        alone, part, length = 70, 67, len(text.encode("utf-16-be")) // 2
    return 1 if length <= alone else -(-length // part)


def first_segment(text: str) -> str:
    """What even a phone that never joins the parts shows, if the text is sent as UCS-2."""
    return text.encode("utf-16-be")[: 2 * 67].decode("utf-16-be", "ignore")


def render(kind: Kind, language: str, **changed: str | None) -> str:
    values = {"merchant": "GameX", "description": "250 gold", "code": None, "reference": None}
    return TEXTS.render(kind, language, amount=PRICE, **{**values, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "language", "text"),
    [
        (
            Kind.PROMPT,
            "ru",
            "GameX: 250 gold, 25,00 грн. Для подтверждения оплаты, отправьте ДА в ответ",
        ),
        (
            Kind.PROMPT,
            "uk",
            "GameX: 250 gold, 25,00 грн. Для підтвердження оплати, надішліть ТАК у відповідь",
        ),
        (Kind.PROMPT, "en", "GameX: 250 gold, 25.00 UAH. To confirm the payment, reply YES"),
        (
            Kind.PROMPT_CODE,
            "ru",
            "GameX, 25,00 грн. Для подтверждения оплаты, отправьте ДА 4821 в ответ. 250 gold",
        ),
        (Kind.REPROMPT, "ru", "GameX, 25,00 грн. Ответ непонятен: отправьте только ДА или НЕТ"),
        (
            Kind.REPROMPT_CODE,
            "ru",
            "GameX, 25,00 грн. Ответ непонятен: отправьте ДА 4821 (с пробелом) или НЕТ",
        ),
        (Kind.RECEIPT, "ru", "Оплачено 25,00 грн: GameX, 250 gold. Чек 7F3K"),
        (Kind.RECEIPT, "uk", "Сплачено 25,00 грн: GameX, 250 gold. Чек 7F3K"),
        (
            Kind.NOT_DEBITED,
            "ru",
            "Оплата не прошла, ничего не списано: GameX, 250 gold, 25,00 грн",
        ),
        (Kind.LATE_YES, "ru", "Оплата закрыта, ничего не списано: GameX, 250 gold, 25,00 грн"),
        (
            Kind.LATE_NO,
            "ru",
            "Оплата уже обрабатывается, отменить её нельзя: GameX, 25,00 грн. "
            "Обратитесь в поддержку",
        ),
    ],
)
def test_the_subscriber_reads(kind: Kind, language: str, text: str) -> None:
    code = "4821" if kind in (Kind.PROMPT_CODE, Kind.REPROMPT_CODE) else None
    reference = "7F3K" if kind is Kind.RECEIPT else None
    assert render(kind, language, code=code, reference=reference) == text


def test_the_russian_prompt_has_the_sentence_that_the_product_is_known_by() -> None:
    for merchant in ("GameX", "Очень длинное название магазина игр"):
        text = render(Kind.PROMPT, "ru", merchant=merchant)
        assert "Для подтверждения оплаты, отправьте ДА в ответ" in text


def test_a_receipt_without_a_reference_or_a_description_has_no_gaps() -> None:
    assert render(Kind.RECEIPT, "ru") == "Оплачено 25,00 грн: GameX, 250 gold"
    assert render(Kind.RECEIPT, "ru", description=" ") == "Оплачено 25,00 грн: GameX"
    assert render(Kind.PROMPT, "en", description="").startswith("GameX, 25.00 UAH. To confirm")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failed_debit_says_why_where_the_subscriber_can_use_it(language: str) -> None:
    def said(reason: DenialReason | None) -> str:
        return TEXTS.render(
            Kind.NOT_DEBITED,
            language,
            amount=PRICE,
            merchant="GameX",
            description="250 gold",
            reason=reason,
        )

    plain = said(None)
    assert said(DenialReason.BILLING_REJECTED) == plain
    for reason in DenialReason:
        why = REASONS[language].get(reason)
        assert said(reason) == (f"{plain}. {why}" if why else plain)
    assert DenialReason.INSUFFICIENT_FUNDS in REASONS[language]


def test_every_language_has_every_text_and_gives_the_same_reasons() -> None:
    assert tuple(TEMPLATES) == tuple(REASONS) == LANGUAGES
    assert all(list(templates) == list(Kind) for templates in TEMPLATES.values())
    assert len({tuple(reasons) for reasons in REASONS.values()}) == 1


@pytest.mark.parametrize(("kind", "language"), EVERY_KIND)
def test_the_default_wording_passes_the_linter(kind: Kind, language: str) -> None:
    assert lint(TEMPLATES[language][kind], kind, language, segments) == []


ANY_MONEY = st.builds(Money, st.integers(1, AMOUNT_MINOR_MAX), st.sampled_from(sorted(EXPONENTS)))


@given(
    st.sampled_from(sorted(ASKING)),
    st.sampled_from(LANGUAGES),
    ANY_MONEY,
    st.text(),
    st.text(),
)
@example(Kind.PROMPT, "uk", Money(AMOUNT_MINOR_MAX, "CLF"), "Щ" * 99, "😀" * 99)
@example(Kind.PROMPT_CODE, "uk", Money(AMOUNT_MINOR_MAX, "USD"), "a" * 99, "")
@example(Kind.REPROMPT_CODE, "uk", Money(AMOUNT_MINOR_MAX, "UAH"), "😀" * 99, "ДА" * 99)
def test_price_and_yes_word_stand_in_the_first_segment(
    kind: Kind, language: str, amount: Money, merchant: str, description: str
) -> None:
    text = TEXTS.render(
        kind, language, amount=amount, merchant=merchant, description=description, code="4821"
    )
    seen = first_segment(text)
    asked = YES_WORD[language] + (" 4821" if "code" in kind else "")
    assert f"{format_money(amount, language)}." in seen
    assert re.search(rf"\b{asked}\b", seen)


@given(st.sampled_from(EVERY_KIND), ANY_MONEY, st.text(), st.text(), st.sampled_from(DenialReason))
@example((Kind.NOT_DEBITED, "uk"), PRICE, "Щ" * 99, "Щ" * 99, DenialReason.SERVICE_DENIED)
def test_no_text_takes_more_than_two_segments_or_one_line(
    which: tuple[Kind, str], amount: Money, merchant: str, description: str, reason: DenialReason
) -> None:
    kind, language = which
    text = TEXTS.render(
        kind,
        language,
        amount=amount,
        merchant=merchant,
        description=description,
        code="4821",
        reference="7F3K-219-7F3K-219-7F3K-2",
        reason=reason,
    )
    assert segments(text) <= 2
    assert "\n" not in text
    assert "\r" not in text


@given(st.sampled_from(EVERY_KIND), st.text(max_size=40), st.text(max_size=80))
def test_a_text_that_comes_back_as_a_reply_never_confirms(
    which: tuple[Kind, str], merchant: str, description: str
) -> None:
    text = TEXTS.render(
        *which, amount=PRICE, merchant=merchant, description=description, code="4821"
    )
    assert Reader().read(text).verdict is not Verdict.YES


# Overrides.


def test_an_operators_text_replaces_only_its_own_kind_and_language() -> None:
    texts = Texts({"ru": {Kind.PROMPT: "{merchant} {amount} {currency}: ДА"}})

    def said(kind: Kind, language: str) -> str:
        return texts.render(kind, language, amount=PRICE, merchant="GameX", description="250 gold")

    assert said(Kind.PROMPT, "ru") == "GameX 25,00 грн: ДА"
    for kind, language in EVERY_KIND:
        if (kind, language) != (Kind.PROMPT, "ru"):
            assert said(kind, language) == render(kind, language)


def test_an_unreadable_override_is_refused() -> None:
    with pytest.raises(TemplateError, match="unknown placeholder"):
        Texts({"ru": {Kind.PROMPT: "{price}"}})


# The linter.

GOOD = "{merchant} {amount} {currency} отправьте ДА"


def problems(template: str, kind: Kind = Kind.PROMPT, language: str = "ru") -> list[str]:
    return lint(template, kind, language, segments)


def test_the_linter_is_content_with_a_terse_prompt() -> None:
    assert problems(GOOD) == []
    assert problems(GOOD + " {code}", Kind.PROMPT_CODE) == []
    assert problems("{merchant}: {reason}", Kind.NOT_DEBITED) == []
    assert problems("{merchant} {reference}", Kind.LATE_NO) == []


MISSING: Mapping[str, str] = {
    "{amount}": "{amount} is missing: put it in, outside of [...].",
    "{currency}": "{currency} is missing: put it in, outside of [...].",
    "{merchant}": "{merchant} is missing: put it in, outside of [...].",
    "ДА": "the word to answer with is missing: ask for ДА, outside of [...].",
}


@pytest.mark.parametrize(("part", "problem"), MISSING.items())
def test_the_linter_misses_what_is_not_there_or_may_not_be(part: str, problem: str) -> None:
    assert problems(GOOD.replace(part, "")) == [problem]
    assert problems(GOOD.replace(part, f"[{part}]")) == [problem]


def test_the_linter_says_everything_that_is_missing_at_once() -> None:
    assert len(problems("Добрый день!")) == 4
    assert len(problems("Добрый день!", Kind.PROMPT_CODE)) == 5
    assert len(problems("Добрый день!", Kind.RECEIPT)) == 3
    assert len(problems("Добрый день!", Kind.NOT_DEBITED)) == 1


def test_the_linter_names_the_form_where_there_are_several() -> None:
    assert problems(f"{GOOD}\n{{amount}} {{currency}} ДА") == [
        "line 2: {merchant} is missing: put it in, outside of [...]."
    ]


def test_the_linter_wants_the_word_of_the_templates_own_language() -> None:
    assert problems(GOOD.replace("ДА", "YES")) == [MISSING["ДА"]]
    assert problems(GOOD.replace("ДА", "данные")) == [MISSING["ДА"]]
    assert problems(GOOD.replace("ДА", "YES"), language="en") == []
    assert problems(GOOD.replace("ДА", "так"), language="uk") == []
    assert problems(GOOD.replace("ДА", "DA")) == []


@pytest.mark.parametrize(
    "end", ["{code} ДА", "ДА, код {code}", "ДА{code}", "{code}", "ДА [x] {code}"]
)
def test_the_linter_wants_the_code_as_it_has_to_be_sent(end: str) -> None:
    template = f"{{merchant}} {{amount}} {{currency}} отправьте {end}"
    asked = (
        "the code must follow the word to answer with: write ДА {code}."
        if "ДА" in end
        else "the word to answer with is missing: ask for ДА {code}, outside of [...]."
    )
    assert problems(template, Kind.PROMPT_CODE) == [asked]


def test_the_linter_finds_placeholders_that_are_never_filled() -> None:
    assert problems(GOOD + " {code}[ {reference}] {reason}") == [
        "{code} is always empty in prompt: take it out.",
        "{reason} is always empty in prompt: take it out.",
        "{reference} is always empty in prompt: take it out.",
    ]
    assert problems("{merchant} {amount} {currency} {reason}{code}", Kind.RECEIPT) == [
        "{code} is always empty in receipt: take it out.",
        "{reason} is always empty in receipt: take it out.",
    ]


@pytest.mark.parametrize("char", ["\t", "\r", "\x00", "\u200b", "\u202e", "\u2028", "\ue000"])
def test_the_linter_finds_what_nobody_sees(char: str) -> None:
    expected = [f"there is a control character, U+{ord(char):04X}: remove it."]
    assert problems(GOOD + char + "." + char) == expected
    assert problems(GOOD + f"[{char}]") == expected


def test_the_linter_passes_on_what_cannot_be_read() -> None:
    assert problems("{price}")[0].startswith("unknown placeholder {price}: use one of {merchant}")
    assert problems("") == ["the template is empty: write a text."]


def test_the_linter_counts_segments_with_the_longest_values() -> None:
    long = GOOD + "." * 90
    assert problems(long[:-1]) == []
    # Two characters of the merchant's thirty are left: literals alone take the rest.
    assert problems(GOOD + "." * 130) == [
        "it takes 3 segments with the longest values, 2 are allowed: shorten it."
    ]


def test_the_linter_counts_receipts_too() -> None:
    receipt = "{merchant} {amount} {currency}" + "." * 120
    assert problems(receipt, Kind.RECEIPT) == [
        "it takes 3 segments with the longest values, 2 are allowed: shorten it."
    ]


def test_the_linter_wants_price_and_yes_word_in_the_first_segment() -> None:
    room = 67 - len("Щ 10000000000,00 UAH отправьте ДА")
    late = "ж" * (room + 3) + GOOD
    assert problems(late) == [
        "with the longest values price and yes-word end 3 characters after the first segment: "
        "shorten what stands before them."
    ]


def test_a_template_that_passes_leaves_room_for_the_merchant_at_ordinary_prices() -> None:
    room = 67 - len("Щ 10000000000,00 UAH отправьте ДА")
    template = "ж" * room + GOOD
    assert problems(template) == []
    text = Texts({"ru": {Kind.PROMPT: template}}).render(
        Kind.PROMPT, "ru", amount=Money(9999999, "UAH"), merchant="Київстар", description=""
    )
    assert "Київст… 99999,99 грн отправьте ДА" in text


def test_a_merchant_after_the_yes_word_has_room_enough() -> None:
    assert problems("ж" * 30 + "{amount} {currency} отправьте ДА {merchant}") == []


@given(st.text(alphabet="{}[]amountcurendhДАs \n") | st.text(), st.sampled_from(EVERY_KIND))
def test_the_linter_never_fails_and_its_sentences_end(
    template: str, which: tuple[Kind, str]
) -> None:
    kind, language = which
    assert all(problem.endswith(".") for problem in lint(template, kind, language, segments))


@given(
    st.lists(
        st.sampled_from(
            ["{merchant}", "{amount}", "{currency}", " ДА ", "[. {description}]", "слово ", "\n"]
        ),
        max_size=25,
    ).map("".join),
    ANY_MONEY,
    st.text(),
    st.text(),
)
def test_what_the_linter_passes_keeps_the_promise(
    template: str, amount: Money, merchant: str, description: str
) -> None:
    if problems(template):
        return
    text = Texts({"ru": {Kind.PROMPT: template}}).render(
        Kind.PROMPT, "ru", amount=amount, merchant=merchant, description=description
    )
    assert segments(text) <= 2
    assert re.search(r"\bДА\b", first_segment(text))


def test_a_text_that_thousands_get_is_rendered_once_and_what_is_one_charges_each_time() -> None:
    texts = Texts({"en": {Kind.PROMPT: "{merchant} {amount} {currency} YES {reference}"}})
    common = {"amount": Money(2500, "UAH"), "merchant": "GameX", "description": "gold"}
    same = [texts.render(Kind.PROMPT, "uk", **common, reference=r) for r in ("1", "2")]
    assert same[0] is same[1]
    own = [texts.render(Kind.PROMPT, "en", **common, reference=r) for r in ("1", "2")]
    assert own == ["GameX 25.00 UAH YES 1", "GameX 25.00 UAH YES 2"]
