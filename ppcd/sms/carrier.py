"""Texts to phones: split, encoded, submitted over a link of the route, and the answers judged.

Owns which link of a route carries a text and what the SMSC's answers amount to. Refuses to know
why a text is sent and what follows.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.flow.ports import SendResult, Sent, Sms
from ppcd.metrics import Metrics
from ppcd.smpp import (
    Accepted,
    Advice,
    EncodeError,
    Link,
    LinkGroup,
    NotSent,
    Part,
    Pdu,
    Refused,
    RegisteredDelivery,
    SubmitAnswer,
    TextError,
    Unknown,
    advice,
    relative_time,
    response_id_key,
    segment_count,
    split,
    status_name,
    submit_sm,
)
from ppcd.sms.dialect import Dialect

log = Logger(namespace="ppcd.sms.carrier")

#: Longest time that is asked of an SMSC's store: notices are of use for a day.
VALIDITY_S_MAX: Final = 86_400.0

_RESULTS: Final = {
    Advice.OK: SendResult.ACCEPTED,
    Advice.RETRY: SendResult.NOT_NOW,
    Advice.SLOW: SendResult.NOT_NOW,
    Advice.GIVE_UP: SendResult.REFUSED,
    Advice.OURS: SendResult.FAULT,
    Advice.BIND: SendResult.FAULT,
}
#: Of several segments the first of these tells how the text fared.
_WORST_FIRST: Final = (
    SendResult.REFUSED,
    SendResult.FAULT,
    SendResult.NOT_NOW,
    SendResult.UNKNOWN,
    SendResult.NOT_SENT,
    SendResult.ACCEPTED,
)


class LinksCarrier:
    """Fulfils flow's `Carrier` over SMPP links."""

    def __init__(
        self,
        *,
        groups: Mapping[str, LinkGroup],
        dialects: Mapping[str, Dialect],
        clock: IReactorTime,
        metrics: Metrics,
    ) -> None:
        """`groups`: the links of each route; `dialects`: each link's ways, by name."""
        self._groups = groups
        self._dialects = dialects
        self._clock = clock
        self._metrics = metrics
        #: Links that have something to write.
        self._put: set[Link] = set()

    def segments(self, text: str) -> int:
        """How many short messages a text takes, in the usual alphabet."""
        return segment_count(text)

    def send(self, sms: Sms, told: Callable[[Sent], None]) -> None:
        """Submit all segments of a text over one link; over another while nothing was written."""
        self._send(_Sending(sms, told))

    def flush(self) -> None:
        """Write what was submitted, one write a link."""
        while self._put:
            self._put.pop().flush()

    def _send(self, sending: "_Sending") -> None:
        group = self._groups.get(sending.sms.route)
        link = None if group is None else group.choose(besides=sending.tried)
        if link is None:
            sending.told(sending.sent)
            return
        dialect = self._dialects[link.name]
        sms = sending.sms
        try:
            parts = split(sms.text, reference=sms.reference, default=dialect.default_alphabet)
            pdus = _submits(parts, sms, dialect)
        except (TextError, EncodeError) as exc:
            log.error(
                "a text for route {route} can't be sent: {why}", route=sms.route, why=str(exc)
            )
            sending.told(Sent(SendResult.FAULT, link.name, str(exc)))
            return
        sending.answers = [None] * len(pdus)
        sending.missing = len(pdus)
        submitted_at = self._clock.seconds()
        self._put.add(link)
        # All are on their way before the first is answered.
        for number, pdu in enumerate(pdus):
            link.put(pdu, partial(self._answered, sending, link, submitted_at, number))

    def _answered(
        self,
        sending: "_Sending",
        link: Link,
        submitted_at: float,
        number: int,
        answer: SubmitAnswer,
    ) -> None:
        """One segment's end; with the last one that of the text."""
        sending.answers[number] = answer
        sending.missing -= 1
        if sending.missing:
            return
        took_s = self._clock.seconds() - submitted_at
        self._metrics.submit_seconds.child(link.name).observe(took_s, len(sending.answers))
        sent = self._judge(link.name, self._dialects[link.name], sending.answers)
        if sent.result is not SendResult.NOT_SENT:
            sending.told(sent)
            return
        sending.sent = sent
        sending.tried.append(link)
        self._send(sending)
        self.flush()

    def _judge(self, link: str, dialect: Dialect, answers: Sequence[SubmitAnswer]) -> Sent:
        results = []
        segments: list[tuple[int | None, str | None]] = []
        details = set()
        for answer in answers:
            result, status, message_id, detail = _one(answer, dialect)
            self._metrics.submits.child(link, detail).add()
            results.append(result)
            segments.append((status, message_id))
            details.add(detail)
        worst = next(r for r in _WORST_FIRST if r in results)
        if worst is SendResult.FAULT:
            log.error(
                "link {link}: the SMSC refuses our messages ({status}): compare the link's "
                "settings with what the operator gave",
                link=link,
                status=", ".join(sorted(details)),
            )
        if worst is SendResult.NOT_SENT:
            if len(set(results)) > 1:  # some segments are out: this is no longer "nothing sent"
                worst = SendResult.NOT_NOW
            else:
                segments = []
        return Sent(worst, link, ", ".join(sorted(details)), tuple(segments))


class _Sending:
    """A text, the links that did not take it, and how its segments fared on the last one."""

    __slots__ = ("answers", "missing", "sent", "sms", "told", "tried")

    def __init__(self, sms: Sms, told: Callable[[Sent], None]) -> None:
        self.sms = sms
        self.told = told
        self.tried: list[Link] = []
        self.sent = Sent(SendResult.NOT_SENT, "", "no link of the route is bound")
        self.answers: list[Any] = []
        self.missing = 0


def _one(answer: SubmitAnswer, dialect: Dialect) -> tuple[SendResult, int | None, str | None, str]:
    """An answer's meaning: result, command_status, message id, and the word to count it under."""
    match answer:
        case Accepted():
            message_id = response_id_key(answer.message_id, dialect.receipt_id_base)
            return SendResult.ACCEPTED, 0, message_id or None, status_name(0)
        case Refused():
            result = _RESULTS[advice(answer.status, dialect.advice)]
            return result, answer.status, None, status_name(answer.status)
        case NotSent():
            return SendResult.NOT_SENT, None, None, "not_sent"
        case Unknown():
            return SendResult.UNKNOWN, None, None, "unknown"


def _submits(parts: Sequence[Part], sms: Sms, dialect: Dialect) -> list[Pdu]:
    source, destination = sms.source.encode("ascii"), sms.msisdn.digits.encode("ascii")
    # What is left of the time to answer: the SMSC drops a prompt that would come too late.
    validity = relative_time(min(sms.validity_s, VALIDITY_S_MAX))
    return [
        submit_sm(
            source_addr=source,
            source_addr_ton=dialect.source_ton,
            source_addr_npi=dialect.source_npi,
            destination_addr=destination,
            dest_addr_ton=dialect.dest_ton,
            dest_addr_npi=dialect.dest_npi,
            esm_class=part.esm_class,
            data_coding=part.data_coding,
            short_message=part.short_message,
            tlvs=part.tlvs,
            validity_period=validity,
            registered_delivery=RegisteredDelivery.ALWAYS,
        )
        for part in parts
    ]
