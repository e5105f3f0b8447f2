"""`scripts/bench api`: what the partners' API costs on one node, and how long partners wait.

Creations are durable (committed before their 201) and whole: key, limits of one partner, CAMARA's
checks, correlator, reply address, prompt job. Prompts are held by their stop button, so that the
API alone is measured; `chain` has all of it. The floor is the library's bare HTTP server answering
the same octets, measured between the cells of the same run.
"""

import json
import resource
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks import charges, machine
from benchmarks.calm import Tails
from benchmarks.figures import figure, middle, noise
from benchmarks.node import Database, Node, Talker, running_database, running_load

CREATES_PER_S_MUST = 1_500
CPU_TO_BARE_MUST = 4
P99_MS_MUST = 50
WAIT_KIB_MUST = 20
LINKS = 1
#: As partners' servers hold them open; both floors and cells have as many.
CONNECTIONS = 100
#: What the first readers load is not theirs.
FIRST_READERS = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    cells: int
    seconds: float
    readers: int
    told: int


FULL = Plan(cells=5, seconds=10, readers=2_000, told=500)
QUICK = Plan(cells=1, seconds=2, readers=500, told=100)


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured run: rates, microseconds a request, milliseconds."""

    per_s: float
    server_us: float
    postgres_us: float
    load_us: float
    p50_ms: float
    p99_ms: float


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure, check, and give the figures."""
    plan = QUICK if quick else FULL
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a descriptor a reader
    print(machine.description())
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        smsc = stack.enter_context(running_load())
        # The access log is part of what a request costs: a line for each.
        node = Node(database, name="api", smsc_port=smsc.port, links=LINKS, log_level="info")
        stack.callback(node.stop)
        smsc.begin("accept", count=LINKS)
        node.start()
        node.wait_ready()
        smsc.end()
        node.tell("pause", "prompts")
        partner = Talker("benchmarks.http_load")
        stack.callback(partner.stop)
        print(f"flush {machine.flush_ms(database.directory):.2f} ms")
        return Bench(database, node, partner, plan).measure()


class Bench:
    """One database, one node, one partner; charges are created once and never again."""

    def __init__(self, database: Database, node: Node, partner: Talker, plan: Plan) -> None:
        self._database = database
        self._node = node
        self._partner = partner
        self._plan = plan
        self._next = 0
        self._created = 0

    def measure(self) -> list[dict[str, Any]]:
        plan = self._plan
        self._cell("creates", seconds=2)
        creates, bare = [], []
        for _ in range(plan.cells):
            bare.append(self._bare())
            creates.append(self._cell("creates", seconds=plan.seconds))
        rate = middle([cell.per_s for cell in creates]) / 2
        half, tails = self._half(rate)
        reads = [self._cell("reads", seconds=plan.seconds / 2) for _ in range(plan.cells)]
        self._check()
        return _figures(creates, bare, half, tails, reads) + self._waits()

    def _half(self, rate: float) -> tuple[list[Cell], Tails]:
        """Cells at this rate, more than planned until the disk was calm in enough of them."""
        half: list[Cell] = []
        tails = Tails(self._database.directory, cells=self._plan.cells)
        for _ in tails.tries():
            with tails.beside_the_machine() as p99_ms:
                half.append(self._cell("creates", seconds=self._plan.seconds, rate=rate))
                p99_ms.append(half[-1].p99_ms)
        return half, tails

    def _cell(self, what: str, *, seconds: float, rate: float | None = None) -> Cell:
        cell = self._run(self._node.partner_port, [self._node.pid], what, seconds, rate)
        name = what if rate is None else f"{what} at {rate:,.0f}/s"
        print(
            f"{name}: {cell.per_s:,.0f}/s; µs each: node {cell.server_us:.0f}, PostgreSQL "
            f"{cell.postgres_us:.0f}, partner {cell.load_us:.0f}; p50 {cell.p50_ms:.1f} ms, "
            f"p99 {cell.p99_ms:.1f} ms",
            flush=True,
        )
        return cell

    def _bare(self) -> Cell:
        """The bare server under the same requests."""
        answer = {"headers": _HEADERS, "body": _BODY}
        server = Talker("benchmarks.bare_http")
        try:
            server.tell(answer)
            port = server.answer()["port"]
            self._do("hang_up")
            cell = self._run(port, [server.pid], "creates", self._plan.seconds / 2, None)
            self._do("hang_up", kept=self._created)
        finally:
            server.kill()
        print(f"bare server: {cell.per_s:,.0f}/s; µs each: {cell.server_us:.0f}", flush=True)
        return cell

    def _run(
        self, port: int, pids: list[int], what: str, seconds: float, rate: float | None
    ) -> Cell:
        server, postgres = machine.cpu_s(pids), machine.cpu_s(self._database.pids)
        done = self._do(
            "run",
            port=port,
            what=what,
            first=self._next,
            seconds=seconds,
            connections=CONNECTIONS,
            rate=rate,
        )
        server = machine.cpu_s(pids) - server
        postgres = machine.cpu_s(self._database.pids) - postgres
        wanted = "201" if what == "creates" else "200"
        assert set(done["statuses"]) == {wanted}, done["statuses"]
        if what == "creates":
            self._next += done["asked"]
            if port == self._node.partner_port:
                self._created += done["answered"]
        each = 1e6 / done["answered"]
        return Cell(
            per_s=done["per_s"],
            server_us=server * each,
            postgres_us=postgres * each,
            load_us=done["cpu_s"] * each,
            p50_ms=done["p50_ms"],
            p99_ms=done["p99_ms"],
        )

    def _do(self, do: str, **order: Any) -> Any:
        self._partner.tell({"do": do, **order})
        return self._partner.answer()

    def _check(self) -> None:
        """What was answered 201 is in the database, with all that belongs to it."""
        for table in ("charge", "awaiting", "prompt_job"):
            found = charges.one(self._database.dsn, f"SELECT count(*) FROM {table}")
            assert found == self._created, f"{self._created} were created, {table} has {found}"

    def _waits(self) -> list[dict[str, Any]]:
        """Readers that wait: what each costs in memory, and how soon it is told."""
        plan, port = self._plan, self._node.partner_port
        self._do("wait", port=port, count=FIRST_READERS)
        time.sleep(1)
        before = self._node.memory_mib()
        cpu = machine.cpu_s([self._node.pid])
        self._do("wait", port=port, count=plan.readers - FIRST_READERS)
        time.sleep(2)
        each_kib = (self._node.memory_mib() - before) * 1024 / (plan.readers - FIRST_READERS)
        cpu = machine.cpu_s([self._node.pid]) - cpu
        told = self._do("end", port=port, count=plan.told)
        assert told["early"] == 0, f"{told['early']} were answered before anything had happened"
        print(f"{plan.readers} wait; {cpu:.2f} s of CPU to let them in and look for 2 s")
        return [
            figure("api_wait_memory", each_kib, "KiB", better="lower", must=WAIT_KIB_MUST),
            figure("api_waiting", plan.readers, "readers", better="higher"),
            figure("api_wait_told_p50", told["p50_ms"], "ms", better="lower"),
            figure("api_wait_told_p99", told["p99_ms"], "ms", better="lower"),
        ]


