"""What is older than it may be: which months, what holds them back, their export and their end.

Owns that a month goes only when nothing in it is still open and, where it is exported, what was
exported is what is dropped. Refuses to know files and calendars of laws. Keys of charges stay: they
have no personal data, and a reference that was used stays used.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg import sql

from ppcd.store.partitions import Month, tables
from ppcd.store.sql import Cursor


class Group(StrEnum):
    """Tables that are kept for one and the same time."""

    CHARGES = "charges"
    MESSAGES = "messages"
    NOTIFICATIONS = "notifications"


#: A table that is not here is about money, and kept with the charges.
_GROUPS: Final = {
    "prompt": Group.MESSAGES,
    "prompt_answer": Group.MESSAGES,
    "receipt": Group.MESSAGES,
    "reply": Group.MESSAGES,
    "notification": Group.NOTIFICATIONS,
    "delivery": Group.NOTIFICATIONS,
}


@dataclass(frozen=True, slots=True)
class Due:
    """One month of one table that is older than it may be."""

    group: Group
    table: str
    month: Month
    size: int
    #: Work about charges of that time, which holds it back.
    open: int

    @property
    def partition(self) -> str:
        """What it is called."""
        return self.month.partition(self.table)


_MADE = """
    SELECT c.relname, pg_total_relation_size(c.oid)
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = to_regclass(%s) ORDER BY c.relname
"""
_NAME: Final = re.compile(r"(?P<table>.+)_(?P<year>[0-9]{4})_(?P<month>[0-9]{2})")
_CLOCK = "SELECT clock_timestamp()"


def due(cur: Cursor, months: Mapping[Group, int], *, now: datetime | None = None) -> list[Due]:
    """What has outlived its group's months, all of it, in the order in which it is to go.

    0 months: for ever. A month's charges go first, so that nobody begins anything about them.
    """
    if now is None:
        row = cur.execute(_CLOCK).fetchone()
        assert row is not None
        now = row[0]
    this = Month.of(now)
    found = []
    for table in tables(cur):
        group = _GROUPS.get(table, Group.CHARGES)
        if months[group] == 0:
            continue
        for name, size in cur.execute(_MADE, [table]).fetchall():
            match = _NAME.fullmatch(name)
            if match is None or match["table"] != table:
                continue
            month = Month(int(match["year"]), int(match["month"]))
            if month.plus(months[group] + 1) <= this:
                found.append(Due(group, table, month, size, still_open(cur, month)))
    return sorted(found, key=lambda d: (d.month, d.table != "charge", d.table))


# Whatever table has a charge's id and is no fact: work, also of a kind that is yet to come. Keys
# are for ever.
_WORK = """
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
       AND NOT c.relispartition AND a.attname = 'charge_id' AND NOT a.attisdropped
       AND c.relname NOT LIKE '%\\_key'
     ORDER BY c.relname
"""
_OPEN = "SELECT count(*) FROM {} WHERE charge_id >= %s AND charge_id < %s"


def still_open(cur: Cursor, month: Month) -> int:
    """How much work there is about a month's charges.

    And about those of the month before: what was said of them may stand in this one.
    """
    low, high = month.plus(-1).first_id, month.plus(1).first_id
    count = 0
    for (table,) in cur.execute(_WORK).fetchall():
        row = cur.execute(sql.SQL(_OPEN).format(sql.Identifier(table)), [low, high]).fetchone()
        assert row is not None
        count += row[0]
    return count


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds, and the statements that bring it back."""

    rows: int
    columns: tuple[str, ...]
    #: Makes the partition where it no longer is.
    create: str
    #: Takes the file in.
    copy: str


_COLUMNS = """
    SELECT attname FROM pg_attribute
     WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_COPY_OUT = "COPY {} ({}) TO STDOUT (FORMAT csv, HEADER)"
_COPY_IN = "COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)"
_CREATE = "CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"


def export(cur: Cursor, one: Due, write: Callable[[bytes], object]) -> Exported:
    """Write a month of a table as CSV with a header, uncompressed."""
    names = tuple(name for (name,) in cur.execute(_COLUMNS, [one.partition]).fetchall())
    partition = sql.Identifier(one.partition)
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    with cur.copy(sql.SQL(_COPY_OUT).format(partition, columns)) as copy:
        for data in copy:
            write(bytes(data))
    low, high = one.month.first_id, one.month.plus(1).first_id
    create = sql.SQL(_CREATE).format(
        partition, sql.Identifier(one.table), sql.Literal(low), sql.Literal(high)
    )
    bring_back = sql.SQL(_COPY_IN).format(partition, columns)
    return Exported(cur.rowcount, names, create.as_string(cur), bring_back.as_string(cur))


_COUNT = "SELECT count(*) FROM ONLY {}"


def count(cur: Cursor, one: Due) -> int:
    """How many rows there are."""
    row = cur.execute(sql.SQL(_COUNT).format(sql.Identifier(one.partition))).fetchone()
    assert row is not None
    return int(row[0])


class Kept(StrEnum):
    """Why a month was not dropped after all."""

    OPEN = "open"
    #: There is more in it than was exported.
    CHANGED = "changed"


_LOCK = "LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE"
_DROP = "DROP TABLE {}"


def drop(cur: Cursor, one: Due, *, rows: int | None) -> Kept | None:
    """Drop a month of a table, of which so many rows were exported; None: it is gone.

    Nobody writes into it from the look on: the lock comes first.
    """
    partition = sql.Identifier(one.partition)
    cur.execute(sql.SQL(_LOCK).format(partition))
    if still_open(cur, one.month):
        return Kept.OPEN
    if rows is not None and count(cur, one) != rows:
        return Kept.CHANGED
    cur.execute(sql.SQL(_DROP).format(partition))
    return None
