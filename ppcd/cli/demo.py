"""`ppcd demo`: a database, the outside world, and the same node that `ppcd run` runs.

The node is a process of its own with a configuration file of its own, written here; nothing in it
knows that it is a demo. Killed, it is started again, as a service manager would.
"""

import argparse
import base64
import json
import os
import signal
import sys
from pathlib import Path
from string import Template
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from ppcd.cli.failure import FAILED, USAGE, Failed
from ppcd.cli.keys import hash_key
from ppcd.http.client import Client, NoAnswer, NotSent
from ppcd.sim.demo import DEMO_KEY, DEMO_SECRET, Addresses, Outside, OutsideOptions
from ppcd.sim.postgres import Postgres, PostgresError
from ppcd.store import checkout, migrate, registers
from ppcd.store.lanes import Direct, StoreError, single
from ppcd.store.registers import TariffRow, Unknown
from ppcd.store.sql import Cursor

DATABASE: Final = "ppcd"
TARIFFS: Final = (
    TariffRow("gold-250", 2_500, "UAH", "250 gold", None),
    TariffRow("gold-500", 5_000, "UAH", "500 gold", None),
    TariffRow("gold-1000", 10_000, "UAH", "1000 gold", None),
)
READY_S: Final = 60.0
RESTART_S: Final = 1.0

_CONFIG: Final = Template("""\
# Written by `ppcd demo`: an ordinary configuration, wired to the simulators.
node: {name: demo}
database: {dsn: "$dsn"}
links:
  main:
    host: $smsc_host
    port: $smsc_port
    system_id: $system_id
    password_file: $password_file
    window_max: 100
routes:
  games:
    links: [main]
    pool: {first: "717100", size: 32}
    msisdn_prefixes: ["38097"]
    billing: main
billing:
  main:
    url: $billing_url/billing/debits
    query_url: $billing_url/billing/debits/{key}
    timeout_s: 5
    abilities:
      idempotent: true
      queryable: true
      stores_refusals: true
      reversible: true
      reserving: true
      quiet_period_s: 10
    answer:
      not_processed_statuses: [503]
      not_found: [not_found, released]
      echoes: {key: key, amount_minor: amount_minor, currency: currency}
      reasons:
        insufficient: INSUFFICIENT_FUNDS
        barred: SERVICE_DENIED
        unknown: USER_UNKNOWN
    reserve:
      url: $billing_url/billing/reservations
      answer:
        not_processed_statuses: [503]
        reasons:
          {insufficient: INSUFFICIENT_FUNDS, barred: SERVICE_DENIED, unknown: USER_UNKNOWN}
    capture:
      url: $billing_url/billing/captures
      answer: {not_processed_statuses: [503], reasons: {barred: SERVICE_DENIED}}
    release:
      url: $billing_url/billing/releases
      answer: {not_processed_statuses: [503]}
    refund:
      url: $billing_url/billing/refunds
      query: {url: "$billing_url/billing/refunds/{key}"}
      abilities: {idempotent: true, queryable: true, stores_refusals: true, quiet_period_s: 10}
      answer:
        not_processed_statuses: [503]
        echoes: {key: key, amount_minor: amount_minor, currency: currency}
        reasons: {barred: SERVICE_DENIED, unknown: USER_UNKNOWN}
# One phone can be tried as often as you like.
limits: {prompts_per_hour_max: 0, prompts_per_day_max: 0, open_max: 0, stop_blocks_days: 0}
partner_api: {listen: "127.0.0.1:$partner_port", http_sink_hosts: $hosts, any_sink_host: true}
webhooks: {http_hosts: $hosts}
operations: {listen: "127.0.0.1:$operations_port", socket: $socket}
""")


