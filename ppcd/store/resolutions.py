"""Debits in doubt as people see them, and what they decide about them.

Owns that a person's decision is a fact with a name and a reason, made only where no machine is at
it, and ends the charge by the one statement that ends charges. Refuses to know how it was found
out.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from ppcd.charge.reservation import RELEASE_REASONS, Decision
from ppcd.store.debits import LAST_SENT, OPEN_SINCE, Next, Result, end
from ppcd.store.rows import Ended
from ppcd.store.sql import Cursor


class Which(StrEnum):
    """Which debits are listed."""

    ALL = "all"
    IN_DOUBT = "in_doubt"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class OpenDebit:
    """A debit that has not ended."""

    charge_id: int
    state: str
    #: Since it is in review, or in doubt, or was confirmed.
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


WHICH = """
       (%(which)s = 'all' OR (%(which)s = 'review') = (review_since IS NOT NULL)
                         AND doubt_since IS NOT NULL)
"""

_LIST = f"""
    SELECT j.charge_id, s.state, coalesce(j.review_since, j.doubt_since, j.confirmed_at), p.name,
           j.msisdn, j.amount_minor, j.currency, j.billing, j.attempts, j.plan, j.run_at
      FROM (SELECT * FROM debit_job WHERE {WHICH}
             ORDER BY charge_id LIMIT %(limit)s) j
      JOIN partner p ON p.partner_id = j.partner_id
      JOIN charge_status s ON s.charge_id = j.charge_id
     ORDER BY j.charge_id
"""

_COUNT = f"SELECT count(*) FROM debit_job WHERE {WHICH}"


def list_open(cur: Cursor, *, which: Which, limit: int) -> tuple[list[OpenDebit], int]:
    """The oldest charges whose debit has not ended, and how many there are in all."""
    wanted = {"which": which.value, "limit": limit}
    found = [OpenDebit(*row) for row in cur.execute(_LIST, wanted).fetchall()]
    row = cur.execute(_COUNT, wanted).fetchone()
    assert row is not None
    return found, row[0]


_ONE = """
    SELECT j.charge_id, s.state, coalesce(j.review_since, j.doubt_since, j.confirmed_at), p.name,
           j.msisdn, j.amount_minor, j.currency, j.billing, j.attempts, j.plan, j.run_at
      FROM debit_job j
      JOIN partner p ON p.partner_id = j.partner_id
      JOIN charge_status s ON s.charge_id = j.charge_id
     WHERE j.charge_id = %s
"""


def get_open(cur: Cursor, charge_id: int) -> OpenDebit | None:
    """One debit that has not ended."""
    row = cur.execute(_ONE, [charge_id]).fetchone()
    return None if row is None else OpenDebit(*row)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a person found out about a debit."""

    charge_id: int
    state: Next
    #: In the person's own words.
    why: str
    person: str
    #: What the partner is told about a denial.
    reason: str | None = None
    reference: str | None = None


class Obstacle(StrEnum):
    """Why a resolution was not carried out."""

    NO_DEBIT = "no_debit"
    ENDED = "ended"
    NOT_IN_DOUBT = "not_in_doubt"
    UNDER_WAY = "under_way"
    NOT_QUIET = "not_quiet"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Nothing was changed."""

    obstacle: Obstacle
    #: Of NOT_QUIET: how long billing may still debit.
    left_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LettingGo:
    """Nothing was taken, but it may be held: it is released, and ends when billing has done so."""


# First, and apart: what is read beside the row must be as new as the row, and a statement that had
# to wait for it would see an attempt's intent as it was before.
_WAIT = "SELECT FROM debit_job WHERE charge_id = %s FOR UPDATE"

_READ = f"""
    SELECT j.attempts, j.doubt_since IS NOT NULL,
           j.review_since IS NULL AND j.run_at > t.now AND {OPEN_SINCE} IS NOT NULL,
           extract(epoch FROM t.now - {LAST_SENT})::float8,
           CASE j.act WHEN 'release' THEN (SELECT d.decision FROM reservation_decision d
                                            WHERE d.charge_id = j.charge_id) END,
           j.act = 'capture'
             OR j.act = 'reserve' AND j.plan <> 'release' AND j.review_since IS NULL
      FROM debit_job j, (SELECT business_now() AS now) t
     WHERE j.charge_id = %s
"""
_ENDED = "SELECT FROM outcome WHERE charge_id = %s"
_INSERT = """
    INSERT INTO debit_resolution (charge_id, state, reason, reference, person, resolved_at)
    VALUES (%(charge_id)s, %(state)s, %(why)s, %(reference)s, %(person)s, business_now())
"""


# Now, for the quiet has been waited for. A capture that was not made is let go of as one that came
# too late is; a reserve ends denied when it is let go.
_LET_GO = """
    UPDATE debit_job
       SET act = CASE act WHEN 'capture' THEN 'release' ELSE act END, plan = 'release',
           tried_before = attempts, doubt_since = NULL, review_since = NULL,
           run_at = business_now()
     WHERE charge_id = %s
"""


def resolve(
    cur: Cursor, resolution: Resolution, *, quiet_period_s: float, lease_s: float = 0
) -> Ended | LettingGo | Unresolved:
    """End a charge as a person says. Its notification and text are due after `lease_s`.

    Of two steps, money that is not taken may still be held: a denial lets go of it first.
    `quiet_period_s`: how long after an intent it may still debit; a denial before that could be
    followed by the debit.
    """
    charge_id = resolution.charge_id
    cur.execute(_WAIT, [charge_id])
    row = cur.execute(_READ, [charge_id]).fetchone()
    if row is None:
        over = cur.execute(_ENDED, [charge_id]).fetchone() is not None
        return Unresolved(Obstacle.ENDED if over else Obstacle.NO_DEBIT)
    attempts, in_doubt, under_way, quiet_s, let_go, may_be_held = row
    if not in_doubt:
        return Unresolved(Obstacle.NOT_IN_DOUBT)
    if under_way:
        return Unresolved(Obstacle.UNDER_WAY)
    left_s = 0.0 if quiet_s is None else quiet_period_s - quiet_s
    if resolution.state is Next.DENIED and left_s > 0:
        return Unresolved(Obstacle.NOT_QUIET, left_s)
    if resolution.state is Next.DENIED and let_go is not None:
        # What was reserved and is taken from nobody ends as a release does.
        reason = RELEASE_REASONS[Decision(let_go)].value
        resolution = replace(resolution, state=Next.CANCELLED, reason=reason)
    cur.execute(
        _INSERT,
        {
            "charge_id": charge_id,
            "state": resolution.state.value,
            "why": resolution.why,
            "reference": resolution.reference,
            "person": resolution.person,
        },
    )
    if resolution.state is Next.DENIED and may_be_held:
        cur.execute(_LET_GO, [charge_id])
        return LettingGo()
    result = Result(
        charge_id,
        attempts,
        "",
        resolution.state,
        reason=resolution.reason,
        reference=resolution.reference,
    )
    [ended] = end(cur, [result], lease_s).values()
    return ended
