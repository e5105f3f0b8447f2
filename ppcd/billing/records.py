"""Reads a billing system's own file, row by row: what was debited, refused, refunded.

Owns what a row says and where it is wrong. Never holds more than a row: files have millions. Knows
nothing of charges.
"""

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from ppcd.billing.records_settings import RecordsSettings
from ppcd.charge.money import AMOUNT_MINOR_MAX, EXPONENTS, AmountError, from_decimal

__all__ = ["BadRow", "Record", "RecordsFile", "Unreadable"]

_KEY: Final = re.compile(r"[1-9][0-9]{0,18}")
_ID_MAX: Final = (1 << 63) - 1
_MINOR: Final = re.compile(r"[0-9]{1,18}")
_MAJOR: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")
_MSISDN: Final = re.compile(r"\+?([1-9][0-9]{4,14})")
_LINE_MAX: Final = 100_000


class Record(NamedTuple):
    """One row: money taken, refused or given back."""

    line: int
    #: The charge's id; None for a key that is none.
    key: int | None
    raw_key: str
    refund: bool
    debited: bool
    amount_minor: int
    currency: str
    msisdn: int | None
    reference: str | None
    at: datetime | None


class BadRow(NamedTuple):
    """A row that can't be read, in words for who wrote the mapping."""

    line: int
    why: str


class Unreadable(Exception):
    """The file as a whole can't be read with this mapping."""


class _Wrong(Exception):
    """A value that is not what its column holds."""


