"""An append-only file of JSON lines: what a simulated party saw and did, in its own words.

A line is on its way to the disk before the party answers, so that after any crash the journals
of the outside parties can judge what really happened. Owns the file; knows no entry's meaning.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO


def utc_now() -> datetime:
    return datetime.now(UTC)


def timestamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_journal(path: Path) -> list[dict[str, object]]:
    """Every whole entry, oldest first; a last line torn by a crash was never acted upon."""
    if not path.exists():
        return []
    whole, _newline, _torn = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


class Journal:
    """Writes entries to `path`, or nowhere when it is None; `fsync` also survives a power cut."""

    def __init__(
        self, path: Path | None, *, fsync: bool = False, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._now = now
        self._fsync = fsync
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(path)
            self._file = path.open("ab", buffering=0)

    def write(self, entry: str, **fields: object) -> str:
        """Appends the entry and gives back its time, RFC 3339 in UTC."""
        at = timestamp(self._now())
        if self._file is not None:
            line = json.dumps({"at": at, "entry": entry, **fields}, ensure_ascii=False)
            # One write call a line: what a kill leaves behind is whole lines, or one torn end.
            self._file.write(line.encode() + b"\n")
            if self._fsync:
                os.fsync(self._file.fileno())
        return at

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        os.truncate(path, whole)
