"""The queues of debits: one for each billing system, so that none waits for another's trouble."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList

from ppcd.flow.debit import Debits
from ppcd.flow.pace import Pace
from ppcd.metrics import Metrics
from ppcd.store.rows import DebitJob
from ppcd.worker.jobs import Jobs

#: At once and in memory, whatever the configuration allows.
RUNNING_MAX: Final = 20_000
QUEUE_MAX: Final = 5000


class _OfOne:
    """The debits of one billing system, as their worker sees them."""

    def __init__(self, debits: Debits, billing: str) -> None:
        self._debits = debits
        self._billing = billing
        self.release = debits.release
        self.run = debits.run

    async def claim(self, limit: int) -> Sequence[DebitJob]:
        return await self._debits.claim(self._billing, limit)


class DebitQueues:
    """The workers of a node's billing systems."""

    kind: Final = "debit"

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
        self._debits = debits
        self._paces = paces
        self._paused = paused
        self._jobs = {
            name: Jobs(
                self.kind,
                _OfOne(debits, name),
                clock=clock,
                metrics=metrics,
                key=lambda job: job.charge_id,
                running_max=RUNNING_MAX,
                queue_max=QUEUE_MAX,
                closed=lambda name=name: self.standing(name),  # type: ignore[misc]
                pace=pace,
            )
            for name, pace in paces.items()
        }
        metrics.jobs_running.child(self.kind).follow(lambda: self.running)

    def standing(self, billing: str) -> bool:
        """Nothing is asked of this billing system now."""
        return self._paused(billing) or self._paces[billing].is_open

    @property
    def running(self) -> int:
        return sum(jobs.running for jobs in self._jobs.values())

    @property
    def queued(self) -> int:
        return sum(jobs.queued for jobs in self._jobs.values())

    @property
    def wanted(self) -> bool:
        """Whether new work would be begun soon, of one billing system at least."""
        return any(jobs.wanted for jobs in self._jobs.values())

    def start(self) -> None:
        for jobs in self._jobs.values():
            jobs.start()

    def stop(self) -> Deferred[Any]:
        """Begin nothing more; fires when nothing runs."""
        return DeferredList([jobs.stop() for jobs in self._jobs.values()])

    def offer(self, new: Sequence[DebitJob]) -> None:
        """Take jobs that are leased to this node."""
        if len(Counter(job.billing for job in new)) == 1:
            self._offer(new[0].billing, new)
            return
        for billing in {job.billing for job in new}:
            self._offer(billing, [job for job in new if job.billing == billing])

    def _offer(self, billing: str, new: Sequence[DebitJob]) -> None:
        # One that this node does not have is said by the sweep; its lease runs out by itself.
        if billing in self._jobs:
            self._jobs[billing].offer(new)

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
