"""`scripts/bench chain`: charges end to end, from the partner's request to the partner's webhook.

Create over HTTP, prompt as submit_sm, the phone's ДА as deliver_sm, debit over HTTP, webhook over
HTTP; every step committed. By one node, and by one for each core. Says what a charge costs each
process, and where a node's time goes.
"""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import charges, machine, sampled
from benchmarks.figures import figure, middle, noise
from benchmarks.node import Database, Node, Talker, running_database

AHEAD = 1_000
LINKS = 2
#: One for each core: a node's Python has one, however many there are.
NODES = 2
ROLES = ("partner", "smsc", "billing", "webhooks")


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure one node, then one for each core; check, and give the figures."""
    seconds, runs = (5.0, 1) if quick else (20.0, 3)
    print(machine.description())
    with ExitStack() as stack:
        outside = Talker("benchmarks.outside")
        stack.callback(outside.kill)
        ports = outside.answer()
        webhook = f"http://127.0.0.1:{ports['webhooks']}/webhook"
        database = stack.enter_context(running_database(webhook))
        bench = _Bench(outside, database, ports)
        alone = bench.measure(1, seconds=seconds, runs=runs)
        together = bench.measure(NODES, seconds=seconds, runs=runs)
        return _figures(together) + _figures(alone, "_one_node")


class _Bench:
    """What stands around the nodes, and what has been counted so far."""

    def __init__(self, outside: Talker, database: Database, ports: dict[str, int]) -> None:
        self._outside = outside
        self._database = database
        self._ports = ports
        self._created = 0

    def measure(self, count: int, *, seconds: float, runs: int) -> list[dict[str, Any]]:
        """Cells of so many nodes, after one to warm up."""
        print(f"{count} node{'s' * (count > 1)}:")
        with ExitStack() as stack:
            nodes = [self._node(f"chain{count}{number}") for number in range(count)]
            for node in nodes:
                stack.callback(node.stop)
                node.start()
            for node in nodes:
                node.wait_ready()
            cells = []
            for _ in range(runs + 1):
                cells.append(self._cell(nodes, seconds))
                print(_told(cells[-1]), flush=True)
            _check(self._database.dsn, cells[-1])
            print(_histograms(nodes[0]))
        reactors_us = middle([cell["reactor_us"] for cell in cells[1:]])
        print(_stages(sampled.shares([node.config for node in nodes]), reactors_us))
        return cells[1:]

    def _node(self, name: str) -> Node:
        return Node(
            self._database,
            name=name,
            smsc_port=self._ports["smsc"],
            links=LINKS,
            billing=f"http://127.0.0.1:{self._ports['billing']}",
            program="benchmarks.sampled",
        )

    def _cell(self, nodes: list[Node], seconds: float) -> dict[str, Any]:
        """One run with what its charges have cost each process."""
        pids = [node.pid for node in nodes]
        before = self._cpu_s(pids)
        ports = [node.partner_port for node in nodes]
        with _sampling(pids):
            self._outside.tell({"ports": ports, "seconds": seconds, "ahead": AHEAD})
            done: dict[str, Any] = self._outside.answer()
        made = done["created"] - self._created
        self._created = done["created"]
        cost = {name: after - before[name] for name, after in self._cpu_s(pids).items()}
        cost |= {"outside": done["cpu_s"]} | done["cost_s"]
        return done | {"made": made} | {f"{name}_us": s / made * 1e6 for name, s in cost.items()}

    def _cpu_s(self, pids: list[int]) -> dict[str, float]:
        return {
            "node": machine.cpu_s(pids),
            "reactor": sum(map(machine.main_thread_s, pids)),
            "postgres": machine.cpu_s(self._database.pids),
        }


@contextmanager
def _sampling(pids: list[int]) -> Iterator[None]:
    """The nodes look at themselves meanwhile."""
    ended = threading.Event()

    def turns() -> Iterator[None]:
        while not ended.is_set():
            yield

    sampling = threading.Thread(target=sampled.sample, args=(pids, turns()))
    sampling.start()
    try:
        yield
    finally:
        ended.set()
        sampling.join()


def _told(cell: dict[str, Any]) -> str:
    roles = ", ".join(f"{role} {cell[f'{role}_us']:.0f}" for role in ROLES)
    return (
        f"{cell['charges_per_s']:,.0f} charges/s; µs a charge: node {cell['node_us']:.0f} "
        f"(its reactor {cell['reactor_us']:.0f}), PostgreSQL {cell['postgres_us']:.0f}, "
        f"outside {cell['outside_us']:.0f} ({roles}); "
        f"{cell['made']} created, {cell['refused']} refused"
    )


def _check(dsn: str, done: dict[str, Any]) -> None:
    succeeded = charges.one(dsn, "SELECT count(*) FROM outcome WHERE state = 'succeeded'")
    assert done["webhooks"] == done["created"], f"of {done['created']} {done['webhooks']} were told"
    assert succeeded == done["created"], f"of {done['created']} {succeeded} succeeded"
    assert done["debits"] == done["created"], f"{done['debits']} debits of {done['created']}"


def _stages(shares: dict[str, float], reactors_us: float) -> str:
    """Where the reactors' threads spend their time, which is where a node's Python runs."""
    lines = ["The nodes' reactors, µs a charge by stage:"]
    for stage, share in shares.items():
        lines.append(f"  {stage:<24}{share * reactors_us:6.0f} {share * 100:5.1f} %")
    return "\n".join(lines)


def _histograms(node: Node) -> str:
    """How long the steps take, from the node's own histograms."""
    url = f"http://127.0.0.1:{node.operations_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = []
    for name in (
        "ppcd_http_request_seconds",
        "ppcd_reply_ack_seconds",
        "ppcd_debit_seconds",
        "ppcd_paid_seconds",
        "ppcd_store_commit_seconds",
    ):
        total = sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}_sum"))
        count = sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}_count"))
        if count:
            found.append(f"{name} {total / count * 1000:.1f} ms on average, {count:,.0f} times")
    return "\n".join(found)


def _figures(cells: list[dict[str, Any]], suffix: str = "") -> list[dict[str, Any]]:
    rates = [cell["charges_per_s"] for cell in cells]
    limits = {} if suffix else {"must": 1_000, "aim": 5_000}
    rate = figure(
        f"chain_rate{suffix}",
        middle(rates),
        "charges/s",
        better="higher",
        noise=noise(rates),
        **limits,
    )
    found = [rate]
    for name in ("node", "postgres", "outside"):
        value = middle([cell[f"{name}_us"] for cell in cells])
        found.append(figure(f"chain_{name}_cpu{suffix}", value, "µs/charge", better="lower"))
    return found
