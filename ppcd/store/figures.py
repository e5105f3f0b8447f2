"""Figures for those who watch: how much work there is, how old, how much of it is stuck."""

from dataclasses import dataclass

from ppcd.store.partitions import months_left
from ppcd.store.registers import PauseRow, pauses
from ppcd.store.sql import Cursor


@dataclass(frozen=True, slots=True)
class Work:
    """The work rows of one kind, on all nodes."""

    kind: str
    count: int
    #: Since the oldest row that is due became so; 0 without any.
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at the database."""

    work: tuple[Work, ...]
    awaiting: int
    in_doubt: int
    in_review: int
    dead_webhooks: int
    months_left: int
    pauses: tuple[PauseRow, ...]


_WORK = """
    SELECT kind, count(*), greatest(0, coalesce(extract(epoch FROM t.now - min(run_at)), 0))::float8
      FROM (SELECT 'prompt' AS kind, run_at FROM prompt_job
             UNION ALL
            SELECT 'debit', run_at FROM debit_job WHERE review_since IS NULL
             UNION ALL
            SELECT 'webhook', run_at FROM webhook_job WHERE dead_since IS NULL) w,
           (SELECT business_now() AS now) t
     GROUP BY kind, t.now
"""

_STUCK = """
    SELECT (SELECT count(*) FROM awaiting),
           (SELECT count(*) FROM debit_job WHERE doubt_since IS NOT NULL AND review_since IS NULL),
           (SELECT count(*) FROM debit_job WHERE review_since IS NOT NULL),
           (SELECT count(*) FROM webhook_job WHERE dead_since IS NOT NULL)
"""


def look(cur: Cursor) -> Figures:
    """Count. Costs a scan of the work tables: every few seconds is often enough."""
    found = {row[0]: Work(*row) for row in cur.execute(_WORK).fetchall()}
    work = tuple(found.get(kind, Work(kind, 0, 0)) for kind in ("prompt", "debit", "webhook"))
    row = cur.execute(_STUCK).fetchone()
    assert row is not None
    awaiting, in_doubt, in_review, dead = row
    return Figures(
        work=work,
        awaiting=awaiting,
        in_doubt=in_doubt,
        in_review=in_review,
        dead_webhooks=dead,
        months_left=months_left(cur),
        pauses=tuple(pauses(cur)),
    )
