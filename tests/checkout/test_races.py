"""Two presses at the same moment, on two nodes: the row's lock decides."""

import threading

import psycopg

from ppcd.store import checkout
from ppcd.store.checkout import SessionRow, Try
from tests.builders import Store
from tests.checkout.world import World
from tests.postgres import query


def begin(conn: "psycopg.Connection[tuple[object, ...]]", hashed: bytes, owner: int) -> SessionRow:
    new = Try(offer=0, msisdn=380971500000 + owner, language="ru", owner=owner)
    row = checkout.begin(conn.cursor(), hashed, new, after=0, tries_max=5)
    assert row is not None
    return row


def test_the_second_of_two_presses_waits_and_finds_the_first(store: Store) -> None:
    session = World(store).opened(tariffs=["gold-250"])
    hashed = checkout.id_hash(session.removeprefix("/pay/"))
    with psycopg.connect(store.dsn) as first, psycopg.connect(store.dsn) as second:
        assert begin(first, hashed, 1).try_owner == 1
        late: list[SessionRow] = []
        waiting = threading.Thread(target=lambda: late.append(begin(second, hashed, 2)))
        waiting.start()
        pid = second.info.backend_pid
        blocked = "SELECT cardinality(pg_blocking_pids(%s))"
        while query(store.dsn, blocked, pid) == [(0,)]:
            assert waiting.is_alive()
        first.commit()
        waiting.join(10)
    [row] = late
    assert (row.tries, row.try_owner, row.try_msisdn) == (1, 1, 380971500001)
