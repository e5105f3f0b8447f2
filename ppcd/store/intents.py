"""Intents: what is recorded before the first byte goes to billing.

Owns that an attempt is recorded before it is made, that nobody makes one that no longer fits, and
that what was never begun in time never is. A charge of two steps is reserved first, whatever its
job says: the confirming statement did not look. Refuses to know answers.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ppcd.store.debits import Next, Result, end
from ppcd.store.limits import NO_SUM_LIMITS, SumLimits
from ppcd.store.reservations import let_go
from ppcd.store.rows import Ended
from ppcd.store.spending import grant, lock
from ppcd.store.sql import Cursor, columns, integers

# As tuples: thousands a second are made, and a frozen dataclass takes three times as long.


class Begun(NamedTuple):
    """An attempt on record: it may be made now."""

    attempt: int
    #: What the adapter sends along.
    merchant: str
    description: str
    #: How long ago an earlier attempt may have reached billing. None: this is the first that can.
    doubt_s: float | None
    #: What the attempt is, and what the job is for: a charge of two steps is reserved first.
    kind: str = "debit"
    act: str = "debit"
    #: Billing's reference of the reservation, and how that ended.
    reservation: str | None = None
    decision: str | None = None


class Intent(NamedTuple):
    """What a worker wants to do about a job: what it is for, or ask what became of it."""

    charge_id: int
    attempt: int
    #: `debit`, `reserve`, `capture`, `release` or `query`.
    kind: str = "debit"
    #: The worker knows that billing may have debited already.
    repeat: bool = False


_WAIT = "SELECT FROM debit_job WHERE charge_id = ANY(%s::bigint[]) ORDER BY charge_id FOR UPDATE"

_LOCK = """
    SELECT j.charge_id, j.attempts, coalesce(j.doubt_since, o.intended_at),
           extract(epoch FROM t.now - j.doubt_since)::float8,
           extract(epoch FROM t.now - coalesce(j.doubt_since, o.intended_at))::float8,
           t.now > j.start_by, j.act, j.plan, c.two_step, c.merchant, c.description, o.node, o.kind,
           CASE WHEN j.act <> 'debit'
                THEN (SELECT r.reference FROM debit_result r
                       WHERE r.charge_id = j.charge_id AND r.result = 'reserved'
                       ORDER BY r.attempt LIMIT 1) END,
           CASE WHEN j.act = 'release'
                THEN (SELECT x.decision FROM reservation_decision x
                       WHERE x.charge_id = j.charge_id) END
      FROM debit_job j
      JOIN charge c ON c.charge_id = j.charge_id
      LEFT JOIN LATERAL (
           SELECT d.intended_at, d.node, d.kind FROM debit_attempt d
            WHERE d.charge_id = j.charge_id AND d.attempt = j.attempts AND d.kind <> 'query'
              AND NOT EXISTS (SELECT FROM debit_result r
                               WHERE r.charge_id = d.charge_id AND r.attempt = d.attempt)
           ) o ON true,
           (SELECT business_now() AS now) t
     WHERE j.charge_id = ANY(%s::bigint[]) AND j.review_since IS NULL
     ORDER BY j.charge_id
       FOR UPDATE OF j
"""


class _Job(NamedTuple):
    """A locked job with what a new attempt at it needs."""

    charge_id: int
    attempts: int
    #: Since when billing may have debited, for the job says so or an attempt is open; and how long
    #: that is: as the job says, and as either says.
    doubt_since: datetime | None
    known_doubt_s: float | None
    doubt_s: float | None
    #: It was to be begun before now.
    late: bool
    act: str
    plan: str
    two_step: bool
    merchant: str
    description: str
    open_by: str | None
    open_kind: str | None
    reservation: str | None
    decision: str | None

    def fresh(self) -> "_Job":
        """The job as its charge wants it: nobody has begun it."""
        if self.two_step and self.act == "debit":
            return self._replace(act="reserve", plan="reserve")
        return self

    def takes(self, kind: str) -> bool:
        """Whether an attempt of this kind still is what is to be done about the job."""
        match kind:
            case "release":
                return self.plan == "release"
            case "query":
                return self.plan != "release"
            case _:
                return self.act == kind and self.plan != "release"

    def begun(self, attempt: int, kind: str, doubt_s: float | None) -> Begun:
        return Begun(
            attempt,
            self.merchant,
            self.description,
            doubt_s,
            kind,
            self.act,
            self.reservation,
            self.decision,
        )


_TAKE = """
    WITH taken AS (
        UPDATE debit_job j
           SET attempts = w.attempt, doubt_since = w.doubt_since, act = w.act, plan = w.plan,
               run_at = (SELECT business_now()) + make_interval(secs => %(lease_s)s)
          FROM unnest(%(charge_id)s::bigint[], %(attempt)s::bigint[], %(kind)s::text[],
                      %(doubt_since)s::timestamptz[], %(act)s::text[], %(plan)s::text[])
               AS w(charge_id, attempt, kind, doubt_since, act, plan)
         WHERE j.charge_id = w.charge_id
        RETURNING w.charge_id, w.attempt, w.kind, j.billing
    )
    INSERT INTO debit_attempt (charge_id, attempt, kind, billing, node, intended_at)
    SELECT charge_id, attempt, kind, billing, %(node)s, (SELECT business_now()) FROM taken
