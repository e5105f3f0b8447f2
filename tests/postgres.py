"""A PostgreSQL for the tests: one server a run, one database a test, copied from a template.

PPCD_TEST_DSN names a server that is there already (its user must be allowed to make databases);
PPCD_TEST_POSTGRES_BIN the programs of another version than the wheel's.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo, sql

from ppcd.sim.postgres import Postgres
from ppcd.store import migrate


def a_server(directory: Path, *, settings: Mapping[str, str] | None = None) -> Postgres:
    """A server of one test's own, to be stopped and killed at will; not started yet."""
    bin_dir = os.environ.get("PPCD_TEST_POSTGRES_BIN")
    return Postgres(directory, settings=settings, bin_dir=bin_dir)


def query(dsn: str, statement: str, *args: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement on a connection of its own, committed."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        cur = conn.execute(statement.encode(), args or None)
        return cur.fetchall() if cur.description else []


class Cluster:
    """A running server that hands out databases."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._prefix = f"ppcd_test_{os.getpid()}"
        self._numbers = count(1)
        self._template: str | None = None

    def dsn(self, name: str) -> str:
        """What connects to a database of this server."""
        return conninfo.make_conninfo(self._dsn, dbname=name)

    @contextmanager
    def bare(self) -> Iterator[str]:
        """An empty database."""
        yield from self._database("template0")

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """A database with this release's schema and nothing in it."""
        if self._template is None:
            name = f"{self._prefix}_template"
            self._create(name, "template0")
            migrate.migrate(self.dsn(name))
            self._template = name
        yield from self._database(self._template)

    def close(self) -> None:
        """Leave nothing at a server that is not ours."""
        if self._template is not None:
            self._drop(self._template)

    def _database(self, template: str) -> Iterator[str]:
        name = f"{self._prefix}_{next(self._numbers)}"
        self._create(name, template)
        try:
            yield self.dsn(name)
        finally:
            self._drop(name)

    def _create(self, name: str, template: str) -> None:
        # Each database ends with a checkpoint anyway, so the way through the log is dearer.
        self._execute("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)

    def _drop(self, name: str) -> None:
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def a_cluster() -> Iterator[Cluster]:
    """The run's server, ours or the one named in the environment."""
    given = os.environ.get("PPCD_TEST_DSN")
    if given:
        cluster = Cluster(given)
        try:
            yield cluster
        finally:
            cluster.close()
        return
    directory = Path(tempfile.mkdtemp(prefix="ppcd-test-", dir=_fast_place()))
    try:
        settings = {"max_connections": "200", "max_wal_size": "512MB"}
        with a_server(directory, settings=settings) as server:
            yield Cluster(server.dsn())
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _fast_place() -> str | None:
    """Where files live in memory: a database a test costs 25 ms there, and 300 on a disk."""
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return None
    return "/dev/shm" if free > 2 * 2**30 and os.access("/dev/shm", os.W_OK) else None
