"""The journal behind files of debits: one record a key, whatever crashes, and files made of it.

Blocking; for one thread. The journal is the truth and a file is copied from it, so a record is in
exactly one file. Owns the order of writes, syncs and renames. Refuses to know what a record means.

    N.journal   one JSON line a record, synced before it is answered for
    .NAME.part  the file, whole and synced; then the journal gets its last line: published
    NAME        renamed into place: while the part is there, it was not
    N.done      the journal of a published file, kept for its keys
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

__all__ = ["Damaged", "Journal", "Line"]

_OPEN: Final = ".journal"
_DONE: Final = ".done"


class Damaged(Exception):
    """The journal is in use elsewhere, or is not what was written; a person has to look."""


@dataclass(frozen=True, slots=True)
class Line:
    """A record that is to be made: its key, what it is about, and its text."""

    key: str
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class _Known:
    what: str
    reference: str


class Journal:
    """Records in order, each key once, and the files they go into."""

    def __init__(
        self,
        journal: Path,
        directory: Path,
        *,
        name_of: Callable[[int], str],
        header: str | None,
        keys_kept: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        """Takes up what an earlier run left. `name_of` names the file of a sequence number.

        Raises OSError and Damaged.
        """
        self._journal = journal
        self._directory = directory
        self._name_of = name_of
        self._header = header
        self._known: dict[str, _Known] = {}
        self._fd: int | None = None
        self._name = ""
        self._lines: list[str] = []
        self._sequence = 0
        journal.mkdir(parents=True, exist_ok=True, mode=0o750)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._lock = os.open(journal / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise Damaged("another process writes this journal") from exc
            self._take_up(now() - keys_kept)
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def records(self) -> int:
        """In the file that is being made."""
        return len(self._lines)

    def find(self, key: str) -> _Known | None:
        """What was recorded under a key."""
        return self._known.get(key)

    def append(self, lines: Sequence[Line]) -> None:
        """Record all of them or raise OSError; then whether they are there is not known.

        Their keys must be new. `undo` afterwards if nothing was synced.
        """
        if self._fd is None:
            self._begin()
        assert self._fd is not None
        text = "".join(_json({"key": x.key, "what": x.what, "text": x.text}) for x in lines)
        _write_all(self._fd, text.encode())
        os.fsync(self._fd)
        for line in lines:
            self._lines.append(line.text)
            self._remember(line.key, line.what, self._name, len(self._lines))

    def publish(self) -> None:
        """End the file that is being made: whole, synced, renamed into place."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        try:
            self._publish(fd, self._name, self._lines)
        finally:
            os.close(fd)
        self._done(self._sequence)
        self._lines = []

    def close(self) -> None:
        """Let go of everything; what is unfinished is taken up by the next run."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        os.close(self._lock)

    def _begin(self) -> None:
        self._sequence += 1
        self._name = self._name_of(self._sequence)
        path = self._path(self._sequence, _OPEN)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            _write_all(fd, _json({"file": self._name}).encode())
            os.fsync(fd)
            _sync_directory(self._journal)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._lines = []

    def _publish(self, fd: int, name: str, lines: Sequence[str]) -> None:
        part = self._directory / f".{name}.part"
        with part.open("w", encoding="utf-8", errors="replace", newline="") as file:
            if self._header is not None:
                file.write(self._header + "\n")
            file.writelines(line + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(self._directory)
        _write_all(fd, _json({"published": len(lines)}).encode())
        os.fsync(fd)
        self._into_place(name)

    def _into_place(self, name: str) -> None:
        """Rename the part, unless that was done: only the rename takes it away."""
        with suppress(FileNotFoundError):
            (self._directory / f".{name}.part").rename(self._directory / name)
        _sync_directory(self._directory)

    def _done(self, sequence: int) -> None:
        self._path(sequence, _OPEN).rename(self._path(sequence, _DONE))
        _sync_directory(self._journal)

    def _take_up(self, oldest: datetime) -> None:
        for path in sorted(self._journal.glob(f"*{_DONE}")):
            self._sequence = max(self._sequence, int(path.stem))
            if path.stat().st_mtime < oldest.timestamp():
                # The newest stays, for its number.
                path.write_bytes(b"")
            else:
                self._read(path)
        spent = [p for p in sorted(self._journal.glob(f"*{_DONE}")) if p.stat().st_size == 0]
        for path in spent[:-1]:
            path.unlink()
        for path in sorted(self._journal.glob(f"*{_OPEN}")):
            self._sequence = max(self._sequence, int(path.stem))
            self._finish(path)

    def _finish(self, path: Path) -> None:
        """Publish what an earlier run had begun."""
        name, lines, published = self._read(path)
        if not published and lines:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            try:
                self._publish(fd, name, lines)
            finally:
                os.close(fd)
        elif published:
            self._into_place(name)
        self._done(int(path.stem))

    def _read(self, path: Path) -> tuple[str, list[str], bool]:
        """The file's name, its records, and whether it was published; a torn end is cut off."""
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) != len(data):
            os.truncate(path, len(whole))
        name, lines, published = "", [], False
        for number, row in enumerate(whole.splitlines()):
            try:
                said = json.loads(row)
                if number == 0:
                    name = said["file"]
                elif "published" in said:
                    published = True
                else:
                    lines.append(said["text"])
                    self._remember(said["key"], said["what"], name, len(lines))
            except (ValueError, KeyError, TypeError) as exc:
                raise Damaged(f"{path}: line {number + 1} is not what was written") from exc
        return name, lines, published

    def _remember(self, key: str, what: str, name: str, number: int) -> None:
        self._known[key] = _Known(what, f"{name}:{number}")

    def _path(self, sequence: int, suffix: str) -> Path:
        return self._journal / f"{sequence:010d}{suffix}"


def _json(value: object) -> str:
    return json.dumps(value) + "\n"


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
