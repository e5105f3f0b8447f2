"""Registers: partners, their tariffs, reply addresses and pauses; edited by people.

Refuses to know what partners' keys may do: that is `keys`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ppcd.store.keys import add_key
from ppcd.store.rows import ADDRESSES_MAX, Address
from ppcd.store.sql import Cursor


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """A partner as registered."""

    partner_id: int
    name: str
    merchant: str
    language: str
    webhook_url: str | None


@dataclass(frozen=True, slots=True)
class TariffRow:
    """What a partner sells: an amount under a name."""

    name: str
    amount_minor: int
    currency: str
    description: str
    debit_start_s: int | None


@dataclass(frozen=True, slots=True)
class PauseRow:
    """A stop button that is pressed. Empty partner or adapter: all of them."""

    kind: str
    partner: str
    adapter: str
    since: datetime


class Unknown(LookupError):
    """Nothing is registered under that name."""


class Taken(ValueError):
    """That name is registered already."""


def add_partner(
    cur: Cursor,
    *,
    name: str,
    merchant: str,
    language: str,
    webhook_url: str | None,
    webhook_secret: bytes,
    key_hash: bytes,
) -> int:
    """Register a partner with its first key; its id. Raises Taken."""
    row = cur.execute(
        """INSERT INTO partner (name, merchant, language, webhook_url, webhook_secret)
           VALUES (%s, %s, %s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING partner_id""",
        (name, merchant, language, webhook_url, webhook_secret),
    ).fetchone()
    if row is None:
        raise Taken(name)
    partner_id = int(row[0])
    add_key(cur, partner_id=partner_id, key_hash=key_hash, label="first")
    return partner_id


_PARTNER = "SELECT partner_id, name, merchant, language, webhook_url FROM partner "


def partners(cur: Cursor) -> list[PartnerRow]:
    """All partners, by name."""
    return [PartnerRow(*row) for row in cur.execute(_PARTNER + "ORDER BY name").fetchall()]


def partner_named(cur: Cursor, name: str) -> PartnerRow:
    """One partner. Raises Unknown."""
    row = cur.execute(_PARTNER + "WHERE name = %s", (name,)).fetchone()
    if row is None:
        raise Unknown(name)
    return PartnerRow(*row)


def set_webhook(cur: Cursor, *, partner_id: int, url: str | None) -> None:
    """Change where a partner is told."""
    cur.execute("UPDATE partner SET webhook_url = %s WHERE partner_id = %s", (url, partner_id))


def rotate_webhook_secret(
    cur: Cursor, *, partner_id: int, secret: bytes, overlap_s: float
) -> datetime:
    """Give a partner a new secret; the one before signs too until the time that is returned."""
    row = cur.execute(
        """UPDATE partner
              SET webhook_secret_before = webhook_secret, webhook_secret = %s,
                  webhook_secret_before_until = business_now() + make_interval(secs => %s::float8)
            WHERE partner_id = %s RETURNING webhook_secret_before_until""",
        (secret, overlap_s, partner_id),
    ).fetchone()
    assert row is not None
    until: datetime = row[0]
    return until


def add_tariff(cur: Cursor, *, partner_id: int, tariff: TariffRow) -> None:
    """Register a tariff. Raises Taken."""
    cur.execute(
        """INSERT INTO tariff (partner_id, name, amount_minor, currency, description, debit_start_s)
           VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (
            partner_id,
            tariff.name,
            tariff.amount_minor,
            tariff.currency,
            tariff.description,
            tariff.debit_start_s,
        ),
    )
    if cur.rowcount == 0:
        raise Taken(tariff.name)


_TARIFFS = """
    SELECT name, amount_minor, currency, description, debit_start_s FROM tariff
     WHERE partner_id = %s AND closed_at IS NULL ORDER BY name
"""


def tariffs(cur: Cursor, partner_id: int) -> list[TariffRow]:
    """A partner's tariffs that are on sale, by name."""
    return [TariffRow(*row) for row in cur.execute(_TARIFFS, (partner_id,)).fetchall()]


def register_addresses(
    cur: Cursor, routes: Mapping[str, Iterable[str]]
) -> dict[str, tuple[Address, ...]]:
    """The pools of the routes with their addresses' numbers; new addresses get the next ones.

    An address that has moved to another route keeps its number. Raises ValueError when more than
    1,000 addresses were ever used.
    """
    cur.execute("LOCK TABLE reply_address IN SHARE ROW EXCLUSIVE MODE")
    known = {
        row[0]: (row[1], row[2])
        for row in cur.execute("SELECT address, address_no, route FROM reply_address").fetchall()
    }
    pools: dict[str, tuple[Address, ...]] = {}
    for route, addresses in routes.items():
        pool = []
        for address in addresses:
            number, owner = known.get(address, (len(known), route))
            if number >= ADDRESSES_MAX:
                raise ValueError(
                    f"more than {ADDRESSES_MAX} reply addresses: {address} has no number"
                )
            if address not in known:
                cur.execute(
                    "INSERT INTO reply_address (address_no, address, route) VALUES (%s, %s, %s)",
                    (number, address, route),
                )
                known[address] = (number, route)
            elif owner != route:
                cur.execute(
                    "UPDATE reply_address SET route = %s WHERE address = %s", (route, address)
                )
            pool.append(Address(number, address))
        pools[route] = tuple(pool)
    return pools


def pause(cur: Cursor, *, kind: str, partner: str, adapter: str) -> bool:
    """Press a stop button; whether it was not pressed before."""
    cur.execute(
        "INSERT INTO pause (kind, partner, adapter) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (kind, partner, adapter),
    )
    return cur.rowcount == 1


def resume(cur: Cursor, *, kind: str, partner: str, adapter: str) -> bool:
    """Release a stop button; whether it was pressed."""
    cur.execute(
        "DELETE FROM pause WHERE kind = %s AND partner = %s AND adapter = %s",
        (kind, partner, adapter),
    )
    return cur.rowcount == 1


def pauses(cur: Cursor) -> list[PauseRow]:
    """The stop buttons that are pressed."""
    cur.execute("SELECT kind, partner, adapter, since FROM pause ORDER BY kind, partner, adapter")
    return [PauseRow(*row) for row in cur.fetchall()]
