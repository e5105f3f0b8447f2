"""The work on refunds: intents before the first byte, results, and what a result leads to.

Owns that an attempt is recorded before it is made, that a refund ends once, and which place its
notification has among its charge's. Refuses to know how a billing system is asked, and what an
answer means. One refund a transaction, under its charge's lock, taken first: refunds are few, and
so no two transactions ever wait for each other.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from ppcd.store.debits import Next
from ppcd.store.refunds import lock_charge
from ppcd.store.rows import RefundJob, WebhookKey, webhook_key
from ppcd.store.sql import Cursor

# An attempt without a result: a crash, or an answer that is still to come.
OPEN_SINCE = """
           (SELECT a.intended_at FROM refund_attempt a
             WHERE a.charge_id = j.charge_id AND a.refund_id = j.refund_id
               AND a.attempt = j.attempts AND a.kind = 'refund'
               AND NOT EXISTS (SELECT FROM refund_result r
                                WHERE r.charge_id = a.charge_id AND r.refund_id = a.refund_id
                                  AND r.attempt = a.attempt))"""

# The newest intent that may have reached billing.
LAST_SENT = """
           (SELECT max(a.intended_at) FROM refund_attempt a
             WHERE a.charge_id = j.charge_id AND a.refund_id = j.refund_id AND a.kind = 'refund'
               AND NOT EXISTS (SELECT FROM refund_result r
                                WHERE r.charge_id = a.charge_id AND r.refund_id = a.refund_id
                                  AND r.attempt = a.attempt AND r.result = 'not_sent'))"""

_CLAIM = f"""
    WITH due AS MATERIALIZED (
        SELECT ctid FROM refund_job
         WHERE review_since IS NULL AND run_at <= (SELECT business_now())
           AND (%(billing)s::text IS NULL OR billing = %(billing)s)
           AND billing <> ALL(%(but)s::text[])
         ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), j AS (
        UPDATE refund_job q
           SET run_at = (SELECT business_now()) + make_interval(secs => %(lease_s)s)
          FROM due WHERE q.ctid = due.ctid
        RETURNING q.*
    )
    SELECT j.refund_id, j.charge_id, j.partner_id, j.msisdn, j.amount_minor, j.currency, j.billing,
           j.attempts, j.plan, j.start_by < business_now(), o.since IS NOT NULL,
           extract(epoch FROM business_now() - coalesce(j.doubt_since, o.since))::float8,
           extract(epoch FROM business_now() - {LAST_SENT})::float8
      FROM j CROSS JOIN LATERAL (SELECT {OPEN_SINCE} AS since) o
"""


def claim(
    cur: Cursor,
    *,
    limit: int,
    lease_s: float,
    billing: str | None = None,
    but: Collection[str] = (),
) -> list[RefundJob]:
    """Take over jobs that are overdue, whoever had them: of one billing system, or all but some."""
    values = {"limit": limit, "lease_s": lease_s, "billing": billing, "but": list(but)}
    cur.execute(_CLAIM, values)
    names = (
        *("refund_id", "charge_id", "partner_id", "msisdn", "amount_minor", "currency", "billing"),
        *("attempts", "plan", "late", "open", "doubt_s", "quiet_s"),
    )
    return [RefundJob(**dict(zip(names, row, strict=True))) for row in cur.fetchall()]


_RECLAIM = f"""
    UPDATE refund_job j SET run_at = business_now()
      FROM refund_attempt d
     WHERE j.attempts > 0 AND j.review_since IS NULL AND d.charge_id = j.charge_id
       AND d.refund_id = j.refund_id AND d.attempt = j.attempts AND d.node = %(node)s
       AND {OPEN_SINCE} IS NOT NULL
"""


def reclaim(cur: Cursor, *, node: str) -> int:
    """End the leases on attempts that an earlier run of this node left open; how many."""
    cur.execute(_RECLAIM, {"node": node})
    return cur.rowcount


_RELEASE = """
    UPDATE refund_job SET run_at = business_now() + make_interval(secs => %(delay_s)s)
     WHERE refund_id = ANY(%(refund_id)s::bigint[]) AND review_since IS NULL
