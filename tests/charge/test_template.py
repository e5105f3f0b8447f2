"""Templates: what can be written in them, and how values are made to fit."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.charge.template import (
    Field,
    OptionalPart,
    TemplateError,
    field_names,
    fit,
    lay_out,
    one_line,
    parse,
    units,
)

VALUES = {
    "merchant": "GameX",
    "description": "250 gold",
    "amount": "25,00",
    "currency": "грн",
    "code": "",
    "reference": "",
    "reason": "",
}


def printed(template: str, **values: str) -> str:
    (form,) = parse(template)
    return lay_out(form, {**VALUES, **values}, "ru").text


# The little language.


def test_a_template_is_literals_and_placeholders() -> None:
    assert parse("{merchant}: {amount}") == ((Field("merchant"), ": ", Field("amount")),)
    assert printed("{merchant}: {description}, {amount} {currency}.") == (
        "GameX: 250 gold, 25,00 грн."
    )


def test_an_optional_part_is_printed_only_with_all_of_its_values() -> None:
    template = "{merchant}[: {description}][. Чек {reference} {code}][!]"
    assert parse(template)[0][1] == OptionalPart((": ", Field("description")))
    assert printed(template) == "GameX: 250 gold!"
    assert printed(template, description="", reference="7F3K") == "GameX!"
    assert printed(template, code="1", reference="2") == "GameX: 250 gold. Чек 2 1!"


def test_doubled_brackets_print_one() -> None:
    assert printed("{{amount}} [[x]] [{{{amount}}}[[]]]") == "{amount} [x] {25,00}[]"


def test_lines_are_forms_and_blank_ones_are_not() -> None:
    assert parse("\n  {merchant} a \n\n b\n") == ((Field("merchant"), " a"), ("b",))


def test_values_are_never_read_as_templates() -> None:
    assert printed("{merchant}", merchant="{amount}[x]{0}") == "{amount}[x]{0}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "empty: write a text"),
        (" \n \n", "empty: write a text"),
        ("{price}", r"unknown placeholder \{price\}: use one of \{merchant\}, \{desc"),
        ("{}", r"unknown placeholder \{\}"),
        ("{0}", "unknown placeholder"),
        ("{ amount}", "unknown placeholder"),
        ("{amount:>9}", "unknown placeholder"),
        ("{amount!r}", "unknown placeholder"),
        ("{amount.__class__}", "unknown placeholder"),
        ("{amount[0]}", "unknown placeholder"),
        ("[{price}]", "unknown placeholder"),
        ("{amount", r"\{ stands alone or inside of another: to print it, double it"),
        ("amount}", r"\} stands alone"),
        ("a]", r"\] stands alone"),
        ("[a [b] c]", r"\[ stands alone or inside of another"),
        ("[a", r"\[ without \]: close the optional part"),
        ("fine\n[a", r"\[ without \]"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        parse(template)


@given(st.text(alphabet="{}[]ab \n") | st.text())
def test_any_text_is_a_template_or_a_template_error(template: str) -> None:
    try:
        forms = parse(template)
    except TemplateError:
        return
    assert forms
    for form in forms:
        assert lay_out(form, VALUES, "ru").text is not None


def test_the_placeholders_of_optional_parts_are_seen_too() -> None:
    (form,) = parse("{merchant} x [a {code} b]{amount}")
    assert field_names(form) == {"merchant", "code", "amount"}
    assert field_names(("x",)) == frozenset()


# Where the price and the yes-word end.


@pytest.mark.parametrize(
    ("template", "head"),
    [
        ("{amount} {currency}, ответьте ДА, и все", "25,00 грн, ответьте ДА"),
        ("ответьте ДА: {amount} {currency}, и все", "ответьте ДА: 25,00 грн"),
        ("{amount} {currency} ДА {code} и", "25,00 грн ДА 4821"),
        ("{amount} {currency} ДА или ДА", "25,00 грн ДА"),
        ("{amount} {currency} ДА {amount}", "25,00 грн ДА"),
        ("{amount} Дальше {currency} да.", "25,00 Дальше грн да"),
        ("{amount} {currency} дальше", "25,00 грн"),
        ("{merchant}", ""),
    ],
)
def test_the_head_ends_with_the_last_of_price_and_yes_word(template: str, head: str) -> None:
    (form,) = parse(template)
    assert lay_out(form, {**VALUES, "code": "4821"}, "ru").head == head


def test_the_head_knows_which_values_stand_in_it() -> None:
    (form,) = parse("{merchant} {amount} {currency} ДА {description}")
    assert lay_out(form, VALUES, "ru").before == {"merchant", "amount", "currency"}


def test_a_yes_word_in_a_value_does_not_count() -> None:
    (form,) = parse("{merchant} {amount} {currency} ДА")
    assert lay_out(form, {**VALUES, "merchant": "ДА"}, "ru").head == "ДА 25,00 грн ДА"


# Fitting.


def fitted(template: str, head_max: int = 67, **values: str) -> str:
    return fit(parse(template), {**VALUES, **values}, language="ru", head_max=head_max).text


def test_the_first_form_that_fits_whole_is_taken() -> None:
    template = "{merchant} {description} {amount} {currency} ДА\n{amount} {currency} ДА"
    assert fitted(template, head_max=28) == "GameX 250 gold 25,00 грн ДА"
    assert fitted(template, head_max=27) == "GameX 250 gold 25,00 грн ДА"
    assert fitted(template, head_max=26) == "25,00 грн ДА"


def test_the_last_form_is_cut_description_first() -> None:
    template = "{merchant}: {description}, {amount} {currency} ДА"
    assert fitted(template, head_max=29) == "GameX: 250 gold, 25,00 грн ДА"
    assert fitted(template, head_max=28) == "GameX: 250..., 25,00 грн ДА"
    assert fitted(template, head_max=27) == "GameX: 250..., 25,00 грн ДА"
    # What is left of it would say nothing: it goes, and the merchant is cut for the rest.
    assert fitted(template, head_max=26) == "GameX: , 25,00 грн ДА"
    assert fitted(template, head_max=20) == "G...: , 25,00 грн ДА"
    assert fitted(template, head_max=1) == "G: , 25,00 грн ДА"


def test_an_optional_part_goes_with_its_description() -> None:
    template = "{merchant}[: {description}], {amount} {currency} ДА"
    assert fitted(template, head_max=26) == "GameX, 25,00 грн ДА"


def test_what_stands_after_the_head_is_not_cut_for_it() -> None:
    template = "{merchant}, {amount} {currency} ДА. {description}"
    assert fitted(template, head_max=15) == "G, 25,00 грн ДА. 250 gold"


def test_the_whole_is_cut_to_two_parts() -> None:
    template = "{merchant}, {amount} {currency} ДА. {description}"
    text = fitted(template, description="ж" * 200)
    assert units(text) == 134
    assert text == "GameX, 25,00 грн ДА. " + "ж" * 112 + "…"
    assert fitted(template, description="ж" * 113) == "GameX, 25,00 грн ДА. " + "ж" * 113


def test_where_the_literals_are_too_long_nothing_can_be_done() -> None:
    assert fitted("ж" * 200 + "{merchant}{description}") == "ж" * 200 + "G"


# Somebody else's text.


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("GameX", "GameX"),
        ("  Game\tX\r\n Y ", "Game X Y"),
        ("a\u2028b\u2029c\u00a0d\u3000e\x0bf\x0cg", "a b c d e f g"),
        ("Game\u202eX\u200b\u2066\ufeff", "GameX"),
        ("a\x00b\x1bc\x7fd\x85e", "abcde"),
        ("a\ud800b\ue000c\U0010ffffd", "abcd"),
        ("и\u0306", "й"),
        ("", ""),
        (" \n", ""),
        ("[{x}]", "[{x}]"),
    ],
)
def test_a_partners_text_becomes_one_clean_line(text: str, line: str) -> None:
    assert one_line(text, 100) == line


@pytest.mark.parametrize(
    ("text", "length_max", "line"),
    [
        ("Київстар", 8, "Київстар"),
        ("Київстар", 7, "Київст…"),
        ("Київ стар", 6, "Київ…"),
        ("Київстар", 1, "…"),
        ("Kyivstar", 8, "Kyivstar"),
        ("Kyivstar", 7, "Kyiv..."),
        ("Kyivstar", 4, "K..."),
        ("Kyivstar", 3, "Kyi"),
        ("Kyivstar", 1, "K"),
        ("Café bar", 5, "Café…"),
        ("😀😀😀", 6, "😀😀😀"),
        ("😀😀😀", 5, "😀😀…"),
        ("😀😀😀", 4, "😀…"),
        ("😀😀", 2, "…"),
    ],
)
def test_a_long_line_is_cut_with_a_mark(text: str, length_max: int, line: str) -> None:
    assert one_line(text, length_max) == line


@given(st.text(), st.integers(1, 60))
def test_a_line_is_clean_and_short_whatever_it_was(text: str, length_max: int) -> None:
    line = one_line(text, length_max)
    assert units(line) <= length_max
    assert len(line.encode("utf-16-be")) == 2 * units(line)
    assert line == line.strip()
    assert "  " not in line
    assert not any(unicodedata.category(char)[0] == "C" for char in line)
    assert not any(char.isspace() and char != " " for char in line)
    assert one_line(line, length_max) == line
