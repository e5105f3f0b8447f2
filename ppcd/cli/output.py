"""How commands print: one JSON document, or a table for people."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def print_json(document: Any) -> None:
    """One document on standard output."""
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns wide enough for what is in them."""
    for line in table(head, rows):
        print(line)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Its lines."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
