"""Numbers as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.charge.msisdn import Msisdn
from ppcd.checkout.phones import PLANS, UKRAINE, Plan, masked, plan_of, read_number

BY_CODE = {plan.code: plan for plan in PLANS}


@pytest.mark.parametrize(
    "typed",
    [
        "+380971234567",
        "380971234567",
        "00380971234567",
        "0971234567",
        "971234567",
        "80971234567",
        "097 123 45 67",
        "(097) 123-45-67",
        "+38 (097) 123-45-67",
        "+38 097 123 45 67",
        "+380 097 123 45 67",
        "+380 (0)97 123 45 67",
        "097.123.45.67",
        "097–123–45–67",
        "097\u2011123\u201145\u201167",  # hyphens that don't break
        "\u202a+380 97 123 45 67\u202c",  # as phone books paste it
        "tel:+380971234567",
        "０９７１２３４５６７",
        "  0971234567\u00a0",
    ],
)
def test_every_usual_form_is_one_number(typed: str) -> None:
    number = read_number(typed, UKRAINE)
    assert number is not None
    assert number.digits == "380971234567"


@pytest.mark.parametrize(
    "typed",
    ["", " ", "+", "12", "097123456", "09712345678", "+38097123456", "+3809712345678", "hello",
     "097 123 45 6x", "0971234567;", "++380971234567", "380 97 123 45 67 89", "0" * 61,
     "+380971234567,+380971234568", "٠٩٧١٢٣٤٥٦٧x"],
)  # fmt: skip
def test_what_is_no_number_is_none(typed: str) -> None:
    assert read_number(typed, UKRAINE) is None


@pytest.mark.parametrize(
    ("code", "typed", "digits"),
    [
        ("375", "80 29 123 45 67", "375291234567"),
        ("375", "+375 29 123-45-67", "375291234567"),
        ("7", "8 (912) 345-67-89", "79123456789"),
        ("7", "912 345 67 89", "79123456789"),
        ("7", "+7 8 912 345 67 89", "79123456789"),
        ("373", "069 123 456", "37369123456"),
    ],
)
def test_each_country_has_its_own_forms(code: str, typed: str, digits: str) -> None:
    number = read_number(typed, BY_CODE[code])
    assert number is not None
    assert number.digits == digits


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.code)
def test_the_example_that_people_are_shown_is_a_number(plan: Plan) -> None:
    number = read_number(plan.example, plan)
    assert number is not None
    assert number.digits.startswith(plan.code)
    assert len(plan.example) == len(plan.shape)


def test_numbers_of_other_countries_come_in_full() -> None:
    number = read_number("+48 501 234 567", UKRAINE)
    assert number is not None
    assert number.digits == "48501234567"


def test_the_plan_is_that_of_the_numbers_served() -> None:
    assert plan_of(["38097", "38067"]) is UKRAINE
    assert plan_of(["37529"]).code == "375"
    assert plan_of(["7912"]).code == "7"
    assert plan_of([]) is UKRAINE
    assert plan_of(["48"]) is UKRAINE


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        ("380971234567", "+380 97 ••• •• 67"),
        ("79123456789", "+7 912 ••• •• 89"),
        ("48501234567", "+4850•••••67"),
    ],
)
def test_a_masked_number_is_known_by_its_owner_only(digits: str, shown: str) -> None:
    assert masked(Msisdn.from_digits(digits)).replace("\u00a0", " ") == shown


@given(st.text(max_size=80))
def test_nothing_typed_breaks_it(typed: str) -> None:
    number = read_number(typed, UKRAINE)
    assert number is None or isinstance(number, Msisdn)
