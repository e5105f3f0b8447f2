"""Monthly partitions of the fact tables, made well ahead; how many are left is an alarm's business.

Which tables: every partitioned one, as the catalogue says. Their key is a time-ordered id, so a
month is a range of it. Dropping old months is retention's work, not done here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from psycopg import sql

from ppcd.store.ids import first_id_of
from ppcd.store.sql import Cursor

#: Two nodes making the same partition would deadlock or collide.
_LOCK: Final = 0x70706365

_TABLES = """
    SELECT c.relname FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
     WHERE c.relnamespace = current_schema()::regnamespace AND p.partstrat = 'r'
     ORDER BY c.relname
"""
_PARTITIONS = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = to_regclass(%s)
"""
# Not CREATE TABLE … PARTITION OF: that would lock the parent against everything, also reading.
_CREATE = "CREATE TABLE {partition} (LIKE {table} INCLUDING ALL)"
_ATTACH = "ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ({low}) TO ({high})"


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month of UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, when: datetime) -> "Month":
        """The month that `when` is in."""
        when = when.astimezone(UTC)
        return cls(when.year, when.month)

    def plus(self, months: int) -> "Month":
        """That many months later; earlier when negative."""
        years, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(years, month + 1)

    @property
    def first_id(self) -> int:
        """The lowest id that can be made in it."""
        return first_id_of(datetime(self.year, self.month, 1, tzinfo=UTC))

    def partition(self, table: str) -> str:
        """What a table's partition for it is called."""
        return f"{table}_{self.year:04d}_{self.month:02d}"


def tables(cur: Cursor) -> list[str]:
    """The partitioned tables."""
    return [name for (name,) in cur.execute(_TABLES)]


def make(cur: Cursor, *, months_ahead: int, now: datetime | None = None) -> list[str]:
    """Make what is missing from the month before `now` to `months_ahead` after it; their names.

    `now` is the wall clock's, as in the ids; the database's unless given. The month before is for
    nodes whose clocks are a little behind.
    """
    cur.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    this = Month.of(now or _clock(cur))
    made = []
    for table in tables(cur):
        there = _partitions(cur, table)
        for month in (this.plus(n) for n in range(-1, months_ahead + 1)):
            name = month.partition(table)
            if name not in there:
                for statement in _statements(table, name, month):
                    cur.execute(statement)
                made.append(name)
    return made


def months_left(cur: Cursor, *, now: datetime | None = None) -> int:
    """How many whole months after this one every table can take; -1 if not even this one."""
    this = Month.of(now or _clock(cur))
    names = {table: _partitions(cur, table) for table in tables(cur)}
    left = -1
    while names and all(this.plus(left + 1).partition(t) in there for t, there in names.items()):
        left += 1
    return left


def _statements(table: str, partition: str, month: Month) -> Iterator[sql.Composed]:
    names = {"table": sql.Identifier(table), "partition": sql.Identifier(partition)}
    yield sql.SQL(_CREATE).format(**names)
    low, high = sql.Literal(month.first_id), sql.Literal(month.plus(1).first_id)
    yield sql.SQL(_ATTACH).format(**names, low=low, high=high)


def _partitions(cur: Cursor, table: str) -> set[str]:
    return {name for (name,) in cur.execute(_PARTITIONS, [table])}


def _clock(cur: Cursor) -> datetime:
    row = cur.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
