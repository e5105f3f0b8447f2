"""Debits: intents before the first byte, results, and what a result leads to.

Owns that an attempt is recorded before it is made, that a charge ends once, and that a debit which
was never begun in time is denied. Refuses to know how a billing system is asked, and what an answer
means: `flow` tells it a decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from ppcd.store.limits import NO_SUM_LIMITS, SumLimits
from ppcd.store.rows import DebitJob, Ended, PromptKey, PromptNo, webhook_key
from ppcd.store.spending import Counted, give_back, grant, lock
from ppcd.store.sql import END, Cursor, columns

# An attempt to debit without a result: a crash, or an answer that is still to come.
OPEN_SINCE = """
           (SELECT d.intended_at FROM debit_attempt d
             WHERE d.charge_id = j.charge_id AND d.attempt = j.attempts AND d.kind = 'debit'
               AND NOT EXISTS (SELECT FROM debit_result r
                                WHERE r.charge_id = d.charge_id AND r.attempt = d.attempt))"""

# The newest intent to debit that may have reached billing.
LAST_SENT = """
           (SELECT max(d.intended_at) FROM debit_attempt d
             WHERE d.charge_id = j.charge_id AND d.kind = 'debit'
               AND NOT EXISTS (SELECT FROM debit_result r
                                WHERE r.charge_id = d.charge_id AND r.attempt = d.attempt
                                  AND r.result = 'not_sent'))"""

_DUE = """
    WITH due AS MATERIALIZED (
        SELECT ctid FROM debit_job
         WHERE billing = %(billing)s AND review_since IS NULL AND run_at <= (SELECT business_now())
         ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )"""

# Those that time has decided about, in a queue that nobody works off now: a debit that was not
# begun in time, and a doubt that has outlived its horizon.
_OVERDUE = """
    WITH due AS MATERIALIZED (
        SELECT ctid FROM debit_job
         WHERE billing = %(billing)s AND review_since IS NULL AND run_at <= (SELECT business_now())
           AND coalesce(doubt_since + make_interval(secs => %(horizon_s)s), start_by)
               < (SELECT business_now())
         LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )"""

_TAKEN = f"""
    , j AS (
        UPDATE debit_job q SET run_at = (SELECT business_now()) + make_interval(secs => %(lease_s)s)
          FROM due WHERE q.ctid = due.ctid
        RETURNING q.*
    )
    SELECT j.charge_id, j.partner_id, j.msisdn, j.amount_minor, j.currency, j.billing, j.attempts,
           j.plan, o.since IS NOT NULL,
           extract(epoch FROM business_now() - coalesce(j.doubt_since, o.since))::float8,
           extract(epoch FROM business_now() - {LAST_SENT})::float8
      FROM j CROSS JOIN LATERAL (SELECT {OPEN_SINCE} AS since) o
"""


def claim(cur: Cursor, *, billing: str, limit: int, lease_s: float) -> list[DebitJob]:
    """Take over a billing system's jobs that nobody has, or has had for too long."""
    cur.execute(_DUE + _TAKEN, {"billing": billing, "limit": limit, "lease_s": lease_s})
    return [DebitJob(*row) for row in cur.fetchall()]


def claim_overdue(
    cur: Cursor, *, billing: str, horizon_s: float, limit: int, lease_s: float
) -> list[DebitJob]:
    """The same of those alone that need no billing system any more to come to their end."""
    values = {"billing": billing, "horizon_s": horizon_s, "limit": limit, "lease_s": lease_s}
    cur.execute(_OVERDUE + _TAKEN, values)
    return [DebitJob(*row) for row in cur.fetchall()]


# One step of the index for each name, however many jobs each has.
_BILLINGS = """
    WITH RECURSIVE known AS (
        SELECT min(billing) AS billing FROM debit_job WHERE review_since IS NULL
        UNION ALL
        SELECT (SELECT min(j.billing) FROM debit_job j
                 WHERE j.review_since IS NULL AND j.billing > known.billing)
          FROM known WHERE known.billing IS NOT NULL
    )
    SELECT billing FROM known WHERE billing IS NOT NULL
"""


def billings(cur: Cursor) -> list[str]:
    """The billing systems that there are jobs for."""
    return [row[0] for row in cur.execute(_BILLINGS).fetchall()]


