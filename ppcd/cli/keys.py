"""`ppcd partner add-key`, `list-keys`, `revoke-key`, `revoke-tokens`, `set-networks`, `close`: what
may be done in a partner's name.
"""

import argparse
import secrets
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import TypeVar

from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.output import print_json, print_table
from ppcd.flow.keys import hash_of
from ppcd.store import keys, registers, tokens
from ppcd.store.keys import KeyRow
from ppcd.store.registers import Unknown
from ppcd.store.sql import Cursor

T = TypeVar("T")

_DAY_S = 86_400
_LABEL_LENGTH_MAX = 60
_LIFETIME_DAYS_MAX = 36_500


def make_key() -> str:
    """A new key: 256 random bits behind a prefix that secret scanners can know."""
    return "ppcd_" + secrets.token_urlsafe(32)


def hash_key(key: str) -> bytes:
    """What is stored of a key."""
    return hash_of(key)


def add_key(args: argparse.Namespace) -> int:
    """Give a partner one more key; it is shown this once."""
    if not args.label.isprintable() or not 1 <= len(args.label) <= _LABEL_LENGTH_MAX:
        raise Failed(f"a label is a line of up to {_LABEL_LENGTH_MAX} characters", exit_code=USAGE)
    if args.days is not None and not 0 < args.days <= _LIFETIME_DAYS_MAX:
        raise Failed(f"--days is above 0 and up to {_LIFETIME_DAYS_MAX}", exit_code=USAGE)
    key, networks = make_key(), _networks(args.network)
    scopes = sorted(set(args.scope)) or None

    def add(cur: Cursor) -> int:
        partner = registers.partner_named(cur, args.name)
        return keys.add_key(
            cur,
            partner_id=partner.partner_id,
            key_hash=hash_key(key),
            label=args.label,
            scopes=scopes,
            networks=networks,
            lifetime_s=None if args.days is None else args.days * _DAY_S,
        )

    with Database(args) as database:
        key_id = known(args.name, lambda: database.run(add))
    if args.json:
        print_json({"name": args.name, "key_id": key_id, "label": args.label, "key": key})
    else:
        print(f"key {key_id} of {args.name}: {key}")
        print("Give it to the partner now: it is stored as a hash and not shown again.")
    return 0


def list_keys(args: argparse.Namespace) -> int:
    """A partner's keys: all but the keys themselves, which nobody has."""

    def read(cur: Cursor) -> tuple[list[KeyRow], dict[int, int]]:
        partner_id = registers.partner_named(cur, args.name).partner_id
        return keys.keys(cur, partner_id), tokens.counts(cur, partner_id)

    with Database(args) as database:
        rows, issued = known(args.name, lambda: database.run(read))
    if args.json:
        print_json([_as_json(row) | {"tokens": issued.get(row.key_id, 0)} for row in rows])
    else:
        print_table(
            ("ID", "LABEL", "STATE", "CREATED", "EXPIRES", "TOKENS", "SCOPES", "NETWORKS"),
            [
                (
                    *(row.key_id, row.label or "-", _state(row), f"{row.created_at:%Y-%m-%d}"),
                    f"{row.expires_at:%Y-%m-%d %H:%M}" if row.expires_at else "never",
                    str(issued.get(row.key_id, 0)),
                    _shown(row.scopes, "all"),
                    _shown(row.networks, "any"),
                )
                for row in rows
            ],
        )
    return 0


def revoke_key(args: argparse.Namespace) -> int:
    """Revoke one key; it opens nothing from now on, on any node."""

    def revoke(cur: Cursor) -> bool:
        partner = registers.partner_named(cur, args.name)
        return keys.revoke_key(cur, partner_id=partner.partner_id, key_id=args.id)

    with Database(args) as database:
        revoked = known(args.name, lambda: database.run(revoke))
    if not revoked:
        raise Failed(
            f"{args.name} has no good key {args.id}: `ppcd partner list-keys {args.name}` shows all"
        )
    print(f"key {args.id} of {args.name} is revoked")
    return 0


def revoke_tokens(args: argparse.Namespace) -> int:
    """End access tokens; the keys that they came from stay good."""

    def revoke(cur: Cursor) -> int:
        partner = registers.partner_named(cur, args.name)
        return tokens.revoke_all(cur, partner_id=partner.partner_id, key_id=args.key)

    with Database(args) as database:
        count = known(args.name, lambda: database.run(revoke))
    print(f"{count} access tokens of {args.name} are revoked")
    return 0


def set_networks(args: argparse.Namespace) -> int:
    """Say from where a partner may call at all."""
    networks = _networks(args.network)

    def change(cur: Cursor) -> None:
        partner = registers.partner_named(cur, args.name)
        keys.set_networks(cur, partner_id=partner.partner_id, networks=networks)

    with Database(args) as database:
        known(args.name, lambda: database.run(change))
    print(f"{args.name} may call from {_shown(networks, 'anywhere')}")
    return 0


def close(args: argparse.Namespace) -> int:
    """Close a partner, or open it again."""

    def change(cur: Cursor) -> bool:
        partner = registers.partner_named(cur, args.name)
        return keys.close_partner(cur, partner_id=partner.partner_id, closed=not args.reopen)

    with Database(args) as database:
        changed = known(args.name, lambda: database.run(change))
    state = "open" if args.reopen else "closed"
    print(f"{args.name} is {state}" if changed else f"{args.name} was {state} already")
    return 0


def known(name: str, act: Callable[[], T]) -> T:
    """What `act` gives, or the failure of a partner that is not there."""
    try:
        return act()
    except Unknown as exc:
        raise Failed(f"there is no partner {name}: `ppcd partner list` shows all") from exc


def _networks(given: Sequence[str]) -> list[str] | None:
    try:
        return sorted({str(ip_network(text)) for text in given}) or None
    except ValueError as exc:
        raise Failed(f"{exc}: a network is such as 192.0.2.0/24", exit_code=USAGE) from exc


def _state(row: KeyRow) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expired else "good"


def _shown(values: Sequence[object] | None, none: str) -> str:
    return none if values is None else ", ".join(map(str, values))


def _as_json(row: KeyRow) -> dict[str, object]:
    return {
        "key_id": row.key_id,
        "label": row.label,
        "state": _state(row),
        "scopes": row.scopes,
        "networks": None if row.networks is None else [str(network) for network in row.networks],
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at and row.expires_at.isoformat(),
        "revoked_at": row.revoked_at and row.revoked_at.isoformat(),
    }
