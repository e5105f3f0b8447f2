"""`ppcd status`, `pause`, `resume`: what a running node is asked and told."""

import argparse
from typing import Any, Final

from ppcd.cli.database import settings_of
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.output import print_json
from ppcd.ops.admin import AdminError
from ppcd.ops.ask import NotAnswering, call

#: Fewer months of partitions than this are an alarm.
FEW: Final = 2


def status(args: argparse.Namespace) -> int:
    """One screen: links, queues, what is stuck."""
    seen = _ask(args, {"command": "status"})
    if args.json:
        print_json(seen)
    else:
        _show(seen)
    return 0


def pause(args: argparse.Namespace) -> int:
    """Press a stop button."""
    changed = _ask(args, _button(args, "pause"))["changed"]
    print(f"{_what(args)} {'are paused' if changed else 'were paused already'}")
    return 0


def resume(args: argparse.Namespace) -> int:
    """Release a stop button."""
    changed = _ask(args, _button(args, "resume"))["changed"]
    print(f"{_what(args)} {'go on' if changed else 'were not paused so'}")
    return 0


def _button(args: argparse.Namespace, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "kind": args.kind,
        "partner": args.partner,
        "adapter": args.adapter,
    }


def _what(args: argparse.Namespace) -> str:
    only = [
        f"{name} {value}"
        for name, value in (("of partner", args.partner), ("through", args.adapter))
        if value
    ]
    return " ".join([args.kind, *only])


def _ask(args: argparse.Namespace, request: dict[str, Any]) -> Any:
    path = args.socket or settings_of(args).operations.socket
    try:
        return call(path, request)
    except NotAnswering as exc:
        raise Failed(str(exc)) from exc
    except AdminError as exc:
        raise Failed(str(exc), exit_code=USAGE) from exc


def _show(seen: dict[str, Any]) -> None:
    print(f"node {seen['node']}, ppcd {seen['version']}")
    print(f"database    {seen['database']}")
    print(f"partners    {seen['partners_at'] or 'not served yet'}")
    print(f"operations  {seen['operations_at']}")
    print()
    for link in seen["links"]:
        refused = f", refused with {link['refused_with']}" if link["refused_with"] else ""
        print(
            f"link {link['name']:14} {link['state']}{refused}  {link['host']}  "
            f"window {link['window_in_use']}/{link['window_max']}, received {link['received']}, "
            f"bound {link['binds']} time(s), lost {link['lost']}"
        )
    print()
    if seen["database"] != "connected":
        print("what follows is from before the database was lost:")
    for job in seen["jobs"]:
        everywhere = "?" if job["all_nodes"] is None else job["all_nodes"]
        oldest = f", oldest {job['oldest_s']:.0f} s old" if job["oldest_s"] else ""
        print(
            f"{job['kind']:8} jobs  {everywhere} on all nodes{oldest}; "
            f"here {job['running']} running, {job['queued']} queued"
        )
    for billing in seen["billing"]:
        if billing["away"]:
            print(f"billing {billing['billing']:14} DOES NOT ANSWER: debits wait, tried at times")
    print()
    charges = seen["charges"]
    if charges is not None:
        print(f"awaiting an answer  {charges['awaiting']}")
        print(f"in doubt            {charges['in_doubt']}")
        print(f"in review           {charges['in_review']}{_attention(charges['in_review'])}")
        print(f"dead notifications  {seen['dead_webhooks']}{_attention(seen['dead_webhooks'])}")
    if seen["partitions_months_left"] is not None:
        left = seen["partitions_months_left"]
        few = "   <- run `ppcd migrate`, and see why no node makes them" if left < FEW else ""
        print(f"partitions          for {left} more month(s){few}")
    for slowed in seen["slowed"]:
        print(
            f"SLOWED              partner {slowed['partner']}: {slowed['agreed']} of "
            f"{slowed['asked']} asked said yes; {slowed['per_minute']} charges a minute"
        )
    for button in seen["paused"]:
        what = " ".join(filter(None, (button["kind"], button["partner"], button["adapter"])))
        print(f"PAUSED              {what}, since {button['since']}")


def _attention(count: int) -> str:
    return "   <- a person must look" if count else ""