"""


def begin(
    cur: Cursor,
    batch: Sequence[Intent],
    *,
    node: str,
    lease_s: float,
    limits: SumLimits = NO_SUM_LIMITS,
    repeat: bool = False,
) -> list[Begun | Ended | None]:
    """Record attempts before they are made. None: it must not be made, others see to the job.

    An earlier attempt without a result makes the charge doubtful from the moment it was intended.
    A debit that was not begun in time, and of which nothing can have reached billing, is denied;
    so is one whose first attempt would be over a limit.
    With `repeat`, the commit's answer was lost: what this node has on record then is what it asks
    for, and nobody has sent it.
    """
    wanted = {intent.charge_id: intent for intent in batch}
    lock(cur, list(wanted), limits)
    if repeat:  # for the first run's end: what it wrote is seen by the next statement, not by this
        cur.execute(_WAIT, [integers(sorted(wanted))])
    cur.execute(_LOCK, [integers(sorted(wanted))])
    taken: list[_Taken] = []
    begun: dict[int, Begun] = {}
    late: list[_Job] = []
    for job in map(_Job._make, cur.fetchall()):
        intent = wanted[job.charge_id]
        if repeat and intent.attempt == job.attempts and job.open_by == node:
            assert job.open_kind is not None
            begun[job.charge_id] = job.begun(job.attempts, job.open_kind, job.known_doubt_s)
            continue
        if intent.attempt != job.attempts + 1:
            continue  # somebody else took the job over
        if job.doubt_since is not None and not (intent.repeat or intent.kind == "query"):
            continue  # it became doubtful under another node: this worker's plan is no longer right
        # A job that is as it was confirmed says `debit`, whatever its charge wants.
        kind = job.fresh().act if (intent.kind, job.act) == ("debit", "debit") else intent.kind
        job = job.fresh()
        if not job.takes(kind):
            continue
        if job.doubt_since is None and job.late and kind != "release":
            late.append(job)
            continue
        begun[job.charge_id] = job.begun(intent.attempt, kind, job.doubt_s)
        taken.append(
            _Taken(job.charge_id, intent.attempt, kind, job.doubt_since, job.act, job.plan)
        )
    over = grant(cur, [t.charge_id for t in taken if t.attempt == 1], limits)
    if over:
        taken = [t for t in taken if t.charge_id not in over]
    if taken:
        values = columns(taken, _Taken._fields)
        cur.execute(_TAKE, values | {"node": node, "lease_s": lease_s})
    # Money that is held already must be let go before the charge can end.
    let_go(cur, [job.charge_id for job in late if job.act == "capture"])
    ends = [
        Result(job.charge_id, job.attempts, "", Next.DENIED, reason="BILLING_UNAVAILABLE")
        for job in late
        if job.act != "capture"
    ]
    ends += [Result(c, 0, "", Next.DENIED, reason="LIMIT_EXCEEDED") for c in over]
    ended = end(cur, ends, lease_s)
    ended |= {c: ended[c]._replace(limit=limit) for c, limit in over.items()}
    return [ended.get(i.charge_id) or begun.get(i.charge_id) for i in batch]


class _Taken(NamedTuple):
    charge_id: int
    attempt: int
    kind: str
    doubt_since: datetime | None
    act: str
    plan: str
