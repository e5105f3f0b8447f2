"""The step that debits: intent committed, billing asked, its answer and what follows committed.

Owns that one charge has one debit whatever times out, crashes or repeats, in one step or in two.
Refuses to know how a billing system is spoken to, and what its answers lead to: `weighing` does.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.charge.debit import (
    Abilities,
    DebitAnswer,
    Debited,
    DebitOrder,
    Denied,
    NotSent,
    Order,
)
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import Effect, Event, State, follow
from ppcd.flow.attempts import SEND_WITHIN_S, answered, ask, kept, quiet_before, told
from ppcd.flow.ends import hand_on
from ppcd.flow.keeping import keep
from ppcd.flow.pace import Pace
from ppcd.flow.ports import LEASE_S, RUN_LEASE_S, Adapter, Offers
from ppcd.flow.weighing import Answer, Attempted, Weighing
from ppcd.metrics import Metrics
from ppcd.store import charges, debits, intents, late
from ppcd.store.batcher import Batcher
from ppcd.store.debits import Next, Result
from ppcd.store.intents import Begun, Intent
from ppcd.store.lanes import Runner
from ppcd.store.limits import NO_SUM_LIMITS, SumLimits
from ppcd.store.rows import DebitJob, Ended
from ppcd.store.sql import Cursor

log = Logger(namespace="ppcd.flow.debit")

#: What a billing system may not be asked for any more is looked at again after this.
UNABLE_S: Final = 30.0
#: What a charge becomes when an attempt of this kind is the first that may reach billing.
_STARTED: Final = {"debit": "debiting", "reserve": "reserving"}
#: What billing said with what follows from it.
_SAYS: Final = {
    Next.SUCCEEDED: Event.DEBITED,
    Next.DENIED: Event.DENIED,
    Next.CANCELLED: Event.RELEASED,
    Next.RESERVED: Event.RESERVED,
}


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

    async def run(self, job: DebitJob) -> None:
        """Make one attempt at a debit, or at learning what became of it; record the answer."""
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
        elif job.plan == "review":
            await self._store(self._weighing.outlived(adapter.abilities, job))
        else:
            await self._attempt(job, adapter)

    async def give_up(self, jobs: Sequence[DebitJob]) -> None:
        """End what time has decided about, without billing: it is away, paused, or not ours."""
        late = [job for job in jobs if job.doubt_s is None]
        intents = [Intent(job.charge_id, job.attempts + 1, job.plan) for job in late]
        ends = await self._begin.submit(intents)
        for job, begun in zip(late, ends, strict=True):
            if isinstance(begun, Begun):  # the database's clock has gone back meanwhile
                back = Result(job.charge_id, begun.attempt, "not_sent", Next.AGAIN, delay_s=1)
                await self._store(replace(back, plan=begun.kind))
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

    async def _attempt(self, job: DebitJob, adapter: Adapter) -> None:
        attempt = job.attempts + 1
        intent = Intent(job.charge_id, attempt, job.plan, repeat=job.doubt_s is not None)
        # From before the commit on: a node that slept in it must not send when it wakes up.
        send_by = self._clock.seconds() + SEND_WITHIN_S
        begun = await self._begun(intent)
        if begun is None:
            return
        begun_at = self._clock.seconds()
        if job.doubt_s is None and begun.kind in _STARTED:
            self._metrics.charges.child(_STARTED[begun.kind]).add()
        order = DebitOrder(
            key=str(job.charge_id),
            charge_id=job.charge_id,
            attempt=attempt,
            msisdn=Msisdn(job.msisdn),
            money=Money(job.amount_minor, job.currency),
            merchant=begun.merchant,
            description=begun.description,
            repeat=begun.doubt_s is not None,
            reservation=begun.reservation,
        )
        answer = await self._ask(adapter, order, kind=begun.kind, send_by=send_by)
        doubtful = begun.doubt_s is not None
        self._tell_pace(order, adapter, answer, send_by=send_by, doubtful=doubtful)
        took_s = self._clock.seconds() - begun_at
        self._metrics.debit_seconds.child(adapter.name).observe(took_s)
        doubt = answered(
            doubt_s=begun.doubt_s,
            quiet_s=job.quiet_s,
            took_s=took_s,
            sent=begun.kind != "query" and not isinstance(answer, NotSent),
            attempt=attempt - job.tried_before,
        )
        quiet_over = quiet_before(job.quiet_s) >= adapter.abilities.quiet_period_s
        attempted = Attempted(order, begun, doubt, quiet_over=quiet_over)
        await self._store(self._weighing.answer(adapter, attempted, answer))

    async def _begun(self, intent: Intent) -> Begun | None:
        """The attempt on record; None when it must not be made."""
        [begun] = await self._begin.submit([intent])
        return begun if isinstance(begun, Begun) else None

    def _tell_pace(
        self,
        order: DebitOrder,
        adapter: Adapter,
        answer: Answer,
        *,
        send_by: float,
        doubtful: bool,
    ) -> None:
        in_time = self._clock.seconds() <= send_by
        pace = self._paces[adapter.name]
        pace.learn(order.charge_id, answer, in_time=in_time, doubtful=doubtful)

    async def _ask(
        self, adapter: Adapter, order: DebitOrder, *, kind: str, send_by: float
    ) -> Answer:
        clock = self._clock

        def may_send() -> bool:
            return clock.seconds() <= send_by

        call: Callable[[], Awaitable[Answer]]
        match kind:
            case "debit":
                call = partial(adapter.debit, order, may_send=may_send)
            case "reserve":
                call = partial(adapter.reserve, order, may_send=may_send)
            case "capture":
                call = partial(adapter.capture, order, may_send=may_send)
            case "release":
                call = partial(adapter.release, order, may_send=may_send)
            case _:
                call = partial(adapter.query, order)
        return await ask(adapter, call, metrics=self._metrics)

    async def _store(self, result: Result) -> None:
        ended = await keep(
            lambda: self._record.submit([result]),
            clock=self._clock,
            what="billing's answer",
            charge_id=result.charge_id,
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
