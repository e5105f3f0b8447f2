"""`scripts/bench debits`: debits at each kind of billing, and a million that wait for one.

A node debits charges that wait in its database: claims, records the intent, asks billing, records
the answer, the end, and the subscriber's receipt (which nobody sends here). Beside it, in the same
run, a bare client makes the same calls: at the node's rate where it can be told to, for a call
costs half as much again when the server falls asleep between two; and as fast as it can. Then
billing is away, a million debits wait, and it comes back.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import charges, machine
from benchmarks.figures import figure, middle, noise
from benchmarks.node import (
    HTTP_BILLING,
    Database,
    Load,
    Node,
    free_port,
    running_database,
    running_load,
)
from benchmarks.waiting import FIRST_PHONE, PHONES, left, until_done, wait_for_debits

ROOT = Path(__file__).resolve().parents[2]
#: Debits a second; and how many times a bare client's CPU one may cost.
MUST_PER_S = {"http": 1_000, "diameter": 2_000, "sql": 2_000, "file": None}
MUST_TIMES = {"http": 3.0}
#: Bare clients that can be told how fast.
PACED = frozenset({"http"})
MUST_GROWTH_MIB = 20
#: What the backlog is drained at, and what any second may have of it.
RATE = 1_000
MUST_BURST = 1.2

_DIAMETER = """\
    kind: diameter
    origin_host: node.bench.example
    origin_realm: bench.example
    session_identity: sessions.bench.example
    destination_realm: bench.example
    service_context_id: ppcd@bench.example
    peers: {{ocs: {{host: 127.0.0.1, port: {port}}}}}
    plaintext_ok: true
    abilities: {{idempotent: true, stores_refusals: true}}
"""
_SQL = """\
    kind: sql
    dsn: "{dsn}"
    debit: "SELECT * FROM billing.debit({{key}}, {{msisdn}}, {{amount_minor}}, {{currency}})"
    query: "SELECT * FROM billing.find({{key}})"
    connections_max: 16
    together_max: 10
    abilities: {{idempotent: true, queryable: true, stores_refusals: true}}
"""
_FILE = """\
    kind: file
    directory: {directory}/out
    journal: {directory}/journal
