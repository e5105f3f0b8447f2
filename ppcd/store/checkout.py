"""Checkout sessions: one thing to be paid at most once, in tries that never overlap.

Owns when a session's next try may begin. Refuses to know pages, words and how a charge is made.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ppcd.store.sql import Cursor

#: How long an expired session is still shown; its number is forgotten with it.
KEPT_S = 3 * 86_400
_SWEPT_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session as its partner asked for it."""

    id_hash: bytes
    partner_id: int
    variant: int
    offers: str
    msisdn: int | None
    language: str | None
    reference: str
    success_url: str | None
    cancel_url: str | None
    brand_name: str | None
    brand_logo_url: str | None
    brand_color: str | None
    lifetime_s: float


#: The owner of a try that several have asked for: none of them may call it refused.
SHARED = 0


@dataclass(frozen=True, slots=True, repr=False)
class SessionRow:
    """A session, its partner, and its current try. Holds a secret and numbers: not for logs."""

    id_hash: bytes
    variant: int
    offers: str
    msisdn: int | None
    language: str | None
    reference: str
    success_url: str | None
    cancel_url: str | None
    brand_name: str | None
    brand_logo_url: str | None
    brand_color: str | None
    expires_at: datetime
    expired: bool
    tries: int
    try_offer: int | None
    try_msisdn: int | None
    try_language: str | None
    try_owner: int | None
    try_charge_id: int | None
    try_refused: str | None
    partner_id: int
    partner: str
    merchant: str
    partner_language: str
    webhook_url: str | None
    secret: bytes
    sites: tuple[str, ...]
    #: Of the current try's charge: whether its prompt asks for a code, and how long it waits yet.
    with_code: bool | None
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """What one try asks for. `owner` is unique to whoever asks."""

    offer: int
    msisdn: int
    language: str
    owner: int


def id_hash(session: str) -> bytes:
    """What is stored of a session's id."""
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).digest()


# Materialized: a plan that looked once for each row would take more than the limit.
_SWEEP = """
    WITH old AS MATERIALIZED (
        SELECT id_hash FROM checkout_session
         WHERE expires_at < business_now() - make_interval(secs => %s)
         ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED)
    DELETE FROM checkout_session c USING old WHERE c.id_hash = old.id_hash
"""

_OPEN = """
    INSERT INTO checkout_session (id_hash, partner_id, variant, offers, msisdn, language, reference,
                                  success_url, cancel_url, brand_name, brand_logo_url, brand_color,
                                  created_at, expires_at)
    SELECT %(id_hash)s, %(partner_id)s, %(variant)s, %(offers)s, %(msisdn)s, %(language)s,
           %(reference)s, %(success_url)s, %(cancel_url)s, %(brand_name)s, %(brand_logo_url)s,
           %(brand_color)s, t.now, t.now + make_interval(secs => %(lifetime_s)s)
      FROM (SELECT business_now() AS now) AS t
    ON CONFLICT (id_hash) DO NOTHING
"""
_EXPIRES = "SELECT expires_at FROM checkout_session WHERE id_hash = %s"


def open_session(cur: Cursor, new: NewSession) -> datetime:
    """Register a session; when it expires. Forgets a few that expired long ago."""
    cur.execute(_SWEEP, (KEPT_S, _SWEPT_AT_ONCE))
    cur.execute(_OPEN, {name: getattr(new, name) for name in NewSession.__slots__})
    row = cur.execute(_EXPIRES, (new.id_hash,)).fetchone()
    assert row is not None
    expires_at: datetime = row[0]
    return expires_at


_READ = """
    SELECT s.id_hash, s.variant, s.offers, s.msisdn, s.language, s.reference, s.success_url,
           s.cancel_url, s.brand_name, s.brand_logo_url, s.brand_color, s.expires_at,
           s.expires_at <= t.now, s.tries, s.try_offer, s.try_msisdn, s.try_language, s.try_owner,
           s.try_charge_id, s.try_refused, p.partner_id, p.name, p.merchant, p.language,
           p.webhook_url, p.webhook_secret,
           ARRAY(SELECT origin FROM partner_site w WHERE w.partner_id = s.partner_id
                  ORDER BY origin),
           c.with_code, extract(epoch FROM c.expires_at - t.now)::float8
      FROM (SELECT business_now() AS now) AS t
      CROSS JOIN checkout_session s
      JOIN partner p ON p.partner_id = s.partner_id AND p.closed_at IS NULL
      LEFT JOIN charge c ON c.charge_id = s.try_charge_id
     WHERE s.id_hash = ANY(%s::bytea[])
"""


