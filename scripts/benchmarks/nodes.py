"""`scripts/bench nodes`: two nodes on one database against one, under the same load.

Both run all the time; replies go to one of them or to either, in turns, for a virtual machine's
processors differ by a third from one minute to the next. To either they go in two ways: with as
many unanswered a link, as an SMSC does that has no other limit, and with as many in all. Then every
reply goes to both, as an SMSC does that repeats what it got no answer for. No confirmation may be
lost and none made twice, and two must not be slower than one.
"""

from contextlib import ExitStack
from typing import Any

from benchmarks import charges, machine
from benchmarks.bench import WINDOW, Bench, say
from benchmarks.figures import figure, middle, noise
from benchmarks.node import LINKS, Node, running_database, running_load
from benchmarks.traffic import FIRST_PHONE, YES, kind_of

#: How many nodes replies go to, and how many each link may have unanswered.
KINDS = ((1, WINDOW), (2, WINDOW), (2, WINDOW // 2))


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure, check, and give the figures."""
    count, rounds, seconds = (20_000, 2, 3.0) if quick else (150_000, 20, 10.0)
    rates: dict[tuple[int, int], list[float]] = {kind: [] for kind in KINDS}
    print(machine.description())
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        if not quick:
            database.fill_buffers()
        load = stack.enter_context(running_load())
        nodes = [Node(database, name=f"node{n}", smsc_port=load.port) for n in (1, 2)]
        for node in nodes:
            stack.callback(node.stop)
        bench = Bench(database, nodes[0], load, others=nodes[1:])
        bench.bind()
        bench.pause()
        bench.prepare(count // 5)
        bench.cell(seconds=seconds, window=WINDOW)
        for turn in range(rounds):
            # Each kind comes first, second and last as often as the others.
            for number, window in (KINDS * 2)[turn % 3 : turn % 3 + 3]:
                bench.prepare(count, links=LINKS * number)
                cell = bench.cell(seconds=seconds, window=window)
                bench.check()
                say(f"to {number} of them, {window:,} unanswered a link", cell)
                rates[number, window].append(cell.per_s)
        wrong = sum(_both(bench, count // 2, seconds) for _ in range(max(1, rounds // 4)))
    one, two, same = rates.values()
    ratio, ratio_of_same = (
        [both / alone for alone, both in zip(one, found, strict=True)] for found in (two, same)
    )
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
        figure(
            "nodes_two_to_one_same_in_flight",
            middle(ratio_of_same),
            "ratio",
            better="higher",
            noise=noise(ratio_of_same),
        ),
        figure("nodes_one_rate", middle(one), "replies/s", better="higher"),
        figure("nodes_two_rate", middle(two), "replies/s", better="higher"),
        figure("nodes_two_rate_same_in_flight", middle(same), "replies/s", better="higher"),
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
