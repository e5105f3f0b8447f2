"""A connection to PostgreSQL as the store wants it: its settings, and waits that end.

Owns what a server must be like to be trusted with money. Refuses to know transactions.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from select import POLLIN, poll
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, TransactionStatus

from ppcd.store.failures import NotApplied, Unsuitable
from ppcd.store.sql import Cursor, numbered

T = TypeVar("T")

VERSION_MIN: Final = 150000

# What is left of the DSN to us: a silent partition ends within 15 s on either side of it.
CONNECTION: Final[Mapping[str, str]] = {
    "application_name": "ppcd",
    "connect_timeout": "3",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "client_encoding": "UTF8",
}

_SET_UP: Final = """
    SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s(name, value)
"""
_READ_SETTINGS: Final = """
    SELECT current_setting('fsync'), current_setting('synchronous_commit'),
           current_setting('transaction_read_only')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long anything may take; seconds."""

    statement_s: float = 5.0
    lock_s: float = 2.0
    #: For COMMIT alone. The server has no limit for it: it may wait for a standby for ever.
    commit_s: float = 8.0
    #: A server that answers no more can't keep to its own limit; ours is this much later.
    grace_s: float = 2.0
    repeats_max: int = 5
    reconnect_s_min: float = 0.1
    reconnect_s_max: float = 2.0


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of session: its settings, and when statements are prepared (psycopg's threshold)."""

    name: str
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    prepare_threshold: int | None = 5


# Counting and sweeping take one processor at most: the others are for the answers.
ORDINARY: Final = Profile("ordinary", MappingProxyType({"max_parallel_workers_per_gather": "0"}))
# For statements over sorted arrays: a nested loop over the array whatever the statistics say, so
# that rows are locked in the array's order. Another plan would lock in another order and deadlock.
PINNED: Final = Profile(
    "pinned",
    MappingProxyType(
        {
            "plan_cache_mode": "force_generic_plan",
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
        }
    ),
    prepare_threshold=0,
)


class DeadlineError(Exception):
    """The server did not answer in time."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """Gives up waiting after `patience_s`, without ever asking the server to cancel.

    Cancelling a COMMIT that waits for a standby makes it succeed without the standby.
    """

    patience_s: float = 30.0
    clock: Callable[[], float] = staticmethod(time.monotonic)
    #: Set from another thread: end the current wait now.
    given_up: bool = False

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: PQGen[T]) -> PQGen[T]:
        # psycopg resumes the generator at least every 0.1 s, also when nothing has come.
        deadline = self.clock() + self.patience_s
        try:
            wants = next(gen)
            while True:
                ready = yield wants
                if not ready and (self.given_up or self.clock() > deadline):
                    raise DeadlineError
                wants = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result


class SingleCursor(psycopg.RawCursor[tuple[Any, ...]]):
    """Holds a `single` transaction to its word, and knows how far it came.

    Numbers the parameters itself: psycopg takes a statement of more than 4 KiB apart each time it
    is executed, 90 µs for the one that confirms.
    """

    sent = False
    done = False

    def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Self:
        if self.sent:
            raise psycopg.ProgrammingError("a single transaction has one statement")
        if params is not None:
            query, names = numbered(query)
            assert isinstance(params, Mapping) or len(params) == len(names), "one value a place"
            params = [params[name] for name in names]
        self.sent = True
        super().execute(query, params, **kwargs)
        self.done = True
        return self

    def executemany(self, *args: Any, **kwargs: Any) -> None:
        raise psycopg.ProgrammingError("a single transaction has one statement")

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        raise psycopg.ProgrammingError("a single transaction has one statement")


def complete(dsn: str) -> str:
    """The DSN with our settings where it says nothing."""
    given = conninfo.conninfo_to_dict(dsn)
    ours = {name: value for name, value in CONNECTION.items() if name not in given}
    return conninfo.make_conninfo(dsn, **ours)


def open_connection(
    dsn: str, *, profile: Profile, limits: Limits, clock: Callable[[], float]
) -> Connection:
    """A checked connection, or psycopg's error, NotApplied, Unsuitable or DeadlineError."""
    conn = Connection.connect(dsn, autocommit=True, prepare_threshold=profile.prepare_threshold)
    try:
        conn.clock = clock
        conn.patience_s = limits.statement_s + limits.grace_s
        settings = {
            "statement_timeout": f"{limits.statement_s:.3f}s",
            "lock_timeout": f"{limits.lock_s:.3f}s",
            "client_min_messages": "warning",
            "timezone": "UTC",
            **profile.settings,
        }
        cur = conn.cursor()
        cur.execute(_SET_UP, [list(settings), list(settings.values())], prepare=False)
        _check_server(conn.info.server_version, cur)
    except BaseException:
        conn.close()
        raise
    return conn


def is_stale(conn: Connection) -> bool:
    """Whether the server ended the connection while nobody looked. Costs a system call."""
    if conn.closed or conn.pgconn.transaction_status != TransactionStatus.IDLE:
        return True
    waiter = poll()
    waiter.register(conn.pgconn.socket, POLLIN)
    if not waiter.poll(0):
        return False
    try:
        conn.pgconn.consume_input()
    except psycopg.Error:
        return True
    # A changed setting may be told to an idle connection; a last word ends it.
    return conn.pgconn.status != ConnStatus.OK or bool(waiter.poll(0))


def _check_server(version: int, cur: Cursor) -> None:
    if version < VERSION_MIN:
        raise Unsuitable(f"PostgreSQL {version // 10000} is too old: ppcd needs 15 or newer")
    row = cur.execute(_READ_SETTINGS, prepare=False).fetchone()
    assert row is not None
    fsync, synchronous_commit, read_only = row
    if fsync != "on":
        raise Unsuitable("fsync is off on the server, so commits are no promises: turn it on")
    if synchronous_commit == "off":
        raise Unsuitable(
            "synchronous_commit is off, so commits are no promises: set it to on for this role"
        )
    if read_only == "on":
        raise NotApplied(
            "the server takes no writes (a standby?): name all hosts and "
            "target_session_attrs=read-write in the DSN"
        )
