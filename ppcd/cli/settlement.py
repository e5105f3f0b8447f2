"""`ppcd settlement`: a partner's statement for a period, for people and for spreadsheets.

The same period gives the same bytes, whenever and wherever the command is run: no time of printing
stands in them.
"""

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Final, TextIO

from ppcd.charge.money import sum_text
from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.keys import known
from ppcd.cli.output import print_json, table
from ppcd.cli.progress import Progress
from ppcd.store import registers, settlement
from ppcd.store.registers import PartnerRow
from ppcd.store.settlement import Line, Span
from ppcd.store.sql import Cursor

STATEMENT_S: Final = 3600.0
_LINES_HEAD: Final = (
    *("partner", "day", "tariff", "currency"),
    *("debits", "debited", "refunds", "refunded", "net"),
)
_ITEMS_HEAD: Final = (
    *("partner", "what", "charge", "refund", "reference", "at", "tariff", "amount", "currency"),
    "billing_reference",
)
_SUMS: Final = ("DEBITS", "DEBITED", "REFUNDS", "REFUNDED", "NET")
_PROGRESS_EVERY: Final = 1000


@dataclass(frozen=True, slots=True)
class _Statement:
    """What is written."""

    partner: PartnerRow
    first: date
    last: date
    zone: str
    covered: Span
    lines: list[Line]


def settle(args: argparse.Namespace) -> int:
    """Print one partner's statement, or write the files of one or of all."""
    first, last = _period(args)
    if args.partner is None and args.out is None:
        raise Failed("say a partner, or --out DIR for the statements of all", exit_code=USAGE)
    with Database(args, statement_s=STATEMENT_S) as database, Progress("partners") as progress:
        zone = database.settings.charges.time_zone
        if args.partner is None:
            partners = database.run(registers.partners)
        else:
            name = args.partner
            partners = [known(name, lambda: database.run(registers.partner_named, name))]
        over = True
        for number, partner in enumerate(partners):
            progress.at(number, len(partners))
            statement = database.run(_read, partner, first, last, zone)
            over = over and statement.covered.over
            if args.out is not None:
                _write_files(Path(args.out), statement, database, progress)
            elif args.json:
                print_json(_as_json(statement))
            else:
                print(_as_csv(statement) if args.csv else _as_text(statement), end="")
    if not over:
        print("ppcd: the period is not over yet: this is not final", file=sys.stderr)
    return 0


def _period(args: argparse.Namespace) -> tuple[date, date]:
    given = args.since, args.until
    if args.month is not None:
        if given != (None, None):
            raise Failed("say --month, or --from and --to", exit_code=USAGE)
        first: date = args.month
        return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    if args.since is None or args.until is None or args.since > args.until:
        raise Failed("say --month, or --from and --to, the first and the last day", exit_code=USAGE)
    return args.since, args.until


def _read(cur: Cursor, partner: PartnerRow, first: date, last: date, zone: str) -> _Statement:
    covered = settlement.span(cur, first=first, last=last, zone=zone)
    lines = settlement.lines(cur, partner.partner_id, covered, zone=zone)
    return _Statement(partner, first, last, zone, covered, lines)


# --- for spreadsheets


def _as_csv(statement: _Statement) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_LINES_HEAD)
    for line in statement.lines:
        what = (line.day, line.tariff or "", line.currency)
        writer.writerow([statement.partner.name, *what, *_sums(_Total.of(line), line.currency)])
    return text.getvalue()


def _write_items(file: TextIO, statement: _Statement, cur: Cursor, progress: Progress) -> None:
    file.seek(0)  # a transaction may run again
    file.truncate()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_ITEMS_HEAD)
    partner = statement.partner
    found = settlement.items(cur, partner.partner_id, statement.covered)
    for number, item in enumerate(found):
        if number % _PROGRESS_EVERY == 0:
            progress.at(number)
        writer.writerow(
            [
                partner.name,
                "debit" if item.refund_id is None else "refund",
                item.charge_id,
                item.refund_id or "",
                item.reference,
                item.at.astimezone(UTC).isoformat(timespec="milliseconds"),
                item.tariff or "",
                sum_text(item.amount_minor, item.currency),
                item.currency,
                item.billing_reference or "",
            ]
        )


