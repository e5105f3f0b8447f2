"""What a link hands to its application: one read's messages, answered when they are durable.

Refuses to know what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ppcd.smpp.batch import Batch
from ppcd.smpp.decode import DeliverRows
from ppcd.smpp.driver import Driver
from ppcd.smpp.pdu import Pdu
from ppcd.smpp.status import Status


class Inbox:
    """One read's deliver_sm and data_sm, to be answered together, now or later.

    After the link was lost answering does nothing: the SMSC will bring them again.
    """

    __slots__ = ("_answered", "_batch", "_driver", "_drop", "_late", "_not_now", "read_at")

    def __init__(
        self,
        driver: Driver,
        batch: Batch,
        *,
        read_at: float,
        not_now_status: int | None,
        drop: Callable[[], None],
    ) -> None:
        """`drop` ends the link where messages are refused without a status."""
        self._driver = driver
        self._not_now = not_now_status
        self._drop = drop
        self._batch = batch
        self._answered = False
        #: Positions of those that are still to be answered, where the others were already.
        self._late: Sequence[int] | None = None
        #: When the octets were read, in the link's clock.
        self.read_at = read_at

    @property
    def pdus(self) -> list[Pdu]:
        """In wire order."""
        return self._batch.pdus

    @property
    def runs(self) -> Sequence[Pdu | DeliverRows]:
        """The same without a PDU object for each deliver_sm: for floods."""
        return self._batch.runs

    def __len__(self) -> int:
        return self._batch.count

    def answer(self, statuses: Sequence[int]) -> None:
        """One status for each PDU, all written at once. A second call does nothing.

        Those that `answer_but` has answered keep what they got.
        """
        if self._answered:
            return
        self._answered = True
        if self._late is None:
            self._write(statuses)
        elif self._late:
            self._write([statuses[at] for at in self._late], self._late)

    def answer_but(self, late: Sequence[int]) -> None:
        """ESME_ROK now for all but those at these ascending positions; `answer` is for them."""
        if self._answered or self._late is not None:
            return
        self._late = late
        waiting = frozenset(late)
        early = [at for at in range(len(self._batch)) if at not in waiting]
        if early:
            self._write([Status.ESME_ROK] * len(early), early)

    def _write(self, statuses: Sequence[int], at: Sequence[int] | None = None) -> None:
        driver = self._driver
        answers = self._batch.answers(statuses, at)
        driver.handle(driver.session.answer(answers, len(statuses), driver.now()))

    def rest(self) -> None:
        """Let the connection that brought them not be read from for milliseconds, until `wake`."""
        self._driver.rest()

    def wake(self) -> None:
        """Read on."""
        self._driver.wake()

    def not_now(self) -> None:
        """None of them can be taken: say so as the link is set, or drop it so that all return."""
        status = self._not_now
        if status is not None:
            self.answer([status] * self._batch.count)
        elif not self._answered:
            self._answered = True
            self._drop()
