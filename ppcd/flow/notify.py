"""The step that tells partners how their charges and refunds ended.

Owns that an end is told under one event id and one body until it is told, gone or dead, and by one
node at a time. Refuses to know HTTP and signatures (`Notifier`) and the partners' wire format
(`WriteEvent`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.flow.background import Over, one
from ppcd.flow.ports import (
    RUN_LEASE_S,
    Delivered,
    End,
    Event,
    Gone,
    Notifier,
    NotTried,
    TryLater,
    WriteEvent,
)
from ppcd.metrics import Metrics
from ppcd.store import notifications, refunds
from ppcd.store.batcher import Batcher
from ppcd.store.failures import Broken, Violated
from ppcd.store.lanes import Runner
from ppcd.store.notifications import Delivery, Due, Told
from ppcd.store.rows import WebhookKey

log = Logger(namespace="ppcd.flow.notify")

Answer: TypeAlias = Delivered | TryLater | NotTried | Gone

#: After this long a person is needed: three days and a few hours.
GIVE_UP_S: Final = 76 * 3600.0
#: For so long an event is put off that there was no room for.
PUT_OFF_S: Final = 3.0
#: Of one partner's events no more than this are claimed at once.
CLAIM_PARTNER_MAX: Final = 200


def event_id_of(charge_id: int, sequence: int) -> str:
    """The id of an event: the same on every attempt, and from every node."""
    return f"evt_{charge_id}_{sequence}"


class Notifications:
    """Runs webhook jobs."""

    def __init__(
        self,
        *,
        lanes: Runner,
        notifier: Notifier,
        write_event: WriteEvent,
        delay_s: Callable[[int], float],
        clock: IReactorTime,
        node: str,
        metrics: Metrics,
        gather_s: float = 0.0,
    ) -> None:
        """`delay_s` gives the pause after the n-th failed attempt, jitter included.

        Attempts are committed every `gather_s`, before and after, when there are many.
        """
        self._lanes = lanes
        self._notifier = notifier
        self._write_event = write_event
        self._delay_s = delay_s
        self._clock = clock
        self._node = node
        self._metrics = metrics
        self._begin: Batcher[WebhookKey, Due | None] = Batcher(
            lanes,
            partial(notifications.begin, node=node, lease_s=RUN_LEASE_S),
            size_max=500,
            gather_s=gather_s,
        )
        self._record: Batcher[Delivery, None] = Batcher(
            lanes,
            notifications.record,
            size_max=500,
            key=lambda d: (d.charge_id, d.sequence),
            gather_s=gather_s,
        )

    async def claim(self, limit: int, *, full: Collection[int] = ()) -> list[WebhookKey]:
        """Overdue jobs, now this node's; none of the partners in `full`."""
        return await self._lanes.run(
            notifications.claim,
            node=self._node,
            limit=limit,
            lease_s=RUN_LEASE_S,
            partner_max=CLAIM_PARTNER_MAX,
            full=full,
        )

    async def reclaim(self) -> None:
        """Take up at once what an earlier run of this node was telling when it ended."""
        await self._lanes.run(notifications.reclaim, node=self._node)

    async def release(self, keys: Sequence[WebhookKey]) -> None:
        """Give back jobs that were not begun."""
        await self._lanes.run(notifications.release, keys)

    def begin(self, keys: Sequence[WebhookKey], over: Over[WebhookKey]) -> None:
        """Tell partners of these ends, one attempt each, and record what came of it; `over` is told
        of each, in any order.

        By callbacks, as thousands a second go one way; what few events need has a coroutine.
        """
        self._begin.submit(keys).addCallbacks(
            *(self._tell_all, self._unbegun),
            callbackArgs=(keys, over),
            errbackArgs=(keys, over),
        )

    async def run(self, key: WebhookKey) -> None:
        """The same of one."""
        await one(self.begin, key)

    def _unbegun(self, why: Failure, keys: Sequence[WebhookKey], over: Over[WebhookKey]) -> None:
        if len(keys) > 1 and isinstance(why.value, Broken | Violated):
            # It is one of them: the others must not wait for it.
            for key in keys:
                self.begin([key], over)
        else:
            for key in keys:
                over(key, why)

    def _tell_all(
        self, begun: Sequence[Due | None], keys: Sequence[WebhookKey], over: Over[WebhookKey]
    ) -> None:
        for key, due in zip(keys, begun, strict=True):
            if due is None:
                over(key, None)
            elif due.refund_id is None:
                self._tell(_end_of(due), due, key, over)
            else:
                Deferred.fromCoroutine(self._refund_end(_end_of(due), due.refund_id)).addCallbacks(
                    *(self._tell, _failed),
                    callbackArgs=(due, key, over),
                    errbackArgs=(key, over),
                )

    def _tell(self, end: End, due: Due, key: WebhookKey, over: Over[WebhookKey]) -> None:
        event_id = event_id_of(due.charge_id, due.sequence)
        begun_at = self._clock.seconds()
        try:
            telling: Deferred[Answer] = ensureDeferred(
                self._notifier.deliver(  # type: ignore[arg-type]  # it takes a Deferred, too
                    Event(
                        event_id=event_id,
                        url=due.url,
                        secrets=due.secrets,
                        body=self._write_event(end, event_id=event_id),
                        bearer=due.token,
                    )
                )
            )
        except Exception:
            # Of this one: the others go on.
            over(key, Failure())  # type: ignore[no-untyped-call]
            return
        telling.addCallback(self._told, due, begun_at, key, over)
        telling.addErrback(_failed, key, over)

    def _told(
        self, answer: Answer, due: Due, begun_at: float, key: WebhookKey, over: Over[WebhookKey]
    ) -> None:
        told, detail, delay_s = self._judge(answer, due)
        if told is not Told.PUT_OFF:
            self._metrics.webhook_seconds.child().observe(self._clock.seconds() - begun_at)
        self._metrics.webhooks.child(told.value).add()
        self._record.tell(
            Delivery(due.charge_id, due.sequence, due.attempts + 1, told, detail, delay_s),
            partial(_recorded, key, over),
        )

    async def _refund_end(self, end: End, refund_id: int) -> End:
        """The end of one of the charge's refunds, in place of its own."""
        [row] = await self._lanes.run(refunds.get, end.charge_id, [refund_id])
        assert row is not None
        assert row.decided_at is not None
        return replace(
            end,
            refund_id=refund_id,
            state=row.state,
            reason=row.denial,
            billing_reference=row.billing_reference,
            decided_at=row.decided_at,
        )

    def _judge(self, answer: Answer, due: Due) -> tuple[Told, str, float]:
        match answer:
            case Delivered():
                return Told.DELIVERED, str(answer.status), 0
            case Gone():
                return Told.GONE, answer.detail, 0
            case NotTried():
                return Told.PUT_OFF, answer.detail, PUT_OFF_S
            case TryLater():
                delay_s = max(self._delay_s(due.attempts + 1), answer.after_s or 0)
                if due.age_s + delay_s < GIVE_UP_S:
                    return Told.LATER, answer.detail, delay_s
                log.error(
                    "partner {partner} could not be told about charge {charge} for three days, "
                    "and ppcd stops trying: {why}",
                    partner=due.partner,
                    charge=due.charge_id,
                    why=answer.detail,
                )
                return Told.DEAD, answer.detail, 0


def _end_of(due: Due) -> End:
    return End(
        charge_id=due.charge_id,
        sequence=due.sequence,
        state=due.state,
        reason=due.reason,
        billing_reference=due.billing_reference,
        decided_at=due.decided_at,
        was_reserved=due.was_reserved,
    )


def _recorded(key: WebhookKey, over: Over[WebhookKey], why: Exception | None) -> None:
    over(key, None if why is None else Failure(why))  # type: ignore[no-untyped-call]


def _failed(why: Failure, key: WebhookKey, over: Over[WebhookKey]) -> None:
    over(key, why)
