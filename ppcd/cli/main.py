"""The tree of commands and their arguments."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final

from ppcd import __version__
from ppcd.cli.failure import Failed
from ppcd.cli.key_commands import key_commands
from ppcd.cli.papers import papers
from ppcd.cli.tree import Commands as _Commands
from ppcd.cli.tree import command as _command
from ppcd.cli.tree import group as _group
from ppcd.cli.tree import json_option as _json

_EPILOG: Final = """\
examples:
  ppcd demo                                    everything, on this machine, with a page to try it
  ppcd check-config --config ppcd.yaml         all problems of a configuration at once
  ppcd migrate --config ppcd.yaml              bring the database up to this release
  ppcd run --config ppcd.yaml                  the daemon
  ppcd partner add gamex --merchant GameX --webhook-url https://shop.example/hook
  ppcd tariff add gamex gold-250 --amount 25.00 --currency UAH --description "250 gold"
  ppcd status                                  links, queues, what is stuck
  ppcd charge show 14876234876234              one charge's whole history
  ppcd debit list --review                     debits that a person must look up at billing
  ppcd webhook list                            events that a partner did not take in three days
  ppcd reconcile debits.csv --mapping map.yaml billing's own file beside our records
  ppcd settlement gamex --month 2026-11        a partner's statement
  ppcd retention                               what is older than the law allows
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = _load(args.run)
    try:
        return run(args)
    except Failed as exc:
        for line in exc.lines:
            # One line each, also where a library's message has several.
            print(f"ppcd: {' '.join(line.split())}", file=sys.stderr)
        return exc.exit_code
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 1


def _load(where: str) -> Callable[[argparse.Namespace], int]:
    module, _, name = where.rpartition(".")
    found: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ppcd",
        description="Carrier billing by reply: the subscriber answers one word, the operator "
        "debits once.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ppcd {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _daemon(commands)
    _partners(commands)
    _subscribers(commands)
    _operations(commands)
    _debits(commands)
    _webhooks(commands)
    papers(commands)
    _simulators(commands)
    return parser


def _daemon(commands: _Commands) -> None:
    _command(commands, "run", "ppcd.cli.daemon.run", "run the daemon")
    _command(
        commands, "check-config", "ppcd.cli.daemon.check", "show all problems of a configuration"
    )
    migrate = _command(
        commands, "migrate", "ppcd.cli.daemon.migrate", "bring the database up to this release"
    )
    migrate.add_argument("--dry-run", action="store_true", help="only list what would be applied")


def _partners(commands: _Commands) -> None:
    partner = _group(commands, "partner", "who may ask for charges")
    add = _command(
        partner, "add", "ppcd.cli.partners.add", "register a partner; shows its key once"
    )
    add.add_argument("name", help="short name, such as gamex: small letters, digits, - and _")
    add.add_argument("--merchant", required=True, help="what subscribers read, such as GameX")
    add.add_argument("--language", choices=("uk", "ru", "en"), default="ru", help="of its prompts")
    add.add_argument("--webhook-url", metavar="URL", help="where its charges' ends are told")
    _json(add)
    listing = _command(partner, "list", "ppcd.cli.partners.show", "all partners")
    _json(listing)
    rotate = _command(
        partner,
        "rotate-key",
        "ppcd.cli.partners.rotate_key",
        "a new key; the old ones stay good until --revoke-others",
    )
    rotate.add_argument("name")
    rotate.add_argument(
        "--revoke-others", action="store_true", help="all other keys open nothing from now on"
    )
    _json(rotate)
    key_commands(partner)
    _told(partner)
    sites = _command(
        partner,
        "sites",
        "ppcd.cli.partners.sites",
        "where payment pages may be shown in a frame",
    )
    sites.add_argument("name")
    sites.add_argument("--add", metavar="ORIGIN", help="such as https://shop.example")
    sites.add_argument("--remove", metavar="ORIGIN")
    _json(sites)

    _limits(partner)
    _tariffs(commands)


def _tariffs(commands: _Commands) -> None:
    tariff = _group(commands, "tariff", "what partners sell under a name")
    add = _command(tariff, "add", "ppcd.cli.partners.add_tariff", "register a tariff")
    add.add_argument("partner")
    add.add_argument("name", help="what a request's productId says, such as gold-250")
    add.add_argument("--amount", required=True, help="such as 25.00")
    add.add_argument("--currency", required=True, help="ISO 4217, such as UAH")
    add.add_argument("--description", required=True, help="such as '250 gold'")
    add.add_argument(
        "--debit-start-s",
        type=int,
        metavar="SECONDS",
        help="a debit not begun so long after the yes is denied; default: the configuration's",
    )
    listing = _command(tariff, "list", "ppcd.cli.partners.show_tariffs", "a partner's tariffs")
    listing.add_argument("partner")
    _json(listing)


