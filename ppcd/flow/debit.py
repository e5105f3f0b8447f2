"""The step that debits: intent committed, billing asked, its answer and what follows committed.

Owns that one charge has one debit whatever times out, crashes or repeats, in one step or in two.
Refuses to know how a billing system is spoken to, and what its answers lead to: `weighing` does.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.charge.debit import (
    Abilities,
    DebitAnswer,
    Debited,
    Denied,
    Order,
)
from ppcd.charge.rules import Effect, Event, State, follow
from ppcd.flow.asking import Asking
from ppcd.flow.attempts import SEND_WITHIN_S, kept, told
from ppcd.flow.ends import hand_on
from ppcd.flow.keeping import keep
from ppcd.flow.pace import Pace
from ppcd.flow.ports import LEASE_S, RUN_LEASE_S, Adapter, Offers
from ppcd.flow.weighing import Weighing
from ppcd.metrics import Metrics
from ppcd.store import charges, debits, intents, late
from ppcd.store.batcher import Batcher
from ppcd.store.debits import Next, Result
from ppcd.store.failures import Broken, StoreError, Violated
from ppcd.store.intents import Begun, Intent
from ppcd.store.lanes import Runner
from ppcd.store.limits import NO_SUM_LIMITS, SumLimits
from ppcd.store.rows import DebitJob, Ended
from ppcd.store.sql import Cursor

log = Logger(namespace="ppcd.flow.debit")

#: What a billing system may not be asked for any more is looked at again after this.
UNABLE_S: Final = 30.0
#: What billing said with what follows from it.
_SAYS: Final = {
    Next.SUCCEEDED: Event.DEBITED,
    Next.DENIED: Event.DENIED,
    Next.CANCELLED: Event.RELEASED,
    Next.RESERVED: Event.RESERVED,
}

#: Is told that a job is over, with the failure it ended in, if any.
Over: TypeAlias = Callable[[DebitJob, Failure | None], None]


class Debits:
    """Runs debit jobs."""

    def __init__(
        self,
        *,
        lanes: Runner,
        adapters: Mapping[str, Adapter],
        paces: Mapping[str, Pace],
        clock: IReactorTime,
        node: str,
        horizon_s: Callable[[], float],
        lapse_s: Callable[[], float],
        offers: Offers,
        metrics: Metrics,
        jitter: Callable[[], float],
        sum_limits: Callable[[], SumLimits] = lambda: NO_SUM_LIMITS,
        gather_s: float = 0.0,
    ) -> None:
        """`jitter` gives 0..1: a billing system that comes back is not met by all at once.

        Intents and results are committed every `gather_s` when there are many. `lapse_s` is how
        long a partner may take to decide about what is reserved.
        """
        self._sum_limits = sum_limits
        self._lanes = lanes
        self._adapters = adapters
        self._paces = paces
        self._clock = clock
        self._offers = offers
        self._metrics = metrics
        self._weighing = Weighing(
            horizon_s=horizon_s, lapse_s=lapse_s, metrics=metrics, jitter=jitter
        )
        self._asking = Asking(
            adapters=adapters, paces=paces, clock=clock, metrics=metrics, weighing=self._weighing
        )
        self._node = node
        self._begin: Batcher[Intent, Begun | Ended | None] = Batcher(
            lanes,
            self._begin_all,
            size_max=500,
            key=lambda i: i.charge_id,
            retry_unknown=True,
            gather_s=gather_s,
            settled=self._ended_unbegun,
        )
        self._record: Batcher[Result, Ended | None] = Batcher(
            lanes,
            self._record_all,
            size_max=500,
            key=lambda r: r.charge_id,
            gather_s=gather_s,
            settled=partial(hand_on, offers=offers, metrics=metrics),
        )

    def _ended_unbegun(self, begun: Sequence[Begun | Ended | None]) -> None:
        """Of a batch of intents, the charges that ended instead."""
        ends = [end for end in begun if isinstance(end, Ended)]
        for end in ends:
            if end.limit is not None:
                self._metrics.limits_hit.child(end.limit, "debit").add()
        hand_on(ends, self._offers, self._metrics)

    def _begin_all(
        self, cur: Cursor, batch: Sequence[Intent], *, repeat: bool = False
    ) -> list[Begun | Ended | None]:
        return intents.begin(
            cur,
            batch,
            node=self._node,
            lease_s=RUN_LEASE_S,
            limits=self._sum_limits(),
            repeat=repeat,
        )

    def _record_all(self, cur: Cursor, batch: Sequence[Result]) -> list[Ended | None]:
        notice_lease_s = LEASE_S if self._offers.wants_prompts() else 0
        return debits.record(cur, batch, lease_s=LEASE_S, notice_lease_s=notice_lease_s)

    async def claim(self, billing: str, limit: int) -> list[DebitJob]:
        """Overdue jobs of one billing system, now this node's.

        One that is away is tried with what is not in doubt, if there is anything: a charge that
        billing chokes on says nothing about the others, which wait behind it.
        """
        fresh: list[DebitJob] = []
        claim = partial(debits.claim, billing=billing, limit=limit, lease_s=LEASE_S)
        if self._paces[billing].is_away:
            fresh = await self._lanes.run(claim, fresh=True)
        return fresh or await self._lanes.run(claim)

    async def reclaim(self) -> None:
        """Take up at once what an earlier run of this node was asking billing when it ended.

        Soon after the attempt the same key may still be sent again; a minute later somebody has
        walked away from the shop.
        """
        await self._lanes.run(debits.reclaim, node=self._node)

    async def release(self, jobs: Sequence[DebitJob]) -> None:
        """Give back jobs that were not begun."""
        await self._lanes.run(debits.release, [job.charge_id for job in jobs])

    def begin(self, jobs: Sequence[DebitJob], over: Over) -> None:
        """Make one attempt at each of these debits, or at learning what became of it, and record
        the answer; `over` is told of each, in any order.

        Their intents are committed together. By callbacks: nearly all go one way, thousands a
        second, and a coroutine each would cost half of it. What is out of the way has one.
        """
        attempts = []
        for job in jobs:
            adapter = self._adapters.get(job.billing)
            able = adapter is not None and (job.act == "debit" or adapter.abilities.reserving)
            if able and not job.open and job.plan != "review":
                attempts.append(job)
            else:
                _run(self._see_to(job), job, over)
        if attempts:
            self._intend(attempts, over)

    async def run(self, job: DebitJob) -> None:
        """The same of one."""
        ended: Deferred[None] = Deferred()

        def over(_: DebitJob, why: Failure | None) -> None:
            if why is None:
                ended.callback(None)
            else:
                ended.errback(why)

        self.begin([job], over)
        await ended

    async def _see_to(self, job: DebitJob) -> None:
        """Do without billing what is to be done about a job."""
        adapter = self._adapters[job.billing]
        if job.act != "debit" and not adapter.abilities.reserving:
            log.error(
                "charge {charge} is one of two steps, and billing {billing} is said not to reserve "
                "any more: say so again in the configuration until all such charges have ended",
                charge=job.charge_id,
                billing=job.billing,
            )
            await self._lanes.run(debits.release, [job.charge_id], delay_s=UNABLE_S)
        elif job.open:
            await self._store(self._weighing.silence(adapter.abilities, job))
        else:
            await self._store(self._weighing.outlived(adapter.abilities, job))

    async def give_up(self, jobs: Sequence[DebitJob]) -> None:
        """End what time has decided about, without billing: it is away, paused, or not ours."""
        late = [job for job in jobs if job.doubt_s is None]
        intents = [Intent(job.charge_id, job.attempts + 1, job.plan) for job in late]
        ends = await self._begin.submit(intents)
        for job, begun in zip(late, ends, strict=True):
            if isinstance(begun, Begun):  # the database's clock has gone back meanwhile
                back = Result(job.charge_id, begun.attempt, "not_sent", Next.AGAIN, delay_s=1)
                await self._store(back._replace(plan=begun.kind))
        for job in jobs:
            adapter = self._adapters.get(job.billing)
            if job.open and adapter is not None:
                await self._store(self._weighing.silence(adapter.abilities, job))
            elif job.doubt_s is not None and not job.open:
                abilities = Abilities() if adapter is None else adapter.abilities
                await self._store(self._weighing.outlived(abilities, job))

    async def came_late(self, adapter: Adapter, order: Order, answer: DebitAnswer) -> None:
        """An answer to an attempt that was given up: it settles the doubt as a query's would.

        It says nothing where the money has not moved, and another attempt may still move it.
        """
        if not isinstance(answer, Debited | Denied):
            return
        word, said = told(answer)
        self._metrics.debits.child(adapter.name, word).add()
        result = partial(Result, order.charge_id, order.attempt, word)
        if isinstance(answer, Debited):
            found = result(Next.SUCCEEDED, reference=kept(answer.reference))
        else:
            found = result(Next.DENIED, reason=answer.reason.value, detail=kept(said) or "")
        ended = await keep(
            lambda: self._lanes.run(
                late.settle_debit,
                found,
                binding=adapter.abilities.stores_refusals,
                node=self._node,
                lease_s=LEASE_S,
            ),
            clock=self._clock,
            what="billing's late answer",
            charge_id=order.charge_id,
        )
        hand_on([ended], self._offers, self._metrics)
        # A refusal of one attempt contradicts no other.
        if ended is None and isinstance(answer, Debited):
            await self._compare(found)

    # --- an attempt, step by step

    def _intend(self, jobs: Sequence[DebitJob], over: Over) -> None:
        # From before the commit on: a node that slept in it must not send when it wakes up.
        send_by = self._clock.seconds() + SEND_WITHIN_S
        intents = [
            Intent(job.charge_id, job.attempts + 1, job.plan, repeat=job.doubt_s is not None)
            for job in jobs
        ]
        self._begin.submit(intents).addCallbacks(
            *(self._ask_all, self._unbegun),
            callbackArgs=(jobs, send_by, over),
            errbackArgs=(jobs, over),
        )

    def _unbegun(self, why: Failure, jobs: Sequence[DebitJob], over: Over) -> None:
        if len(jobs) > 1 and isinstance(why.value, Broken | Violated):
            # It is one of them that can't be recorded: the others must not wait for it.
            for job in jobs:
                self._intend([job], over)
        else:
            for job in jobs:
                over(job, why)

    def _ask_all(
        self,
        begun: Sequence[Begun | Ended | None],
        jobs: Sequence[DebitJob],
        send_by: float,
        over: Over,
    ) -> None:
        """Ask billing about those whose attempt is on record; the others must not be made."""
        clock = self._clock

        def may_send() -> bool:
            return clock.seconds() <= send_by

        both = list(zip(jobs, begun, strict=True))
        self._asking.started(
            attempt.kind
            for job, attempt in both
            if isinstance(attempt, Begun) and job.doubt_s is None
        )
        for job, attempt in both:
            if not isinstance(attempt, Begun):
                over(job, None)
                continue
            try:
                self._asking.ask(job, attempt, send_by, may_send, partial(self._keep, job, over))
            except Exception:
                # Of this one: the others go on.
                over(job, Failure())  # type: ignore[no-untyped-call]

    def _keep(self, job: DebitJob, over: Over, result: Result | Failure) -> None:
        if isinstance(result, Failure):
            over(job, result)
        else:
            self._record.tell(result, partial(self._recorded, result, job, over))

    def _recorded(
        self, result: Result, job: DebitJob, over: Over, ended: Ended | Exception | None
    ) -> None:
        if isinstance(ended, StoreError):
            _run(self._store(result, why=ended), job, over)
        elif isinstance(ended, Exception):
            over(job, Failure(ended))  # type: ignore[no-untyped-call]
        elif ended is None and result.next in _SAYS:
            _run(self._compare(result), job, over)
        else:
            over(job, None)

    async def _store(self, result: Result, *, why: StoreError | None = None) -> None:
        """`why` is how a first try has failed, where there was one."""
        ended = await keep(
            lambda: self._record.submit([result]),
            clock=self._clock,
            what="billing's answer",
            charge_id=result.charge_id,
            why=why,
        )
        if ended == [None] and result.next in _SAYS:
            await self._compare(result)

    async def _compare(self, result: Result) -> None:
        """Somebody else ended the charge, or goes on with it: do both say the same?"""
        [charge] = await self._lanes.run(charges.get, [result.charge_id])
        if charge is None or charge.decided_at is None:
            return
        said = follow(State(charge.state), _SAYS[result.next])
        if said.effect is not Effect.CONTRADICTION:
            return
        self._metrics.contradictions.child().add()
        log.error(
            "charge {charge} is {state}, and billing now says {said}: compare with billing",
            charge=result.charge_id,
            state=charge.state,
            said=result.result,
        )


def _run(coro: Coroutine[Any, Any, None], job: DebitJob, over: Over) -> None:
    """What few jobs need."""
    running: Deferred[None] = Deferred.fromCoroutine(coro)
    running.addCallbacks(lambda _: over(job, None), lambda why: over(job, why))
