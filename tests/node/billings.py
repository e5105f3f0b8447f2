"""Billing systems of each kind beside a node, each with a journal of its own and faults by phone.

What a system did is told in one form, `Did`, whatever its journal looks like.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from psycopg import conninfo

from tests.billing import misbehaving
from tests.billing.adapter_contract import Fault
from tests.billing.diameter.ocs import Ocs
from tests.node.gate import Gate
from tests.node.world import World
from tests.postgres import query
from tests.store.proxy import Cut, Proxy


class Mode(StrEnum):
    """What goes wrong with a request."""

    #: Its connection is refused.
    REFUSED = "refused"
    LOST_REQUEST = "lost_request"
    #: It was done, and nothing comes back.
    LOST_ANSWER = "lost_answer"
    #: Nothing comes back, and later it is done.
    ZOMBIE = "zombie"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    GARBAGE = "garbage"
    SLOW = "slow"
    #: The connection breaks off, after it was done.
    RESET = "reset"
    BUSY = "busy"
    NONE = "none"


class Did(NamedTuple):
    """An entry of a journal."""

    what: str  #: debited, refunded, reserved, released, or asked: a request that arrived
    key: str
    amount_minor: int


class System(Protocol):
    """A billing system, and the adapters that lead to it."""

    modes: frozenset[Mode]

    def sections(self) -> dict[str, dict[str, Any]]:
        """The configuration of its adapters, by their names."""

    def adapter(self, mode: Mode) -> str:
        """Which of them has that fault."""

    def behave(self, msisdn: str, mode: Mode) -> None:
        """The next request about this phone; what does not end by itself ends with `NONE`."""

    def shut(self) -> None:
        """Connections of `Mode.REFUSED` are refused from now on."""

    def open(self) -> None: ...

    def did(self) -> Iterator[Did]: ...


class Http:
    """The simulated billing of the world."""

    name = "http"
    modes = frozenset(Mode) - {Mode.NONE}
    _MODES: Final = {
        Mode.NONE: "ok",
        Mode.REFUSED: "ok",
        Mode.LOST_REQUEST: "timeout",
        Mode.LOST_ANSWER: "timeout_after_debit",
        Mode.ZOMBIE: "zombie",
        Mode.ERROR_BEFORE: "error_before_debit",
        Mode.ERROR_AFTER: "error_after_debit",
        Mode.GARBAGE: "garbage",
        Mode.SLOW: "slow",
        Mode.RESET: "reset",
        Mode.BUSY: "unavailable",
    }

    def __init__(self, world: World, stack: ExitStack) -> None:
        self._world = world
        self._gate = stack.enter_context(Gate(world.billing_port))

    def sections(self) -> dict[str, dict[str, Any]]:
        return {
            "http": self._section(self._world.billing_port),
            "gated": self._section(self._gate.port),
        }

    def adapter(self, mode: Mode) -> str:
        return "gated" if mode is Mode.REFUSED else "http"

    def behave(self, msisdn: str, mode: Mode) -> None:
        self._world.account(msisdn, mode=self._MODES[mode])

    def shut(self) -> None:
        self._gate.shut()

    def open(self) -> None:
        self._gate.open()

    def did(self) -> Iterator[Did]:
        for entry in self._world.billing_journal():
            what = "asked" if entry["entry"].endswith("_asked") else entry["entry"]
            yield Did(what, str(entry.get("key", "")), int(entry.get("amount_minor", 0)))

    def _section(self, port: int) -> dict[str, Any]:
        url = f"http://127.0.0.1:{port}/billing"
        kept = {"idempotent": True, "queryable": True, "stores_refusals": True, "quiet_period_s": 5}
        answer: dict[str, Any] = {"not_processed_statuses": [503]}
        return {
            "url": f"{url}/debits",
            "query_url": f"{url}/debits/{{key}}",
            "timeout_s": 1,
            "abilities": kept | {"reversible": True, "reserving": True},
            "answer": answer | {"not_found": ["not_found", "released"]},
            "reserve": {"url": f"{url}/reservations", "answer": answer},
            "capture": {"url": f"{url}/captures", "answer": answer},
            "release": {"url": f"{url}/releases", "answer": answer},
            "refund": {
                "url": f"{url}/refunds",
                "query": {"url": f"{url}/refunds/{{key}}"},
                "abilities": kept,
                "answer": answer,
            },
        }


class Diameter:
    """Erlang's diameter as charging system; it can't be asked what became of a debit."""

    name = "diameter"
    modes = frozenset(Mode) - {Mode.NONE}
    _MODES: Final = {
        Mode.NONE: "ok",
        Mode.REFUSED: "ok",
        Mode.LOST_REQUEST: "lost_request",
        Mode.LOST_ANSWER: "lost_answer",
        Mode.ZOMBIE: "zombie",
        Mode.ERROR_BEFORE: "error_before",
        Mode.ERROR_AFTER: "error_after",
        Mode.GARBAGE: "other_money",
        Mode.SLOW: "slow",
        Mode.RESET: "reset",
        Mode.BUSY: "busy",
    }
    _SESSION = re.compile(r"sessions\.ppcd\.example;(\d+);(\d+)")

    def __init__(self, ocs: Ocs, stack: ExitStack) -> None:
        self._ocs = ocs
        self._gate = stack.enter_context(Gate(ocs.port))

    def sections(self) -> dict[str, dict[str, Any]]:
        return {
            "diameter": self._section(self._ocs.port, "open"),
            "gated": self._section(self._gate.port, "gated"),
        }

    def adapter(self, mode: Mode) -> str:
        return "gated" if mode is Mode.REFUSED else "diameter"

    def behave(self, msisdn: str, mode: Mode) -> None:
        self._ocs.mode(msisdn, self._MODES[mode])

    def shut(self) -> None:
        self._gate.shut()

    def open(self) -> None:
        self._gate.open()

    def did(self) -> Iterator[Did]:
        for what in ("asked", "debited", "refunded", "reserved", "released"):
            for entry in self._ocs.journal(what):
                named = self._SESSION.match(entry["session"])
                assert named is not None
                key = int(named[1]) << 32 | int(named[2])
                yield Did(what, str(key), entry.get("digits", 0))

    def _section(self, port: int, host: str) -> dict[str, Any]:
        return {
            "kind": "diameter",
            "origin_host": f"{host}.ppcd.example",
            "origin_realm": "ppcd.example",
            "session_identity": "sessions.ppcd.example",
            "destination_realm": "operator.example",
            "service_context_id": "ppcd@operator.example",
            "peers": {"ocs": {"host": "127.0.0.1", "port": port}},
            "plaintext_ok": True,
            "answer_timeout_s": 1.2,
            "reconnect_first_s": 0.1,
            "reconnect_max_s": 0.5,
            "reopen_watchdogs": 1,
            "abilities": {
                "idempotent": True,
                "stores_refusals": True,
                "reversible": True,
                "reserving": True,
                "quiet_period_s": 5,
            },
        }


class Sql:
    """A billing database in the world's PostgreSQL, with the example's functions."""

    name = "sql"
    modes = frozenset(Mode) - {Mode.NONE, Mode.RESET}
    #: Lost on the way of a commit, whoever's it is: each has connections of its own.
    _CUTS: Final = {
        Mode.LOST_REQUEST: Cut.BEFORE,
        Mode.LOST_ANSWER: Cut.AFTER,
        Mode.ZOMBIE: Cut.LATER,
    }
    _SAYS: Final = {
        Mode.ERROR_BEFORE: Fault.ERROR_BEFORE_DEBIT,
        Mode.ERROR_AFTER: Fault.ERROR_AFTER_DEBIT,
        Mode.GARBAGE: Fault.GARBAGE,
        Mode.BUSY: Fault.BUSY,
    }

    def __init__(self, world: World, stack: ExitStack) -> None:
        world.postgres.ensure_database("billing")
        self._dsn = world.postgres.dsn("billing")
        misbehaving.create(self._run)
        parts = conninfo.conninfo_to_dict(self._dsn)
        socket = Path(f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}")
        self._gate = stack.enter_context(Gate(socket))
        self._proxies = {mode: stack.enter_context(Proxy(self._dsn)) for mode in self._CUTS}

    def sections(self) -> dict[str, dict[str, Any]]:
        gated = conninfo.make_conninfo(
            self._dsn, host="127.0.0.1", port=self._gate.port, sslmode="disable"
        )
        ways = {"sql": self._dsn, "gated": gated}
        ways |= {mode.value: proxy.dsn for mode, proxy in self._proxies.items()}
        return {name: self._section(dsn) for name, dsn in ways.items()}

    def adapter(self, mode: Mode) -> str:
        if mode is Mode.REFUSED:
            return "gated"
        return mode.value if mode in self._CUTS else "sql"

    def account(self, msisdn: str) -> None:
        """Money for a phone."""
        self._run("INSERT INTO billing.account VALUES (%s, 'UAH', 100000, false)", msisdn)

    def behave(self, msisdn: str, mode: Mode) -> None:
        if mode in self._CUTS:
            self._proxies[mode].cut(b"COMMIT", self._CUTS[mode])
        elif mode is not Mode.NONE:
            slow_s = 0.4 if mode is Mode.SLOW else 0
            misbehaving.behave(self._run, msisdn, self._SAYS.get(mode, Fault.NONE), slow_s=slow_s)

    def shut(self) -> None:
        self._gate.shut()

    def open(self) -> None:
        """And what was held back takes effect."""
        self._gate.open()
        self._proxies[Mode.ZOMBIE].let_go()

    def did(self) -> Iterator[Did]:
        for key, amount in self._run("SELECT key, amount_minor FROM billing.movement"):
            yield Did("debited" if amount > 0 else "refunded", key, abs(amount))
        for (key,) in self._run("SELECT key FROM billing.answer WHERE result = 'reserved'"):
            yield Did("reserved", key, 0)
        for (key,) in self._run("SELECT key FROM asked"):
            yield Did("asked", key, 0)

    def _run(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        return query(self._dsn, statement, *args)

    def _section(self, dsn: str) -> dict[str, Any]:
        # Longer than a commit is held back: else the server has rolled back what is let go.
        described = misbehaving.described(dsn, timeout_s="5", connections_max="4")
        for part in (described, described["refund"]):
            part["abilities"] = {**part["abilities"], "quiet_period_s": "11"}
        return described


class File:
    """Files of debits; all that can go wrong with them from outside is that they are taken."""

    name = "file"
    modes = frozenset({Mode.REFUSED, Mode.NONE})

    def __init__(self, directory: Path) -> None:
        self._directories = {name: directory / name for name in ("file", "gated")}
        # Before the node: it keeps what it has.
        journal = self._directories["gated"] / "journal"
        journal.mkdir(parents=True)
        self._lock = os.open(journal / "lock", os.O_RDWR | os.O_CREAT, 0o640)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def sections(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "kind": "file",
                "directory": str(directory / "out"),
                "journal": str(directory / "journal"),
                "record": "{key};debited;{amount_minor}",
                "refund_record": "{key};refunded;{amount_minor}",
                "age_s": 1,
            }
            for name, directory in self._directories.items()
        }

    def adapter(self, mode: Mode) -> str:
        return "gated" if mode is Mode.REFUSED else "file"

    def behave(self, msisdn: str, mode: Mode) -> None:
        pass

    def shut(self) -> None:
        """Another process has had them all the time."""

    def open(self) -> None:
        os.close(self._lock)

    def did(self) -> Iterator[Did]:
        for directory in self._directories.values():
            for file in sorted((directory / "out").glob("*.csv")):
                for line in file.read_text().splitlines():
                    key, what, amount = line.split(";")
                    yield Did(what, key, int(amount))
