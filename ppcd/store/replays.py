"""Events as people see them, and having them told again.

Owns that a replay is a fact with a name and a reason, and goes under the event's own id. Refuses to
know what an event says and how it is posted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ppcd.store.ids import first_id_of
from ppcd.store.rows import WebhookKey
from ppcd.store.sql import Cursor, columns


class Which(StrEnum):
    """Which events are meant."""

    #: Given up: nobody tries them any more.
    DEAD = "dead"
    #: Due, or to be tried again.
    WAITING = "waiting"
    #: Told, or not wanted (410).
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for. The times are those of the charges' creation, `until` not included."""

    which: Which
    partner_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """One event: to whom, and how telling it goes."""

    charge_id: int
    sequence: int
    partner: str
    url: str
    made_at: datetime
    attempts: int
    #: The last attempt's, if there was one.
    result: str | None
    detail: str | None
    #: When it is tried next; None when it is not.
    run_at: datetime | None
    dead_since: datetime | None

    @property
    def which(self) -> Which:
        if self.dead_since is not None:
            return Which.DEAD
        return Which.OVER if self.run_at is None else Which.WAITING


_TOLD = """
    SELECT n.charge_id, n.sequence, p.name, coalesce(j.url, r.url, n.url), n.made_at,
           coalesce(j.attempts, d.attempt, 0), d.result, d.detail,
           CASE WHEN j.dead_since IS NULL THEN j.run_at END, j.dead_since
      FROM found f
      JOIN notification n ON n.charge_id = f.charge_id AND n.sequence = f.sequence
      JOIN charge c ON c.charge_id = n.charge_id
      JOIN partner p ON p.partner_id = c.partner_id
      LEFT JOIN webhook_job j ON j.charge_id = n.charge_id AND j.sequence = n.sequence
      LEFT JOIN LATERAL (
        SELECT attempt, result, detail FROM delivery
         WHERE charge_id = n.charge_id AND sequence = n.sequence
         ORDER BY attempt DESC LIMIT 1) d ON true
      LEFT JOIN LATERAL (
        SELECT url FROM webhook_replay
         WHERE charge_id = n.charge_id AND sequence = n.sequence
         ORDER BY after_attempt DESC LIMIT 1) r ON true
     ORDER BY n.charge_id, n.sequence
"""

_ID_MAX: Final = 2**63 - 1

_PERIOD = """
       AND (%(partner_id)s::bigint IS NULL OR x.partner_id = %(partner_id)s)
       AND (%(first)s::bigint IS NULL OR x.charge_id >= %(first)s)
       AND (%(end)s::bigint IS NULL OR x.charge_id < %(end)s)
     ORDER BY x.charge_id LIMIT %(limit)s
"""

_FIND = {
    Which.DEAD: f"""
    SELECT x.charge_id, x.sequence FROM webhook_job x
     WHERE x.dead_since IS NOT NULL {_PERIOD}
""",
    Which.WAITING: f"""
    SELECT x.charge_id, x.sequence FROM webhook_job x
     WHERE x.dead_since IS NULL {_PERIOD}
""",
    Which.OVER: f"""
    SELECT x.charge_id, n.sequence FROM charge x JOIN notification n USING (charge_id)
     WHERE NOT EXISTS (SELECT FROM webhook_job j
                        WHERE j.charge_id = n.charge_id AND j.sequence = n.sequence) {_PERIOD}
""",
}


def find(cur: Cursor, search: Search, *, limit: int) -> list[Told]:
    """The events looked for, those of the oldest charges first."""
    values = {
        "partner_id": search.partner_id,
        "first": None if search.since is None else _first_id(search.since),
        "end": None if search.until is None else _first_id(search.until),
        "limit": limit,
    }
    cur.execute(f"WITH found AS ({_FIND[search.which]}) {_TOLD}", values)
    return [Told(*row) for row in cur.fetchall()]


def _first_id(when: datetime) -> int:
    """The same for times that no id can have."""
    return min(max(first_id_of(when), 0), _ID_MAX)


_OF_CHARGE = "SELECT charge_id, sequence FROM notification WHERE charge_id = %s"


def of_charge(cur: Cursor, charge_id: int) -> list[Told]:
    """The events of one charge."""
    cur.execute(f"WITH found AS ({_OF_CHARGE}) {_TOLD}", [charge_id])
    return [Told(*row) for row in cur.fetchall()]


@dataclass(frozen=True, slots=True)
class Tried:
    """Something that happened to an event."""

    at: datetime
    what: str
    detail: str


_TRIED = """
    SELECT attempted_at, 'attempt ' || attempt, concat_ws(', ', result, detail)
      FROM delivery WHERE charge_id = %(charge_id)s AND sequence = %(sequence)s
    UNION ALL
    SELECT replayed_at, 'replay', format('to %%s, by %%s: %%s', url, person, reason)
      FROM webhook_replay WHERE charge_id = %(charge_id)s AND sequence = %(sequence)s
    ORDER BY 1
"""


def tried(cur: Cursor, key: WebhookKey) -> list[Tried]:
    """All that was done about an event, in order."""
    cur.execute(_TRIED, {"charge_id": key.charge_id, "sequence": key.sequence})
    return [Tried(*row) for row in cur.fetchall()]


# A charge without a sink of its own is told where its partner is told by now: that the address was
# wrong is the commonest reason for a replay. What is left of the three days begins anew.
_REPLAY = """
    WITH t AS MATERIALIZED (SELECT business_now() AS now), w AS MATERIALIZED (
        SELECT n.charge_id, n.sequence, c.partner_id,
               CASE WHEN c.sink IS NULL THEN coalesce(p.webhook_url, n.url) ELSE n.url END AS url,
               (SELECT coalesce(max(d.attempt), 0) FROM delivery d
                 WHERE d.charge_id = n.charge_id AND d.sequence = n.sequence) AS attempts
          FROM unnest(%(charge_id)s::bigint[], %(sequence)s::bigint[]) AS k(charge_id, sequence)
          JOIN notification n USING (charge_id, sequence)
          JOIN charge c USING (charge_id)
          JOIN partner p USING (partner_id)
         ORDER BY 1, 2
    ), due AS (
        INSERT INTO webhook_job AS j (charge_id, sequence, partner_id, attempts, first_at, run_at,
                                      url)
        SELECT w.charge_id, w.sequence, w.partner_id, w.attempts, t.now, t.now, w.url FROM w, t
            ON CONFLICT (charge_id, sequence) DO UPDATE
           SET dead_since = NULL, first_at = excluded.first_at, run_at = excluded.run_at,
               url = excluded.url
        RETURNING j.charge_id, j.sequence, j.attempts, j.url
    )
    INSERT INTO webhook_replay (charge_id, sequence, after_attempt, url, person, reason,
                                replayed_at)
    SELECT due.charge_id, due.sequence, due.attempts, due.url, %(person)s, %(reason)s, t.now
      FROM due, t
        ON CONFLICT DO NOTHING
"""


def replay(cur: Cursor, keys: Sequence[WebhookKey], *, person: str, reason: str) -> None:
    """Have these events told again, at once and under their old ids; whoever says so is recorded.

    Said again before the next attempt, it changes nothing.
    """
    values = columns(keys, ("charge_id", "sequence"))
    cur.execute(_REPLAY, values | {"person": person, "reason": reason})
