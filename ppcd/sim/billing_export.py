"""The simulated billing's own file: every debit, refusal and refund of its journal, as CSV."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from ppcd.sim.journal import read_journal

HEAD: Final = ("at", "what", "key", "msisdn", "amount_minor", "currency", "reference", "reason")
#: Of the journal's entries, those about money.
_MONEY: Final = ("debited", "refused", "refunded", "refund_refused")


def export(journal: Path, output: TextIO) -> int:
    """Write the file; how many rows it has."""
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(HEAD)
    count = 0
    for entry in _entries(journal):
        writer.writerow([entry.get("entry" if name == "what" else name, "") for name in HEAD])
        count += 1
    return count


def _entries(journal: Path) -> Iterator[dict[str, Any]]:
    for entry in read_journal(journal):
        if entry["entry"] in _MONEY:
            yield entry
