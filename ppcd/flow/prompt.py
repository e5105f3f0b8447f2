"""The step that writes prompts and notices to phones.

Owns the order: render, commit that it is written, write, record the answer. Refuses to know SMPP
and which link: `Carrier` does.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from ppcd.charge.debit import DenialReason
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.texts import Kind, Texts
from ppcd.flow.ends import hand_on
from ppcd.flow.keeping import keep
from ppcd.flow.ports import (
    LEASE_S,
    RUN_LEASE_S,
    Carrier,
    DeliveryReceipt,
    Ids,
    Offers,
    SendResult,
    Sent,
    Sms,
)
from ppcd.metrics import Metrics
from ppcd.store import prompts
from ppcd.store.batcher import Batcher
from ppcd.store.lanes import Runner
from ppcd.store.prompts import Answered, Go, NewReceipt, Next, Writing
from ppcd.store.rows import Ended, PromptJob, PromptKey

#: Receipt states that say that the phone will never get the message.
FAILURES: Final = ("undeliverable", "rejected", "deleted", "expired")

#: Pauses between attempts to hand a text over, then the last one again and again, within its time.
PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 20.0)
#: A text that may have been handed over is sent once more after this, and that is all: two copies
#: draw two answers, of which one is harmless, but a person is only asked so often.
RESEND_S: Final = 15.0
RESENDS_MAX: Final = 1
#: A text without an answer in time, or refused for our own fault, is tried this often.
FAULTS_MAX: Final = 3

BLANKED: Final = "••••"


def decide(sent: Sent, *, attempt: int) -> tuple[Next, float]:
    """What follows an attempt, and in how many seconds."""
    pause_s = PAUSES_S[min(attempt, len(PAUSES_S)) - 1]
    match sent.result:
        case SendResult.ACCEPTED:
            return Next.DONE, 0
        case SendResult.REFUSED:
            return Next.UNDELIVERABLE, 0
        case SendResult.NOT_NOW | SendResult.NOT_SENT:
            return Next.LATER, pause_s
        case SendResult.FAULT:
            return (Next.LATER, pause_s) if attempt < FAULTS_MAX else (Next.UNDELIVERABLE, 0)
        case SendResult.UNKNOWN:
            return (Next.LATER, RESEND_S) if attempt <= RESENDS_MAX else (Next.DONE, 0)


class Prompts:
    """Runs prompt jobs, and records the receipts that come back."""

    def __init__(
        self,
        *,
        lanes: Runner,
        carrier: Carrier,
        texts: Callable[[str], Texts],
        offers: Offers,
        metrics: Metrics,
        ids: Ids,
        gather_s: float = 0.0,
    ) -> None:
        """`texts` gives a partner's wording by the partner's name.

        What is committed before and after a text leaves goes every `gather_s` when there is much.
        """
        self._lanes = lanes
        self._carrier = carrier
        self._texts = texts
        self._offers = offers
        self._metrics = metrics
        self._ids = ids
        self._begin: Batcher[Writing, Go | None] = Batcher(
            lanes,
            partial(prompts.begin, lease_s=RUN_LEASE_S),
            size_max=500,
            key=_charge_of,
            gather_s=gather_s,
        )
        self._finish: Batcher[Answered, Ended | None] = Batcher(
            lanes,
            partial(prompts.finish, failures=FAILURES, lease_s=LEASE_S),
            size_max=500,
            key=_charge_of,
            gather_s=gather_s,
        )
        self._load: Batcher[PromptKey, PromptJob | None] = Batcher(
            lanes, prompts.load, size_max=500, gather_s=gather_s
        )
        self._receipts: Batcher[NewReceipt, Ended | None] = Batcher(
            lanes,
            partial(prompts.record_receipts, failures=FAILURES, lease_s=LEASE_S),
            size_max=500,
            gather_s=gather_s,
        )

    async def claim(self, limit: int) -> list[PromptJob]:
        """Overdue jobs, now this node's."""
        return await self._lanes.run(prompts.claim, limit=limit, lease_s=LEASE_S)

    async def release(self, jobs: Sequence[PromptJob | PromptKey]) -> None:
        """Give back jobs that were not begun."""
        await self._lanes.run(
            prompts.release, [PromptKey(job.charge_id, job.prompt_no) for job in jobs]
        )

    async def postpone(self, job: PromptJob, delay_s: float) -> None:
        """Leave a job for later without an attempt."""
        key = PromptKey(job.charge_id, job.prompt_no)
        await self._lanes.run(prompts.release, [key], delay_s=delay_s)

    async def load(self, keys: Sequence[PromptKey]) -> list[PromptJob]:
        """The jobs of these keys, as far as they still are to be done."""
        return [job for job in await self._load.submit(keys) if job is not None]

    async def run(self, job: PromptJob) -> None:
        """Write one text to its phone, and record what came of it."""
        text = self._render(job, job.code)
        shown = text if job.code is None else self._render(job, BLANKED)
        writing = Writing(
            charge_id=job.charge_id,
            prompt_no=job.prompt_no,
            key=job.key,
            attempts=job.attempts,
            kind=job.kind,
            source=job.address,
            text=shown,
            segments=self._carrier.segments(text),
        )
        [go] = await self._begin.submit([writing])
        if go is None:
            self._metrics.prompts.child(job.kind, "dropped").add()
            return
        sent = await self._carrier.send(
            Sms(
                route=job.route,
                source=job.address,
                msisdn=Msisdn.from_digits(str(job.msisdn)),
                text=text,
                validity_s=go.left_s,
                # Another one for each text: a phone joins segments by it.
                reference=job.charge_id + job.prompt_no,
            )
        )
        following, delay_s = decide(sent, attempt=go.attempt)
        self._metrics.prompts.child(job.kind, sent.result.value).add()
        answered = Answered(
            charge_id=job.charge_id,
            prompt_no=job.prompt_no,
            key=job.key,
            attempt=go.attempt,
            link=sent.link,
            segments=sent.segments,
            next=following,
            delay_s=delay_s,
            unwritten=go.first and not sent.segments,
        )
        ended = await keep(
            lambda: self._finish.submit([answered]),
            clock=self._lanes.reactor,
            what="the SMSC's answer",
            charge_id=job.charge_id,
        )
        hand_on(ended, self._offers, self._metrics)

    async def receipts(self, batch: Sequence[DeliveryReceipt]) -> None:
        """Record receipts; a prompt that never arrived ends its charge, if nobody has answered."""
        await self._ids.ensure(len(batch))
        ids = self._ids.take(len(batch))
        new = [
            NewReceipt(
                receipt_id=receipt_id,
                link=receipt.link,
                msisdn=None if receipt.msisdn is None else int(receipt.msisdn.digits),
                message_id=receipt.message_id,
                state=receipt.state,
                error=receipt.error,
            )
            for receipt, receipt_id in zip(batch, ids, strict=True)
        ]
        hand_on(await self._receipts.submit(new), self._offers, self._metrics)

    def _render(self, job: PromptJob, code: str | None) -> str:
        return self._texts(job.partner).render(
            Kind(job.kind),
            job.language,
            amount=Money(job.amount_minor, job.currency),
            merchant=job.merchant,
            description=job.description,
            code=code,
            reference=str(job.charge_id)[-6:],
            reason=None if job.reason is None else DenialReason(job.reason),
        )


def _charge_of(item: Writing | Answered) -> int:
    return item.charge_id
