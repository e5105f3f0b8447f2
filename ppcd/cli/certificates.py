"""`ppcd partner add-certificate`, `list-certificates`, `revoke-certificate`."""

import argparse
import re
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import Certificate, load_pem_x509_certificates

from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.keys import known
from ppcd.cli.output import print_json, print_table
from ppcd.store import certificates, registers
from ppcd.store.certificates import CertificateRow, Registered
from ppcd.store.sql import Cursor

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def add(args: argparse.Namespace) -> int:
    """Register a certificate."""
    fingerprint, subject = _shown(args)

    def register(cur: Cursor) -> int:
        return certificates.add(
            cur,
            partner_id=registers.partner_named(cur, args.name).partner_id,
            fingerprint=fingerprint,
            subject=subject,
            label=args.label,
            scopes=sorted(set(args.scope)) or None,
        )

    with Database(args) as database:
        try:
            certificate_id = known(args.name, lambda: database.run(register))
        except Registered as exc:
            raise Failed("a partner has this certificate already: revoke it there first") from exc
    if args.json:
        print_json(
            {"name": args.name, "certificate_id": certificate_id} | _both(fingerprint, subject)
        )
    else:
        print(f"certificate {certificate_id} of {args.name}: {_text(fingerprint, subject)}")
    return 0


def show(args: argparse.Namespace) -> int:
    """A partner's certificates."""

    def read(cur: Cursor) -> list[CertificateRow]:
        return certificates.certificates(cur, registers.partner_named(cur, args.name).partner_id)

    with Database(args) as database:
        rows = known(args.name, lambda: database.run(read))
    if args.json:
        print_json([_as_json(row) for row in rows])
    else:
        print_table(
            ("ID", "LABEL", "STATE", "CREATED", "SCOPES", "CERTIFICATE"),
            [
                (
                    *(row.certificate_id, row.label or "-", _state(row)),
                    f"{row.created_at:%Y-%m-%d}",
                    "all" if row.scopes is None else ", ".join(row.scopes),
                    _text(row.fingerprint, row.subject),
                )
                for row in rows
            ],
        )
    return 0


def revoke(args: argparse.Namespace) -> int:
    """Revoke one certificate; it opens nothing from now on, on any node."""

    def change(cur: Cursor) -> bool:
        partner = registers.partner_named(cur, args.name)
        return certificates.revoke(cur, partner_id=partner.partner_id, certificate_id=args.id)

    with Database(args) as database:
        revoked = known(args.name, lambda: database.run(change))
    if not revoked:
        raise Failed(
            f"{args.name} has no good certificate {args.id}: "
            f"`ppcd partner list-certificates {args.name}` shows all"
        )
    print(f"certificate {args.id} of {args.name} is revoked")
    return 0


def _shown(args: argparse.Namespace) -> tuple[bytes | None, str | None]:
    """Fingerprint or subject."""
    if args.file is not None:
        return _read(args.file).fingerprint(SHA256()), None
    if args.subject_of is not None:
        return None, _read(args.subject_of).subject.rfc4514_string()
    if args.subject is not None:
        return None, args.subject
    digits = args.fingerprint.replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(digits):
        raise Failed("a fingerprint is SHA-256: 64 hexadecimal digits", exit_code=USAGE)
    return bytes.fromhex(digits), None


def _read(path: str) -> Certificate:
    try:
        return load_pem_x509_certificates(Path(path).read_bytes())[0]
    except (OSError, ValueError) as exc:
        raise Failed(f"{path}: no PEM certificate could be read from it", exit_code=USAGE) from exc


def _text(fingerprint: bytes | None, subject: str | None) -> str:
    return subject or f"sha256:{(fingerprint or b'').hex()}"


def _both(fingerprint: bytes | None, subject: str | None) -> dict[str, object]:
    return {"fingerprint": fingerprint and fingerprint.hex(), "subject": subject}


def _state(row: CertificateRow) -> str:
    return "good" if row.revoked_at is None else "revoked"


def _as_json(row: CertificateRow) -> dict[str, object]:
    return {
        "certificate_id": row.certificate_id,
        "label": row.label,
        "state": _state(row),
        **_both(row.fingerprint, row.subject),
        "scopes": row.scopes,
        "created_at": row.created_at.isoformat(),
        "revoked_at": row.revoked_at and row.revoked_at.isoformat(),
    }
