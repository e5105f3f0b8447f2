"""Migrations on a real database."""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from ppcd.store import migrate
from ppcd.store.lanes import Direct
from ppcd.store.migrate import Migration, SchemaError, Standing
from tests.postgres import query

FIRST = Migration(1, "first", "CREATE TABLE a (x bigint); INSERT INTO a VALUES (1);")
SECOND = Migration(2, "second", "ALTER TABLE a ADD y text DEFAULT '%s';")


def standing(dsn: str, migrations: Sequence[Migration]) -> Standing:
    with Direct(dsn) as direct:
        return direct.run(migrate.check, migrations)


def test_an_empty_database_becomes_current_and_stays_so(bare_database: str) -> None:
    assert standing(bare_database, [FIRST, SECOND]) is Standing.ABSENT
    assert migrate.migrate(bare_database, migrations=[FIRST, SECOND]) == [FIRST, SECOND]
    assert standing(bare_database, [FIRST, SECOND]) is Standing.CURRENT
    assert migrate.migrate(bare_database, migrations=[FIRST, SECOND]) == []
    assert query(bare_database, "SELECT x, y FROM a") == [(1, "%s")]


def test_an_older_schema_is_behind_and_gets_only_what_is_missing(bare_database: str) -> None:
    migrate.migrate(bare_database, migrations=[FIRST])
    assert standing(bare_database, [FIRST, SECOND]) is Standing.BEHIND
    assert migrate.pending(bare_database, migrations=[FIRST, SECOND]) == [SECOND]
    assert migrate.migrate(bare_database, migrations=[FIRST, SECOND]) == [SECOND]


def test_pending_changes_nothing(bare_database: str) -> None:
    assert migrate.pending(bare_database, migrations=[FIRST]) == [FIRST]
    assert standing(bare_database, [FIRST]) is Standing.ABSENT


def test_a_newer_database_is_refused_and_says_what_to_do(bare_database: str) -> None:
    migrate.migrate(bare_database, migrations=[FIRST, SECOND])
    assert standing(bare_database, [FIRST]) is Standing.NEWER
    with pytest.raises(SchemaError, match=r"0002_second.*newer release; install"):
        migrate.migrate(bare_database, migrations=[FIRST])


def test_a_changed_file_is_refused_and_named(bare_database: str) -> None:
    migrate.migrate(bare_database, migrations=[FIRST])
    changed = Migration(1, "first", FIRST.sql + " ")
    with pytest.raises(SchemaError, match=r"0001_first differs"):
        migrate.migrate(bare_database, migrations=[changed])
    with pytest.raises(SchemaError, match=r"0001_first differs"):
        standing(bare_database, [changed])


def test_a_failing_file_leaves_nothing_of_itself(bare_database: str) -> None:
    broken = Migration(2, "broken", "CREATE TABLE b (); SELECT nonsense;")
    with pytest.raises(SchemaError, match=r'0002_broken failed and was not applied: .*"nonsense"'):
        migrate.migrate(bare_database, migrations=[FIRST, broken])
    assert standing(bare_database, [FIRST]) is Standing.CURRENT
    assert query(bare_database, "SELECT to_regclass('b')") == [(None,)]


def test_a_table_in_use_is_waited_for_briefly(
    bare_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_TABLE_TIMEOUT", "50ms")
    migrate.migrate(bare_database, migrations=[FIRST])
    with psycopg.connect(bare_database) as reader:
        reader.execute("SELECT FROM a")
        with pytest.raises(SchemaError, match=r"0002_second waited .* run it again"):
            migrate.migrate(bare_database, migrations=[FIRST, SECOND])


def test_a_migration_that_another_one_keeps_waiting_says_so(
    bare_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_TURN_TIMEOUT", "50ms")
    with psycopg.connect(bare_database) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [migrate._LOCK])
        with pytest.raises(SchemaError, match="another migration is running"):
            migrate.migrate(bare_database, migrations=[FIRST])


def test_a_connection_lost_in_a_file_claims_nothing_about_it(bare_database: str) -> None:
    fatal = Migration(1, "fatal", "SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(SchemaError, match="lost in migration 0001_fatal: run it again"):
        migrate.migrate(bare_database, migrations=[fatal])
    assert standing(bare_database, [FIRST]) is Standing.BEHIND


def test_two_nodes_migrating_at_once_apply_each_file_once(bare_database: str) -> None:
    slow = Migration(1, "slow", "CREATE TABLE s (); SELECT pg_sleep(0.2);")
    done: list[list[Migration]] = []
    threads = [
        threading.Thread(
            target=lambda: done.append(migrate.migrate(bare_database, migrations=[slow]))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, done)) == [0, 0, 1]


def test_an_absent_database_is_an_error_in_one_sentence(bare_database: str) -> None:
    with pytest.raises(SchemaError, match=r"no connection to the database"):
        migrate.migrate(bare_database.replace("ppcd_test", "absent"))


def test_this_release_migrates_and_has_partitions(database: str) -> None:
    with Direct(database) as direct:
        assert direct.run(migrate.check) is Standing.CURRENT
    for migration in migrate.load():
        assert migration.sha256 == hashlib.sha256(migration.sql.encode()).hexdigest()


@pytest.mark.parametrize("names", [["0001_a.sql", "0003_b.sql"], ["1_a.sql"]])
def test_a_gap_or_a_wrong_name_is_our_bug(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(AssertionError):
        migrate.load(tmp_path)
