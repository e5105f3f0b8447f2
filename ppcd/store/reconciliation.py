"""Billing's own file beside our records: what only one side has, and what they say differently.

Works in temporary tables of its session, so that files of millions of rows cost no memory here; all
is seen as of one moment. Refuses to know how a file is written. What is settled goes through
`resolutions`, as a person's word does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from ppcd.store.sql import Cursor


class Difference(StrEnum):
    """What is wrong with one debit. `here` is ppcd."""

    ONLY_BILLING = "only_billing"
    ONLY_HERE = "only_here"
    TWICE = "twice"
    AMOUNT = "amount"
    SUBSCRIBER = "subscriber"
    #: Billing took money for a charge that ended here without any.
    TAKEN_AFTER_END = "taken_after_end"
    #: Billing took money for a charge whose debit is not in doubt: it is still being made.
    STILL_OPEN = "still_open"
    #: Billing says refused, we said paid.
    REFUSED_THERE = "refused_there"
    #: In doubt or in review here; the file knows.
    DOUBT_TAKEN = "doubt_taken"
    DOUBT_REFUSED = "doubt_refused"
    #: In doubt or in review here, and not in a file of that time.
    DOUBT_ABSENT = "doubt_absent"
    # The same of refunds.
    REFUND_ONLY_BILLING = "refund_only_billing"
    REFUND_ONLY_HERE = "refund_only_here"
    REFUND_TWICE = "refund_twice"
    REFUND_AMOUNT = "refund_amount"
    REFUND_AFTER_END = "refund_after_end"
    REFUND_STILL_OPEN = "refund_still_open"
    REFUND_REFUSED_THERE = "refund_refused_there"
    REFUND_DOUBT_TAKEN = "refund_doubt_taken"
    REFUND_DOUBT_REFUSED = "refund_doubt_refused"


_STAGE = """
    DROP TABLE IF EXISTS pg_temp.billed, pg_temp.billed_debit, pg_temp.here, pg_temp.difference;
    CREATE TEMP TABLE billed (
        line bigint, key bigint, raw_key text, refund boolean, debited boolean,
        amount_minor bigint, currency text, msisdn bigint, reference text, at timestamptz)
"""
_COPY = "COPY billed FROM STDIN"


def stage(cur: Cursor, records: Iterable[Sequence[Any]]) -> None:
    """Take in the file's rows: line, key, raw key, refund, debited, amount, currency, MSISDN,
    reference, time. Everything after this is of the moment in which it began.
    """
    cur.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cur.execute(_STAGE)
    with cur.copy(_COPY) as copy:
        for record in records:
            copy.write_row(record)


@dataclass(frozen=True, slots=True)
class Period:
    """What the file covers: from, and up to but without."""

    begin: datetime
    end: datetime


_LONG_AGO: Final = datetime.fromisoformat("2025-02-01T00:00:00+00:00")
#: In which nothing is missed.
NEVER: Final = Period(_LONG_AGO, _LONG_AGO)

_SPAN = "SELECT min(at), max(at) + interval '1 microsecond' FROM billed"
_PERIOD = """
    SELECT %(begin)s::timestamp AT TIME ZONE %(zone)s, %(end)s::timestamp AT TIME ZONE %(zone)s
"""
_OUTSIDE = "DELETE FROM billed WHERE at < %s OR at >= %s"


def period(
    cur: Cursor, *, begin: datetime | None, end: datetime | None, zone: str
) -> tuple[Period | None, int]:
    """What is compared, by the operator's clock or else from the first row's time to the last's;
    and how many rows were left out for being outside. None: nobody knows the period.
    """
    row = cur.execute(_PERIOD, {"begin": begin, "end": end, "zone": zone}).fetchone()
    span = cur.execute(_SPAN).fetchone()
    assert row is not None
    assert span is not None
    first, last = row[0] or span[0], row[1] or span[1]
    if first is None or last is None:
        return None, 0
    cur.execute(_OUTSIDE, [first, last])
    return Period(first, last), cur.rowcount


# One row a key. A key may come several times: refused and tried again, or, which is bad, debited
# twice.
_AGGREGATE = """
    CREATE TEMP TABLE billed_debit AS
    SELECT key, min(line) AS line, count(*) FILTER (WHERE debited) AS debits,
           min(amount_minor) FILTER (WHERE debited) AS least_minor,
           max(amount_minor) FILTER (WHERE debited) AS most_minor,
           min(currency) FILTER (WHERE debited) AS currency,
           min(msisdn) AS msisdn, min(reference) FILTER (WHERE debited) AS reference
      FROM billed WHERE NOT refund AND key IS NOT NULL GROUP BY key;
    CREATE UNIQUE INDEX ON billed_debit (key);
    ANALYZE billed_debit