_RECLAIM = """
    UPDATE debit_job j SET run_at = business_now()
      FROM debit_attempt d
     WHERE j.attempts > 0 AND j.review_since IS NULL
       AND d.charge_id = j.charge_id AND d.attempt = j.attempts AND d.node = %(node)s
       AND NOT EXISTS (SELECT FROM debit_result r
                        WHERE r.charge_id = d.charge_id AND r.attempt = d.attempt)
"""


def reclaim(cur: Cursor, *, node: str) -> int:
    """End the leases on attempts that an earlier run of this node left open; how many."""
    cur.execute(_RECLAIM, {"node": node})
    return cur.rowcount


_RELEASE = """
    UPDATE debit_job SET run_at = business_now() + make_interval(secs => %(delay_s)s)
     WHERE charge_id = ANY(%(charge_id)s::bigint[]) AND review_since IS NULL
"""


def release(cur: Cursor, charge_ids: Sequence[int], *, delay_s: float = 0) -> None:
    """Give jobs back that nothing was done about."""
    cur.execute(_RELEASE, {"charge_id": sorted(charge_ids), "delay_s": delay_s})


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt on record: it may be made now."""

    attempt: int
    #: What the adapter sends along.
    merchant: str
    description: str
    #: How long ago an earlier attempt may have reached billing. None: this is the first that can.
    doubt_s: float | None


@dataclass(frozen=True, slots=True)
class Intent:
    """What a worker wants to do about a job: ask for the debit, or ask what became of it."""

    charge_id: int
    attempt: int
    query: bool
    #: The worker knows that billing may have debited already.
    repeat: bool = False


_WAIT = "SELECT FROM debit_job WHERE charge_id = ANY(%s::bigint[]) ORDER BY charge_id FOR UPDATE"

_LOCK = """
    SELECT j.charge_id, j.attempts, j.doubt_since, j.start_by, t.now, c.merchant, c.description,
           o.intended_at, o.node
      FROM debit_job j
      JOIN charge c ON c.charge_id = j.charge_id
      LEFT JOIN LATERAL (
           SELECT d.intended_at, d.node FROM debit_attempt d
            WHERE d.charge_id = j.charge_id AND d.attempt = j.attempts AND d.kind = 'debit'
              AND NOT EXISTS (SELECT FROM debit_result r
                               WHERE r.charge_id = d.charge_id AND r.attempt = d.attempt)
           ) o ON true,
           (SELECT business_now() AS now) t
     WHERE j.charge_id = ANY(%s::bigint[]) AND j.review_since IS NULL
     ORDER BY j.charge_id
       FOR UPDATE OF j
"""

_TAKE = """
    UPDATE debit_job j
       SET attempts = w.attempt, doubt_since = w.doubt_since,
           run_at = (SELECT business_now()) + make_interval(secs => %(lease_s)s)
      FROM unnest(%(charge_id)s::bigint[], %(attempt)s::bigint[], %(doubt_since)s::timestamptz[])
           AS w(charge_id, attempt, doubt_since)
     WHERE j.charge_id = w.charge_id
"""

_INTEND = """
    INSERT INTO debit_attempt (charge_id, attempt, kind, billing, node, intended_at)
    SELECT w.charge_id, w.attempt, w.kind, j.billing, %(node)s, business_now()
      FROM unnest(%(charge_id)s::bigint[], %(attempt)s::bigint[], %(kind)s::text[])
           AS w(charge_id, attempt, kind)
      JOIN debit_job j USING (charge_id)
