"""`scripts/bench reply`: how fast, how cheap and how safe answers become durable confirmations.

A real node (`ppcd run`) on a real PostgreSQL, billing and prompts held by their stop buttons (their
jobs are written all the same), and a load that is the SMSC. Mixed traffic; every cell is checked to
the last reply. Closed loop for capacity, open loop for latency.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from benchmarks import charges, machine
from benchmarks.bench import WINDOW, Bench, Cell, say
from benchmarks.calm import Tails
from benchmarks.figures import figure, middle, noise
from benchmarks.floors import CopyFloor, LinkFloor, copy_floor, copying, link_floor
from benchmarks.node import Database, Load, Node, running_database, running_load
from benchmarks.traffic import FIRST_PHONE

#: Unanswered messages a link, five times what a node takes (`inbound_max`).
OVERLOAD_WINDOW = 50_000
#: How often the bare floor is measured beside each cell: once takes a moment only.
BARE_TIMES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    cells: int
    charges: int
    seconds: float
    overload_s: float
    overload_charges: int
    open_s: float
    kills: int
    receipts: bool


FULL = Plan(
    cells=5,
    charges=300_000,
    seconds=10,
    overload_s=60,
    overload_charges=6_500_000,
    open_s=10,
    kills=10,
    receipts=True,
)
QUICK = Plan(
    cells=1,
    charges=30_000,
    seconds=1.5,
    overload_s=3,
    overload_charges=40_000,
    open_s=1,
    kills=1,
    receipts=False,
)


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure, check, and give the figures."""
    plan = QUICK if quick else FULL
    print(machine.description())
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        if not quick:
            database.fill_buffers()
        load = stack.enter_context(running_load())
        node = Node(database, name="bench", smsc_port=load.port)
        stack.callback(node.stop)
        bench = Bench(database, node, load)
        floors = Floors(database, stack.enter_context(running_load()), plan)
        print(f"flush {machine.flush_ms(database.directory):.2f} ms")
        return _measure(bench, floors, plan)


class Floors:
    """The floors, measured before the first cell and after each: a virtual machine's processors
    differ by a third from one minute to the next, and a cell is held against its neighbours.
    """

    def __init__(self, database: Database, load: Load, plan: Plan) -> None:
        """`load` is not the node's."""
        self._database = database
        self._plan = plan
        half = {"count": plan.charges * 2, "seconds": plan.seconds / 2}
        self._floor = partial(link_floor, load, first=0, window=WINDOW, **half)
        self.bare: list[LinkFloor] = []
        self.links: list[LinkFloor] = []
        #: The bare one while PostgreSQL is at work beside it, as it is beside a node.
        self.beside: list[LinkFloor] = []
        self.copies: list[CopyFloor] = []

    def measure(self) -> None:
        """Each of them once, the bare one a few times, of which the mean counts."""
        seconds = self._plan.seconds / 2
        bare = [self._floor("bare") for _ in range(BARE_TIMES)]
        rate, cost = fmean(floor.per_s for floor in bare), fmean(floor.cpu_us for floor in bare)
        self.bare.append(LinkFloor(rate, cost))
        self.links.append(self._floor("links"))
        with copying(self._database, seconds=seconds):
            self.beside.append(self._floor("bare"))
        self.copies.append(copy_floor(self._database, seconds=seconds))
        print(
            f"floors: bare {self.bare[-1].cpu_us:.2f} µs, beside COPY {self.beside[-1].cpu_us:.2f},"
            f" links {self.links[-1].cpu_us:.2f}; COPY {self.copies[-1].cpu_us:.2f} µs a row, "
            f"{self.copies[-1].rows_per_s:,.0f} rows/s",
            flush=True,
        )


def _to_floor(values: list[float], floors: list[float]) -> list[float]:
    """Each cell's value ÷ the mean of the floor before it and the one after it."""
    pairs = zip(values, floors[:-1], floors[1:], strict=True)
    return [2 * value / (before + after) for value, before, after in pairs]