"""

_HERE = """
    CREATE TEMP TABLE here AS
    WITH wanted AS (
        SELECT key AS charge_id FROM billed_debit
         UNION
        SELECT o.charge_id FROM outcome o
         WHERE o.state = 'succeeded' AND o.decided_at >= %(begin)s AND o.decided_at < %(end)s
         UNION
        SELECT charge_id FROM debit_job
         WHERE doubt_since IS NOT NULL AND act IN ('debit', 'capture')
    )
    SELECT c.charge_id, c.partner_id, c.product_id, c.msisdn, c.amount_minor, c.currency,
           c.billing, o.decided_at, s.state, j.act = 'debit' AS at_once,
           j.doubt_since IS NOT NULL AND j.act IN ('debit', 'capture') AS in_doubt,
           o.decided_at >= %(begin)s AND o.decided_at < %(end)s AS decided_then,
           b.key IS NOT NULL AS there
      FROM wanted w
      JOIN charge c ON c.charge_id = w.charge_id
      JOIN charge_status s ON s.charge_id = w.charge_id
      LEFT JOIN outcome o ON o.charge_id = w.charge_id
      LEFT JOIN debit_job j ON j.charge_id = w.charge_id
      LEFT JOIN billed_debit b ON b.key = w.charge_id
     WHERE b.key IS NOT NULL OR c.billing = ANY(%(billing)s::text[])
"""
_INDEX_HERE = """
    CREATE UNIQUE INDEX ON here (charge_id);
    ANALYZE here
"""

# Only what must be in the file: the whole time in which billing may have booked it is inside the
# period, and not within the slack of its edges, for two clocks are never one.
_DIFFERENCES = """
    CREATE TEMP TABLE difference AS
    SELECT row_number() OVER (ORDER BY found.line NULLS LAST, found.charge_id) AS number, found.*
      FROM (
    SELECT w.what, b.line, b.key AS charge_id, NULL::bigint AS refund_id,
           b.key::text AS raw_key, h.state,
           h.amount_minor AS here_minor, h.currency AS here_currency,
           CASE WHEN b.least_minor = h.amount_minor THEN b.most_minor ELSE b.least_minor END
               AS there_minor,
           b.currency AS there_currency, b.reference
      FROM billed_debit b
      LEFT JOIN here h ON h.charge_id = b.key
     CROSS JOIN LATERAL (VALUES
           ('only_billing', h.charge_id IS NULL AND b.debits > 0),
           ('twice', b.debits > 1),
           ('amount', b.debits > 0 AND (b.least_minor, b.most_minor, b.currency)
                                   <> (h.amount_minor, h.amount_minor, h.currency)),
           ('subscriber', b.msisdn <> h.msisdn),
           ('taken_after_end', b.debits > 0 AND h.state IN
               ('denied', 'declined', 'expired', 'cancelled', 'undeliverable')),
           ('still_open', b.debits > 0 AND h.in_doubt IS NOT TRUE AND h.state IS NOT NULL
                      AND h.decided_at IS NULL),
           ('refused_there', b.debits = 0 AND h.state = 'succeeded'),
           ('doubt_taken', b.debits > 0 AND h.in_doubt),
           ('doubt_refused', b.debits = 0 AND h.in_doubt AND h.at_once)
           ) AS w(what, holds)
     WHERE w.holds
     UNION ALL
    SELECT 'only_billing', line, NULL, NULL, raw_key, NULL, NULL, NULL, amount_minor, currency,
           reference
      FROM billed WHERE key IS NULL AND debited AND NOT refund
     UNION ALL
    SELECT CASE WHEN h.in_doubt THEN 'doubt_absent' ELSE 'only_here' END,
           NULL, h.charge_id, NULL, h.charge_id::text, h.state, h.amount_minor, h.currency,
           NULL, NULL, NULL
      FROM here h
     CROSS JOIN LATERAL (
           SELECT min(d.intended_at) AS first, max(d.intended_at) AS last
             FROM debit_attempt d
             WHERE d.charge_id = h.charge_id AND d.kind IN ('debit', 'capture')) sent
     WHERE NOT h.there AND (h.in_doubt AND h.at_once OR h.state = 'succeeded')
       AND sent.first >= %(begin)s::timestamptz + %(slack)s
       AND coalesce(h.decided_at, sent.last + %(quiet)s) < %(end)s::timestamptz - %(slack)s
      ) found
"""
_INDEX_DIFFERENCES = """
    CREATE UNIQUE INDEX ON difference (number);
    CREATE INDEX ON difference (charge_id);
    ANALYZE difference
"""


def compare(
    cur: Cursor,
    span: Period | None,
    *,
    billing: Sequence[str],
    quiet_period_s: float,
    slack_s: float,
) -> None:
    """Find what differs. `billing`: the names of the systems whose file this is.

    `quiet_period_s`: what was sent later than this before the period's end may still be booked
    after it. Without a period, what the file lacks is not looked for.
    """
    cur.execute(_AGGREGATE)
    covered = span or NEVER
    values = {
        "begin": covered.begin,
        "end": covered.end,
        "billing": list(billing),
        "quiet": timedelta(seconds=quiet_period_s),
        "slack": timedelta(seconds=slack_s),
    }
    cur.execute(_HERE, values)
    cur.execute(_INDEX_HERE)
    cur.execute(_DIFFERENCES, values)
    cur.execute(_INDEX_DIFFERENCES)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of one whole comparison."""

    rows: int
    debited: int
    refused: int
    refunds: int
    here: int
    by_kind: dict[Difference, int]