def read(cur: Cursor, hashes: Sequence[bytes]) -> list[SessionRow | None]:
    """These sessions, in their order; None for one that does not exist."""
    cur.execute(_READ, [list(set(hashes))])
    found = {bytes(row[0]): _row(row) for row in cur.fetchall()}
    return [found.get(one) for one in hashes]


def _row(row: tuple[object, ...]) -> SessionRow:
    values = list(row)
    values[0], values[25], values[26] = bytes(row[0]), bytes(row[25]), tuple(row[26])  # type: ignore[call-overload, arg-type]
    return SessionRow(*values)  # type: ignore[arg-type]  # as _READ names them


# Two presses at once: the second waits for the first one's row lock and then finds `tries` moved.
_BEGIN = """
    UPDATE checkout_session s
       SET tries = s.tries + 1, try_offer = %(offer)s, try_msisdn = %(msisdn)s,
           try_language = %(language)s, try_owner = %(owner)s, try_charge_id = NULL,
           try_refused = NULL
     WHERE s.id_hash = %(id_hash)s AND s.tries = %(after)s AND s.tries < %(tries_max)s
       AND s.expires_at > business_now()
       AND (s.tries = 0 OR s.try_refused <> 'reference_taken'
            OR EXISTS (SELECT FROM outcome o
                        WHERE o.charge_id = s.try_charge_id AND o.state <> 'succeeded'))
"""


def begin(cur: Cursor, hashed: bytes, new: Try, *, after: int, tries_max: int) -> SessionRow | None:
    """Begin the try that follows try `after`, if it may; the session as it is then.

    The try is the caller's when `try_owner` is its own: another may have been faster.
    """
    cur.execute(
        _BEGIN,
        {
            "id_hash": hashed,
            "after": after,
            "tries_max": tries_max,
            "offer": new.offer,
            "msisdn": new.msisdn,
            "language": new.language,
            "owner": new.owner,
        },
    )
    [row] = read(cur, [hashed])
    return row


_JOIN = """
    UPDATE checkout_session SET try_owner = %s
     WHERE id_hash = %s AND tries = %s AND try_charge_id IS NULL AND try_refused IS NULL
"""


def join(cur: Cursor, hashed: bytes, *, number: int) -> SessionRow | None:
    """Go on with a try whose charge is not known yet; the session as it is then."""
    cur.execute(_JOIN, (SHARED, hashed, number))
    [row] = read(cur, [hashed])
    return row


def made(cur: Cursor, hashed: bytes, *, number: int, charge_id: int) -> None:
    """Record the charge of a try. The same charge, whoever asked for it."""
    cur.execute(
        "UPDATE checkout_session SET try_charge_id = %s WHERE id_hash = %s AND tries = %s",
        (charge_id, hashed, number),
    )


_REFUSE = """
    UPDATE checkout_session SET try_refused = %(why)s
     WHERE id_hash = %(id_hash)s AND tries = %(number)s AND try_charge_id IS NULL
       AND (try_owner = %(owner)s AND try_owner <> %(shared)s OR %(why)s = 'reference_taken')
"""


def refuse(cur: Cursor, hashed: bytes, *, number: int, owner: int, why: str) -> None:
    """Record that no charge came of a try.

    Only by the one who alone had asked: where another joined, its charge may still come to be. A
    taken reference is for ever, so nobody's will.
    """
    cur.execute(
        _REFUSE,
        {"id_hash": hashed, "number": number, "owner": owner, "shared": SHARED, "why": why},
    )


_STATES = "SELECT charge_id, state FROM charge_status WHERE charge_id = ANY(%s::bigint[])"


def states(cur: Cursor, charge_ids: Iterable[int]) -> dict[int, str]:
    """The states of these charges: asked for all waiting pages of a node at once."""
    cur.execute(_STATES, [sorted(charge_ids)])
    return {row[0]: row[1] for row in cur.fetchall()}


def sites(cur: Cursor, partner_id: int) -> list[str]:
    """The origins that may frame a partner's payment pages."""
    rows = cur.execute(
        "SELECT origin FROM partner_site WHERE partner_id = %s ORDER BY origin", (partner_id,)
    )
    return [row[0] for row in rows.fetchall()]


def add_site(cur: Cursor, *, partner_id: int, origin: str) -> None:
    """Let a site frame a partner's payment pages."""
    cur.execute(
        "INSERT INTO partner_site (partner_id, origin) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (partner_id, origin),
    )


def remove_site(cur: Cursor, *, partner_id: int, origin: str) -> bool:
    """No longer; whether it was one."""
    cur.execute(
        "DELETE FROM partner_site WHERE partner_id = %s AND origin = %s", (partner_id, origin)
    )
    return cur.rowcount == 1