def _measure(bench: Bench, floors: Floors, plan: Plan) -> list[dict[str, Any]]:
    cells: list[Cell] = []
    memory: list[float] = []
    bench.bind()
    bench.pause()
    _warm_up(bench, plan)
    floors.measure()
    for _ in range(plan.cells):
        bench.prepare(plan.charges)
        cells.append(bench.cell(seconds=plan.seconds, window=WINDOW))
        memory.append(bench.node.memory_mib())
        bench.check()
        say("closed loop", cells[-1])
        floors.measure()
    figures = _figures(cells, floors, memory)
    figures += _open_loop(bench, plan, middle([c.per_s for c in cells]))
    if plan.receipts:
        figures += _receipts(bench, plan)
    figures += _overload(bench, plan)
    figures += _kills(bench, plan)
    return figures


def _warm_up(bench: Bench, plan: Plan) -> None:
    bench.prepare(plan.charges // 10)
    bench.cell(seconds=plan.seconds, window=WINDOW)


def _figures(cells: list[Cell], floors: Floors, memory: list[float]) -> list[dict[str, Any]]:
    per_s = [cell.per_s * 170 / 200 for cell in cells]  # of those that say yes
    copies_per_s = [copy.rows_per_s for copy in floors.copies]
    copies_us = [copy.cpu_us for copy in floors.copies]
    bare_us, links_us, beside_us = (
        [floor.cpu_us for floor in kind] for kind in (floors.bare, floors.links, floors.beside)
    )
    node = [cell.node_us for cell in cells]
    postgres = [cell.postgres_us for cell in cells]
    to_copy = _to_floor(per_s, copies_per_s)
    python_to_floor = _to_floor(node, bare_us)
    postgres_to_copy = _to_floor(postgres, copies_us)
    lower: list[tuple[str, list[float], str]] = [
        ("reply_python_cpu", node, "µs/reply"),
        ("reply_python_floor_cpu", bare_us, "µs/reply"),
        ("reply_python_floor_cpu_beside_copy", beside_us, "µs/reply"),
        # A floor that sinks with all that makes the node's links cheaper.
        ("reply_links_cpu", links_us, "µs/reply"),
        ("reply_python_cpu_to_links", _to_floor(node, links_us), "ratio"),
        ("reply_postgres_cpu", postgres, "µs/reply"),
        ("reply_copy_floor_cpu", copies_us, "µs/row"),
        ("reply_load_cpu", [c.load_us for c in cells], "µs/reply"),
        ("reply_saturated_p99", [c.p99_ms for c in cells], "ms"),
    ]
    higher: list[tuple[str, list[float], str]] = [
        ("reply_rate", [cell.per_s for cell in cells], "replies/s"),
        ("reply_copy_floor_rate", copies_per_s, "rows/s"),
        ("reply_bare_floor_rate", [floor.per_s for floor in floors.bare], "PDUs/s"),
    ]
    return [
        figure(
            "reply_confirmed_to_copy",
            middle(to_copy),
            "ratio",
            better="higher",
            must=0.20,
            aim=0.40,
            noise=noise(to_copy),
        ),
        figure("reply_confirmed_rate", middle(per_s), "per s", better="higher", aim=100_000),
        figure(
            "reply_python_cpu_to_floor",
            middle(python_to_floor),
            "ratio",
            better="lower",
            must=3,
            aim=1.8,
            noise=noise(python_to_floor),
        ),
        figure(
            "reply_postgres_cpu_to_copy",
            middle(postgres_to_copy),
            "ratio",
            better="lower",
            must=5,
            aim=3,
            noise=noise(postgres_to_copy),
        ),
        *(
            figure(name, middle(values), unit, better=better, noise=noise(values))
            for better, found in (("lower", lower), ("higher", higher))
            for name, values, unit in found
        ),
        figure("reply_memory_saturated", max(memory), "MiB", better="lower", must=300, aim=150),
    ]


def _open_loop(bench: Bench, plan: Plan, saturated: float) -> list[dict[str, Any]]:
    rate = saturated / 2
    found: list[Cell] = []
    tails = Tails(bench.database.directory, cells=plan.cells)
    for _ in tails.tries():
        bench.prepare(int(rate * plan.open_s * 1.05))
        with tails.beside_the_machine() as p99_ms:
            found.append(bench.cell(seconds=plan.open_s, rate=rate))
            p99_ms.append(found[-1].p99_ms)
        bench.check()
        say("half the rate", found[-1])
    return [
        *tails.figures("reply_p99_half_rate", must=50, aim=20),
        figure("reply_p50_half_rate", middle([c.p50_ms for c in found]), "ms", better="lower"),
    ]


def _receipts(bench: Bench, plan: Plan) -> list[dict[str, Any]]:
    found: list[Cell] = []
    for _ in range(plan.cells):
        bench.prepare(plan.charges // 2, receipts=True)
        found.append(bench.cell(seconds=plan.seconds, window=WINDOW))
        bench.check()
        say("with receipts", found[-1])
    return [
        figure(
            "reply_with_receipts_rate",
            middle([c.per_s for c in found]) / 2,
            "replies/s",
            better="higher",
        ),
        figure(
            "reply_with_receipts_python_cpu",
            middle([c.node_us for c in found]),
            "µs/message",
            better="lower",
        ),
        figure(
            "reply_with_receipts_postgres_cpu",
            middle([c.postgres_us for c in found]),
            "µs/message",
            better="lower",
        ),
    ]


def _overload(bench: Bench, plan: Plan) -> list[dict[str, Any]]:
    """All that the sockets take, far beyond capacity; then, within ten seconds, normal again."""
    bench.prepare(plan.overload_charges)
    seen: list[float] = []

    def watch() -> None:
        until = time.monotonic() + plan.overload_s
        while time.monotonic() < until:
            seen.append(bench.node.memory_mib())
            time.sleep(0.5)

    cell = bench.cell(seconds=plan.overload_s, window=OVERLOAD_WINDOW, watch=watch)
    bench.check()
    say("overload", cell)
    print(f"overload: memory {seen[0]:.0f} MiB at first, {max(seen):.0f} at most, {seen[-1]:.0f}")
    bench.prepare(4_000)
    after = bench.cell(seconds=3, rate=1_000)
    say("right after", after)
    half = len(seen) // 2
    grown = max(seen[half:]) / max(seen[:half])
    return [
        figure("reply_memory_overload", max(seen), "MiB", better="lower", must=300, aim=150),
        figure("reply_memory_overload_growth", grown, "ratio", better="lower", must=1.1),
        figure("reply_overload_rate", cell.per_s, "replies/s", better="higher"),
        figure("reply_overload_refused", cell.refused, "replies", better="lower"),
        figure("reply_p99_after_overload", after.p99_ms, "ms", better="lower", must=50),
    ]


def _kills(bench: Bench, plan: Plan) -> list[dict[str, Any]]:
    """A node killed in full flight has recorded whatever it has acknowledged."""
    lost = 0
    for number in range(plan.kills):
        bench.prepare(plan.charges // 2)
        bench.load.begin("run", seconds=3, window=WINDOW)
        time.sleep(0.1 + 0.03 * number)  # before all are answered
        bench.node.kill()
        bench.load.end()
        acknowledged = [i for i in bench.load.do("acknowledged")["phones"] if i >= 0]
        phones = [FIRST_PHONE + i for i in acknowledged]
        kept = charges.one(
            bench.database.dsn,
            "SELECT count(DISTINCT msisdn) FROM reply WHERE msisdn = ANY(%s::bigint[])",
            phones,
        )
        assert 0 < len(phones) < plan.charges // 2, f"{len(phones)} acknowledged: not in flight"
        lost += len(phones) - kept
        twice = charges.one(
            bench.database.dsn,
            "SELECT count(*) - count(DISTINCT charge_id) FROM reply WHERE effect = 'confirmed'",
        )
        print(f"kill {number + 1}: {len(phones)} acknowledged, {kept} recorded")
        assert twice == 0, f"{twice} charges were confirmed twice"
        bench.bind()
    return [figure("reply_lost_after_kill", lost, "replies", better="lower", must=0, aim=0)]
