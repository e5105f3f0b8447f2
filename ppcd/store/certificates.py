"""Partners' TLS certificates: whose they are, by their own octets or by their subject.

Owns that one that was taken away opens nothing from that commit on. Refuses to know TLS, and which
authorities are trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ppcd.store.keys import Holder, holder_of
from ppcd.store.session import single
from ppcd.store.sql import Cursor


@dataclass(frozen=True, slots=True)
class Shown:
    """What a connection has proved to have."""

    fingerprint: bytes
    subject: str


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A registered certificate as people see it."""

    certificate_id: int
    label: str
    fingerprint: bytes | None
    subject: str | None
    scopes: tuple[str, ...] | None
    created_at: datetime
    revoked_at: datetime | None


class Registered(ValueError):
    """Some partner has this certificate or subject already."""


def add(
    cur: Cursor,
    *,
    partner_id: int,
    fingerprint: bytes | None,
    subject: str | None,
    label: str,
    scopes: Sequence[str] | None,
) -> int:
    """Register a certificate, by its fingerprint or its subject; its id. Raises Registered."""
    row = cur.execute(
        """INSERT INTO partner_certificate (partner_id, fingerprint, subject, label, scopes)
           VALUES (%s, %s, %s, %s, %s::text[]) ON CONFLICT DO NOTHING RETURNING certificate_id""",
        (partner_id, fingerprint, subject, label, None if scopes is None else list(scopes)),
    ).fetchone()
    if row is None:
        raise Registered
    return int(row[0])


def revoke(cur: Cursor, *, partner_id: int, certificate_id: int) -> bool:
    """Take a certificate away; False when there is none such that was good."""
    cur.execute(
        """UPDATE partner_certificate SET revoked_at = business_now()
            WHERE partner_id = %s AND certificate_id = %s AND revoked_at IS NULL""",
        (partner_id, certificate_id),
    )
    return cur.rowcount == 1


_LIST = """
    SELECT certificate_id, label, fingerprint, subject, scopes, created_at, revoked_at
      FROM partner_certificate WHERE partner_id = %s ORDER BY certificate_id
"""


def certificates(cur: Cursor, partner_id: int) -> list[CertificateRow]:
    """A partner's certificates in the order they were registered, revoked ones too."""
    return [
        CertificateRow(
            row[0],
            row[1],
            None if row[2] is None else bytes(row[2]),
            row[3],
            None if row[4] is None else tuple(row[4]),
            *row[5:],
        )
        for row in cur.execute(_LIST, (partner_id,))
    ]


_HOLDERS = """
    SELECT coalesce(c.fingerprint, convert_to(c.subject, 'UTF8')), p.partner_id, p.name, p.merchant,
           p.language, p.webhook_url, NULL, c.scopes, NULL::cidr[], p.networks
      FROM partner_certificate c JOIN partner p USING (partner_id)
     WHERE c.revoked_at IS NULL AND p.closed_at IS NULL
       AND (c.fingerprint = ANY(%s::bytea[]) OR c.subject = ANY(%s::text[]))
"""


@single
def holders(cur: Cursor, shown: Sequence[Shown]) -> list[Holder | None]:
    """Whose certificates these are, in their order; None for one that opens nothing. One that is
    registered itself says more than its subject.
    """
    found = {
        bytes(row[0]): holder_of(row)
        for row in cur.execute(
            _HOLDERS, [[s.fingerprint for s in shown], [s.subject for s in shown]]
        )
    }
    return [found.get(s.fingerprint) or found.get(s.subject.encode()) for s in shown]
