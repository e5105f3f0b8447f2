"""Random schedules: several nodes, one database, one billing system, and everything at odd moments.

A schedule is a seed. Every await of the flow is a place where something else may come first: other
nodes, time, a crash, a pause, the loss of a commit's answer, billing's faults, a request that takes
effect a minute late. Some charges are of two steps: partners confirm and cancel them, on several
nodes at once, or let them lapse. Transactions are real ones, on a real PostgreSQL, and each is one
moment. At the end all is well again, and billing's own journal is compared with what was decided
and told.

`python -m tests.flow.schedules --count 10000 --jobs 2` is the long form; CI runs some.
"""

import argparse
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ppcd.charge.debit import Abilities, DebitOrder, NotSent, QueryAnswer, Unknown
from ppcd.charge.reservation import Decision
from ppcd.charge.rules import END_STATES, State
from ppcd.flow.reservation import Decided
from ppcd.store import reservations
from ppcd.store.failures import NotApplied, OutcomeUnknown, StoreError
from ppcd.store.rows import ChargeRow
from tests.billing.adapter_contract import Fault
from tests.builders import Store, connections
from tests.flow.fakes import ABLE, IDEMPOTENT, QUERYABLE, UNABLE, Billing
from tests.flow.world import World, mos
from tests.postgres import a_cluster

#: What a request may be under way before it takes effect, within `quiet_period_s` of 60: the
#: database's clock may run ahead of ours by the difference.
UNDER_WAY_S = 40.0
AHEAD_S = 15.0
ANSWER_S = 10.0
STEPS = 150
#: So many schedules share a database, and are told of together.
PART = 250
#: How long it is until something else is looked at: some schedules are brisk, most are not.
BRISK_S = {0.1: 22, 1.0: 22, 3.0: 20, 7.0: 15, 25.0: 11, 70.0: 6, 130.0: 4}
SLOW_S = dict.fromkeys(BRISK_S, 1)
WORK = {"debit": 10, "claim": 60, "notify": 10, "claim events": 8, "overdue": 8, "expire": 4}
WORK |= {"lapse": 4}
#: How long partners have to decide.
LAPSE_S = (60.0, 300.0, 900.0)
BOTH_STEPS = tuple(replace(able, reserving=True) for able in (ABLE, IDEMPOTENT, QUERYABLE, UNABLE))


@dataclass(frozen=True, kw_only=True)
class Chances:
    """What happens how often. A hunt for one kind of trouble may have more of it."""

    abilities: Sequence[Abilities] = BOTH_STEPS
    #: Where billing can hold money, so many of a hundred charges are of two steps.
    two_steps: int = 40
    passes_s: Sequence[Mapping[float, int]] = (BRISK_S, SLOW_S, SLOW_S)
    #: What goes wrong with a transaction.
    troubles: Mapping[str, int] = field(
        default_factory=lambda: {
            "": 88,
            "not applied": 4,
            "lost, not applied": 4,
            "lost, applied": 4,
        }
    )
    #: And with a call to billing.
    calls: Mapping[str, int] = field(
        default_factory=lambda: {
            "well": 40,
            "refused": 8,
            "request lost": 10,
            "answer lost": 17,
            "late": 25,
        }
    )
    at_billing: Mapping[Fault, int] = field(
        default_factory=lambda: {Fault.NONE: 70, Fault.INSUFFICIENT: 20, Fault.BUSY: 10}
    )
    actions: Mapping[str, int] = field(
        default_factory=lambda: {
            "event": 55,
            "work": 25,
            "advance": 10,
            "say yes": 3,
            "decide": 6,
            "crash": 2,
            "pause": 3,
            "clock": 2,
        }
    )


ANYTHING = Chances()


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(order=True)
class Timed:
    """Something that happens at its time, wherever the nodes are."""

    at: float
    number: int
    act: Callable[[], None] = field(compare=False)


