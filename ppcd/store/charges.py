"""Charges as they are: their status, waiting readers, cancelling one.

Owns what a reader is told. Refuses to know how a charge comes into being or is debited.
"""

from collections.abc import Iterable, Sequence

from ppcd.store.rows import ChargeRow, Ended, webhook_key
from ppcd.store.session import single
from ppcd.store.sql import END, Cursor

_GET = """
    SELECT c.charge_id, c.partner_id, p.name, c.msisdn, c.amount_minor, c.currency, c.merchant,
           c.description, c.reference, c.correlator, c.product_id, c.sink, c.document,
           c.created_at, c.expires_at, s.state, s.reason, s.billing_reference, s.decided_at,
           c.two_step, c.authorization_id, s.was_reserved
      FROM charge c
      JOIN charge_status s ON s.charge_id = c.charge_id
      JOIN partner p ON p.partner_id = c.partner_id
     WHERE c.charge_id = ANY(%s::bigint[])
"""


@single
def get(cur: Cursor, charge_ids: Sequence[int]) -> list[ChargeRow | None]:
    """The charges of these ids, in their order; None for one that does not exist."""
    cur.execute(_GET, [list(charge_ids)])
    found = {row[0]: ChargeRow(*row) for row in cur.fetchall()}
    return [found.get(charge_id) for charge_id in charge_ids]


_SETTLED = """
    SELECT charge_id FROM outcome WHERE charge_id = ANY(%(ids)s::bigint[])
     UNION ALL
    SELECT charge_id FROM reservation WHERE charge_id = ANY(%(ids)s::bigint[])
"""


@single
def settled(cur: Cursor, charge_ids: Iterable[int]) -> set[int]:
    """Which of these have ended or are reserved: asked for all readers of a node at once."""
    cur.execute(_SETTLED, {"ids": sorted(charge_ids)})
    return {row[0] for row in cur.fetchall()}


_CANCEL = (
    """
    WITH gone AS (
        DELETE FROM awaiting a USING charge c
         WHERE c.charge_id = %(charge_id)s AND c.partner_id = %(partner_id)s
           AND a.key = c.msisdn * 1000 + c.address_no AND a.charge_id = c.charge_id
        RETURNING a.charge_id
    ), ended AS (
        SELECT charge_id, 'cancelled' AS state, 'CANCELLED_BY_MERCHANT' AS reason,
               NULL AS billing_reference
          FROM gone
    )"""
    + END
    + """
    SELECT w.sequence FROM ended_outcome o LEFT JOIN ended_webhook w USING (charge_id)
"""
)


@single
def cancel(cur: Cursor, charge_id: int, *, partner_id: int, lease_s: float) -> Ended | None:
    """End a partner's charge that nobody has answered; None when there is no such thing to end."""
    values = {"charge_id": charge_id, "partner_id": partner_id, "lease_s": lease_s}
    row = cur.execute(_CANCEL, values).fetchone()
    if row is None:
        return None
    return Ended(charge_id, "cancelled", webhook_key(charge_id, row[0], partner_id))
