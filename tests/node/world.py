"""A node and its surroundings as processes of their own: what an operator would run, made small.

PostgreSQL, the simulated SMSC and billing, a partner (here, with its own journal), and one or more
nodes started by `ppcd run` from a configuration file. Whoever is killed can be started again at
the same address. The parties' journals are the judges; nothing here looks into the database.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from typing import Any

from ppcd.sim.journal import read_journal
from ppcd.sim.postgres import Postgres

START_S = 60.0

CONFIG = Template("""\
node: {name: $name}
database: {dsn: "$dsn", lanes: 3}
links:
  main:
    host: 127.0.0.1
    port: $smpp_port
    system_id: ppcd
    password_file: $secret
    window_max: 50
    enquire_link_s: 5
    response_timeout_s: 5
    backoff: {first_s: 0.2, max_s: 1}
routes:
  games:
    links: [main]
    pool: {first: "717100", size: 32}
    msisdn_prefixes: ["38097"]
    billing: main
  pins:
    links: [main]
    pool: {first: "718100", size: 4}
    msisdn_prefixes: ["3809799"]
    billing: main
    two_step_consent: pin
  $routes
billing:
  $billings
  main:
    url: http://127.0.0.1:$billing_port/billing/debits
    query_url: http://127.0.0.1:$billing_port/billing/debits/{key}
    timeout_s: $billing_timeout_s
    abilities:
      idempotent: true
      queryable: true
      stores_refusals: true
      reversible: true
      reserving: true
      quiet_period_s: 5
    answer:
      not_processed_statuses: [503]
      not_found: [not_found, released]
      reasons: {insufficient: INSUFFICIENT_FUNDS, barred: SERVICE_DENIED, unknown: USER_UNKNOWN}
    reserve:
      url: http://127.0.0.1:$billing_port/billing/reservations
      answer:
        not_processed_statuses: [503]
        reasons: {insufficient: INSUFFICIENT_FUNDS, barred: SERVICE_DENIED, unknown: USER_UNKNOWN}
    capture:
      url: http://127.0.0.1:$billing_port/billing/captures
      answer: {not_processed_statuses: [503], reasons: {barred: SERVICE_DENIED}}
    release:
      url: http://127.0.0.1:$billing_port/billing/releases
      answer: {not_processed_statuses: [503]}
    refund:
      url: http://127.0.0.1:$billing_port/billing/refunds
      query: {url: "http://127.0.0.1:$billing_port/billing/refunds/{key}"}
      abilities: {idempotent: true, queryable: true, stores_refusals: true, quiet_period_s: 5}
      answer:
        not_processed_statuses: [503]
        reasons: {barred: SERVICE_DENIED, unknown: USER_UNKNOWN}
charges: {lifetime_s: $lifetime_s, debit_start_s: $debit_start_s, reservation_s: $reservation_s}
limits: $limits
partner_api:
  listen: "127.0.0.1:$partner_port"
  http_sink_hosts: $sink_hosts
  requests_per_s_max: 0
  $api