def _told(partner: _Commands) -> None:
    hook = _command(
        partner, "set-webhook", "ppcd.cli.partners.set_webhook", "change where a partner is told"
    )
    hook.add_argument("name")
    hook.add_argument("url", nargs="?", help="none: events go only where a request says")
    _json(hook)
    secret = _command(
        partner,
        "rotate-secret",
        "ppcd.cli.partners.rotate_secret",
        "a new secret for its webhooks, shown once; the old one signs as well for a while",
    )
    secret.add_argument("name")
    secret.add_argument(
        "--overlap-days",
        type=float,
        default=7,
        metavar="N",
        help="for so long; 0 for one that is in wrong hands (default: %(default)s)",
    )
    _json(secret)


def _limits(partner: _Commands) -> None:
    limits = _command(
        partner, "set-limits", "ppcd.cli.limits.set_limits", "how much its charges may debit"
    )
    limits.add_argument("name")
    limits.add_argument("--currency", required=True, help="ISO 4217, such as UAH")
    limits.add_argument("--charge", metavar="AMOUNT", help="of one charge at most, such as 500.00")
    limits.add_argument("--day", metavar="AMOUNT", help="in a day at most")
    limits.add_argument("--month", metavar="AMOUNT", help="in a calendar month at most")
    limits.add_argument(
        "--default", action="store_true", help="none of its own: what the configuration says"
    )
    shown = _command(
        partner,
        "show-limits",
        "ppcd.cli.limits.show_limits",
        "its own limits, and what counts towards them",
    )
    shown.add_argument("name")
    _json(shown)


def _subscribers(commands: _Commands) -> None:
    subscriber = _group(commands, "subscriber", "who is not to be asked")
    for name, help_text in (
        ("block", "a phone is not asked any more, by any partner"),
        ("unblock", "a phone may be asked again"),
        ("show", "whether a phone is blocked, and how often it was asked of late"),
    ):
        parser = _command(subscriber, name, f"ppcd.cli.subscribers.{name}", help_text)
        parser.add_argument("msisdn", metavar="MSISDN", help="the number, with its country code")
        if name == "block":
            parser.add_argument(
                "--days", type=float, metavar="N", help="for so long; default: until unblocked"
            )
            parser.add_argument("--note", default="", help="why, for colleagues")
        elif name == "show":
            _json(parser)


def _operations(commands: _Commands) -> None:
    for name, help_text in (
        ("status", "links, queues, what is stuck"),
        ("pause", "press a stop button: prompts or debits wait until `ppcd resume`"),
        ("resume", "release a stop button"),
    ):
        parser = _command(commands, name, f"ppcd.cli.operations.{name}", help_text)
        parser.add_argument(
            "--socket", metavar="PATH", help="the node's control socket, instead of a --config"
        )
        if name == "status":
            _json(parser)
            continue
        parser.add_argument("kind", choices=("prompts", "debits"))
        parser.add_argument("--partner", metavar="P", help="only this partner's (prompts)")
        parser.add_argument("--adapter", metavar="A", help="only through this one (debits)")

    charge = _group(commands, "charge", "what happened to a charge")
    show = _command(charge, "show", "ppcd.cli.charges.show", "one charge's whole history, in order")
    show.add_argument("id", type=int)
    _json(show)
    find = _command(charge, "find", "ppcd.cli.charges.find", "the newest charges that fit")
    find.add_argument("--msisdn", metavar="DIGITS", help="the subscriber's number, with country")
    find.add_argument("--reference", metavar="R", help="the partner's referenceCode")
    find.add_argument("--billing-reference", metavar="R", help="billing's reference of the debit")
    find.add_argument("--limit", type=int, default=20, help="default: %(default)s")
    _json(find)


def _debits(commands: _Commands) -> None:
    debit = _group(commands, "debit", "debits that have not ended, and what people decide of them")
    _undecided(debit, "debit", "the charge's id, which is the debit's key at billing", "took")
    refund = _group(
        commands, "refund", "refunds that have not ended, and what people decide of them"
    )
    _undecided(refund, "refund", "the refund's id, which is its key at billing", "gave back")


