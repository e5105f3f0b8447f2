"""Reservations: money that is held until the partner decides.

Owns that a reservation ends once: confirming it, cancelling it and letting it lapse all delete its
row, and who deletes it inserts the job that captures or releases. Refuses to know billing systems.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ppcd.charge.reservation import Act, Decision
from ppcd.store.rows import DebitJob, Ended, webhook_key
from ppcd.store.sql import Cursor, columns


@dataclass(frozen=True, slots=True)
class Held:
    """Money that billing holds, and how long the partner may take to decide."""

    charge_id: int
    lapse_s: float


# Held is held, whichever attempt says so: unless it was given up, and is being let go.
_HOLD = """
    WITH t AS MATERIALIZED (SELECT business_now() AS now), gone AS (
        DELETE FROM debit_job j
         USING unnest(%(charge_id)s::bigint[], %(lapse_s)s::float8[]) AS w(charge_id, lapse_s)
         WHERE j.charge_id = w.charge_id AND j.act = 'reserve' AND j.plan <> 'release'
           AND j.review_since IS NULL
        RETURNING j.*, w.lapse_s
    ), held AS (
        INSERT INTO reservation (charge_id, partner_id, msisdn, amount_minor, currency, billing,
                                 attempts, counted_on, reserved_at, lapses_at)
        SELECT charge_id, partner_id, msisdn, amount_minor, currency, billing, attempts,
               counted_on, t.now, t.now + make_interval(secs => lapse_s)
          FROM gone, t
    ), notified AS (
        INSERT INTO notification (charge_id, sequence, kind, url, made_at)
        SELECT g.charge_id, 2, 'reserved', coalesce(c.sink, p.webhook_url), t.now
          FROM gone g
          JOIN charge c ON c.charge_id = g.charge_id
          JOIN partner p ON p.partner_id = g.partner_id, t
         WHERE coalesce(c.sink, p.webhook_url) IS NOT NULL
        RETURNING charge_id, sequence
    ), jobs AS (
        INSERT INTO webhook_job (charge_id, sequence, partner_id, first_at, run_at)
        SELECT n.charge_id, n.sequence, g.partner_id, t.now,
               t.now + make_interval(secs => %(lease_s)s)
          FROM notified n JOIN gone g USING (charge_id), t
    )
    SELECT g.charge_id, n.sequence, g.partner_id FROM gone g LEFT JOIN notified n USING (charge_id)
"""


def hold(cur: Cursor, held: Sequence[Held], *, lease_s: float) -> dict[int, Ended]:
    """Let the partner decide about what billing holds; the charges of which that was new."""
    if not held:
        return {}
    ordered = sorted(held, key=lambda one: one.charge_id)
    cur.execute(_HOLD, columns(ordered, ("charge_id", "lapse_s")) | {"lease_s": lease_s})
    return {
        charge_id: Ended(charge_id, "reserved", webhook_key(charge_id, sequence, partner_id))
        for charge_id, sequence, partner_id in cur.fetchall()
    }


_LET_GO = """
    UPDATE debit_job
       SET act = 'release', plan = 'release', tried_before = attempts, run_at = business_now()
     WHERE charge_id = ANY(%s::bigint[])
"""


def let_go(cur: Cursor, charge_ids: Sequence[int]) -> None:
    """Release what could not be captured in time, now; the jobs are locked."""
    if charge_ids:
        cur.execute(_LET_GO, [list(charge_ids)])


# After `gone`: the decision as a fact, and the job that carries it out. Wants %(decision)s, %(act)s
# and %(lease_s)s.
_DECIDED = """
    , facts AS (
        INSERT INTO reservation_decision (charge_id, decision, decided_at)
        SELECT charge_id, %(decision)s, t.now FROM gone, t
    )
    INSERT INTO debit_job (charge_id, partner_id, msisdn, amount_minor, currency, billing,
                           confirmed_at, start_by, attempts, tried_before, counted_on, act, plan,
                           run_at)
    SELECT g.charge_id, g.partner_id, g.msisdn, g.amount_minor, g.currency, g.billing, t.now,
           t.now + make_interval(secs => c.debit_start_s), g.attempts, g.attempts,
           g.counted_on, %(act)s, %(act)s,
           t.now + make_interval(secs => %(lease_s)s)
      FROM gone g JOIN charge c ON c.charge_id = g.charge_id, t
    RETURNING charge_id, partner_id, msisdn, amount_minor, currency, billing, attempts, plan,
              false, NULL::float8, NULL::float8, act, tried_before
"""

_DECIDE = (
    """
    WITH t AS MATERIALIZED (SELECT business_now() AS now), gone AS (
        DELETE FROM reservation
         WHERE charge_id = %(charge_id)s AND partner_id = %(partner_id)s
           AND lapses_at > (SELECT now FROM t)
        RETURNING *
    )"""
    + _DECIDED
)

_LAPSE = (
    """
    WITH t AS MATERIALIZED (SELECT business_now() AS now), due AS MATERIALIZED (
        SELECT charge_id FROM reservation WHERE lapses_at <= (SELECT now FROM t)
         ORDER BY lapses_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM reservation r USING due WHERE r.charge_id = due.charge_id RETURNING r.*
    )"""
    + _DECIDED
)

_ACTS = {
    Decision.CONFIRMED: Act.CAPTURE,
    Decision.CANCELLED: Act.RELEASE,
    Decision.LAPSED: Act.RELEASE,
}


def decide(
    cur: Cursor, charge_id: int, *, partner_id: int, decision: Decision, lease_s: float
) -> DebitJob | None:
    """Confirm or cancel; None when there is no reservation of this partner's to decide about."""
    wanted = {"charge_id": charge_id, "partner_id": partner_id, "lease_s": lease_s}
    row = cur.execute(_DECIDE, wanted | _about(decision)).fetchone()
    return None if row is None else DebitJob(*row)


def lapse(cur: Cursor, *, limit: int, lease_s: float) -> list[DebitJob]:
    """Let go of what nobody has decided about in time, the oldest first."""
    cur.execute(_LAPSE, {"limit": limit, "lease_s": lease_s} | _about(Decision.LAPSED))
    return [DebitJob(*row) for row in cur.fetchall()]


def _about(decision: Decision) -> dict[str, object]:
    return {"decision": decision.value, "act": _ACTS[decision].value}


_LAST = "SELECT decision FROM reservation_decision WHERE charge_id = %s"


def decision_of(cur: Cursor, charge_id: int) -> Decision | None:
    """How a charge's reservation ended; None while it has not, or where there was none."""
    row = cur.execute(_LAST, [charge_id]).fetchone()
    return None if row is None else Decision(row[0])
