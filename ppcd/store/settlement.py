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


# A productId that names no tariff may be anything, also a new one each time. A tariff registered
# since does not change what was said of a charge before.
_LINES = """
    SELECT (o.decided_at AT TIME ZONE %(zone)s)::date AS day, t.name COLLATE "C" AS tariff,
           c.currency COLLATE "C" AS currency, count(*), sum(c.amount_minor)::bigint
      FROM outcome o
      JOIN charge c ON c.charge_id = o.charge_id
      LEFT JOIN tariff t ON t.partner_id = c.partner_id AND t.name = c.product_id
                        AND t.created_at <= c.created_at
     WHERE o.state = 'succeeded' AND o.decided_at >= %(begin)s AND o.decided_at < %(end)s
       AND c.partner_id = %(partner_id)s
     GROUP BY 1, 2, 3 ORDER BY 1, 2 NULLS FIRST, 3
"""


def lines(cur: Cursor, partner_id: int, covered: Span, *, zone: str) -> list[Line]:
    """A partner's days and tariffs, in order."""
    values = {"begin": covered.begin, "end": covered.end, "zone": zone, "partner_id": partner_id}
    return [Line(*row) for row in cur.execute(_LINES, values).fetchall()]


@dataclass(frozen=True, slots=True)
class Item:
    """One debit."""

    charge_id: int
    at: datetime
    reference: str
    tariff: str | None
    amount_minor: int
    currency: str
    billing_reference: str | None


_ITEMS = """
    SELECT c.charge_id, o.decided_at, c.reference, t.name, c.amount_minor, c.currency,
           o.billing_reference
      FROM outcome o
      JOIN charge c ON c.charge_id = o.charge_id
      LEFT JOIN tariff t ON t.partner_id = c.partner_id AND t.name = c.product_id
                        AND t.created_at <= c.created_at
     WHERE o.state = 'succeeded' AND o.decided_at >= %(begin)s AND o.decided_at < %(end)s
       AND c.partner_id = %(partner_id)s
     ORDER BY o.charge_id
"""
_PAGE = 5000


def items(cur: Cursor, partner_id: int, covered: Span) -> Iterator[Item]:
    """A partner's debits in the order of their ids, a page at a time; within the transaction."""
    with cur.connection.cursor(name="items") as paged:
        paged.itersize = _PAGE
        paged.execute(
            _ITEMS, {"begin": covered.begin, "end": covered.end, "partner_id": partner_id}
        )
        for row in paged:
            yield Item(*row)
