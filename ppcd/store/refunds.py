"""Refunds: accepted one at a time for each charge, and read again.

Owns that one request makes one refund, and that those of a charge never exceed its debit in sum:
both are decided under the charge's lock. Refuses to know partners' wire formats, and billing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ppcd.charge.money import Money
from ppcd.charge.refund import Refusal, refundable
from ppcd.store.ids import time_of
from ppcd.store.partitions import Month
from ppcd.store.rows import RefundJob
from ppcd.store.sql import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """A refund as `flow` has read and checked it, before it is known how much is left."""

    refund_id: int
    charge_id: int
    partner_id: int
    msisdn: int
    billing: str
    debited: Money
    #: None: all that is left.
    wanted: Money | None
    #: Billing gives back all of a debit or nothing.
    whole_only: bool
    #: Why there can be none, whatever is left.
    obstacle: "Refusal | Obstacle | None"
    reference: str
    correlator: str | None
    fingerprint: bytes
    reason: str | None
    sink: str | None
    sink_token: str | None
    sink_token_expires_at: datetime | None
    document: str
    start_s: float


class Obstacle(StrEnum):
    """Why a refund was not accepted, beside what the money says."""

    CORRELATOR_TAKEN = "correlator_taken"
    REFERENCE_TAKEN = "reference_taken"
    #: Billing gives nothing back.
    NOT_REVERSIBLE = "not_reversible"
    #: Retention has dropped what partners were told at the time: there is nowhere to tell this.
    TOO_OLD = "too_old"


@dataclass(frozen=True, slots=True)
class RefundRow:
    """A refund with its status."""

    charge_id: int
    refund_id: int
    partner_id: int
    whole: bool
    amount_minor: int
    currency: str
    reference: str
    reason: str | None
    sink: str | None
    document: str
    created_at: datetime
    state: str
    denial: str | None
    billing_reference: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A new refund, with its job, leased to whoever accepted it."""

    refund: RefundRow
    job: RefundJob


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same request came before; here is what it made."""

    refund: RefundRow | None


@dataclass(frozen=True, slots=True)
class Payment:
    """A charge as a refund needs it."""

    charge_id: int
    partner_id: int
    msisdn: int
    amount_minor: int
    currency: str
    billing: str
    document: str
    state: str


_PAYMENT = """
    SELECT c.charge_id, c.partner_id, c.msisdn, c.amount_minor, c.currency, c.billing, c.document,
           s.state
      FROM charge c JOIN charge_status s ON s.charge_id = c.charge_id
     WHERE c.charge_id = %s AND c.partner_id = %s
"""


def payment(cur: Cursor, charge_id: int, *, partner_id: int) -> Payment | None:
    """A partner's charge."""
    row = cur.execute(_PAYMENT, [charge_id, partner_id]).fetchone()
    return None if row is None else Payment(*row)


CreateResult = Accepted | Replayed | Refusal | Obstacle

#: One refund of a charge at a time, over all nodes: accepted, ended, resolved.
_LOCK = "SELECT pg_advisory_xact_lock(%s)"


def lock_charge(cur: Cursor, charge_id: int) -> None:
    """Wait until nobody else accepts or ends a refund of this charge; then keep them waiting."""
    cur.execute(_LOCK, [charge_id])


_TAKE_KEYS = """
    INSERT INTO refund_key (partner_id, kind, value_hash, charge_id, refund_id, fingerprint)
    SELECT %(partner_id)s, k.kind, k.value_hash, %(charge_id)s, %(refund_id)s, %(fingerprint)s
      FROM unnest(%(kind)s::text[], %(value_hash)s::bytea[]) AS k(kind, value_hash)
     ORDER BY k.kind
    ON CONFLICT DO NOTHING
"""

# A second statement: it sees what a concurrent winner committed while the first one waited. The
# correlator, where there is one, explains more than the reference.
_OWNERS = """
    SELECT k.kind, k.charge_id, k.refund_id, k.fingerprint
      FROM refund_key k
      JOIN unnest(%(kind)s::text[], %(value_hash)s::bytea[]) AS w(kind, value_hash)
           ON k.partner_id = %(partner_id)s AND k.kind = w.kind AND k.value_hash = w.value_hash
     WHERE k.refund_id <> %(refund_id)s
     ORDER BY k.kind
"""

