"""Transactions on one connection: what each error means, repeats, reconnecting.

Blocking, for one thread. Owns the verdict "did it happen?"; refuses to know threads, Twisted and
what a transaction is about.
"""

import time
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

import psycopg
from psycopg.pq import ConnStatus, TransactionStatus

from ppcd.store.connection import (
    ORDINARY,
    Connection,
    DeadlineError,
    Limits,
    Profile,
    SingleCursor,
    complete,
    is_stale,
    open_connection,
)
from ppcd.store.failures import (
    Broken,
    NotApplied,
    OutcomeUnknown,
    StoreError,
    Violated,
)
from ppcd.store.sql import Cursor

P = ParamSpec("P")
T = TypeVar("T")

#: Deadlock and serialization failure: the whole transaction again, at once.
AGAIN: Final = frozenset({"40P01", "40001"})
#: A standby, or a primary that became one: only another connection may find the new primary.
READ_ONLY: Final = "25006"


def single(transaction: Callable[Concatenate[Cursor, P], T]) -> Callable[Concatenate[Cursor, P], T]:
    """Mark a transaction of exactly one statement: it needs no BEGIN and COMMIT of its own."""
    setattr(transaction, "ppcd_single", True)  # noqa: B010  # mypy knows no attributes of functions
    return transaction


