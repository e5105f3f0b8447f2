"""Money is exact: what comes in as a decimal goes out as the same decimal, or is refused."""

from dataclasses import FrozenInstanceError
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ppcd.charge.money import (
    AMOUNT_MINOR_MAX,
    EXPONENTS,
    AmountError,
    CurrencyMismatch,
    Money,
    UnknownCurrency,
    amount_text,
    currency_text,
    exponent,
    format_money,
    from_decimal,
    sum_text,
    to_decimal_text,
    to_major_number,
)

MONEY = st.builds(
    Money,
    st.integers(1, AMOUNT_MINOR_MAX),
    st.sampled_from(sorted(EXPONENTS)),
)


def uah(amount_minor: int) -> Money:
    return Money(amount_minor, "UAH")


def value_of(money: Money) -> Decimal:
    return Decimal(money.amount_minor).scaleb(-exponent(money.currency))


def test_every_active_currency_has_its_exponent() -> None:
    assert len(EXPONENTS) == 165
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in EXPONENTS)
    by_exponent = {places: set[str]() for places in (0, 2, 3, 4)}
    for code, places in EXPONENTS.items():
        by_exponent[places].add(code)
    none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
    three = "BHD IQD JOD KWD LYD OMR TND"
    assert " ".join(sorted(by_exponent[0])) == none
    assert " ".join(sorted(by_exponent[3])) == three
    assert by_exponent[4] == {"CLF", "UYW"}
    assert {"UAH", "RUB", "USD", "EUR", "KZT", "BYN", "PLN", "GBP"} <= by_exponent[2]


@pytest.mark.parametrize("code", ["", "uah", "XAU", "XXX", "HRK", "BGN", "грн"])
def test_what_is_no_currency_is_refused_by_name(code: str) -> None:
    with pytest.raises(UnknownCurrency, match="is not a currency of ISO 4217"):
        exponent(code)
    with pytest.raises(KeyError):
        Money(1, code)


@pytest.mark.parametrize(
    ("amount_minor", "message"),
    [
        (0, "more than zero"),
        (-1, "more than zero"),
        (AMOUNT_MINOR_MAX + 1, "over 1000000000000 minor units"),
        (2500.0, "whole number"),
        (True, "whole number"),
        (Decimal(2500), "whole number"),
    ],
)
def test_only_positive_integers_are_money(amount_minor: int, message: str) -> None:
    with pytest.raises(AmountError, match=message):
        uah(amount_minor)


def test_the_least_and_the_greatest_amount_are_money() -> None:
    assert uah(1).amount_minor == 1
    assert uah(AMOUNT_MINOR_MAX).amount_minor == AMOUNT_MINOR_MAX


def test_amounts_of_one_currency_add_up() -> None:
    assert uah(2500) + uah(1) == uah(2501)


def test_amounts_of_two_currencies_never_meet() -> None:
    with pytest.raises(CurrencyMismatch, match="UAH and USD"):
        uah(2500) + Money(2500, "USD")
    with pytest.raises(CurrencyMismatch):
        uah(2500).exceeds(Money(1, "USD"))


def test_a_limit_is_exceeded_by_more_than_it_only() -> None:
    assert uah(2501).exceeds(uah(2500))
    assert not uah(2500).exceeds(uah(2500))
    assert not uah(2499).exceeds(uah(2500))


@pytest.mark.parametrize(
    ("value", "currency", "amount_minor"),
    [
        ("25", "UAH", 2500),
        ("25.0", "UAH", 2500),
        ("25.000", "UAH", 2500),
        ("25.01", "UAH", 2501),
        ("0.01", "UAH", 1),
        ("2.5E+1", "UAH", 2500),
        ("2500E-2", "UAH", 2500),
        ("500", "JPY", 500),
        ("5E2", "JPY", 500),
        ("500.00", "JPY", 500),
        ("1.25", "KWD", 1250),
        ("1.001", "KWD", 1001),
        ("0.0001", "CLF", 1),
        ("10000000000", "UAH", AMOUNT_MINOR_MAX),
        ("25." + "0" * 5000, "UAH", 2500),
    ],
)
def test_a_decimal_becomes_minor_units(value: str, currency: str, amount_minor: int) -> None:
    assert from_decimal(Decimal(value), currency) == Money(amount_minor, currency)


