"""Times as SMPP and receipts write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.smpp import TimeError, absolute_time, parse_time, relative_time
from ppcd.smpp.times import parse_receipt_date

KYIV = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("seconds", "octets"),
    [
        (600, b"000000001000000R"),
        (1800, b"000000003000000R"),
        (0, b"000000000001000R"),
        (-5, b"000000000001000R"),
        (59.9, b"000000000059000R"),
        (86_400, b"000001000000000R"),
        (31 * 86_400 + 3_661, b"000031010101000R"),
    ],
)
def test_a_duration_is_written_as_the_specification_has_it(seconds: float, octets: bytes) -> None:
    assert relative_time(seconds) == octets


def test_a_duration_of_months_is_refused() -> None:
    with pytest.raises(TimeError, match="32 days"):
        relative_time(32 * 86_400)


@given(st.integers(1, 31 * 86_400))
def test_durations_come_back(seconds: int) -> None:
    assert parse_time(relative_time(seconds)) == timedelta(seconds=seconds)


@given(
    st.integers(-1_009_756_800, 2_145_744_000),  # from 1938 to 2037
    st.integers(0, 999_999),
    st.integers(-48, 48),
)
def test_moments_come_back_to_the_tenth(seconds: int, micros: int, quarters: int) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moment = epoch + timedelta(seconds=seconds, microseconds=micros)
    local = moment.astimezone(timezone(timedelta(minutes=15 * quarters)))
    tenth = moment - timedelta(microseconds=micros % 100_000)
    assert parse_time(absolute_time(local)) == tenth


def test_a_moment_without_its_zone_is_refused() -> None:
    with pytest.raises(TimeError, match="zone"):
        absolute_time(datetime(2026, 11, 23))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", None),
        (b"261123091500008+", datetime(2026, 11, 23, 7, 15, tzinfo=UTC)),
        (b"261123091500508-", datetime(2026, 11, 23, 11, 15, 0, 500_000, tzinfo=UTC)),
        (b"991231235959000+", datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"010203040506000R", timedelta(days=365 + 60 + 3, hours=4, minutes=5, seconds=6)),
        (b"261123091500", datetime(2026, 11, 23, 7, 15, tzinfo=UTC)),
        (b"2611230915", datetime(2026, 11, 23, 7, 15, tzinfo=UTC)),
    ],
)
def test_every_form_is_read(octets: bytes, expected: datetime | timedelta | None) -> None:
    assert parse_time(octets, zone=KYIV) == expected


@pytest.mark.parametrize(
    "octets",
    [b"0", b"garbage", b"261323091500008+", b"261123091500049+", b"261123091500099-",
     b"26112309150", b"261123091500008*", b"261123096100", b"\xff" * 16],
)  # fmt: skip
def test_what_is_no_time_is_an_error(octets: bytes) -> None:
    with pytest.raises(TimeError):
        parse_time(octets)


@given(st.binary(max_size=20))
def test_octets_of_any_kind_are_a_time_or_a_time_error(octets: bytes) -> None:
    try:
        parse_time(octets)
    except TimeError:
        pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2611230915", datetime(2026, 11, 23, 7, 15, tzinfo=UTC)),
        ("261123091530", datetime(2026, 11, 23, 7, 15, 30, tzinfo=UTC)),
        ("202611230915", datetime(2026, 11, 23, 7, 15, tzinfo=UTC)),
        ("20261123091530", datetime(2026, 11, 23, 7, 15, 30, tzinfo=UTC)),
        ("19991231235959", datetime(1999, 12, 31, 21, 59, 59, tzinfo=UTC)),
        ("261123091530004+", datetime(2026, 11, 23, 8, 15, 30, tzinfo=UTC)),
        ("261123091530004-", datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)),
        ("261123091530+0100", datetime(2026, 11, 23, 8, 15, 30, tzinfo=UTC)),
        ("261123091530-01:00", datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)),
        ("261123091530Z", datetime(2026, 11, 23, 9, 15, 30, tzinfo=UTC)),
        ("261123 091530", datetime(2026, 11, 23, 7, 15, 30, tzinfo=UTC)),
        ("", None),
        ("0", None),
        ("26112309153", None),
        ("2026112309153", None),
        ("269923091530", None),
        ("261123091530+9900", None),
        ("yesterday", None),
    ],
)
def test_a_receipts_date_is_read_or_nothing(text: str, expected: datetime | None) -> None:
    assert parse_receipt_date(text, zone=KYIV) == expected


@given(st.text(max_size=20) | st.text("0123456789+-:Z ", max_size=20))
def test_any_text_may_stand_where_a_date_should(text: str) -> None:
    parse_receipt_date(text)
