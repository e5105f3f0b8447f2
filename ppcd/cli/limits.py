"""`ppcd partner set-limits` and `show-limits`: how much one partner's charges may debit."""

import argparse

from ppcd.charge.money import sum_text
from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.keys import known
from ppcd.cli.output import print_json, print_table
from ppcd.cli.partners import money_of
from ppcd.store import limits, registers, spending
from ppcd.store.limits import PartnerLimit
from ppcd.store.spending import Taken
from ppcd.store.sql import Cursor


def set_limits(args: argparse.Namespace) -> int:
    """Give a partner limits of its own, in place of those it had; nodes know in seconds."""
    given = {
        name: None if text is None else money_of(text, args.currency).amount_minor
        for name, text in (("charge", args.charge), ("day", args.day), ("month", args.month))
    }
    if args.default == any(amount is not None for amount in given.values()):
        raise Failed("say --charge, --day or --month, or else --default", exit_code=USAGE)

    def change(cur: Cursor) -> None:
        partner_id = registers.partner_named(cur, args.name).partner_id
        own = PartnerLimit(partner_id, args.currency, given["charge"], given["day"], given["month"])
        limits.set_partner_limit(cur, own)

    with Database(args) as database:
        known(args.name, lambda: database.run(change))
    said = [
        f"a {name} {sum_text(amount, args.currency)} {args.currency}"
        for name, amount in given.items()
        if amount is not None
    ]
    print(f"{args.name}: {', '.join(said) or 'as the configuration says'}")
    return 0


def show_limits(args: argparse.Namespace) -> int:
    """A partner's own limits, and what was counted of this day and this month."""

    def read(cur: Cursor) -> tuple[list[PartnerLimit], list[Taken]]:
        partner_id = registers.partner_named(cur, args.name).partner_id
        own = [row for key, row in limits.partner_limits(cur).items() if key[0] == partner_id]
        zone = database.settings.charges.time_zone
        return own, spending.taken(cur, partner_id, zone=zone)

    with Database(args) as database:
        own, taken = known(args.name, lambda: database.run(read))
    limited = {row.currency: row for row in own}
    counted = {row.currency: row for row in taken}
    rows = []
    for currency in sorted({*limited, *counted}):
        limit, sums = limited.get(currency), counted.get(currency)
        rows.append(
            {
                "currency": currency,
                "charge_max": _shown(limit.charge_minor if limit else None, currency),
                "day_max": _shown(limit.day_minor if limit else None, currency),
                "day_counted": _shown(sums.day_minor if sums else None, currency),
                "month_max": _shown(limit.month_minor if limit else None, currency),
                "month_counted": _shown(sums.month_minor if sums else None, currency),
            }
        )
    if args.json:
        print_json(rows)
    else:
        print_table(
            ("CURRENCY", "CHARGE", "DAY", "COUNTED", "MONTH", "COUNTED"),
            [["-" if cell is None else cell for cell in row.values()] for row in rows],
        )
    return 0


def _shown(minor: int | None, currency: str) -> str | None:
    return None if minor is None else sum_text(minor, currency)
