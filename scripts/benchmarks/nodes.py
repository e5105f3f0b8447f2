"""`scripts/bench nodes`: two nodes on one database against one, under the same load.

Both run all the time; replies go to one of them or to either, in turns, for a virtual machine's
processors differ by a third from one minute to the next. Then every reply goes to both, as an SMSC
does that repeats what it got no answer for. No confirmation may be lost and none made twice, and
two must not be slower than one.
"""

from contextlib import ExitStack
from typing import Any

from benchmarks import charges, machine
from benchmarks.bench import WINDOW, Bench, say
from benchmarks.figures import figure, middle, noise
from benchmarks.node import LINKS, Node, running_database, running_load
from benchmarks.traffic import FIRST_PHONE, YES, kind_of


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure, check, and give the figures."""
    count, pairs, seconds = (20_000, 2, 3.0) if quick else (150_000, 20, 10.0)
    rates: dict[int, list[float]] = {1: [], 2: []}
    print(machine.description())
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        load = stack.enter_context(running_load())
        nodes = [Node(database, name=f"node{n}", smsc_port=load.port) for n in (1, 2)]
        for node in nodes:
            stack.callback(node.stop)
        bench = Bench(database, nodes[0], load, others=nodes[1:])
        bench.bind()
        bench.pause()
        bench.prepare(count // 5)
        bench.cell(seconds=seconds, window=WINDOW)
        for pair in range(pairs):
            for number in (1, 2) if pair % 2 == 0 else (2, 1):
                bench.prepare(count, links=LINKS * number)
                # What a link may have unanswered does not depend on how many there are.
                cell = bench.cell(seconds=seconds, window=WINDOW)
                bench.check()
                say(f"to {number} of them", cell)
                rates[number].append(cell.per_s)
        wrong = sum(_both(bench, count // 2, seconds) for _ in range(max(1, pairs // 4)))
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
