"""The commands about what was paid, when the day is over, and their arguments."""

import argparse
from datetime import date

from ppcd.cli.tree import Commands, command, json_option


def papers(commands: Commands) -> None:
    """Reconciliation, settlement, retention."""
    _reconcile(commands)


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


def _period(parser: argparse.ArgumentParser, otherwise: str) -> None:
    for name, where, what in (("--from", "since", "first"), ("--to", "until", "last")):
        parser.add_argument(
            name,
            dest=where,
            type=date.fromisoformat,
            metavar="DAY",
            help=f"the {what} day, such as 2026-11-01, of charges.time_zone; {otherwise}",
        )
