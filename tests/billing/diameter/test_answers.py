"""What answers say about the money."""

from dataclasses import replace

import pytest

from ppcd.billing.diameter.answers import Answers, Reading, balance_suffices
from ppcd.billing.diameter.codes import Code, Flag
from ppcd.billing.diameter.octets import Message, avp, i32_avp, i64_avp, text_avp, u32_avp
from ppcd.charge.debit import Debited, DenialReason, Denied, NotSent, Unknown
from ppcd.charge.money import Money
from tests.billing.diameter.messages import (
    GRANTED,
    REFUSED_INSIDE,
    SESSION,
    a_cca,
    cut,
    granted,
    inside,
)

UAH = Money(2500, "UAH")
ANSWERS = Answers(
    refusals={5003: DenialReason.SERVICE_DENIED},
    vendor_refusals={(10415, 4241): DenialReason.LIMIT_EXCEEDED},
)


def read(message: Message, money: Money = UAH) -> Reading:
    return ANSWERS.read(message, session_id=SESSION, money=money)


def result(code: int) -> bytes:
    return u32_avp(Code.RESULT_CODE, code)


def vendor_result(code: int, vendor: int = 10415) -> bytes:
    parts = u32_avp(Code.VENDOR_ID, vendor) + u32_avp(Code.EXPERIMENTAL_RESULT_CODE, code)
    return avp(Code.EXPERIMENTAL_RESULT, parts)


@pytest.mark.parametrize("code", [2001, 2002])
def test_success_is_a_debit_with_the_session_as_reference(code: int) -> None:
    assert read(a_cca(code=code)) == Reading(Debited(SESSION))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (4012, DenialReason.INSUFFICIENT_FUNDS),
        (4010, DenialReason.SERVICE_DENIED),
        (5030, DenialReason.USER_UNKNOWN),
        (5003, DenialReason.SERVICE_DENIED),
    ],
)
def test_a_refusal_has_its_reason(code: int, reason: DenialReason) -> None:
    assert read(a_cca(code=code)) == Reading(Denied(reason, str(code)))


@pytest.mark.parametrize("code", [3001, 3003, 3007, 4011, 5001, 5004, 5005, 5007, 5031])
def test_a_fault_of_the_configuration_is_denied_with_an_alarm(code: int) -> None:
    failed = avp(Code.FAILED_AVP, text_avp(Code.SERVICE_CONTEXT_ID, "x@y"))
    said = text_avp(Code.ERROR_MESSAGE, "no such\ncontext")
    reading = read(a_cca(failed, said, code=code, flags=Flag.ERROR))
    assert reading.answer == Denied(DenialReason.BILLING_REJECTED, str(code))
    assert reading.alarm == f"result {code}, AVPs 461 (no suchcontext)"


def test_too_busy_has_done_nothing() -> None:
    assert isinstance(read(a_cca(code=3004, flags=Flag.ERROR)).answer, NotSent)
    assert isinstance(read(a_cca(inside(result(3004)))).answer, Unknown)


@pytest.mark.parametrize("code", [0, 1001, 2003, 3002, 3006, 4001, 4002, 5002, 5012, 5999, 9999])
def test_any_other_code_is_unknown_and_asked_again_without_the_t_flag(code: int) -> None:
    reading = read(a_cca(code=code))
    assert isinstance(reading.answer, Unknown)
    assert reading.is_error


def test_an_answer_of_another_implementation_is_read_as_value() -> None:
    [message] = cut(GRANTED)
    assert read(message).answer == Debited(SESSION)
    other = read(message, Money(2501, "UAH"))
    assert isinstance(other.answer, Unknown)
    assert other.alarm


def test_a_refusal_inside_counts_although_all_is_well_outside() -> None:
    [message] = cut(REFUSED_INSIDE)
    assert read(message).answer == Denied(DenialReason.INSUFFICIENT_FUNDS, "4012")
    both = a_cca(inside(result(4012)), code=4012)
    assert read(both).answer == Denied(DenialReason.INSUFFICIENT_FUNDS, "4012")


