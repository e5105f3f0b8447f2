"""A real node under test: an embedded PostgreSQL, `ppcd run` as a process, and the load.

Owns processes and their configuration; whatever is started here is stopped here.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import psycopg

from benchmarks import machine
from benchmarks.traffic import ADDRESSES, FIRST_ADDRESS
from ppcd.sim.postgres import Postgres
from ppcd.store import migrate
from ppcd.store.ids import first_id_of

ROOT = Path(__file__).resolve().parents[2]
READY_S = 30.0
LINKS = 4
KEY = "bench-key"
#: A server that has run for a while writes over old segments of its log (16 MB each). A new one
#: has to make each when it needs it, and all commits wait for that, 0.2 to 0.6 s here: a benchmark
#: of its first minutes would measure nothing else.
LOG_SEGMENTS = 60
#: And all its shared buffers are in use, so that a new page takes one from another. In a new server
#: it takes one that nobody has ever written to, which the kernel clears first: a sixteenth of what
#: a reply costs PostgreSQL, until 2 GB are written. Several tables, for one that is larger than a
#: quarter of the buffers is read past them.
BUFFER_TABLES = 5
BUFFER_ROWS = 210_000
#: A server as for production of this size, as docs/operations.md asks for it; durable as always.
POSTGRES = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "min_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "max_connections": "60",
    "autovacuum_naptime": "10s",
    "default_statistics_target": "10",
}

_CONFIG = """\
node: {{name: {name}}}
database: {{dsn: "{dsn}", statement_timeout_s: 60}}
links:
{links}
routes:
  games:
    links: [{link_names}]
    pool: {{first: "{first}", size: {size}}}
    msisdn_prefixes: ["380"]
    billing: main
billing:
  main:
{billing}
limits: {{prompts_per_hour_max: 0, prompts_per_day_max: 0, open_max: 0, stop_blocks_days: 0}}
partner_api:
  listen: "127.0.0.1:{partner_port}"
  http_sink_hosts: ["127.0.0.1"]
  requests_per_s_max: 0
  waits_per_partner_max: 10000
  connections_max: 10000
  connections_per_address_max: 10000
webhooks: {{http_hosts: ["127.0.0.1"], connections_per_host_max: 64}}
operations: {{listen: "127.0.0.1:{operations_port}", socket: {socket}}}
log: {{level: {log_level}}}
"""
HTTP_BILLING = """\
    url: {url}/billing/debits
    query_url: {url}/billing/debits/{{key}}
    timeout_s: 5
    connections_max: 64
    abilities: {{idempotent: true, queryable: true, stores_refusals: true, quiet_period_s: 10}}
    answer:
      not_processed_statuses: [503]
      reasons:
        insufficient: INSUFFICIENT_FUNDS
        barred: SERVICE_DENIED
        unknown: USER_UNKNOWN
"""
_LINK = """\
  {name}:
    host: 127.0.0.1
    port: {port}
    system_id: bench
    password_file: {password}
    window_max: 1000
    enquire_link_s: 600
"""


class Database:
    """A PostgreSQL with the schema, one partner, and a clock for prepared ids."""

    def __init__(self) -> None:
        build = ROOT / "build"
        build.mkdir(exist_ok=True)
        self.directory = Path(tempfile.mkdtemp(prefix="bench-", dir=build))
        self._postgres = Postgres(self.directory / "postgres", settings=POSTGRES)
        self.dsn = ""
        self.partner_id = 0
        self.first_id = first_id_of(datetime.now(UTC))  # noqa: TID251

    def start(self) -> None:
        self._postgres.start()
        with psycopg.connect(self._postgres.dsn("postgres"), autocommit=True) as conn:
            conn.execute("CREATE DATABASE ppcd")
            _fill_log(conn)
        self.dsn = self._postgres.dsn("ppcd")
        migrate.migrate(self.dsn)

    def fill_buffers(self) -> None:
        """Let it be a server that has run for a while, whose buffers hold what others read."""
        tables = [f"filling{n}" for n in range(BUFFER_TABLES)]
        with psycopg.connect(self._postgres.dsn("postgres"), autocommit=True) as conn:
            for table in tables:
                # Four rows a page, none of them long enough to be compressed.
                conn.execute(
                    f"CREATE UNLOGGED TABLE {table} AS SELECT repeat('x', 1900) AS x"
                    f" FROM generate_series(1, {BUFFER_ROWS})".encode()
                )
                conn.execute(f"VACUUM {table}".encode())
            os.sync()  # else their pages go to the disk while answers wait for it
            for table in tables:
                conn.execute(f"SELECT count(*) FROM {table}".encode())
            conn.execute("CHECKPOINT")

    def dsn_of(self, name: str) -> str:
        """Another database beside it, made for this."""
        with psycopg.connect(self._postgres.dsn("postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}".encode())
        return self._postgres.dsn(name)

    def register(self, *, webhook_url: str | None, key_hash: bytes) -> None:
        """The partner whose charges these are."""
        from ppcd.store import registers
        from ppcd.store.lanes import Direct

        with Direct(self.dsn) as direct:
            self.partner_id = direct.run(
                registers.add_partner,
                name="gamex",
                merchant="GameX",
                language="ru",
                webhook_url=webhook_url,
                webhook_secret=base64.b64decode("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"),
                key_hash=key_hash,
            )

    @property
    def pids(self) -> list[int]:
        pid = self._postgres.pid
        return [] if pid is None else machine.children(pid)

    def stop(self) -> None:
        self._postgres.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def _fill_log(conn: psycopg.Connection[Any]) -> None:
    """Let the server have segments to write over."""
    conn.execute("CREATE TABLE filling (x integer)")
    for _ in range(LOG_SEGMENTS):
        conn.execute("INSERT INTO filling VALUES (1)")
        conn.execute("SELECT pg_switch_wal()")
    conn.execute("DROP TABLE filling")
    conn.execute("CHECKPOINT")


class Talker:
    """A process of ours that takes lines of JSON and gives a line for each."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT / "scripts",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def tell(self, order: dict[str, Any]) -> None:
        """An order; `answer` waits for what it came to."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the load has ended")
        return json.loads(line)

    def stop(self) -> None:
        """Let it end by the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def kill(self) -> None:
        """One that does not look for the end of its input."""
        self._process.kill()
        self.stop()


