"""Access tokens: what a partner's key was exchanged for.

Owns that a token is stored only as a hash, and that it opens no more than its key does, on any
node, from the commit on that ended either. Refuses to know OAuth, and how tokens are made.
"""

from collections.abc import Sequence
from typing import Final

from ppcd.store.keys import Holder, holder_of
from ppcd.store.session import single
from ppcd.store.sql import Cursor

#: A key has so many tokens at most; a newer one ends the oldest.
TOKENS_PER_KEY_MAX: Final = 1000

_MAKE_ROOM = """
    DELETE FROM access_token
     WHERE key_id = %(key_id)s
       AND (expires_at <= (SELECT business_now())
            OR token_hash IN (SELECT token_hash FROM access_token WHERE key_id = %(key_id)s
                               ORDER BY made_at DESC OFFSET %(kept)s))
"""
_ISSUE = """
    INSERT INTO access_token (token_hash, key_id, scopes, made_at, expires_at)
    SELECT %(token_hash)s, %(key_id)s, %(scopes)s::text[], now,
           now + make_interval(secs => %(lifetime_s)s)
      FROM (SELECT business_now()) AS t(now)
    ON CONFLICT DO NOTHING
"""


def issue(
    cur: Cursor,
    *,
    token_hash: bytes,
    key_id: int,
    scopes: Sequence[str] | None,
    lifetime_s: float,
) -> None:
    """Give a key one more token. Harmless to repeat."""
    cur.execute(_MAKE_ROOM, {"key_id": key_id, "kept": TOKENS_PER_KEY_MAX - 1})
    cur.execute(
        _ISSUE,
        {
            "token_hash": token_hash,
            "key_id": key_id,
            "scopes": None if scopes is None else list(scopes),
            "lifetime_s": lifetime_s,
        },
    )


@single
def revoke(cur: Cursor, *, token_hash: bytes, partner_id: int) -> None:
    """End one token of a partner, if it is one."""
    cur.execute(
        """DELETE FROM access_token t USING partner_key k
            WHERE t.token_hash = %s AND k.key_id = t.key_id AND k.partner_id = %s""",
        (token_hash, partner_id),
    )


def revoke_all(cur: Cursor, *, partner_id: int, key_id: int | None = None) -> int:
    """End all tokens of a partner, or of one of its keys; how many were good."""
    row = cur.execute(
        """WITH gone AS (
               DELETE FROM access_token t USING partner_key k
                WHERE k.key_id = t.key_id AND k.partner_id = %(partner_id)s
                  AND (%(key_id)s::bigint IS NULL OR k.key_id = %(key_id)s)
            RETURNING t.expires_at)
           SELECT count(*) FROM gone WHERE expires_at > (SELECT business_now())""",
        {"partner_id": partner_id, "key_id": key_id},
    ).fetchone()
    assert row is not None
    return int(row[0])


def counts(cur: Cursor, partner_id: int) -> dict[int, int]:
    """How many good tokens each of a partner's keys has; keys without any are left out."""
    return dict(
        cur.execute(
            """SELECT t.key_id, count(*) FROM access_token t JOIN partner_key k USING (key_id)
                WHERE k.partner_id = %s AND t.expires_at > (SELECT business_now())
                GROUP BY t.key_id""",
            (partner_id,),
        ).fetchall()
    )


_HOLDERS = """
    SELECT t.token_hash, p.partner_id, p.name, p.merchant, p.language, p.webhook_url, k.key_id,
           coalesce(t.scopes, k.scopes), k.networks, p.networks
      FROM access_token t
      JOIN partner_key k ON k.key_id = t.key_id
      JOIN partner p ON p.partner_id = k.partner_id
     WHERE t.token_hash = ANY(%s::bytea[]) AND t.expires_at > (SELECT business_now())
       AND k.revoked_at IS NULL AND p.closed_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > (SELECT business_now()))
"""


@single
def holders(cur: Cursor, hashes: Sequence[bytes]) -> list[Holder | None]:
    """Whose tokens these are, in their order; None for one that opens nothing."""
    found = {bytes(row[0]): holder_of(row) for row in cur.execute(_HOLDERS, [list(set(hashes))])}
    return [found.get(token_hash) for token_hash in hashes]
