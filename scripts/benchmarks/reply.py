"""`scripts/bench reply`: how fast, how cheap and how safe answers become durable confirmations.

A real node (`ppcd run`) on a real PostgreSQL, billing and prompts held by their stop buttons (their
jobs are written all the same), and a load that is the SMSC. Mixed traffic; every cell is checked to
the last reply. Closed loop for capacity, open loop for latency.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import charges, machine
from benchmarks.bench import WINDOW, Bench, Cell, say
from benchmarks.calm import Tails
from benchmarks.figures import figure, middle, noise
from benchmarks.floors import CopyFloor, LinkFloor, copy_floor, copying, link_floor
from benchmarks.node import Node, running_database, running_load
from benchmarks.traffic import FIRST_PHONE

#: Unanswered messages a link: far more than a busy SMSC has.
OVERLOAD_WINDOW = 50_000


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
    cells=3,
    charges=200_000,
    seconds=10,
    overload_s=60,
    overload_charges=5_000_000,
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
        load = stack.enter_context(running_load())
        node = Node(database, name="bench", smsc_port=load.port)
        stack.callback(node.stop)
        bench = Bench(database, node, load)
        print(f"flush {machine.flush_ms(database.directory):.2f} ms")
        return _measure(bench, plan)


def _measure(bench: Bench, plan: Plan) -> list[dict[str, Any]]:
    copies: list[CopyFloor] = []
    bare: list[LinkFloor] = []
    links: list[LinkFloor] = []
    beside: list[LinkFloor] = []
    cells: list[Cell] = []
    memory: list[float] = []
    half = {"count": plan.charges * 2, "seconds": plan.seconds / 2}
    floor = partial(link_floor, bench.load, first=0, window=WINDOW, **half)
    # Floors first: their links are not the node's. Then again between the cells, as far as it goes.
    for _ in range(plan.cells):
        bare.append(floor("bare"))
        links.append(floor("links"))
        with copying(bench.database, seconds=plan.seconds / 2):
            beside.append(floor("bare"))
        copies.append(copy_floor(bench.database, seconds=plan.seconds / 2))
    bench.bind()
    bench.pause()
    _warm_up(bench, plan)
    for _ in range(plan.cells):
        bench.prepare(plan.charges)
        cells.append(bench.cell(seconds=plan.seconds, window=WINDOW))
        memory.append(bench.node.memory_mib())
        bench.check()
        say("closed loop", cells[-1])
        copies.append(copy_floor(bench.database, seconds=plan.seconds / 2))
    figures = _figures(cells, copies, bare, memory)
    figures += _other_floors([cell.node_us for cell in cells], links, beside)
    figures += _open_loop(bench, plan, middle([c.per_s for c in cells]))
    if plan.receipts:
        figures += _receipts(bench, plan)
    figures += _overload(bench, plan)
    figures += _kills(bench, plan)
    return figures


def _warm_up(bench: Bench, plan: Plan) -> None:
    bench.prepare(plan.charges // 10)
    bench.cell(seconds=plan.seconds, window=WINDOW)


def _figures(
    cells: list[Cell], copies: list[CopyFloor], bare: list[LinkFloor], memory: list[float]
) -> list[dict[str, Any]]:
    yes = 170 / 200
    per_s = [cell.per_s * yes for cell in cells]
    copy_s = middle([c.rows_per_s for c in copies])
    copy_us = middle([c.cpu_us for c in copies])
    bare_us = middle([floor.cpu_us for floor in bare])
    node = [cell.node_us for cell in cells]
    postgres = [cell.postgres_us for cell in cells]
    replies = [cell.per_s for cell in cells]
    return [
        figure(
            "reply_confirmed_to_copy",
            middle(per_s) / copy_s,
            "ratio",
            better="higher",
            must=0.20,
            aim=0.40,
            noise=noise(per_s),
        ),
        figure("reply_confirmed_rate", middle(per_s), "per s", better="higher", aim=100_000),
        figure("reply_rate", middle(replies), "replies/s", better="higher"),
        figure("reply_copy_floor_rate", copy_s, "rows/s", better="higher"),
        figure("reply_bare_floor_rate", middle([f.per_s for f in bare]), "PDUs/s", better="higher"),
        figure(
            "reply_python_cpu_to_floor",
            middle(node) / bare_us,
            "ratio",
            better="lower",
            must=3,
            aim=1.8,
            noise=noise(node),
        ),
        figure("reply_python_cpu", middle(node), "µs/reply", better="lower"),
        figure("reply_python_floor_cpu", bare_us, "µs/reply", better="lower"),
        figure(
            "reply_postgres_cpu_to_copy",
            middle(postgres) / copy_us,
            "ratio",
            better="lower",
            must=5,
            aim=3,
            noise=noise(postgres),
        ),
        figure("reply_postgres_cpu", middle(postgres), "µs/reply", better="lower"),
        figure("reply_copy_floor_cpu", copy_us, "µs/row", better="lower"),
        figure("reply_load_cpu", middle([c.load_us for c in cells]), "µs/reply", better="lower"),
        figure("reply_saturated_p99", middle([c.p99_ms for c in cells]), "ms", better="lower"),
        figure("reply_memory_saturated", max(memory), "MiB", better="lower", must=300, aim=150),
    ]


def _other_floors(
    node_us: list[float], links: list[LinkFloor], beside: list[LinkFloor]
) -> list[dict[str, Any]]:
    """The node's links alone, which are a floor that sinks with all that makes them cheaper; and
    the bare one while PostgreSQL is at work beside it, as it is beside a node.
    """
    links_us = middle([floor.cpu_us for floor in links])
    beside_us = middle([floor.cpu_us for floor in beside])
    return [
        figure("reply_links_cpu", links_us, "µs/reply", better="lower"),
        figure("reply_python_cpu_to_links", middle(node_us) / links_us, "ratio", better="lower"),
        figure("reply_python_floor_cpu_beside_copy", beside_us, "µs/reply", better="lower"),
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