"""
_OUTCOMES = """
    SELECT count(*), coalesce(extract(epoch FROM max(decided_at) - min(decided_at)), 0)::float8
      FROM outcome WHERE charge_id >= %s AND state = 'succeeded'
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One turn of a node, and of the bare client beside it."""

    per_s: float
    node_us: float
    postgres_us: float
    #: A bare call at the node's rate, or flat out where the client knows no rate.
    bare_us: float
    flat_out_us: float
    flat_out_per_s: float

    @property
    def times(self) -> float:
        """The node's CPU as a multiple of the bare client's."""
        return self.node_us / self.bare_us

    @property
    def times_flat_out(self) -> float:
        """As a multiple of one that makes its calls as fast as it can."""
        return self.node_us / self.flat_out_us


class Billings:
    """The process of `benchmarks.billings`."""

    def __init__(self, http_port: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.billings", str(http_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
        )
        assert self._process.stdout is not None
        self.ports = json.loads(self._process.stdout.readline())

    def seen(self) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Bench:
    """A database, billing systems, and the charges that are still unused."""

    def __init__(self, database: Database, billings: Billings, load: Load) -> None:
        self.database = database
        self._load = load
        self.billings = billings
        self.next = 0
        self._directory = database.directory / "files"
        self._directory.mkdir()
        self._sql_dsn = database.dsn_of("billing")

    def section(self, kind: str) -> tuple[str, str]:
        """A node's configuration for a kind of billing, and where its bare client goes."""
        ports = self.billings.ports
        match kind:
            case "http":
                url = f"http://127.0.0.1:{ports['http']}"
                return HTTP_BILLING.format(url=url), str(ports["http"])
            case "diameter":
                return _DIAMETER.format(port=ports["diameter"]), str(ports["diameter"])
            case "sql":
                dsn = self._sql_dsn.replace("\\", "\\\\").replace('"', '\\"')
                return _SQL.format(dsn=dsn), self._sql_dsn
            case _:
                shutil.rmtree(self._directory)
                self._directory.mkdir()
                return _FILE.format(directory=self._directory), str(self._directory / "bare")

    def start(self, name: str, section: str) -> Node:
        """A node with this billing, ready, and quiet about receipts."""
        port = self._load.port
        node = Node(self.database, name=name, smsc_port=port, links=1, section=section)
        self._load.begin("accept", count=1)
        node.start()
        self._load.end()
        node.wait_ready()
        node.tell("pause", "prompts")
        return node

    def open_accounts(self) -> None:
        """The billing database, with accounts that don't run dry."""
        with psycopg.connect(self._sql_dsn, autocommit=True) as conn:
            conn.execute((ROOT / "conf" / "billing" / "postgresql.sql").read_bytes())
            conn.execute(
                "INSERT INTO billing.account SELECT %s::bigint + i, 'UAH', 10^12, false"
                "  FROM generate_series(0, %s - 1) AS i",
                [FIRST_PHONE, PHONES],
            )

    def let_wait(self, count: int) -> int:
        """So many debits are due in a second; the first one's id."""
        first = self.next
        self.next += count
        wait_for_debits(
            self.database.dsn,
            first=first,
            count=count,
            first_id=self.database.first_id,
            partner_id=self.database.partner_id,
        )
        return self.database.first_id + first

    def debit(self, node: Node, count: int) -> tuple[float, float, float]:
        """Debits a second, and CPU in µs a debit of node and PostgreSQL."""
        first_id = self.let_wait(count)
        processes = ([node.pid], self.database.pids)
        before = [machine.cpu_s(pids) for pids in processes]
        until_done(self.database.dsn, seconds=120)
        used = [machine.cpu_s(pids) - was for pids, was in zip(processes, before, strict=True)]
        with psycopg.connect(self.database.dsn) as conn:
            row = conn.execute(_OUTCOMES.encode(), [first_id]).fetchone()
        assert row is not None
        done, took = row
        assert done == count, f"of {count} debits {done} succeeded:\n{node.tail()}"
        return done / took, used[0] / count * 1e6, used[1] / count * 1e6


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure, check, and give the figures."""
    count, runs = (3_000, 1) if quick else (15_000, 5)
    waiting, drain_s = (100_000, 5.0) if quick else (1_000_000, 30.0)
    print(machine.description())
    found = []
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        billings = Billings()
        stack.callback(billings.kill)
        bench = Bench(database, billings, stack.enter_context(running_load()))
        bench.open_accounts()
        for kind in MUST_PER_S:
            found += _figures(kind, _cells(bench, kind, count, runs))
        found.append(_usual(billings, count))
        found += backlog(bench, waiting, drain_s)
    if quick:
        print(f"--quick: {waiting:,} debits wait, not a million")
    return found


def _cells(bench: Bench, kind: str, count: int, runs: int) -> list[Cell]:
    section, target = bench.section(kind)
    node = bench.start(kind, section)
    cells = []
    try:
        bench.debit(node, count // 3)  # what is loaded and prepared once
        for _ in range(runs):
            flat_out = _bare(kind, target, count)
            per_s, node_us, postgres_us = bench.debit(node, count)
            bare = _bare(kind, target, count, per_s) if kind in PACED else flat_out
            bare_us, flat_out_us = (each["cpu_s"] / count * 1e6 for each in (bare, flat_out))
            flat_out_per_s = count / flat_out["seconds"]
            cell = Cell(per_s, node_us, postgres_us, bare_us, flat_out_us, flat_out_per_s)
            cells.append(cell)
            print(
                f"{kind}: {cell.per_s:,.0f} debits/s; µs a debit: node {cell.node_us:.0f}, "
                f"PostgreSQL {cell.postgres_us:.0f}, bare {cell.bare_us:.1f} "
                f"(flat out {cell.flat_out_us:.1f}, {cell.flat_out_per_s:,.0f} calls/s)",
                flush=True,
            )
    finally:
        node.stop()
    return cells


def _usual(billings: Billings, count: int) -> dict[str, Any]:
    """What the calls over HTTP cost a usual client: no floor, but a place to compare with."""
    usual = _bare("agent", str(billings.ports["http"]), count)
    return figure("debits_http_agent_cpu", usual["cpu_s"] / count * 1e6, "µs/call", better="lower")


def _bare(kind: str, target: str, count: int, *per_s: float) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare", kind, target, str(count), *map(str, per_s)],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def _figures(kind: str, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    def of(read: Callable[[Cell], float]) -> list[float]:
        return [read(cell) for cell in cells]

    rates, times = of(lambda c: c.per_s), of(lambda c: c.times)
    flat_out = of(lambda c: c.times_flat_out)
    return [
        figure(
            f"debits_{kind}_rate",
            middle(rates),
            "debits/s",
            better="higher",
            must=MUST_PER_S[kind],
            noise=noise(rates),
        ),
        figure(
            f"debits_{kind}_cpu_to_bare",
            middle(times),
            "ratio",
            better="lower",
            must=MUST_TIMES.get(kind),
            noise=noise(times),
        ),
        *(
            [
                figure(
                    f"debits_{kind}_cpu_to_bare_flat_out",
                    middle(flat_out),
                    "ratio",
                    better="lower",
                    noise=noise(flat_out),
                )
            ]
            if kind in PACED
            else []
        ),
        figure(f"debits_{kind}_cpu", middle(of(lambda c: c.node_us)), "µs/debit", better="lower"),
        figure(
            f"debits_{kind}_postgres_cpu",
            middle(of(lambda c: c.postgres_us)),
            "µs/debit",
            better="lower",
        ),
        figure(
            f"debits_{kind}_bare_cpu", middle(of(lambda c: c.bare_us)), "µs/call", better="lower"
        ),
    ]


def backlog(bench: Bench, waiting: int, drain_s: float) -> list[dict[str, Any]]:
    """Billing goes away, debits pile up, and it comes back."""
    port = free_port()
    billings = Billings(port)
    pace = f"    pace: {{rate_max: {RATE}, pause_max_s: 3}}\n"
    section = HTTP_BILLING.format(url=f"http://127.0.0.1:{port}") + pace
    node = bench.start("backlog", section)
    try:
        bench.debit(node, 5_000)
        before = node.memory_mib()
        billings.kill()
        bench.let_wait(waiting)
        seen = _watch(node, drain_s / 2)
        dsn = bench.database.dsn
        attempts = charges.one(dsn, "SELECT count(*) FROM debit_job WHERE attempts > 0")
        print(f"{left(dsn):,} wait, {attempts} of them were tried", flush=True)
        billings = Billings(port)
        seen = max(seen, _watch(node, drain_s))
        tenths = billings.seen()["tenths"]
    finally:
        node.stop()
        billings.kill()
    seconds = [sum(tenths[at : at + 10]) for at in range(len(tenths) - 9)]
    # From when it has found back to its pace; a second a node is late in is no drain.
    steady = seconds[min(30, len(seconds) // 3) :]
    print(
        f"memory {before:.0f} MiB before, {seen:.0f} at most; {sum(tenths):,} drained", flush=True
    )
    return [
        figure("debits_backlog_growth", seen - before, "MiB", better="lower", must=MUST_GROWTH_MIB),
        figure("debits_backlog", waiting, "debits", better="higher"),
        figure("debits_backlog_tried", attempts, "debits", better="lower"),
        figure(
            "debits_backlog_drain_to_rate",
            middle(steady) / RATE,
            "ratio",
            better="higher",
            noise=noise(steady),
        ),
        figure(
            "debits_backlog_burst_to_rate",
            max(seconds) / RATE,
            "ratio",
            better="lower",
            must=MUST_BURST,
        ),
    ]


def _watch(node: Node, seconds: float) -> float:
    """The most memory that the node has had in that time."""
    until = time.monotonic() + seconds
    most = 0.0
    while time.monotonic() < until:
        most = max(most, node.memory_mib())
        time.sleep(0.2)
    return most
