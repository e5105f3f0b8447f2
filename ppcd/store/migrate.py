"""Brings the database's schema up to this release, and says how far it is.

Owns the table `ppcd_schema` and the order of the files in `ppcd.store.schema`. Forward only: a file
that was applied once is never changed, and what an older release needs is removed a release later.
Refuses to know what the tables mean.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

import psycopg

from ppcd.store import partitions
from ppcd.store.connection import complete
from ppcd.store.failures import NotApplied
from ppcd.store.sql import Cursor

_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
#: Any number would do, as long as every release has the same.
_LOCK: Final = 0x70706364
#: Another node may be migrating; afterwards there is nothing left to do for us.
_TURN_TIMEOUT: Final = "120s"
#: A file that waits for a table makes all others wait behind it.
_TABLE_TIMEOUT: Final = "5s"
#: Partitions made with the schema; a running node makes the next ones in time.
MONTHS_AHEAD: Final = 3

_CREATE = """
    CREATE TABLE IF NOT EXISTS ppcd_schema (
        version bigint PRIMARY KEY,
        name text NOT NULL,
        sha256 text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
_EXISTS = "SELECT to_regclass('ppcd_schema') IS NOT NULL"
_READ = "SELECT version, name, sha256 FROM ppcd_schema ORDER BY version"
_RECORD = "INSERT INTO ppcd_schema (version, name, sha256) VALUES (%s, %s, %s)"


class SchemaError(NotApplied):
    """The schema can't be brought up to this release; the text says what to do."""


class Standing(StrEnum):
    """The database's schema, seen from this release."""

    CURRENT = "current"
    BEHIND = "behind"
    NEWER = "newer"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """What tells a changed file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04d}_{self.name}"


def load(directory: Traversable | None = None) -> tuple[Migration, ...]:
    """This release's migrations in order. Gaps and doubled numbers are ours to fix."""
    directory = directory or resources.files("ppcd.store.schema")
    found = []
    for entry in directory.iterdir():
        if entry.name.endswith(".sql"):
            match = _FILE_NAME.fullmatch(entry.name)
            assert match, f"{entry.name}: a migration is called NNNN_some_name.sql"
            found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    numbers = [migration.version for migration in found]
    assert numbers == list(range(1, len(found) + 1)), f"migrations are not 1, 2, 3…: {numbers}"
    return tuple(found)


def check(cur: Cursor, migrations: Sequence[Migration] | None = None) -> Standing:
    """How the schema stands; SchemaError when an applied file is not the one of this release."""
    migrations = load() if migrations is None else migrations
    applied = _applied(cur)
    if applied is None:
        return Standing.ABSENT
    if len(applied) > len(migrations):
        return Standing.NEWER
    return Standing.CURRENT if not _pending(applied, migrations) else Standing.BEHIND


def pending(dsn: str, *, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """What `migrate` would apply, without applying it."""
    migrations = load() if migrations is None else migrations
    with _connect(dsn) as conn:
        return _pending(_applied(conn.cursor()) or [], migrations)


def migrate(
    dsn: str,
    *,
    migrations: Sequence[Migration] | None = None,
    months_ahead: int = MONTHS_AHEAD,
) -> list[Migration]:
    """Apply what is missing, each file in a transaction of its own, and make partitions ahead.

    Safe to repeat and to run on several nodes at once. Gives the migrations applied by this call.
    """
    migrations = load() if migrations is None else migrations
    with _connect(dsn) as conn:
        cur = conn.cursor()
        _wait_for_turn(cur)
        with conn.transaction():
            cur.execute(_CREATE)
        missing = _pending(_applied(cur) or [], migrations)
        for migration in missing:
            _apply(conn, migration)
        with conn.transaction():
            cur.execute("SELECT set_config('lock_timeout', %s, true)", [_TABLE_TIMEOUT])
            partitions.make(cur, months_ahead=months_ahead)
        return missing


def _connect(dsn: str) -> psycopg.Connection[tuple[Any, ...]]:
    try:
        return psycopg.connect(complete(dsn), autocommit=True)
    except psycopg.Error as exc:
        raise SchemaError(f"no connection to the database: {exc}") from None


def _wait_for_turn(cur: Cursor) -> None:
    # Of the session: it must outlast the transactions of the single files.
    cur.execute("SELECT set_config('lock_timeout', %s, false)", [_TURN_TIMEOUT])
    try:
        cur.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    except psycopg.errors.LockNotAvailable:
        raise SchemaError(
            "another migration is running on this database: wait for its end and run this again"
        ) from None


def _applied(cur: Cursor) -> list[tuple[int, str, str]] | None:
    row = cur.execute(_EXISTS).fetchone()
    assert row is not None
    if not row[0]:
        return None
    return [(version, name, sha256) for version, name, sha256 in cur.execute(_READ)]


def _pending(
    applied: Sequence[tuple[int, str, str]], migrations: Sequence[Migration]
) -> list[Migration]:
    known = {migration.version: migration for migration in migrations}
    for version, name, sha256 in applied:
        migration = known.pop(version, None)
        if migration is None:
            raise SchemaError(
                f"the database has migration {version:04d}_{name}, which this release does not "
                "know: it is of a newer release; install that one here"
            )
        if migration.sha256 != sha256:
            raise SchemaError(
                f"migration {migration} differs from the one applied to this database: restore "
                "the released file; a change of the schema goes into a new one"
            )
    return list(known.values())


def _apply(conn: psycopg.Connection[tuple[Any, ...]], migration: Migration) -> None:
    try:
        with conn.transaction():
            cur = conn.cursor()
            cur.execute("SELECT set_config('lock_timeout', %s, true)", [_TABLE_TIMEOUT])
            # Without parameters psycopg sends the text as it is, all statements of it.
            cur.execute(migration.sql.encode())
            cur.execute(_RECORD, [migration.version, migration.name, migration.sha256])
    except psycopg.errors.LockNotAvailable:
        raise SchemaError(
            f"migration {migration} waited {_TABLE_TIMEOUT} for a table that is in use and was "
            "not applied: run it again when there is less traffic"
        ) from None
    except psycopg.Error as exc:
        if exc.diag.severity_nonlocalized != "ERROR":
            raise SchemaError(
                f"the connection was lost in migration {migration}: run it again"
            ) from None
        raise SchemaError(
            f"migration {migration} failed and was not applied: {exc.diag.message_primary}"
        ) from None
