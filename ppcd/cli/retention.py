"""`ppcd retention`: what is older than the law lets us keep is exported and dropped."""

import argparse
import gzip
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from ppcd.cli.database import Database
from ppcd.cli.failure import USAGE, Failed
from ppcd.cli.output import print_json, print_table
from ppcd.cli.progress import Progress
from ppcd.config import Settings
from ppcd.store import retention
from ppcd.store.retention import Due, Exported, Group, Kept
from ppcd.store.sql import Cursor

STATEMENT_S: Final = 6 * 3600.0
#: How often a lock is tried that running nodes don't let go of in time.
TRIES: Final = 5
_MODE: Final = 0o600
_CHUNK: Final = 1 << 20
_MIB: Final = 1 << 20
_KEPT: Final = {
    Kept.OPEN: "kept: something about it is open again",
    Kept.CHANGED: "kept: there is more in it than was exported; run the command again",
}


def retain(args: argparse.Namespace) -> int:
    """Say what is due; with --apply, export it and drop it. 1 when something was kept."""
    if args.without_export and not args.apply:
        raise Failed("--without-export is a way to --apply", exit_code=USAGE)
    with Database(args, statement_s=STATEMENT_S) as database, Progress("looking") as progress:
        months = _months(database.settings)
        directory = None
        if args.apply and not args.without_export:
            directory = _directory(args, database.settings)
        found = database.run(retention.due, months)
        results = []
        for one in found:
            if one.open:
                results.append(f"held back by {one.open} open")
            elif not args.apply:
                results.append("due")
            else:
                results.append(_end(one, directory, database, progress))
    if args.json:
        print_json([_as_json(one, said) for one, said in zip(found, results, strict=True)])
    else:
        _print(found, results, months, applied=args.apply)
    return 1 if any(said.startswith("kept") for said in results) else 0


def _months(settings: Settings) -> dict[Group, int]:
    wanted = settings.retention
    return {
        Group.CHARGES: wanted.charges_months,
        Group.MESSAGES: wanted.messages_months,
        Group.NOTIFICATIONS: wanted.notifications_months,
    }


def _directory(args: argparse.Namespace, settings: Settings) -> Path:
    given = args.directory or settings.retention.directory
    if given is None:
        said = "say retention.directory or --directory for the exports, or --without-export"
        raise Failed(said, exit_code=USAGE)
    path = Path(given)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise Failed(f"{path}: {exc.strerror}") from exc
    return path


def _end(one: Due, directory: Path | None, database: Database, progress: Progress) -> str:
    """Export and drop one month of one table; what became of it."""
    rows = None
    if directory is not None:
        try:
            rows = _exported(one, directory, database, progress)["rows"]
        except OSError as exc:
            raise Failed(f"{exc.filename or directory}: {exc.strerror}") from exc
    progress.begins(f"dropping {one.partition}")
    kept = _dropped(one, rows, database)
    return "dropped" if kept is None else _KEPT[kept]


def _dropped(one: Due, rows: int | None, database: Database) -> Kept | None:
    for _ in range(TRIES - 1):
        try:
            return database.run(retention.drop, one, rows=rows)
        except Failed:
            # Statements of running nodes hold the table; they are short.
            continue
    return database.run(retention.drop, one, rows=rows)


# --- files


def _exported(
    one: Due, directory: Path, database: Database, progress: Progress
) -> Mapping[str, Any]:
    """The description of a month's export, which is made unless it is there already and whole."""
    described = directory / f"{one.partition}.json"
    packed = directory / f"{one.partition}.csv.gz"
    if described.exists() and packed.exists():
        earlier: dict[str, Any] = json.loads(described.read_text())
        if (
            _sha256(packed) == earlier["sha256"]
            and database.run(retention.count, one) == earlier["rows"]
        ):
            return earlier
    progress.begins(f"exporting {one.partition}")

    def write(cur: Cursor) -> Exported:
        with _whole(packed) as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as pressed:
            done = 0

            def take(data: bytes) -> None:
                nonlocal done
                pressed.write(data)
                done += len(data)
                progress.at(done, one.size)

            return retention.export(cur, one, take)

    exported = database.run(write)
    description = {
        "partition": one.partition,
        "table": one.table,
        "month": f"{one.month.year:04d}-{one.month.month:02d}",
        "rows": exported.rows,
        "size": packed.stat().st_size,
        "sha256": _sha256(packed),
        "columns": exported.columns,
        "create": exported.create,
        "copy": exported.copy,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with _whole(described) as file:
        file.write(json.dumps(description, indent=2).encode() + b"\n")
    return description


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that is there whole and on the disk, or not at all; for its owner alone."""
    part = path.with_name(f".{path.name}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with open(fd, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _sha256(path: Path) -> str:
    """Of what is on the disk, read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- what is said


def _print(
    found: list[Due], results: list[str], months: Mapping[Group, int], *, applied: bool
) -> None:
    for group, count in months.items():
        kept = f"{count} months" if count else "for ever"
        print(f"{group.value:14} kept {kept}")
    print()
    print_table(
        ("MONTH", "TABLE", "GROUP", "MIB", "RESULT" if applied else "STATE"),
        [
            (
                f"{one.month.year:04d}-{one.month.month:02d}",
                one.table,
                one.group.value,
                f"{one.size / _MIB:.1f}",
                said,
            )
            for one, said in zip(found, results, strict=True)
        ],
    )
    if found and not applied:
        print("nothing was changed: say --apply")


def _as_json(one: Due, said: str) -> dict[str, object]:
    return {
        "partition": one.partition,
        "table": one.table,
        "month": f"{one.month.year:04d}-{one.month.month:02d}",
        "group": one.group.value,
        "size": one.size,
        "open": one.open,
        "result": said,
    }
