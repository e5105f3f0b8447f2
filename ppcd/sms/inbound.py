"""What the SMSC delivers: answers and receipts, decoded, handed on in batches, then acknowledged.

Owns that a batch is answered with one write after its commits, and that what could not be recorded
is asked for again. Refuses to read words.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.flow.background import background
from ppcd.flow.ports import DeliveryReceipt, Mo
from ppcd.metrics import Metrics
from ppcd.smpp import (
    Inbox,
    Link,
    MessageType,
    Pdu,
    Status,
    TextError,
    concatenation_of,
    decode_text,
    message_type,
    parse_receipt,
    receipt_id_key,
    user_data,
)
from ppcd.smpp.udh import fill_bits
from ppcd.sms.dialect import Dialect
from ppcd.store.failures import StoreError

log = Logger(namespace="ppcd.sms.inbound")


class Answers(Protocol):
    """Who settles answers: flow's `Replies`."""

    async def receive(self, batch: Sequence[Mo]) -> list[bool]: ...


class LinksInbound:
    """Takes the batches of all links; fulfils `ppcd.smpp.Inbound`."""

    def __init__(
        self,
        *,
        dialects: Mapping[str, Dialect],
        replies: Answers,
        receipts: Callable[[Sequence[DeliveryReceipt]], Awaitable[None]],
        clock: IReactorTime,
        metrics: Metrics,
    ) -> None:
        self._dialects = dialects
        self._replies = replies
        self._receipts = receipts
        self._clock = clock
        self._metrics = metrics
        self._unanswered = 0
        self._idle: list[Deferred[None]] = []
        metrics.replies_unacknowledged.child().follow(lambda: self._unanswered)

    def received(self, link: Link, batch: Inbox) -> None:
        """Take a batch; it is answered when all of it is recorded."""
        self._unanswered += len(batch)
        background("take a batch of messages", self._take(link, batch), self._metrics)

    def drained(self) -> Deferred[None]:
        """Fires when nothing is unanswered."""
        if self._unanswered == 0:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    async def _take(self, link: Link, batch: Inbox) -> None:
        try:
            recorded = await self._record(link, batch.pdus)
        except Exception:
            # Whatever it was, nothing may be acknowledged that is not recorded.
            log.failure("link {link}: a batch could not be recorded", link=link.name)
            recorded = [False] * len(batch)
        finally:
            self._unanswered -= len(batch)
        not_now = link.settings.not_now_status
        if not_now is None and not all(recorded):
            batch.not_now()
        else:
            batch.answer([Status.ESME_ROK if ok else not_now or 0 for ok in recorded])
        took_s = self._clock.seconds() - batch.read_at
        self._metrics.reply_ack_seconds.child().observe(took_s)
        if self._unanswered == 0:
            idle, self._idle = self._idle, []
            for deferred in idle:
                deferred.callback(None)

    async def _record(self, link: Link, pdus: Sequence[Pdu]) -> list[bool]:
        """For each message whether it may be acknowledged."""
        dialect = self._dialects[link.name]
        recorded = [True] * len(pdus)
        answers: list[tuple[int, Mo]] = []
        receipts: list[tuple[int, DeliveryReceipt]] = []
        for position, pdu in enumerate(pdus):
            # One value, not single bits: a subscriber's message is type 0 and nothing else is.
            kind = message_type(pdu.esm_class)
            if kind == MessageType.NORMAL:
                answers.append((position, _mo(link.name, pdu, dialect)))
            elif kind == MessageType.RECEIPT:
                receipt = _receipt(link.name, pdu, dialect)
                if receipt is not None:
                    receipts.append((position, receipt))
        if receipts:
            ok = await self._record_receipts(link.name, [receipt for _, receipt in receipts])
            for position, _ in receipts:
                recorded[position] = ok
        if answers:
            settled = await self._replies.receive([mo for _, mo in answers])
            for (position, _), ok in zip(answers, settled, strict=True):
                recorded[position] = ok
        return recorded

    async def _record_receipts(self, link: str, receipts: list[DeliveryReceipt]) -> bool:
        for receipt in receipts:
            self._metrics.receipts.child(receipt.state).add()
        try:
            await self._receipts(receipts)
        except StoreError as exc:
            log.warn(
                "link {link}: {count} receipts are not acknowledged: {why}",
                link=link,
                count=len(receipts),
                why=str(exc),
            )
            return False
        return True


def _mo(link: str, pdu: Pdu, dialect: Dialect) -> Mo:
    data = user_data(pdu)
    concatenation = concatenation_of(pdu)
    text: str | None = None
    if data.problem is None:
        try:
            text = decode_text(
                data.octets,
                pdu.data_coding,
                default=dialect.default_alphabet,
                overrides=dialect.alphabets,
                fill_bits=fill_bits(data.header_size) if data.header_size else 0,
            )
        except TextError:
            text = None
    return Mo(
        link=link,
        msisdn=dialect.msisdn(pdu.source_addr, pdu.source_addr_ton),
        address=pdu.destination_addr.decode("latin-1").lstrip("+").replace("\0", ""),
        text=text,
        raw=pdu.message,
        data_coding=pdu.data_coding,
        esm_class=pdu.esm_class,
        part=concatenation is not None and concatenation.total > 1,
    )


def _receipt(link: str, pdu: Pdu, dialect: Dialect) -> DeliveryReceipt | None:
    receipt = parse_receipt(pdu)
    if receipt is None or not receipt.message_id:
        return None
    return DeliveryReceipt(
        link=link,
        # A receipt's source is the phone that the message was for.
        msisdn=dialect.msisdn(pdu.source_addr, pdu.source_addr_ton),
        message_id=receipt_id_key(receipt.message_id, dialect.receipt_id_base),
        state=receipt.state.name.lower(),
        error=receipt.error,
    )
