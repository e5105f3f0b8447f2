"""`ppcd refund list`, `show` and `resolve`: what people do about refunds in doubt."""

import argparse
import math
from typing import Final

from ppcd.charge.debit import Abilities
from ppcd.charge.money import Money, to_decimal_text
from ppcd.charge.msisdn import Msisdn
from ppcd.cli.database import Database
from ppcd.cli.doubts import decision, show_one
from ppcd.cli.failure import Failed
from ppcd.cli.output import print_json, print_table
from ppcd.config import Settings
from ppcd.flow.attempts import SEND_WITHIN_S
from ppcd.store import history, refund_resolutions
from ppcd.store.refund_resolutions import OpenRefund
from ppcd.store.resolutions import Obstacle, Unresolved, Which

_COLUMNS: Final = (
    *("refund", "charge", "state", "since", "partner", "msisdn", "amount", "billing"),
    *("attempts", "next"),
)
_OBSTACLES: Final = {
    Obstacle.ENDED: "refund {refund} has ended already: see `ppcd refund show {refund}`",
    Obstacle.NOT_IN_DOUBT: "refund {refund} is not in doubt: it is still being made",
    Obstacle.UNDER_WAY: "billing is being asked about refund {refund} at this moment: see "
    "`ppcd refund show {refund}` in a minute",
    Obstacle.NOT_QUIET: "billing may still give refund {refund} back for {left} s (its "
    "quiet_period_s): look at billing again after that, then say denied",
}


def show_list(args: argparse.Namespace) -> int:
    """Refunds that have not ended, the oldest first."""
    which = Which.REVIEW if args.review else Which.IN_DOUBT if args.in_doubt else Which.ALL
    with Database(args) as database:
        found, count = database.run(refund_resolutions.list_open, which=which, limit=args.limit)
    shown = [_as_json(refund) for refund in found]
    if args.json:
        print_json({"count": count, "refunds": shown})
        return 0
    print_table(
        [name.upper() for name in _COLUMNS],
        [tuple(row[name] for name in _COLUMNS) for row in shown],
    )
    if count > len(found):
        print(f"… and {count - len(found)} more: use --limit")
    return 0


def show(args: argparse.Namespace) -> int:
    """One refund: its keys, where it stands, every attempt and answer."""
    with Database(args) as database:
        refund = database.run(refund_resolutions.get_open, args.id)
        charge_id = _charge_of(database, args.id)
        facts = database.run(history.facts, charge_id)
    facts = [entry for entry in facts if entry.detail.startswith(f"{args.id}: ")]
    keys = {"refund key": args.id, "debit key": charge_id}
    return show_one(args, "refund", keys, None if refund is None else _as_json(refund), facts)


def resolve(args: argparse.Namespace) -> int:
    """Say what became of a refund in doubt; ends it, and the partner is told."""
    decided = decision(args, "refund")
    with Database(args) as database:
        resolution = decided(_charge_of(database, args.id))
        refund = database.run(refund_resolutions.get_open, args.id)
        quiet_s = _quiet_period_s(database.settings, refund) + SEND_WITHIN_S
        done = database.run(refund_resolutions.resolve, args.id, resolution, quiet_period_s=quiet_s)
    if isinstance(done, Unresolved):
        said = _OBSTACLES[done.obstacle]
        raise Failed(said.format(refund=args.id, left=math.ceil(done.left_s)))
    said = "succeeded" if args.end == "succeeded" else "been denied"
    print(f"refund {args.id} has {said}; recorded as the")
    print(f"decision of {resolution.person}")
    return 0


def _charge_of(database: Database, refund_id: int) -> int:
    charge_id = database.run(refund_resolutions.charge_of, refund_id)
    if charge_id is None:
        raise Failed(f"there is no refund {refund_id}")
    return charge_id


def _quiet_period_s(settings: Settings, refund: OpenRefund | None) -> float:
    section = None if refund is None else settings.billing.get(refund.billing)
    # A billing that this configuration does not know is given the usual time.
    if section is None:
        return Abilities().quiet_period_s
    own = getattr(section, "refund", None)
    abilities = section.abilities if own is None else own.abilities
    return abilities.quiet_period_s


def _as_json(refund: OpenRefund) -> dict[str, object]:
    money = Money(refund.amount_minor, refund.currency)
    review = refund.state == "review"
    return {
        "refund": refund.refund_id,
        "charge": refund.charge_id,
        "state": refund.state,
        "since": refund.since.isoformat(timespec="seconds"),
        "partner": refund.partner,
        "msisdn": str(Msisdn.from_digits(str(refund.msisdn))),
        "amount": f"{to_decimal_text(money)} {refund.currency}",
        "billing": refund.billing,
        "attempts": refund.attempts,
        "next": "a person decides" if review else f"{refund.plan} at {refund.run_at:%H:%M:%S}Z",
    }
