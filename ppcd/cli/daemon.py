"""`ppcd run`, `check-config`, `migrate`."""

import argparse
from pathlib import Path
from typing import Any

from ppcd.cli.database import database_of, settings_of
from ppcd.cli.failure import Failed
from ppcd.config import Settings
from ppcd.store.failures import NotApplied


def check(args: argparse.Namespace) -> int:
    """Show all problems of a configuration."""
    settings = settings_of(args)
    for warning in settings.warnings:
        print(f"warning: {warning}")
    print(f"{args.config}: ok")
    return 0


def migrate(args: argparse.Namespace) -> int:
    """Bring the database up to this release."""
    from ppcd.store import migrate as migrations

    dsn = database_of(settings_of(args))
    try:
        if args.dry_run:
            pending = migrations.pending(dsn)
            for migration in pending:
                print(f"would apply {migration}")
            print(f"{len(pending)} to apply" if pending else "the schema is up to date")
            return 0
        applied = migrations.migrate(dsn)
    except NotApplied as exc:
        raise Failed(str(exc)) from exc
    for migration in applied:
        print(f"applied {migration}")
    if not applied:
        print("the schema is up to date")
    return 0


def run(args: argparse.Namespace) -> int:
    """Run the daemon until it is told to stop."""
    settings = settings_of(args)

    from twisted.internet import reactor as twisted_reactor

    from ppcd.ops import logs
    from ppcd.ops.clock import use_monotonic_time
    from ppcd.service.process import Process

    reactor: Any = twisted_reactor
    use_monotonic_time(reactor)
    observer, writer = logs.begin(
        now=reactor.seconds,
        style=settings.log.format,
        level=settings.log.level,
        namespaces=settings.log.namespaces,
    )

    def set_levels(new: Settings) -> None:
        observer.set_levels(new.log.level, new.log.namespaces)

    process = Process(
        Path(args.config),
        settings,
        reactor=reactor,
        set_log_levels=set_levels,
        count_logs=observer.count_into,
    )
    reactor.callWhenRunning(process.start)
    # Our own handlers are set when it runs: a stop must drain, not only end the loop.
    reactor.run(installSignalHandlers=False)
    writer.close()
    return process.exit_code
