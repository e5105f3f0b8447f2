"""The step that writes prompts and notices to phones.

Owns the order: render, commit that it is written, write, record the answer. Refuses to know SMPP
and which link: `Carrier` does.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ppcd.charge.debit import DenialReason
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.texts import Kind, Texts
from ppcd.flow.background import Over, one
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
from ppcd.store.failures import Broken, StoreError, Violated
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


class _Text(NamedTuple):
    """A text on its way to its phone, and what is put on record of it first."""

    job: PromptJob
    text: str
    writing: Writing


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
            settled=partial(hand_on, offers=offers, metrics=metrics),
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

    def begin(self, jobs: Sequence[PromptJob], over: Over[PromptJob]) -> None:
        """Write each of these texts to its phone and record what came of it; `over` is told of each
        job, in any order.

        Committed together before and after, and by callbacks: a coroutine for each would cost as
        much as all the rest.
        """
        texts: list[_Text] = []
        for job in jobs:
            try:
                texts.append(self._text(job))
            except Exception:
                # Of this one: the others go on.
                over(job, Failure())  # type: ignore[no-untyped-call]
        if texts:
            self._write(texts, over)

    async def run(self, job: PromptJob) -> None:
        """The same of one."""
        await one(self.begin, job)

    def _text(self, job: PromptJob) -> _Text:
        text = self._render(job, job.code)
        writing = Writing(
            charge_id=job.charge_id,
            prompt_no=job.prompt_no,
            key=job.key,
            attempts=job.attempts,
            kind=job.kind,
            source=job.address,
            text=text if job.code is None else self._render(job, BLANKED),
            segments=self._carrier.segments(text),
        )
        return _Text(job, text, writing)

    def _write(self, texts: Sequence[_Text], over: Over[PromptJob]) -> None:
        self._begin.submit([text.writing for text in texts]).addCallbacks(
            *(self._send_all, self._unwritten),
            callbackArgs=(texts, over),
            errbackArgs=(texts, over),
        )

    def _unwritten(self, why: Failure, texts: Sequence[_Text], over: Over[PromptJob]) -> None:
        if len(texts) > 1 and isinstance(why.value, Broken | Violated):
            # It is one of them that can't be recorded: the others must not wait for it.
            for text in texts:
                self._write([text], over)
        else:
            for text in texts:
                over(text.job, why)

    def _send_all(
        self, going: Sequence[Go | None], texts: Sequence[_Text], over: Over[PromptJob]
    ) -> None:
        """Send what is on record as written; the others must not be sent."""
        for (job, text, _), go in zip(texts, going, strict=True):
            if go is None:
                self._metrics.prompts.child(job.kind, "dropped").add()
                over(job, None)
                continue
            sms = Sms(
                route=job.route,
                source=job.address,
                msisdn=Msisdn.from_digits(str(job.msisdn)),
                text=text,
                validity_s=go.left_s,
                # Another one for each text: a phone joins segments by it.
                reference=job.charge_id + job.prompt_no,
            )
            try:
                self._carrier.send(sms, partial(self._sent, job, go, over))
            except Exception:
                over(job, Failure())  # type: ignore[no-untyped-call]
        self._carrier.flush()

    def _sent(self, job: PromptJob, go: Go, over: Over[PromptJob], sent: Sent) -> None:
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
        self._finish.tell(answered, partial(self._finished, answered, job, over))

    def _finished(
        self,
        answered: Answered,
        job: PromptJob,
        over: Over[PromptJob],
        ended: Ended | Exception | None,
    ) -> None:
        if isinstance(ended, StoreError):
            keeping = Deferred.fromCoroutine(self._keep(answered, ended))
            keeping.addCallbacks(lambda _: over(job, None), lambda why: over(job, why))
        elif isinstance(ended, Exception):
            over(job, Failure(ended))  # type: ignore[no-untyped-call]
        else:
            over(job, None)

    async def _keep(self, answered: Answered, why: StoreError) -> None:
        """`why` is how a first try to record it has failed."""
        await keep(
            lambda: self._finish.submit([answered]),
            clock=self._lanes.reactor,
            what="the SMSC's answer",
            charge_id=answered.charge_id,
            why=why,
        )

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
