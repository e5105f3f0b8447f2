"""The adapter for billing that takes files: a debit or refund is a synced record in the journal.

Owns the thread that writes, so that the reactor never waits for a disk, and what its failures mean.
Records that wait together are synced together. Refuses to know the files: they are the journal's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ppcd.billing.answers import as_refund
from ppcd.billing.file_settings import FileBillingSettings
from ppcd.billing.journal import Damaged, Journal, Line
from ppcd.billing.template import fill, texts_of
from ppcd.billing.unable import CannotReserve
from ppcd.charge.debit import Abilities, Debited, DebitOrder, NotFound, NotSent, Order, Unknown
from ppcd.charge.refund import RefundAnswer, RefundOrder, RefundQueryAnswer

__all__ = ["FileBilling"]

log = Logger(namespace="ppcd.billing.file")

BATCH_MAX: Final = 500
WAITING_MAX: Final = 10_000
#: After which a journal or a disk that failed is tried without a new debit.
TRY_AGAIN_S: Final = 10.0

_Answer = Debited | NotFound | NotSent | Unknown


@dataclass(slots=True, eq=False)
class _Job:
    order: Order
    #: None: only asked about.
    may_send: Callable[[], bool] | None
    answer: Deferred[Any]


class FileBilling(CannotReserve):
    """Writes debits and refunds into files, each once; fulfils flow's adapter protocol."""

    def __init__(
        self,
        name: str,
        settings: FileBillingSettings,
        *,
        reactor: Any,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` gives aware UTC for names and records; both clocks are asked in the thread."""
        self.name: Final = name
        self.abilities: Final[Abilities] = settings.abilities.abilities()
        self.refund_abilities: Final = self.abilities
        self._settings = settings
        self._reactor = reactor
        self._now = now
        self._clock = clock
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._ended: Deferred[None] = Deferred()
        self._closed = False
        self._journal: Journal | None = None
        self._rotate_at: float | None = None

    def start(self) -> None:
        """Start the thread, which finishes what an earlier run left; the first debit does too."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._serve, name="cdr-writer", daemon=True)
            self._thread.start()

    async def debit(
        self, order: DebitOrder, *, may_send: Callable[[], bool]
    ) -> Debited | NotSent | Unknown:
        """Records the debit once; `may_send` is asked in the thread, before the write."""
        answer = await self._ask(order, may_send)
        assert not isinstance(answer, NotFound)
        return answer

    async def query(self, order: DebitOrder) -> Debited | NotFound | NotSent | Unknown:
        """Says whether the order's key was recorded."""
        return await self._ask(order, None)

    async def refund(self, order: RefundOrder, *, may_send: Callable[[], bool]) -> RefundAnswer:
        """Records the refund once; `may_send` is asked in the thread, before the write."""
        if self._settings.refund_record is None:
            return NotSent("this billing can't give money back: no refund_record is configured")
        answer = await self._ask(order, may_send)
        assert not isinstance(answer, NotFound)
        return as_refund(answer)

    async def query_refund(self, order: RefundOrder) -> RefundQueryAnswer:
        """Says whether the refund's key was recorded."""
        answer = await self._ask(order, None)
        return answer if isinstance(answer, NotFound) else as_refund(answer)

    async def close(self) -> None:
        """Write what waits, end the file, end the thread."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            await self._ended

    async def _ask(self, order: Order, may_send: Callable[[], bool] | None) -> _Answer:
        if self._closed or self._waiting >= WAITING_MAX:
            return NotSent("the writer is closed" if self._closed else "too many records wait")
        self.start()
        job = _Job(order, may_send, Deferred())
        self._waiting += 1
        self._queue.put(job)
        answer: _Answer = await job.answer
        return answer

    def _answered(self, answers: list[tuple[_Job, _Answer]]) -> None:
        """In the reactor's thread."""
        for job, answer in answers:
            self._waiting -= 1
            if not job.answer.called:
                job.answer.callback(answer)

    # --- in the thread

    def _serve(self) -> None:
        self._take_up()
        going_on = True
        while going_on:
            batch, going_on = self._next()
            if batch:
                self._reactor.callFromThread(self._answered, self._worked(batch))
            self._rotate(at_once=not going_on)
        if self._journal is not None:
            self._journal.close()
        self._reactor.callFromThread(self._ended.callback, None)

    def _take_up(self) -> Journal | NotSent:
        """The journal, opened if it is not; what it had left unfinished is finished."""
        try:
            return self._opened()
        except (OSError, ValueError, Damaged) as exc:
            log.error("billing {billing}: no journal: {why}", billing=self.name, why=str(exc))
            self._rotate_at = self._clock() + TRY_AGAIN_S
            return NotSent(f"no journal: {type(exc).__name__}")

    def _worked(self, batch: list[_Job]) -> list[tuple[_Job, _Answer]]:
        try:
            return self._work(batch)
        except Exception as exc:
            # A bug of ours: what was written is unknown, and nobody must wait for ever.
            log.failure("billing {billing}: the writer failed", billing=self.name)
            self._let_go()
            return [(job, Unknown(f"the writer failed: {type(exc).__name__}")) for job in batch]

    def _next(self) -> tuple[list[_Job], bool]:
        """What waits, and whether there will be more."""
        batch: list[_Job] = []
        left_s = None
        if self._rotate_at is not None:
            left_s = max(0.001, self._rotate_at - self._clock())
        try:
            job = self._queue.get(timeout=left_s)
            while job is not None:
                batch.append(job)
                if len(batch) == BATCH_MAX:
                    break
                job = self._queue.get_nowait()
            return batch, job is not None
        except Empty:
            return batch, True

    def _work(self, batch: list[_Job]) -> list[tuple[_Job, _Answer]]:
        journal = self._take_up()
        if isinstance(journal, NotSent):
            return [(job, journal) for job in batch]
        answers: list[tuple[_Job, _Answer]] = []
        fresh: dict[str, tuple[_Job, Line]] = {}
        repeats: list[_Job] = []
        for job in batch:
            if job.order.key in fresh:
                repeats.append(job)
            elif (known := self._known(journal, job)) is not None:
                answers.append((job, known))
            else:
                fresh[job.order.key] = (job, self._line(job.order))
        try:
            if fresh:
                journal.append([line for _, line in fresh.values()])
        except OSError as exc:
            # What reached the disk is read again before anything else is written.
            log.error("billing {billing}: not written: {why}", billing=self.name, why=str(exc))
            self._let_go()
            unknown = Unknown(f"the disk failed: {type(exc).__name__}")
            return [*answers, *((job, unknown) for job in [j for j, _ in fresh.values()] + repeats)]
        for job in [job for job, _ in fresh.values()] + repeats:
            known = self._known(journal, job)
            assert known is not None
            answers.append((job, known))
        if self._rotate_at is None and journal.records:
            self._rotate_at = self._clock() + self._settings.age_s
        return answers

    def _known(self, journal: Journal, job: _Job) -> _Answer | None:
        """The answer without writing anything; None when the order is to be written."""
        known = journal.find(job.order.key)
        if known is not None:
            same = known.what == _what(job.order)
            return Debited(known.reference) if same else Unknown("the key means something else")
        if job.may_send is None:
            return NotFound()
        if not job.may_send():
            return NotSent("it was no longer allowed when its turn came")
        return None

    def _line(self, order: Order) -> Line:
        settings = self._settings
        refund = isinstance(order, RefundOrder)
        record = (settings.refund_record or "") if refund else settings.record
        text = fill(record, texts_of(order, now=self._now()), settings.encoding)
        return Line(order.key, _what(order), text)

    def _rotate(self, *, at_once: bool) -> None:
        journal = self._journal
        due = self._rotate_at is not None and self._clock() >= self._rotate_at
        if journal is None:
            if due:
                self._rotate_at = None
                self._take_up()
            return
        if not journal.records or not (
            at_once or due or journal.records >= self._settings.records_max
        ):
            return
        self._rotate_at = None
        try:
            journal.publish()
        except OSError as exc:
            # The records are safe in the journal; they are published when it is opened again.
            log.error("billing {billing}: no file: {why}", billing=self.name, why=str(exc))
            self._let_go()

    def _opened(self) -> Journal:
        if self._journal is None:
            settings = self._settings
            self._journal = Journal(
                Path(settings.journal),
                Path(settings.directory),
                name_of=self._name_of,
                header=settings.header,
                keys_kept=timedelta(days=settings.keys_kept_days),
                now=self._now,
            )
            self._rotate_at = None
        return self._journal

    def _let_go(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
            self._rotate_at = self._clock() + TRY_AGAIN_S

    def _name_of(self, sequence: int) -> str:
        now = self._now()

        def text(place: str) -> str:
            what, _, form = place.partition(":")
            return f"{sequence:010d}" if what == "sequence" else now.strftime(form)

        return fill(self._settings.name, text, "form")


def _what(order: Order) -> str:
    """What a key must mean for ever."""
    about = f"refund of {order.debit_key}: " if isinstance(order, RefundOrder) else ""
    return f"{about}{order.msisdn.digits} {order.money.amount_minor} {order.money.currency}"
