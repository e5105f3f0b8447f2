"""What is asked, octet by octet."""

import pytest

from ppcd.billing.diameter.codes import Action, Code
from ppcd.billing.diameter.currency import NUMERIC
from ppcd.billing.diameter.octets import Avps, read_avps
from ppcd.billing.diameter.requests import CreditControl, capabilities, end_to_end_id
from ppcd.charge.money import EXPONENTS, Money
from tests.billing.adapter_contract import PHONE, an_order
from tests.billing.diameter.messages import OURS, a_service

#: A charge's id, made in June 2026.
CHARGE = 520_000_000_123_456_789


def body(**changes: object) -> Avps:
    return Avps(read_avps(CreditControl(a_service(**changes)).body(an_order())))


def within(avps: Avps, *codes: int) -> Avps:
    for code in codes:
        found = avps.one(code)
        assert found is not None
        avps = found.members()
    return avps


def number(avps: Avps, code: int) -> int:
    found = avps.one(code)
    assert found is not None
    return found.u32()


def test_every_currency_that_can_be_owed_has_its_number() -> None:
    assert set(NUMERIC) == set(EXPONENTS)
    assert len(set(NUMERIC.values())) == len(NUMERIC)
    assert (NUMERIC["UAH"], NUMERIC["KWD"], NUMERIC["ALL"]) == (980, 414, 8)


def test_a_debit_has_what_the_rfc_asks_for_and_the_session_first() -> None:
    avps = body()
    assert next(iter(avps)).code == Code.SESSION_ID
    assert number(avps, Code.AUTH_APPLICATION_ID) == 4
    assert number(avps, Code.CC_REQUEST_TYPE) == 4
    assert number(avps, Code.CC_REQUEST_NUMBER) == 0
    assert number(avps, Code.REQUESTED_ACTION) == 0
    subscription = within(avps, Code.SUBSCRIPTION_ID)
    assert number(subscription, Code.SUBSCRIPTION_ID_TYPE) == 0
    [digits] = subscription.all(Code.SUBSCRIPTION_ID_DATA)
    assert digits.text() == PHONE.digits


@pytest.mark.parametrize("use_mscc", [False, True])
def test_money_stands_where_the_system_reads_it(use_mscc: bool) -> None:
    avps = body(use_mscc=use_mscc, service_identifier=7)
    if use_mscc:
        assert avps.one(Code.REQUESTED_SERVICE_UNIT) is None
        avps = within(avps, Code.MULTIPLE_SERVICES_CREDIT_CONTROL)
    assert number(avps, Code.SERVICE_IDENTIFIER) == 7
    money = within(avps, Code.REQUESTED_SERVICE_UNIT, Code.CC_MONEY)
    assert number(money, Code.CURRENCY_CODE) == 980
    value = within(money, Code.UNIT_VALUE)
    [digits], [exponent] = value.all(Code.VALUE_DIGITS), value.all(Code.EXPONENT)
    assert (digits.i64(), exponent.i32()) == (2500, -2)


def test_a_destination_is_named_only_where_one_is_set() -> None:
    assert body().one(Code.DESTINATION_HOST) is None
    [host] = body(destination_host="ocs.operator.example").all(Code.DESTINATION_HOST)
    assert host.text() == "ocs.operator.example"


def test_both_ids_come_from_the_key_and_nothing_else() -> None:
    control = CreditControl(a_service())
    order = an_order(str(CHARGE), charge_id=CHARGE)
    again = an_order(str(CHARGE), charge_id=CHARGE, attempt=9, repeat=True, money=Money(1, "UAH"))
    session = f"ppcd.ppcd.example;{CHARGE >> 32};{CHARGE & 0xFFFFFFFF}"
    assert control.session_id(order) == control.session_id(again) == session
    assert end_to_end_id(order) == end_to_end_id(again) == CHARGE & 0xFFFFFFFF
    assert control.body(order) != control.body(again)


def test_keys_that_are_no_numbers_never_meet_those_that_are() -> None:
    control = CreditControl(a_service())
    keys = ["1001", "01001", "0;1001", "-1001", "٣", "9" * 20, "refund-1"]
    orders = [an_order(key) for key in keys]
    assert len({control.session_id(order) for order in orders}) == len(keys)
    assert all(0 <= end_to_end_id(order) < 1 << 32 for order in orders)


def test_a_question_is_another_session_than_the_debit() -> None:
    control = CreditControl(a_service())
    debit = control.session_id(an_order())
    assert control.session_id(an_order(), Action.CHECK_BALANCE) == f"{debit};check_balance"
    assert end_to_end_id(an_order(), Action.CHECK_BALANCE) != end_to_end_id(an_order())


def test_the_time_of_a_repeat_is_that_of_the_charge() -> None:
    control = CreditControl(a_service())
    avps = Avps(read_avps(control.body(an_order(str(CHARGE), charge_id=CHARGE, attempt=3))))
    # 2026-12-19 11:07:10 UTC, in seconds since 1900.
    assert number(avps, Code.EVENT_TIMESTAMP) == 4_006_667_230


@pytest.mark.parametrize(
    ("address", "octets"),
    [
        ("10.0.0.1", b"\0\x01\x0a\0\0\x01"),
        ("2001:db8::2", b"\0\x02\x20\x01\x0d\xb8" + bytes(11) + b"\x02"),
        ("fe80::1%eth0", b"\0\x02\xfe\x80" + bytes(13) + b"\x01"),
    ],
)
def test_our_address_is_told_in_its_family(address: str, octets: bytes) -> None:
    avps = Avps(read_avps(capabilities(OURS, address)))
    [found] = avps.all(Code.HOST_IP_ADDRESS)
    assert found.data == octets