class Load:
    """The load's process."""

    def __init__(self) -> None:
        self._talker = Talker("benchmarks.load")
        self.port: int = self._talker.answer()["port"]

    def begin(self, do: str, **arguments: Any) -> None:
        """Tell it what to do; `end` waits for the answer."""
        self._talker.tell({"do": do, **arguments})

    def end(self) -> Any:
        return self._talker.answer()

    def do(self, what: str, **arguments: Any) -> Any:
        self.begin(what, **arguments)
        return self.end()

    def stop(self) -> None:
        self._talker.stop()


class Node:
    """`ppcd run`."""

    def __init__(
        self,
        database: Database,
        *,
        name: str,
        smsc_port: int,
        links: int = LINKS,
        billing: str = "http://127.0.0.1:9",
        log_level: str = "warn",
        section: str | None = None,
        program: str = "ppcd.cli",
    ) -> None:
        """`billing` is the address of one over HTTP; `section` describes another kind.

        `program` is the module that is run: `ppcd.cli`, or one that does the same and tells more.
        """
        self._program = program
        self.directory = database.directory
        self.name = name
        self.operations_port, self.partner_port = free_port(), free_port()
        self.config = self.directory / f"{name}.yaml"
        self.socket = database.directory / f"{name}.sock"
        names = [f"link{n}" for n in range(links)]
        password = self.directory / "password"
        password.write_text("bench")
        password.chmod(0o600)
        self.config.write_text(
            _CONFIG.format(
                name=name,
                dsn=database.dsn.replace("\\", "\\\\").replace('"', '\\"'),
                links="".join(
                    _LINK.format(name=n, port=smsc_port, password=password) for n in names
                ).rstrip(),
                link_names=", ".join(names),
                first=FIRST_ADDRESS,
                size=ADDRESSES,
                billing=(section or HTTP_BILLING.format(url=billing)).rstrip(),
                partner_port=self.partner_port,
                operations_port=self.operations_port,
                socket=self.socket,
                log_level=log_level,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [sys.executable, "-m", self._program, "run", "--config", str(self.config)]
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_ready(self) -> None:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"the node ended:\n{self.tail()}")
            if self._ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"the node is not ready:\n{self.tail()}")

    def _ready(self) -> bool:
        url = f"http://127.0.0.1:{self.operations_port}/health/ready"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def tell(self, *words: str) -> None:
        """`ppcd pause debits` and its like."""
        command = [sys.executable, "-m", "ppcd.cli", *words, "--socket", str(self.socket)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def memory_mib(self) -> float:
        return machine.memory_mib(self.pid)

    def kill(self) -> None:
        """As a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self.socket.unlink(missing_ok=True)

    def tail(self) -> str:
        return (self.directory / f"{self.name}.log").read_text()[-2000:]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def running_database(webhook_url: str | None = None) -> Iterator[Database]:
    """A database with the schema and a partner, gone at the end."""
    from ppcd.cli.partners import hash_key

    database = Database()
    try:
        database.start()
        database.register(webhook_url=webhook_url, key_hash=hash_key(KEY))
        yield database
    finally:
        database.stop()


@contextmanager
def running_load() -> Iterator[Load]:
    """The load's process, gone at the end."""
    load = Load()
    try:
        yield load
    finally:
        load.stop()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
