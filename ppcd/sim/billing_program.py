"""`ppcd sim billing`: the simulated billing as a program of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import react

from ppcd.sim.accounts import well_behaved
from ppcd.sim.billing import JOURNAL, Billing, BillingOptions
from ppcd.sim.billing_export import export
from ppcd.sim.magic import mode_of
from ppcd.sim.web import Reactor

#: What a phone never set has: a thousand, or, where many test with the same numbers, no end of it.
BALANCE_MINOR: Final = 100_000
ENDLESS_MINOR: Final = 10**13


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--http",
        default="127.0.0.1:8090",
        metavar="HOST:PORT",
        help="where to listen (default: %(default)s; port 0 takes a free one)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="keep the journal billing.jsonl there; accounts then survive a restart",
    )
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the journal's debits, refusals and refunds there as CSV, and end; needs --data",
    )
    parser.add_argument("--fsync", action="store_true", help="force each journal line to the disk")
    parser.add_argument(
        "--balance-minor",
        type=int,
        metavar="N",
        help="what a phone never set has, in minor units (default: 100000; with --magic, no end)",
    )
    parser.add_argument("--currency", default="UAH", help="default: %(default)s")
    parser.add_argument(
        "--slow", type=float, default=3.0, metavar="S", help="seconds that mode slow takes"
    )
    parser.add_argument(
        "--zombie", type=float, default=10.0, metavar="S", help="seconds until a zombie debits"
    )
    parser.add_argument(
        "--magic",
        action="store_true",
        help="a phone's last three digits say how billing behaves for it: docs/partner-api.md",
    )
    parser.add_argument("--not-idempotent", action="store_true", help="a repeated key debits again")
    parser.add_argument(
        "--forgets-refusals", action="store_true", help="a refused key may be debited later"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="debits need this bearer token"
    )


def run(args: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; 0 done, 1 could not listen, 2 wrong arguments."""
    try:
        if args.export is not None:
            return _export(args)
        options = _options(args)
    except (ValueError, OSError) as exc:
        print(f"ppcd sim billing: {exc}", file=sys.stderr)
        return 2
    try:
        react(_serve, (options,))
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1


def _export(args: argparse.Namespace) -> int:
    if args.data is None:
        raise ValueError("--export needs --data DIR: a journal that is nowhere has no rows")
    with args.export.open("w", encoding="utf-8", newline="") as output:
        count = export(args.data / JOURNAL, output)
    print(f"{count} rows in {args.export}")
    return 0


def _options(args: argparse.Namespace) -> BillingOptions:
    host, colon, port = args.http.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65_536):
        raise ValueError(f"--http must be HOST:PORT, got {args.http!r}")
    return BillingOptions(
        host=host,
        port=int(port),
        data_dir=args.data,
        fsync=args.fsync,
        balance_minor=_balance_minor(args),
        currency=args.currency,
        slow_s=args.slow,
        zombie_s=args.zombie,
        idempotent=not args.not_idempotent,
        stores_refusals=not args.forgets_refusals,
        token=args.token_file.read_text().strip() if args.token_file else None,
        mode_of=mode_of if args.magic else well_behaved,
    )


def _balance_minor(args: argparse.Namespace) -> int:
    if args.balance_minor is not None:
        return int(args.balance_minor)
    return ENDLESS_MINOR if args.magic else BALANCE_MINOR


def _serve(reactor: Any, options: BillingOptions) -> Deferred[None]:
    async def serve() -> None:
        billing = Billing(cast(Reactor, reactor), options)
        try:
            await billing.start()
        except CannotListenError as exc:
            print(f"ppcd sim billing: {exc}", file=sys.stderr)
            raise SystemExit(1) from exc
        reactor.addSystemEventTrigger(
            "before", "shutdown", lambda: Deferred.fromCoroutine(billing.stop())
        )
        print(f"ready {billing.url}", flush=True)
        await Deferred()

    return Deferred.fromCoroutine(serve())
