"""`ppcd webhook list`, `show` and `replay`: events that were not taken, and telling them again."""

import argparse
import re
from datetime import UTC, datetime
from typing import Final

from ppcd.charge.texts import one_line
from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.keys import known
from ppcd.cli.output import print_json, print_table
from ppcd.cli.person import person
from ppcd.flow.notify import event_id_of
from ppcd.store import registers, replays
from ppcd.store.replays import Search, Told, Which
from ppcd.store.rows import WebhookKey
from ppcd.store.sql import Cursor

REASON_LENGTH_MAX: Final = 500
#: An event's id, or that of its charge.
_ID: Final = re.compile(r"(?:evt_)?([1-9][0-9]{0,18})(?:_([1-9][0-9]{0,8}))?")
_ID_MAX: Final = 2**63 - 1


def show_list(args: argparse.Namespace) -> int:
    """Events that are dead, waiting or over."""
    with Database(args) as database:
        search = _search(args, database, Which(args.state))
        found = database.run(replays.find, search, limit=args.limit)
    if args.json:
        print_json([_as_json(told) for told in found])
        return 0
    print_table(
        ("EVENT", "PARTNER", "OF", "ATTEMPTS", "NEXT", "LAST ANSWER"),
        [
            (
                _event_id(told),
                told.partner,
                _shown(told.made_at),
                told.attempts,
                _next(told),
                _last(told),
            )
            for told in found
        ],
    )
    if len(found) == args.limit:
        print("… and perhaps more: use --limit, or a shorter time")
    return 0


def show(args: argparse.Namespace) -> int:
    """One event, or those of one charge, with all that was tried."""
    with Database(args) as database:
        found = database.run(_named, args.id)
        tried = {told: database.run(replays.tried, _key(told)) for told in found}
    if args.json:
        print_json(
            [
                _as_json(told)
                | {
                    "tried": [
                        {"at": t.at.isoformat(), "what": t.what, "detail": t.detail}
                        for t in tried[told]
                    ]
                }
                for told in found
            ]
        )
        return 0
    for told in found:
        for name, value in _as_json(told).items():
            if value is not None:
                print(f"{name:10} {value}")
        for entry in tried[told]:
            print(f"  {_shown(entry.at)}  {entry.what:10} {entry.detail}")
        if told.which is Which.DEAD:
            print(f"\n  ppcd webhook replay {_event_id(told)} --reason TEXT")
    return 0


def replay(args: argparse.Namespace) -> int:
    """Have events told again, at once, under their old ids."""
    why = one_line(args.reason, REASON_LENGTH_MAX)
    if not why:
        raise Failed("--reason must say why they are told again", exit_code=USAGE)
    several = (args.partner, args.since, args.until)
    if bool(args.id) == (args.all_dead or any(several)):
        raise Failed(
            "name events, or say which dead ones: --partner, --since, --until, or --all-dead",
            exit_code=USAGE,
        )
    if args.over and not (args.partner and args.since and args.until):
        # Who has an event forgets it or delivers twice: that is for one partner and a known time.
        raise Failed("--over wants --partner, --since and --until as well", exit_code=USAGE)
    which = Which.OVER if args.over else Which.DEAD
    who = person()
    with Database(args) as database:
        if args.id:
            found = [told for name in args.id for told in database.run(_named, name)]
        else:
            search = _search(args, database, which)
            found = database.run(replays.find, search, limit=args.limit)
        keys = sorted({_key(told) for told in found}, key=lambda k: (k.charge_id, k.sequence))
        if keys:
            database.run(replays.replay, keys, person=who, reason=why)
    if args.json:
        print_json({"replayed": [event_id_of(k.charge_id, k.sequence) for k in keys]})
        return 0
    for key in keys:
        print(event_id_of(key.charge_id, key.sequence))
    print(f"{len(keys)} events are told again; recorded as the decision of {who}")
    if not args.id and len(found) == args.limit:
        print("There may be more: say it again when these are through, or use --limit")
    return 0


def _named(cur: Cursor, name: str) -> list[Told]:
    """The events of an id, which is an event's or a charge's. Raises Failed."""
    match = _ID.fullmatch(name)
    if match is None or int(match[1]) > _ID_MAX:
        raise Failed(f"{name!r} is no id of an event, such as evt_7398472983472_1", exit_code=USAGE)
    found = replays.of_charge(cur, int(match[1]))
    if match[2] is not None:
        found = [told for told in found if told.sequence == int(match[2])]
    if not found:
        raise Failed(f"there is no event {name}: the charge has not ended, or none was wanted")
    return found


def _search(args: argparse.Namespace, database: Database, which: Which) -> Search:
    partner_id = None
    if args.partner is not None:
        partner = known(args.partner, lambda: database.run(registers.partner_named, args.partner))
        partner_id = partner.partner_id
    return Search(
        which=which, partner_id=partner_id, since=_time(args.since), until=_time(args.until)
    )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Failed(
            f"{text!r} is no time, such as 2026-11-23 or 2026-11-23T09:30+02:00", exit_code=USAGE
        ) from exc
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _key(told: Told) -> WebhookKey:
    return WebhookKey(told.charge_id, told.sequence)


def _event_id(told: Told) -> str:
    return event_id_of(told.charge_id, told.sequence)


def _shown(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _next(told: Told) -> str:
    return told.which.value if told.run_at is None else _shown(told.run_at)


def _last(told: Told) -> str:
    return "-" if told.result is None else f"{told.result}: {told.detail}"


def _as_json(told: Told) -> dict[str, object]:
    return {
        "event": _event_id(told),
        "partner": told.partner,
        "url": told.url,
        "of": told.made_at.isoformat(),
        "state": told.which.value,
        "attempts": told.attempts,
        "last": None if told.result is None else _last(told),
        "next": None if told.run_at is None else told.run_at.isoformat(),
        "dead": None if told.dead_since is None else told.dead_since.isoformat(),
    }