"""


def begin(
    cur: Cursor,
    batch: Sequence[Intent],
    *,
    node: str,
    lease_s: float,
    limits: SumLimits = NO_SUM_LIMITS,
    repeat: bool = False,
) -> list[Begun | Ended | None]:
    """Record attempts before they are made. None: it must not be made, others see to the job.

    An earlier attempt without a result makes the charge doubtful from the moment it was intended.
    A debit that was not begun in time, and of which nothing can have reached billing, is denied;
    so is one whose first attempt would be over a limit.
    With `repeat`, the commit's answer was lost: what this node has on record then is what it asks
    for, and nobody has sent it.
    """
    wanted = {intent.charge_id: intent for intent in batch}
    lock(cur, list(wanted), limits)
    if repeat:  # for the first run's end: what it wrote is seen by the next statement, not by this
        cur.execute(_WAIT, [sorted(wanted)])
    cur.execute(_LOCK, [sorted(wanted)])
    taken: list[tuple[Intent, datetime | None]] = []
    begun: dict[int, Begun] = {}
    late: list[tuple[int, int]] = []
    for (
        charge_id,
        attempts,
        doubt,
        start_by,
        now,
        merchant,
        description,
        open_since,
        open_by,
    ) in cur.fetchall():
        intent = wanted[charge_id]
        if repeat and intent.attempt == attempts and open_by == node:
            doubt_s = None if doubt is None else (now - doubt).total_seconds()
            begun[charge_id] = Begun(attempts, merchant, description, doubt_s)
            continue
        if intent.attempt != attempts + 1:
            continue  # somebody else took the job over
        doubt_since = doubt or open_since
        if doubt_since is not None and not (intent.repeat or intent.query):
            continue  # it became doubtful under another node: this worker's plan is no longer right
        if doubt_since is None and now > start_by:
            late.append((charge_id, attempts))
            continue
        doubt_s = None if doubt_since is None else (now - doubt_since).total_seconds()
        begun[charge_id] = Begun(intent.attempt, merchant, description, doubt_s)
        taken.append((intent, doubt_since))
    over = grant(cur, [i.charge_id for i, _ in taken if i.attempt == 1], limits)
    if over:
        taken = [(intent, doubt) for intent, doubt in taken if intent.charge_id not in over]
    if taken:
        values = columns((intent for intent, _ in taken), ("charge_id", "attempt"))
        kinds = ["query" if intent.query else "debit" for intent, _ in taken]
        doubts = {"doubt_since": [doubt_since for _, doubt_since in taken]}
        cur.execute(_INTEND, values | {"kind": kinds, "node": node})
        cur.execute(_TAKE, values | doubts | {"lease_s": lease_s})
    ends = [Result(c, n, "", Next.DENIED, reason="BILLING_UNAVAILABLE") for c, n in late]
    ends += [Result(c, 0, "", Next.DENIED, reason="LIMIT_EXCEEDED") for c in over]
    ended = end(cur, ends, lease_s)
    ended |= {c: replace(ended[c], limit=limit) for c, limit in over.items()}
    return [ended.get(i.charge_id) or begun.get(i.charge_id) for i in batch]


class Next(StrEnum):
    """What follows the result of an attempt."""

    SUCCEEDED = "succeeded"
    DENIED = "denied"
    #: Nothing reached billing: the attempt is given back.
    AGAIN = "again"
    #: Billing may have debited: ask again later, as the adapter can.
    DOUBT = "doubt"
    #: A person or reconciliation decides.
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Result:
    """What billing said to an attempt, and the decision about the charge."""

    charge_id: int
    attempt: int
    result: str
    next: Next
    reason: str | None = None
    reference: str | None = None
    detail: str = ""
    delay_s: float = 0
    #: After a doubt: what the next attempt is.
    plan: str = "debit"


_INSERT_RESULTS = """
    INSERT INTO debit_result (charge_id, attempt, result, reason, reference, detail, answered_at)
    SELECT w.*, business_now()
      FROM unnest(%(charge_id)s::bigint[], %(attempt)s::bigint[], %(result)s::text[],
                  %(reason)s::text[], %(reference)s::text[], %(detail)s::text[]) AS w
    ON CONFLICT DO NOTHING
"""

# A doubt begins with the attempt that may have reached billing, not with the missing answer. What
# people decide is not taken back from them.
_GO_ON = """
    UPDATE debit_job j
       SET run_at = t.now + make_interval(secs => w.delay_s), plan = w.plan,
           doubt_since = CASE WHEN w.next = 'again' THEN j.doubt_since
                              ELSE coalesce(j.doubt_since, d.intended_at, t.now) END,
           review_since = CASE WHEN w.next = 'review' THEN t.now END
      FROM unnest(%(charge_id)s::bigint[], %(attempt)s::bigint[], %(next)s::text[],
                  %(delay_s)s::float8[], %(plan)s::text[])
           AS w(charge_id, attempt, next, delay_s, plan)
      LEFT JOIN debit_attempt d ON d.charge_id = w.charge_id AND d.attempt = w.attempt,
           (SELECT business_now() AS now) t
     WHERE j.charge_id = w.charge_id AND j.attempts = w.attempt AND j.review_since IS NULL