# --- for people


def _as_text(statement: _Statement) -> str:
    partner = statement.partner
    by_day = [
        (line.day, line.tariff or "-", line.currency, *_sums(_Total.of(line), line.currency))
        for line in statement.lines
    ]
    said = [
        f"Statement for {partner.name} ({partner.merchant})",
        f"{statement.first} to {statement.last}, days of {statement.zone}",
        "",
        *table(("DAY", "TARIFF", "CURRENCY", *_SUMS), by_day),
        "",
        *table(("TARIFF", "CURRENCY", *_SUMS), _totals(statement.lines, _by_tariff)),
        "",
        *table(("TOTAL", *_SUMS), _totals(statement.lines, _by_currency)),
    ]
    return "".join(f"{line}\n" for line in said)


@dataclass(frozen=True, slots=True)
class _Total:
    """Sums in minor units, of one line or of many of one currency."""

    debits: int = 0
    debited_minor: int = 0
    refunds: int = 0
    refunded_minor: int = 0

    @classmethod
    def of(cls, line: Line) -> "_Total":
        return cls(line.debits, line.debited_minor, line.refunds, line.refunded_minor)

    def __add__(self, other: "_Total") -> "_Total":
        return _Total(
            self.debits + other.debits,
            self.debited_minor + other.debited_minor,
            self.refunds + other.refunds,
            self.refunded_minor + other.refunded_minor,
        )


def _sums(total: _Total, currency: str) -> tuple[object, ...]:
    return (
        total.debits,
        sum_text(total.debited_minor, currency),
        total.refunds,
        sum_text(total.refunded_minor, currency),
        sum_text(total.debited_minor - total.refunded_minor, currency),
    )


def _by_tariff(line: Line) -> tuple[str, ...]:
    return (line.tariff or "-", line.currency)


def _by_currency(line: Line) -> tuple[str, ...]:
    return (line.currency,)


def _totals(
    lines: Iterable[Line], key: Callable[[Line], tuple[str, ...]]
) -> list[tuple[object, ...]]:
    totals: dict[tuple[str, ...], _Total] = {}
    for line in lines:
        totals[key(line)] = totals.get(key(line), _Total()) + _Total.of(line)
    return [(*names, *_sums(total, names[-1])) for names, total in sorted(totals.items())]


def _as_json(statement: _Statement) -> dict[str, object]:
    return {
        "partner": statement.partner.name,
        "from": statement.first,
        "to": statement.last,
        "time_zone": statement.zone,
        "final": statement.covered.over,
        "lines": [
            {
                "day": line.day,
                "tariff": line.tariff,
                "currency": line.currency,
                **_named(_sums(_Total.of(line), line.currency)),
            }
            for line in statement.lines
        ],
        "totals": [
            {"currency": currency, **_named(sums)}
            for currency, *sums in _totals(statement.lines, _by_currency)
        ],
    }


def _named(sums: Iterable[object]) -> dict[str, object]:
    return {name.lower(): value for name, value in zip(_SUMS, sums, strict=True)}


# --- files


def _write_files(
    directory: Path, statement: _Statement, database: Database, progress: Progress
) -> None:
    """The statement in both forms, and what it sums up; each file whole or not there."""
    stem = f"settlement_{statement.partner.name}_{statement.first}_{statement.last}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / f"{stem}.txt", lambda file: file.write(_as_text(statement)))
        _write(directory / f"{stem}.csv", lambda file: file.write(_as_csv(statement)))
        _write(
            directory / f"{stem}_items.csv",
            lambda file: database.run(
                lambda cur: _write_items(file, statement, cur, progress),
            ),
        )
    except OSError as exc:
        raise Failed(f"{exc.filename or directory}: {exc.strerror}") from exc
    print(directory / stem)


def _write(path: Path, write: Callable[[TextIO], object]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        write(file)
    part.rename(path)