class Session:
    """A connection that is made again when it is lost, and runs one transaction at a time."""

    def __init__(
        self,
        dsn: str,
        *,
        profile: Profile = ORDINARY,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._dsn = complete(dsn)
        self._profile = profile
        self._limits = limits or Limits()
        self._clock = clock
        self._pause = pause
        self._conn: Connection | None = None
        self._unreplicated = False
        self._failure: NotApplied | None = None
        self._next_try = clock()
        self._delay_s = self._limits.reconnect_s_min
        #: Why there is no connection, for people.
        self.trouble: str | None = "not connected yet"
        #: How long the last commit took.
        self.commit_s = 0.0
        #: Commits whose answer we stopped waiting for; each may hold a server's slot and locks.
        self.abandoned = 0

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._conn is not None

    @property
    def retry_in_s(self) -> float:
        """When another attempt to connect makes sense."""
        return max(0.0, self._next_try - self._clock())

    def run(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run one transaction to its commit; raises only NotApplied and OutcomeUnknown.

        What the transaction itself raises, other than psycopg's errors, ends it and passes through.
        """
        repeats = 0
        while True:
            try:
                return self._run_once(transaction, *args, **kwargs)
            except _AgainError as again:
                repeats += 1
                if repeats > self._limits.repeats_max:
                    raise NotApplied(again.detail) from None
                self._pause(0.01 * repeats)

    def connect(self) -> None:
        """Have a connection, or NotApplied; not more often than the back-off allows."""
        if self._conn is not None:
            if not is_stale(self._conn):
                return
            self._drop("the server closed the connection")
        if self._clock() >= self._next_try:
            self._failure = self._try_to_connect()
        if self._failure is not None:
            # A new one each time: an exception collects the tracebacks of its raises.
            raise type(self._failure)(str(self._failure))

    def _try_to_connect(self) -> NotApplied | None:
        failure: NotApplied
        try:
            conn = open_connection(
                self._dsn, profile=self._profile, limits=self._limits, clock=self._clock
            )
        except NotApplied as exc:
            failure = exc.with_traceback(None)
        except (psycopg.Error, DeadlineError) as exc:
            # libpq's texts have several lines; logs and people want one.
            failure = NotApplied(f"no connection: {' '.join(str(exc).split()) or 'no answer'}")
        else:
            conn.add_notice_handler(self._noticed)
            self._conn = conn
            self.trouble = None
            self._delay_s = self._limits.reconnect_s_min
            return None
        self.trouble = str(failure)
        self._next_try = self._clock() + self._delay_s
        self._delay_s = min(self._delay_s * 2, self._limits.reconnect_s_max)
        return failure

    def give_up(self) -> None:
        """From any thread: end the wait that is going on, at the latest 0.1 s from now."""
        conn = self._conn
        if conn is not None:
            conn.given_up = True

    def close(self) -> None:
        """Give the connection back."""
        self._drop("closed")

    def _noticed(self, notice: psycopg.errors.Diagnostic) -> None:
        # The function's name is not translated, as the text would be in another locale.
        text = notice.message_primary or ""
        if notice.source_function == "SyncRepWaitForLSN" or "synchronous replication" in text:
            self._unreplicated = True

    def _drop(self, why: str) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            self.trouble = why
            conn.close()

    def _run_once(
        self, transaction: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self.connect()
        conn = self._conn
        assert conn is not None
        self._unreplicated = False
        try:
            if getattr(transaction, "ppcd_single", False):
                result = self._run_single(conn, transaction, *args, **kwargs)
            else:
                result = self._run_several(conn, transaction, *args, **kwargs)
        except BaseException:
            self._undo(conn)
            raise
        if self._unreplicated:
            raise OutcomeUnknown("somebody cancelled the wait for the standby: committed here only")
        return result

    def _run_single(
        self,
        conn: Connection,
        transaction: Callable[Concatenate[Cursor, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        if not conn.autocommit:
            conn.autocommit = True
        conn.patience_s = max(self._limits.statement_s, self._limits.commit_s)
        conn.patience_s += self._limits.grace_s
        cur = SingleCursor(conn)
        started = self._clock()
        try:
            result = transaction(cur, *args, **kwargs)
        except psycopg.Error as exc:
            if cur.done:  # it is applied: neither failure would be true
                raise RuntimeError(f"a bug after an applied statement: {_name(exc)}") from None
            raise self._verdict(conn, exc, asked=cur.sent) from None
        except DeadlineError:
            raise self._too_late(asked=cur.sent) from None
        self.commit_s = self._clock() - started
        return result

    def _run_several(
        self,
        conn: Connection,
        transaction: Callable[Concatenate[Cursor, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        if conn.autocommit:
            conn.autocommit = False
        conn.patience_s = self._limits.statement_s + self._limits.grace_s
        asked = False
        try:
            result = transaction(conn.cursor(), *args, **kwargs)
            if conn.pgconn.transaction_status == TransactionStatus.INERROR:
                # PostgreSQL would answer our COMMIT with a rollback and call it success.
                raise psycopg.ProgrammingError("the transaction hid an error")
            conn.patience_s = self._limits.commit_s
            asked = conn.pgconn.transaction_status != TransactionStatus.IDLE
            started = self._clock()
            conn.commit()
        except psycopg.Error as exc:
            raise self._verdict(conn, exc, asked=asked) from None
        except DeadlineError:
            raise self._too_late(asked=asked) from None
        self.commit_s = self._clock() - started
        return result

    def _too_late(self, *, asked: bool) -> StoreError:
        # Closing the socket tells the server nothing while it waits; that is what we want.
        self._drop("the server did not answer in time")
        if not asked:
            return NotApplied("the server did not answer in time")
        self.abandoned += 1
        return OutcomeUnknown("no answer to the commit in time")

    def _verdict(self, conn: Connection, exc: psycopg.Error, *, asked: bool) -> Exception:
        """What an error of PostgreSQL or psycopg means. `asked`: the commit may have been sent."""
        state = exc.sqlstate or ""
        lost = conn.closed or conn.pgconn.status != ConnStatus.OK
        severity = exc.diag.severity_nonlocalized
        # The server's plain ERROR is its word that nothing was committed. FATAL is not: a backend
        # told to end while it waits for the standby has committed already.
        refused = bool(state) and severity == "ERROR" and state[:2] != "08" and state != "40003"
        if asked and not refused and (lost or state):
            self._drop(_name(exc))
            return OutcomeUnknown(f"the answer to the commit was lost: {_name(exc)}")
        if lost:
            self._drop(_name(exc))
            return NotApplied(f"connection lost: {_name(exc)}")
        self._undo(conn)
        if state in AGAIN:
            return _AgainError(_name(exc))
        if state == "26000" or exc.diag.source_function == "RevalidateCachedQuery":
            # A prepared statement that the server forgot, or that a migration made unusable.
            self._drop(_name(exc))
            return _AgainError(_name(exc))
        if state == READ_ONLY:
            self._drop(_name(exc))
            return NotApplied(_name(exc))
        if state[:2] == "23":
            return Violated(_name(exc), constraint=exc.diag.constraint_name or "")
        if state == "" or isinstance(exc, psycopg.ProgrammingError | psycopg.DataError):
            return Broken(_name(exc))
        return NotApplied(_name(exc))

    def _undo(self, conn: Connection) -> None:
        """Leave the connection idle, or leave it."""
        if conn is not self._conn:
            return
        try:
            if conn.pgconn.transaction_status in (
                TransactionStatus.INTRANS,
                TransactionStatus.INERROR,
            ):
                conn.rollback()
            if conn.pgconn.transaction_status == TransactionStatus.IDLE:
                return
        except (psycopg.Error, DeadlineError):
            pass  # the server rolls back when the connection ends
        self._drop("lost in the middle of a transaction")


class _AgainError(Exception):
    """It did not happen and the same again may succeed at once."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def _name(exc: psycopg.Error) -> str:
    """An error without the values of rows: psycopg's own text has them in its DETAIL."""
    state = exc.sqlstate
    if state is None:
        return f"{type(exc).__name__}: {exc}".strip()
    kind = f"{state} {type(exc).__name__}"
    # Class 22 quotes the value itself in its first line.
    return kind if state[:2] == "22" else f"{kind}: {exc.diag.message_primary}"