def test_money_granted_inside_is_compared_too() -> None:
    assert read(a_cca(inside(result(2001), granted(UAH)))).answer == Debited(SESSION)
    assert isinstance(read(a_cca(inside(granted(Money(1, "UAH"))))).answer, Unknown)


@pytest.mark.parametrize(
    "message",
    [
        a_cca(inside(result(2001)), code=4012),
        a_cca(inside(result(9999))),
        a_cca(inside(result(2001)), inside(result(2001))),
        a_cca(inside(result(4012)), inside(result(2001))),
        a_cca(vendor_result(4241)),
        a_cca(code=None),
        a_cca(vendor_result(4242), code=None),
        a_cca(vendor_result(2001), code=None),
        a_cca(avp(Code.EXPERIMENTAL_RESULT, b""), code=None),
        a_cca(session=None),
        a_cca(session="ppcd.ppcd.example;0;1002"),
        a_cca(u32_avp(Code.CC_REQUEST_NUMBER, 1)),
        a_cca(result(2001)),
        a_cca(b"\0\0\0"),
        replace(a_cca(), command=271),
    ],
)
def test_an_answer_that_contradicts_itself_or_the_request_is_unknown(message: Message) -> None:
    assert isinstance(read(message).answer, Unknown)


def test_a_vendors_refusal_counts_where_it_is_configured() -> None:
    reading = read(a_cca(vendor_result(4241), code=None))
    assert reading.answer == Denied(DenialReason.LIMIT_EXCEEDED, "10415:4241")


def test_an_agents_error_may_lack_the_session() -> None:
    message = a_cca(code=3007, session=None, flags=Flag.ERROR)
    assert isinstance(read(message).answer, Denied)


def units(digits: int | None, exponent: int | None, currency: int | None = 980) -> bytes:
    value = b"" if digits is None else i64_avp(Code.VALUE_DIGITS, digits)
    value += b"" if exponent is None else i32_avp(Code.EXPONENT, exponent)
    money = avp(Code.UNIT_VALUE, value)
    money += b"" if currency is None else u32_avp(Code.CURRENCY_CODE, currency)
    return avp(Code.GRANTED_SERVICE_UNIT, avp(Code.CC_MONEY, money))


@pytest.mark.parametrize(
    ("part", "same"),
    [
        (units(25, None), True),
        (units(2500, -2), True),
        (units(250000, -4), True),
        (units(2500, -2, None), True),
        (avp(Code.GRANTED_SERVICE_UNIT, b""), True),
        (units(250001, -4), False),
        (units(2500, None), False),
        (units(2500, -2, 840), False),
        (units(0, None), False),
        (units(None, None), False),
        (units(1, 2_000_000_000), False),
        (avp(Code.GRANTED_SERVICE_UNIT, avp(Code.CC_MONEY, b"")), False),
    ],
)
def test_granted_money_must_be_the_same_value_in_the_same_currency(part: bytes, same: bool) -> None:
    assert isinstance(read(a_cca(part)).answer, Debited) is same


@pytest.mark.parametrize(
    ("message", "suffices"),
    [
        (a_cca(u32_avp(Code.CHECK_BALANCE_RESULT, 0)), True),
        (a_cca(u32_avp(Code.CHECK_BALANCE_RESULT, 1)), False),
        (a_cca(u32_avp(Code.CHECK_BALANCE_RESULT, 2)), None),
        (a_cca(), None),
        (a_cca(u32_avp(Code.CHECK_BALANCE_RESULT, 0), code=4010), None),
        (a_cca(u32_avp(Code.CHECK_BALANCE_RESULT, 0), session="x;1"), None),
        (a_cca(b"\0"), None),
    ],
)
def test_a_balance_is_known_only_from_a_clear_answer(message: Message, suffices: object) -> None:
    assert balance_suffices(message, session_id=SESSION) is suffices