"""


def release(cur: Cursor, refund_ids: Sequence[int], *, delay_s: float = 0) -> None:
    """Give jobs back that nothing was done about."""
    cur.execute(_RELEASE, {"refund_id": sorted(refund_ids), "delay_s": delay_s})


@dataclass(frozen=True, slots=True)
class Intent:
    """What a worker wants to do about a job: ask for the refund, or ask what became of it."""

    charge_id: int
    refund_id: int
    attempt: int
    query: bool
    #: The worker knows that billing may have given back already.
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt on record: it may be made now."""

    attempt: int
    #: What the adapter sends along.
    merchant: str
    description: str
    debit_reference: str | None
    #: How long ago an earlier attempt may have reached billing. None: this is the first that can.
    doubt_s: float | None


@dataclass(frozen=True, slots=True)
class RefundEnded:
    """A refund came to its end in this transaction; its notification is leased to this node."""

    refund_id: int
    charge_id: int
    state: str
    webhook: WebhookKey | None


# First, and apart: what is read beside the row must be as new as the row.
_WAIT = "SELECT FROM refund_job WHERE refund_id = %s FOR UPDATE"

_LOOK = f"""
    SELECT j.attempts, j.doubt_since, j.start_by, t.now, c.merchant, c.description,
           o.billing_reference, {OPEN_SINCE},
           (SELECT a.node FROM refund_attempt a
             WHERE a.charge_id = j.charge_id AND a.refund_id = j.refund_id
               AND a.attempt = j.attempts)
      FROM refund_job j
      JOIN charge c ON c.charge_id = j.charge_id
      JOIN outcome o ON o.charge_id = j.charge_id,
           (SELECT business_now() AS now) t
     WHERE j.refund_id = %s AND j.review_since IS NULL
"""

_INTEND = """
    INSERT INTO refund_attempt (charge_id, refund_id, attempt, kind, billing, node, intended_at)
    SELECT charge_id, refund_id, %(attempt)s, %(kind)s, billing, %(node)s, business_now()
      FROM refund_job WHERE refund_id = %(refund_id)s
"""

_TAKE = """
    UPDATE refund_job SET attempts = %(attempt)s, doubt_since = %(doubt_since)s,
                          run_at = business_now() + make_interval(secs => %(lease_s)s)
     WHERE refund_id = %(refund_id)s
"""


def begin(
    cur: Cursor, batch: Sequence[Intent], *, node: str, lease_s: float, repeat: bool = False
) -> list[Begun | RefundEnded | None]:
    """Record an attempt before it is made. None: it must not be made, others see to the job.

    An earlier attempt without a result makes the refund doubtful from the moment it was intended.
    One that was not begun in time, and of which nothing can have reached billing, is denied. With
    `repeat`, the commit's answer was lost: what this node has on record then is what it asks for.
    """
    [intent] = batch
    lock_charge(cur, intent.charge_id)
    cur.execute(_WAIT, [intent.refund_id])
    row = cur.execute(_LOOK, [intent.refund_id]).fetchone()
    if row is None:
        return [None]
    attempts, doubt, start_by, now, merchant, description, reference, open_since, by = row
    told: tuple[str, str, str | None] = (merchant, description, reference)
    if repeat and intent.attempt == attempts and by == node:
        return [Begun(attempts, *told, _seconds(doubt, now))]
    if intent.attempt != attempts + 1:
        return [None]  # somebody else took the job over
    doubt_since: datetime | None = doubt or open_since
    if doubt_since is not None and not (intent.repeat or intent.query):
        return [None]  # it became doubtful under another node: this plan is no longer right
    if doubt_since is None and now > start_by:
        late = Result(
            *(intent.charge_id, intent.refund_id, attempts, ""), Next.DENIED, "BILLING_UNAVAILABLE"
        )
        return [end(cur, late, lease_s=lease_s)]
    values = {
        "refund_id": intent.refund_id,
        "attempt": intent.attempt,
        "kind": "query" if intent.query else "refund",
        "node": node,
        "doubt_since": doubt_since,
        "lease_s": lease_s,
    }
    cur.execute(_INTEND, values)
    cur.execute(_TAKE, values)
    return [Begun(intent.attempt, *told, _seconds(doubt_since, now))]


