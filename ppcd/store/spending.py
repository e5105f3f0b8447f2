"""Limits by sum: what a subscriber and a partner may be debited in a day and in a month.

Owns what counts: a debit counts from its first attempt on record, for as long as it is open on
every day, and once taken on the day it was recorded as taken. One that ends denied has never
counted, and a refund gives nothing back: a limit is about what is taken. A day is the operator's,
by the database's clock. Refuses to know configuration and how anybody is told.

A subscriber's sum is exact over all nodes: it is read from facts under the subscriber's lock, which
every grant takes first. Locks are taken in one order: subscribers, debit jobs, partners' days.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from ppcd.store.ids import first_id_of
from ppcd.store.limits import Limit, OverLimit, SumLimits
from ppcd.store.rows import NewCharge
from ppcd.store.sql import Cursor, columns

#: A debit that is taken in a period was asked for no longer than this before it: the longest
#: lifetime, start of a debit, reservation and horizon that can be configured, and a day for clocks
#: and queues.
#: Older ones were settled by people; their money moved long ago.
_ASKED_BEFORE: Final = timedelta(days=1 + 7 + 7 + 7 + 1)


# --- before the prompt: a courtesy, the debit decides


def over(cur: Cursor, wanted: Sequence[NewCharge], limits: SumLimits) -> dict[int, OverLimit]:
    """By charge_id, those that could not be debited now. One charge a subscriber."""
    if not wanted or not limits.any:
        return {}
    seekers = [
        _Seeker(new.charge_id, new.partner_id, new.msisdn, new.amount_minor, new.currency)
        for new in wanted
    ]
    sums = _Sums(cur, seekers, limits)
    refused = ((seeker.charge_id, sums.refuses(seeker)) for seeker in seekers)
    return {charge_id: OverLimit(limit) for charge_id, limit in refused if limit is not None}


# --- at the debit

_LOCK_SUBSCRIBERS = """
    SELECT pg_advisory_xact_lock(msisdn)
      FROM (SELECT DISTINCT msisdn FROM debit_job
             WHERE charge_id = ANY(%s::bigint[]) ORDER BY msisdn) s
"""


def lock(cur: Cursor, charge_ids: Sequence[int], limits: SumLimits) -> None:
    """Before anything else in the transaction that grants: nobody else grants these subscribers'.

    The lock is that of creations, so that sums seen there are not passed by a grant meanwhile.
    """
    if limits.of_subscribers:
        cur.execute(_LOCK_SUBSCRIBERS, [list(charge_ids)])


_SEEKERS = """
    SELECT charge_id, partner_id, msisdn, amount_minor, currency
      FROM debit_job WHERE charge_id = ANY(%s::bigint[]) ORDER BY charge_id
"""

_COUNT = """
    UPDATE partner_taken p SET taken_minor = p.taken_minor + w.amount_minor
      FROM unnest(%(partner_id)s::bigint[], %(currency)s::text[], %(amount_minor)s::bigint[])
           AS w(partner_id, currency, amount_minor)
     WHERE p.partner_id = w.partner_id AND p.currency = w.currency AND p.day = %(day)s
"""
_COUNTED = "UPDATE debit_job SET counted_on = %s WHERE charge_id = ANY(%s::bigint[])"


def grant(cur: Cursor, charge_ids: Sequence[int], limits: SumLimits) -> dict[int, Limit]:
    """Of debits that nobody has begun yet, those that must not be, and the limit that forbids it.

    The others count from now on. Their jobs are locked, and `lock` came before that.
    """
    if not charge_ids or not limits.any:
        return {}
    seekers = [_Seeker(*row) for row in cur.execute(_SEEKERS, [list(charge_ids)]).fetchall()]
    sums = _Sums(cur, seekers, limits, granting=True)
    refused: dict[int, Limit] = {}
    counted: dict[tuple[int, str], int] = {}
    marked = []
    for seeker in seekers:
        limit = sums.refuses(seeker)
        if limit is not None:
            refused[seeker.charge_id] = limit
            continue
        sums.add(seeker)
        if seeker.partner_key in sums.partner_keys:
            marked.append(seeker.charge_id)
            counted[seeker.partner_key] = counted.get(seeker.partner_key, 0) + seeker.amount_minor
    if marked:
        values = {
            "partner_id": [partner_id for partner_id, _ in counted],
            "currency": [currency for _, currency in counted],
            "amount_minor": list(counted.values()),
        }
        cur.execute(_COUNT, values | {"day": sums.day})
        cur.execute(_COUNTED, [sums.day, marked])
    return refused


@dataclass(frozen=True, slots=True)
class Counted:
    """A debit that ended without money, and the partner's day it was counted on, if any."""

    partner_id: int
    currency: str
    day: date | None
    amount_minor: int


