"""Monthly partitions of whatever tables are partitioned."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ppcd.store import partitions
from ppcd.store.ids import first_id_of, time_of
from ppcd.store.lanes import Direct, NotApplied
from ppcd.store.partitions import Month
from tests.postgres import query

NOVEMBER = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def facts(bare_database: str) -> Iterator[Direct]:
    query(
        bare_database,
        "CREATE TABLE fact (id bigint PRIMARY KEY,"
        " what text NOT NULL DEFAULT 'x' CHECK (what <> '')) PARTITION BY RANGE (id)",
    )
    query(bare_database, "CREATE INDEX fact_what ON fact (what)")
    query(bare_database, "CREATE TABLE work (id bigint PRIMARY KEY)")
    with Direct(bare_database) as direct:
        yield direct


def test_months_follow_each_other_over_new_year() -> None:
    assert Month(2026, 11).plus(2) == Month(2027, 1)
    assert Month(2026, 1).plus(-1) == Month(2025, 12)
    assert Month(2027, 1).partition("fact") == "fact_2027_01"
    assert time_of(Month(2027, 1).first_id) == datetime(2027, 1, 1, tzinfo=UTC)


def test_partitions_are_made_from_last_month_on_and_only_once(facts: Direct) -> None:
    assert facts.run(partitions.months_left, now=NOVEMBER) == -1
    made = facts.run(partitions.make, months_ahead=2, now=NOVEMBER)
    assert made == ["fact_2026_10", "fact_2026_11", "fact_2026_12", "fact_2027_01"]
    assert facts.run(partitions.months_left, now=NOVEMBER) == 2
    assert facts.run(partitions.make, months_ahead=2, now=NOVEMBER) == []
    assert facts.run(partitions.make, months_ahead=3, now=NOVEMBER) == ["fact_2027_02"]


def test_the_last_id_of_a_month_and_the_next_one_find_their_tables(
    facts: Direct, bare_database: str
) -> None:
    facts.run(partitions.make, months_ahead=1, now=NOVEMBER)
    december = first_id_of(datetime(2026, 12, 1, tzinfo=UTC))
    for number in (december - 1, december):
        query(bare_database, "INSERT INTO fact (id) VALUES (%s)", number)
    assert query(bare_database, "SELECT tableoid::regclass::text, what FROM fact ORDER BY id") == [
        ("fact_2026_11", "x"),
        ("fact_2026_12", "x"),
    ]


def test_a_partition_has_its_tables_indexes_and_constraints(
    facts: Direct, bare_database: str
) -> None:
    facts.run(partitions.make, months_ahead=0, now=NOVEMBER)
    (indexes,) = query(
        bare_database, "SELECT count(*) FROM pg_indexes WHERE tablename = 'fact_2026_11'"
    )
    assert indexes == (2,)
    with pytest.raises(NotApplied):
        facts.run(
            lambda cur: cur.execute("INSERT INTO fact VALUES (%s, '')", [first_id_of(NOVEMBER)])
        )


def test_one_table_without_its_partitions_is_enough_to_have_none_left(
    facts: Direct, bare_database: str
) -> None:
    facts.run(partitions.make, months_ahead=5, now=NOVEMBER)
    query(bare_database, "CREATE TABLE young (id bigint PRIMARY KEY) PARTITION BY RANGE (id)")
    assert facts.run(partitions.tables) == ["fact", "young"]
    assert facts.run(partitions.months_left, now=NOVEMBER) == -1


def test_no_partitioned_table_has_nothing_left(bare_database: str) -> None:
    with Direct(bare_database) as direct:
        assert direct.run(partitions.months_left) == -1


def test_readers_go_on_while_a_partition_is_made(facts: Direct, bare_database: str) -> None:
    facts.run(partitions.make, months_ahead=0, now=NOVEMBER)

    def read_while_making(cur: partitions.Cursor) -> list[tuple[int]]:
        partitions.make(cur, months_ahead=1, now=NOVEMBER)
        # On another connection, before this transaction ends.
        return query(bare_database, "SET lock_timeout = 500; SELECT count(*) FROM fact")

    facts.run(read_while_making)


def test_the_schema_of_this_release_has_partitions_ahead(database: str) -> None:
    with Direct(database) as direct:
        assert direct.run(partitions.months_left) >= 2
        assert len(direct.run(partitions.tables)) > 5
