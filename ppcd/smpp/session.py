"""One SMPP conversation without its socket: bytes and `now` in, events and bytes out.

Owns states, both windows, sequence numbers, timers, and what is answered to what. Refuses to know
transports, clocks, reconnecting and what a message means. A driver of a few lines gives it bytes,
writes what it has to send and calls `tick` at `next_deadline`.

Rules of the house: answers are never answered; a malformed request is answered by its own response
and the link stays; only a broken length ends it; every request of ours is handed back once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ppcd.smpp.accounts import Outgoing, Owed
from ppcd.smpp.answers import header_only, rule_on, with_sequence
from ppcd.smpp.batch import Batch
from ppcd.smpp.command import BINDS, RESPONSE_BIT, UNANSWERED, Command
from ppcd.smpp.decode import Decoder, DeliverRows
from ppcd.smpp.errors import FramingError
from ppcd.smpp.events import (
    Answered,
    BindRequested,
    Bound,
    End,
    Ended,
    Event,
    Expired,
    Odd,
    Oddity,
    PeerUnbinds,
    Requested,
    Told,
    Unsent,
)
from ppcd.smpp.matrix import BOUND, BOUND_BY, MAY_SEND, Role, State
from ppcd.smpp.outbox import Outbox
from ppcd.smpp.pdu import Pdu, encode
from ppcd.smpp.settings import SessionSettings
from ppcd.smpp.status import Advice, Status, advice
from ppcd.smpp.timers import Due, Timers
from ppcd.smpp.tlv import Tag

#: Requests before a bind that are answered; one more and the stranger is shown out.
STRAYS_MAX: Final = 3
_CONGESTION: Final = Tag.CONGESTION_STATE.to_bytes(2, "big")


class Session:
    """A conversation in one of two roles. Not thread-safe; `now` must not go back."""

    def __init__(
        self, role: Role, settings: SessionSettings, *, random: Callable[[], float], now: float
    ) -> None:
        self.role = role
        self.settings = settings
        self.state = State.OPEN
        self.owed = Owed(settings.inbound_max)
        self.outbox = Outbox(settings, random, now)
        # A stranger gets less room than a bound ESME. The SMSC that we dialled is no stranger, and
        # its bind_resp may share a read with its first large message.
        size_max = settings.pdu_size_max_unbound if role is Role.SMSC else settings.pdu_size_max
        self._decoder = Decoder(size_max, settings.quirks.wire)
        self._reserved = self.outbox.reserved
        self._timers = Timers(settings.timers, now)
        self._out = Outgoing()
        self._events: list[Event] = []
        self._takes: frozenset[int] = frozenset()
        self._asked: Pdu | None = None  # the bind that is being decided
        self._enquiry: int | None = None
        #: No new work any more: we want to unbind, or the other side does.
        self.leaving = False
        self._peer_unbind: int | None = None  # the sequence number of the other side's unbind
        self._strays = 0
        self._ended: Ended | None = None

    # What comes in

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """All that these bytes mean; answers first, then requests in one batch, the end last."""
        if self.state is State.CLOSED:
            return []
        timers, decoder = self._timers, self._decoder
        timers.heard(now)
        framing: FramingError | None = None
        runs: Sequence[object]
        try:
            runs = decoder.feed_rows(data)
        except FramingError as error:
            framing, runs = error, error.before
        batch = Batch()
        for run in runs:
            if self._ended is not None:
                break
            if isinstance(run, Pdu):
                self._receive(run, batch, now)
            else:
                assert isinstance(run, DeliverRows)
                if Command.DELIVER_SM in self._takes:
                    batch.add(run)
                else:
                    for pdu in run.pdus():
                        self._request(pdu, now)
        if runs:
            timers.whole()
        timers.partial(now, decoder.waiting)
        if batch.count:
            self.owed.unanswered += batch.count
            timers.moved(now)
            self._events.append(Requested(batch))
        if framing is not None:
            self._out.urgent(framing.answer)
            self._end(End.FRAMING)
        return self._settle(now)

    def _receive(self, pdu: Pdu, batch: Batch, now: float) -> None:
        command = pdu.command
        if command in self._takes and pdu.fault is None:
            batch.add(pdu)
        elif command >= RESPONSE_BIT:
            self._response(pdu, now)
        else:
            self._request(pdu, now)

    def _response(self, pdu: Pdu, now: float) -> None:
        sequence = pdu.sequence
        request = self.outbox.waiting_for(sequence)
        if request is None:
            self._session_response(pdu, now)
            return
        if pdu.command not in (request.command | RESPONSE_BIT, Command.GENERIC_NACK):
            self._events.append(Odd(pdu, Oddity.WRONG_TYPE))
            return
        status = pdu.status
        unclear = pdu.fault is not None or pdu.command == Command.GENERIC_NACK
        if status == Status.ESME_ROK and unclear:
            # Taken or not? Nobody can tell; it stays in flight and expires as unknown.
            self._events.append(Odd(pdu, Oddity.MALFORMED_ANSWER))
            return
        self._timers.moved(now)
        pace = self.outbox.pace
        if status == Status.ESME_ROK:
            pace.answered(now)
        elif advice(status, self.settings.advice) is Advice.SLOW:
            pace.throttled(now)
            if not self.leaving and self.outbox.again(sequence):
                return
        # In the octets first: taking each answer's TLVs apart would cost more than all the rest.
        if _CONGESTION in pdu.body:
            congestion = pdu.tlvs.integer(Tag.CONGESTION_STATE)
            if congestion is not None:
                pace.congestion(congestion, now)
        self.outbox.done(sequence)
        self._events.append(Answered(request.token, pdu))

    def _session_response(self, pdu: Pdu, now: float) -> None:
        """An answer to something the session itself asked, or to nothing."""
        asked = self._reserved.get(pdu.sequence)
        if asked is None:
            self._events.append(Odd(pdu, Oddity.UNMATCHED))
            return
        if pdu.command not in (asked | RESPONSE_BIT, Command.GENERIC_NACK):
            self._events.append(Odd(pdu, Oddity.WRONG_TYPE))
            return
        del self._reserved[pdu.sequence]
        if asked == Command.ENQUIRE_LINK:
            self._enquiry = None  # even a generic_nack is a sign of life
        elif asked == Command.UNBIND:
            self._end(End.UNBOUND)
        elif pdu.status == Status.ESME_ROK and pdu.command != Command.GENERIC_NACK:
            self._bound(BOUND_BY[asked], pdu, now)
        else:
            self._end(End.BIND_REFUSED, pdu.status)

    def _request(self, pdu: Pdu, now: float) -> None:
        command = pdu.command
        if command == Command.ENQUIRE_LINK:
            self._out.urgent(header_only(Command.ENQUIRE_LINK_RESP, pdu.sequence))
        elif command in UNANSWERED and self.role is Role.ESME and pdu.fault is None:
            self._events.append(Told(pdu))
        elif command == Command.UNBIND:
            self._peer_unbinds(pdu, now)
        elif command in BINDS and self._may_bind(pdu):
            self.state = State.BINDING
            self._asked = pdu
            self._events.append(BindRequested(pdu))
        else:
            ruling = rule_on(pdu, self.role, self.state, self.settings.not_now_status)
            if ruling.answer:
                self._out.urgent(ruling.answer)
            self._events.append(Odd(pdu, ruling.oddity, ruling.status))
            if self.state in (State.OPEN, State.BINDING):
                self._strays += 1
                if self._strays > STRAYS_MAX:
                    self._end(End.STRAYS)

    def _may_bind(self, pdu: Pdu) -> bool:
        return self.role is Role.SMSC and self.state is State.OPEN and pdu.fault is None

    def _peer_unbinds(self, pdu: Pdu, now: float) -> None:
        self._peer_unbind = pdu.sequence
        if self.state in BOUND:
            self._leave(now)
            self._events.append(PeerUnbinds())
        elif self.state is State.UNBINDING:
            # Both at once: answer theirs, ours is on its way.
            self._out.urgent(header_only(Command.UNBIND_RESP, pdu.sequence))
            self._peer_unbind = None
        else:
            self._answer_unbind()

    def _answer_unbind(self) -> None:
        assert self._peer_unbind is not None
        self._out.urgent(header_only(Command.UNBIND_RESP, self._peer_unbind))
        self._end(End.UNBOUND_BY_PEER)

    # What goes out

    def bind(self, pdu: Pdu, now: float) -> None:
        """Ask for a bind (ESME, once); `Bound` or `Ended` follows."""
        assert self.role is Role.ESME
        assert self.state is State.OPEN
        assert pdu.command in BINDS
        self.state = State.BINDING
        self._control(pdu.command, encode(pdu, sequence=1))

    def answer_bind(self, answer: Pdu, now: float) -> list[Event]:
        """Answer the `BindRequested` (SMSC): bound with status 0, else open for another try."""
        if self.state is not State.BINDING or self._asked is None:
            return []  # they left while we were thinking
        asked, self._asked = self._asked, None
        self._out.urgent(encode(answer))
        if answer.status == Status.ESME_ROK:
            self._bound(BOUND_BY[asked.command], asked, now)
        else:
            self.state = State.OPEN
        return self._settle(now)

    def may_send(self, command: int) -> bool:
        """Whether the bind allows this request now."""
        return not self.leaving and command in MAY_SEND[self.role, self.state]

    def submit(self, pdu: Pdu, token: Any, now: float, *, segments: int = 1) -> bool:
        """Queue a request; `token` comes back once, with its answer or its end.

        False: the bind does not allow it now, or the queue is full. Raises what `encode` raises
        when the PDU can't be written.
        """
        if not self.may_send(pdu.command):
            return False
        data = encode(pdu, sequence=1)  # stamped anew when it goes
        if not self.outbox.put(data, command=pdu.command, token=token, segments=segments, now=now):
            return False
        self._timers.moved(now)
        self._out.data(self.outbox.take(now))
        return True

    def tell(self, pdu: Pdu) -> None:
        """Send what has no answer: outbind, alert_notification (SMSC)."""
        assert pdu.command in UNANSWERED
        self._out.data([encode(pdu, sequence=self.outbox.sequence())])

    def answer(self, answers: bytes, count: int, now: float) -> list[Event]:
        """Answer so many deliver_sm and data_sm at once; the octets are `Batch.answers`."""
        if self.state is State.CLOSED:
            return []
        self._out.urgent(answers)
        self.owed.unanswered -= count
        return self._settle(now)

    def answer_with(self, answer: Pdu, now: float) -> list[Event]:
        """Answer one request in full, with whatever its response carries."""
        if self.state is State.CLOSED:
            return []
        self._out.urgent(encode(answer))
        self.owed.unanswered = max(0, self.owed.unanswered - 1)
        return self._settle(now)

    def unbind(self, now: float) -> list[Event]:
        """Leave politely: nothing new, wait for what is open, unbind; `Ended` follows."""
        if self.state in BOUND:
            self._leave(now)
        elif self.state in (State.OPEN, State.BINDING):
            self._end(End.UNBOUND)
        return self._settle(now)

    def end(self, end: End, now: float) -> list[Event]:
        """It is over for a reason that lies outside: connection lost, dropped, slow reader."""
        if end is End.LOST and self.state is State.UNBINDING:
            end = End.UNBOUND  # many close instead of answering an unbind
        self._end(end)
        return self._settle(now)

    def data_to_send(self) -> bytes:
        """The bytes to write now, in one piece."""
        return self._out.take()

    def paused(self) -> None:
        """The driver stopped reading: until `resumed`, silence proves nothing."""
        self.owed.paused = True
        self._timers.pause()
        self.outbox.pause()

    def resumed(self, now: float) -> None:
        self.owed.paused = False
        self._timers.resume(now)
        self.outbox.resume(now)

    # What time brings

    def next_deadline(self, now: float) -> float | None:
        """When `tick` must next be called, in clock seconds; None when the session is over."""
        if self.state is State.CLOSED:
            return None
        found = (self._timers.next_deadline(), self.outbox.next_deadline(now))
        return min((at for at in found if at is not None), default=None)

    def tick(self, now: float) -> list[Event]:
        """Do what is due."""
        while self.state is not State.CLOSED and (due := self._timers.due(now)) is not None:
            match due:
                case Due.ENQUIRE:
                    if self._enquiry is not None:
                        self._reserved.pop(self._enquiry, None)
                    self._enquiry = self._control(Command.ENQUIRE_LINK)
                    self._timers.enquired(now)
                case Due.ENQUIRY_LOST:
                    self._end(End.ENQUIRY_LOST)
                case Due.INACTIVE:
                    self._leave(now)
                case Due.INIT_LATE:
                    self._end(End.BIND_LATE)
                case Due.INCOMPLETE:
                    self._end(End.INCOMPLETE_PDU)
                case Due.DRAIN_LATE:
                    self._depart(now)
                case _:  # UNBIND_LATE
                    self._end(End.UNBIND_UNANSWERED)
        if self.state is not State.CLOSED:
            self._events.extend([Expired(token) for token in self.outbox.expired(now)])
            self._events.extend([Unsent(token) for token in self.outbox.stale(now)])
        return self._settle(now)

    # Inside

    def _bound(self, state: State, pdu: Pdu, now: float) -> None:
        self.state = state
        self._takes = MAY_SEND[self.role.other, state]
        self._decoder.pdu_size_max = self.settings.pdu_size_max
        self._timers.bound(now)
        self._events.append(Bound(pdu))

    def _leave(self, now: float) -> None:
        """From now on nothing new; the queue goes back at once, others may have a place for it."""
        self.leaving = True
        self._takes = frozenset()
        self._timers.draining(now)
        self._events.extend([Unsent(token) for token in self.outbox.give_back_queued()])

    def _depart(self, now: float) -> None:
        """Nothing is open any more, or it took too long."""
        if self._peer_unbind is not None:
            self._answer_unbind()
            return
        self.state = State.UNBINDING
        self._control(Command.UNBIND)
        self._timers.unbinding(now)

    def _control(self, command: int, encoded: bytes | None = None) -> int:
        """Send a request of the session's own; outside the window, never queued."""
        sequence = self.outbox.sequence()
        self._reserved[sequence] = command
        if encoded is None:
            encoded = header_only(command, sequence)
        self._out.urgent(with_sequence(encoded, sequence))
        return sequence

    def _end(self, end: End, status: int | None = None) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._takes = frozenset()
        unsent = self.outbox.give_back_queued()
        self._ended = Ended(end, self.outbox.give_back_flying(), unsent, status)

    def _settle(self, now: float) -> list[Event]:
        """Everything that changed has its consequences; hand the events over."""
        if self.state in BOUND:
            if self.leaving and not self.owed.unanswered and not self.outbox.in_flight:
                self._depart(now)
            elif not self.leaving:
                self._out.data(self.outbox.take(now))
        events, self._events = self._events, []
        if self._ended is not None:
            events.append(self._ended)
            self._ended = None
        return events