_LOCK_DAYS = """
    SELECT FROM partner_taken p
      JOIN (SELECT DISTINCT * FROM unnest(%(partner_id)s::bigint[], %(currency)s::text[],
                                          %(day)s::date[]) AS w(partner_id, currency, day)) w
           USING (partner_id, currency, day)
     ORDER BY partner_id, currency, day FOR UPDATE OF p
"""
_GIVE_BACK = """
    UPDATE partner_taken p SET taken_minor = p.taken_minor - w.amount_minor
      FROM (SELECT partner_id, currency, day, sum(amount_minor) AS amount_minor
              FROM unnest(%(partner_id)s::bigint[], %(currency)s::text[], %(day)s::date[],
                          %(amount_minor)s::bigint[])
                   AS w(partner_id, currency, day, amount_minor)
             GROUP BY partner_id, currency, day) w
     WHERE (p.partner_id, p.currency, p.day) = (w.partner_id, w.currency, w.day)
"""


def give_back(cur: Cursor, ended: Iterable[Counted]) -> None:
    """What ended without money leaves room for others; a subscriber's does so by itself."""
    counted = [debit for debit in ended if debit.day is not None]
    if counted:
        values = columns(counted, ("partner_id", "currency", "day", "amount_minor"))
        cur.execute(_LOCK_DAYS, {name: values[name] for name in ("partner_id", "currency", "day")})
        cur.execute(_GIVE_BACK, values)


# --- the sums

_PERIOD = """
    SELECT date_trunc('day', l.now) AT TIME ZONE %(zone)s,
           date_trunc('month', l.now) AT TIME ZONE %(zone)s, l.now::date
      FROM (SELECT business_now() AT TIME ZONE %(zone)s AS now) l
"""

# One statement, so that a debit which is being recorded as taken is seen either open or taken.
_SUBSCRIBERS = """
    SELECT m, t.currency, coalesce(sum(t.amount_minor) FILTER (WHERE t.today), 0)::bigint,
           sum(t.amount_minor)::bigint
      FROM unnest(%(msisdn)s::bigint[]) AS m
     CROSS JOIN LATERAL (
           SELECT c.currency, c.amount_minor, o.decided_at >= %(day)s AS today
             FROM charge c JOIN outcome o ON o.charge_id = c.charge_id
            WHERE c.msisdn = m AND c.charge_id >= %(first)s AND o.charge_id >= %(first)s
              AND o.state = 'succeeded' AND o.decided_at >= %(since)s
           UNION ALL
           SELECT j.currency, j.amount_minor, true
             FROM debit_job j WHERE j.msisdn = m AND j.attempts > 0
           UNION ALL
           SELECT r.currency, r.amount_minor, true FROM reservation r WHERE r.msisdn = m) t
     GROUP BY m, t.currency
"""

_MAKE_DAYS = """
    INSERT INTO partner_taken (partner_id, currency, day)
    SELECT partner_id, currency, %(day)s
      FROM unnest(%(partner_id)s::bigint[], %(currency)s::text[]) AS w(partner_id, currency)
     ORDER BY partner_id, currency
    ON CONFLICT DO NOTHING
"""
# The whole month's, in order: at midnight somebody may still grant on the day before.
_LOCK_MONTH = """
    SELECT FROM partner_taken p
      JOIN unnest(%(partner_id)s::bigint[], %(currency)s::text[]) AS w(partner_id, currency)
           USING (partner_id, currency)
     WHERE p.day >= date_trunc('month', %(day)s::date)
     ORDER BY p.partner_id, p.currency, p.day FOR UPDATE OF p
"""
_PARTNERS = """
    SELECT p.partner_id, p.currency,
           coalesce(sum(p.taken_minor) FILTER (WHERE p.day = %(day)s), 0)::bigint,
           sum(p.taken_minor)::bigint
      FROM partner_taken p
      JOIN unnest(%(partner_id)s::bigint[], %(currency)s::text[]) AS w(partner_id, currency)
           USING (partner_id, currency)
     WHERE p.day BETWEEN date_trunc('month', %(day)s::date) AND %(day)s
     GROUP BY p.partner_id, p.currency
"""