class _Watched(io.RawIOBase):
    """A file that is counted and summed up while it is read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.position = 0
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self.sha256.update(memoryview(buffer)[:count])
        self.position += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class RecordsFile:
    """A file and its mapping. To be read once; packed with gzip if its name ends so."""

    def __init__(self, path: Path, settings: RecordsSettings) -> None:
        """Raises OSError."""
        self._settings = settings
        self._zone: tzinfo = UTC if settings.time_zone == "UTC" else ZoneInfo(settings.time_zone)
        self._watched = _Watched(path)
        self.size = path.stat().st_size
        buffered = io.BufferedReader(self._watched, 1 << 20)
        plain: Any = gzip.GzipFile(fileobj=buffered) if path.suffix == ".gz" else buffered
        self._text = io.TextIOWrapper(plain, encoding=settings.encoding, newline="")
        self._line = 0
        self._places: dict[str, int] = {}
        self._width: int | None = None

    @property
    def position(self) -> int:
        """Octets read, for a bar."""
        return self._watched.position

    @property
    def sha256(self) -> str:
        """Of the whole file, once it was read to its end."""
        return self._watched.sha256.hexdigest()

    def close(self) -> None:
        self._text.close()

    def __iter__(self) -> Iterator[Record | BadRow]:
        """Each row. Raises Unreadable."""
        reader = csv.reader(self._lines(), delimiter=self._settings.separator, strict=True)
        try:
            if self._settings.header:
                self._read_header(next(reader, []))
            else:
                self._find({})
            for row in reader:
                if row:
                    record = self._record(row)
                    if record is not None:
                        yield record
        except csv.Error as exc:
            raise Unreadable(f"line {self._line}: {exc}") from exc
        except UnicodeError as exc:
            said = f"is not {self._settings.encoding}: set encoding"
            raise Unreadable(f"after line {self._line}: {said}") from exc
        except (EOFError, gzip.BadGzipFile) as exc:
            raise Unreadable(f"after line {self._line}: the packed file is damaged") from exc

    def _lines(self) -> Iterator[str]:
        ignored = self._settings.ignore_lines
        for line in self._text:
            self._line += 1
            if len(line) > _LINE_MAX or "\0" in line:
                raise Unreadable(f"line {self._line}: is no line of text")
            if self._line == 1:
                line = line.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
            if not (ignored and line.startswith(ignored)):
                yield line

    def _read_header(self, header: Sequence[str]) -> None:
        names = [name.strip() for name in header]
        self._width = len(names)
        doubled = sorted({name for name in names if names.count(name) > 1})
        known = {name: place for place, name in enumerate(names) if name not in doubled}
        self._find(known)

    def _find(self, known: dict[str, int]) -> None:
        """Learn where each column stands."""
        wanted = self._settings.columns.model_dump(exclude_none=True)
        for what, column in wanted.items():
            if column in known:
                self._places[what] = known[column]
            elif column.isdecimal() and int(column):
                self._places[what] = int(column) - 1
            else:
                have = ", ".join(known) or "none"
                raise Unreadable(
                    f"line {self._line}: there is no one column {column!r} (columns.{what}); "
                    f"the columns are {have}"
                )

    def _record(self, row: Sequence[str]) -> Record | BadRow | None:
        if self._width is not None and len(row) != self._width:
            return BadRow(self._line, f"has {len(row)} fields, the header has {self._width}")
        try:
            return self._read(row)
        except IndexError:
            return BadRow(self._line, f"has only {len(row)} fields")
        except _Wrong as exc:
            return BadRow(self._line, str(exc))

    def _read(self, row: Sequence[str]) -> Record | None:
        values = {what: row[place].strip() for what, place in self._places.items()}
        result = self._word("result", values, self._settings.results, "debited")
        kind = self._word("kind", values, self._settings.kinds, "debit")
        if "ignored" in (result, kind):
            return None
        raw = values["key"]
        if not raw:
            raise _Wrong("key is empty")
        key = int(raw) if _KEY.fullmatch(raw) and int(raw) <= _ID_MAX else None
        currency = values.get("currency") or self._settings.currency or ""
        if currency not in EXPONENTS:
            raise _Wrong(f"currency {currency!r} is not known")
        amount_minor, negative = self._amount(values["amount"], currency)
        return Record(
            line=self._line,
            key=key,
            raw_key=raw[:200],
            refund=kind == "refund" or negative,
            debited=result == "debited",
            amount_minor=amount_minor,
            currency=currency,
            msisdn=self._msisdn(values.get("msisdn")),
            reference=values.get("reference") or None,
            at=self._time(values.get("time")),
        )

    @staticmethod
    def _word(what: str, values: dict[str, str], meanings: dict[str, Any], otherwise: str) -> str:
        said = values.get(what)
        if said is None:
            return otherwise
        meaning: str | None = meanings.get(said)
        if meaning is None:
            raise _Wrong(f"{what} {said!r} is not in {what}s")
        return meaning

    def _amount(self, text: str, currency: str) -> tuple[int, bool]:
        digits, negative = text, False
        if self._settings.refunds == "negative" and text.startswith("-"):
            digits, negative = text[1:], True
        if self._settings.amount_form == "minor":
            if not _MINOR.fullmatch(digits) or not 0 < int(digits) <= AMOUNT_MINOR_MAX:
                raise _Wrong(f"amount {text!r} is no amount in minor units, such as 2500")
            return int(digits), negative
        plain = digits.replace(",", ".") if self._settings.decimal_point == "," else digits
        if not _MAJOR.fullmatch(plain) or (self._settings.decimal_point == "," and "." in digits):
            example = f"25{self._settings.decimal_point}00"
            raise _Wrong(f"amount {text!r} is no amount in major units, such as {example}")
        try:
            return from_decimal(Decimal(plain), currency).amount_minor, negative
        except AmountError as exc:
            raise _Wrong(f"amount {text!r}: {exc}") from exc

    @staticmethod
    def _msisdn(text: str | None) -> int | None:
        if not text:
            return None
        found = _MSISDN.fullmatch(text)
        if found is None:
            raise _Wrong("msisdn is no number with its country code")
        return int(found[1])

    def _time(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        form = self._settings.time_form
        try:
            if form == "iso":
                at = datetime.fromisoformat(text)
            elif form in ("unix", "unix_ms"):
                at = datetime.fromtimestamp(int(text) / (1 if form == "unix" else 1000), UTC)
            else:
                # A zone of the form, or the mapping's, comes in below.
                at = datetime.strptime(text, form)  # noqa: DTZ007
        except (ValueError, OverflowError, OSError):
            raise _Wrong(f"time {text!r} is not of the form {form}") from None
        return at if at.tzinfo is not None else at.replace(tzinfo=self._zone)
