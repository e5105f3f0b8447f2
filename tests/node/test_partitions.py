"""Partitions are made months ahead, and somebody is told when that has failed for long."""

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from ppcd.cli import operations
from ppcd.config.retention import Retention
from ppcd.metrics import Metrics
from ppcd.service.watch import Watch
from ppcd.store import partitions
from ppcd.store.lanes import Direct, Immediate


def test_a_node_makes_as_many_as_it_is_told_and_says_when_few_were_left(database: str) -> None:
    said: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_namespace"] == "ppcd.service":
            said.append(event["log_format"].format(**event))

    with Direct(database) as direct:
        left = direct.run(partitions.months_left)
        node: Any = SimpleNamespace(
            metrics=Metrics(),
            lanes=Immediate(direct, reactor=Clock()),
            learn_limits=None,
            pumping=SimpleNamespace(look=None),
            in_force=SimpleNamespace(settings=SimpleNamespace(retention=Retention(months_ahead=5))),
        )
        watch = Watch(node)
        globalLogPublisher.addObserver(observe)
        try:
            Deferred.fromCoroutine(watch._make_partitions())
            assert left >= 2
            assert said == []
            assert direct.run(partitions.months_left) == 5
            # Weeks later, in which no node could make any.
            for table in direct.run(partitions.tables):
                direct.run(_drop_all_but_two, table)
            assert direct.run(partitions.months_left) == 1
            Deferred.fromCoroutine(watch._make_partitions())
            assert [line.partition(",")[0] for line in said] == [
                "there are partitions for 1 more month(s) only"
            ]
            assert direct.run(partitions.months_left) == 5
        finally:
            globalLogPublisher.removeObserver(observe)


def _drop_all_but_two(cur: Any, table: str) -> None:
    rows = cur.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
        " ORDER BY 1 OFFSET 3",
        [table],
    ).fetchall()
    for (name,) in rows:
        cur.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize(("left", "alarm"), [(1, True), (2, False)])
def test_the_status_says_when_few_are_left(
    left: int, alarm: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {
        **{"node": "a", "version": "1", "database": "connected", "partners_at": None},
        **{
            "operations_at": "x",
            "links": [],
            "jobs": [],
            "billing": [],
            "charges": None,
            "paused": [],
        },
        **{"partitions_months_left": left, "dead_webhooks": 0, "slowed": []},
    }
    monkeypatch.setattr(operations, "_ask", lambda *_: seen)
    operations.status(SimpleNamespace(json=False))  # type: ignore[arg-type]
    [line] = [line for line in capsys.readouterr().out.splitlines() if "partitions" in line]
    assert line.startswith(f"partitions          for {left} more month(s)")
    assert ("run `ppcd migrate`" in line) == alarm
