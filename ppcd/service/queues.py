"""The queues of what billing is asked, one a system: none waits for another's trouble."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredList

from ppcd.flow.debit import Debits
from ppcd.flow.pace import Pace, Turns
from ppcd.flow.refund import Refunds
from ppcd.metrics import Metrics
from ppcd.store.rows import DebitJob, RefundJob
from ppcd.worker.jobs import Jobs

#: At once and in memory, whatever the configuration allows.
RUNNING_MAX: Final = 20_000
REFUNDS_RUNNING_MAX: Final = 20
QUEUE_MAX: Final = 5000
#: A refund that is held is looked at again after this.
HELD_S: Final = 10.0


class _Job(Protocol):
    @property
    def billing(self) -> str: ...


J = TypeVar("J", bound=_Job)


class _Queues(Generic[J]):
    """One kind of job, by billing system."""

    kind: str

    def __init__(self, jobs: Mapping[str, Jobs[J]], metrics: Metrics) -> None:
        self._jobs = jobs
        metrics.jobs_running.child(self.kind).follow(lambda: self.running)

    @property
    def running(self) -> int:
        return sum(jobs.running for jobs in self._jobs.values())

    @property
    def queued(self) -> int:
        return sum(jobs.queued for jobs in self._jobs.values())

    def start(self) -> None:
        for jobs in self._jobs.values():
            jobs.start()

    def stop(self) -> Deferred[Any]:
        """Begin nothing more; fires when nothing runs."""
        return DeferredList([jobs.stop() for jobs in self._jobs.values()])

    def offer(self, new: Sequence[J]) -> None:
        """Take jobs that are leased to this node."""
        if len(Counter(job.billing for job in new)) == 1:
            self._offer(new[0].billing, new)
            return
        for billing in {job.billing for job in new}:
            self._offer(billing, [job for job in new if job.billing == billing])

    def _offer(self, billing: str, new: Sequence[J]) -> None:
        # One that this node does not have is looked after by others; its lease runs out by itself.
        if billing in self._jobs:
            self._jobs[billing].offer(new)


class _OfOne:
    """The debits of one billing system, as their worker sees them."""

    def __init__(self, debits: Debits, billing: str) -> None:
        self._debits = debits
        self._billing = billing
        self.release = debits.release
        self.run = debits.run

    async def claim(self, limit: int) -> Sequence[DebitJob]:
        return await self._debits.claim(self._billing, limit)


class DebitQueues(_Queues[DebitJob]):
    """The debits of a node's billing systems."""

    kind = "debit"

    def __init__(
        self,
        debits: Debits,
        paces: Mapping[str, Pace],
        *,
        clock: Any,
        metrics: Metrics,
        paused: Callable[[str], bool],
    ) -> None:
        """`paused` says whether the stop button holds a billing system."""
        self._paces = paces
        self._paused = paused
        jobs = {
            name: Jobs(
                self.kind,
                _OfOne(debits, name),
                clock=clock,
                metrics=metrics,
                key=lambda job: job.charge_id,
                running_max=RUNNING_MAX,
                queue_max=QUEUE_MAX,
                closed=lambda name=name: self.standing(name),  # type: ignore[misc]
                # Refunds have the same rate, and wait in the same line.
                pace=Turns(pace, running_max=RUNNING_MAX, clock=clock) if pace.has_rate else pace,
                begin=debits.begin,
            )
            for name, pace in paces.items()
        }
        super().__init__(jobs, metrics)

    def standing(self, billing: str) -> bool:
        """Nothing is asked of this billing system now."""
        return self._paused(billing) or self._paces[billing].is_open

    @property
    def wanted(self) -> bool:
        """Whether new work would be begun soon, of one billing system at least."""
        return any(jobs.wanted for jobs in self._jobs.values())

    def status(self) -> list[dict[str, Any]]:
        """Each billing system for people."""
        return [
            {
                "billing": name,
                "running": jobs.running,
                "queued": jobs.queued,
                "at_once_max": self._paces[name].at_once_max,
                "away": self._paces[name].is_away,
                "paused": self._paused(name),
            }
            for name, jobs in self._jobs.items()
        ]


class _RefundsOfOne:
    """The refunds of one billing system, as their worker sees them; None: of all unknown ones."""

    def __init__(self, refunds: Refunds, billing: str | None, known: Sequence[str]) -> None:
        self._refunds = refunds
        self._billing = billing
        self._but = known if billing is None else ()
        self.release = refunds.release
        self.run = refunds.run

    async def claim(self, limit: int) -> Sequence[RefundJob]:
        return await self._refunds.claim(limit, billing=self._billing, but=self._but)


class RefundQueues(_Queues[RefundJob]):
    """The refunds of a node's billing systems, at the pace of each, which debits have too.

    What is held (the stop button of debits stops whatever moves money, a billing that is away is
    left alone by both) is put off: what time decides about it is done then.
    """

    kind = "refund"

    def __init__(
        self,
        refunds: Refunds,
        paces: Mapping[str, Pace],
        *,
        clock: Any,
        metrics: Metrics,
        standing: Callable[[str], bool],
    ) -> None:
        def jobs_of(name: str | None, held: Callable[[], bool]) -> Jobs[RefundJob]:
            turns = None
            if name is not None:
                turns = Turns(
                    paces[name], running_max=REFUNDS_RUNNING_MAX, standing=held, clock=clock
                )
            return Jobs(
                self.kind,
                _RefundsOfOne(refunds, name, list(paces)),
                clock=clock,
                metrics=metrics,
                key=lambda job: job.refund_id,
                running_max=REFUNDS_RUNNING_MAX,
                queue_max=QUEUE_MAX,
                held=lambda job: held(),
                hold=lambda job: refunds.postpone(job, HELD_S),
                pace=turns,
            )

        jobs = {
            name: jobs_of(name, lambda name=name: standing(name))  # type: ignore[misc]
            for name in paces
        }
        # Those that this node's configuration does not name: they may be out of time all the same.
        super().__init__(jobs | {"": jobs_of(None, lambda: True)}, metrics)