class Node(World):
    """One node: its transactions and calls wait until the schedule lets them happen."""

    def __init__(self, schedule: "Schedule", name: str) -> None:
        self.schedule = schedule
        self.name = name
        self.life = 0
        self.paused_at: float | None = None
        self.busy: set[Any] = set()
        super().__init__(schedule.store, abilities=schedule.billing.abilities)
        self.billing = schedule.billing
        self.carrier, self.notifier = schedule.base.carrier, schedule.base.notifier
        self.partner = schedule.base.partner
        self.horizon_s, self.lapse_s = schedule.horizon_s, schedule.lapse_s
        self.begin()

    def begin(self) -> None:
        """A new process, which knows only the database."""
        self.life += 1
        self.paused_at = None
        self.busy = set()
        self.restart(Waiting(self))  # type: ignore[arg-type]
        for act in ("debit", "reserve", "capture", "release"):
            setattr(self.adapter, act, partial(self._call, act))
        self.adapter.query = self._query  # type: ignore[method-assign]
        self.start("reclaim", self.debits.reclaim())
        self.start("reclaim events", self.notifications.reclaim())

    # --- work, as workers do it

    def start(self, what: Any, coro: Coroutine[Any, Any, Any], then: Any = None) -> None:
        """Begin something that nobody waits for."""
        self.busy.add(what)
        life = self.life

        def done(result: Any) -> None:
            if life != self.life:
                return
            self.busy.discard(what)
            if isinstance(result, Failure):
                if not result.check(StoreError):
                    self.schedule.faults.append(result)
            elif then is not None:
                then(result)

        Deferred.fromCoroutine(coro).addBoth(done)

    def work(self, what: str) -> None:
        """One thing that a worker does."""
        offers = self.offers
        match what:
            case "debit" if offers.debited:
                job = offers.debited.popleft()
                if ("debit", job.charge_id) not in self.busy:
                    self.start(("debit", job.charge_id), self.debits.run(job))
            case "notify" if offers.notified:
                key = offers.notified.popleft()
                if key not in self.busy:
                    self.start(key, self.notifications.run(key))
            case "claim" if "claim" not in self.busy:
                claim = self.debits.claim("sim", 10)
                self.start("claim", claim, offers.debited.extend)
            case "claim events" if "claim events" not in self.busy:
                events = self.notifications.claim(10)
                self.start("claim events", events, offers.notified.extend)
            case "expire" if "expire" not in self.busy:
                self.start("expire", self.expiry.sweep())
            case "overdue" if "overdue" not in self.busy:
                self.start("overdue", self.overdue.sweep())
            case "lapse" if "lapse" not in self.busy:
                self.start("lapse", self.reservations.lapse())
        offers.prompted.clear()

    # --- billing, through a network

    async def _call(self, act: str, order: DebitOrder, *, may_send: Callable[[], bool]) -> Any:
        return await self.schedule.wait(
            self, lambda give: self.schedule.send(self, act, order, may_send, give)
        )

    async def _query(self, order: DebitOrder) -> QueryAnswer:
        answer: QueryAnswer = await self.schedule.wait(
            self, lambda give: self.schedule.ask(self, order, give)
        )
        return answer


