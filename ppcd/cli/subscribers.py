"""`ppcd subscriber block`, `unblock` and `show`: people who are to be left alone."""

import argparse

from ppcd.charge.msisdn import InvalidMsisdn, Msisdn
from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.output import print_json
from ppcd.store import subscribers

_DAY_S = 86_400
_DAYS_MAX = 36_500
_NOTE_LENGTH_MAX = 200


def block(args: argparse.Namespace) -> int:
    """Have a phone asked no more."""
    msisdn = _msisdn(args)
    if args.days is not None and not 0 < args.days <= _DAYS_MAX:
        raise Failed(f"--days is above 0 and up to {_DAYS_MAX}", exit_code=USAGE)
    if len(args.note) > _NOTE_LENGTH_MAX or not args.note.isprintable():
        raise Failed(f"a note is a line of up to {_NOTE_LENGTH_MAX} characters", exit_code=USAGE)
    with Database(args) as database:
        database.run(
            subscribers.block,
            msisdn=int(msisdn.digits),
            seconds=None if args.days is None else args.days * _DAY_S,
            note=args.note,
        )
    how_long = "until it is unblocked" if args.days is None else f"for {args.days:g} days"
    print(f"{msisdn} is not asked {how_long}")
    return 0


def unblock(args: argparse.Namespace) -> int:
    """Let a phone be asked again."""
    msisdn = _msisdn(args)
    with Database(args) as database:
        if not database.run(subscribers.unblock, msisdn=int(msisdn.digits)):
            raise Failed(f"{msisdn} is not blocked")
    print(f"{msisdn} may be asked again")
    return 0


def show(args: argparse.Namespace) -> int:
    """Whether a phone is blocked, and how often it was asked of late."""
    msisdn = _msisdn(args)
    with Database(args) as database:
        seen = database.run(subscribers.show, msisdn=int(msisdn.digits))
    block = seen.block
    if args.json:
        print_json(
            {
                "blocked": block is not None,
                "why": block and block.why,
                "note": block and block.note,
                "since": block and block.since.isoformat(),
                "until": block and block.until and block.until.isoformat(),
                "charges_last_hour": seen.last_hour,
                "charges_last_day": seen.last_day,
                "charges_open": seen.open,
            }
        )
        return 0
    if block is None:
        print(f"{msisdn} is not blocked")
    else:
        until = f"until {block.until:%Y-%m-%d %H:%M} UTC" if block.until else "until unblocked"
        why = "the subscriber's STOP" if block.why == "stop" else "an operator"
        print(f"{msisdn} is blocked by {why} since {block.since:%Y-%m-%d %H:%M} UTC, {until}")
        if block.note:
            print(f"note: {block.note}")
    print(f"charges: {seen.last_hour} in the last hour, {seen.last_day} in the last day")
    print(f"waiting for an answer: {seen.open}")
    return 0


def _msisdn(args: argparse.Namespace) -> Msisdn:
    try:
        return Msisdn.from_digits(args.msisdn.removeprefix("+"))
    except InvalidMsisdn as exc:
        raise Failed("MSISDN is the number with its country code", exit_code=USAGE) from exc