def run(args: argparse.Namespace) -> int:
    """Run until interrupted."""
    host, port = _host_port(args.http)
    data = _data_dir(args.data)
    postgres = Postgres(data / "postgres")
    print(f"everything is kept in {data}", file=sys.stderr)
    try:
        postgres.start()
    except PostgresError as exc:
        raise Failed(str(exc)) from exc
    try:
        _prepare(postgres)
        from twisted.internet import reactor

        return _Demo(reactor, host, port, data=data, postgres=postgres).run()
    except StoreError as exc:
        raise Failed(f"the embedded database: {exc}") from exc
    finally:
        postgres.stop()


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise Failed(f"--http must be HOST:PORT, got {text!r}", exit_code=USAGE)
    return host, int(port)


def _data_dir(given: str | None) -> Path:
    """Where the demo keeps everything; readable by its owner only."""
    if given:
        data = Path(given)
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        data = Path(cache) / "ppcd" / "demo"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise Failed(f"{data} can't be made: {exc.strerror}; say --data DIR") from exc
    return data.resolve()


def _prepare(postgres: Postgres) -> None:
    """Database, schema, partner and tariffs: what an operator does by hand, once."""
    with Direct(postgres.dsn("postgres")) as direct:
        if not direct.run(_has_database):
            direct.run(_create_database)
    dsn = postgres.dsn(DATABASE)
    migrate.migrate(dsn)
    with Direct(dsn) as direct:
        direct.run(_register)


def _has_database(cur: Cursor) -> bool:
    found = cur.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
    return found is not None


@single  # CREATE DATABASE wants no transaction around it
def _create_database(cur: Cursor) -> None:
    cur.execute(f"CREATE DATABASE {DATABASE}")


def _register(cur: Cursor) -> None:
    try:
        registers.partner_named(cur, "gamex")
    except Unknown:
        partner_id = registers.add_partner(
            cur,
            name="gamex",
            merchant="GameX",
            language="ru",
            webhook_url=None,
            webhook_secret=base64.b64decode(DEMO_SECRET.removeprefix("whsec_")),
            key_hash=hash_key(DEMO_KEY),
        )
        for tariff in TARIFFS:
            registers.add_tariff(cur, partner_id=partner_id, tariff=tariff)


def _point_at(cur: Cursor, addresses: Addresses) -> None:
    """Where the partner's shop is, this time: its webhook, and the sites that show its pages."""
    partner = registers.partner_named(cur, "gamex")
    partner_id = partner.partner_id
    registers.set_webhook(cur, partner_id=partner_id, url=addresses.webhook_url)
    for origin in checkout.sites(cur, partner_id):
        checkout.remove_site(cur, partner_id=partner_id, origin=origin)
    for origin in addresses.sites:
        checkout.add_site(cur, partner_id=partner_id, origin=origin)


