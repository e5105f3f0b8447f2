"""What `ppcd reconcile` says: a report for people, one document for programs, a list of all."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ppcd.charge.money import sum_text
from ppcd.cli.database import Database
from ppcd.cli.failure import Failed
from ppcd.cli.output import print_json, print_table
from ppcd.store import reconciliation
from ppcd.store.reconciliation import Difference, Differing, Period, Sum, Totals

_PAGE: Final = 1000

_WORDS: Final = {
    Difference.ONLY_BILLING: "billing took money that ppcd knows nothing of",
    Difference.ONLY_HERE: "paid by ppcd's records, and not in the file",
    Difference.TWICE: "debited more than once",
    Difference.AMOUNT: "another amount or currency",
    Difference.SUBSCRIBER: "another subscriber's account",
    Difference.TAKEN_AFTER_END: "billing took money, and the charge ended here without any",
    Difference.STILL_OPEN: "billing took money, and the debit is still being made here",
    Difference.REFUSED_THERE: "paid by ppcd's records, refused by billing's",
    Difference.DOUBT_TAKEN: "in doubt here; billing took the money",
    Difference.DOUBT_REFUSED: "in doubt here; billing refused",
    Difference.DOUBT_ABSENT: "in doubt here, and not in the file",
    Difference.REFUND_ONLY_BILLING: "billing gave back what ppcd knows nothing of",
    Difference.REFUND_ONLY_HERE: "given back by ppcd's records, and not in the file",
    Difference.REFUND_TWICE: "given back more than once",
    Difference.REFUND_AMOUNT: "another amount or currency given back",
    Difference.REFUND_AFTER_END: "billing gave back, and the refund was denied here",
    Difference.REFUND_STILL_OPEN: "billing gave back, and the refund is still being made here",
    Difference.REFUND_REFUSED_THERE: "given back by ppcd's records, refused by billing's",
    Difference.REFUND_DOUBT_TAKEN: "a refund in doubt here; billing gave back",
    Difference.REFUND_DOUBT_REFUSED: "a refund in doubt here; billing refused",
}
_OUT_HEAD: Final = (
    *("difference", "line", "charge", "refund", "key", "state"),
    *("amount_here", "currency_here"),
    *("amount_billing", "currency_billing", "reference"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """What the comparison found, apart from the single differences."""

    file: str
    sha256: str
    bad_rows: int
    outside: int
    period: Period | None
    totals: Totals
    sums: list[Sum]
    refunds: list[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Settled:
    """What was settled, and what was not, by the reason."""

    done: int
    left: Counter[str]


def show(found: Found, shown: Sequence[Differing], settled: Settled | None) -> None:
    totals = found.totals
    print(f"file     {found.file}, sha256 {found.sha256}")
    print(
        f"rows     {totals.rows}: {totals.debited} debited, {totals.refused} refused, "
        f"{totals.refunds} refunds; {found.outside} outside of the period, {found.bad_rows} bad"
    )
    if found.period is None:
        print("period   unknown: what the file lacks is not looked for; say --from and --to")
    else:
        print(f"period   {found.period.begin.isoformat()} to {found.period.end.isoformat()}")
    print(f"ppcd     {totals.here} paid in the period")
    for currency, count, amount_minor in found.refunds:
        print(f"refunds  {count} in the file, {sum_text(amount_minor, currency)} {currency}")
    print()
    print_table(
        ("DAY", "PARTNER", "TARIFF", "CURRENCY", "PPCD", "AMOUNT", "BILLING", "AMOUNT", "DIFFERS"),
        [_sum_row(row) for row in found.sums],
    )
    print()
    if totals.by_kind:
        print_table(
            ("DIFFERENCE", "COUNT", "MEANS"),
            [(kind.value, count, _WORDS[kind]) for kind, count in totals.by_kind.items()],
        )
        print()
        print_table(
            ("DIFFERENCE", "LINE", "KEY", "STATE", "PPCD", "BILLING"),
            [
                (
                    one.what.value,
                    one.line or "-",
                    one.raw_key,
                    one.state or "-",
                    _amount(one.here_minor, one.here_currency),
                    _amount(one.there_minor, one.there_currency),
                )
                for one in shown
            ],
        )
        more = sum(totals.by_kind.values()) - len(shown)
        if more:
            print(f"… and {more} more: use --out FILE")
    else:
        print("nothing differs")
    if settled is not None:
        left = "".join(f", {count} left ({why})" for why, count in sorted(settled.left.items()))
        print(f"{settled.done} settled{left}")


def _sum_row(row: Sum) -> tuple[object, ...]:
    differs = row.there_minor - row.here_minor
    return (
        row.day or "-",
        row.partner or "-",
        row.tariff or "-",
        row.currency,
        row.here,
        sum_text(row.here_minor, row.currency),
        row.there,
        sum_text(row.there_minor, row.currency),
        sum_text(differs, row.currency) if differs else "",
    )


def _amount(minor: int | None, currency: str | None) -> str:
    if minor is None or currency is None:
        return "-"
    return f"{sum_text(minor, currency)} {currency}"


def show_json(found: Found, shown: Sequence[Differing], settled: Settled | None) -> None:
    totals, span = found.totals, found.period
    print_json(
        {
            "file": found.file,
            "sha256": found.sha256,
            "rows": totals.rows,
            "debited": totals.debited,
            "refused": totals.refused,
            "bad_rows": found.bad_rows,
            "outside": found.outside,
            "period": None
            if span is None
            else {"begin": span.begin.isoformat(), "end": span.end.isoformat()},
            "ppcd_paid": totals.here,
            "refunds": [
                {"currency": c, "count": n, "amount": sum_text(minor, c)}
                for c, n, minor in found.refunds
            ],
            "sums": [
                {
                    "day": row.day,
                    "partner": row.partner,
                    "tariff": row.tariff,
                    "currency": row.currency,
                    "ppcd": {"count": row.here, "amount": sum_text(row.here_minor, row.currency)},
                    "billing": {
                        "count": row.there,
                        "amount": sum_text(row.there_minor, row.currency),
                    },
                }
                for row in found.sums
            ],
            "counts": totals.by_kind,
            "differences": [dict(zip(_OUT_HEAD, _out_row(one), strict=True)) for one in shown],
            "settled": None
            if settled is None
            else {"done": settled.done, "left": dict(sorted(settled.left.items()))},
        }
    )


def _out_row(one: Differing) -> tuple[object, ...]:
    return (
        one.what.value,
        one.line,
        one.charge_id,
        one.refund_id,
        one.raw_key,
        one.state,
        None if one.here_minor is None else sum_text(one.here_minor, one.here_currency or ""),
        one.here_currency,
        None if one.there_minor is None else sum_text(one.there_minor, one.there_currency or ""),
        one.there_currency,
        one.reference,
    )


def write_all(path: str, database: Database) -> None:
    """Every difference, as CSV."""
    after = 0
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_OUT_HEAD)
            while page := database.run(reconciliation.differences, after=after, limit=_PAGE):
                writer.writerows(_out_row(one) for one in page)
                after = page[-1].number
    except OSError as exc:
        raise Failed(f"{path}: {exc.strerror}") from exc
