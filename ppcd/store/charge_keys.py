"""Correlators and references: one request makes one charge, for ever.

Owns which charge has which of a partner's words, and what the partner is told who uses one again.
Refuses to know what else makes a charge.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ppcd.store.rows import Conflict, NewCharge
from ppcd.store.sql import Cursor, integers, texts, unlike_octets


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same request came before; here is what it made."""

    charge_id: int


#: Goes on from a CTE `locked` of one row, whose `number` is above zero; wants `wanted_keys`.
TAKE_KEYS: Final = """
    , taken AS (
        INSERT INTO charge_key (partner_id, kind, value_hash, charge_id, fingerprint)
        SELECT k.*
          FROM locked,
               unnest(%(partner_id)s::bigint[], %(kind)s::text[], %(value_hash)s::bytea[],
                      %(charge_id)s::bigint[], %(fingerprint)s::bytea[]) AS k
         WHERE locked.number > 0
        ON CONFLICT DO NOTHING
        RETURNING charge_id
    )
"""

# OFFSET 0: each key is looked up by itself, however few rows the statistics believe the table has.
_READ_KEYS = """
    SELECT k.*
      FROM unnest(%(partner_id)s::bigint[], %(kind)s::text[], %(value_hash)s::bytea[])
           AS w(partner_id, kind, value_hash)
     CROSS JOIN LATERAL (
           SELECT k.partner_id, k.kind, k.value_hash, k.charge_id, k.fingerprint
             FROM charge_key k
            WHERE (k.partner_id, k.kind, k.value_hash) = (w.partner_id, w.kind, w.value_hash)
           OFFSET 0) k
"""

_GIVE_KEYS_BACK = """
    DELETE FROM charge_key k
     USING unnest(%(partner_id)s::bigint[], %(kind)s::text[], %(value_hash)s::bytea[])
           AS w(partner_id, kind, value_hash)
     WHERE k.charge_id = ANY(%(charge_id)s::bigint[])
       AND (k.partner_id, k.kind, k.value_hash) = (w.partner_id, w.kind, w.value_hash)
"""


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


class _Key(NamedTuple):
    """A tuple, for each charge has two and a batch sorts them all."""

    partner_id: int
    kind: str
    value_hash: bytes


def _keys(new: NewCharge) -> list[_Key]:
    keys = [_Key(new.partner_id, "reference", _hash(new.reference))]
    if new.correlator is not None:
        keys.append(_Key(new.partner_id, "correlator", _hash(new.correlator)))
    return keys


def wanted_keys(batch: Sequence[NewCharge]) -> tuple[int, dict[str, str]]:
    """How many keys these charges want, and the values for `TAKE_KEYS`."""
    wanted = sorted((key, new.charge_id, new.fingerprint) for new in batch for key in _keys(new))
    return len(wanted), _key_columns(key for key, _, _ in wanted) | {
        "charge_id": integers(charge_id for _, charge_id, _ in wanted),
        "fingerprint": unlike_octets(fingerprint for _, _, fingerprint in wanted),
    }


def whose_keys(
    cur: Cursor, batch: Sequence[NewCharge]
) -> tuple[list[NewCharge], dict[int, Replayed | Conflict]]:
    """When not all keys could be taken: those of `batch` whose keys are theirs now, and the others'
    results by charge_id.

    A charge whose keys were its own already is of an earlier run of this batch: `Replayed`.
    """
    keys = {new.charge_id: _keys(new) for new in batch}
    # A second statement: it sees what a concurrent winner committed while the first one waited.
    cur.execute(_READ_KEYS, _key_columns(sorted(key for own in keys.values() for key in own)))
    owners = {
        _Key(row[0], row[1], bytes(row[2])): (row[3], bytes(row[4])) for row in cur.fetchall()
    }
    results: dict[int, Replayed | Conflict] = {}
    fresh, lost = [], []
    for new in batch:
        verdict = _ownership(new, keys[new.charge_id], owners)
        if verdict is None:
            fresh.append(new)
        else:
            results[new.charge_id] = verdict
            lost.append(new)
    give_back(cur, lost)
    already = _exists(cur, [new.charge_id for new in fresh])
    for new in fresh:
        if new.charge_id in already:  # the first run of this very batch did it
            results[new.charge_id] = Replayed(new.charge_id)
    return [new for new in fresh if new.charge_id not in already], results


_EARLIER = """
    SELECT charge_id, fingerprint FROM charge_key
     WHERE partner_id = %s AND kind = 'correlator' AND value_hash = %s
"""


def earlier(
    cur: Cursor, partner_id: int, correlator: str, fingerprint: bytes
) -> Replayed | Conflict | None:
    """What came of this request before, if it came before; nothing is taken."""
    row = cur.execute(_EARLIER, (partner_id, _hash(correlator))).fetchone()
    if row is None:
        return None
    return Replayed(row[0]) if bytes(row[1]) == fingerprint else Conflict.CORRELATOR_TAKEN


def _key_columns(keys: Iterable[_Key]) -> dict[str, str]:
    partner_ids, kinds, hashes = zip(*keys, strict=True)
    return {
        "partner_id": integers(partner_ids),
        "kind": texts(kinds),
        "value_hash": unlike_octets(hashes),
    }


def _ownership(
    new: NewCharge, keys: Sequence[_Key], owners: Mapping[_Key, tuple[int, bytes]]
) -> Replayed | Conflict | None:
    """None when all keys are this charge's; else what the partner is to be told."""
    # The correlator, where there is one, explains more than the reference.
    for key in reversed(keys):
        owner, fingerprint = owners[key]
        if owner == new.charge_id:
            continue
        if key.kind == "reference":
            return Conflict.REFERENCE_TAKEN
        return Replayed(owner) if fingerprint == new.fingerprint else Conflict.CORRELATOR_TAKEN
    return None


def _exists(cur: Cursor, charge_ids: list[int]) -> set[int]:
    cur.execute(
        "SELECT charge_id FROM charge WHERE charge_id = ANY(%s::bigint[])", [integers(charge_ids)]
    )
    return {row[0] for row in cur.fetchall()}


def give_back(cur: Cursor, lost: Sequence[NewCharge]) -> None:
    """A charge that is not created leaves no key of its own behind."""
    if lost:
        names = _key_columns(key for new in lost for key in _keys(new))
        lost_ids = integers(new.charge_id for new in lost)
        cur.execute(_GIVE_KEYS_BACK, names | {"charge_id": lost_ids})
