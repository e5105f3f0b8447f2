"""The step that debits: intent committed, billing asked, its answer and what follows committed.

Owns that one charge has one debit whatever times out, crashes or repeats. Refuses to know how a
billing system is spoken to; what may be done about a doubt is the domain's `resolve_doubt`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.charge.debit import (
    Debited,
    DebitOrder,
    Denied,
    Doubt,
    NextStep,
    NotSent,
    QueryAnswer,
    Unknown,
    judge,
)
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import Event
from ppcd.flow.attempts import (
    SEND_WITHIN_S,
    DoubtAge,
    answered,
    ask,
    kept,
    left_open,
    pause_s,
    quiet_before,
    told,
)
from ppcd.flow.ends import hand_on
from ppcd.flow.keeping import keep
from ppcd.flow.pace import Pace
from ppcd.flow.ports import LEASE_S, RUN_LEASE_S, Adapter, Offers
from ppcd.metrics import Metrics
from ppcd.store import charges, debits
from ppcd.store.batcher import Batcher
from ppcd.store.debits import Begun, Intent, Next, Result
from ppcd.store.lanes import Runner
from ppcd.store.limits import NO_SUM_LIMITS, SumLimits
from ppcd.store.rows import DebitJob, Ended
from ppcd.store.sql import Cursor

log = Logger(namespace="ppcd.flow.debit")

_PLANS: Final = {Doubt.AGAIN: "debit", Doubt.ASK: "query", Doubt.REVIEW: "review"}


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
        offers: Offers,
        metrics: Metrics,
        jitter: Callable[[], float],
        sum_limits: Callable[[], SumLimits] = lambda: NO_SUM_LIMITS,
        gather_s: float = 0.0,
    ) -> None:
        """`jitter` gives 0..1: a billing system that comes back is not met by all at once.

        Intents and results are committed every `gather_s` when there are many.
        """
        self._sum_limits = sum_limits
        self._lanes = lanes
        self._adapters = adapters
        self._paces = paces
        self._clock = clock
        self._horizon_s = horizon_s
        self._offers = offers
        self._metrics = metrics
        self._jitter = jitter
        self._node = node
        self._begin: Batcher[Intent, Begun | Ended | None] = Batcher(
            lanes,
            self._begin_all,
            size_max=500,
            key=lambda i: i.charge_id,
            retry_unknown=True,
            gather_s=gather_s,
        )
        self._record: Batcher[Result, Ended | None] = Batcher(
            lanes,
            partial(debits.record, lease_s=LEASE_S),
            size_max=500,
            key=lambda r: r.charge_id,
            gather_s=gather_s,
        )

    def _begin_all(
        self, cur: Cursor, batch: Sequence[Intent], *, repeat: bool = False
    ) -> list[Begun | Ended | None]:
        return debits.begin(
            cur,
            batch,
            node=self._node,
            lease_s=RUN_LEASE_S,
            limits=self._sum_limits(),
            repeat=repeat,
        )

    async def claim(self, billing: str, limit: int) -> list[DebitJob]:
        """Overdue jobs of one billing system, now this node's."""
        return await self._lanes.run(debits.claim, billing=billing, limit=limit, lease_s=LEASE_S)

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
        if job.open:
            await self._after_silence(job, adapter)
        elif job.plan == "review":
            await self._review(job)
        else:
            await self._attempt(job, adapter)

    async def give_up(self, jobs: Sequence[DebitJob]) -> None:
        """End what time has decided about, without billing: it is away, paused, or not ours."""
        late = [job for job in jobs if job.doubt_s is None]
        intents = [Intent(job.charge_id, job.attempts + 1, query=False) for job in late]
        ends = await self._begin.submit(intents)
        hand_on([end for end in ends if isinstance(end, Ended)], self._offers, self._metrics)
        for job, begun in zip(late, ends, strict=True):
            if isinstance(begun, Begun):  # the database's clock has gone back meanwhile
                back = Result(job.charge_id, begun.attempt, "not_sent", Next.AGAIN, delay_s=1)
                await self._store(back)
        for job in jobs:
            adapter = self._adapters.get(job.billing)
            if job.open and adapter is not None:
                await self._after_silence(job, adapter)
            elif job.doubt_s is not None and not job.open:
                await self._review(job)

    async def _review(self, job: DebitJob) -> None:
        self._left_to_people(job.charge_id, "its doubt has outlived the horizon")
        await self._store(Result(job.charge_id, job.attempts, "unknown", Next.REVIEW))

    async def _after_silence(self, job: DebitJob, adapter: Adapter) -> None:
        """The last attempt has no result, for its node stopped: its outcome is unknown."""
        doubt = left_open(doubt_s=job.doubt_s, quiet_s=job.quiet_s, attempts=job.attempts)
        step = self._step(adapter, doubt)
        # The doubt began with the attempt that is open, or with one long before it.
        fresh = (job.doubt_s or 0) - (job.quiet_s or 0) < 0.5
        result = self._in_doubt(job.charge_id, job.attempts, step, "the node stopped", fresh=fresh)
        await self._store(result)

    async def _attempt(self, job: DebitJob, adapter: Adapter) -> None:
        query = job.plan == "query"
        attempt = job.attempts + 1
        intent = Intent(job.charge_id, attempt, query, repeat=job.doubt_s is not None)
        # From before the commit on: a node that slept in it must not send when it wakes up.
        send_by = self._clock.seconds() + SEND_WITHIN_S
        begun = await self._begun(intent)
        if begun is None:
            return
        begun_at = self._clock.seconds()
        if job.doubt_s is None:
            self._metrics.charges.child("debiting").add()
        order = DebitOrder(
            key=str(job.charge_id),
            charge_id=job.charge_id,
            attempt=attempt,
            msisdn=Msisdn.from_digits(str(job.msisdn)),
            money=Money(job.amount_minor, job.currency),
            merchant=begun.merchant,
            description=begun.description,
            repeat=begun.doubt_s is not None,
        )
        answer = await self._ask(adapter, order, query=query, send_by=send_by)
        self._tell_pace(order, adapter, answer, send_by=send_by)
        took_s = self._clock.seconds() - begun_at
        self._metrics.debit_seconds.child(adapter.name).observe(took_s)
        doubt = answered(
            doubt_s=begun.doubt_s,
            quiet_s=job.quiet_s,
            took_s=took_s,
            sent=not query and not isinstance(answer, NotSent),
            attempt=attempt,
        )
        quiet_over = quiet_before(job.quiet_s) >= adapter.abilities.quiet_period_s
        doubtful = begun.doubt_s is not None
        event = judge(adapter.abilities, answer, repeat=doubtful, quiet_over=quiet_over)
        await self._store(self._result(adapter, order, answer, event, doubt, doubtful=doubtful))

    async def _begun(self, intent: Intent) -> Begun | None:
        """The attempt on record; None when it must not be made."""
        [begun] = await self._begin.submit([intent])
        if isinstance(begun, Ended):
            if begun.limit is not None:
                self._metrics.limits_hit.child(begun.limit, "debit").add()
            hand_on([begun], self._offers, self._metrics)
        return begun if isinstance(begun, Begun) else None

    def _tell_pace(
        self, order: DebitOrder, adapter: Adapter, answer: QueryAnswer, *, send_by: float
    ) -> None:
        pace = self._paces[adapter.name]
        if not isinstance(answer, NotSent | Unknown):
            pace.answered()
        elif not isinstance(answer, NotSent):
            pace.failed(order.charge_id)
        elif self._clock.seconds() <= send_by:
            pace.failed(order.charge_id, retry_after_s=answer.retry_after_s)
        else:  # it is we who were slow
            pace.crowded()

    async def _ask(
        self, adapter: Adapter, order: DebitOrder, *, query: bool, send_by: float
    ) -> QueryAnswer:
        if query:
            return await ask(adapter, lambda: adapter.query(order), metrics=self._metrics)

        def may_send() -> bool:
            return self._clock.seconds() <= send_by

        return await ask(
            adapter, lambda: adapter.debit(order, may_send=may_send), metrics=self._metrics
        )

    def _result(
        self,
        adapter: Adapter,
        order: DebitOrder,
        answer: QueryAnswer,
        event: Event,
        doubt: DoubtAge,
        *,
        doubtful: bool,
    ) -> Result:
        word, said = told(answer)
        detail = kept(said) or ""
        self._metrics.debits.child(adapter.name, word).add()
        charge_id, attempt = order.charge_id, order.attempt
        match event:
            case Event.DEBITED:
                reference = kept(answer.reference) if isinstance(answer, Debited) else None
                return Result(charge_id, attempt, word, Next.SUCCEEDED, reference=reference)
            case Event.DENIED:
                reason = answer.reason.value if isinstance(answer, Denied) else "BILLING_REJECTED"
                return Result(charge_id, attempt, word, Next.DENIED, reason=reason, detail=detail)
            case Event.NOT_FOUND:
                # Nothing was debited, and it is too late to begin again for somebody who left.
                return Result(
                    charge_id, attempt, word, Next.DENIED, "BILLING_UNAVAILABLE", detail=detail
                )
            case Event.NOT_SENT if not doubtful:
                delay_s = pause_s(attempt, answer, jitter=self._jitter())
                return Result(charge_id, attempt, word, Next.AGAIN, detail=detail, delay_s=delay_s)
            case _:
                step = self._step(adapter, doubt)
                return self._in_doubt(
                    charge_id, attempt, step, detail, word=word, fresh=not doubtful
                )

    def _step(self, adapter: Adapter, doubt: DoubtAge) -> NextStep:
        return doubt.step(adapter.abilities, horizon_s=self._horizon_s())

    def _in_doubt(
        self,
        charge_id: int,
        attempt: int,
        step: NextStep,
        detail: str,
        *,
        fresh: bool,
        word: str = "unknown",
    ) -> Result:
        at_once = step.what is Doubt.REVIEW and step.in_s <= 0
        if at_once:
            self._left_to_people(charge_id, detail)
        elif fresh:
            self._metrics.charges.child("in_doubt").add()
            log.warn(
                "charge {charge} is in doubt, billing may have debited: {why}",
                charge=charge_id,
                why=detail,
            )
        return Result(
            charge_id,
            attempt,
            word,
            Next.REVIEW if at_once else Next.DOUBT,
            detail=detail,
            delay_s=step.in_s * (1 + self._jitter() / 10),
            plan=_PLANS[step.what],
        )

    def _left_to_people(self, charge_id: int, why: str) -> None:
        self._metrics.charges.child("review").add()
        log.error(
            "charge {charge} is in review, a person must find out at billing whether it was "
            "debited: {why}",
            charge=charge_id,
            why=why,
        )

    async def _store(self, result: Result) -> None:
        ended = await keep(
            lambda: self._record.submit([result]),
            clock=self._clock,
            what="billing's answer",
            charge_id=result.charge_id,
        )
        hand_on(ended, self._offers, self._metrics)
        if ended == [None] and result.next in (Next.SUCCEEDED, Next.DENIED):
            await self._compare(result)

    async def _compare(self, result: Result) -> None:
        """Somebody else ended the charge, or goes on with it: do both say the same?"""
        [charge] = await self._lanes.run(charges.get, [result.charge_id])
        if charge is None or charge.decided_at is None or charge.state == result.next.value:
            return
        self._metrics.contradictions.child().add()
        log.error(
            "charge {charge} is {state}, and billing now says {said}: compare with billing",
            charge=result.charge_id,
            state=charge.state,
            said=result.result,
        )
