"""`ppcd charge show` and `find`: the NOC's and the call centre's questions."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

from ppcd.charge.money import Money, to_decimal_text
from ppcd.charge.msisdn import InvalidMsisdn, Msisdn
from ppcd.charge.texts import one_line
from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.output import print_json, print_table
from ppcd.config import Settings
from ppcd.smpp import TextError, decode_text
from ppcd.store import charges, history
from ppcd.store.history import Entry, Said
from ppcd.store.rows import ChargeRow

#: esm_class: user data begins with a header, so the message is one part of several.
UDHI: Final = 0x40
#: Characters of a reply that are shown.
SHOWN_MAX: Final = 160


def show(args: argparse.Namespace) -> int:
    """One charge's whole history, in order, from its facts."""
    with Database(args) as database:
        [row] = database.run(charges.get, [args.id])
        if row is None:
            raise Failed(f"there is no charge {args.id}")
        words = _words(database.settings, database.run(history.said, args.id))
        facts = [_readable(entry, words) for entry in database.run(history.facts, args.id)]
        work = database.run(history.work, args.id)
    if args.json:
        print_json(
            {
                "charge": _as_json(row),
                "facts": [_entry(entry) for entry in facts],
                "work": [_entry(entry) for entry in work],
            }
        )
        return 0
    for name, value in _as_json(row).items():
        if value is not None:
            print(f"{name:18} {value}")
    print()
    for entry in facts:
        print(f"{_time(entry.at)}  {entry.what:14} {entry.detail}")
    if work:
        print("\nstill to be done:")
        for entry in work:
            print(f"{_time(entry.at)}  {entry.what:14} {entry.detail}")
    return 0


def find(args: argparse.Namespace) -> int:
    """The newest charges that fit."""
    if not (args.msisdn or args.reference or args.billing_reference):
        raise Failed(
            "say --msisdn, --reference or --billing-reference, or several", exit_code=USAGE
        )
    msisdn = None
    if args.msisdn:
        try:
            msisdn = int(Msisdn.from_digits(args.msisdn.removeprefix("+")).digits)
        except InvalidMsisdn as exc:
            raise Failed("--msisdn is the number with its country code", exit_code=USAGE) from exc
    with Database(args) as database:
        ids = database.run(
            history.find,
            msisdn=msisdn,
            reference=args.reference,
            billing_reference=args.billing_reference,
            limit=args.limit,
        )
        rows = [row for row in database.run(charges.get, ids) if row is not None]
    if args.json:
        print_json([_as_json(row) for row in rows])
    else:
        print_table(
            ("CHARGE", "CREATED", "PARTNER", "REFERENCE", "AMOUNT", "STATE"),
            [
                (
                    row.charge_id,
                    _time(row.created_at),
                    row.partner,
                    row.reference,
                    _amount(row),
                    " ".join(filter(None, (row.state, row.reason))),
                )
                for row in rows
            ],
        )
    return 0


def _words(settings: Settings, replies: Sequence[Said]) -> dict[str, str]:
    """By its octets as a history shows them: what a reply says in words, as its link means it."""
    words = {}
    for reply in replies:
        link = settings.links.get(reply.link)
        if link is None or reply.esm_class & UDHI:
            continue
        with suppress(TextError):
            text = decode_text(
                reply.raw,
                reply.data_coding,
                default=link.default_alphabet,
                overrides=dict(link.alphabets),
            )
            # On one line, and without signs that a terminal would obey.
            words[f"0x{reply.raw.hex()}"] = one_line(text, SHOWN_MAX)
    return words


def _readable(entry: Entry, words: Mapping[str, str]) -> Entry:
    octets, space, rest = entry.detail.partition(" ")
    if entry.what != "reply" or octets not in words:
        return entry
    return replace(entry, detail=f"«{words[octets]}» {octets}{space}{rest}")


def _as_json(row: ChargeRow) -> dict[str, object]:
    return {
        "charge": row.charge_id,
        "state": row.state,
        "reason": row.reason,
        "partner": row.partner,
        # Masked: whoever asks by number knows it, and terminals are photographed.
        "msisdn": str(Msisdn.from_digits(str(row.msisdn))),
        "amount": _amount(row),
        "merchant": row.merchant,
        "description": row.description,
        "reference": row.reference,
        "correlator": row.correlator,
        "product": row.product_id,
        "created": row.created_at.isoformat(),
        "expires": row.expires_at.isoformat(),
        "decided": None if row.decided_at is None else row.decided_at.isoformat(),
        "billing_reference": row.billing_reference,
    }


def _amount(row: ChargeRow) -> str:
    return f"{to_decimal_text(Money(row.amount_minor, row.currency))} {row.currency}"


def _entry(entry: Entry) -> dict[str, str]:
    return {"at": entry.at.isoformat(), "what": entry.what, "detail": entry.detail}


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