def _seconds(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else (now - since).total_seconds()


@dataclass(frozen=True, slots=True)
class Result:
    """What billing said to an attempt, and the decision about the refund."""

    charge_id: int
    refund_id: int
    attempt: int
    result: str
    next: Next
    reason: str | None = None
    reference: str | None = None
    detail: str = ""
    delay_s: float = 0
    #: After a doubt: what the next attempt is.
    plan: str = "refund"


_INSERT_RESULT = """
    INSERT INTO refund_result (charge_id, refund_id, attempt, result, reason, reference, detail,
                               answered_at)
    SELECT a.charge_id, a.refund_id, a.attempt, %(result)s, %(reason)s, %(reference)s, %(detail)s,
           business_now()
      FROM refund_attempt a
     WHERE a.charge_id = %(charge_id)s AND a.refund_id = %(refund_id)s AND a.attempt = %(attempt)s
    ON CONFLICT DO NOTHING
"""

# A doubt begins with the attempt that may have reached billing, not with the missing answer; «not
# found» in the quiet ends it. What people decide is not taken back from them.
_GO_ON = """
    UPDATE refund_job j
       SET run_at = t.now + make_interval(secs => %(delay_s)s), plan = %(plan)s,
           doubt_since = CASE WHEN %(next)s = 'again' THEN NULL
                              ELSE coalesce(j.doubt_since, a.intended_at, t.now) END,
           review_since = CASE WHEN %(next)s = 'review' THEN t.now END
      FROM (SELECT business_now() AS now) t
      LEFT JOIN refund_attempt a
             ON a.charge_id = %(charge_id)s AND a.refund_id = %(refund_id)s
            AND a.attempt = %(attempt)s
     WHERE j.refund_id = %(refund_id)s AND j.attempts = %(attempt)s AND j.review_since IS NULL
"""


def record(cur: Cursor, batch: Sequence[Result], *, lease_s: float) -> list[RefundEnded | None]:
    """Record a result and carry out the decision; the end, if that was one.

    A result that comes after the end is only recorded.
    """
    [result] = batch
    lock_charge(cur, result.charge_id)
    values = asdict(result) | {"next": result.next.value}
    cur.execute(_INSERT_RESULT, values)
    if result.next in (Next.SUCCEEDED, Next.DENIED):
        return [end(cur, result, lease_s=lease_s)]
    cur.execute(_GO_ON, values)
    return [None]


# Money that moved has moved, whoever says so; a refusal of an attempt that somebody has followed up
# with another one ends nothing. The charge's own end has the first place among its events.
_END = """
    WITH gone AS (
        DELETE FROM refund_job
         WHERE refund_id = %(refund_id)s AND (%(state)s = 'succeeded' OR attempts = %(attempt)s)
        RETURNING charge_id, refund_id, partner_id
    ), ended AS (
        INSERT INTO refund_outcome (charge_id, refund_id, state, reason, billing_reference,
                                    decided_at)
        SELECT charge_id, refund_id, %(state)s, %(reason)s, %(reference)s, business_now() FROM gone
        RETURNING charge_id, refund_id, decided_at
    ), told AS (
        INSERT INTO notification (charge_id, sequence, url, made_at, refund_id)
        SELECT e.charge_id,
               (SELECT greatest(coalesce(max(n.sequence), 0), 1) + 1 FROM notification n
                 WHERE n.charge_id = e.charge_id),
               coalesce(r.sink, p.webhook_url), e.decided_at, e.refund_id
          FROM ended e
          JOIN refund r ON r.charge_id = e.charge_id AND r.refund_id = e.refund_id
          JOIN partner p ON p.partner_id = r.partner_id
         WHERE coalesce(r.sink, p.webhook_url) IS NOT NULL
        RETURNING charge_id, sequence, made_at
    ), job AS (
        INSERT INTO webhook_job (charge_id, sequence, partner_id, first_at, run_at)
        SELECT t.charge_id, t.sequence, g.partner_id, t.made_at,
               t.made_at + make_interval(secs => %(lease_s)s)
          FROM told t JOIN gone g USING (charge_id)
        RETURNING sequence
    )
    SELECT g.refund_id, g.charge_id, g.partner_id, (SELECT sequence FROM job) FROM gone g
"""


def end(cur: Cursor, result: Result, *, lease_s: float) -> RefundEnded | None:
    """End a refund, under its charge's lock; None when it has no job any more."""
    values = {
        "refund_id": result.refund_id,
        "attempt": result.attempt,
        "state": result.next.value,
        "reason": result.reason,
        "reference": result.reference,
        "lease_s": lease_s,
    }
    row = cur.execute(_END, values).fetchone()
    if row is None:
        return None
    refund_id, charge_id, partner_id, sequence = row
    webhook = webhook_key(charge_id, sequence, partner_id)
    return RefundEnded(refund_id, charge_id, result.next.value, webhook)
