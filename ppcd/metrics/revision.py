"""Which source this is, when it runs from a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["revision"]

UNKNOWN: Final = "unknown"
ROOT: Final = Path(__file__).parents[2]


def revision(root: Path = ROOT) -> str:
    """The commit that is checked out at `root`, in 12 digits; `unknown` outside of a checkout.

    Read from git's files: the program may not be installed, and is not worth a process.
    """
    git = root / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        loose = git / name
        if loose.is_file():
            return loose.read_text().strip()[:12]
        for line in (git / "packed-refs").read_text().splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return commit[:12]
    except (OSError, UnicodeDecodeError):
        pass  # no checkout, or one of another kind: nothing depends on it
    return UNKNOWN
