"""What every test gets: a watch over errors that nobody saw, and a database for those that ask."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from tests.postgres import Cluster, a_cluster

# On a busy machine a deadline fails tests for being slow, not for being wrong.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_finish(session: pytest.Session) -> None:
    # Each test ends with a collection: what was imported by now need not be looked through then.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The run's PostgreSQL, started for the first test that wants it."""
    with a_cluster() as cluster:
        yield cluster


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The DSN of a fresh database with this release's schema."""
    with cluster.migrated() as dsn:
        yield dsn


@pytest.fixture
def bare_database(cluster: Cluster) -> Iterator[str]:
    """The DSN of an empty database."""
    with cluster.bare() as dsn:
        yield dsn


class Criticals:
    """Critical events so far; those that a test expects it takes."""

    def __init__(self) -> None:
        self._events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level") is LogLevel.critical:
            self._events.append(event)

    def take(self) -> list[str]:
        """Their texts; they fail the test no more."""
        # An unhandled error in a Deferred is reported when the Deferred is collected.
        gc.collect()
        events, self._events = self._events, []
        return [_text(event) for event in events]


@pytest.fixture(autouse=True)
def criticals() -> Iterator[Criticals]:
    """Fails a test that leaves a critical event or an unhandled error in a Deferred."""
    criticals = Criticals()
    globalLogPublisher.addObserver(criticals)
    try:
        yield criticals
        left = criticals.take()
    finally:
        globalLogPublisher.removeObserver(criticals)
    assert not left, "nobody expected:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def _clean_reactor(criticals: Criticals) -> Iterator[None]:
    """Fails a test that leaves delayed calls, sockets in the reactor, or lanes."""
    # Installed by pytest-twisted; without that plugin there is none, and none may be made here.
    reactor = sys.modules.get("twisted.internet.reactor")
    before = _things(reactor)
    lanes_before = _lanes()
    yield
    _settle(lambda: _things(reactor) <= before)
    left = _things(reactor) - before
    for call in reactor.getDelayedCalls() if reactor else ():
        if call in left:
            call.cancel()
    assert not left, f"left in the reactor: {left}"
    _settle(lambda: _lanes() <= lanes_before)
    assert _lanes() <= lanes_before, "lanes were not closed"


def _things(reactor: Any) -> set[Any]:
    if reactor is None:
        return set()
    # The reactor's own wakers come when it starts, with the first test that needs it.
    things = {*reactor.getDelayedCalls(), *reactor.getReaders(), *reactor.getWriters()}
    return things - reactor._internalReaders


def _lanes() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("lane-")}


def _settle(settled: Callable[[], bool]) -> None:
    """Let the reactor finish what it was told to end: a closed socket leaves it a turn later."""
    if settled():
        return
    import pytest_twisted
    from twisted.internet import task

    reactor = sys.modules["twisted.internet.reactor"]
    for _ in range(100):
        pytest_twisted.blockon(task.deferLater(reactor, 0.01))
        if settled():
            return


def _text(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return formatEvent(event) + ("\n" + failure.getTraceback() if failure else "")