@pytest.mark.parametrize(
    ("value", "currency", "message"),
    [
        ("25.001", "UAH", "UAH has 2 decimals, the amount has more"),
        ("0.001", "UAH", "decimals"),
        ("25.0000000000000000000000000000000000000001", "UAH", "decimals"),
        ("1E-999999", "UAH", "decimals"),
        ("0.5", "JPY", "JPY has 0 decimals"),
        ("1.2505", "KWD", "KWD has 3 decimals"),
        ("0", "UAH", "more than zero"),
        ("-0.01", "UAH", "more than zero"),
        ("-0", "UAH", "more than zero"),
        ("NaN", "UAH", "must be a number"),
        ("sNaN", "UAH", "must be a number"),
        ("Infinity", "UAH", "must be a number"),
        ("-Infinity", "UAH", "must be a number"),
        ("10000000000.01", "UAH", "over 1000000000000 minor units"),
        ("1000000000000.01", "UAH", "over 1000000000000 minor units"),
        ("1E+999999", "UAH", "over 1000000000000 minor units"),
    ],
)
def test_an_amount_is_refused_rather_than_rounded(value: str, currency: str, message: str) -> None:
    with pytest.raises(AmountError, match=message):
        from_decimal(Decimal(value), currency)


def test_an_unknown_currency_is_said_before_the_amount_is_looked_at() -> None:
    with pytest.raises(UnknownCurrency):
        from_decimal(Decimal("NaN"), "XXX")


@given(st.decimals(allow_nan=True, allow_infinity=True), st.sampled_from(["UAH", "JPY", "KWD"]))
@example(Decimal("12345678901234567890123456789012345.678"), "UAH")
def test_a_decimal_becomes_exactly_its_worth_or_an_error(value: Decimal, currency: str) -> None:
    try:
        money = from_decimal(value, currency)
    except AmountError:
        return
    assert value_of(money) == value


@given(MONEY)
def test_every_amount_survives_the_way_to_text_and_back(money: Money) -> None:
    text = to_decimal_text(money)
    assert from_decimal(Decimal(text), money.currency) == money
    assert len(text.partition(".")[2]) == exponent(money.currency)
    assert len(text) <= 14


@given(MONEY)
def test_the_number_of_a_reply_is_the_amount_in_its_shortest_form(money: Money) -> None:
    number = to_major_number(money)
    assert Decimal(number) == value_of(money)
    assert not number.endswith(".")
    assert "." not in number or not number.endswith("0")
    assert number[0] != "0" or number.startswith("0.")


@pytest.mark.parametrize(
    ("money", "number"),
    [
        (Money(2500, "UAH"), "25"),
        (Money(2550, "UAH"), "25.5"),
        (Money(2505, "UAH"), "25.05"),
        (Money(1, "UAH"), "0.01"),
        (Money(100000, "UAH"), "1000"),
        (Money(500, "JPY"), "500"),
        (Money(1250, "KWD"), "1.25"),
        (Money(1000, "KWD"), "1"),
    ],
)
def test_the_number_of_a_reply_in_known_cases(money: Money, number: str) -> None:
    assert to_major_number(money) == number


@pytest.mark.parametrize(
    ("money", "language", "text"),
    [
        (Money(2500, "UAH"), "uk", "25,00 грн"),
        (Money(2500, "UAH"), "ru", "25,00 грн"),
        (Money(2500, "UAH"), "en", "25.00 UAH"),
        (Money(125000, "RUB"), "ru", "1250,00 ₽"),
        (Money(125000, "RUB"), "uk", "1250,00 ₽"),
        (Money(125000, "RUB"), "en", "1250.00 RUB"),
        (Money(5, "USD"), "uk", "0,05 USD"),
        (Money(500, "JPY"), "ru", "500 JPY"),
        (Money(1250, "KWD"), "en", "1.250 KWD"),
    ],
)
def test_people_see_their_own_notation(money: Money, language: str, text: str) -> None:
    assert format_money(money, language) == text
    assert f"{amount_text(money, language)} {currency_text(money.currency, language)}" == text


@given(MONEY, st.sampled_from(["uk", "ru", "en"]))
def test_a_printed_amount_never_breaks_over_lines(money: Money, language: str) -> None:
    """A line that breaks inside of 1 250,00 would show a price of 250,00."""
    assert not any(char.isspace() for char in amount_text(money, language))


def test_a_symbol_is_only_given_to_a_currency() -> None:
    with pytest.raises(UnknownCurrency):
        currency_text("XXX", "uk")


def test_money_is_a_value() -> None:
    money = uah(2500)
    with pytest.raises(FrozenInstanceError):
        money.amount_minor = 1  # type: ignore[misc]
    with pytest.raises((TypeError, AttributeError)):
        money.another = 1  # type: ignore[attr-defined]
    assert hash(money) == hash(uah(2500))


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (0, "UAH", "0.00"),
        (-5, "UAH", "-0.05"),
        (10**15, "UAH", "10000000000000.00"),
        (0, "JPY", "0"),
        (-1500, "JPY", "-1500"),
        (1, "KWD", "0.001"),
    ],
)
def test_a_sum_may_be_nothing_or_a_debt(amount_minor, currency, text):
    assert sum_text(amount_minor, currency) == text