_TOTALS = """
    SELECT count(*), count(*) FILTER (WHERE debited AND NOT refund),
           count(*) FILTER (WHERE NOT debited AND NOT refund), count(*) FILTER (WHERE refund),
           (SELECT count(*) FROM here WHERE state = 'succeeded' AND decided_then)
      FROM billed
"""
_BY_KIND = "SELECT what, count(*) FROM difference GROUP BY what"


def totals(cur: Cursor) -> Totals:
    """How many of everything."""
    row = cur.execute(_TOTALS).fetchone()
    assert row is not None
    counts: dict[str, int] = dict(cur.execute(_BY_KIND).fetchall())
    by_kind = {kind: counts[kind.value] for kind in Difference if kind.value in counts}
    return Totals(row[0], row[1], row[2], row[3], row[4], by_kind)


@dataclass(frozen=True, slots=True)
class Differing:
    """One difference, in order of the file's lines; `line` is None for what it lacks."""

    number: int
    what: Difference
    line: int | None
    charge_id: int | None
    #: Of a difference about a refund.
    refund_id: int | None
    raw_key: str
    state: str | None
    here_minor: int | None
    here_currency: str | None
    there_minor: int | None
    there_currency: str | None
    reference: str | None


_LIST = """
    SELECT number, what, line, charge_id, refund_id, raw_key, state, here_minor, here_currency,
           there_minor, there_currency, reference
      FROM difference WHERE number > %s AND (%s OR what = ANY(%s::text[]))
     ORDER BY number LIMIT %s
"""


def differences(
    cur: Cursor, *, after: int = 0, limit: int, what: Sequence[Difference] | None = None
) -> list[Differing]:
    """The next differences, of these kinds only if said."""
    kinds = [] if what is None else [kind.value for kind in what]
    rows = cur.execute(_LIST, [after, what is None, kinds, limit]).fetchall()
    return [Differing(row[0], Difference(row[1]), *row[2:]) for row in rows]


_CLEAR = """
    SELECT d.number, d.what, d.line, d.charge_id, d.refund_id, d.raw_key, d.state, d.here_minor,
           d.here_currency, d.there_minor, d.there_currency, d.reference
      FROM difference d
     WHERE d.number > %s AND d.what = ANY(%s::text[])
       AND NOT EXISTS (SELECT FROM difference o
                        WHERE o.charge_id = d.charge_id AND o.number <> d.number
                          AND o.refund_id IS NOT DISTINCT FROM d.refund_id)
     ORDER BY d.number LIMIT %s
"""


def clear_doubts(
    cur: Cursor, *, after: int, limit: int, what: Sequence[Difference]
) -> list[Differing]:
    """The next doubts that may be settled: of which nothing else differs."""
    kinds = [kind.value for kind in what]
    rows = cur.execute(_CLEAR, [after, kinds, limit]).fetchall()
    return [Differing(row[0], Difference(row[1]), *row[2:]) for row in rows]


@dataclass(frozen=True, slots=True)
class Sum:
    """One day of one partner's tariff, on both sides. None: no partner knows of it."""

    day: date | None
    partner: str | None
    tariff: str | None
    currency: str
    here: int
    here_minor: int
    there: int
    there_minor: int


_SUMS = """
    SELECT (s.at AT TIME ZONE %(zone)s)::date AS day, p.name, t.name, s.currency,
           sum(s.here)::bigint, sum(s.here * s.amount_minor)::bigint,
           sum(s.there)::bigint, sum(s.there * s.amount_minor)::bigint
      FROM (SELECT decided_at AS at, partner_id, product_id, currency, amount_minor,
                   1 AS here, 0 AS there
              FROM here WHERE state = 'succeeded' AND decided_then
             UNION ALL
            SELECT coalesce(b.at, h.decided_at), h.partner_id, h.product_id, b.currency,
                   b.amount_minor, 0, 1
              FROM billed b LEFT JOIN here h ON h.charge_id = b.key
             WHERE b.debited AND NOT b.refund) s
      LEFT JOIN partner p ON p.partner_id = s.partner_id
      LEFT JOIN tariff t ON t.partner_id = s.partner_id AND t.name = s.product_id
     GROUP BY 1, 2, 3, 4 ORDER BY 1 NULLS LAST, 2 NULLS LAST, 3 NULLS FIRST, 4
"""


def sums(cur: Cursor, *, zone: str) -> list[Sum]:
    """What both sides took, by day, partner and tariff."""
    return [Sum(*row) for row in cur.execute(_SUMS, {"zone": zone}).fetchall()]


_REFUNDS = """
    SELECT currency, count(*), sum(amount_minor)::bigint FROM billed WHERE refund AND debited
     GROUP BY currency ORDER BY currency
"""


def refunds(cur: Cursor) -> list[tuple[str, int, int]]:
    """The file's refunds: currency, how many, how much."""
    return [(row[0], row[1], row[2]) for row in cur.execute(_REFUNDS).fetchall()]