"""

# Money that moved has moved, whoever says so; a refusal of an attempt that somebody has followed
# up with another one ends nothing.
_END = (
    """
    WITH w AS (
        SELECT * FROM unnest(%(charge_id)s::bigint[], %(attempt)s::bigint[], %(state)s::text[],
                             %(reason)s::text[], %(reference)s::text[])
            AS w(charge_id, attempt, state, reason, reference)
    ), gone AS (
        DELETE FROM debit_job j USING w
         WHERE j.charge_id = w.charge_id AND (w.state = 'succeeded' OR j.attempts = w.attempt)
        RETURNING j.charge_id, j.confirmed_at, j.partner_id, j.currency, j.counted_on,
                  j.amount_minor
    ), ended AS (
        SELECT gone.charge_id, w.state, w.reason, w.reference AS billing_reference
          FROM gone JOIN w USING (charge_id)
    )"""
    + END
    + """
    , notices AS (
        INSERT INTO prompt_job (charge_id, prompt_no, kind, key, give_up_at, run_at)
        SELECT c.charge_id,
               CASE e.state WHEN 'succeeded' THEN %(receipt_no)s::bigint
                            ELSE %(not_debited_no)s::bigint END,
               CASE e.state WHEN 'succeeded' THEN 'receipt' ELSE 'not_debited' END,
               c.msisdn * 1000 + c.address_no, o.decided_at + interval '1 day',
               o.decided_at + make_interval(secs => %(lease_s)s)
          FROM ended e
          JOIN ended_outcome o USING (charge_id)
          JOIN charge c ON c.charge_id = e.charge_id
        RETURNING charge_id, prompt_no
    )
    SELECT e.charge_id, e.state, extract(epoch FROM o.decided_at - g.confirmed_at)::float8,
           h.sequence, n.prompt_no, g.partner_id, g.currency, g.counted_on, g.amount_minor
      FROM gone g
      JOIN ended e USING (charge_id)
      JOIN ended_outcome o USING (charge_id)
      JOIN notices n USING (charge_id)
      LEFT JOIN ended_webhook h USING (charge_id)
"""
)


def record(cur: Cursor, batch: Sequence[Result], *, lease_s: float) -> list[Ended | None]:
    """Record results and carry out the decisions; the charges that ended by it.

    A result that comes after the end is only recorded.
    """
    attempts = [r for r in batch if r.attempt > 0]
    if attempts:
        names = ("charge_id", "attempt", "result", "reason", "reference", "detail")
        cur.execute(_INSERT_RESULTS, columns(sorted(attempts, key=_by_charge), names))
    going_on = sorted(
        (r for r in batch if r.next not in (Next.SUCCEEDED, Next.DENIED)), key=_by_charge
    )
    if going_on:
        cur.execute(_GO_ON, columns(going_on, ("charge_id", "attempt", "next", "delay_s", "plan")))
    ends = [r for r in batch if r.next in (Next.SUCCEEDED, Next.DENIED)]
    ended = end(cur, ends, lease_s)
    return [ended.get(r.charge_id) for r in batch]


def _by_charge(result: Result) -> int:
    return result.charge_id


def end(cur: Cursor, ends: Sequence[Result], lease_s: float) -> dict[int, Ended]:
    """End charges; those that it was, by their ids. Whoever deletes the job decides."""
    if not ends:
        return {}
    ordered = sorted(ends, key=_by_charge)
    cur.execute(
        _END,
        columns(ordered, ("charge_id", "attempt", "reason", "reference"))
        | {
            "state": [r.next.value for r in ordered],
            "lease_s": lease_s,
            "receipt_no": PromptNo.RECEIPT,
            "not_debited_no": PromptNo.NOT_DEBITED,
        },
    )
    gone = cur.fetchall()
    give_back(cur, [Counted(*row[5:]) for row in gone if row[1] == "denied"])
    return {
        charge_id: Ended(
            charge_id,
            state,
            webhook_key(charge_id, sequence, partner_id),
            PromptKey(charge_id, prompt_no),
            paid_s if state == "succeeded" else None,
        )
        for charge_id, state, paid_s, sequence, prompt_no, partner_id, *_ in gone
    }
