"""What time ends: charges that nobody answered, and holds that are free again.

Owns that expiring is the same act as confirming, on the same row. Refuses to know timers.
"""

from ppcd.store.rows import Ended, webhook_key
from ppcd.store.sql import END, Cursor

# In the order of the keys, and past rows that a confirmation has locked: those decide themselves.
# A prompt that was never written did not reach anybody, and that is what the partner is told.
_EXPIRE = (
    """
    WITH due AS MATERIALIZED (
        SELECT key FROM (
            SELECT key FROM awaiting WHERE expires_at <= (SELECT business_now())
             ORDER BY expires_at LIMIT %(limit)s) oldest
         ORDER BY key
    ), locked AS MATERIALIZED (
        SELECT a.key FROM due JOIN awaiting a USING (key)
         ORDER BY a.key FOR UPDATE OF a SKIP LOCKED
    ), gone AS (
        DELETE FROM awaiting a USING locked
         WHERE a.key = locked.key AND a.expires_at <= (SELECT business_now())
        RETURNING a.charge_id, a.written_at
    ), ended AS (
        SELECT charge_id,
               CASE WHEN written_at IS NULL THEN 'undeliverable' ELSE 'expired' END AS state,
               CASE WHEN written_at IS NULL THEN 'PROMPT_UNDELIVERABLE'
                    ELSE 'CONFIRMATION_TIMEOUT' END AS reason,
               NULL AS billing_reference
          FROM gone
    )"""
    + END
    + """
    SELECT e.charge_id, e.state, w.sequence, w.partner_id FROM ended e
      JOIN ended_outcome USING (charge_id)
      LEFT JOIN ended_webhook w USING (charge_id)
"""
)


def expire(cur: Cursor, *, limit: int, lease_s: float) -> list[Ended]:
    """End the charges whose time is over, the oldest first, at most `limit`."""
    cur.execute(_EXPIRE, {"limit": limit, "lease_s": lease_s})
    return [Ended(row[0], row[1], webhook_key(row[0], *row[2:])) for row in cur.fetchall()]


# Free holds are kept for a week more: while a row is there, its address counts as used lately.
# Materialized: a plan that ran the subquery once for each row would skip what it has locked, and
# forget more than the limit.
_FREE = """
    WITH old AS MATERIALIZED (
        SELECT key FROM hold WHERE free_at <= business_now() - interval '7 days'
         ORDER BY free_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    DELETE FROM hold USING old WHERE hold.key = old.key
"""


def free_holds(cur: Cursor, *, limit: int) -> int:
    """Forget holds that have been free for long; how many."""
    cur.execute(_FREE, {"limit": limit})
    return cur.rowcount
