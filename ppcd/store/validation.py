"""Consent by a PIN: what a partner posts that its subscriber typed.

Owns that each try is a fact, and that a right one is the same act as a phone's yes: it deletes the
row in `awaiting`. Refuses to know how the PIN reached the phone; it has only what was kept of it.
"""

from dataclasses import dataclass
from enum import StrEnum

from ppcd.charge.codes import is_pin
from ppcd.store.rows import DebitJob, Ended, webhook_key
from ppcd.store.sql import END, Cursor


class Tried(StrEnum):
    """What a try came to."""

    CONFIRMED = "confirmed"
    WRONG_CODE = "wrong_code"
    #: The last try that is allowed: the charge is declined.
    CODES_USED_UP = "codes_used_up"
    #: Not this charge's authorization: nothing was tried.
    WRONG_AUTHORIZATION = "wrong_authorization"
    #: Nothing waits for a PIN here, or no longer.
    NOT_AWAITED = "not_awaited"


@dataclass(frozen=True, slots=True)
class Try:
    """The outcome of a try, with the work that it made, leased to this node."""

    effect: Tried
    debit: DebitJob | None = None
    ended: Ended | None = None


_LOCK = """
    SELECT a.key, a.code, a.written_at IS NOT NULL, a.wrong_codes, c.authorization_id
      FROM charge c
      JOIN awaiting a ON a.key = c.msisdn * 1000 + c.address_no AND a.charge_id = c.charge_id
     WHERE c.charge_id = %s AND c.partner_id = %s AND a.by_pin
       AND a.expires_at > (SELECT business_now())
       FOR UPDATE OF a
"""

_FACT = """
    INSERT INTO validation (charge_id, try_no, effect, tried_at)
    VALUES (%s, %s, %s, business_now())
"""

_COUNT = "UPDATE awaiting SET wrong_codes = wrong_codes + 1 WHERE key = %s"

_CONFIRM = """
    WITH t AS MATERIALIZED (SELECT business_now() AS now), gone AS (
        DELETE FROM awaiting WHERE key = %(key)s RETURNING *
    )
    INSERT INTO debit_job (charge_id, partner_id, msisdn, amount_minor, currency, billing,
                           confirmed_at, start_by, run_at)
    SELECT charge_id, partner_id, key / 1000, amount_minor, currency, billing, t.now,
           t.now + make_interval(secs => debit_start_s),
           t.now + make_interval(secs => %(lease_s)s)
      FROM gone, t
    RETURNING charge_id, partner_id, msisdn, amount_minor, currency, billing, attempts
"""

_DECLINE = (
    """
    WITH gone AS (
        DELETE FROM awaiting WHERE key = %(key)s RETURNING charge_id
    ), ended AS (
        SELECT charge_id, 'declined' AS state, 'USER_DECLINED' AS reason, NULL AS billing_reference
          FROM gone
    )"""
    + END
    + """
    SELECT o.charge_id, w.sequence, w.partner_id
      FROM ended_outcome o LEFT JOIN ended_webhook w USING (charge_id)
"""
)


def validate(
    cur: Cursor,
    charge_id: int,
    *,
    partner_id: int,
    authorization_id: str,
    typed: str,
    wrong_codes_max: int,
    lease_s: float,
) -> Try:
    """Try a PIN. Before its text was written no PIN is right: nobody can know it."""
    row = cur.execute(_LOCK, [charge_id, partner_id]).fetchone()
    if row is None:
        return Try(Tried.NOT_AWAITED)
    key, kept, written, wrong_codes, wanted = row
    if authorization_id != wanted:
        return Try(Tried.WRONG_AUTHORIZATION)
    try_no = wrong_codes + 1
    if written and is_pin(kept, wanted, typed):
        effect = Tried.CONFIRMED
    else:
        effect = Tried.CODES_USED_UP if try_no >= wrong_codes_max else Tried.WRONG_CODE
    cur.execute(_FACT, [charge_id, try_no, effect.value])
    values = {"key": key, "lease_s": lease_s}
    match effect:
        case Tried.CONFIRMED:
            [job] = cur.execute(_CONFIRM, values).fetchall()
            return Try(effect, debit=DebitJob(*job))
        case Tried.CODES_USED_UP:
            [row] = cur.execute(_DECLINE, values).fetchall()
            ended = Ended(charge_id, "declined", webhook_key(*row))
            return Try(effect, ended=ended)
        case _:
            cur.execute(_COUNT, [key])
            return Try(effect)