class Waiting:
    """Runs transactions when the schedule says so; fulfils the store's `Runner`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.reactor = node.clock

    def call(self, transaction: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        schedule = self._node.schedule
        return schedule.wait(
            self._node,
            lambda give: schedule.transact(lambda: transaction_of(transaction, args, kwargs), give),
            lingers=True,
        )

    async def run(self, transaction: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.call(transaction, *args, **kwargs)


def transaction_of(transaction: Any, args: Any, kwargs: Any) -> Callable[[Store], Any]:
    return lambda store: store.direct.run(transaction, *args, **kwargs)


Give = Callable[[Any], None]


@dataclass(eq=False)
class Event:
    """What waits to happen for a node; `lingers`: perhaps it happens though the node is gone."""

    node: Node
    life: int
    act: Callable[[], None]
    lingers: bool
    #: A call to billing that has not been made.
    calls: bool = False


class Schedule:
    """One run from a seed."""

    def __init__(self, store: Store, seed: int, chances: Chances = ANYTHING) -> None:
        self.chances = chances
        self.store = store
        self.seed = seed
        self.random = random = Random(seed)
        self.horizon_s = random.choice([300.0, 900.0])
        self.lapse_s = random.choice(LAPSE_S)
        self._passes_s = random.choice(chances.passes_s)
        abilities: Abilities = random.choice(chances.abilities)
        self.billing = Billing(abilities)
        self.now = 0.0
        self.ahead_s = 0.0
        self.calm = False
        self.faults: list[Failure] = []
        self.trace: list[str] = []
        self._events: list[Event] = []
        self._timed: list[Timed] = []
        self._numbers = itertools.count()
        self.base = World(store, abilities=abilities)
        self.charges = [
            self.base.a_charge(
                two_step=abilities.reserving and random.random() * 100 < chances.two_steps
            )
            for _ in range(random.randint(1, 3))
        ]
        #: By charge, the decisions of its partner that were answered: it was they that counted.
        self.decided: dict[int, list[Decision]] = {c.charge_id: [] for c in self.charges}
        self.acknowledged: set[int] = set()
        self.nodes = [Node(self, f"n{number}") for number in range(random.randint(1, 3))]

    def run(self) -> Counter[str]:
        """Raises Broken; else how often charges ended how."""
        for charge in self.charges:
            self._say_yes(self.random.choice(self.nodes), charge)
        for _ in range(STEPS):
            self._step(self._pick(self.chances.actions))
        self._calm_down()
        return Counter(self._judge(charge) for charge in self.charges)

    # --- what waits

    def wait(
        self, node: Node, begin: Callable[[Give], None], *, lingers: bool = False
    ) -> Deferred[Any]:
        """Something happens when its turn comes, and its answer has a turn of its own."""
        answer: Deferred[Any] = Deferred()
        life = node.life

        def give(result: Any) -> None:
            def deliver() -> None:
                if not answer.called:
                    answer.callback(result)

            self._events.append(Event(node, life, deliver, lingers=False))

        self._events.append(Event(node, life, lambda: begin(give), lingers, calls=not lingers))
        return answer

    def transact(self, run: Callable[[], Callable[[Store], Any]], give: Give) -> None:
        trouble = "" if self.calm else self._pick(self.chances.troubles)
        self._note(f"transaction, {trouble or 'well'}")
        result: Any = None
        if trouble in ("", "lost, applied"):
            try:
                result = run()(self.store)
            except Exception:
                result = Failure()
        if trouble:
            lost = trouble.startswith("lost")
            result = Failure(OutcomeUnknown("lost") if lost else NotApplied("down"))
        give(result)

    def send(
        self, node: Node, act: str, order: DebitOrder, may_send: Callable[[], bool], give: Give
    ) -> None:
        how = "well" if self.calm else self._pick(self.chances.calls)
        if not may_send():
            give(NotSent("too late to send"))
            return
        self._note(f"{node.name} sends {act} {order.charge_id} attempt {order.attempt}: {how}")
        match how:
            case "refused":
                give(NotSent("connection refused"))
            case "request lost":
                self._later(ANSWER_S, lambda: give(Unknown("no answer")))
            case "late":
                self._later(ANSWER_S, lambda: give(Unknown("no answer")))
                self._later(self.random.uniform(0, UNDER_WAY_S), lambda: self._move(act, order))
            case "answer lost":
                self._move(act, order)
                self._later(ANSWER_S, lambda: give(Unknown("no answer")))
            case _:
                give(self._move(act, order))

    def ask(self, node: Node, order: DebitOrder, give: Give) -> None:
        how = "well" if self.calm else self._pick(self.chances.calls)
        self._note(f"{node.name} asks about {order.charge_id}: {how}")
        if how == "well":
            give(self.billing.query(order))
        else:
            give(NotSent("refused") if how == "refused" else Unknown("no answer"))

    def _move(self, act: str, order: DebitOrder) -> Any:
        billing = self.billing
        acts = {"reserve": billing.hold, "capture": billing.capture, "release": billing.let_go}
        billing.faults.clear()
        if act != "release" or self.random.random() < 0.2:  # it seldom refuses to let go
            billing.faults.append(self._pick(self.chances.at_billing))
        answer = billing.move(order, acts.get(act))
        self._note(f"billing about {act} {order.charge_id}, attempt {order.attempt}: {answer}")
        return answer

    # --- what happens

    def _step(self, action: str) -> None:
        node = self.random.choice(self.nodes)
        awake = node.paused_at is None
        match action:
            case "event":
                self._one_event()
            case "work":
                self._work()
            case "advance":
                self._advance(self._pick(self._passes_s))
            case "say yes" if awake:
                self._say_yes(node, self.random.choice(self.charges))
            case "decide" if awake:
                self._decide(node, self.random.choice(self.charges))
            case "crash":
                self._note(f"{node.name} crashes")
                node.begin()
            case "pause":
                # Worst between an intent and what it is for.
                about_to = [e.node for e in self._events if e.calls and e.node.paused_at is None]
                self._pause_or_wake(self.random.choice(about_to or [node]))
            case "clock":
                self._jump(self.random.uniform(-30, AHEAD_S))

    def _work(self) -> None:
        """Something that a worker does; mostly where there is something to do."""
        able = [node for node in self.nodes if node.paused_at is None]
        ready = [node for node in able if node.offers.debited]
        if ready and self.random.random() < 0.6:
            self.random.choice(ready).work("debit")
        elif able:
            self.random.choice(able).work(self._pick(WORK))

    def _one_event(self) -> None:
        able = [e for e in self._events if e.life != e.node.life or e.node.paused_at is None]
        if not able:
            return
        event = self.random.choice(able)
        self._events.remove(event)
        # What a node that is gone had handed to the database may still be done there.
        if event.life == event.node.life or (event.lingers and self.random.random() < 0.5):
            event.act()

    def _say_yes(self, node: Node, charge: ChargeRow) -> None:
        """The SMSC delivers until it is acknowledged."""
        if charge.charge_id in self.acknowledged:
            return

        def heard(acknowledged: list[bool]) -> None:
            if acknowledged == [True]:
                self.acknowledged.add(charge.charge_id)

        mo = self.base.an_mo(charge)
        node.start(("mo", next(self._numbers)), node.replies.receive(mos(mo)), heard)

    def _decide(self, node: Node, charge: ChargeRow) -> None:
        """The partner confirms or cancels, whatever it did before."""
        decision = self.random.choices([Decision.CONFIRMED, Decision.CANCELLED], [7, 3])[0]
        self._note(f"{charge.charge_id} is to be {decision} on {node.name}")

        def heard(answer: Any) -> None:
            if answer == Decided():
                self.decided[charge.charge_id].append(decision)

        on = node.reservations
        decide = on.confirm if decision is Decision.CONFIRMED else on.cancel
        about = ("decide", next(self._numbers))
        node.start(about, decide(self.base.partner, charge.charge_id), heard)

    def _advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timed and self._timed[0].at <= until:
            timed = heapq.heappop(self._timed)
            self._go_to(timed.at)
            timed.act()
        self._go_to(until)

    def _go_to(self, at: float) -> None:
        seconds, self.now = at - self.now, at
        if seconds <= 0:
            return
        self.store.ahead(seconds)
        for node in self.nodes:
            if node.paused_at is None:
                node.clock.advance(seconds)

    def _pause_or_wake(self, node: Node) -> None:
        """A process that stands still: its time goes by, and it sees that when it goes on."""
        if node.paused_at is None:
            node.paused_at = self.now
            return
        missed, node.paused_at = self.now - node.paused_at, None
        # The clock first: whatever goes on reads it, before any timer fires.
        node.clock.rightNow += missed
        node.clock.advance(0)
        self._note(f"{node.name} goes on after {missed:.0f} s")

    def _jump(self, seconds: float) -> None:
        """The database fails over to a machine with another clock."""
        seconds = min(seconds, AHEAD_S - self.ahead_s)
        self.ahead_s += seconds
        self.store.ahead(seconds)
        self._note(f"the database's clock jumps {seconds:.0f} s")

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._timed, Timed(self.now + seconds, next(self._numbers), act))

    # --- the end

    def _calm_down(self) -> None:
        """Nothing fails any more; time goes by until nothing is left to be done."""
        self.calm = True
        for node in self.nodes:
            if node.paused_at is not None:
                self._pause_or_wake(node)
        for _ in range(120):
            self._settle()
            if not self._left():
                break
            self._advance(23)
        self._advance(UNDER_WAY_S)
        self._settle()
        if self.faults:
            raise Broken(f"seed {self.seed}: {self.faults[0].getTraceback()}")

    def _settle(self) -> None:
        for charge in self.charges:
            self._say_yes(self.nodes[0], charge)
        node = self.random.choice(self.nodes)
        for _ in range(2):
            for what in ("expire", "lapse", "claim", "claim events", "overdue"):
                node.work(what)
            while self._events or any(n.offers.debited or n.offers.notified for n in self.nodes):
                for n in self.nodes:
                    for what in ("debit", "notify"):
                        n.work(what)
                self._one_event()

    def _left(self) -> bool:
        ids = [charge.charge_id for charge in self.charges]
        left = """
            SELECT EXISTS (SELECT FROM debit_job WHERE charge_id = ANY(%s) AND review_since IS NULL)
                OR EXISTS (SELECT FROM reservation WHERE charge_id = ANY(%s))
                OR EXISTS (SELECT FROM webhook_job WHERE charge_id = ANY(%s))"""
        return bool(self.store.query(left, ids, ids, ids)[0][0]) or any(
            charge.charge_id not in self.acknowledged for charge in self.charges
        )

    def _judge(self, charge: ChargeRow) -> str:
        state = self.base.state(charge)
        taken = self.billing.of(str(charge.charge_id))
        told = set(self.base.told(charge))
        words = f"it is {state}, billing took {taken}, told {told}"
        self._judge_decision(charge, bool(taken), words)
        if len(taken) > 1:
            raise self._broken(charge, "debited twice", words)
        if state not in END_STATES | {State.REVIEW}:
            raise self._broken(charge, "it came to no end", words)
        if state is State.REVIEW:
            if told:
                raise self._broken(charge, "told before anybody knows", words)
            return state.value
        if len(taken) != (state is State.SUCCEEDED):
            raise self._broken(charge, "billing knows it otherwise", words)
        if str(charge.charge_id) in self.billing.held:
            raise self._broken(charge, "billing still holds its money", words)
        if len(told) != 1 or not next(iter(told)).startswith(state.value):
            raise self._broken(charge, "told otherwise", words)
        return state.value

    def _judge_decision(self, charge: ChargeRow, taken: bool, words: str) -> None:
        """Of a charge of two steps: one decision counts, and no money moves against it."""
        counted = self.store.run(reservations.decision_of, charge.charge_id)
        answered = self.decided[charge.charge_id]
        words += f", decided {counted}, answered {answered}"
        if answered not in ([], [counted]):
            raise self._broken(charge, "another decision counts than was answered", words)
        if taken and charge.two_step and counted is not Decision.CONFIRMED:
            raise self._broken(charge, "taken without a confirmation", words)

    def _broken(self, charge: ChargeRow, what: str, words: str) -> Broken:
        lines = "\n".join(self.trace)
        about = f"seed {self.seed}, charge {charge.charge_id}: {what}; {words}"
        return Broken(f"{about}; abilities {self.billing.abilities}\n{lines}")

    def _note(self, what: str) -> None:
        self.trace.append(f"{self.now:8.1f} {what}")

    def _pick(self, chances: Mapping[Any, int]) -> Any:
        return self.random.choices(list(chances), list(chances.values()))[0]


def run(store: Store, seeds: range, chances: Chances = ANYTHING) -> Counter[str]:
    """Each seed's schedule; how charges ended."""
    ends: Counter[str] = Counter()
    for seed in seeds:
        ends += Schedule(Store(store.dsn, store.direct, store.pinned), seed, chances).run()
    return ends


def _some(seeds: range) -> Counter[str] | str:
    """In a process of its own, on a server of its own: how charges ended, or what was broken."""
    with (
        a_cluster() as cluster,
        cluster.migrated() as dsn,
        connections(dsn) as (direct, pinned),
    ):
        try:
            return run(Store(dsn, direct, pinned), seeds)
        except Broken as exc:
            return str(exc)


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="so many at the same time")
    args = parser.parse_args()
    began, ends, done = time.monotonic(), Counter[str](), 0
    end = args.seed + args.count
    # A database of its own every so often: what lies in tables slows the sweeps down.
    parts = [range(first, min(first + PART, end)) for first in range(args.seed, end, PART)]
    with ProcessPoolExecutor(args.jobs) as pool:
        for part, found in zip(parts, pool.map(_some, parts), strict=True):
            if isinstance(found, str):
                print(found)
                pool.shutdown(cancel_futures=True)
                return 1
            ends, done = ends + found, done + len(part)
            print(f"{done} schedules in {time.monotonic() - began:.0f} s: {dict(ends)}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
