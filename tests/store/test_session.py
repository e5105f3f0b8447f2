"""What each failure means, on a real server: it did not happen, or nobody knows."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ppcd.store import connection
from ppcd.store.lanes import (
    PINNED,
    Broken,
    Cursor,
    Direct,
    Limits,
    NotApplied,
    OutcomeUnknown,
    Unsuitable,
    Violated,
    single,
)
from ppcd.store.session import Session
from tests.postgres import a_server, query
from tests.store.proxy import Cut, Proxy

QUICK = Limits(statement_s=1.0, lock_s=0.2, commit_s=2.0, grace_s=0.5)


def insert(cur: Cursor, number: int) -> int:
    cur.execute("INSERT INTO t VALUES (%s) RETURNING x", [number])
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


@single
def insert_single(cur: Cursor, number: int) -> int:
    return insert(cur, number)


@pytest.fixture
def table(bare_database: str) -> str:
    """A database with a table t of numbers."""
    query(bare_database, "CREATE TABLE t (x bigint CONSTRAINT x_once PRIMARY KEY, CHECK (x > 0))")
    return bare_database


@pytest.fixture
def direct(table: str) -> Iterator[Direct]:
    with Direct(table, limits=QUICK) as direct:
        yield direct


def numbers(dsn: str) -> list[int]:
    return [x for (x,) in query(dsn, "SELECT x FROM t ORDER BY x")]


both = pytest.mark.parametrize("transaction", [insert, insert_single])


@both
def test_what_was_run_is_committed(
    direct: Direct, table: str, transaction: Callable[[Cursor, int], int]
) -> None:
    assert direct.run(transaction, 7) == 7
    assert direct.run(transaction, number=8) == 8
    assert numbers(table) == [7, 8]


@both
def test_a_violated_constraint_is_named_and_no_value_is_told(
    direct: Direct, transaction: Callable[[Cursor, int], int]
) -> None:
    direct.run(transaction, 380971234567)
    with pytest.raises(Violated) as violated:
        direct.run(transaction, 380971234567)
    assert violated.value.constraint == "x_once"
    assert "380971234567" not in str(violated.value)
    assert violated.value.__cause__ is None
    assert direct.run(transaction, 2) == 2


@both
@pytest.mark.parametrize("bad", ["nonsense", 10**30, object(), "\0"])
def test_what_can_never_work_is_broken(
    direct: Direct, table: str, transaction: Callable[[Cursor, Any], int], bad: Any
) -> None:
    with pytest.raises(Broken) as broken:
        direct.run(transaction, bad)
    assert "nonsense" not in str(broken.value)
    assert numbers(table) == []


def test_an_error_in_the_transaction_itself_undoes_it_and_passes(
    direct: Direct, table: str
) -> None:
    def fail(cur: Cursor) -> None:
        insert(cur, 1)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        direct.run(fail)
    assert numbers(table) == []
    assert direct.run(insert, 2) == 2


def test_an_error_that_the_transaction_hides_is_not_taken_for_success(
    direct: Direct, table: str
) -> None:
    def hide(cur: Cursor) -> None:
        insert(cur, 1)
        with pytest.raises(psycopg.Error):
            insert(cur, 1)

    with pytest.raises(Broken, match="hid an error"):
        direct.run(hide)
    assert numbers(table) == []


def test_a_single_transaction_has_one_statement(direct: Direct, table: str) -> None:
    @single
    def twice(cur: Cursor) -> None:
        insert(cur, 1)
        insert(cur, 2)

    # The first is applied, so that "it did not happen" would be a lie: a bug, loudly.
    with pytest.raises(RuntimeError, match="bug after an applied statement"):
        direct.run(twice)
    for way in ("executemany", "copy"):

        @single
        def other(cur: Cursor, way: str = way) -> None:
            getattr(cur, way)("INSERT INTO t VALUES (%s)", [[1], [2]])

        with pytest.raises(Broken, match="one statement"):
            direct.run(other)
    assert numbers(table) == [1]


def test_a_serialization_failure_is_run_again_and_then_given_up(table: str) -> None:
    runs = []

    def fails(cur: Cursor, times: int) -> int:
        runs.append(times)
        insert(cur, times)
        if len(runs) <= times:
            cur.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
        return len(runs)

    pauses: list[float] = []
    with Direct(table, pause=pauses.append) as direct:
        assert direct.run(fails, 5) == 6
        assert len(pauses) == 5
        runs.clear()
        with pytest.raises(NotApplied, match="40001"):
            direct.run(fails, 6)
        assert len(runs) == 6
    assert numbers(table) == [5]


def test_a_deadlock_is_run_again_as_a_whole(table: str) -> None:
    query(table, "INSERT INTO t VALUES (1), (2)")
    met = threading.Barrier(2)
    runs: list[int] = []

    def lock(cur: Cursor, first: int, second: int) -> None:
        runs.append(first)
        cur.execute("SET LOCAL deadlock_timeout = '20ms'")
        cur.execute("SELECT FROM t WHERE x = %s FOR UPDATE", [first])
        if len(runs) <= 2:
            met.wait(10)
        cur.execute("SELECT FROM t WHERE x = %s FOR UPDATE", [second])

    def run(first: int, second: int) -> None:
        with Direct(table) as direct:
            direct.run(lock, first, second)

    threads = [threading.Thread(target=run, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 3


@both
def test_waiting_for_a_lock_ends_and_nothing_happened(
    direct: Direct, table: str, transaction: Callable[[Cursor, int], int]
) -> None:
    with psycopg.connect(table) as other:
        other.execute("LOCK TABLE t")
        with pytest.raises(NotApplied, match="55P03"):
            direct.run(transaction, 1)
    assert direct.run(transaction, 1) == 1


def test_a_long_statement_ends_and_nothing_happened(direct: Direct, table: str) -> None:
    def long(cur: Cursor) -> None:
        insert(cur, 1)
        cur.execute("SELECT pg_sleep(30)")

    with pytest.raises(NotApplied, match="57014"):
        direct.run(long)
    assert numbers(table) == []


def test_a_server_that_hangs_is_left_and_nothing_happened(tmp_path: Path) -> None:
    def hangs(cur: Cursor) -> None:
        row = cur.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        stopped.append(row[0])
        os.kill(row[0], signal.SIGSTOP)
        cur.execute("SELECT 1")

    stopped: list[int] = []
    with a_server(tmp_path) as server, Direct(server.dsn(), limits=QUICK) as direct:
        try:
            with pytest.raises(NotApplied, match="did not answer"):
                direct.run(hangs)
        finally:
            os.kill(stopped[0], signal.SIGCONT)
        assert direct.run(lambda cur: cur.execute("SELECT 1").fetchall()) == [(1,)]


@both
@pytest.mark.parametrize("when", [Cut.BEFORE, Cut.AFTER])
def test_a_lost_answer_to_the_commit_is_an_unknown_outcome(
    table: str, transaction: Callable[[Cursor, int], int], when: Cut
) -> None:
    word = b"INSERT" if transaction is insert_single else b"COMMIT"
    with Proxy(table) as proxy, Direct(proxy.dsn) as direct:
        direct.run(transaction, 1)
        proxy.cut(word, when)
        with pytest.raises(OutcomeUnknown):
            direct.run(transaction, 2)
        # Running it again waits for the old one and finds out.
        if when is Cut.AFTER:
            with pytest.raises(Violated):
                direct.run(transaction, 2)
        else:
            assert direct.run(transaction, 2) == 2
    assert numbers(table) == [1, 2]


@pytest.mark.parametrize("when", [Cut.BEFORE, Cut.AFTER])
@pytest.mark.parametrize("word", [b"BEGIN", b"INSERT"])
def test_a_connection_lost_before_the_commit_means_that_nothing_happened(
    table: str, word: bytes, when: Cut
) -> None:
    with Proxy(table) as proxy, Direct(proxy.dsn) as direct:
        direct.run(insert, 1)
        proxy.cut(word, when)
        with pytest.raises(NotApplied):
            direct.run(insert, 2)
        assert direct.run(insert, 2) == 2


def kill_backends(dsn: str, how: str = "pg_terminate_backend") -> None:
    query(
        dsn,
        f"SELECT {how}(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )


def test_a_backend_killed_in_the_middle_means_that_nothing_happened(
    direct: Direct, table: str
) -> None:
    def killed(cur: Cursor) -> None:
        insert(cur, 1)
        kill_backends(table)
        cur.execute("SELECT 1")

    with pytest.raises(NotApplied):
        direct.run(killed)
    assert direct.run(insert, 2) == 2
    assert numbers(table) == [2]


def test_a_backend_killed_before_the_commit_is_an_unknown_outcome(
    direct: Direct, table: str
) -> None:
    def killed(cur: Cursor) -> None:
        insert(cur, 1)
        kill_backends(table)

    # Only the server knows when it saw the order to end; a commit was sent.
    with pytest.raises(OutcomeUnknown):
        direct.run(killed)
    assert direct.run(insert, 1) == 1


@both
def test_a_connection_that_ended_while_idle_is_made_again_unnoticed(
    direct: Direct, table: str, transaction: Callable[[Cursor, int], int]
) -> None:
    direct.run(transaction, 1)
    kill_backends(table)
    # The kill is asynchronous; the last word has come when nobody is left.
    alive = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    while query(table, alive) != [(1,)]:
        pass
    assert direct.run(transaction, 2) == 2


def test_a_migration_under_a_prepared_statement_is_not_noticed(table: str) -> None:
    def read(cur: Cursor) -> list[tuple[Any, ...]]:
        return cur.execute("SELECT * FROM t", prepare=True).fetchall()

    with Direct(table, profile=PINNED, pause=lambda _: None) as direct:
        assert direct.run(read) == []
        query(table, "ALTER TABLE t ADD y text")
        assert direct.run(read) == []


def test_a_demoted_primary_is_left(table: str) -> None:
    def demoted(cur: Cursor) -> None:
        cur.execute("SET TRANSACTION READ ONLY")
        insert(cur, 1)

    session = Session(table)
    with pytest.raises(NotApplied, match="25006"):
        session.run(demoted)
    assert not session.connected
    assert session.run(insert, 1) == 1
    session.close()


def test_the_pinned_profile_and_the_limits_are_in_force(table: str) -> None:
    def settings(cur: Cursor) -> list[tuple[Any, ...]]:
        return cur.execute(
            "SELECT current_setting('plan_cache_mode'), current_setting('enable_seqscan'),"
            " current_setting('enable_hashjoin'), current_setting('enable_mergejoin'),"
            " current_setting('statement_timeout'), current_setting('lock_timeout'),"
            " current_setting('application_name')"
        ).fetchall()

    with Direct(table, profile=PINNED, limits=QUICK) as direct:
        assert direct.run(settings) == [
            ("force_generic_plan", "off", "off", "off", "1s", "200ms", "ppcd")
        ]
    with Direct(table + " application_name=mine") as direct:
        assert direct.run(settings)[0][::6] == ("auto", "mine")


def test_a_server_without_durable_commits_is_refused(table: str, tmp_path: Path) -> None:
    name = query(table, "SELECT current_database()")[0][0]
    query(table, f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Direct(table) as direct:
        for _ in range(2):  # also while the back-off keeps us from asking again
            with pytest.raises(Unsuitable, match="synchronous_commit is off"):
                direct.run(insert, 1)
    with (
        a_server(tmp_path, settings={"fsync": "off"}) as server,
        Direct(server.dsn()) as direct,
        pytest.raises(Unsuitable, match="fsync is off"),
    ):
        direct.run(insert, 1)


def test_an_old_server_is_refused(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "VERSION_MIN", 990000)
    with Direct(table) as direct, pytest.raises(Unsuitable, match="too old"):
        direct.run(insert, 1)


def test_a_server_that_takes_no_writes_is_no_connection(table: str) -> None:
    name = query(table, "SELECT current_database()")[0][0]
    query(table, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with Direct(table) as direct, pytest.raises(NotApplied, match="takes no writes"):
        direct.run(insert, 1)


def test_reconnecting_backs_off_and_fails_at_once_meanwhile(table: str) -> None:
    now = [100.0]
    session = Session(table.replace("ppcd_test", "absent"), clock=lambda: now[0], limits=Limits())
    delays = []
    for _ in range(7):
        with pytest.raises(NotApplied, match="no connection"):
            session.connect()
        delays.append(session.retry_in_s)
        with pytest.raises(NotApplied, match="no connection"):
            session.run(insert, 1)
        now[0] += session.retry_in_s
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
    assert "does not exist" in (session.trouble or "")


@pytest.fixture(scope="module")
def lonely_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_server(tmp_path_factory.mktemp("lonely")) as server:
        yield server.dsn()


@pytest.fixture
def without_standby(lonely_server: str) -> Iterator[str]:
    """A server whose commits wait for a standby that is away."""
    query(lonely_server, "CREATE TABLE t (x bigint PRIMARY KEY)")
    query(lonely_server, "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (nobody)'")
    query(lonely_server, "SELECT pg_reload_conf()")
    while query(lonely_server, "SHOW synchronous_standby_names") == [("",)]:
        pass
    yield lonely_server
    forget_standby(lonely_server)
    query(lonely_server, "DROP TABLE t")


def forget_standby(dsn: str) -> None:
    """The standby is no longer waited for."""
    query(dsn, "ALTER SYSTEM SET synchronous_standby_names = ''")
    query(dsn, "SELECT pg_reload_conf()")
    while waiting_for_standby(dsn) or query(dsn, "SHOW synchronous_standby_names") != [("",)]:
        pass


def waiting_for_standby(dsn: str) -> int:
    state = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    return int(query(dsn, state)[0][0])


@both
def test_a_commit_without_an_answer_is_left_and_never_cancelled(
    without_standby: str, transaction: Callable[[Cursor, int], int]
) -> None:
    limits = Limits(statement_s=0.5, commit_s=0.5, lock_s=0.2, grace_s=0.5)
    session = Session(without_standby, limits=limits)
    with pytest.raises(OutcomeUnknown, match="no answer"):
        session.run(transaction, 1)
    assert session.abandoned == 1
    # Reading proves nothing: the row is not there, yet.
    assert numbers(without_standby) == []
    assert waiting_for_standby(without_standby) == 1
    # The same write again waits for the old one, within its limit.
    with pytest.raises(NotApplied, match="55P03"):
        session.run(transaction, 1)
    forget_standby(without_standby)
    with pytest.raises(Violated):
        session.run(transaction, 1)
    assert numbers(without_standby) == [1]
    session.close()


@both
@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_wait_for_the_standby_that_somebody_cancels_is_an_unknown_outcome(
    without_standby: str, transaction: Callable[[Cursor, int], int], how: str
) -> None:
    failures: list[Exception] = []

    def run() -> None:
        with Direct(without_standby) as direct:
            try:
                direct.run(transaction, 1)
            except OutcomeUnknown as exc:
                failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    while not waiting_for_standby(without_standby):
        pass
    kill_backends(without_standby, how)
    thread.join()
    assert len(failures) == 1
    assert numbers(without_standby) == [1]