@dataclass(frozen=True, slots=True)
class _Seeker:
    """A charge that wants to count."""

    charge_id: int
    partner_id: int
    msisdn: int
    amount_minor: int
    currency: str

    @property
    def partner_key(self) -> tuple[int, str]:
        return self.partner_id, self.currency

    @property
    def subscriber_key(self) -> tuple[int, str]:
        return self.msisdn, self.currency


class _Sums:
    """What counts already for some charges' subscribers and partners, and what is added to it."""

    day: date

    def __init__(
        self, cur: Cursor, seekers: Sequence[_Seeker], limits: SumLimits, *, granting: bool = False
    ) -> None:
        self._limits = {key: limits.on(*key) for key in {s.partner_key for s in seekers}}
        self._subscribers: dict[tuple[int, str], tuple[int, int]] = {}
        self._partners: dict[tuple[int, str], tuple[int, int]] = {}
        #: Partners and currencies that are counted, sorted.
        self.partner_keys = sorted(
            key
            for key, known in self._limits.items()
            if Limit.PARTNER_DAY in known or Limit.PARTNER_MONTH in known
        )
        if not self.partner_keys and not limits.of_subscribers:
            return
        row = cur.execute(_PERIOD, {"zone": limits.zone}).fetchone()
        assert row is not None
        day, month, self.day = row
        if limits.of_subscribers:
            since = month if limits.subscriber_month else day
            self._read_subscribers(cur, {s.msisdn for s in seekers}, day=day, since=since)
        if self.partner_keys:
            self._read_partners(cur, granting=granting)

    def refuses(self, seeker: _Seeker) -> Limit | None:
        """The first limit that this charge is over."""
        subscriber_day, subscriber_month = self._subscribers.get(seeker.subscriber_key, (0, 0))
        partner_day, partner_month = self._partners.get(seeker.partner_key, (0, 0))
        counted = {
            Limit.CHARGE: 0,
            Limit.SUBSCRIBER_DAY: subscriber_day,
            Limit.SUBSCRIBER_MONTH: subscriber_month,
            Limit.PARTNER_DAY: partner_day,
            Limit.PARTNER_MONTH: partner_month,
        }
        for limit, most in self._limits[seeker.partner_key].items():
            if counted[limit] + seeker.amount_minor > most:
                return limit
        return None

    def add(self, seeker: _Seeker) -> None:
        """Let a charge count for those that come after it."""
        for sums, key in (
            (self._subscribers, seeker.subscriber_key),
            (self._partners, seeker.partner_key),
        ):
            day, month = sums.get(key, (0, 0))
            sums[key] = day + seeker.amount_minor, month + seeker.amount_minor

    def _read_subscribers(
        self, cur: Cursor, msisdns: set[int], *, day: datetime, since: datetime
    ) -> None:
        cur.execute(
            _SUBSCRIBERS,
            {
                "msisdn": sorted(msisdns),
                "day": day,
                "since": since,
                "first": first_id_of(since - _ASKED_BEFORE),
            },
        )
        self._subscribers = {(row[0], row[1]): (row[2], row[3]) for row in cur.fetchall()}

    def _read_partners(self, cur: Cursor, *, granting: bool) -> None:
        values = {
            "partner_id": [partner_id for partner_id, _ in self.partner_keys],
            "currency": [currency for _, currency in self.partner_keys],
            "day": self.day,
        }
        if granting:
            cur.execute(_MAKE_DAYS, values)
            cur.execute(_LOCK_MONTH, values)
        cur.execute(_PARTNERS, values)
        self._partners = {(row[0], row[1]): (row[2], row[3]) for row in cur.fetchall()}


# --- for people


@dataclass(frozen=True, slots=True)
class Taken:
    """What a partner's charges in one currency have taken, as far as it was counted."""

    currency: str
    day_minor: int
    month_minor: int


def taken(cur: Cursor, partner_id: int, *, zone: str) -> list[Taken]:
    """This day's and this month's sums of a partner, by currency."""
    row = cur.execute(_PERIOD, {"zone": zone}).fetchone()
    assert row is not None
    cur.execute(
        """SELECT currency, coalesce(sum(taken_minor) FILTER (WHERE day = %(day)s), 0)::bigint,
                  sum(taken_minor)::bigint
             FROM partner_taken
            WHERE partner_id = %(partner_id)s
              AND day BETWEEN date_trunc('month', %(day)s::date) AND %(day)s
            GROUP BY currency ORDER BY currency""",
        {"partner_id": partner_id, "day": row[2]},
    )
    return [Taken(*found) for found in cur.fetchall()]