def _undecided(commands: _Commands, what: str, about_id: str, did: str) -> None:
    """The same three commands for debits and for refunds."""
    place = f"ppcd.cli.{what}s"
    listing = _command(
        commands,
        "list",
        f"{place}.show_list",
        f"{what}s that have not ended, the oldest first",
    )
    which = listing.add_mutually_exclusive_group()
    which.add_argument("--in-doubt", action="store_true", help="sent, and the outcome is unknown")
    which.add_argument("--review", action="store_true", help="only a person can settle them")
    listing.add_argument("--limit", type=int, default=50, help="default: %(default)s")
    _json(listing)
    show = _command(
        commands, "show", f"{place}.show", f"one {what}: its key, every attempt and answer"
    )
    show.add_argument("id", type=int, help=about_id)
    _json(show)
    resolve = _command(
        commands,
        "resolve",
        f"{place}.resolve",
        f"say what billing did with a {what} in doubt or in review; ends it for good, and tells "
        "the partner. Who says so is recorded",
    )
    resolve.add_argument("id", type=int, help=about_id)
    resolve.add_argument(
        "end",
        choices=("succeeded", "denied"),
        help=f"billing {did} the money; or it did not, and will not",
    )
    resolve.add_argument(
        "--reason", required=True, metavar="TEXT", help="how you know; kept with the charge"
    )
    resolve.add_argument(
        "--reference", metavar="R", help=f"billing's reference of the {what} (succeeded)"
    )


def _webhooks(commands: _Commands) -> None:
    webhook = _group(commands, "webhook", "what partners are told, and telling it again")
    listing = _command(
        webhook,
        "list",
        "ppcd.cli.webhooks.show_list",
        "events; those given up, unless told otherwise",
    )
    listing.add_argument(
        "--state",
        choices=("dead", "waiting", "over"),
        default="dead",
        help="given up; still tried; told, or not wanted (default: %(default)s)",
    )
    show = _command(
        webhook, "show", "ppcd.cli.webhooks.show", "one event: every attempt and what came of it"
    )
    show.add_argument("id", help="an event's (evt_…), or a charge's for all its events")
    replay = _command(
        webhook,
        "replay",
        "ppcd.cli.webhooks.replay",
        "tell events again, at once and under their old ids, where the partner is told by now. "
        "Who says so is recorded",
    )
    replay.add_argument("id", nargs="*", help="as for show")
    replay.add_argument("--all-dead", action="store_true", help="of all partners, of any time")
    replay.add_argument(
        "--over",
        action="store_true",
        help="instead of the dead ones those that were told already: for a partner that lost them",
    )
    replay.add_argument("--reason", required=True, metavar="TEXT", help="kept with the event")
    for parser, most in ((listing, 50), (replay, 1000)):
        parser.add_argument("--partner", metavar="P", help="only this partner's")
        parser.add_argument("--since", metavar="TIME", help="only of charges asked for since then")
        parser.add_argument("--until", metavar="TIME", help="only of charges asked for before then")
        parser.add_argument("--limit", type=int, default=most, help="default: %(default)s")
    for parser in (listing, show, replay):
        _json(parser)
    listen = _command(
        webhook,
        "listen",
        "ppcd.sim.listen_program.run",
        "for partner developers: a receiver that checks and prints the events posted to it",
        config=False,
    )
    if {"webhook", "listen"} <= set(sys.argv[1:4]):
        _load("ppcd.sim.listen_program.add_arguments")(listen)  # type: ignore[arg-type]


def _simulators(commands: _Commands) -> None:
    demo = _command(
        commands,
        "demo",
        "ppcd.cli.demo.run",
        "everything on this machine: database, SMSC with phones, billing, a shop, and a node",
        config=False,
    )
    demo.add_argument(
        "--http", default="127.0.0.1:8080", metavar="HOST:PORT", help="default: %(default)s"
    )
    demo.add_argument(
        "--data", metavar="DIR", help="where everything is kept; default: a directory in the cache"
    )
    sim = _group(commands, "sim", "the simulators alone, for one's own tests")
    for name in ("smsc", "billing"):
        parser = _command(
            sim, name, f"ppcd.sim.{name}_program.run", f"a simulated {name}", config=False
        )
        if {"sim", name} <= set(sys.argv[1:4]):  # their arguments are imported only when asked for
            _load(f"ppcd.sim.{name}_program.add_arguments")(parser)  # type: ignore[arg-type]
