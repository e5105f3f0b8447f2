"""The step that gives money back: intent committed, billing asked, its answer committed.

Owns that one refund is made once whatever times out, crashes or repeats, with the care that debits
are made with. Unlike a debit, which nobody wants any more after a while, a refund that billing is
found to know nothing of is begun again.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.charge.debit import Denied, Doubt, NextStep, NotSent
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.refund import (
    RefundAnswer,
    Refunded,
    RefundEvent,
    RefundOrder,
    RefundQueryAnswer,
    judge_refund,
)
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
from ppcd.flow.keeping import keep
from ppcd.flow.pace import Pace
from ppcd.flow.ports import LEASE_S, RUN_LEASE_S, Adapter, Offers
from ppcd.metrics import Metrics
from ppcd.store import late, refund_jobs, refunds
from ppcd.store.batcher import Batcher
from ppcd.store.debits import Next
from ppcd.store.lanes import Runner
from ppcd.store.refund_jobs import Begun, Intent, RefundEnded, Result
from ppcd.store.rows import RefundJob

log = Logger(namespace="ppcd.flow.refund")

_PLANS: Final = {Doubt.AGAIN: "refund", Doubt.ASK: "query", Doubt.REVIEW: "review"}


def hand_on_refunds(ends: Sequence[RefundEnded | None], offers: Offers, metrics: Metrics) -> None:
    """Count the refunds that ended, and offer their notifications to the workers."""
    ended = [end for end in ends if end is not None]
    for end in ended:
        metrics.refunds.child(end.state).add()
    offers.webhooks([end.webhook for end in ended if end.webhook is not None])


class Refunds:
    """Runs refund jobs."""

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
    ) -> None:
        """As `Debits`: what billing answers to a refund tells the same pace."""
        self._lanes = lanes
        self._adapters = adapters
        self._paces = paces
        self._clock = clock
        self._node = node
        self._horizon_s = horizon_s
        self._offers = offers
        self._metrics = metrics
        self._jitter = jitter
        # One a transaction: it takes the lock of its charge.
        self._begin: Batcher[Intent, Begun | RefundEnded | None] = Batcher(
            lanes,
            partial(refund_jobs.begin, node=node, lease_s=RUN_LEASE_S),
            size_max=1,
            retry_unknown=True,
        )
        self._record: Batcher[Result, RefundEnded | None] = Batcher(
            lanes, partial(refund_jobs.record, lease_s=LEASE_S), size_max=1
        )

    async def claim(
        self, limit: int, *, billing: str | None = None, but: Collection[str] = ()
    ) -> list[RefundJob]:
        """Overdue jobs, now this node's: of one billing system, or of all but some."""
        return await self._lanes.run(
            refund_jobs.claim, limit=limit, lease_s=LEASE_S, billing=billing, but=but
        )

    async def reclaim(self) -> None:
        """Take up at once what an earlier run of this node was asking billing when it ended."""
        await self._lanes.run(refund_jobs.reclaim, node=self._node)

    async def release(self, jobs: Sequence[RefundJob]) -> None:
        """Give back jobs that were not begun."""
        await self._lanes.run(refund_jobs.release, [job.refund_id for job in jobs])

    async def postpone(self, job: RefundJob, delay_s: float) -> None:
        """Leave a job for later: billing is not to be asked now. What time decides is done."""
        adapter = self._adapters.get(job.billing)
        if job.open and adapter is not None:
            await self._after_silence(job, adapter)
        elif job.plan == "review":
            await self._review(job)
        elif job.doubt_s is None and job.late:
            await self._begun(Intent(job.charge_id, job.refund_id, job.attempts + 1, query=False))
        else:
            await self._lanes.run(refund_jobs.release, [job.refund_id], delay_s=delay_s)

    async def run(self, job: RefundJob) -> None:
        """Make one attempt at a refund, or at learning what became of it; record the answer."""
        adapter = self._adapters[job.billing]
        if job.open:
            await self._after_silence(job, adapter)
        elif job.plan == "review":
            await self._review(job)
        else:
            await self._attempt(job, adapter)

    async def came_late(self, adapter: Adapter, order: RefundOrder, answer: RefundAnswer) -> None:
        """An answer to an attempt that was given up: as `Debits.came_late`."""
        if not isinstance(answer, Refunded | Denied):
            return
        word, said = told(answer)
        self._metrics.refund_attempts.child(adapter.name, word).add()
        result = partial(Result, order.charge_id, order.refund_id, order.attempt, word)
        if isinstance(answer, Refunded):
            found = result(Next.SUCCEEDED, reference=kept(answer.reference))
        else:
            found = result(Next.DENIED, reason=answer.reason.value, detail=kept(said) or "")
        ended = await keep(
            lambda: self._lanes.run(
                late.settle_refund,
                found,
                binding=adapter.refund_abilities.stores_refusals,
                node=self._node,
                lease_s=LEASE_S,
            ),
            clock=self._clock,
            what="billing's late answer to a refund",
            charge_id=order.charge_id,
        )
        hand_on_refunds([ended], self._offers, self._metrics)
        if ended is None and isinstance(answer, Refunded):
            await self._compare(found)

    async def _review(self, job: RefundJob) -> None:
        self._left_to_people(job.charge_id, job.refund_id, "its doubt has outlived the horizon")
        await self._store(
            Result(job.charge_id, job.refund_id, job.attempts, "unknown", Next.REVIEW)
        )

    async def _after_silence(self, job: RefundJob, adapter: Adapter) -> None:
        """The last attempt has no result, for its node stopped: its outcome is unknown."""
        doubt = left_open(doubt_s=job.doubt_s, quiet_s=job.quiet_s, attempts=job.attempts)
        step = self._step(adapter, doubt)
        await self._store(self._in_doubt(job, job.attempts, step, "the node stopped"))

    async def _begun(self, intent: Intent) -> Begun | None:
        """The attempt on record; None when it must not be made."""
        [begun] = await self._begin.submit([intent])
        if isinstance(begun, RefundEnded):
            hand_on_refunds([begun], self._offers, self._metrics)
        return begun if isinstance(begun, Begun) else None

    async def _attempt(self, job: RefundJob, adapter: Adapter) -> None:
        query = job.plan == "query"
        attempt = job.attempts + 1
        # From before the commit on: a node that slept in it must not send when it wakes up.
        send_by = self._clock.seconds() + SEND_WITHIN_S
        repeat = job.doubt_s is not None
        begun = await self._begun(Intent(job.charge_id, job.refund_id, attempt, query, repeat))
        if begun is None:
            return
        begun_at = self._clock.seconds()
        order = _order(job, begun)
        answer = await self._ask(adapter, order, query=query, send_by=send_by)
        in_time = self._clock.seconds() <= send_by
        pace = self._paces[adapter.name]
        pace.learn(job.charge_id, answer, in_time=in_time, doubtful=repeat)
        doubt = answered(
            doubt_s=begun.doubt_s,
            quiet_s=job.quiet_s,
            took_s=self._clock.seconds() - begun_at,
            sent=not query and not isinstance(answer, NotSent),
            attempt=attempt,
        )
        quiet_over = quiet_before(job.quiet_s) >= adapter.refund_abilities.quiet_period_s
        event = judge_refund(
            adapter.refund_abilities, answer, repeat=order.repeat, quiet_over=quiet_over
        )
        self._metrics.refund_attempts.child(adapter.name, told(answer)[0]).add()
        await self._store(self._result(adapter, job, order, answer, event, doubt))

    async def _ask(
        self, adapter: Adapter, order: RefundOrder, *, query: bool, send_by: float
    ) -> RefundQueryAnswer:
        if query:
            return await ask(adapter, lambda: adapter.query_refund(order), metrics=self._metrics)

        def may_send() -> bool:
            return self._clock.seconds() <= send_by

        return await ask(
            adapter, lambda: adapter.refund(order, may_send=may_send), metrics=self._metrics
        )

    def _result(
        self,
        adapter: Adapter,
        job: RefundJob,
        order: RefundOrder,
        answer: RefundQueryAnswer,
        event: RefundEvent,
        doubt: DoubtAge,
    ) -> Result:
        word, said = told(answer)
        detail = kept(said) or ""
        result = partial(Result, job.charge_id, job.refund_id, order.attempt, word)
        match event:
            case RefundEvent.REFUNDED:
                reference = kept(answer.reference) if isinstance(answer, Refunded) else None
                return result(Next.SUCCEEDED, reference=reference)
            case RefundEvent.DENIED:
                reason = answer.reason.value if isinstance(answer, Denied) else "BILLING_REJECTED"
                return result(Next.DENIED, reason=reason, detail=detail)
            case RefundEvent.NOT_FOUND:
                return result(Next.AGAIN, detail=detail)
            case RefundEvent.NOT_SENT if not order.repeat:
                delay_s = pause_s(order.attempt, answer, jitter=self._jitter())
                return result(Next.AGAIN, detail=detail, delay_s=delay_s)
            case _:
                step = self._step(adapter, doubt)
                return self._in_doubt(job, order.attempt, step, detail, word=word)

    def _step(self, adapter: Adapter, doubt: DoubtAge) -> NextStep:
        return doubt.step(adapter.refund_abilities, horizon_s=self._horizon_s())

    def _in_doubt(
        self, job: RefundJob, attempt: int, step: NextStep, detail: str, *, word: str = "unknown"
    ) -> Result:
        at_once = step.what is Doubt.REVIEW and step.in_s <= 0
        if at_once:
            self._left_to_people(job.charge_id, job.refund_id, detail)
        elif job.doubt_s is None or (job.open and job.doubt_s - (job.quiet_s or 0) < 0.5):
            # It began with this attempt, or with the one that is open; not with one long before.
            self._metrics.refunds.child("in_doubt").add()
            log.warn(
                "refund {refund} of charge {charge} is in doubt, billing may have given it back: "
                "{why}",
                refund=job.refund_id,
                charge=job.charge_id,
                why=detail,
            )
        return Result(
            *(job.charge_id, job.refund_id, attempt, word),
            Next.REVIEW if at_once else Next.DOUBT,
            detail=detail,
            delay_s=step.in_s * (1 + self._jitter() / 10),
            plan=_PLANS[step.what],
        )

    def _left_to_people(self, charge_id: int, refund_id: int, why: str) -> None:
        self._metrics.refunds.child("review").add()
        log.error(
            "refund {refund} of charge {charge} is in review, a person must find out at billing "
            "whether it was given back: {why}",
            refund=refund_id,
            charge=charge_id,
            why=why,
        )

    async def _store(self, result: Result) -> None:
        ended = await keep(
            lambda: self._record.submit([result]),
            clock=self._clock,
            what="billing's answer to a refund",
            charge_id=result.charge_id,
        )
        hand_on_refunds(ended, self._offers, self._metrics)
        if ended == [None] and result.next in (Next.SUCCEEDED, Next.DENIED):
            await self._compare(result)

    async def _compare(self, result: Result) -> None:
        """Somebody else ended the refund, or goes on with it: do both say the same?"""
        [row] = await self._lanes.run(refunds.get, result.charge_id, [result.refund_id])
        if row is None or row.decided_at is None or row.state == result.next.value:
            return
        self._metrics.contradictions.child().add()
        log.error(
            "refund {refund} of charge {charge} is {state}, and billing now says {said}: compare "
            "with billing",
            refund=result.refund_id,
            charge=result.charge_id,
            state=row.state,
            said=result.result,
        )


def _order(job: RefundJob, begun: Begun) -> RefundOrder:
    return RefundOrder(
        key=str(job.refund_id),
        charge_id=job.charge_id,
        refund_id=job.refund_id,
        attempt=begun.attempt,
        msisdn=Msisdn.from_digits(str(job.msisdn)),
        money=Money(job.amount_minor, job.currency),
        merchant=begun.merchant,
        description=begun.description,
        repeat=begun.doubt_s is not None,
        debit_key=str(job.charge_id),
        debit_reference=begun.debit_reference,
    )
