"""Notifications: what partners are to be told, and how telling them went.

Owns that an end is told at least once or kept as dead, under one event id, by one node at a time,
and the events of one charge in their order. Refuses to know bodies, signatures and HTTP: bodies are
made from the facts that this module reads.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from ppcd.store.rows import WebhookKey
from ppcd.store.sql import Cursor, columns

#: An event that waits for an earlier one of its charge is looked at again after this at the latest;
#: it is woken when that one is told.
BEHIND_S_MAX: Final = 300.0


class Due(NamedTuple):
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
    #: The charge's at its end; before it, what the partner is told: `pending_validation` or
    #: `reserved`.
    state: str
    reason: str | None
    billing_reference: str | None
    decided_at: datetime
    made_at: datetime
    #: A charge that ended cancelled had been reserved.
    was_reserved: bool = False
    #: It tells of this refund; None: of the charge itself, and the state is the charge's.
    refund_id: int | None = None

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The newest first; the one before it as long as it is good."""
        before = self.secret_before
        return (self.secret,) if before is None else (self.secret, before)


_COLUMNS = """
    j.charge_id, j.sequence, j.attempts, extract(epoch FROM t.now - j.first_at)::float8,
    p.name, coalesce(j.url, n.url), p.webhook_secret,
    CASE WHEN p.webhook_secret_before_until <= t.now THEN NULL ELSE p.webhook_secret_before END,
    CASE WHEN k.expires_at <= t.now THEN NULL ELSE k.token END,
    CASE n.kind WHEN 'end' THEN o.state ELSE n.kind END,
    CASE n.kind WHEN 'end' THEN o.reason END,
    CASE n.kind WHEN 'end' THEN o.billing_reference END,
    CASE n.kind WHEN 'end' THEN o.decided_at ELSE n.made_at END, n.made_at,
    CASE o.state WHEN 'cancelled' THEN EXISTS (SELECT FROM reservation_decision d
                                                WHERE d.charge_id = j.charge_id)
                 ELSE false END,
    n.refund_id
"""

_JOINS = """
      JOIN notification n ON n.charge_id = j.charge_id AND n.sequence = j.sequence
      LEFT JOIN outcome o ON o.charge_id = j.charge_id
      JOIN partner p ON p.partner_id = j.partner_id
      LEFT JOIN sink_token k ON k.charge_id = coalesce(n.refund_id, n.charge_id)
"""

# An earlier event of the charge that will still be told. A dead one holds nothing up: whoever wants
# it told again asks, and events say their place themselves.
_EARLIER = """
    FROM webhook_job e
   WHERE e.charge_id = j.charge_id AND e.sequence < j.sequence AND e.dead_since IS NULL
"""

_BEGIN = f"""
    WITH t AS MATERIALIZED (SELECT business_now() AS now), begun AS (
        UPDATE webhook_job j
           SET busy_until = t.now + make_interval(secs => %(lease_s)s), leased_by = %(node)s
          FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[]) AS w(charge_id, sequence), t
         WHERE j.charge_id = w.charge_id AND j.sequence = w.sequence AND j.dead_since IS NULL
           AND (j.busy_until IS NULL OR j.busy_until <= t.now)
           AND NOT EXISTS (SELECT {_EARLIER})
        RETURNING j.*
    )
    SELECT {_COLUMNS} FROM begun j CROSS JOIN t {_JOINS}
"""

# One that is being told, or about to be, is out of the way in a moment; one that was told in vain
# is waited for until it is told again. Told in this moment, it waked nobody: this is due.
_STEP_BEHIND = f"""
    UPDATE webhook_job j
       SET run_at = least(t.now + make_interval(secs => %(behind_s)s),
                          coalesce((SELECT max(CASE WHEN e.attempts = 0 OR e.busy_until > t.now
                                                    THEN t.now ELSE greatest(e.run_at, t.now) END)
                                           + interval '1 s' {_EARLIER}), t.now)),
           leased_by = NULL
      FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[]) AS w(charge_id, sequence),
           (SELECT business_now() AS now) t
     WHERE j.charge_id = w.charge_id AND j.sequence = w.sequence AND j.dead_since IS NULL
       AND (j.busy_until IS NULL OR j.busy_until <= t.now)
"""


