"""Billing's refunds beside ours: what `reconciliation` does for debits, in its tables.

A row's key is the refund's, as billing was sent it. Where a file has the debit's key there, its
refunds are only counted: which of a charge's refunds such a row is, nobody can say.
"""

from datetime import timedelta

from ppcd.store.reconciliation import NEVER, Period
from ppcd.store.sql import Cursor

_AGGREGATE = """
    DROP TABLE IF EXISTS pg_temp.billed_refund, pg_temp.here_refund;
    CREATE TEMP TABLE billed_refund AS
    SELECT key, min(line) AS line, count(*) FILTER (WHERE debited) AS refunds,
           min(amount_minor) FILTER (WHERE debited) AS least_minor,
           max(amount_minor) FILTER (WHERE debited) AS most_minor,
           min(currency) FILTER (WHERE debited) AS currency,
           min(reference) FILTER (WHERE debited) AS reference,
           EXISTS (SELECT FROM charge c WHERE c.charge_id = key) AS of_debit
      FROM billed WHERE refund AND key IS NOT NULL GROUP BY key;
    CREATE UNIQUE INDEX ON billed_refund (key);
    ANALYZE billed_refund
"""

_HERE = """
    CREATE TEMP TABLE here_refund AS
    WITH wanted AS (
        SELECT key AS refund_id FROM billed_refund WHERE NOT of_debit
         UNION
        SELECT o.refund_id FROM refund_outcome o
         WHERE o.state = 'succeeded' AND o.decided_at >= %(begin)s AND o.decided_at < %(end)s
    )
    SELECT r.refund_id, r.charge_id, r.amount_minor, r.currency, s.state, s.decided_at,
           s.state IN ('in_doubt', 'review') AS in_doubt, b.key IS NOT NULL AS there
      FROM wanted w
      JOIN refund r ON r.refund_id = w.refund_id
      JOIN charge c ON c.charge_id = r.charge_id
      JOIN refund_status s ON s.charge_id = r.charge_id AND s.refund_id = r.refund_id
      LEFT JOIN billed_refund b ON b.key = w.refund_id
     WHERE b.key IS NOT NULL OR c.billing = ANY(%(billing)s::text[])
"""
_INDEX_HERE = """
    CREATE UNIQUE INDEX ON here_refund (refund_id);
    ANALYZE here_refund
"""

_DIFFERENCES = """
    INSERT INTO difference (number, what, line, charge_id, refund_id, raw_key, state, here_minor,
                            here_currency, there_minor, there_currency, reference)
    SELECT (SELECT coalesce(max(number), 0) FROM difference)
           + row_number() OVER (ORDER BY found.line NULLS LAST, found.refund_id), found.*
      FROM (
    SELECT w.what, b.line, h.charge_id, h.refund_id, b.key::text AS raw_key, h.state,
           h.amount_minor AS here_minor, h.currency AS here_currency,
           CASE WHEN b.least_minor = h.amount_minor THEN b.most_minor ELSE b.least_minor END
               AS there_minor,
           b.currency AS there_currency, b.reference
      FROM billed_refund b
      LEFT JOIN here_refund h ON h.refund_id = b.key
     CROSS JOIN LATERAL (VALUES
           ('refund_only_billing', h.refund_id IS NULL AND b.refunds > 0),
           ('refund_twice', b.refunds > 1),
           ('refund_amount', b.refunds > 0 AND (b.least_minor, b.most_minor, b.currency)
                                            <> (h.amount_minor, h.amount_minor, h.currency)),
           ('refund_after_end', b.refunds > 0 AND h.state = 'denied'),
           ('refund_still_open', b.refunds > 0 AND NOT h.in_doubt AND h.decided_at IS NULL),
           ('refund_refused_there', b.refunds = 0 AND h.state = 'succeeded'),
           ('refund_doubt_taken', b.refunds > 0 AND h.in_doubt),
           ('refund_doubt_refused', b.refunds = 0 AND h.in_doubt)
           ) AS w(what, holds)
     WHERE w.holds AND NOT b.of_debit
     UNION ALL
    SELECT 'refund_only_billing', line, NULL, NULL, raw_key, NULL, NULL, NULL, amount_minor,
           currency, reference
      FROM billed WHERE key IS NULL AND debited AND refund
     UNION ALL
    SELECT 'refund_only_here', NULL, h.charge_id, h.refund_id, h.refund_id::text, h.state,
           h.amount_minor, h.currency, NULL, NULL, NULL
      FROM here_refund h
     CROSS JOIN LATERAL (
           SELECT min(a.intended_at) AS first FROM refund_attempt a
            WHERE a.charge_id = h.charge_id AND a.refund_id = h.refund_id AND a.kind = 'refund'
           ) sent
     WHERE %(shows)s AND NOT EXISTS (SELECT FROM billed_refund b WHERE b.of_debit)
       AND NOT h.there AND h.state = 'succeeded'
       AND sent.first >= %(begin)s::timestamptz + %(slack)s
       AND h.decided_at < %(end)s::timestamptz - %(slack)s
      ) found
"""


def compare_refunds(
    cur: Cursor, span: Period | None, *, billing: list[str], slack_s: float, shows: bool
) -> None:
    """Add what differs about refunds; after `compare`. `shows`: the file would have them."""
    covered = span or NEVER
    values = {
        "begin": covered.begin,
        "end": covered.end,
        "billing": billing,
        "slack": timedelta(seconds=slack_s),
        "shows": shows,
    }
    cur.execute(_AGGREGATE)
    cur.execute(_HERE, values)
    cur.execute(_INDEX_HERE)
    cur.execute(_DIFFERENCES, values)
