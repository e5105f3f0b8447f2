"""`ppcd debit list`, `show` and `resolve`: what people do about debits that no machine settles."""

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
from ppcd.store import history, resolutions
from ppcd.store.resolutions import LettingGo, Obstacle, OpenDebit, Unresolved, Which

#: Of a charge's history, what is about its debit.
_ABOUT_DEBITS: Final = frozenset({"debit attempt", "debit result", "resolution", "outcome"})

_OBSTACLES: Final = {
    Obstacle.NO_DEBIT: "there is no debit of charge {charge}: no yes, or no such charge",
    Obstacle.ENDED: "charge {charge} has ended already: see `ppcd debit show {charge}`",
    Obstacle.NOT_IN_DOUBT: "the debit of charge {charge} is not in doubt: it is still being made",
    Obstacle.UNDER_WAY: "billing is being asked about charge {charge} at this moment: see "
    "`ppcd debit show {charge}` in a minute",
    Obstacle.NOT_QUIET: "billing may still debit charge {charge} for {left} s (abilities."
    "quiet_period_s): look at billing again after that, then say denied",
}


def show_list(args: argparse.Namespace) -> int:
    """Debits that have not ended, the oldest first."""
    which = Which.REVIEW if args.review else Which.IN_DOUBT if args.in_doubt else Which.ALL
    with Database(args) as database:
        found, count = database.run(resolutions.list_open, which=which, limit=args.limit)
    if args.json:
        print_json({"count": count, "debits": [_as_json(debit) for debit in found]})
        return 0
    print_table(
        ("CHARGE", "STATE", "SINCE", "PARTNER", "MSISDN", "AMOUNT", "BILLING", "TRIES", "NEXT"),
        [
            (
                debit.charge_id,
                debit.state,
                f"{debit.since:%Y-%m-%d %H:%M:%S}Z",
                debit.partner,
                _masked(debit),
                _amount(debit),
                debit.billing,
                debit.attempts,
                _next(debit),
            )
            for debit in found
        ],
    )
    if count > len(found):
        print(f"… and {count - len(found)} more: use --limit")
    return 0


def show(args: argparse.Namespace) -> int:
    """One debit: its key, where it stands, every attempt and answer."""
    with Database(args) as database:
        debit = database.run(resolutions.get_open, args.id)
        facts = database.run(history.facts, args.id)
    facts = [entry for entry in facts if entry.what in _ABOUT_DEBITS]
    if debit is None and not facts:
        raise Failed(f"there is no debit of charge {args.id}")
    now = None if debit is None else _as_json(debit)
    return show_one(args, "debit", {"debit key": args.id}, now, facts)


def resolve(args: argparse.Namespace) -> int:
    """Say what became of a debit in doubt; ends the charge, and the partner is told."""
    resolution = decision(args, "debit")(args.id)
    with Database(args) as database:
        debit = database.run(resolutions.get_open, args.id)
        quiet_s = _quiet_period_s(database.settings, debit) + SEND_WITHIN_S
        done = database.run(resolutions.resolve, resolution, quiet_period_s=quiet_s)
    if isinstance(done, Unresolved):
        said = _OBSTACLES[done.obstacle]
        raise Failed(said.format(charge=args.id, left=math.ceil(done.left_s)))
    if isinstance(done, LettingGo):
        print(f"charge {args.id} ends when billing has let go of what it may hold; recorded as the")
    else:
        said = {"succeeded": "succeeded", "cancelled": "been let go"}.get(done.state, "been denied")
        print(f"charge {args.id} has {said}; recorded as the")
    print(f"decision of {resolution.person}")
    return 0


def _quiet_period_s(settings: Settings, debit: OpenDebit | None) -> float:
    section = None if debit is None else settings.billing.get(debit.billing)
    # A billing that this configuration does not know is given the usual time.
    return Abilities().quiet_period_s if section is None else section.abilities.quiet_period_s


def _as_json(debit: OpenDebit) -> dict[str, object]:
    return {
        "charge": debit.charge_id,
        "state": debit.state,
        "since": debit.since.isoformat(),
        "partner": debit.partner,
        "msisdn": _masked(debit),
        "amount": _amount(debit),
        "billing": debit.billing,
        "attempts": debit.attempts,
        "next": _next(debit),
    }


def _masked(debit: OpenDebit) -> str:
    return str(Msisdn.from_digits(str(debit.msisdn)))


def _amount(debit: OpenDebit) -> str:
    return f"{to_decimal_text(Money(debit.amount_minor, debit.currency))} {debit.currency}"


def _next(debit: OpenDebit) -> str:
    if debit.state == "review":
        return "a person decides"
    return f"{debit.plan} at {debit.run_at:%H:%M:%S}Z"