webhooks: {http_hosts: $sink_hosts, timeout_s: 3}
operations: {listen: "127.0.0.1:$operations_port", socket: $socket}
$more
""")


NO_LIMITS = "{prompts_per_hour_max: 0, prompts_per_day_max: 0, open_max: 0, stop_blocks_days: 0}"


def free_port() -> int:
    """A port that was free a moment ago; a party keeps it over its restarts.

    None that the system gives to outgoing connections: one of those would be in the way.
    """
    while True:
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_for(what: str, condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """The first true value of `condition`; fails the test, saying what, when it takes too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(OSError, http.client.HTTPException):
            value = condition()
            if value:
                return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    method: str,
    path: str,
    document: Any = None,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 35,
) -> Answer:
    """One request on a connection of its own, with a document or octets as its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        sent = {}
        if document is not None:
            body = json.dumps(document).encode()
            sent = {"Content-Type": "application/json"}
        connection.request(method, path, body, sent | dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


class Partner:
    """A shop: asks for charges, repeats what was not answered, and keeps what it is told."""

    def __init__(self) -> None:
        self.key = ""
        self.secret = b""
        #: Events as they came, oldest first: (event id, body, whether the signature was right).
        self.told: list[tuple[str, bytes, bool]] = []
        self._lock = threading.Lock()
        self._sorted = 0
        self._events: dict[str, list[tuple[str, Any, bool]]] = {}
        #: What is answered to the next events; when it runs out, 204.
        self.answers: list[int] = []
        partner = self

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                partner.told.append((self.headers["webhook-id"], body, partner._signed(self, body)))
                self.send_response(partner.answers.pop(0) if partner.answers else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _signed(self, request: BaseHTTPRequestHandler, body: bytes) -> bool:
        signed = b".".join(
            (
                str(request.headers["webhook-id"]).encode(),
                str(request.headers["webhook-timestamp"]).encode(),
                body,
            )
        )
        mac = base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
        return f"v1,{mac}" in str(request.headers["webhook-signature"]).split(" ")

    def events_of(self, payment: str) -> list[tuple[str, Any, bool]]:
        """The events of one payment."""
        with self._lock:
            # Each is read once: there are thousands of them when nodes are killed for long.
            new = self.told[self._sorted :]
            self._sorted += len(new)
            for event, octets, good in new:
                body = json.loads(octets)
                self._events.setdefault(body["data"]["paymentId"], []).append((event, body, good))
            return list(self._events.get(payment, []))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Party:
    """A process that can be killed and started again."""

    arguments: list[str]
    log: Path
    ready: Callable[[], Any] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )
        if wait and self.ready is not None:
            self.wait_ready()

    def wait_ready(self, seconds: float = START_S) -> None:
        assert self.ready is not None
        try:
            wait_for(f"{self.arguments[1:5]} ready", self.ready, seconds=seconds)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.log.read_text()[-4000:]}") from None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(seconds)


class World:
    """Everything, in one directory."""

    def __init__(
        self,
        directory: Path,
        *,
        lifetime_s: int = 600,
        debit_start_s: int = 120,
        reservation_s: int = 900,
        billing_timeout_s: float = 2,
        limits: str = NO_LIMITS,
        sink_hosts: str = '["127.0.0.1"]',
        api: str = "",
        more: str = "",
        node_program: list[str] | None = None,
    ) -> None:
        self.directory = directory
        self.program = [sys.executable, "-m", "ppcd.cli"]
        self._node_program = node_program or self.program
        self._settings = {
            "lifetime_s": lifetime_s,
            "debit_start_s": debit_start_s,
            "reservation_s": reservation_s,
            "billing_timeout_s": billing_timeout_s,
            "limits": limits,
            "sink_hosts": sink_hosts,
            "api": api,
            "more": more,
        }
        self.smpp_port, self.smsc_port, self.billing_port = (free_port() for _ in range(3))
        self.postgres = Postgres(directory / "postgres")
        self.partner = Partner()
        self.smsc = Party(
            [
                *self.program,
                *("sim", "smsc", "--smpp", f"127.0.0.1:{self.smpp_port}"),
                *("--http", f"127.0.0.1:{self.smsc_port}", "--account", "ppcd:secret"),
                *("--data", str(directory / "smsc"), "--receipt-delay", "0.05"),
            ],
            directory / "smsc.log",
            lambda: ask(self.smsc_port, "GET", "/sim/smsc/links").status == 200,
        )
        self.billing = Party(
            [
                *self.program,
                *("sim", "billing", "--http", f"127.0.0.1:{self.billing_port}"),
                # Within the quiet period that the configuration promises.
                *("--data", str(directory / "billing"), "--zombie", "3"),
            ],
            directory / "billing.log",
            lambda: ask(self.billing_port, "GET", "/sim/billing/accounts/380970000000"),
        )
        self.nodes: list[Node] = []

    def __enter__(self) -> "World":
        try:
            self.postgres.start()
            self.postgres.ensure_database("ppcd")
            for party in (self.smsc, self.billing):
                party.start(wait=False)
            node = self.add_node()
            node.run_command("migrate")
            given = json.loads(
                node.run_command(
                    *("partner", "add", "gamex", "--merchant", "GameX", "--json"),
                    *("--webhook-url", f"http://127.0.0.1:{self.partner.port}/hook"),
                )
            )
            self.partner.key = given["key"]
            self.partner.secret = base64.b64decode(given["webhook_secret"].removeprefix("whsec_"))
            for party in (self.smsc, self.billing):
                party.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for party in [*(node.party for node in self.nodes), self.smsc, self.billing]:
            if party.process is not None and party.process.poll() is None:
                party.kill()
        self.partner.close()
        self.postgres.stop("immediate")

    def add_node(self, **changed: Any) -> "Node":
        """One more node on the same database; not started."""
        node = Node(self, f"node{len(self.nodes) + 1}", changed, self._node_program)
        self.nodes.append(node)
        return node

    @property
    def node(self) -> "Node":
        return self.nodes[0]

    def configuration(self, node: "Node", changed: Mapping[str, Any]) -> str:
        secret = self.directory / "smpp-password"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text("secret")
        return CONFIG.substitute(
            self._settings
            | {
                "name": node.name,
                "dsn": self.postgres.dsn("ppcd"),
                "smpp_port": self.smpp_port,
                "billing_port": self.billing_port,
                "secret": secret,
                "partner_port": node.partner_port,
                "operations_port": node.operations_port,
                "socket": node.socket,
                "routes": "",
                "billings": "",
            }
            | dict(changed)
        )

    # What people and partners do

    def messages(self, msisdn: str) -> list[dict[str, str]]:
        """What a phone received."""
        answer = ask(self.smsc_port, "GET", f"/sim/handsets/{msisdn}/messages")
        assert answer.status == 200, answer
        messages: list[dict[str, str]] = answer.json
        return messages

    def reply(self, msisdn: str, text: str, *, to: str | None = None) -> str:
        """A phone answers; the reply's id in the SMSC's journal."""
        document = {"text": text} if to is None else {"text": text, "to": to}
        answer = ask(self.smsc_port, "POST", f"/sim/handsets/{msisdn}/replies", document)
        assert answer.status < 300, answer
        return str(answer.json["id"])

    def faults(self, **knobs: Any) -> None:
        """Turn the SMSC's knobs."""
        answer = ask(self.smsc_port, "PUT", "/sim/smsc/faults", knobs)
        assert answer.status < 300, answer

    def account(self, msisdn: str, **changed: Any) -> Any:
        """A phone's account at billing, changed if anything is given."""
        path = f"/sim/billing/accounts/{msisdn}"
        method, document = ("PUT", changed) if changed else ("GET", None)
        answer = ask(self.billing_port, method, path, document)
        assert answer.status < 300, answer
        return answer.json

    def paid(self, msisdn: str, reference: str, **more: Any) -> str:
        """A payment that has succeeded; its id."""
        payment = self.node.prompted(msisdn, reference, **more)
        self.reply(msisdn, "ДА")
        assert self.node.payment(payment, wait_s=20)["paymentStatus"] == "succeeded"
        return payment

    def smsc_journal(self) -> Iterator[dict[str, Any]]:
        yield from read_journal(self.directory / "smsc" / "smsc.jsonl")

    def billing_journal(self) -> Iterator[dict[str, Any]]:
        yield from read_journal(self.directory / "billing" / "billing.jsonl")

    def debited(self) -> dict[str, list[int]]:
        """By debit key, the amounts that billing took."""
        taken: dict[str, list[int]] = {}
        for entry in self.billing_journal():
            if entry["entry"] == "debited":
                taken.setdefault(str(entry["key"]), []).append(int(entry["amount_minor"]))
        return taken


