"""Notifications: what partners are to be told, and how telling them went.

Owns that an end is told at least once or kept as dead, under one event id. Refuses to know bodies,
signatures and HTTP: bodies are made from the facts that this module reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ppcd.store.rows import WebhookKey
from ppcd.store.sql import Cursor, columns


@dataclass(frozen=True, slots=True)
class Due:
    """A notification to be delivered, with all that its body, signature and address need."""

    charge_id: int
    sequence: int
    attempts: int
    age_s: float
    partner: str
    url: str
    secret: bytes
    secret_before: bytes | None
    token: str | None
    state: str
    reason: str | None
    billing_reference: str | None
    decided_at: datetime
    made_at: datetime


_COLUMNS = """
    j.charge_id, j.sequence, j.attempts, extract(epoch FROM business_now() - j.first_at)::float8,
    p.name, n.url, p.webhook_secret, p.webhook_secret_before,
    CASE WHEN t.expires_at <= business_now() THEN NULL ELSE t.token END, o.state, o.reason,
    o.billing_reference, o.decided_at, n.made_at
"""

_JOINS = """
      JOIN notification n ON n.charge_id = j.charge_id AND n.sequence = j.sequence
      JOIN outcome o ON o.charge_id = j.charge_id
      JOIN partner p ON p.partner_id = j.partner_id
      LEFT JOIN sink_token t ON t.charge_id = j.charge_id
"""

_LOAD = f"""
    SELECT {_COLUMNS}
      FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[]) AS w(charge_id, sequence)
      JOIN webhook_job j USING (charge_id, sequence)
      {_JOINS}
     WHERE j.dead_since IS NULL
"""

_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT ctid FROM webhook_job
         WHERE dead_since IS NULL AND run_at <= (SELECT business_now())
         ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE webhook_job j SET run_at = (SELECT business_now()) + make_interval(secs => %(lease_s)s)
      FROM due WHERE j.ctid = due.ctid
 RETURNING j.charge_id, j.sequence
"""


def load(cur: Cursor, keys: Sequence[WebhookKey]) -> list[Due | None]:
    """The notifications of these keys; None for one that is due no more."""
    cur.execute(_LOAD, columns(keys, ("charge_id", "sequence")))
    found = {(row[0], row[1]): Due(*row) for row in cur.fetchall()}
    return [found.get((key.charge_id, key.sequence)) for key in keys]


def claim(cur: Cursor, *, limit: int, lease_s: float) -> list[WebhookKey]:
    """Take over notifications that are overdue, whoever had them."""
    cur.execute(_CLAIM, {"limit": limit, "lease_s": lease_s})
    return [WebhookKey(*row) for row in cur.fetchall()]


_RELEASE = """
    UPDATE webhook_job j SET run_at = business_now()
      FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[]) AS w(charge_id, sequence)
     WHERE j.charge_id = w.charge_id AND j.sequence = w.sequence
"""


def release(cur: Cursor, keys: Sequence[WebhookKey]) -> None:
    """Give jobs back that nothing was done about."""
    cur.execute(_RELEASE, columns(keys, ("charge_id", "sequence")))


class Told(StrEnum):
    """How an attempt to tell a partner ended."""

    DELIVERED = "delivered"
    LATER = "later"
    #: The partner wants no more of this (410).
    GONE = "gone"
    #: Tried for as long as is reasonable: kept for a person.
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt and what follows it."""

    charge_id: int
    sequence: int
    attempt: int
    result: Told
    detail: str
    delay_s: float = 0


_INSERT = """
    INSERT INTO delivery (charge_id, sequence, attempt, result, detail, attempted_at)
    SELECT w.*, business_now()
      FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[], %(attempt)s::bigint[],
                  %(result)s::text[], %(detail)s::text[]) AS w
    ON CONFLICT DO NOTHING
"""

_DONE = """
    WITH gone AS (
        DELETE FROM webhook_job j
         USING unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[]) AS w(charge_id, sequence)
         WHERE j.charge_id = w.charge_id AND j.sequence = w.sequence
        RETURNING j.charge_id
    )
    DELETE FROM sink_token t USING gone WHERE t.charge_id = gone.charge_id
"""

_AGAIN = """
    UPDATE webhook_job j
       SET attempts = w.attempt,
           run_at = t.now + make_interval(secs => w.delay_s),
           dead_since = CASE WHEN w.result = 'dead' THEN t.now END
      FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[], %(attempt)s::bigint[],
                  %(result)s::text[], %(delay_s)s::float8[])
           AS w(charge_id, sequence, attempt, result, delay_s),
           (SELECT business_now() AS now) t
     WHERE j.charge_id = w.charge_id AND j.sequence = w.sequence
"""


def record(cur: Cursor, batch: Sequence[Delivery]) -> list[None]:
    """Record attempts and what follows them."""
    ordered = sorted(batch, key=lambda d: (d.charge_id, d.sequence))
    names = ("charge_id", "sequence", "attempt", "result")
    cur.execute(_INSERT, columns(ordered, (*names, "detail")))
    done = [d for d in ordered if d.result in (Told.DELIVERED, Told.GONE)]
    if done:
        cur.execute(_DONE, columns(done, ("charge_id", "sequence")))
    again = [d for d in ordered if d.result in (Told.LATER, Told.DEAD)]
    if again:
        cur.execute(_AGAIN, columns(again, (*names, "delay_s")))
    return [None for _ in batch]