def begin(
    cur: Cursor, keys: Sequence[WebhookKey], *, node: str, lease_s: float
) -> list[Due | None]:
    """Begin an attempt of `node` at each of these, nobody else's for `lease_s`.

    None for one that is due no more, that another node posts at this moment, or that has to wait
    for an earlier event of its charge.
    """
    ordered = sorted(keys, key=lambda key: (key.charge_id, key.sequence))
    values = columns(ordered, ("charge_id", "sequence"))
    cur.execute(_BEGIN, values | {"lease_s": lease_s, "node": node})
    found = {(row[0], row[1]): Due._make(row) for row in cur.fetchall()}
    behind = [
        key for key in ordered if key.sequence > 1 and (key.charge_id, key.sequence) not in found
    ]
    if behind:
        waiting = columns(behind, ("charge_id", "sequence"))
        cur.execute(_STEP_BEHIND, waiting | {"behind_s": BEHIND_S_MAX})
    return [found.get((key.charge_id, key.sequence)) for key in keys]


# From partner to partner along the index, and of each the oldest that are due: a partner with a
# million of them costs no more than one with ten, and takes nobody's place.
_CLAIM = """
    WITH RECURSIVE t AS MATERIALIZED (SELECT business_now() AS now), partners AS (
        (SELECT partner_id FROM webhook_job WHERE dead_since IS NULL
          ORDER BY partner_id LIMIT 1)
        UNION ALL
        SELECT (SELECT j.partner_id FROM webhook_job j
                 WHERE j.dead_since IS NULL AND j.partner_id > p.partner_id
                 ORDER BY j.partner_id LIMIT 1)
          FROM partners p WHERE p.partner_id IS NOT NULL
    ), asked AS MATERIALIZED (
        SELECT partner_id FROM partners
         WHERE partner_id IS NOT NULL AND partner_id <> ALL(%(full)s::bigint[])
         ORDER BY random()
    ), share AS MATERIALIZED (
        SELECT greatest(1, least(%(limit)s / greatest(count(*), 1), %(partner_max)s)) AS each
          FROM asked
    ), due AS MATERIALIZED (
        SELECT j.charge_id, j.sequence
          FROM asked a, LATERAL (
            SELECT w.charge_id, w.sequence FROM webhook_job w
             WHERE w.partner_id = a.partner_id AND w.dead_since IS NULL
               AND w.run_at <= (SELECT now FROM t)
               AND (w.busy_until IS NULL OR w.busy_until <= (SELECT now FROM t))
             ORDER BY w.run_at LIMIT (SELECT each FROM share)
             FOR UPDATE SKIP LOCKED) j
         LIMIT %(limit)s
    )
    UPDATE webhook_job j
       SET run_at = (SELECT now FROM t) + make_interval(secs => %(lease_s)s), leased_by = %(node)s
      FROM due WHERE j.charge_id = due.charge_id AND j.sequence = due.sequence
 RETURNING j.charge_id, j.sequence, j.partner_id
"""


def claim(
    cur: Cursor,
    *,
    node: str,
    limit: int,
    lease_s: float,
    partner_max: int = 1000,
    full: Collection[int] = (),
) -> list[WebhookKey]:
    """Take over notifications that are overdue, whoever had them, the oldest of each partner.

    None of the partners in `full`, and of each other one its share: at most `partner_max`.
    """
    values = {
        "node": node,
        "limit": limit,
        "lease_s": lease_s,
        "partner_max": partner_max,
        "full": list(full),
    }
    cur.execute(_CLAIM, values)
    return [WebhookKey(*row) for row in cur.fetchall()]


_RECLAIM = """
    UPDATE webhook_job SET run_at = business_now(), busy_until = NULL, leased_by = NULL
     WHERE leased_by = %(node)s AND dead_since IS NULL
"""


def reclaim(cur: Cursor, *, node: str) -> int:
    """End the leases that an earlier run of this node left; how many.

    Its partner may have been told: at least once is the promise, under one event id.
    """
    cur.execute(_RECLAIM, {"node": node})
    return cur.rowcount


