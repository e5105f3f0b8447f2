"""One statement of the operator's, and several that share a transaction.

Functions of a cursor, for a lane's thread. Owns what is read of an answer's row. Refuses to know
what it means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ppcd.store.lanes import Cursor, NotApplied

__all__ = ["MANY", "Asking", "NoLongerAllowed", "Row", "ask", "ask_together"]

MANY: Final = "the statement did not give one row with distinct columns"


class Row(NamedTuple):
    """The row, and how many there were: 0, 1, or 2 for what can't be read as one."""

    values: Mapping[str, str | None]
    found: int


class NoLongerAllowed(Exception):
    """The intent has grown old while it waited for a connection."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A statement with its values; `may_send` is asked in the turn that sends it."""

    statement: str
    values: Mapping[str, str | int]
    may_send: Callable[[], bool] | None

    @property
    def place(self) -> tuple[str, str]:
        """Among those that share a transaction."""
        return str(self.values["msisdn"]), str(self.values["key"])


def ask(cur: Cursor, asking: Asking) -> Row:
    """In a transaction of its own; again when the server asks for a repeat."""
    if asking.may_send is not None and not asking.may_send():
        raise NoLongerAllowed
    cur.execute(asking.statement.encode(), asking.values)
    return _row(cur)


def ask_together(
    cur: Cursor,
    batch: Sequence[Asking],
    *,
    within_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[Row | None]:
    """All in one transaction; None: it was no longer allowed. What is refused refuses all.

    In the order of subscribers and keys, so that batches wait for each other instead of
    deadlocking. The server limits each statement, and how long it waits for the commit; that they
    have no more time together than one has is ours to see to, so that no commit is later than one's
    could be.
    """
    began = clock()
    rows: list[Row | None] = [None] * len(batch)
    asked = []
    order = sorted(range(len(batch)), key=lambda at: batch[at].place)
    with cur.connection.pipeline():
        for at in order:
            one = batch[at]
            if one.may_send is None or one.may_send():
                own = cur.connection.cursor()
                own.execute(one.statement.encode(), one.values)
                asked.append((at, own))
    if clock() - began > within_s:
        raise NotApplied("debits that share a transaction took too long together")
    for at, own in asked:
        rows[at] = _row(own)
    return rows


def _row(cur: Cursor) -> Row:
    names = [column.name for column in cur.description or ()]
    if not names or len(set(names)) != len(names):
        return Row({}, 2)
    rows = cur.fetchmany(2)
    if len(rows) != 1:
        return Row({}, len(rows))
    return Row({name: _text(value) for name, value in zip(names, rows[0], strict=True)}, 1)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
