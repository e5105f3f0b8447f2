"""The configuration of a command, and its database: opened, checked, and told about in words."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ppcd.cli.failure import USAGE, Failed
from ppcd.config import ConfigurationError, Settings, load
from ppcd.store import migrate
from ppcd.store.dsn import dsn_of
from ppcd.store.lanes import Cursor, Direct, Limits, StoreError

P = ParamSpec("P")
T = TypeVar("T")


def settings_of(args: argparse.Namespace) -> Settings:
    """The configuration named by --config. Raises Failed with all its problems."""
    if not Path(args.config).exists():
        raise Failed(f"there is no {args.config}: say --config FILE", exit_code=USAGE)
    try:
        return load(args.config)
    except ConfigurationError as exc:
        raise Failed(*map(str, exc.problems), exit_code=USAGE) from exc


def database_of(settings: Settings) -> str:
    """The connection string; it holds the password."""
    password = settings.secret("database.password")
    return dsn_of(
        settings.database.dsn,
        settings.database.parameters(),
        None if password is None else password.reveal(),
    )


class Database:
    """The database of a configuration, for one command."""

    def __init__(self, args: argparse.Namespace, *, statement_s: float | None = None) -> None:
        """`statement_s`: how long a statement may take that is known to be long."""
        self.settings = settings_of(args)
        limits = None if statement_s is None else Limits(statement_s=statement_s)
        self._direct = Direct(database_of(self.settings), limits=limits)

    def __enter__(self) -> "Database":
        standing = self.run(migrate.check)
        if standing is not migrate.Standing.CURRENT:
            self._direct.close()
            raise Failed(f"the database's schema is {standing.value}: run `ppcd migrate`")
        return self

    def __exit__(self, *_: object) -> None:
        self._direct.close()

    def run(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """One transaction. Raises Failed for what a person must look at."""
        try:
            return self._direct.run(transaction, *args, **kwargs)
        except StoreError as exc:
            raise Failed(f"the database: {exc}") from exc