def _figures(
    creates: list[Cell],
    bare: list[Cell],
    half: list[Cell],
    tails: Tails,
    reads: list[Cell],
) -> list[dict[str, Any]]:
    per_s = [cell.per_s for cell in creates]
    cpu = [cell.server_us for cell in creates]
    bare_us = middle([cell.server_us for cell in bare])
    return [
        figure(
            "api_create_rate",
            middle(per_s),
            "creates/s",
            better="higher",
            must=CREATES_PER_S_MUST,
            noise=noise(per_s),
        ),
        figure(
            "api_create_cpu_to_bare",
            middle(cpu) / bare_us,
            "ratio",
            better="lower",
            must=CPU_TO_BARE_MUST,
            noise=noise(cpu),
        ),
        # A busy machine slows both alike.
        figure(
            "api_create_rate_to_bare",
            middle(per_s) / middle([cell.per_s for cell in bare]),
            "ratio",
            better="higher",
        ),
        figure("api_create_cpu", middle(cpu), "µs/create", better="lower"),
        figure(
            "api_create_postgres_cpu",
            middle([cell.postgres_us for cell in creates]),
            "µs/create",
            better="lower",
        ),
        figure("api_bare_cpu", bare_us, "µs/request", better="lower"),
        figure("api_bare_rate", middle([c.per_s for c in bare]), "requests/s", better="higher"),
        *tails.figures("api_p99_half_load", must=P99_MS_MUST),
        figure("api_p50_half_load", middle([c.p50_ms for c in half]), "ms", better="lower"),
        figure("api_read_rate", middle([c.per_s for c in reads]), "reads/s", better="higher"),
        figure("api_read_cpu", middle([c.server_us for c in reads]), "µs/read", better="lower"),
    ]


#: A 201 as the node gives it, octet for octet in size.
_HEADERS = [
    ("Content-Type", "application/json"),
    ("Location", "/carrier-billing/v0.5/payments/502398472983472001"),
    ("x-correlator", "7cf27b21-bb45-4f36-b0bb-f6f5a1a4a6a5"),
    ("Cache-Control", "no-store"),
]
_BODY = json.dumps(
    {
        "paymentId": "502398472983472001",
        "amountTransaction": {
            "phoneNumber": "+380970000001",
            "clientCorrelator": "c-1",
            "referenceCode": "order-1",
            "paymentAmount": {
                "chargingInformation": {
                    "amount": 25.00,
                    "currency": "UAH",
                    "description": "250 gold",
                }
            },
            "resourceURL": "/carrier-billing/v0.5/payments/502398472983472001",
        },
        "paymentStatus": "processing",
        "contextCode": "PPCD.AWAITING_REPLY",
        "paymentCreationDate": "2026-11-23T09:00:00.123Z",
    },
    separators=(",", ":"),
)
