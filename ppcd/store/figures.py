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
    #: How long somebody has waited for the oldest of them; 0 without any.
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at the database."""

    work: tuple[Work, ...]
    awaiting: int
    in_doubt: int
    in_review: int
    refunds_in_doubt: int
    refunds_in_review: int
    dead_webhooks: int
    months_left: int
    pauses: tuple[PauseRow, ...]


# Ages are what people wait, however often the work was tried and put off: since the request for a
# prompt or a refund, since the yes for a debit, since the end for a webhook. Doubts have a figure
# of their own. Ids are time-ordered, so the lowest is the oldest.
_WORK = """
    SELECT kind, count, greatest(0, coalesce(extract(epoch FROM t.now - since), 0))::float8
      FROM (SELECT 'prompt' AS kind, count(*),
                   (SELECT created_at FROM charge WHERE charge_id =
                       (SELECT min(charge_id) FROM prompt_job WHERE prompt_no = 0)) AS since
              FROM prompt_job
             UNION ALL
            SELECT 'refund', count(*), min(accepted_at) FILTER (WHERE doubt_since IS NULL)
              FROM refund_job WHERE review_since IS NULL
             UNION ALL
            SELECT 'webhook', count(*), min(first_at)
              FROM webhook_job WHERE dead_since IS NULL) w,
           (SELECT business_now() AS now) t
"""

# In one scan: when debits are held there may be millions.
_DEBITS = """
    SELECT count(*) FILTER (WHERE review_since IS NULL),
           greatest(0, coalesce(extract(epoch FROM (SELECT business_now()) - min(confirmed_at)
               FILTER (WHERE doubt_since IS NULL AND review_since IS NULL)), 0))::float8,
           count(*) FILTER (WHERE doubt_since IS NOT NULL AND review_since IS NULL),
           count(*) FILTER (WHERE review_since IS NOT NULL)
      FROM debit_job
"""

_STUCK = """
    SELECT (SELECT count(*) FROM awaiting),
           (SELECT count(*) FROM refund_job WHERE doubt_since IS NOT NULL AND review_since IS NULL),
           (SELECT count(*) FROM refund_job WHERE review_since IS NOT NULL),
           (SELECT count(*) FROM webhook_job WHERE dead_since IS NOT NULL)
"""


def look(cur: Cursor) -> Figures:
    """Count. Costs a scan of the work tables: every few seconds is often enough."""
    found = {row[0]: Work(*row) for row in cur.execute(_WORK).fetchall()}
    debits = cur.execute(_DEBITS).fetchone()
    assert debits is not None
    found["debit"] = Work("debit", *debits[:2])
    work = tuple(found[kind] for kind in ("prompt", "debit", "refund", "webhook"))
    row = cur.execute(_STUCK).fetchone()
    assert row is not None
    awaiting, refunds_in_doubt, refunds_in_review, dead = row
    return Figures(
        work=work,
        awaiting=awaiting,
        in_doubt=debits[2],
        in_review=debits[3],
        refunds_in_doubt=refunds_in_doubt,
        refunds_in_review=refunds_in_review,
        dead_webhooks=dead,
        months_left=months_left(cur),
        pauses=tuple(pauses(cur)),
    )
