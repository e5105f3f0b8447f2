"""The workers of a node, what they are offered, and the stop buttons that hold them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList

from ppcd.flow.background import Over, background
from ppcd.flow.debit import Debits
from ppcd.flow.expire import Expiry
from ppcd.flow.notify import Notifications
from ppcd.flow.overdue import Overdue
from ppcd.flow.pace import Pace
from ppcd.flow.prompt import Prompts
from ppcd.flow.refund import Refunds
from ppcd.flow.reservation import Reservations
from ppcd.metrics import Metrics
from ppcd.service.queues import HELD_S, DebitQueues, RefundQueues
from ppcd.store import registers
from ppcd.store.lanes import Runner
from ppcd.store.registers import PauseRow
from ppcd.store.rows import DebitJob, PromptJob, PromptKey, RefundJob, WebhookKey
from ppcd.worker.jobs import Jobs
from ppcd.worker.queue import Queue
from ppcd.worker.ticks import SCANS_SHARE_MAX, Tick

#: Jobs of a kind at once, and queued in memory: what is more stays in the database.
PROMPTS_RUNNING_MAX: Final = 500
WEBHOOKS_RUNNING_MAX: Final = 2000
#: Of one partner: many have to hang before there is no room for the others.
WEBHOOKS_PER_PARTNER_MAX: Final = 32
#: So many more of one that answers quickly: two commits and the way there and back take a tenth of
#: a second when many are told.
WEBHOOKS_PER_PARTNER_EARNED: Final = 224
QUEUE_MAX: Final = 5000
QUEUE_PER_PARTNER_MAX: Final = 500
SWEEP_S: Final = 1.0
OVERDUE_S: Final = 5.0
FREE_HOLDS_S: Final = 60.0
PAUSES_S: Final = 1.0


class _Offers:
    """Fulfils flow's `Offers`: hands new work to the workers, once there are any."""

    def __init__(self, work: "Work") -> None:
        self._work = work

    def wants_prompts(self) -> bool:
        return self._work.prompts.wanted

    def wants_debits(self) -> bool:
        return self._work.debits.wanted

    def prompts(self, jobs: Sequence[PromptJob | PromptKey]) -> None:
        if not jobs:
            return
        self._work.prompts.offer([job for job in jobs if isinstance(job, PromptJob)])
        keys = [job for job in jobs if isinstance(job, PromptKey)]
        if keys:
            self._work.load_prompts(keys)

    def debits(self, jobs: Sequence[DebitJob]) -> None:
        if jobs:
            self._work.debits.offer(jobs)

    def refunds(self, jobs: Sequence[RefundJob]) -> None:
        if jobs:
            self._work.refunds.offer(jobs)

    def webhooks(self, keys: Sequence[WebhookKey]) -> None:
        if keys:
            self._work.webhooks.offer(keys)


class Unpaused:
    """The prompt step for its worker: what a stop button holds is put off."""

    def __init__(self, prompts: Prompts, held: Callable[[PromptJob], bool]) -> None:
        self._prompts = prompts
        self._held = held
        self.claim = prompts.claim
        self.release = prompts.release
        self.run = prompts.run

    def begin(self, jobs: Sequence[PromptJob], over: Over[PromptJob]) -> None:
        held = [job for job in jobs if self._held(job)]
        if held:
            jobs = [job for job in jobs if job not in held]
        for job in held:
            postponing = Deferred.fromCoroutine(self._prompts.postpone(job, HELD_S))
            postponing.addCallbacks(
                lambda _, job: over(job, None),
                lambda why, job: over(job, why),
                callbackArgs=(job,),
                errbackArgs=(job,),
            )
        self._prompts.begin(jobs, over)


class _Fairly:
    """The notify step for its worker: no more is claimed of partners that have enough waiting."""

    def __init__(self, notifications: Notifications, queue: Queue[WebhookKey]) -> None:
        self._notifications = notifications
        self._queue = queue
        self.release = notifications.release
        self.run = notifications.run

    async def claim(self, limit: int) -> list[WebhookKey]:
        full = [partner_id for partner_id in self._queue.crowded() if isinstance(partner_id, int)]
        return await self._notifications.claim(limit, full=full)


