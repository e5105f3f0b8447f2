"""The page's database: one for the whole package, cleared of work for each test."""

from collections.abc import Iterator

import pytest

from ppcd.store.lanes import Direct
from tests.builders import Store, connections
from tests.postgres import Cluster


@pytest.fixture(scope="package")
def shared_database(cluster: Cluster) -> Iterator[tuple[str, Direct, Direct]]:
    with cluster.migrated() as dsn, connections(dsn) as (direct, pinned):
        yield dsn, direct, pinned


@pytest.fixture
def store(shared_database: tuple[str, Direct, Direct]) -> Store:
    """A partner's corner of it."""
    return Store(*shared_database)
