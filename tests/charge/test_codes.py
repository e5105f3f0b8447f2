"""Codes are four digits that nobody can guess and no price can be."""

from hypothesis import given
from hypothesis import strategies as st

from ppcd.charge.codes import CODE_LENGTH, WRONG_CODES_MAX, make_code


@given(st.integers(0, 8999))
def test_a_code_has_four_digits_and_no_zero_in_front(drawn: int) -> None:
    code = make_code(lambda below: drawn)
    assert len(code) == CODE_LENGTH == 4
    assert code.isascii()
    assert code.isdigit()
    assert code[0] != "0"


def test_all_nine_thousand_codes_are_drawn_alike() -> None:
    asked: list[int] = []

    def random_below(below: int) -> int:
        asked.append(below)
        return 0

    make_code(random_below)
    assert asked == [9000]
    drawn = iter(range(9000))
    assert len({make_code(lambda below: next(drawn)) for _ in range(9000)}) == 9000


@given(st.integers(0, 8999), st.integers(0, 8999))
def test_the_price_is_never_the_code(drawn: int, price: int) -> None:
    """A yes with the price, sent for an older charge, must not pass as a yes with the code."""
    code = make_code(lambda below: drawn, avoid=str(1000 + price))
    assert code != str(1000 + price)
    assert 1000 <= int(code) <= 9999
    if drawn != price:
        assert code == str(1000 + drawn)


def test_the_neighbours_of_a_price_stand_in_for_it() -> None:
    assert make_code(lambda below: 0, avoid="1000") == "1001"
    assert make_code(lambda below: 8998, avoid="9998") == "9999"
    assert make_code(lambda below: 8999, avoid="9999") == "1000"


def test_a_code_is_not_to_be_guessed_in_the_tries_there_are() -> None:
    assert WRONG_CODES_MAX == 3