class _NodeProcess(ProcessProtocol):
    """The node's process: its log goes to a file, its end is told."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self._log.write(data)

    errReceived = outReceived  # Twisted's name

    def processEnded(self, reason: Failure) -> None:
        self._log.flush()
        self.ended.callback(None)


class _Demo:
    """The demo while it runs."""

    def __init__(
        self, reactor: Any, host: str, port: int, *, data: Path, postgres: Postgres
    ) -> None:
        self._reactor = reactor
        self._data = data
        self._postgres = postgres
        self._outside = Outside(
            self._reactor,
            OutsideOptions(http_host=host, http_port=port, data_dir=data),
        )
        self._config = data / "ppcd.yaml"
        self._pid_file = data / "node.pid"
        self._log = (data / "node.log").open("ab", buffering=0)
        self._stopping = False
        self._node: Any = None
        self._exit_code = 0

    def run(self) -> int:
        self._reactor.callWhenRunning(self._begin)
        self._reactor.addSystemEventTrigger(
            "before", "shutdown", lambda: Deferred.fromCoroutine(self._stop())
        )
        self._reactor.run()
        self._log.close()
        return self._exit_code

    def _begin(self) -> None:
        def failed(failure: Failure) -> None:
            if not self._stopping:
                print(f"ppcd demo: {failure.getErrorMessage()}", file=sys.stderr)
                self._exit_code = FAILED
                self._reactor.stop()

        Deferred.fromCoroutine(self._start()).addErrback(failed)

    async def _start(self) -> None:
        await self._end_leftover()
        try:
            await self._outside.start()
        except CannotListenError as exc:
            why = str(exc).rstrip(".")
            raise Failed(f"{why}; say --http HOST:PORT for another address") from exc
        partner_port, operations_port = (
            await _free_port(self._reactor),
            await _free_port(self._reactor),
        )
        addresses = self._outside.addresses
        with Direct(self._postgres.dsn(DATABASE)) as direct:
            direct.run(_point_at, addresses)
        self._write_config(addresses, partner_port, operations_port)
        self._spawn()
        operations = f"http://127.0.0.1:{operations_port}"
        await self._wait_ready(operations)
        self._outside.connect(f"http://127.0.0.1:{partner_port}")
        print(f"metrics and health at {operations}/metrics", file=sys.stderr)
        print(f"the node's log is {self._data / 'node.log'}", file=sys.stderr)
        print(f"its configuration is {self._config}", file=sys.stderr)
        print("Ctrl-C ends the demo", file=sys.stderr)
        print(f"ready {self._outside.url}", flush=True)

    async def _end_leftover(self) -> None:
        """End the node of a demo that was killed: it still has the control socket.

        A crash costs a node nothing. The id alone proves nothing: it may be another's by now.
        """
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return
        while _runs_with(pid, self._config):
            os.kill(pid, signal.SIGKILL)
            await deferLater(self._reactor, 0.05, lambda: None)

    def _write_config(self, addresses: Addresses, partner_port: int, operations_port: int) -> None:
        password_file = self._data / "smpp-password"
        _write_private(password_file, addresses.password)
        _write_private(
            self._config,
            _CONFIG.substitute(
                dsn=self._postgres.dsn(DATABASE).replace("\\", "\\\\").replace('"', '\\"'),
                smsc_host=addresses.smsc_host,
                smsc_port=addresses.smsc_port,
                system_id=addresses.system_id,
                password_file=password_file,
                billing_url=addresses.billing_url,
                hosts=json.dumps(addresses.hosts),
                partner_port=partner_port,
                operations_port=operations_port,
                socket=self._data / "ppcd.sock",
            ),
        )

    def _spawn(self) -> None:
        process = _NodeProcess(self._log)
        arguments = [sys.executable, "-m", "ppcd.cli", "run", "--config", str(self._config)]
        self._node = self._reactor.spawnProcess(process, sys.executable, arguments, env=os.environ)
        self._pid_file.write_text(str(self._node.pid))
        process.ended.addCallback(self._ended)
        self._node_ended = process.ended

    def _ended(self, _: None) -> None:
        if not self._stopping:
            print("the node ended; starting it again", file=sys.stderr)
            self._reactor.callLater(RESTART_S, self._respawn)

    def _respawn(self) -> None:
        if not self._stopping:
            self._spawn()

    async def _wait_ready(self, operations: str) -> None:
        """Until the node says that it is ready: database and link are there."""
        client = Client(self._reactor)
        until = self._reactor.seconds() + READY_S
        try:
            while self._reactor.seconds() < until:
                try:
                    answer = await client.request(
                        b"GET", f"{operations}/health/ready", headers=(), body=b"", timeout_s=2
                    )
                except (NotSent, NoAnswer):
                    pass  # not listening yet
                else:
                    if answer.status == 200:
                        return
                await deferLater(self._reactor, 0.1, lambda: None)
        finally:
            await client.close()
        raise Failed(f"the node is not ready after {READY_S:.0f} s: see {self._data / 'node.log'}")

    async def _stop(self) -> None:
        self._stopping = True
        if self._node is not None and self._node.pid is not None:
            self._node.signalProcess(signal.SIGTERM)
            await self._node_ended
        await self._outside.stop()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _runs_with(pid: int, config: Path) -> bool:
    """Whether that process is alive and was given this configuration."""
    try:
        arguments = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(config) in arguments


async def _free_port(reactor: Any) -> int:
    """A port that was free a moment ago."""
    from twisted.internet.protocol import Factory

    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    number = int(port.getHost().port)
    await port.stopListening()
    return number
