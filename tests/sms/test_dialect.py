"""The same phone gives the same MSISDN, whatever form its SMSC uses; what is none stays none."""

import pytest

from ppcd.smpp import Ton
from ppcd.sms.dialect import Dialect, LocalPrefix

HOME = Dialect(local_prefix=LocalPrefix(country_code="380", trunk_prefix="0"))
PLAIN = Dialect()


@pytest.mark.parametrize(
    ("address", "ton"),
    [
        (b"380971234567", Ton.INTERNATIONAL),
        (b"+380971234567", Ton.INTERNATIONAL),
        (b"+380971234567", Ton.NATIONAL),
        (b"380971234567", Ton.UNKNOWN),
        (b"0971234567", Ton.NATIONAL),
        (b"0971234567", Ton.UNKNOWN),
        (b"971234567", Ton.NATIONAL),
        (b"00380971234567", Ton.UNKNOWN),
        (b" 380971234567", Ton.INTERNATIONAL),
    ],
)
def test_every_form_of_a_number_is_one_phone(address: bytes, ton: int) -> None:
    msisdn = HOME.msisdn(address, ton)
    assert msisdn is not None
    assert msisdn.digits == "380971234567"


@pytest.mark.parametrize(
    ("address", "ton"),
    [
        (b"Bank", Ton.ALPHANUMERIC),
        (b"380971234567", Ton.ALPHANUMERIC),
        (b"7171", Ton.UNKNOWN),
        (b"", Ton.INTERNATIONAL),
        (b"+", Ton.INTERNATIONAL),
        (b"++380971234567", Ton.INTERNATIONAL),
        (b"0971234567", Ton.INTERNATIONAL),
        (b"38097123456789012", Ton.INTERNATIONAL),
        (b"38097abc4567", Ton.INTERNATIONAL),
        ("\u0663\u0668\u0660\u0669\u0667\u0661".encode(), Ton.INTERNATIONAL),
        (b"\xff\xfe", Ton.UNKNOWN),
    ],
)
def test_what_is_no_subscribers_number_is_nobody(address: bytes, ton: int) -> None:
    assert HOME.msisdn(address, ton) is None


def test_without_a_rule_national_numbers_are_not_guessed() -> None:
    assert PLAIN.msisdn(b"0971234567", Ton.NATIONAL) is None
    msisdn = PLAIN.msisdn(b"380971234567", Ton.UNKNOWN)
    assert msisdn is not None
    assert msisdn.digits == "380971234567"


def test_a_country_without_a_trunk_prefix() -> None:
    home = Dialect(local_prefix=LocalPrefix(country_code="371", trunk_prefix=""))
    national = home.msisdn(b"21234567", Ton.NATIONAL)
    whole = home.msisdn(b"37121234567", Ton.UNKNOWN)
    assert national is not None
    assert national == whole
