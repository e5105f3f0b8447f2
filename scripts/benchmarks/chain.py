"""`scripts/bench chain`: charges end to end, from the partner's request to the partner's webhook.

Create over HTTP, prompt as submit_sm, the phone's ДА as deliver_sm, debit over HTTP, webhook over
HTTP; every step committed. Says what a charge costs each process, and where a node's time goes.
"""

import json
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from typing import Any

from benchmarks import charges, machine
from benchmarks.figures import figure, middle, noise
from benchmarks.node import Node, running_database

AHEAD = 1_000
LINKS = 2


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure, check, and give the figures."""
    seconds, runs = (5.0, 1) if quick else (20.0, 3)
    print(machine.description())
    with ExitStack() as stack:
        outside = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.outside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(outside.kill)
        assert outside.stdout is not None
        assert outside.stdin is not None
        ports = json.loads(outside.stdout.readline())
        webhook = f"http://127.0.0.1:{ports['partner']}/webhook"
        database = stack.enter_context(running_database(webhook))
        billing = f"http://127.0.0.1:{ports['billing']}"
        node = Node(database, name="chain", smsc_port=ports["smsc"], links=LINKS, billing=billing)
        stack.callback(node.stop)
        node.start()
        node.wait_ready()
        cells = []
        before = {"created": 0, "cpu_s": 0.0}
        for _ in range(runs + 1):
            pids = {"node": [node.pid], "postgres": database.pids}
            cpu = {name: machine.cpu_s(them) for name, them in pids.items()}
            order = {"port": node.partner_port, "seconds": seconds, "ahead": AHEAD}
            outside.stdin.write(json.dumps(order) + "\n")
            outside.stdin.flush()
            done = json.loads(outside.stdout.readline())
            made = done["created"] - before["created"]
            done |= {
                f"{name}_us": (machine.cpu_s(them) - cpu[name]) / made * 1e6
                for name, them in pids.items()
            }
            done["outside_us"] = done["cpu_s"] / made * 1e6
            before = done
            cells.append(done)
            print(
                f"{done['charges_per_s']:,.0f} charges/s; µs a charge: node {done['node_us']:.0f}, "
                f"PostgreSQL {done['postgres_us']:.0f}, outside {done['outside_us']:.0f}; "
                f"{made} created, {done['refused']} refused",
                flush=True,
            )
        _check(database.dsn, cells[-1])
        print(_stages(node))
        return _figures(cells[1:])


def _check(dsn: str, done: dict[str, Any]) -> None:
    succeeded = charges.one(dsn, "SELECT count(*) FROM outcome WHERE state = 'succeeded'")
    assert done["webhooks"] == done["created"], f"of {done['created']} {done['webhooks']} were told"
    assert succeeded == done["created"], f"of {done['created']} {succeeded} succeeded"
    assert done["debits"] == done["created"], f"{done['debits']} debits of {done['created']}"


def _stages(node: Node) -> str:
    """Where a charge's time goes, from the node's own histograms."""
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


def _figures(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rates = [cell["charges_per_s"] for cell in cells]
    found = [
        figure(
            "chain_rate",
            middle(rates),
            "charges/s",
            better="higher",
            must=1_000,
            aim=5_000,
            noise=noise(rates),
        )
    ]
    for name in ("node", "postgres", "outside"):
        value = middle([cell[f"{name}_us"] for cell in cells])
        found.append(figure(f"chain_{name}_cpu", value, "µs/charge", better="lower"))
    return found
