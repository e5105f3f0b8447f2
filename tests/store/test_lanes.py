"""Lanes under a real reactor and on a real server."""

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as global_reactor  # noqa: TID251
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater

from ppcd.store.lanes import (
    Busy,
    Closing,
    Cursor,
    Direct,
    Immediate,
    Lanes,
    Limits,
    NotApplied,
    OutcomeUnknown,
    Violated,
    single,
)
from tests.postgres import a_server, query
from tests.store.proxy import Cut, Proxy

reactor: Any = global_reactor


def insert(cur: Cursor, number: int) -> int:
    cur.execute("INSERT INTO t VALUES (%s)", [number])
    return number


@single
def count(cur: Cursor) -> int:
    row = cur.execute("SELECT count(*) FROM t").fetchone()
    assert row is not None
    return int(row[0])


def sleep(cur: Cursor, seconds: float) -> None:
    cur.execute("SELECT pg_sleep(%s)", [seconds])


@pytest.fixture
def table(bare_database: str) -> str:
    query(bare_database, "CREATE TABLE t (x bigint PRIMARY KEY)")
    return bare_database


class Gate:
    """A transaction that waits in its lane until it is let go."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, cur: Cursor, number: int) -> int:
        self.entered.release()
        assert self._open.wait(10)
        return number

    def open(self) -> None:
        self._open.set()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """At most 5 s: as long as serving again may take."""
    for _ in range(250):
        if await true():
            return
        await deferLater(reactor, 0.02)
    raise AssertionError("not within 5 s")


@pytest_twisted.ensureDeferred
async def test_transactions_run_on_lanes_and_answer_in_the_reactors_thread(table: str) -> None:
    threads: set[str] = set()
    commits: list[tuple[float, threading.Thread]] = []

    def spy(cur: Cursor, number: int) -> int:
        threads.add(threading.current_thread().name)
        return insert(cur, number)

    def observe(seconds: float) -> None:
        commits.append((seconds, threading.current_thread()))

    lanes = Lanes(table, count=2, reactor=reactor, observe_commit=observe)
    assert await lanes.run(spy, 1) == 1
    assert await lanes.run(spy, number=2) == 2
    assert await lanes.run(count) == 2
    assert threads <= {"lane-0", "lane-1"}
    assert len(commits) == 3
    assert all(seconds > 0 and t is threading.current_thread() for seconds, t in commits)
    await lanes.close()
    assert lanes.connected == 0


@pytest_twisted.ensureDeferred
async def test_failures_come_back_as_they_are(table: str) -> None:
    def buggy(cur: Cursor) -> None:
        raise LookupError("mine")

    commits: list[float] = []
    lanes = Lanes(table, count=1, reactor=reactor, observe_commit=commits.append)
    await lanes.run(insert, 1)
    with pytest.raises(Violated):
        await lanes.run(insert, 1)
    with pytest.raises(LookupError, match="mine"):
        await lanes.run(buggy)
    assert await lanes.run(insert, 2) == 2
    assert len(commits) == 2
    await lanes.close()


@pytest_twisted.ensureDeferred
async def test_what_is_too_much_is_refused_at_once(table: str) -> None:
    gate = Gate()
    lanes = Lanes(table, count=2, reactor=reactor, queue_max=3)
    running = [lanes.call(gate, number) for number in range(5)]
    assert (lanes.busy, lanes.waiting) == (2, 3)
    with pytest.raises(Busy):
        await lanes.run(insert, 1)
    gate.open()
    assert [await one for one in running] == [0, 1, 2, 3, 4]
    assert (lanes.busy, lanes.waiting) == (0, 0)
    assert await lanes.run(insert, 1) == 1
    await lanes.close()


@pytest_twisted.ensureDeferred
async def test_a_forgotten_transaction_is_not_begun(table: str) -> None:
    gate = Gate()
    lanes = Lanes(table, count=1, reactor=reactor)
    first = lanes.call(gate, 1)
    second = lanes.call(insert, 2)
    gate.entered.acquire()
    for forgotten in (first, second):
        forgotten.cancel()
        with pytest.raises(CancelledError):
            await forgotten
    gate.open()
    assert await lanes.run(count) == 0
    await lanes.close()


@pytest_twisted.ensureDeferred
async def test_closing_finishes_what_was_handed_in(table: str) -> None:
    lanes = Lanes(table, count=1, reactor=reactor)
    running = [lanes.call(insert, number) for number in range(20)]
    closed = ensureDeferred(lanes.close())
    with pytest.raises(Closing):
        await lanes.run(count)
    await closed
    assert [await one for one in running] == list(range(20))
    assert query(table, "SELECT count(*) FROM t") == [(20,)]
    await lanes.close()


@pytest_twisted.ensureDeferred
async def test_closing_ends_at_its_limit_and_leaves_nobody_waiting(table: str) -> None:
    lanes = Lanes(table, count=1, reactor=reactor, limits=Limits(statement_s=30))
    running = lanes.call(sleep, 20.0)
    unbegun = lanes.call(insert, 1)
    await lanes.close(limit_s=0.2)
    with pytest.raises(NotApplied, match="did not answer"):
        await running
    with pytest.raises(Closing):
        await unbegun


@pytest_twisted.ensureDeferred
async def test_closing_does_not_wait_for_a_lane_that_hangs(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppcd.store.lanes.GIVE_UP_S", 0.1)
    gate = Gate()
    lanes = Lanes(table, count=1, reactor=reactor)
    running = lanes.call(gate, 1)
    gate.entered.acquire()
    await lanes.close(limit_s=0.1)
    assert not running.called
    gate.open()
    assert await running == 1


@pytest_twisted.ensureDeferred
async def test_lanes_that_were_never_used_close(table: str) -> None:
    lanes = Lanes(table, count=1, reactor=reactor)
    assert lanes.trouble == "not connected yet"
    await lanes.close()


@pytest_twisted.ensureDeferred
async def test_a_lost_commit_is_unknown_and_the_lane_goes_on(table: str) -> None:
    with Proxy(table) as proxy:
        lanes = Lanes(proxy.dsn, count=1, reactor=reactor)
        await lanes.run(insert, 1)
        proxy.cut(b"COMMIT", Cut.AFTER)
        with pytest.raises(OutcomeUnknown):
            await lanes.run(insert, 2)
        assert await lanes.run(count) == 2
        assert lanes.abandoned == 0
        await lanes.close()


@pytest_twisted.ensureDeferred
async def test_a_restarted_server_is_served_again_within_5_seconds(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    with server:
        query(server.dsn(), "CREATE TABLE t (x bigint PRIMARY KEY)")
        lanes = Lanes(server.dsn(), count=2, reactor=reactor)
        lanes.start()
        assert await lanes.run(insert, 1) == 1
        server.stop("immediate")
        with pytest.raises((NotApplied, OutcomeUnknown)):
            await lanes.run(insert, 2)
        for _ in range(50):  # nothing of it waits for anything
            with pytest.raises(NotApplied):
                await lanes.run(insert, 2)
        server.start()

        async def all_connected() -> bool:
            return lanes.connected == 2

        # By themselves: an idle node must become ready again.
        await until(all_connected)
        assert lanes.trouble is None
        assert await lanes.run(count) == 1
        await lanes.close()


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    with server:
        dsn = server.dsn()
    lanes = Lanes(dsn, count=1, reactor=reactor)
    with pytest.raises(NotApplied, match="no connection"):
        await lanes.run(count)
    assert lanes.trouble is not None
    with server:

        async def serves() -> bool:
            try:
                await lanes.run(insert, 1)
            except NotApplied as exc:
                return "does not exist" in str(exc) and "42P01" in str(exc)
            return True

        await until(serves)
        await lanes.close()


@pytest_twisted.ensureDeferred
async def test_without_threads_a_transaction_runs_at_once(table: str) -> None:
    with Direct(table) as direct:
        runner = Immediate(direct, reactor=reactor)
        answer: Deferred[int] = runner.call(insert, 1)
        assert answer.called
        assert await answer == 1
        assert await runner.run(insert, 2) == 2
        with pytest.raises(Violated):
            await runner.call(insert, 2)
        with pytest.raises(Violated):
            await runner.run(insert, 2)
