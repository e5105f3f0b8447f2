"""A bench: one database, its nodes, the load, and cells of replies that are checked to the last.

Owns what a cell is and that its answers are true. Refuses to know how much is measured, and why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import charges, machine
from benchmarks.node import LINKS, Database, Load, Node
from benchmarks.traffic import FIRST_PHONE, NO, YES, kind_of

#: Unanswered messages a link: what a busy SMSC has.
WINDOW = 2_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured run: rates, microseconds a reply, milliseconds."""

    per_s: float
    node_us: float
    postgres_us: float
    load_us: float
    p50_ms: float
    p99_ms: float
    refused: int
    answered: int


class Bench:
    """One database, one node, one load; charges are used once and never again."""

    def __init__(
        self, database: Database, node: Node, load: Load, *, others: Sequence[Node] = ()
    ) -> None:
        self.database = database
        self.node = node
        self.load = load
        #: The first charge that was not used.
        self.next = 0
        self._nodes = [node, *others]

    def bind(self) -> None:
        """Start the nodes, one after the other; they bind to the load."""
        self.load.begin("accept", count=LINKS * len(self._nodes))
        for node in self._nodes:
            node.start()
            node.wait_ready()
        self.load.end()

    def pause(self) -> None:
        """Hold billing and prompts by their stop buttons: replies alone are measured."""
        for kind in ("debits", "prompts"):
            self.node.tell("pause", kind)

    def prepare(
        self,
        count: int,
        *,
        receipts: bool = False,
        both: bool = False,
        links: int | None = None,
        settle: bool = True,
    ) -> int:
        """So many new charges, and what their phones will say; the first one's number.

        With `both`, the first half of the links brings what the other half brings; with `links`,
        the first so many bring all. Without `settle`, vacuum and checkpoints come when they come.
        """
        first = self.next
        self.next += count
        charges.prepare(
            self.database.dsn,
            first=first,
            count=count,
            first_id=self.database.first_id,
            partner_id=self.database.partner_id,
        )
        if settle:
            charges.settle(self.database.dsn)
        self.load.do("prepare", first=first, count=count, receipts=receipts, both=both, links=links)
        return first

    def cell(
        self,
        *,
        seconds: float,
        window: int | None = None,
        rate: float | None = None,
        watch: Callable[[], None] | None = None,
    ) -> Cell:
        """Run the prepared load and say what it cost."""
        pids = [node.pid for node in self._nodes]
        node, postgres = machine.cpu_s(pids), machine.cpu_s(self.database.pids)
        self.load.begin("run", seconds=seconds, window=window, rate=rate)
        if watch is not None:
            watch()
        done = self.load.end()
        node = machine.cpu_s(pids) - node
        postgres = machine.cpu_s(self.database.pids) - postgres
        answered = max(1, done["answered"])
        assert done["alive"], f"a link was lost:\n{self.node.tail()}"
        return Cell(
            per_s=done["answered_in_time"] / done["seconds"],
            node_us=node / answered * 1e6,
            postgres_us=postgres / answered * 1e6,
            load_us=done["load_cpu_s"] / answered * 1e6,
            p50_ms=done["p50_ms"],
            p99_ms=done["p99_ms"],
            refused=done["refused"],
            answered=done["answered"],
        )

    def check(self) -> None:
        """Everything acknowledged is recorded, and each yes has exactly one debit job."""
        acknowledged = [i for i in self.load.do("acknowledged")["phones"] if i >= 0]
        said = {YES: 0, NO: 0}
        for i in acknowledged:
            kind = kind_of(i)
            if kind in said:
                said[kind] += 1
        recorded, jobs, declined = (
            charges.one(self.database.dsn, statement, [FIRST_PHONE + i for i in acknowledged])
            for statement in (
                "SELECT count(DISTINCT msisdn) FROM reply WHERE msisdn = ANY(%s::bigint[])",
                "SELECT count(*) FROM debit_job WHERE msisdn = ANY(%s::bigint[])",
                "SELECT count(*) FROM outcome o JOIN charge c USING (charge_id)"
                " WHERE o.state = 'declined' AND c.msisdn = ANY(%s::bigint[])",
            )
        )
        assert recorded == len(acknowledged), f"{len(acknowledged)} acknowledged, {recorded} kept"
        assert jobs == said[YES], f"{said[YES]} said yes, {jobs} debit jobs"
        assert declined == said[NO], f"{said[NO]} said no, {declined} declined"


def say(what: str, cell: Cell) -> None:
    """A line about one cell."""
    print(
        f"{what}: {cell.per_s:,.0f} replies/s; µs a reply: node {cell.node_us:.1f}, PostgreSQL "
        f"{cell.postgres_us:.1f}, load {cell.load_us:.2f}; p50 {cell.p50_ms:.1f} ms, "
        f"p99 {cell.p99_ms:.1f} ms; {cell.answered} answered, {cell.refused} refused",
        flush=True,
    )
