"""Times as SMPP writes them, absolute and relative (3.4, 7.1.1), and as receipts do.

Owns the formats only: what time it is comes from the caller, always with its zone.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from ppcd.smpp.errors import TimeError

_DAYS_MAX: Final = 31
_ABSOLUTE: Final = re.compile(rb"(\d{12})(\d)(\d\d)([+-])")
_RELATIVE: Final = re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)000R")
_RECEIPT_DATE: Final = re.compile(r"(\d{10,14})(?:\d([0-4]\d)([+-])|([+-])(\d\d):?(\d\d)|Z)?")


def relative_time(seconds: float) -> bytes:
    """A duration from now, as a validity_period: `000000001000000R` is ten minutes.

    Whole seconds, rounded down, at least 1. TimeError over 31 days: what a month is, SMSCs read
    in different ways.
    """
    days, rest = divmod(max(1, int(seconds)), 86_400)
    if days > _DAYS_MAX:
        raise TimeError(f"{days} days, more than {_DAYS_MAX}")
    hours, rest = divmod(rest, 3_600)
    return b"0000%02d%02d%02d%02d000R" % (days, hours, *divmod(rest, 60))


def absolute_time(moment: datetime) -> bytes:
    """A moment, which must know its zone, in UTC."""
    if moment.tzinfo is None:
        raise TimeError("a time without its zone")
    utc = moment.astimezone(UTC)
    return utc.strftime("%y%m%d%H%M%S").encode() + b"%d00+" % (utc.microsecond // 100_000)


def parse_time(octets: bytes, *, zone: tzinfo = UTC) -> datetime | timedelta | None:
    """Absolute, relative, or None for empty; TimeError for anything else.

    Relative years and months are 365 and 30 days. SMSCs report local times of 10 or 12 digits
    where the specification wants 16 characters: they are read in `zone`.
    """
    if not octets:
        return None
    relative = _RELATIVE.fullmatch(octets)
    if relative is not None:
        years, months, days, hours, minutes, seconds = map(int, relative.groups())
        days += 365 * years + 30 * months
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    absolute = _ABSOLUTE.fullmatch(octets)
    if absolute is not None:
        digits, tenths, quarters, sign = absolute.groups()
        offset = timedelta(minutes=15 * int(quarters) * (-1 if sign == b"-" else 1))
        if abs(offset) <= timedelta(hours=12):
            moment = _moment(digits.decode(), timezone(offset))
            return moment.replace(microsecond=100_000 * int(tenths))
    elif re.fullmatch(rb"\d{10}|\d{12}", octets):
        return _moment(octets.decode(), zone)
    raise TimeError(f"{len(octets)} octets that are no time")


def parse_receipt_date(text: str, *, zone: tzinfo = UTC) -> datetime | None:
    """A receipt's date, of 10, 12 or 14 digits with or without a zone; None if it is none.

    Without one it is the SMSC's local time: `zone`.
    """
    found = _RECEIPT_DATE.fullmatch(text.replace(" ", ""))
    if found is None:
        return None
    digits, quarters, side, sign, hours, minutes = found.groups()
    try:
        if quarters is not None:
            offset = timedelta(minutes=15 * int(quarters))
            zone = timezone(-offset if side == "-" else offset)
        elif sign is not None:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(-offset if sign == "-" else offset)
        elif text.endswith("Z"):
            zone = UTC
        return _moment(digits, zone)
    except ValueError:
        return None


def _moment(digits: str, zone: tzinfo) -> datetime:
    """10 to 14 digits: `YYMMDDhhmm`, `YYMMDDhhmmss`, else four-digit years; 38 to 99 are 19xx."""
    century = 2000 if int(digits[:2]) < 38 else 1900
    forms = [(century, digits)] if len(digits) in (10, 12) else []
    if len(digits) in (12, 14):
        forms.append((100 * int(digits[:2]), digits[2:]))
    for base, rest in forms:
        year = base + int(rest[:2])
        month, day, hour, minute, second = (int(rest[at : at + 2] or "0") for at in range(2, 12, 2))
        try:
            return datetime(year, month, day, hour, minute, second, tzinfo=zone)
        except ValueError:
            continue
    raise TimeError(f"{len(digits)} digits that are no date")
