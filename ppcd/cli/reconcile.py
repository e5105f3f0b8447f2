"""`ppcd reconcile`: billing's own file beside our records, and what it settles."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from ppcd.billing.records import BadRow, Record, RecordsFile, Unreadable
from ppcd.billing.records_settings import RecordsSettings
from ppcd.charge.debit import DenialReason
from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.person import person
from ppcd.cli.progress import Progress
from ppcd.cli.reconcile_report import Found, Settled, show, show_json, write_all
from ppcd.config import ConfigurationError, Settings
from ppcd.config.document import Document, parse, read
from ppcd.config.explain import explain
from ppcd.flow.attempts import SEND_WITHIN_S
from ppcd.store import reconciliation, refund_resolutions, resolutions
from ppcd.store.debits import Next
from ppcd.store.reconciliation import Difference, Differing
from ppcd.store.reconciliation_refunds import compare_refunds
from ppcd.store.resolutions import Resolution, Unresolved
from ppcd.store.sql import Cursor

#: The statements over millions of rows.
STATEMENT_S: Final = 3600.0
#: Lines of the file that are said to be wrong, at most.
BAD_ROWS_SHOWN: Final = 20
_PAGE: Final = 1000
_PROGRESS_EVERY: Final = 1000
#: A hash is told by so much of it.
_HASH_SHOWN: Final = 16
_PERSON_MAX: Final = 200

_SETTLED: Final = {
    Difference.DOUBT_TAKEN: Next.SUCCEEDED,
    Difference.DOUBT_REFUSED: Next.DENIED,
    Difference.DOUBT_ABSENT: Next.DENIED,
    Difference.REFUND_DOUBT_TAKEN: Next.SUCCEEDED,
    Difference.REFUND_DOUBT_REFUSED: Next.DENIED,
}


def reconcile(args: argparse.Namespace) -> int:
    """Compare, report, and settle if asked to; 1 when something differs that was not settled."""
    mapping = _mapping(args)
    if args.absent_denied and not args.settle:
        raise Failed("--absent-denied is a way to --settle", exit_code=USAGE)
    with Database(args, statement_s=STATEMENT_S) as database, Progress("reading") as progress:
        _known_billing(database.settings, args.billing)
        run = _Run(args, database, mapping, progress)
        found = run.compare()
        settled = run.settle(found) if args.settle else None
        differing = found.totals.by_kind
        left = sum(differing.values()) - (0 if settled is None else settled.done)
        shown = database.run(reconciliation.differences, limit=args.limit)
        if args.out is not None:
            write_all(args.out, database)
    (show_json if args.json else show)(found, shown, settled)
    return 1 if left or found.bad_rows else 0


@dataclass(slots=True)
class _Bad:
    """Rows that could not be read: how many, and the first of them."""

    count: int = 0
    first: list[BadRow] = field(default_factory=list)


class _Run:
    """One comparison and what follows it."""

    def __init__(
        self,
        args: argparse.Namespace,
        database: Database,
        mapping: RecordsSettings,
        progress: Progress,
    ) -> None:
        self._args = args
        self._database = database
        self._mapping = mapping
        self._progress = progress
        self._billing = args.billing or tuple(database.settings.billing)
        self._zone = database.settings.charges.time_zone

    def compare(self) -> Found:
        """All in one transaction: as of one moment."""
        return self._database.run(self._compare)

    def _compare(self, cur: Cursor) -> Found:
        args = self._args
        try:
            file = RecordsFile(Path(args.file), self._mapping)
        except OSError as exc:
            raise Failed(f"{args.file}: {exc.strerror}", exit_code=USAGE) from exc
        with closing(file):
            bad = _Bad()
            try:
                reconciliation.stage(cur, self._records(file, bad))
            except (Unreadable, OSError) as exc:
                raise Failed(f"{args.file}: {exc}", exit_code=USAGE) from exc
        if bad.count and not args.skip_bad_rows:
            shown = [f"{args.file}: line {row.line}: {row.why}" for row in bad.first]
            more = f" and {bad.count - len(shown)} more" if bad.count > len(shown) else ""
            rest = f"{args.file}:{more} mend the mapping, or go on with --skip-bad-rows"
            raise Failed(*shown, rest, exit_code=USAGE)
        self._progress.begins("comparing")
        span, outside = reconciliation.period(
            cur, begin=_midnight(args.since), end=_midnight(args.until, 1), zone=self._zone
        )
        reconciliation.compare(
            cur,
            span,
            billing=self._billing,
            quiet_period_s=self._quiet_period_s(),
            slack_s=args.slack_s,
        )
        compare_refunds(
            cur,
            span,
            billing=list(self._billing),
            slack_s=args.slack_s,
            shows=self._mapping.refunds != "none",
        )
        return Found(
            file=args.file,
            sha256=file.sha256,
            bad_rows=bad.count,
            outside=outside,
            period=span,
            totals=reconciliation.totals(cur),
            sums=reconciliation.sums(cur, zone=self._zone),
            refunds=reconciliation.refunds(cur),
        )

    def _records(self, file: RecordsFile, bad: _Bad) -> Iterator[Record]:
        for number, row in enumerate(file):
            if number % _PROGRESS_EVERY == 0:
                self._progress.at(file.position, file.size)
            if isinstance(row, Record):
                yield row
            else:
                bad.count += 1
                if len(bad.first) < BAD_ROWS_SHOWN:
                    bad.first.append(row)
                if bad.count > _PAGE and not self._args.skip_bad_rows:
                    return  # another file, or another mapping

    def settle(self, found: Found) -> Settled:
        """Each doubt that the file answers, and about which it says nothing else that is odd."""
        kinds = [
            *(Difference.DOUBT_TAKEN, Difference.DOUBT_REFUSED),
            *(Difference.REFUND_DOUBT_TAKEN, Difference.REFUND_DOUBT_REFUSED),
        ]
        if self._args.absent_denied:
            kinds.append(Difference.DOUBT_ABSENT)
        total = sum(found.totals.by_kind.get(kind, 0) for kind in kinds)
        done, left, after = 0, Counter[str](), 0
        self._progress.begins("settling")
        while page := self._database.run(
            reconciliation.clear_doubts, after=after, limit=_PAGE, what=kinds
        ):
            for one in page:
                outcome = self._resolve(one, found)
                if isinstance(outcome, Unresolved):
                    left[outcome.obstacle.value] += 1
                else:
                    done += 1
                self._progress.at(done + left.total(), total)
            after = page[-1].number
        return Settled(done, left)

    def _resolve(self, one: Differing, found: Found) -> Any:
        assert one.charge_id is not None
        end = _SETTLED[one.what]
        by = f"reconcile {Path(found.file).name} sha256:{found.sha256[:_HASH_SHOWN]}"
        where = f"line {one.line} of" if one.line is not None else "not in"
        denied = (
            DenialReason.BILLING_REJECTED
            if one.what in (Difference.DOUBT_REFUSED, Difference.REFUND_DOUBT_REFUSED)
            else DenialReason.BILLING_UNAVAILABLE
        )
        resolution = Resolution(
            one.charge_id,
            end,
            f"{where} {Path(found.file).name}",
            f"{by} by {person()}"[:_PERSON_MAX],
            reason=denied.value if end is Next.DENIED else None,
            reference=one.reference if end is Next.SUCCEEDED else None,
        )
        quiet_s = self._quiet_period_s()
        if one.refund_id is not None:
            return self._database.run(
                refund_resolutions.resolve, one.refund_id, resolution, quiet_period_s=quiet_s
            )
        return self._database.run(resolutions.resolve, resolution, quiet_period_s=quiet_s)

    def _quiet_period_s(self) -> float:
        """The longest of the systems whose file this is."""
        known = self._database.settings.billing
        sections: list[Any] = [known[name] for name in self._billing]
        sections += [refund for s in sections if (refund := getattr(s, "refund", None))]
        quiet_s: list[float] = [section.abilities.quiet_period_s for section in sections]
        return max(quiet_s) + SEND_WITHIN_S


def _known_billing(settings: Settings, names: Sequence[str] | None) -> None:
    for name in names or ():
        if name not in settings.billing:
            known = ", ".join(settings.billing)
            raise Failed(f"there is no {name} under billing: there are {known}", exit_code=USAGE)


def _mapping(args: argparse.Namespace) -> RecordsSettings:
    """The mapping's file with what the command line puts in its place. Raises Failed."""
    document = Document("the mapping", None)
    try:
        if args.mapping is not None:
            document = read(Path(args.mapping))
        if document.problems:
            raise ConfigurationError(document.problems)
        if args.set:
            data: Any = document.data
            for setting in args.set:
                _put(data, setting)
            text = yaml.safe_dump(data, allow_unicode=True)
            document = parse(f"{args.mapping or 'the mapping'} with --set", text.encode())
        return RecordsSettings.model_validate(document.data)
    except ConfigurationError as exc:
        raise Failed(*map(str, exc.problems), exit_code=USAGE) from exc
    except ValidationError as exc:
        problems = explain(document, RecordsSettings, exc.errors(include_url=False))
        raise Failed(*map(str, problems), exit_code=USAGE) from exc


def _put(data: dict[str, Any], setting: str) -> None:
    path, equals, value = setting.partition("=")
    *parents, last = path.split(".")
    for part in parents:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            equals = ""
            break
        data = inner
    if not equals or not last:
        raise Failed(f"--set {setting}: say KEY=VALUE, such as columns.key=id", exit_code=USAGE)
    data[last] = [value] if last == "ignore_lines" else value


def _midnight(day: date | None, later: int = 0) -> datetime | None:
    return None if day is None else datetime.combine(day + timedelta(days=later), time())