_GIVE_KEYS_BACK = """
    DELETE FROM refund_key k
     USING unnest(%(kind)s::text[], %(value_hash)s::bytea[]) AS w(kind, value_hash)
     WHERE k.partner_id = %(partner_id)s AND k.kind = w.kind AND k.value_hash = w.value_hash
       AND k.refund_id = %(refund_id)s
"""

_GIVEN_BACK = """
    SELECT coalesce(sum(r.amount_minor), 0)::bigint
      FROM refund r
      LEFT JOIN refund_outcome o ON o.charge_id = r.charge_id AND o.refund_id = r.refund_id
     WHERE r.charge_id = %s AND o.state IS DISTINCT FROM 'denied'
"""

_INSERT = """
    INSERT INTO refund (charge_id, refund_id, partner_id, whole, amount_minor, currency, reference,
                        correlator, reason, sink, document, created_at)
    VALUES (%(charge_id)s, %(refund_id)s, %(partner_id)s, %(whole)s, %(amount_minor)s, %(currency)s,
            %(reference)s, %(correlator)s, %(reason)s, %(sink)s, %(document)s, business_now())
"""

_INSERT_JOB = """
    INSERT INTO refund_job (refund_id, charge_id, partner_id, msisdn, amount_minor, currency,
                            billing, accepted_at, start_by, run_at)
    SELECT %(refund_id)s, %(charge_id)s, %(partner_id)s, %(msisdn)s, %(amount_minor)s,
           %(currency)s, %(billing)s, created_at, created_at + make_interval(secs => %(start_s)s),
           created_at + make_interval(secs => %(lease_s)s)
      FROM refund WHERE charge_id = %(charge_id)s AND refund_id = %(refund_id)s
"""

_KEEP_FOR_SINK = "INSERT INTO sink_token (charge_id, token, expires_at) VALUES (%s, %s, %s)"


def given_back(cur: Cursor, charge_id: int) -> int:
    """Minor units of all refunds of a charge but the denied: also those that are still open."""
    row = cur.execute(_GIVEN_BACK, [charge_id]).fetchone()
    assert row is not None
    amount: int = row[0]
    return amount


def create(
    cur: Cursor, batch: Sequence[NewRefund], *, lease_s: float, repeat: bool = False
) -> list[CreateResult]:
    """Accept a refund, or say why not. One a transaction: two might wait for each other's locks.

    Running it again with the same arguments is harmless, which is all that `repeat` says: what the
    first run made is found by its own id.
    """
    [new] = batch
    return [_create(cur, new, lease_s)]


def _create(cur: Cursor, new: NewRefund, lease_s: float) -> CreateResult:
    lock_charge(cur, new.charge_id)
    [first_run] = get(cur, new.charge_id, [new.refund_id])
    if first_run is not None:
        return Accepted(first_run, _job(new, first_run))
    keys = _keys(new)
    cur.execute(_TAKE_KEYS, keys)
    owner = cur.execute(_OWNERS, keys).fetchone()
    if owner is not None:
        cur.execute(_GIVE_KEYS_BACK, keys)
        return _taken(cur, new, *owner)
    money = (
        new.obstacle
        or _too_old(cur, new)
        or refundable(
            new.debited, given_back(cur, new.charge_id), new.wanted, whole_only=new.whole_only
        )
    )
    if not isinstance(money, Money):
        # What is not accepted leaves no key behind: the same request may be right tomorrow.
        cur.execute(_GIVE_KEYS_BACK, keys)
        return money
    values = {
        "charge_id": new.charge_id,
        "refund_id": new.refund_id,
        "partner_id": new.partner_id,
        "msisdn": new.msisdn,
        "whole": new.wanted is None,
        "amount_minor": money.amount_minor,
        "currency": money.currency,
        "reference": new.reference,
        "correlator": new.correlator,
        "reason": new.reason,
        "sink": new.sink,
        "document": new.document,
        "billing": new.billing,
        "start_s": new.start_s,
        "lease_s": lease_s,
    }
    cur.execute(_INSERT, values)
    cur.execute(_INSERT_JOB, values)
    if new.sink_token is not None:
        cur.execute(_KEEP_FOR_SINK, [new.refund_id, new.sink_token, new.sink_token_expires_at])
    [row] = get(cur, new.charge_id, [new.refund_id])
    assert row is not None
    return Accepted(row, _job(new, row))


