"""`ppcd partner …` and `ppcd tariff …`: the registers that people edit."""

import argparse
import base64
import re
import secrets
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from ppcd.charge.money import AmountError, Money, UnknownCurrency, from_decimal, to_decimal_text
from ppcd.cli.database import Database, settings_of
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.keys import hash_key, known, make_key
from ppcd.cli.output import print_json, print_table
from ppcd.store import checkout, keys, registers
from ppcd.store.registers import PartnerRow, Taken, TariffRow
from ppcd.store.sql import Cursor
from ppcd.webhook.guard import Refused

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?")
_OVERLAP_DAYS_MAX = 365
_TARIFF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def show_secret(secret: bytes) -> str:
    """A webhook secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secret).decode()


def add(args: argparse.Namespace) -> int:
    """Register a partner; its key is shown this once."""
    if not _NAME.fullmatch(args.name):
        raise Failed(f"{args.name!r} is no name: small letters, digits, - and _", exit_code=USAGE)
    _check_url(args, args.webhook_url)
    key, secret = make_key(), secrets.token_bytes(32)
    with Database(args) as database:
        try:
            partner_id = database.run(
                registers.add_partner,
                name=args.name,
                merchant=args.merchant,
                language=args.language,
                webhook_url=args.webhook_url,
                webhook_secret=secret,
                key_hash=hash_key(key),
            )
        except Taken as exc:
            raise Failed(f"there is a partner {args.name} already") from exc
    if args.json:
        print_json(
            {
                "partner_id": partner_id,
                "name": args.name,
                "key": key,
                "webhook_secret": show_secret(secret),
            }
        )
    else:
        print(f"partner {args.name} is registered")
        print(f"key:            {key}")
        print(f"webhook secret: {show_secret(secret)}")
        print("Give both to the partner now: the key is stored as a hash and not shown again.")
    return 0


def show(args: argparse.Namespace) -> int:
    """All partners."""
    with Database(args) as database:
        rows = database.run(registers.partners)
    if args.json:
        print_json([_as_json(row) for row in rows])
    else:
        print_table(
            ("NAME", "MERCHANT", "LANGUAGE", "WEBHOOK URL"),
            [(row.name, row.merchant, row.language, row.webhook_url or "-") for row in rows],
        )
    return 0


def rotate_key(args: argparse.Namespace) -> int:
    """Give a partner a new key."""
    key = make_key()

    def rotate(cur: Cursor) -> int:
        partner = registers.partner_named(cur, args.name)
        keys.add_key(cur, partner_id=partner.partner_id, key_hash=hash_key(key), label="rotated")
        if not args.revoke_others:
            return 0
        return keys.revoke_keys(cur, partner_id=partner.partner_id, except_hash=hash_key(key))

    with Database(args) as database:
        revoked = known(args.name, lambda: database.run(rotate))
    if args.json:
        print_json({"name": args.name, "key": key, "revoked": revoked})
    else:
        print(f"key: {key}")
        print(
            f"{revoked} other keys are revoked"
            if args.revoke_others
            else "The other keys stay good: revoke them with --revoke-others when this one is used."
        )
    return 0


def set_webhook(args: argparse.Namespace) -> int:
    """Change where a partner is told."""
    _check_url(args, args.url)

    def change(cur: Cursor) -> None:
        partner = registers.partner_named(cur, args.name)
        registers.set_webhook(cur, partner_id=partner.partner_id, url=args.url)

    with Database(args) as database:
        known(args.name, lambda: database.run(change))
    if args.json:
        print_json({"name": args.name, "webhook_url": args.url})
    else:
        print(f"{args.name} is told at {args.url or 'no address of its own'}")
    return 0


def rotate_secret(args: argparse.Namespace) -> int:
    """Give a partner a new webhook secret; the old one signs as well for a while."""
    if not 0 <= args.overlap_days <= _OVERLAP_DAYS_MAX:
        raise Failed(f"--overlap-days must be 0..{_OVERLAP_DAYS_MAX}", exit_code=USAGE)
    secret = secrets.token_bytes(32)

    def rotate(cur: Cursor) -> datetime:
        partner_id = registers.partner_named(cur, args.name).partner_id
        overlap_s = args.overlap_days * 86_400
        return registers.rotate_webhook_secret(
            cur, partner_id=partner_id, secret=secret, overlap_s=overlap_s
        )

    with Database(args) as database:
        until = known(args.name, lambda: database.run(rotate))
    shown = show_secret(secret)
    if args.json:
        until_text = until.isoformat()
        print_json({"name": args.name, "webhook_secret": shown, "old_signs_until": until_text})
    else:
        print(f"webhook secret: {shown}")
        print(
            f"The one before signs as well until {until.astimezone(UTC):%Y-%m-%d %H:%M}Z."
            if args.overlap_days
            else "The one before signs nothing from now on."
        )
    return 0


def sites(args: argparse.Namespace) -> int:
    """Which sites may show a partner's payment pages in a frame; adds or removes one."""
    for origin in (args.add, args.remove):
        if origin is not None and not _ORIGIN.fullmatch(origin):
            shown = "https://shop.example: scheme, host and port, nothing after them"
            raise Failed(f"{origin!r} is no site, such as {shown}", exit_code=USAGE)

    def change(cur: Cursor) -> tuple[list[str], bool]:
        partner_id = registers.partner_named(cur, args.name).partner_id
        gone = True
        if args.add is not None:
            checkout.add_site(cur, partner_id=partner_id, origin=args.add)
        if args.remove is not None:
            gone = checkout.remove_site(cur, partner_id=partner_id, origin=args.remove)
        return checkout.sites(cur, partner_id), gone

    with Database(args) as database:
        found, gone = known(args.name, lambda: database.run(change))
    if not gone:
        raise Failed(f"{args.remove} is no site of {args.name}")
    if args.json:
        print_json({"name": args.name, "sites": found})
    else:
        print("\n".join(found) or f"{args.name} has no sites: its pages can't be framed")
    return 0


