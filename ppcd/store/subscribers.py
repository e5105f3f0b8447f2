"""Subscribers who are to be left alone: the block list, and how often a phone was asked of late.

Owns who may not be asked now. What it says holds only under the subscriber's lock, which the
creation of charges takes first. Refuses to know partners: limits count over all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ppcd.store.ids import first_id_of
from ppcd.store.rows import NewCharge
from ppcd.store.sql import Cursor, integers

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
#: An id is of its node's clock, a time of the database's: so far they may be apart.
_SLACK: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often one phone may be asked, by all partners together; 0: as often as they like."""

    per_hour_max: int = 0
    per_day_max: int = 0
    open_max: int = 0


NO_LIMITS: Final = Limits()


class Why(StrEnum):
    """Why a subscriber is not asked."""

    BLOCKED = "blocked"
    OPEN = "open"
    HOUR = "hour"
    DAY = "day"
    #: Not for its own sake: those whom this partner asks seldom say yes.
    SLOWED = "slowed"


@dataclass(frozen=True, slots=True)
class Spared:
    """No charge was created and nobody is asked. `retry_after_s` where time alone ends it."""

    why: Why
    retry_after_s: float = 0


# Each phone's newest charges, as many as the limits ask about, through the index on its number.
# Of phones that nothing is known of there is no row.
_ASKED = """
    SELECT m, found.blocked, found.asked
      FROM unnest(%(msisdn)s::bigint[]) AS m
     CROSS JOIN LATERAL (
           SELECT EXISTS (SELECT FROM blocked_subscriber b
                           WHERE b.msisdn = m AND (b.until IS NULL OR b.until > %(now)s))
                      AS blocked,
                  ARRAY(SELECT c.created_at FROM charge c
                         WHERE c.msisdn = m AND c.charge_id >= %(first)s
                           AND c.created_at > %(now)s - interval '1 day'
                         ORDER BY c.charge_id DESC LIMIT %(limit)s)
                      AS asked
           OFFSET 0) found
     WHERE found.blocked OR found.asked <> '{}'
"""


def spared(
    cur: Cursor, wanted: Sequence[NewCharge], limits: Limits, *, waiting: Mapping[int, int],
    now: datetime,
) -> dict[int, Spared]:  # fmt: skip
    """By charge_id, those that are not to be created. `waiting` counts a phone's open charges.

    The subscribers must be locked by now: then the counts are exact over all nodes.
    """
    if not wanted:
        return {}
    cur.execute(
        _ASKED,
        {
            "now": now,
            "first": first_id_of(now - _DAY - _SLACK),
            "limit": max(limits.per_hour_max, limits.per_day_max),
            "msisdn": integers(sorted({new.msisdn for new in wanted})),
        },
    )
    asked = {row[0]: (row[1], sorted(row[2], reverse=True)) for row in cur.fetchall()}
    found = {}
    for new in wanted:
        blocked, times = asked.get(new.msisdn, (False, ()))
        verdict = (
            Spared(Why.BLOCKED)
            if blocked
            else _over(limits, times, waiting=waiting.get(new.msisdn, 0), now=now)
        )
        if verdict is not None:
            found[new.charge_id] = verdict
    return found


def _over(
    limits: Limits, times: Sequence[datetime], *, waiting: int, now: datetime
) -> Spared | None:
    """The limit that takes longest to pass."""
    for why, most, window in (
        (Why.DAY, limits.per_day_max, _DAY),
        (Why.HOUR, limits.per_hour_max, _HOUR),
    ):
        # The window is free again when the `most`-newest has left it.
        if 0 < most <= len(times) and times[most - 1] > now - window:
            return Spared(why, (times[most - 1] + window - now).total_seconds())
    if 0 < limits.open_max <= waiting:
        return Spared(Why.OPEN)
    return None


# --- the register


@dataclass(frozen=True, slots=True)
class Block:
    """Why and until when a subscriber is not asked; None: until somebody says so."""

    why: str
    note: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """What people see of a phone: its block, if any, and how it was asked of late."""

    block: Block | None
    last_hour: int
    last_day: int
    open: int


_BLOCK = """
    INSERT INTO blocked_subscriber AS b (msisdn, why, note, since, until)
    SELECT %(msisdn)s, 'operator', %(note)s, t.now,
           t.now + make_interval(secs => %(seconds)s::float8)
      FROM (SELECT business_now() AS now) t
    ON CONFLICT (msisdn) DO UPDATE
       SET why = excluded.why, note = excluded.note, since = excluded.since, until = excluded.until
"""


def block(cur: Cursor, *, msisdn: int, seconds: float | None, note: str) -> None:
    """Have a subscriber asked no more, for so long or for good; in place of an earlier block."""
    cur.execute(_BLOCK, {"msisdn": msisdn, "seconds": seconds, "note": note})


# The longer block stays, whoever made it.
_STOP = """
    INSERT INTO blocked_subscriber AS b (msisdn, why, since, until)
    SELECT m, 'stop', t.now, t.now + make_interval(secs => %(seconds)s::float8)
      FROM unnest(%(msisdn)s::bigint[]) AS m, (SELECT business_now() AS now) t
    ON CONFLICT (msisdn) DO UPDATE
       SET why = excluded.why, note = excluded.note, since = excluded.since, until = excluded.until
     WHERE b.until < excluded.until
"""


def stop(cur: Cursor, batch: Sequence[int], *, seconds: float) -> list[None]:
    """Have these subscribers asked no more for so long: they said STOP. Harmless to repeat."""
    cur.execute(_STOP, {"msisdn": sorted(set(batch)), "seconds": seconds})
    return [None for _ in batch]


def unblock(cur: Cursor, *, msisdn: int) -> bool:
    """Let a subscriber be asked again; whether there was a block in force."""
    cur.execute(
        """DELETE FROM blocked_subscriber WHERE msisdn = %s
           RETURNING until IS NULL OR until > business_now()""",
        (msisdn,),
    )
    row = cur.fetchone()
    return row is not None and bool(row[0])


_SHOW = """
    SELECT b.why, b.note, b.since, b.until, counted.*,
           (SELECT count(*) FROM awaiting a
             WHERE a.key >= w.msisdn * 1000 AND a.key < (w.msisdn + 1) * 1000)
      FROM (SELECT %(msisdn)s::bigint AS msisdn, business_now() AS now) w
      LEFT JOIN blocked_subscriber b
             ON b.msisdn = w.msisdn AND (b.until IS NULL OR b.until > w.now)
     CROSS JOIN LATERAL (
           SELECT count(*) FILTER (WHERE c.created_at > w.now - interval '1 hour'), count(*)
             FROM charge c
            WHERE c.msisdn = w.msisdn AND c.created_at > w.now - interval '1 day'
              AND c.charge_id >= %(first)s) counted
"""


def show(cur: Cursor, *, msisdn: int) -> Subscriber:
    """What is known of a phone."""
    row = cur.execute("SELECT business_now()").fetchone()
    assert row is not None
    first = first_id_of(row[0] - _DAY - _SLACK)
    row = cur.execute(_SHOW, {"msisdn": msisdn, "first": first}).fetchone()
    assert row is not None
    return Subscriber(None if row[0] is None else Block(*row[:4]), *row[4:])
