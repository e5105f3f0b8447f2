"""Partners' keys: whose they are, what they may do, from where and until when.

Owns that a key is stored only as a hash, and that a revoked one opens nothing from that commit on.
Refuses to know how keys are made and shown, and what scopes mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any, TypeAlias

from ppcd.store.session import single
from ppcd.store.sql import Cursor

Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Holder:
    """The partner of a good key, or of a certificate, which has no `key_id`. Both lists of networks
    must have the caller's; None has all.
    """

    partner_id: int
    name: str
    merchant: str
    language: str
    webhook_url: str | None
    key_id: int | None
    scopes: tuple[str, ...] | None
    key_networks: tuple[Network, ...] | None
    partner_networks: tuple[Network, ...] | None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as people see it. None: all scopes, any network, no end."""

    key_id: int
    label: str
    scopes: tuple[str, ...] | None
    networks: tuple[Network, ...] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    expired: bool


def add_key(
    cur: Cursor,
    *,
    partner_id: int,
    key_hash: bytes,
    label: str,
    scopes: Sequence[str] | None = None,
    networks: Sequence[str] | None = None,
    lifetime_s: float | None = None,
) -> int:
    """Give a partner one more key; its id. None: all scopes, any network, for ever."""
    row = cur.execute(
        """INSERT INTO partner_key (key_hash, partner_id, label, scopes, networks, expires_at)
           VALUES (%s, %s, %s, %s::text[], %s::text[]::cidr[],
                   business_now() + make_interval(secs => %s::float8))
           RETURNING key_id""",
        (
            key_hash,
            partner_id,
            label,
            None if scopes is None else list(scopes),
            None if networks is None else list(networks),
            lifetime_s,
        ),
    ).fetchone()
    assert row is not None
    return int(row[0])


def revoke_keys(cur: Cursor, *, partner_id: int, except_hash: bytes) -> int:
    """Revoke all keys of a partner but one; how many."""
    cur.execute(
        """UPDATE partner_key SET revoked_at = business_now()
            WHERE partner_id = %s AND key_hash <> %s AND revoked_at IS NULL""",
        (partner_id, except_hash),
    )
    return cur.rowcount


def revoke_key(cur: Cursor, *, partner_id: int, key_id: int) -> bool:
    """Revoke one key of a partner; False when there is none such that was good."""
    cur.execute(
        """UPDATE partner_key SET revoked_at = business_now()
            WHERE partner_id = %s AND key_id = %s AND revoked_at IS NULL""",
        (partner_id, key_id),
    )
    return cur.rowcount == 1


_KEYS = """
    SELECT key_id, label, scopes, networks, created_at, expires_at, revoked_at,
           coalesce(expires_at <= business_now(), false)
      FROM partner_key WHERE partner_id = %s ORDER BY key_id
"""


def keys(cur: Cursor, partner_id: int) -> list[KeyRow]:
    """A partner's keys in the order they were given, revoked ones too."""
    return [
        KeyRow(key_id, label, _listed(scopes), _listed(networks), *rest)
        for key_id, label, scopes, networks, *rest in cur.execute(_KEYS, (partner_id,))
    ]


def set_networks(cur: Cursor, *, partner_id: int, networks: Sequence[str] | None) -> None:
    """Say where a partner may call from at all; None: from anywhere."""
    cur.execute(
        "UPDATE partner SET networks = %s::text[]::cidr[] WHERE partner_id = %s",
        (None if networks is None else list(networks), partner_id),
    )


def close_partner(cur: Cursor, *, partner_id: int, closed: bool) -> bool:
    """Have nothing of a partner's open anything, or what is good again; False: so it was."""
    cur.execute(
        """UPDATE partner SET closed_at = CASE WHEN %(closed)s THEN business_now() END
            WHERE partner_id = %(partner_id)s AND (closed_at IS NULL) = %(closed)s""",
        {"partner_id": partner_id, "closed": closed},
    )
    return cur.rowcount == 1


_HOLDERS = """
    SELECT k.key_hash, p.partner_id, p.name, p.merchant, p.language, p.webhook_url, k.key_id,
           k.scopes, k.networks, p.networks
      FROM partner_key k JOIN partner p USING (partner_id)
     WHERE k.key_hash = ANY(%s::bytea[]) AND k.revoked_at IS NULL AND p.closed_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > (SELECT business_now()))
"""


@single
def holders(cur: Cursor, hashes: Sequence[bytes]) -> list[Holder | None]:
    """Whose keys these are, in their order; None for a key that opens nothing."""
    found = {bytes(row[0]): holder_of(row) for row in cur.execute(_HOLDERS, [list(set(hashes))])}
    return [found.get(key_hash) for key_hash in hashes]


def holder_of(row: Sequence[Any]) -> Holder:
    """A row of hash, partner, key and three lists, as those who look up holders read them."""
    return Holder(*row[1:7], *map(_listed, row[7:]))


def _listed(value: list[Any] | None) -> tuple[Any, ...] | None:
    return None if value is None else tuple(value)
