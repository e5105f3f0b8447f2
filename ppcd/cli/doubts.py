"""What `ppcd debit` and `ppcd refund` share: one thing shown whole, and a person's word on it.

Refuses to know what a debit or a refund is: both are a kind's name, an id and facts.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from ppcd.charge.debit import DenialReason
from ppcd.charge.texts import one_line
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.output import print_json
from ppcd.cli.person import person
from ppcd.store.debits import Next
from ppcd.store.history import Entry
from ppcd.store.resolutions import Resolution

REASON_LENGTH_MAX: Final = 500
REFERENCE_LENGTH_MAX: Final = 128
#: Of the longest name that a fact of this kind has.
_WIDTHS: Final = {"debit": 14, "refund": 17}


def show_one(
    args: argparse.Namespace,
    kind: str,
    keys: Mapping[str, object],
    now: Mapping[str, object] | None,
    facts: Sequence[Entry],
) -> int:
    """Print its keys, where it stands (None: it has ended), and its facts; what to do in doubt."""
    if args.json:
        entries = [{"at": e.at.isoformat(), "what": e.what, "detail": e.detail} for e in facts]
        print_json({kind: now, "facts": entries})
        return 0
    for name, value in (*keys.items(), *(now or {}).items()):
        print(f"{name:12} {value}")
    print()
    for entry in facts:
        print(f"{entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.what:{_WIDTHS[kind]}} {entry.detail}")
    if now is not None and now["state"] in ("in_doubt", "review"):
        print(
            f"\nLook up the {kind} key at billing; then\n"
            f"  ppcd {kind} resolve {args.id} succeeded --reference R --reason TEXT\n"
            f"  ppcd {kind} resolve {args.id} denied --reason TEXT"
        )
    return 0


def decision(args: argparse.Namespace, kind: str) -> Callable[[int], Resolution]:
    """What a person says became of it; takes the charge's id. Raises Failed for what can't be."""
    why = one_line(args.reason, REASON_LENGTH_MAX)
    if not why:
        raise Failed("--reason must say how it was found out", exit_code=USAGE)
    succeeded = args.end == "succeeded"
    if args.reference is not None and not succeeded:
        raise Failed(f"--reference is billing's of a {kind}: only with succeeded", exit_code=USAGE)
    return partial(
        Resolution,
        state=Next.SUCCEEDED if succeeded else Next.DENIED,
        why=why,
        person=person(),
        # What a query that finds nothing leads to: no money moved, and nobody tries any more.
        reason=None if succeeded else DenialReason.BILLING_UNAVAILABLE.value,
        reference=one_line(args.reference or "", REFERENCE_LENGTH_MAX) or None,
    )