class Node:
    """One node: its files, its process, and what partners ask it."""

    def __init__(
        self, world: World, name: str, changed: Mapping[str, Any], program: list[str]
    ) -> None:
        self.world = world
        self.name = name
        self.partner_port, self.operations_port = free_port(), free_port()
        self.socket = world.directory / f"{name}.sock"
        self.config = world.directory / f"{name}.yaml"
        self.configure(**changed)
        self.party = Party(
            [*program, "run", "--config", str(self.config)],
            world.directory / f"{name}.log",
            lambda: self.health("ready") == 200,
        )

    def configure(self, **changed: Any) -> None:
        """Write the configuration file anew."""
        self.config.write_text(self.world.configuration(self, changed))

    def start(self, *, wait: bool = True) -> None:
        self.party.start(wait=wait)

    def health(self, which: str) -> int:
        return ask(self.operations_port, "GET", f"/health/{which}", timeout_s=2).status

    def metrics(self) -> str:
        return ask(self.operations_port, "GET", "/metrics").body.decode()

    def log(self) -> list[dict[str, Any]]:
        """The log so far."""
        lines = self.party.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def run_command(self, *arguments: str, expect: int = 0) -> str:
        """Run a `ppcd` command with this node's configuration; what it printed."""
        done = subprocess.run(
            [*self.world.program, *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout if expect == 0 else done.stderr

    # The partners' API

    def api(self, method: str, path: str, document: Any = None, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.world.partner.key}"}
        return ask(
            self.partner_port,
            method,
            f"/carrier-billing/v0.5/payments{path}",
            document,
            headers=headers | dict(more.pop("headers", {})),
            **more,
        )

    def create(self, msisdn: str, reference: str, **more: Any) -> Answer:
        """Ask for 25.00 UAH, or what `more` says, under a correlator of the reference's name."""
        charging = {"amount": 25, "currency": "UAH", "description": "250 gold"}
        transaction = {
            "phoneNumber": f"+{msisdn}",
            "clientCorrelator": more.pop("correlator", reference),
            "referenceCode": reference,
            "paymentAmount": {"chargingInformation": charging | more.pop("charging", {})},
        }
        path = more.pop("path", "")
        return self.api("POST", path, {"amountTransaction": transaction} | more)

    def payment(self, payment: str, *, wait_s: float = 0) -> Any:
        """A payment as its partner sees it; asked again while the answer is "not now"."""
        path = f"/{payment}" + (f"?wait={wait_s}" if wait_s else "")
        answer = wait_for(
            "an answer", lambda: (a := self.api("GET", path)).status != 503 and a, seconds=20
        )
        assert answer.status == 200, answer
        return answer.json

    def prompted(self, msisdn: str, reference: str, **more: Any) -> str:
        """Ask for a charge and wait until its prompt is on the phone; the payment's id."""
        before = len(self.world.messages(msisdn))
        answer = self.create(msisdn, reference, **more)
        assert answer.status == 201, answer
        wait_for("the prompt", lambda: len(self.world.messages(msisdn)) > before)
        return str(answer.json["paymentId"])


@contextmanager
def a_world(directory: Path, **options: Any) -> Iterator[World]:
    """A world with its first node running."""
    with World(directory, **options) as world:
        world.node.start()
        yield world
