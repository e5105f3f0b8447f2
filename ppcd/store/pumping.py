"""Partners whose subscribers seldom say yes, and how much such a partner may still ask.

Owns the counts, over all nodes. What `held_back` says is exact, for it holds the partner's lock to
the commit. Refuses to know which share of yeses is too small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from ppcd.store.ids import first_id_of
from ppcd.store.rows import NewCharge
from ppcd.store.sql import Cursor, integers
from ppcd.store.subscribers import Spared, Why

#: By partner_id, how many charges it may have created in a minute.
Slow = Mapping[int, int]
NOBODY: Final[Slow] = MappingProxyType({})

_MINUTE: Final = timedelta(minutes=1)
#: An id is of its node's clock, a time of the database's: so far they may be apart.
_SLACK: Final = timedelta(minutes=10)
#: Charges that were created longer before their end are not looked at; few are.
_LIFETIME: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """How many of a partner's charges came to their end of late, and how many had a yes."""

    partner_id: int
    name: str
    asked: int
    agreed: int


# A reservation that its partner cancelled had a yes, too.
_ASKED = """
    SELECT p.partner_id, p.name, count(*),
           count(*) FILTER (
               WHERE o.state IN ('succeeded', 'denied')
                  OR (o.state = 'cancelled'
                      AND EXISTS (SELECT FROM reply r
                                   WHERE r.charge_id = o.charge_id AND r.effect = 'confirmed')))
      FROM outcome o
      JOIN charge c ON c.charge_id = o.charge_id
      JOIN partner p ON p.partner_id = c.partner_id
     WHERE o.decided_at > %(since)s AND o.charge_id >= %(first)s AND c.charge_id >= %(first)s
     GROUP BY p.partner_id, p.name
    HAVING count(*) >= %(asked_min)s
"""


def asked_of_late(cur: Cursor, *, window_s: float, asked_min: int) -> list[Asked]:
    """The partners that have asked at least so many within the window."""
    row = cur.execute("SELECT business_now()").fetchone()
    assert row is not None
    since = row[0] - timedelta(seconds=window_s)
    first = first_id_of(since - _LIFETIME)
    found = cur.execute(_ASKED, {"since": since, "first": first, "asked_min": asked_min})
    return [Asked(*each) for each in found.fetchall()]


# Below zero: no subscriber's lock is. Taken after theirs, in one order on all nodes.
_LOCK_PARTNERS = "SELECT pg_advisory_xact_lock(-p) FROM unnest(%s::bigint[]) AS p"

_RECENT = """
    SELECT w.partner_id,
           ARRAY(SELECT c.created_at FROM charge c
                  WHERE c.partner_id = w.partner_id AND c.charge_id >= %(first)s
                    AND c.created_at > %(now)s - interval '1 minute'
                  ORDER BY c.charge_id DESC LIMIT w.per_minute)
      FROM unnest(%(partner_id)s::bigint[], %(per_minute)s::bigint[]) AS w(partner_id, per_minute)
"""


def held_back(
    cur: Cursor, wanted: Sequence[NewCharge], slow: Slow, *, now: datetime
) -> dict[int, Spared]:
    """By charge_id, those that are not to be created: their partner is slowed and has had its share
    of this minute.
    """
    partners = sorted({new.partner_id for new in wanted if new.partner_id in slow})
    if not partners:
        return {}
    cur.execute(_LOCK_PARTNERS, [integers(partners)])
    cur.execute(
        _RECENT,
        {
            "now": now,
            "first": first_id_of(now - _MINUTE - _SLACK),
            "partner_id": integers(partners),
            "per_minute": integers(slow[partner_id] for partner_id in partners),
        },
    )
    #: Each partner's newest, the newest first.
    recent = {row[0]: sorted(row[1], reverse=True) for row in cur.fetchall()}
    found = {}
    for new in wanted:
        if new.partner_id not in slow:
            continue
        times, most = recent[new.partner_id], slow[new.partner_id]
        if len(times) >= most:
            # There is room again when the `most`-newest is a minute old.
            wait = times[most - 1] + _MINUTE - now
            found[new.charge_id] = Spared(Why.SLOWED, wait.total_seconds())
        else:
            times.insert(0, now)
    return found
