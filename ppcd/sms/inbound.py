"""What the SMSC delivers: answers and receipts, decoded, handed on in batches, then acknowledged.

Owns that nothing is answered before its commit, that a batch takes a write or two, and that what
could not be recorded is asked for again. Refuses to read words.
"""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ppcd.flow.background import background
from ppcd.flow.ports import DeliveryReceipt, Mos, Said
from ppcd.metrics import Metrics
from ppcd.smpp import (
    Content,
    DeliverRows,
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

#: Messages that are remembered decoded, and how long they may be: a yes is short.
SAID_MAX: Final = 4096
PLAIN_OCTETS_MAX: Final = 64


#: How far apart small batches leave, seconds; see `LinksInbound`.
READS_GATHER_S: Final = 0.01
#: So many messages do not wait for more.
GATHERED_MAX: Final = 500


class Answers(Protocol):
    """Who settles answers: flow's `Replies`."""

    async def receive(self, batch: Mos, early: Callable[[Sequence[int]], None]) -> list[bool]: ...


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
        gather_s: float = 0.0,
    ) -> None:
        """`gather_s` is how far apart batches leave that are not large; the first leaves at once.

        An SMSC that writes one message at a time fills a read with a few of them, and most of what
        they cost is done for each read and each batch. So a link that has brought a few is not read
        from until the next batch leaves; what waits would only wait for the commit before it.
        """
        self._ears = {link: _Ear(link, dialect) for link, dialect in dialects.items()}
        self._replies = replies
        self._receipts = receipts
        self._clock = clock
        self._metrics = metrics
        self._gather_s = gather_s
        #: Reads that have not left yet, and how many messages they have.
        self._gathered: list[tuple[Link, Inbox]] = []
        self._gathered_count = 0
        self._leaves_at = 0.0
        #: Whose links are not read from until the timer wakes them.
        self._resting: list[Inbox] = []
        self._timer: IDelayedCall | None = None
        self._unanswered = 0
        self._idle: list[Deferred[None]] = []
        metrics.replies_unacknowledged.child().follow(lambda: self._unanswered)

    def received(self, link: Link, batch: Inbox) -> None:
        """Take a batch; it is answered when all of it is recorded."""
        self._unanswered += len(batch)
        self._gathered.append((link, batch))
        self._gathered_count += len(batch)
        left_s = self._leaves_at - self._clock.seconds()
        if self._gathered_count >= GATHERED_MAX or (self._timer is None and left_s <= 0):
            self._leave()
            return
        self._resting.append(batch)
        batch.rest()
        if self._timer is None:
            self._timer = self._clock.callLater(left_s, self._wake)

    def _wake(self) -> None:
        """Read what has come meanwhile, in this turn of the reactor, and let all of it leave."""
        resting, self._resting = self._resting, []
        for batch in resting:
            batch.wake()
        self._timer = self._clock.callLater(0, self._read)

    def _read(self) -> None:
        self._timer = None
        if self._resting:
            self._timer = self._clock.callLater(self._gather_s, self._wake)
        if self._gathered:
            self._leave()

    def _leave(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._gathered_count = 0
        self._leaves_at = self._clock.seconds() + self._gather_s
        background("take a batch of messages", self._take(gathered), self._metrics)

    def drained(self) -> Deferred[None]:
        """Fires when nothing is unanswered."""
        if self._unanswered == 0:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    async def _take(self, gathered: Sequence[tuple[Link, Inbox]]) -> None:
        count = sum(len(batch) for _, batch in gathered)
        try:
            recorded = await self._record(gathered, count)
        except Exception:
            # Whatever it was, nothing may be acknowledged that is not recorded.
            names = ", ".join(sorted({link.name for link, _ in gathered}))
            log.failure("link {link}: a batch could not be recorded", link=names)
            recorded = [False] * count
        finally:
            self._unanswered -= count
        now = self._clock.seconds()
        start = 0
        for link, batch in gathered:
            _answer(link, batch, recorded[start : start + len(batch)])
            start += len(batch)
            self._metrics.reply_ack_seconds.child().observe(now - batch.read_at)
        if self._unanswered == 0:
            idle, self._idle = self._idle, []
            for deferred in idle:
                deferred.callback(None)

    async def _record(self, gathered: Sequence[tuple[Link, Inbox]], count: int) -> list[bool]:
        """For each message whether it may be acknowledged."""
        heard = _Heard()
        start = 0
        for link, batch in gathered:
            self._ears[link.name].hear(batch.runs, start, heard)
            start += len(batch)

        def early(waiting: Sequence[int]) -> None:
            late = [heard.answers_at[n] for n in waiting]
            _answer_but(gathered, sorted(late + heard.receipts_at))

        if len(heard.answers) == count:
            return await self._replies.receive(heard.answers, early)
        recorded = [True] * count
        recording = Deferred.fromCoroutine(self._record_receipts(heard.receipts))
        if heard.answers:
            settled = await self._replies.receive(heard.answers, early)
            for position, ok in zip(heard.answers_at, settled, strict=True):
                recorded[position] = ok
        if not await recording:
            for position in heard.receipts_at:
                recorded[position] = False
        return recorded

    async def _record_receipts(self, receipts: list[DeliveryReceipt]) -> bool:
        if not receipts:
            return True
        for receipt in receipts:
            self._metrics.receipts.child(receipt.state).add()
        try:
            await self._receipts(receipts)
        except StoreError as exc:
            log.warn(
                "{count} receipts are not acknowledged: {why}", count=len(receipts), why=str(exc)
            )
            return False
        return True


def _answer(link: Link, batch: Inbox, recorded: Sequence[bool]) -> None:
    not_now = link.settings.not_now_status
    if all(recorded):
        batch.answer([Status.ESME_ROK] * len(recorded))
    elif not_now is None:
        batch.not_now()
    else:
        batch.answer([Status.ESME_ROK if ok else not_now for ok in recorded])


def _answer_but(gathered: Sequence[tuple[Link, Inbox]], late: Sequence[int]) -> None:
    """Acknowledge all but those at these positions: nearly all, and they must not wait for few."""
    start = low = 0
    for _, batch in gathered:
        end = start + len(batch)
        high = bisect_left(late, end, low)
        batch.answer_but([at - start for at in late[low:high]])
        start, low = end, high


class _Heard:
    """A batch taken apart, with the position of each part in it."""

    def __init__(self) -> None:
        self.answers = Mos()
        self.answers_at: list[int] = []
        self.receipts: list[DeliveryReceipt] = []
        self.receipts_at: list[int] = []


class _Ear:
    """Takes one link's messages apart. What is said again and again is decoded once."""

    def __init__(self, link: str, dialect: Dialect) -> None:
        self._link = link
        self._dialect = dialect
        self._said_by: dict[Content, Said] = {}

    def hear(self, runs: Sequence[Pdu | DeliverRows], position: int, heard: _Heard) -> None:
        """Put answers and receipts to what was heard, the first at this position.

        What is neither needs nothing but its acknowledgement.
        """
        for run in runs:
            if isinstance(run, Pdu):
                self._take(run, position, heard)
                position += 1
            else:
                self._take_rows(run, position, heard)
                position += len(run)

    def _take_rows(self, rows: DeliverRows, start: int, heard: _Heard) -> None:
        said = list(map(self._said_by.get, rows.contents))
        if None in said:
            said = list(map(self._plainly, rows.contents))
        msisdns = self._dialect.numbers(rows.sources, rows.tons)
        answers = heard.answers
        if None not in said:
            answers.said += said  # type: ignore[arg-type]  # none of them is None
            answers.msisdns += msisdns
            heard.answers_at += range(start, start + len(said))
            return
        others = iter(rows.pdus({number for number, plain in enumerate(said) if plain is None}))
        for number, (plain, msisdn) in enumerate(zip(said, msisdns, strict=True), start):
            if plain is None:
                self._take(next(others), number, heard)
            else:
                answers.add(plain, msisdn)
                heard.answers_at.append(number)

    def _plainly(self, content: Content) -> Said | None:
        """What a short message without headers and optional parameters says; None for others."""
        said = self._said_by.get(content)
        message = content.short_message
        if said or content.esm_class or content.tlvs or len(message) > PLAIN_OCTETS_MAX:
            return said
        if len(self._said_by) >= SAID_MAX:
            self._said_by.clear()
        said = self._said_by[content] = Said(
            link=self._link,
            address=_address(content.destination_addr),
            text=self._text(message, content.data_coding),
            raw=message,
            data_coding=content.data_coding,
            esm_class=0,
            part=False,
        )
        return said

    def _take(self, pdu: Pdu, position: int, heard: _Heard) -> None:
        # One value, not single bits: a subscriber's message is type 0 and nothing else is.
        kind = message_type(pdu.esm_class)
        if kind == MessageType.NORMAL:
            [msisdn] = self._dialect.numbers([pdu.source_addr], [bytes([pdu.source_addr_ton])])
            heard.answers.add(self._said(pdu), msisdn)
            heard.answers_at.append(position)
        elif kind == MessageType.RECEIPT:
            receipt = _receipt(self._link, pdu, self._dialect)
            if receipt is not None:
                heard.receipts.append(receipt)
                heard.receipts_at.append(position)

    def _said(self, pdu: Pdu) -> Said:
        data = user_data(pdu)
        concatenation = concatenation_of(pdu)
        fill = fill_bits(data.header_size) if data.header_size else 0
        return Said(
            link=self._link,
            address=_address(pdu.destination_addr),
            text=None if data.problem else self._text(data.octets, pdu.data_coding, fill),
            raw=pdu.message,
            data_coding=pdu.data_coding,
            esm_class=pdu.esm_class,
            part=concatenation is not None and concatenation.total > 1,
        )

    def _text(self, octets: bytes, data_coding: int, fill: int = 0) -> str | None:
        try:
            return decode_text(
                octets,
                data_coding,
                default=self._dialect.default_alphabet,
                overrides=self._dialect.alphabets,
                fill_bits=fill,
            )
        except TextError:
            return None


def _address(octets: bytes) -> str:
    return octets.decode("latin-1").lstrip("+").replace("\0", "")


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
