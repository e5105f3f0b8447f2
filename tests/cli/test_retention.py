"""`ppcd retention`: a dry run, exports that can be read back, and what is gone."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ppcd.charge.rules import State
from ppcd.store import migrate, partitions
from ppcd.store.lanes import Direct
from tests.builders import Store, connections
from tests.cli.test_commands import CONFIG, Run, a_runner
from tests.store.test_retention import MARCH, of_march

SECTION = "retention: {charges_months: 12, messages_months: 12, notifications_months: 12}"


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with connections(database) as (direct, pinned):
        direct.run(partitions.make, months_ahead=0, now=MARCH)
        yield Store(database, direct, pinned)


@pytest.fixture
def run(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    section = SECTION.replace("{", "{{").replace("}", "}}")
    monkeypatch.setattr("tests.cli.test_commands.CONFIG", CONFIG + section + "\n")
    return a_runner(store.dsn, tmp_path, capsys)


def results(run: Run, *arguments: str, exits: int = 0) -> dict[str, str]:
    code, out, err = run("retention", *arguments, "--json")
    assert code == exits, (out, err)
    return {one["partition"]: one["result"] for one in json.loads(out)}


def test_without_apply_nothing_is_changed(run: Run, store: Store) -> None:
    charge = of_march(store)
    code, out, _ = run("retention")
    assert code == 0
    assert "charges        kept 12 months" in out
    assert "nothing was changed: say --apply" in out
    assert results(run)["charge_2025_03"] == "due"
    assert store.count("charge", charge) == 1


def test_what_is_exported_and_dropped_can_be_read_back(
    run: Run,
    store: Store,
    tmp_path: Path,
    bare_database: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = [of_march(store, description=what) for what in ('250 "gold"', "a,b\nc", "золото")]
    store.query(
        "INSERT INTO reply VALUES (%s, NULL, NULL, '717100', 'acme', %s, 8, 0, 'yes', '', 'r',"
        " 'late', now())",
        *(made[0].charge_id, bytes(range(256))),
    )
    tables = store.run(partitions.tables)
    before = {table: _march(store.dsn, table) for table in tables}
    archive = tmp_path / "archive"
    found = results(run, "--apply", "--directory", str(archive))
    assert set(found.values()) == {"dropped"}
    assert store.count("charge", made[0]) == 0
    assert store.query("SELECT count(*) FROM charge_key")[0][0] == len(made)
    assert results(run) == {}
    for path in archive.iterdir():
        assert path.stat().st_mode & 0o077 == 0

    # As docs/money-papers.md says: into a database of the same schema.
    migrate.migrate(bare_database)
    with psycopg.connect(bare_database) as conn:
        for table in tables:
            described = json.loads((archive / f"{table}_2025_03.json").read_text())
            packed = (archive / f"{table}_2025_03.csv.gz").read_bytes()
            assert hashlib.sha256(packed).hexdigest() == described["sha256"]
            conn.execute(described["create"])
            with conn.cursor() as cur:
                with cur.copy(described["copy"]) as copy:
                    copy.write(gzip.decompress(packed))
                assert cur.rowcount == described["rows"]
        with (
            psycopg.connect(store.dsn) as live,
            live.cursor() as source,
            source.copy("COPY partner TO STDOUT") as out,
        ):
            partners = b"".join(bytes(data) for data in out)
        with conn.cursor() as cur, cur.copy("COPY partner FROM STDIN") as copy:
            copy.write(partners)
    assert {table: _march(bare_database, table) for table in tables} == before
    archived = a_runner(bare_database, tmp_path, capsys)
    code, out, err = archived("charge", "show", str(made[2].charge_id))
    assert (code, "золото" in out) == (0, True), err
    assert (len(before["charge"]), len(before["reply"])) == (3, 1)


def _march(dsn: str, table: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as conn:
        return sorted(conn.execute(f"SELECT * FROM {table}_2025_03").fetchall(), key=str)  # type: ignore[arg-type]


def test_the_configured_directory_is_used_and_must_be_one(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_march(store)
    archive = tmp_path / "archive"
    section = SECTION.replace("}", f", directory: {archive}}}")
    section = section.replace("{", "{{").replace("}", "}}")
    monkeypatch.setattr("tests.cli.test_commands.CONFIG", CONFIG + section + "\n")
    run = a_runner(store.dsn, tmp_path, capsys)
    archive.mkdir()
    (archive / ".charge_2025_02.csv.gz.part").mkdir()
    code, _, err = run("retention", "--apply")
    assert (code, "Is a directory" in err) == (1, True)
    (archive / ".charge_2025_02.csv.gz.part").rmdir()
    assert set(results(run, "--apply").values()) == {"dropped"}
    assert (archive / "charge_2025_03.json").exists()


def test_what_is_open_stays_with_its_month(run: Run, store: Store, tmp_path: Path) -> None:
    charge = of_march(store, State.REVIEW)
    found = results(run, "--apply", "--directory", str(tmp_path / "archive"))
    march = {name: said for name, said in found.items() if name.endswith("2025_03")}
    assert all(said.startswith("held back by ") for said in march.values())
    assert store.count("charge", charge) == 1
    assert not (tmp_path / "archive" / "charge_2025_03.csv.gz").exists()


def test_a_run_that_was_interrupted_goes_on_with_what_is_there(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_march(store)
    archive = tmp_path / "archive"
    with monkeypatch.context() as patched:
        patched.setattr("ppcd.cli.retention._dropped", lambda *_: "open")
        assert set(results(run, "--apply", "--directory", str(archive), exits=1).values()) == {
            "kept: something about it is open again"
        }
    exported = (archive / "charge_2025_03.csv.gz").stat().st_mtime_ns
    # A copy that is not what its description says is made again.
    (archive / "outcome_2025_03.csv.gz").write_bytes(b"damaged")
    found = results(run, "--apply", "--directory", str(archive))
    assert found["charge_2025_03"] == found["outcome_2025_03"] == "dropped"
    assert (archive / "charge_2025_03.csv.gz").stat().st_mtime_ns == exported
    packed = (archive / "outcome_2025_03.csv.gz").read_bytes()
    assert gzip.decompress(packed).startswith(b"charge_id,")


def test_a_table_that_is_in_use_is_tried_again(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_march(store)
    busy = psycopg.connect(store.dsn)
    busy.execute("LOCK TABLE charge IN ACCESS SHARE MODE")
    tried: list[int] = []
    original = "ppcd.store.retention.drop"
    from ppcd.store import retention

    drop = retention.drop

    def counted(*args: Any, **kwargs: Any) -> Any:
        tried.append(1)
        if len(tried) == 2:
            busy.rollback()
        return drop(*args, **kwargs)

    monkeypatch.setattr(original, counted)
    assert set(results(run, "--apply", "--without-export").values()) == {"dropped"}
    busy.close()
    assert len(tried) > 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--apply",), 2, "say retention.directory or --directory for the exports"),
        (("--without-export",), 2, "--without-export is a way to --apply"),
        (("--apply", "--directory", "/dev/null/x"), 1, "Not a directory"),
    ],
)
def test_wrong_usage_is_said(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    exit_code, _, err = run("retention", *arguments)
    assert (exit_code, said in err) == (code, True), err


def test_by_default_everything_is_kept_for_ever(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = a_runner(store.dsn, tmp_path, capsys)
    code, out, _ = run("retention")
    assert code == 0
    assert "charges        kept for ever" in out
    with Direct(store.dsn) as direct:
        assert "charge_2025_03" in str(
            direct.run(
                lambda cur: cur.execute(
                    "SELECT relname FROM pg_class WHERE relname = 'charge_2025_03'"
                ).fetchall()
            )
        )