def add_tariff(args: argparse.Namespace) -> int:
    """Register a tariff."""
    money = money_of(args.amount, args.currency)
    if not _TARIFF.fullmatch(args.name):
        raise Failed(f"{args.name!r} is no name: letters, digits, . - and _", exit_code=USAGE)
    tariff = TariffRow(
        args.name, money.amount_minor, money.currency, args.description, args.debit_start_s
    )

    def register(cur: Cursor) -> None:
        partner = registers.partner_named(cur, args.partner)
        registers.add_tariff(cur, partner_id=partner.partner_id, tariff=tariff)

    with Database(args) as database:
        try:
            known(args.partner, lambda: database.run(register))
        except Taken as exc:
            raise Failed(f"{args.partner} has a tariff {args.name} already") from exc
    print(f"tariff {args.name}: {to_decimal_text(money)} {money.currency}")
    return 0


def show_tariffs(args: argparse.Namespace) -> int:
    """A partner's tariffs."""

    def read(cur: Cursor) -> list[TariffRow]:
        return registers.tariffs(cur, registers.partner_named(cur, args.partner).partner_id)

    with Database(args) as database:
        rows = known(args.partner, lambda: database.run(read))
    amounts = [to_decimal_text(Money(row.amount_minor, row.currency)) for row in rows]
    if args.json:
        print_json(
            [
                {"name": r.name, "amount": a, "currency": r.currency, "description": r.description}
                for r, a in zip(rows, amounts, strict=True)
            ]
        )
    else:
        print_table(
            ("NAME", "AMOUNT", "DESCRIPTION"),
            [
                (r.name, f"{a} {r.currency}", r.description)
                for r, a in zip(rows, amounts, strict=True)
            ],
        )
    return 0


def money_of(amount: str, currency: str) -> Money:
    """An amount as typed. Raises Failed."""
    try:
        return from_decimal(Decimal(amount), currency)
    except InvalidOperation as exc:
        raise Failed(f"{amount!r} is no amount, such as 25.00", exit_code=USAGE) from exc
    except (AmountError, UnknownCurrency) as exc:
        raise Failed(str(exc), exit_code=USAGE) from exc


def _check_url(args: argparse.Namespace, url: str | None) -> None:
    """What could never be told is refused now, and not found out in three days of trying."""
    if url is None:
        return
    try:
        settings_of(args).webhooks.guard.check_url(url)
    except Refused as exc:
        raise Failed(f"{url!r} will not be told: {exc}", exit_code=USAGE) from exc


def _as_json(row: PartnerRow) -> dict[str, object]:
    return {
        "partner_id": row.partner_id,
        "name": row.name,
        "merchant": row.merchant,
        "language": row.language,
        "webhook_url": row.webhook_url,
    }
