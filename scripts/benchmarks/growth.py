"""`scripts/bench growth`: what a confirmation costs with 10 k, 1 M and 10 M charges waiting.

Then a sustained minute of charges that come, are answered and go, with autovacuum at work: the
tables of work must stop growing.
"""

import time
from contextlib import ExitStack
from typing import Any

import psycopg

from benchmarks import charges, machine
from benchmarks.bench import WINDOW, Bench, say
from benchmarks.figures import figure, middle, noise
from benchmarks.node import Node, running_database, running_load
from benchmarks.traffic import FIRST_PHONE

#: Phones that wait and never answer; their numbers are below all that do.
IDLE_PHONE = 380_500_000_000
IN_ONE_GO = 1_000_000
#: Charges of one turn of the sustained minute.
TURN = 10_000

_WAIT = f"""
    WITH new AS (
        SELECT ({IDLE_PHONE} + i) * 1000 AS key, %s::bigint + i AS charge_id
          FROM generate_series(%s::bigint, %s::bigint) AS i
    ), held AS (
        INSERT INTO hold (key, charge_id, free_at)
        SELECT key, charge_id, business_now() + {charges.LIFETIME} FROM new
    )
    INSERT INTO awaiting (key, charge_id, partner_id, amount_minor, currency, major_number, billing,
                          debit_start_s, written_at, expires_at)
    SELECT key, charge_id, 1, 2500, 'UAH', '25', 'main', {charges.START_WITHIN_S}, business_now(),
           business_now() + {charges.LIFETIME}
      FROM new
"""
# Who answered something unclear still waits, and would run out of time.
_EXPIRE = f"DELETE FROM awaiting WHERE key >= {FIRST_PHONE}::bigint * 1000"
_SIZES = """
    SELECT sum(pg_total_relation_size(c))
      FROM unnest(ARRAY['awaiting', 'debit_job', 'prompt_job', 'webhook_job']::regclass[]) AS c
"""


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """Measure, check, and give the figures."""
    sizes = (10_000, 300_000) if quick else (10_000, 1_000_000, 10_000_000)
    count, cells, sustained_s = (15_000, 1, 8.0) if quick else (150_000, 3, 60.0)
    print(machine.description())
    costs: dict[int, list[float]] = {}
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        load = stack.enter_context(running_load())
        node = Node(database, name="growth", smsc_port=load.port)
        stack.callback(node.stop)
        bench = Bench(database, node, load)
        bench.bind()
        bench.pause()
        bench.prepare(count // 5)
        bench.cell(seconds=10, window=WINDOW)
        waiting = 0
        for size in sizes:
            _wait(database.dsn, waiting, size, database.first_id)
            waiting = size
            for _ in range(cells):
                bench.prepare(count)
                cell = bench.cell(seconds=20, window=WINDOW)
                bench.check()
                say(f"{size:,} waiting", cell)
                costs.setdefault(size, []).append(cell.postgres_us)
        grown = _sustained(bench, sustained_s)
    last = sizes[-1]
    name = f"growth_{last // 1_000_000}m_to_10k" if last >= 1_000_000 else "growth_300k_to_10k"
    ratio = [large / middle(costs[sizes[0]]) for large in costs[last]]
    found = [
        figure(
            name, middle(ratio), "ratio", better="lower", must=2, aim=1.3, noise=noise(costs[last])
        )
    ]
    found += [
        figure(f"growth_postgres_cpu_{size}", middle(cost), "µs/reply", better="lower")
        for size, cost in costs.items()
    ]
    found.append(figure("growth_sustained", grown, "ratio", better="lower", must=1.3))
    return found


def _wait(dsn: str, before: int, after: int, first_id: int) -> None:
    """Let so many charges wait that nobody answers."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET synchronous_commit = off")
        for start in range(before, after, IN_ONE_GO):
            last = min(start + IN_ONE_GO, after) - 1
            conn.execute(_WAIT, [first_id - (1 << 33), start, last])


def _sustained(bench: Bench, seconds: float) -> float:
    """How much the tables of work are larger at the end than after the first third."""
    seen: list[tuple[float, int]] = []
    started = time.monotonic()
    while (now := time.monotonic() - started) < seconds:
        bench.prepare(TURN, settle=False)
        cell = bench.cell(seconds=20, window=WINDOW)
        with psycopg.connect(bench.database.dsn, autocommit=True) as conn:
            conn.execute("DELETE FROM debit_job")  # as billing would have it
            conn.execute("DELETE FROM prompt_job")
            conn.execute(_EXPIRE)
        seen.append((now, int(charges.one(bench.database.dsn, _SIZES))))
        say(f"sustained, {now:.0f} s, {seen[-1][1] / 1e6:.1f} MB", cell)
    early = max(size for at, size in seen if at <= seconds / 3)
    return seen[-1][1] / early