class Work:
    """Everything that runs by itself."""

    prompts: Jobs[PromptJob]
    debits: DebitQueues
    refunds: RefundQueues
    webhooks: Jobs[WebhookKey]

    def __init__(self, *, reactor: Any, metrics: Metrics, lanes: Runner) -> None:
        self._reactor = reactor
        self._metrics = metrics
        self._lanes = lanes
        self._pauses: tuple[PauseRow, ...] = ()
        self._ticks: list[Tick] = []
        self.offers = _Offers(self)

    def set_up(
        self,
        *,
        prompts: Prompts,
        debits: Debits,
        refunds: Refunds,
        notifications: Notifications,
        reservations: Reservations,
        expiry: Expiry,
        paces: Mapping[str, Pace],
        horizon_s: Callable[[], float],
    ) -> None:
        """Give each step its worker."""
        clock, metrics = self._reactor, self._metrics
        self._prompts = prompts
        writing = Unpaused(prompts, lambda job: self._paused("prompts", partner=job.partner))
        self.prompts = Jobs(
            "prompt",
            writing,
            clock=clock,
            metrics=metrics,
            key=lambda job: (job.charge_id, job.prompt_no),
            running_max=PROMPTS_RUNNING_MAX,
            queue_max=QUEUE_MAX,
            closed=lambda: self._all_paused("prompts"),
            begin=writing.begin,
        )
        self.debits = DebitQueues(
            debits,
            paces,
            clock=clock,
            metrics=metrics,
            paused=lambda name: self._paused("debits", adapter=name),
        )
        self.refunds = RefundQueues(
            refunds, paces, clock=clock, metrics=metrics, standing=self.debits.standing
        )
        queue: Queue[WebhookKey] = Queue(
            size_max=QUEUE_MAX,
            lane=lambda key: key.partner_id,
            lane_running_max=WEBHOOKS_PER_PARTNER_MAX,
            lane_running_earned=WEBHOOKS_PER_PARTNER_EARNED,
            lane_size_max=QUEUE_PER_PARTNER_MAX,
        )
        self.webhooks = Jobs(
            "webhook",
            _Fairly(notifications, queue),
            begin=notifications.begin,
            clock=clock,
            metrics=metrics,
            key=lambda key: key,
            running_max=WEBHOOKS_RUNNING_MAX,
            queue_max=QUEUE_MAX,
            queue=queue,
        )
        overdue = Overdue(
            lanes=self._lanes,
            debits=debits,
            known=paces.keys(),
            standing=self.debits.standing,
            horizon_s=horizon_s,
            clock=clock,
        )
        self._ticks = [
            self._tick("end debits out of time", overdue.sweep, OVERDUE_S, SCANS_SHARE_MAX),
            self._tick("end charges out of time", expiry.sweep, SWEEP_S),
            self._tick("let go of lapsed reservations", reservations.lapse, SWEEP_S),
            self._tick("forget old holds", expiry.free_holds, FREE_HOLDS_S),
            self._tick("read the stop buttons", self.learn_pauses, PAUSES_S),
        ]

    def start(self) -> None:
        for jobs in self._kinds():
            jobs.start()
        for tick in self._ticks:
            tick.start()

    def stop(self) -> Deferred[Any]:
        """Begin nothing more; fires when nothing runs."""
        return DeferredList(
            [*(tick.stop() for tick in self._ticks), *(jobs.stop() for jobs in self._kinds())]
        )

    def load_prompts(self, keys: Sequence[PromptKey]) -> None:
        """Fetch what a text needs that was called for by its key alone."""
        background("load prompt jobs", self._load(keys), self._metrics)

    async def learn_pauses(self) -> None:
        """Read which stop buttons are pressed, on whatever node that was."""
        self._pauses = tuple(await self._lanes.run(registers.pauses))
        for kind in ("prompts", "debits"):
            pressed = any(row.kind == kind for row in self._pauses)
            self._metrics.paused.child(kind).set(pressed)

    def status(self) -> list[dict[str, Any]]:
        """Each kind of job for people."""
        return [
            {"kind": jobs.kind, "running": jobs.running, "queued": jobs.queued}
            for jobs in self._kinds()
        ]

    async def _load(self, keys: Sequence[PromptKey]) -> None:
        self.prompts.offer(await self._prompts.load(keys))

    def _kinds(self) -> Iterable[Jobs[Any] | DebitQueues | RefundQueues]:
        return (self.prompts, self.debits, self.refunds, self.webhooks)

    def _tick(
        self, what: str, work: Callable[[], Any], pause_s: float, share_max: float = 1.0
    ) -> Tick:
        return Tick(
            what,
            work,
            clock=self._reactor,
            pause_s=pause_s,
            share_max=share_max,
            metrics=self._metrics,
        )

    def _all_paused(self, kind: str) -> bool:
        return any(p.kind == kind and not p.partner and not p.adapter for p in self._pauses)

    def _paused(self, kind: str, *, partner: str = "", adapter: str = "") -> bool:
        return any(
            pause.kind == kind and pause.partner in ("", partner) and pause.adapter in ("", adapter)
            for pause in self._pauses
        )
