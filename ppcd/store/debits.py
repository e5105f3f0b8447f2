"""Debits: their jobs, results, and what a result leads to. `intents` are what comes before.

Owns who has a job, and that a charge ends once. A charge of two steps goes the same way twice: to a
reservation (`reservations`), and from the partner's decision to its end. Refuses to know how a
billing system is asked, and what an answer means: `flow` tells it a decision.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from ppcd.store.reservations import Held, hold
from ppcd.store.rows import DebitJob, Ended, PromptKey, PromptNo, webhook_key
from ppcd.store.spending import Counted, give_back
from ppcd.store.sql import END, Cursor, columns, unlike_texts

# An attempt that is no question, without a result: a crash, or an answer that is still to come.
OPEN_SINCE = """
           (SELECT d.intended_at FROM debit_attempt d
             WHERE d.charge_id = j.charge_id AND d.attempt = j.attempts AND d.kind <> 'query'
               AND NOT EXISTS (SELECT FROM debit_result r
                                WHERE r.charge_id = d.charge_id AND r.attempt = d.attempt))"""

# The newest intent, questions apart, that may have reached billing.
LAST_SENT = """
           (SELECT max(d.intended_at) FROM debit_attempt d
             WHERE d.charge_id = j.charge_id AND d.kind <> 'query'
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
           AND CASE WHEN doubt_since IS NOT NULL
                    THEN doubt_since + make_interval(secs => %(horizon_s)s)
                    -- What is held must be let go, however late.
                    WHEN plan = 'release' THEN 'infinity' ELSE start_by END
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
           extract(epoch FROM (SELECT business_now()) - coalesce(j.doubt_since, o.since))::float8,
           extract(epoch FROM (SELECT business_now()) - {LAST_SENT})::float8, j.act,
           j.tried_before
      FROM j CROSS JOIN LATERAL (SELECT {OPEN_SINCE} AS since) o
"""


def claim(
    cur: Cursor, *, billing: str, limit: int, lease_s: float, fresh: bool = False
) -> list[DebitJob]:
    """Take over a billing system's jobs that nobody has, or has had for too long.

    With `fresh`, only those that are not known to be in doubt.
    """
    due = _DUE.replace("ORDER BY", "AND doubt_since IS NULL ORDER BY") if fresh else _DUE
    cur.execute(due + _TAKEN, {"billing": billing, "limit": limit, "lease_s": lease_s})
    return list(map(DebitJob._make, cur.fetchall()))


def claim_overdue(
    cur: Cursor, *, billing: str, horizon_s: float, limit: int, lease_s: float
) -> list[DebitJob]:
    """The same of those alone that need no billing system any more to come to their end."""
    values = {"billing": billing, "horizon_s": horizon_s, "limit": limit, "lease_s": lease_s}
    cur.execute(_OVERDUE + _TAKEN, values)
    return list(map(DebitJob._make, cur.fetchall()))


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


class Next(StrEnum):
    """What follows the result of an attempt."""

    SUCCEEDED = "succeeded"
    DENIED = "denied"
    #: What was reserved is let go.
    CANCELLED = "cancelled"
    #: Of two steps, the first is done: the partner decides.
    RESERVED = "reserved"
    #: Nothing reached billing: the attempt is given back.
    AGAIN = "again"
    #: Billing may have debited: ask again later, as the adapter can.
    DOUBT = "doubt"
    #: Nobody knows whether the money is held: let go of it, then deny.
    LET_GO = "let_go"
    #: A person or reconciliation decides.
    REVIEW = "review"


#: What ends a charge.
ENDS: Final = frozenset({Next.SUCCEEDED, Next.DENIED, Next.CANCELLED})


class Result(NamedTuple):
    """What billing said to an attempt, and the decision about the charge."""

    charge_id: int
    attempt: int
    result: str
    next: Next
    reason: str | None = None
    reference: str | None = None
    detail: str = ""
    delay_s: float = 0
    #: What the next attempt is, where there is one.
    plan: str = "debit"
    #: Of RESERVED: how long the partner may take to decide.
    lapse_s: float = 0

    def then(self, following: Next, **changes: Any) -> "Result":
        """The same result, with what follows."""
        return self._replace(next=following, **changes)


_INSERT_RESULTS = """
    INSERT INTO debit_result (charge_id, attempt, result, reason, reference, detail, answered_at)
    SELECT w.*, (SELECT business_now())
      FROM unnest(%(charge_id)s::bigint[], %(attempt)s::bigint[], %(result)s::text[],
                  %(reason)s::text[], %(reference)s::text[], %(detail)s::text[]) AS w
    ON CONFLICT DO NOTHING
"""

# A doubt begins with the attempt that may have reached billing, not with the missing answer. What
# people decide is not taken back from them.
_GO_ON = """
    UPDATE debit_job j
       SET run_at = t.now + make_interval(secs => w.delay_s), plan = w.plan,
           tried_before = CASE w.next WHEN 'let_go' THEN j.attempts ELSE j.tried_before END,
           doubt_since = CASE w.next WHEN 'again' THEN j.doubt_since WHEN 'let_go' THEN NULL
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
    WITH w AS MATERIALIZED (
        SELECT u.*, (SELECT business_now()) AS now
          FROM unnest(%(charge_id)s::bigint[], %(attempt)s::bigint[], %(result)s::text[],
                      %(state)s::text[], %(reason)s::text[], %(reference)s::text[],
                      %(detail)s::text[])
               AS u(charge_id, attempt, result, state, reason, reference, detail)
    ), answered AS (
        INSERT INTO debit_result
               (charge_id, attempt, result, reason, reference, detail, answered_at)
        -- When the batch was read: before the ends that it leads to.
        SELECT charge_id, attempt, result, reason, reference, detail, now
          FROM w WHERE attempt > 0 AND result <> ''
        ON CONFLICT DO NOTHING
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
               o.decided_at + make_interval(secs => %(notice_lease_s)s)
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


def record(
    cur: Cursor, batch: Sequence[Result], *, lease_s: float, notice_lease_s: float | None = None
) -> list[Ended | None]:
    """Record results and carry out the decisions; the charges that ended by it, or are reserved.

    A result that comes after the end is only recorded. With `notice_lease_s` 0 the receipts are
    left to whoever has time for them.
    """
    attempts = [r for r in batch if r.attempt > 0 and r.next not in ENDS]
    if attempts:
        attempts.sort(key=_by_charge)
        names = ("charge_id", "attempt", "result", "reason", "reference", "detail")
        cur.execute(_INSERT_RESULTS, columns(attempts, names))
    held = [r for r in batch if r.next is Next.RESERVED]
    ends = [r for r in batch if r.next in ENDS]
    going_on = [r for r in batch if r.next is not Next.RESERVED and r.next not in ENDS]
    if going_on:
        going_on.sort(key=_by_charge)
        cur.execute(_GO_ON, columns(going_on, ("charge_id", "attempt", "next", "delay_s", "plan")))
    ended = end(cur, ends, lease_s, notice_lease_s)
    ended |= hold(cur, [Held(r.charge_id, r.lapse_s) for r in held], lease_s=lease_s)
    return [ended.get(r.charge_id) for r in batch]


def _by_charge(result: Result) -> int:
    return result.charge_id


def end(
    cur: Cursor, ends: Sequence[Result], lease_s: float, notice_lease_s: float | None = None
) -> dict[int, Ended]:
    """Record what ends charges, if it is an answer, and end them; those that it was, by their ids.
    Whoever deletes the job decides.
    """
    if not ends:
        return {}
    if notice_lease_s is None:
        notice_lease_s = lease_s
    ordered = sorted(ends, key=_by_charge)
    cur.execute(
        _END,
        columns(ordered, ("charge_id", "attempt", "result", "reason", "reference", "detail"))
        | {
            "state": unlike_texts(r.next for r in ordered),
            "lease_s": lease_s,
            "notice_lease_s": notice_lease_s,
            "receipt_no": PromptNo.RECEIPT,
            "not_debited_no": PromptNo.NOT_DEBITED,
        },
    )
    gone = cur.fetchall()
    give_back(cur, [Counted(*row[5:]) for row in gone if row[1] != "succeeded"])
    return {
        charge_id: Ended(
            charge_id,
            state,
            webhook_key(charge_id, sequence, partner_id),
            PromptKey(charge_id, prompt_no) if notice_lease_s else None,
            paid_s if state == "succeeded" else None,
        )
        for charge_id, state, paid_s, sequence, prompt_no, partner_id, *_ in gone
    }