_PUT_OFF = """
    UPDATE webhook_job j
       SET run_at = t.now + make_interval(secs => w.delay_s), busy_until = NULL, leased_by = NULL
      FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[], %(delay_s)s::float8[])
           AS w(charge_id, sequence, delay_s),
           (SELECT business_now() AS now) t
     WHERE j.charge_id = w.charge_id AND j.sequence = w.sequence
"""

_RELEASE = """
    UPDATE webhook_job j SET run_at = (SELECT business_now()), leased_by = NULL
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
    #: Not tried after all, for want of room here: no attempt, and no fact.
    PUT_OFF = "put_off"


class Delivery(NamedTuple):
    """One attempt and what follows it."""

    charge_id: int
    sequence: int
    attempt: int
    result: Told
    detail: str
    delay_s: float = 0


_INSERT = """
    INSERT INTO delivery (charge_id, sequence, attempt, result, detail, attempted_at)
    SELECT w.*, (SELECT business_now())
      FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[], %(attempt)s::bigint[],
                  %(result)s::text[], %(detail)s::text[]) AS w
    ON CONFLICT DO NOTHING
"""

# A charge's token goes with the last event that is due of a charge that has ended, a refund's with
# the refund's only one.
_DONE = """
    WITH w AS (
        SELECT * FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[]) AS w(charge_id,
                                                                                  sequence)
    ), gone AS (
        DELETE FROM webhook_job j USING w
         WHERE j.charge_id = w.charge_id AND j.sequence = w.sequence
        RETURNING j.charge_id, j.sequence
    )
    DELETE FROM sink_token t
     USING gone JOIN notification n USING (charge_id, sequence)
     WHERE t.charge_id = ANY(ARRAY[gone.charge_id, n.refund_id])
       AND (t.charge_id = n.refund_id
            OR (EXISTS (SELECT FROM outcome o WHERE o.charge_id = t.charge_id)
                AND NOT EXISTS (SELECT FROM webhook_job j
                                 WHERE j.charge_id = t.charge_id
                                   AND NOT EXISTS (SELECT FROM w
                                                    WHERE w.charge_id = j.charge_id
                                                      AND w.sequence = j.sequence))))
"""

# Those that waited behind it: nothing is known of how they will fare. OFFSET 0: each charge is
# looked up by itself, for nearly none has another event; by what is due, all that wait would be
# read.
_WAKE = """
    WITH t AS MATERIALIZED (SELECT business_now() AS now), behind AS MATERIALIZED (
        SELECT b.*
          FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[]) AS w(charge_id, sequence)
         CROSS JOIN LATERAL (
               SELECT j.charge_id, j.sequence FROM webhook_job j
                WHERE j.charge_id = w.charge_id AND j.sequence > w.sequence
               OFFSET 0) b
    )
    UPDATE webhook_job j SET run_at = t.now
      FROM behind b, t
     WHERE j.charge_id = b.charge_id AND j.sequence = b.sequence AND j.dead_since IS NULL
       AND j.attempts = 0 AND j.run_at > t.now
"""

_AGAIN = """
    UPDATE webhook_job j
       SET attempts = w.attempt,
           run_at = t.now + make_interval(secs => w.delay_s),
           busy_until = NULL,
           leased_by = NULL,
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
    tried = [d for d in ordered if d.result is not Told.PUT_OFF]
    if tried:
        cur.execute(_INSERT, columns(tried, (*names, "detail")))
    done = [d for d in ordered if d.result in (Told.DELIVERED, Told.GONE)]
    if done:
        cur.execute(_DONE, columns(done, ("charge_id", "sequence")))
    again = [d for d in ordered if d.result in (Told.LATER, Told.DEAD)]
    if again:
        cur.execute(_AGAIN, columns(again, (*names, "delay_s")))
    put_off = [d for d in ordered if d.result is Told.PUT_OFF]
    if put_off:
        cur.execute(_PUT_OFF, columns(put_off, ("charge_id", "sequence", "delay_s")))
    over = [d for d in ordered if d.result in (Told.DELIVERED, Told.GONE, Told.DEAD)]
    if over:
        cur.execute(_WAKE, columns(over, ("charge_id", "sequence")))
    return [None for _ in batch]
