"""`scripts/bench nodes`: two nodes on one database against one, under the same load.

Replies go to either node; then every reply goes to both, as an SMSC does that repeats what it got
no answer for. No confirmation may be lost and none made twice, and two must not be slower than one.
"""

from contextlib import ExitStack
from typing import Any

from benchmarks import charges, machine
from benchmarks.bench import WINDOW, Bench, say
from benchmarks.figures import figure, middle, noise
from benchmarks.node import Node, running_database, running_load
from benchmarks.traffic import FIRST_PHONE, YES, kind_of


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure, check, and give the figures."""
    count, cells, seconds = (20_000, 1, 3.0) if quick else (200_000, 3, 10.0)
    rates: dict[int, list[float]] = {1: [], 2: []}
    wrong = 0
    print(machine.description())
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        load = stack.enter_context(running_load())
        nodes = [Node(database, name=f"node{n}", smsc_port=load.port) for n in (1, 2)]
        for node in nodes:
            stack.callback(node.stop)
        benches = {
            number: Bench(database, nodes[0], load, others=nodes[1:number]) for number in (1, 2)
        }
        for _ in range(cells):
            for number, bench in benches.items():
                bench.bind()
                bench.pause()
                bench.prepare(count)
                cell = bench.cell(seconds=seconds, window=WINDOW // number)
                bench.check()
                say(f"{number} of them", cell)
                rates[number].append(cell.per_s)
                if number == 2:
                    wrong += _both(bench, count // 2, seconds)
                benches[2].next = benches[1].next = bench.next
                for node in nodes[:number]:
                    node.stop()
    ratio = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return [
        figure(
            "nodes_two_to_one",
            middle(ratio),
            "ratio",
            better="higher",
            must=1.0,
            aim=1.2,
            noise=noise(ratio),
        ),
        figure("nodes_one_rate", middle(rates[1]), "replies/s", better="higher"),
        figure("nodes_two_rate", middle(rates[2]), "replies/s", better="higher"),
        figure("nodes_lost_or_doubled", wrong, "charges", better="lower", must=0, aim=0),
    ]


def _both(bench: Bench, count: int, seconds: float) -> int:
    """Every reply to both nodes: charges that were not confirmed exactly once."""
    first = bench.prepare(count, both=True)
    cell = bench.cell(seconds=seconds, window=WINDOW // 2)
    say("every reply to both", cell)
    acknowledged = set(bench.load.do("acknowledged")["phones"])
    said_yes = [i for i in acknowledged if kind_of(i) == YES]
    phones = [FIRST_PHONE + i for i in said_yes]
    jobs = charges.one(
        bench.database.dsn,
        "SELECT count(*) FROM debit_job WHERE msisdn = ANY(%s::bigint[])",
        phones,
    )
    confirmed = charges.one(
        bench.database.dsn,
        "SELECT count(*) FROM reply WHERE effect = 'confirmed' AND msisdn = ANY(%s::bigint[])",
        phones,
    )
    print(f"from {first} on: {len(phones)} said yes, {jobs} debit jobs, {confirmed} confirmed")
    return abs(len(phones) - jobs) + abs(len(phones) - confirmed)
