"""Refunds in doubt as people see them, and what they decide about them.

As `resolutions` does for debits: a decision is a fact with a name and a reason, made only where no
machine is at it, and ends the refund by the one statement that ends refunds.
"""

from dataclasses import dataclass
from datetime import datetime

from ppcd.store.refund_jobs import LAST_SENT, OPEN_SINCE, RefundEnded, Result, end
from ppcd.store.refunds import lock_charge
from ppcd.store.resolutions import WHICH, Obstacle, Resolution, Unresolved, Which
from ppcd.store.sql import Cursor


@dataclass(frozen=True, slots=True)
class OpenRefund:
    """A refund that has not ended."""

    refund_id: int
    charge_id: int
    state: str
    #: Since it is in review, or in doubt, or was accepted.
    since: datetime
    partner: str
    msisdn: int
    amount_minor: int
    currency: str
    billing: str
    attempts: int
    #: What comes next and when, unless it is in review.
    plan: str
    run_at: datetime


_SELECT = """
    SELECT j.refund_id, j.charge_id, s.state,
           coalesce(j.review_since, j.doubt_since, j.accepted_at), p.name, j.msisdn,
           j.amount_minor, j.currency, j.billing, j.attempts, j.plan, j.run_at
"""
_JOINS = """
      JOIN partner p ON p.partner_id = j.partner_id
      JOIN refund_status s ON s.charge_id = j.charge_id AND s.refund_id = j.refund_id
"""
_LIST = f"""
    {_SELECT}
      FROM (SELECT * FROM refund_job WHERE {WHICH} ORDER BY refund_id LIMIT %(limit)s) j
    {_JOINS}
     ORDER BY j.refund_id
"""
_COUNT = f"SELECT count(*) FROM refund_job WHERE {WHICH}"
_ONE = f"{_SELECT} FROM refund_job j {_JOINS} WHERE j.refund_id = %s"


def list_open(cur: Cursor, *, which: Which, limit: int) -> tuple[list[OpenRefund], int]:
    """The oldest refunds that have not ended, and how many there are in all."""
    wanted = {"which": which.value, "limit": limit}
    found = [OpenRefund(*row) for row in cur.execute(_LIST, wanted).fetchall()]
    row = cur.execute(_COUNT, wanted).fetchone()
    assert row is not None
    return found, row[0]


def get_open(cur: Cursor, refund_id: int) -> OpenRefund | None:
    """One refund that has not ended."""
    row = cur.execute(_ONE, [refund_id]).fetchone()
    return None if row is None else OpenRefund(*row)


_CHARGE = "SELECT charge_id FROM refund WHERE refund_id = %s"


def charge_of(cur: Cursor, refund_id: int) -> int | None:
    """The charge that a refund is of."""
    row = cur.execute(_CHARGE, [refund_id]).fetchone()
    return None if row is None else row[0]


_READ = f"""
    SELECT j.attempts, j.doubt_since IS NOT NULL,
           j.review_since IS NULL AND j.run_at > t.now AND {OPEN_SINCE} IS NOT NULL,
           extract(epoch FROM t.now - {LAST_SENT})::float8
      FROM refund_job j, (SELECT business_now() AS now) t
     WHERE j.refund_id = %s
"""
_INSERT = """
    INSERT INTO refund_resolution (charge_id, refund_id, state, reason, reference, person,
                                   resolved_at)
    VALUES (%s, %s, %s, %s, %s, %s, business_now())
"""


def resolve(
    cur: Cursor,
    refund_id: int,
    resolution: Resolution,
    *,
    quiet_period_s: float,
    lease_s: float = 0,
) -> RefundEnded | Unresolved:
    """End a refund of the resolution's charge as a person says.

    `quiet_period_s`: how long after an intent billing may still give back; a denial before that
    could be followed by the refund.
    """
    # Whoever begins or ends a refund takes this lock first: nothing changes under our eyes.
    lock_charge(cur, resolution.charge_id)
    row = cur.execute(_READ, [refund_id]).fetchone()
    if row is None:
        return Unresolved(Obstacle.ENDED)
    attempts, in_doubt, under_way, quiet_s = row
    if not in_doubt:
        return Unresolved(Obstacle.NOT_IN_DOUBT)
    if under_way:
        return Unresolved(Obstacle.UNDER_WAY)
    left_s = 0.0 if quiet_s is None else quiet_period_s - quiet_s
    if resolution.state == "denied" and left_s > 0:
        return Unresolved(Obstacle.NOT_QUIET, left_s)
    cur.execute(
        _INSERT,
        [
            *(resolution.charge_id, refund_id, resolution.state.value, resolution.why),
            *(resolution.reference, resolution.person),
        ],
    )
    result = Result(
        *(resolution.charge_id, refund_id, attempts, "", resolution.state),
        reason=resolution.reason,
        reference=resolution.reference,
    )
    ended = end(cur, result, lease_s=lease_s)
    assert ended is not None
    return ended