def _keys(new: NewRefund) -> dict[str, object]:
    keys = [("reference", new.reference)]
    if new.correlator is not None:
        keys.append(("correlator", new.correlator))
    return {
        "partner_id": new.partner_id,
        "charge_id": new.charge_id,
        "refund_id": new.refund_id,
        "fingerprint": new.fingerprint,
        "kind": [kind for kind, _ in keys],
        "value_hash": [hashlib.sha256(value.encode()).digest() for _, value in keys],
    }


def _taken(
    cur: Cursor, new: NewRefund, kind: str, charge_id: int, refund_id: int, fingerprint: bytes
) -> Replayed | Obstacle:
    """What the partner is to be told when one of the keys is another refund's."""
    if kind == "reference":
        return Obstacle.REFERENCE_TAKEN
    if bytes(fingerprint) != new.fingerprint:
        return Obstacle.CORRELATOR_TAKEN
    [row] = get(cur, charge_id, [refund_id])
    return Replayed(row)


def _too_old(cur: Cursor, new: NewRefund) -> Obstacle | None:
    month = Month.of(time_of(new.charge_id))
    row = cur.execute("SELECT to_regclass(%s)", [month.partition("notification")]).fetchone()
    return Obstacle.TOO_OLD if row is None or row[0] is None else None


def _job(new: NewRefund, row: RefundRow) -> RefundJob:
    return RefundJob(
        refund_id=row.refund_id,
        charge_id=row.charge_id,
        partner_id=row.partner_id,
        msisdn=new.msisdn,
        amount_minor=row.amount_minor,
        currency=row.currency,
        billing=new.billing,
        attempts=0,
    )


_COLUMNS = """
    SELECT r.charge_id, r.refund_id, r.partner_id, r.whole, r.amount_minor, r.currency, r.reference,
           r.reason, r.sink, r.document, r.created_at, s.state, s.reason, s.billing_reference,
           s.decided_at
      FROM refund r
      JOIN refund_status s ON s.charge_id = r.charge_id AND s.refund_id = r.refund_id
"""

_GET = f"{_COLUMNS} WHERE r.charge_id = %s AND r.refund_id = ANY(%s::bigint[])"


def get(cur: Cursor, charge_id: int, refund_ids: Sequence[int]) -> list[RefundRow | None]:
    """Refunds of a charge as they stand; None for one that it does not have."""
    found = {row[1]: RefundRow(*row) for row in cur.execute(_GET, [charge_id, list(refund_ids)])}
    return [found.get(refund_id) for refund_id in refund_ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundCriteria:
    """Which refunds of a charge. What is None does not matter; times include themselves, in
    milliseconds, as partners are shown them.
    """

    since: datetime | None = None
    until: datetime | None = None
    states: tuple[str, ...] | None = None
    merchant_identifier: str | None = None


_FIND = f"""
    {_COLUMNS}
     WHERE r.charge_id = %(charge_id)s
       AND date_trunc('milliseconds', r.created_at)
           BETWEEN coalesce(%(since)s::timestamptz, '-infinity')
               AND coalesce(%(until)s::timestamptz, 'infinity')
       AND (%(states)s::text[] IS NULL OR s.state = ANY(%(states)s::text[]))
       AND (%(merchant)s::text IS NULL
            OR r.document::jsonb #>> '{{refundAmount,chargingMetaData,merchantIdentifier}}'
               = %(merchant)s::text)
     ORDER BY r.created_at, r.refund_id
     LIMIT %(limit)s
"""


def find(
    cur: Cursor, charge_id: int, criteria: RefundCriteria, *, looked_at_max: int
) -> list[RefundRow] | None:
    """A charge's refunds that fit, oldest first; None when there are more than `looked_at_max`."""
    states = criteria.states
    values = {
        "charge_id": charge_id,
        "since": criteria.since,
        "until": criteria.until,
        "states": None if states is None else list(states),
        "merchant": criteria.merchant_identifier,
        "limit": looked_at_max + 1,
    }
    rows = [RefundRow(*row) for row in cur.execute(_FIND, values)]
    return rows if len(rows) <= looked_at_max else None
