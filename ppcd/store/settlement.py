"""What a partner's charges came to in a period: by day and tariff, and one by one.

Owns when money counts: on the day, of the operator's zone, on which it was recorded as taken. So a
period that is over never changes. Refuses to know how a statement is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from ppcd.store.sql import Cursor


@dataclass(frozen=True, slots=True)
class Span:
    """From, and up to but without, as instants; and whether it is over for certain."""

    begin: datetime
    end: datetime
    over: bool


# A minute: what was decided before the end is committed by then.
_SPAN = """
    SELECT b, e, business_now() > e + interval '1 minute'
      FROM (SELECT %(begin)s::date::timestamp AT TIME ZONE %(zone)s AS b,
                   (%(last)s::date + 1)::timestamp AT TIME ZONE %(zone)s AS e) s
"""


def span(cur: Cursor, *, first: date, last: date, zone: str) -> Span:
    """Whole days of a zone, the last one included."""
    row = cur.execute(_SPAN, {"begin": first, "last": last, "zone": zone}).fetchone()
    assert row is not None
    return Span(*row)


@dataclass(frozen=True, slots=True)
class Line:
    """One day of one tariff. `tariff` is None for free amounts."""

    day: date
    tariff: str | None
    currency: str
    debits: int
    debited_minor: int
    refunds: int
    refunded_minor: int


# A productId that names no tariff may be anything, also a new one each time. A tariff registered
# since does not change what was said of a charge before.
_MONEY = """
    SELECT c.charge_id, NULL::bigint AS refund_id, o.decided_at, c.reference, c.partner_id,
           c.product_id, c.created_at, c.amount_minor, c.currency, o.billing_reference
      FROM outcome o JOIN charge c ON c.charge_id = o.charge_id
     WHERE o.state = 'succeeded' AND o.decided_at >= %(begin)s AND o.decided_at < %(end)s
       AND c.partner_id = %(partner_id)s
     UNION ALL
    SELECT c.charge_id, o.refund_id, o.decided_at, r.reference, c.partner_id,
           c.product_id, c.created_at, r.amount_minor, r.currency, o.billing_reference
      FROM refund_outcome o
      JOIN refund r ON r.charge_id = o.charge_id AND r.refund_id = o.refund_id
      JOIN charge c ON c.charge_id = o.charge_id
     WHERE o.state = 'succeeded' AND o.decided_at >= %(begin)s AND o.decided_at < %(end)s
       AND c.partner_id = %(partner_id)s
"""
_TARIFF = """
      LEFT JOIN tariff t ON t.partner_id = m.partner_id AND t.name = m.product_id
                        AND t.created_at <= m.created_at
"""
_LINES = f"""
    SELECT (m.decided_at AT TIME ZONE %(zone)s)::date, t.name COLLATE "C", m.currency COLLATE "C",
           count(*) FILTER (WHERE m.refund_id IS NULL),
           coalesce(sum(m.amount_minor) FILTER (WHERE m.refund_id IS NULL), 0)::bigint,
           count(m.refund_id),
           coalesce(sum(m.amount_minor) FILTER (WHERE m.refund_id IS NOT NULL), 0)::bigint
      FROM ({_MONEY}) m {_TARIFF}
     GROUP BY 1, 2, 3 ORDER BY 1, 2 NULLS FIRST, 3
"""


def lines(cur: Cursor, partner_id: int, covered: Span, *, zone: str) -> list[Line]:
    """A partner's days and tariffs, in order. A refund stands on its own day."""
    values = {"begin": covered.begin, "end": covered.end, "zone": zone, "partner_id": partner_id}
    return [Line(*row) for row in cur.execute(_LINES, values).fetchall()]


@dataclass(frozen=True, slots=True)
class Item:
    """One debit, or one refund of one."""

    charge_id: int
    refund_id: int | None
    at: datetime
    reference: str
    tariff: str | None
    amount_minor: int
    currency: str
    billing_reference: str | None


_ITEMS = f"""
    SELECT m.charge_id, m.refund_id, m.decided_at, m.reference, t.name, m.amount_minor, m.currency,
           m.billing_reference
      FROM ({_MONEY}) m {_TARIFF}
     ORDER BY m.charge_id, m.refund_id NULLS FIRST
"""
_PAGE = 5000


def items(cur: Cursor, partner_id: int, covered: Span) -> Iterator[Item]:
    """A partner's debits and refunds in the order of their ids, a page at a time.

    Within the transaction.
    """
    with cur.connection.cursor(name="items") as paged:
        paged.itersize = _PAGE
        paged.execute(
            _ITEMS, {"begin": covered.begin, "end": covered.end, "partner_id": partner_id}
        )
        for row in paged:
            yield Item(*row)
