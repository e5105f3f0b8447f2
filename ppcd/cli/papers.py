"""The commands about what was paid, when the day is over, and their arguments."""

import argparse
from datetime import date

from ppcd.cli.tree import Commands, command, json_option


def papers(commands: Commands) -> None:
    """Reconciliation, settlement, retention."""
    _reconcile(commands)
    _settlement(commands)
    _retention(commands)


def _reconcile(commands: Commands) -> None:
    reconcile = command(
        commands,
        "reconcile",
        "ppcd.cli.reconcile.reconcile",
        "compare billing's own file with our records; exit 1 when something differs",
    )
    reconcile.add_argument("file", metavar="FILE", help="CSV; packed with gzip if it ends in .gz")
    reconcile.add_argument("--mapping", metavar="FILE", help="YAML: which column means what")
    reconcile.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of the mapping, such as columns.key=id; may be given several times",
    )
    reconcile.add_argument(
        "--billing",
        action="append",
        metavar="NAME",
        help="whose file it is, by the name under billing:; default: all of them",
    )
    _period(reconcile, "default: from the first row's time to the last's")
    reconcile.add_argument(
        "--slack-s",
        type=float,
        default=60.0,
        metavar="S",
        help="how far billing's clock and ours may be apart; default: %(default)s",
    )
    reconcile.add_argument(
        "--settle", action="store_true", help="end what is in doubt as the file says"
    )
    reconcile.add_argument(
        "--absent-denied",
        action="store_true",
        help="with --settle: the file has every debit of its period, and what it lacks is denied",
    )
    reconcile.add_argument(
        "--skip-bad-rows", action="store_true", help="go on without rows that can't be read"
    )
    reconcile.add_argument(
        "--limit", type=int, default=50, metavar="N", help="differences shown; default: %(default)s"
    )
    reconcile.add_argument("--out", metavar="FILE", help="write every difference there, as CSV")
    json_option(reconcile)


def _settlement(commands: Commands) -> None:
    settlement = command(
        commands,
        "settlement",
        "ppcd.cli.settlement.settle",
        "a partner's statement for a period, by day and tariff",
    )
    settlement.add_argument("partner", nargs="?", help="default: all of them, with --out")
    settlement.add_argument("--month", type=_month, metavar="MONTH", help="such as 2026-11")
    _period(settlement, "instead of --month")
    settlement.add_argument(
        "--out",
        metavar="DIR",
        help="write files there: the statement as text and as CSV, and all that it sums up as CSV",
    )
    settlement.add_argument("--csv", action="store_true", help="print CSV, for spreadsheets")
    json_option(settlement)


def _retention(commands: Commands) -> None:
    retention = command(
        commands,
        "retention",
        "ppcd.cli.retention.retain",
        "what is older than `retention:` allows; with --apply it is exported and dropped",
    )
    retention.add_argument("--apply", action="store_true", help="do it; else only say what is due")
    retention.add_argument(
        "--directory", metavar="DIR", help="for the exports, instead of retention.directory"
    )
    retention.add_argument(
        "--without-export", action="store_true", help="with --apply: drop, and keep no copy"
    )
    json_option(retention)


def _month(text: str) -> date:
    return date.fromisoformat(f"{text}-01")


def _period(parser: argparse.ArgumentParser, otherwise: str) -> None:
    for name, where, what in (("--from", "since", "first"), ("--to", "until", "last")):
        parser.add_argument(
            name,
            dest=where,
            type=date.fromisoformat,
            metavar="DAY",
            help=f"the {what} day, such as 2026-11-01, of charges.time_zone; {otherwise}",
        )
