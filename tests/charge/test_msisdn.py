"""A number is valid or it is refused, and nobody sees it by accident."""

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.charge.msisdn import InvalidMsisdn, Msisdn

DIGITS = st.from_regex(r"[1-9][0-9]{4,14}", fullmatch=True).filter(str.isascii)


@given(DIGITS)
def test_the_digits_come_back_as_they_were_given(digits: str) -> None:
    number = Msisdn.from_digits(digits)
    assert number.digits == digits
    assert number.as_int == int(digits)
    assert Msisdn.from_e164(f"+{digits}") == number == Msisdn(int(digits))
    assert hash(Msisdn.from_e164(f"+{digits}")) == hash(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234",
        "1" * 16,
        "0971234567",
        "+380971234567",
        "380 97 123 45 67",
        "380971234567\n",
        "38097123456a",
        "３８０９７１２３４５６７",
        "٣٨٠٩٧١٢٣٤٥٦٧",
        "-3809712345",
        "380_971_234_567",
    ],
)
def test_what_is_no_number_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidMsisdn, match=r"not an E\.164 number") as caught:
        Msisdn.from_digits(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "+", "380971234567", "++380971234567", "+0971234567", "00380"]
)
def test_e164_has_exactly_one_plus(text: str) -> None:
    with pytest.raises(InvalidMsisdn):
        Msisdn.from_e164(text)


@pytest.mark.parametrize("value", [-1, 0, 9_999, 10**15])
def test_integers_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(InvalidMsisdn):
        Msisdn(value)


def test_the_shortest_and_the_longest_number_are_numbers() -> None:
    assert Msisdn(10_000).digits == "10000"
    assert Msisdn(10**15 - 1).digits == "9" * 15


@pytest.mark.parametrize(
    ("digits", "mask"),
    [
        ("380971234567", "38097•••••67"),
        ("123456789012345", "12345••••••••45"),
        ("12345678901", "1234•••••01"),
        ("12345678", "1•••••78"),
        ("1234567", "•••••67"),
        ("123456", "•••••6"),
        ("12345", "•••••"),
    ],
)
def test_printing_shows_a_mask(digits: str, mask: str) -> None:
    number = Msisdn.from_digits(digits)
    assert str(number) == mask
    assert f"{number}" == mask
    assert f"{number!r}" == f"Msisdn({mask})"
    assert f"{[number]}" == f"[Msisdn({mask})]"


@given(DIGITS)
def test_printing_always_hides_five_digits(digits: str) -> None:
    shown = str(Msisdn.from_digits(digits))
    assert len(shown) == len(digits)
    assert shown.count("•") >= 5


@given(st.lists(DIGITS))
def test_numbers_sort_as_the_store_sorts_them(listed: list[str]) -> None:
    numbers = sorted(map(Msisdn.from_digits, listed))
    assert [number.as_int for number in numbers] == sorted(map(int, listed))


def test_a_number_is_a_value() -> None:
    number = Msisdn(380971234567)
    with pytest.raises(FrozenInstanceError):
        number.as_int = 1  # type: ignore[misc]
    with pytest.raises((TypeError, AttributeError)):
        number.another = 1  # type: ignore[attr-defined]
