"""Billing's answers that came after their attempts were given up: evidence, and a doubt's end.

Owns that such an answer ends what is still open and nothing else, on record as an attempt of its
own that nobody made. A refusal counts only where no other attempt can move the money. Refuses to
know how answers are read.
"""

from dataclasses import replace

from ppcd.store import debits, refund_jobs
from ppcd.store.debits import Next
from ppcd.store.refund_jobs import RefundEnded
from ppcd.store.refunds import lock_charge
from ppcd.store.rows import Ended
from ppcd.store.sql import Cursor

# First, and apart: what is read beside the row must be as new as the row.
_WAIT_DEBIT = "SELECT FROM debit_job WHERE charge_id = %s FOR UPDATE"

#: The newest attempt; whether another than the answered one may have reached billing. An answer to
#: a reserve says nothing of the capture after it.
_DEBIT = """
    SELECT j.attempts, EXISTS (
           SELECT FROM debit_attempt a
            WHERE a.charge_id = j.charge_id AND a.attempt <> %(attempt)s AND a.kind = j.act
              AND NOT EXISTS (SELECT FROM debit_result r
                               WHERE r.charge_id = a.charge_id AND r.attempt = a.attempt
                                 AND r.result = 'not_sent'))
      FROM debit_job j JOIN debit_attempt answered USING (charge_id)
     WHERE j.charge_id = %(charge_id)s AND j.act IN ('debit', 'capture')
       AND answered.attempt = %(attempt)s AND answered.kind = j.act
"""
_INSERT_DEBIT = """
    INSERT INTO debit_attempt (charge_id, attempt, kind, billing, node, intended_at)
    SELECT charge_id, attempts + 1, 'late answer', billing, %(node)s, business_now()
      FROM debit_job WHERE charge_id = %(charge_id)s
"""
_TAKE_DEBIT = "UPDATE debit_job SET attempts = attempts + 1 WHERE charge_id = %(charge_id)s"


def settle_debit(
    cur: Cursor, result: debits.Result, *, binding: bool, node: str, lease_s: float
) -> Ended | None:
    """End a charge by the late answer to an attempt; None when it ends nothing.

    `binding`: billing repeats a refusal to whatever comes under the same key.
    """
    about = {"charge_id": result.charge_id, "attempt": result.attempt, "node": node}
    cur.execute(_WAIT_DEBIT, [result.charge_id])
    row = cur.execute(_DEBIT, about).fetchone()
    if row is None or (result.next is Next.DENIED and row[1] and not binding):
        return None
    cur.execute(_INSERT_DEBIT, about)
    cur.execute(_TAKE_DEBIT, about)
    [ended] = debits.record(cur, [result._replace(attempt=row[0] + 1)], lease_s=lease_s)
    return ended


_REFUND = """
    SELECT j.attempts, EXISTS (
           SELECT FROM refund_attempt a
            WHERE a.charge_id = j.charge_id AND a.refund_id = j.refund_id
              AND a.attempt <> %(attempt)s AND a.kind = 'refund'
              AND NOT EXISTS (SELECT FROM refund_result r
                               WHERE r.charge_id = a.charge_id AND r.refund_id = a.refund_id
                                 AND r.attempt = a.attempt AND r.result = 'not_sent'))
      FROM refund_job j WHERE j.refund_id = %(refund_id)s
"""
_INSERT_REFUND = """
    INSERT INTO refund_attempt (charge_id, refund_id, attempt, kind, billing, node, intended_at)
    SELECT charge_id, refund_id, attempts + 1, 'late answer', billing, %(node)s, business_now()
      FROM refund_job WHERE refund_id = %(refund_id)s
"""
_TAKE_REFUND = "UPDATE refund_job SET attempts = attempts + 1 WHERE refund_id = %(refund_id)s"


def settle_refund(
    cur: Cursor, result: refund_jobs.Result, *, binding: bool, node: str, lease_s: float
) -> RefundEnded | None:
    """The same of a refund."""
    about = {"refund_id": result.refund_id, "attempt": result.attempt, "node": node}
    # Whoever begins or ends a refund takes this lock first: nothing changes under our eyes.
    lock_charge(cur, result.charge_id)
    row = cur.execute(_REFUND, about).fetchone()
    if row is None or (result.next is Next.DENIED and row[1] and not binding):
        return None
    cur.execute(_INSERT_REFUND, about)
    cur.execute(_TAKE_REFUND, about)
    [ended] = refund_jobs.record(cur, [replace(result, attempt=row[0] + 1)], lease_s=lease_s)
    return ended
