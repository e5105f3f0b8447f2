"""A link: messages out with their answers, batches in with ours, over binds that are kept up.

Owns what an application sees of SMPP: `Link`, and the four ends a submit can have. Refuses to know
what a message says, to decide what is done about an unknown outcome, and to answer a message before
the application did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol, TypeAlias

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger, LogLevel

from ppcd.smpp.batch import Batch
from ppcd.smpp.binding import Bind, LinkState
from ppcd.smpp.command import Command
from ppcd.smpp.driver import Driver
from ppcd.smpp.events import (
    Answered,
    End,
    Ended,
    Event,
    Expired,
    Odd,
    Oddity,
    Requested,
    Told,
    Unsent,
)
from ppcd.smpp.inbox import Inbox
from ppcd.smpp.pdu import Pdu
from ppcd.smpp.settings import BindKind, LinkSettings
from ppcd.smpp.status import status_name
from ppcd.smpp.submission import Accepted, NotSent, Refused, SubmitAnswer, Unknown
from ppcd.smpp.tls import client_tls

_COMMANDS: dict[BindKind, tuple[int, ...]] = {
    "transceiver": (Command.BIND_TRANSCEIVER,),
    "pair": (Command.BIND_RECEIVER, Command.BIND_TRANSMITTER),
    "transmitter": (Command.BIND_TRANSMITTER,),
    "receiver": (Command.BIND_RECEIVER,),
}
#: Who hears how a submit ended.
Hearer: TypeAlias = Callable[[SubmitAnswer], Any]
WARN_EVERY_S: Final = 10.0
#: How far along a link is; one of two binds is as far as the slower one.
_PROGRESS = [
    LinkState.STOPPED,
    LinkState.DOWN,
    LinkState.CONNECTING,
    LinkState.BINDING,
    LinkState.UNBINDING,
    LinkState.BOUND,
]


class Inbound(Protocol):
    """Who takes what the SMSC delivers."""

    def received(self, link: Link, batch: Inbox) -> None:
        """A batch in wire order. Answer it after whatever makes it durable."""
        ...


@dataclass(slots=True)
class Counts:
    """Plain numbers since the start, for whoever exports them."""

    binds: int = 0
    lost: int = 0
    received: int = 0
    submits: Counter[int] = field(default_factory=Counter)  # by status of the answer
    not_sent: int = 0
    unknown: int = 0
    odd: Counter[Oddity] = field(default_factory=Counter)


class Link:
    """One SMSC account: a transceiver, or a receiver and a transmitter, bound whenever possible.

    Arguments are everything it needs of the world: `reactor` for connections and time, `random`
    for jitter. `on_state` hears of each change, `on_told` of alert_notification and outbind.
    EncodeError, OSError or ValueError when the settings can't work.
    """

    def __init__(
        self,
        settings: LinkSettings,
        *,
        reactor: Any,
        inbound: Inbound,
        random: Random,
        on_state: Callable[[Link], None] | None = None,
        on_told: Callable[[Link, Pdu], None] | None = None,
        endpoint: IStreamClientEndpoint | None = None,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.counts = Counts()
        self._clock: IReactorTime = reactor
        self._inbound = inbound
        self._on_state = on_state
        self._on_told = on_told
        self._log = Logger(namespace="ppcd.smpp.link")
        self._state = LinkState.STOPPED
        self._odd: Counter[Oddity] = Counter()  # since the last warning
        self._warned_at: float | None = None
        endpoint = endpoint or _endpoint(settings, reactor)
        self._binds = [
            Bind(
                command,
                settings,
                endpoint=endpoint,
                clock=self._clock,
                random=random.random,
                owner=self,
                log=self._log,
            )
            for command in _COMMANDS[settings.bind]
        ]
        senders = [bind for bind in self._binds if bind.command != Command.BIND_RECEIVER]
        self._sender = senders[0] if senders else None

    @property
    def state(self) -> LinkState:
        return self._state

    @property
    def bound(self) -> bool:
        """All its binds stand, and none is about to leave."""
        return self._state is LinkState.BOUND

    @property
    def sends(self) -> bool:
        """Whether its kind of bind can submit at all."""
        return self._sender is not None

    @property
    def refused_with(self) -> int | None:
        """The status of the last refused bind while there is none."""
        return next((b.refused_with for b in self._binds if b.refused_with is not None), None)

    @property
    def window_in_use(self) -> int:
        """Submits written and not answered."""
        driver = self._sending_driver()
        return 0 if driver is None else driver.session.outbox.in_flight

    @property
    def queued(self) -> int:
        """Submits that wait for the window, the rate or a better time."""
        driver = self._sending_driver()
        return 0 if driver is None else driver.session.outbox.queued

    @property
    def room(self) -> int:
        """Submits that could be written right now without waiting."""
        driver = self._sending_driver()
        if driver is None or not driver.session.may_send(Command.SUBMIT_SM):
            return 0
        return driver.session.outbox.room_now(driver.now())

    @property
    def rate(self) -> float | None:
        """Messages a second that may be sent at present: less than asked for after complaints."""
        driver = self._sending_driver()
        return self.settings.rate_max if driver is None else driver.session.outbox.pace.rate

    @property
    def unanswered(self) -> int:
        """Messages of the SMSC that wait for our answer."""
        return sum(b.driver.session.owed.unanswered for b in self._binds if b.driver is not None)

    def start(self) -> None:
        """Connect, bind, and keep it so."""
        for bind in self._binds:
            bind.start()

    def stop(self) -> Deferred[None]:
        """Stop sending, drain, unbind, close; fires within drain_s + unbind_s and a little more."""
        stops = [bind.stop() for bind in self._binds]
        done: Deferred[None] = DeferredList(stops).addCallback(lambda _: None)
        return done

    def drop(self) -> None:
        """Abort the connections; they are tried again as after any loss."""
        for bind in self._binds:
            bind.drop()

    def pause_reading(self) -> None:
        """Read nothing more until `resume_reading`; the SMSC has to wait, the link stays."""
        for bind in self._binds:
            bind.hold()

    def resume_reading(self) -> None:
        for bind in self._binds:
            bind.unhold()

    def submit(self, pdu: Pdu, *, segments: int = 1) -> Deferred[SubmitAnswer]:
        """Send a request; fires once with one of four ends, never fails.

        Waits behind window and rate; `segments` is what it costs of the rate. Raises EncodeError
        when the PDU can't be written at all.
        """
        answer: Deferred[SubmitAnswer] = Deferred()
        self.put(pdu, answer.callback, segments=segments)
        self.flush()
        return answer

    def put(self, pdu: Pdu, told: Hearer, *, segments: int = 1) -> None:
        """As `submit`, for many: they leave together with the next `flush`. `told` is called once
        with the end, perhaps at once.
        """
        driver = self._sending_driver()
        if driver is None or not driver.session.may_send(pdu.command):
            self.counts.not_sent += 1
            told(NotSent("not bound for this"))
        elif not driver.session.submit(pdu, told, driver.now(), segments=segments):
            self.counts.not_sent += 1
            told(NotSent("the link's queue is full"))

    def flush(self) -> None:
        """Write what was put."""
        driver = self._sending_driver()
        if driver is not None:
            driver.flush()

    # What the binds report

    def bind_changed(self, bind: Bind) -> None:
        state = min((b.state for b in self._binds), key=_PROGRESS.index)
        if state is self._state:
            return
        self._state = state
        if state is LinkState.BOUND:
            self.counts.binds += 1
            self._log.info("link {link} bound", link=self.name)
        if self._on_state is not None:
            self._tell(self._on_state)

    def bind_happened(self, bind: Bind, events: list[Event], read_at: float) -> None:
        odd: Counter[Oddity] = Counter()
        for event in events:
            match event:
                case Answered(token, pdu):
                    self._answered(token, pdu)
                case Requested(batch):
                    self._received(bind, batch, read_at)
                case Expired(token):
                    self.counts.unknown += 1
                    self._end(token, Unknown("no answer in time"))
                case Unsent(token):
                    self.counts.not_sent += 1
                    self._end(token, NotSent("waited too long, or the link is leaving"))
                case Odd(_, oddity):
                    odd[oddity] += 1
                case Told(pdu) if self._on_told is not None:
                    self._tell(self._on_told, pdu)
                case Ended():
                    self._ended(event)
        if odd:
            self.counts.odd.update(odd)
            self._warn_of(odd)

    # Inside

    def _tell(self, hook: Callable[..., None], *what: Pdu) -> None:
        """Call the application; its errors must not keep events from others, or dialling."""
        try:
            hook(self, *what)
        except Exception:
            self._log.failure("link {link}: the application failed", link=self.name)

    def _warn_of(self, odd: Counter[Oddity]) -> None:
        """One line now and then: a peer that sends rubbish must not fill the log with it."""
        self._odd.update(odd)
        now = self._clock.seconds()
        if self._warned_at is not None and now - self._warned_at < WARN_EVERY_S:
            return
        self._log.warn(
            "link {link} received {odd}",
            link=self.name,
            odd=", ".join(f"{count} x {oddity.value}" for oddity, count in self._odd.items()),
        )
        self._warned_at = now
        self._odd.clear()

    def _sending_driver(self) -> Driver | None:
        return None if self._sender is None else self._sender.driver

    def _answered(self, told: Hearer, pdu: Pdu) -> None:
        status = pdu.status
        self.counts.submits[status] += 1
        self._end(told, Refused(status) if status else Accepted(_message_id(pdu), pdu))

    def _end(self, told: Hearer, end: SubmitAnswer) -> None:
        """Tell whose it was; an error of theirs must not keep the others' ends from them."""
        try:
            told(end)
        except Exception:
            self._log.failure("link {link}: an answer was not taken", link=self.name)

    def _received(self, bind: Bind, batch: Batch, read_at: float) -> None:
        assert bind.driver is not None
        self.counts.received += batch.count
        inbox = Inbox(
            bind.driver,
            batch,
            read_at=read_at,
            not_now_status=self.settings.not_now_status,
            drop=self.drop,
        )
        try:
            self._inbound.received(self, inbox)
        except Exception:
            # Whatever it was, the messages were not taken; they may come again.
            self._log.failure("link {link}: a batch was not taken", link=self.name)
            inbox.not_now()

    def _ended(self, event: Ended) -> None:
        self.counts.lost += 1
        self.counts.unknown += len(event.unanswered)
        self.counts.not_sent += len(event.unsent)
        expected = event.end in (End.UNBOUND, End.UNBOUND_BY_PEER)
        self._log.emit(
            LogLevel.info if expected else LogLevel.warn,
            "link {link} ended: {end}, status {status}, {unanswered} unanswered, {unsent} unsent",
            link=self.name,
            end=event.end.value,
            status=None if event.status is None else status_name(event.status),
            unanswered=len(event.unanswered),
            unsent=len(event.unsent),
        )
        for token in event.unanswered:
            self._end(token, Unknown(event.end.value))
        for token in event.unsent:
            self._end(token, NotSent(event.end.value))


def _message_id(pdu: Pdu) -> str:
    message_id = pdu.fields.get("message_id", b"")
    return message_id.decode("latin-1") if isinstance(message_id, bytes) else ""


def _endpoint(settings: LinkSettings, reactor: Any) -> IStreamClientEndpoint:
    plain = HostnameEndpoint(
        reactor, settings.host, settings.port, timeout=settings.connect_timeout_s
    )
    if settings.tls is None:
        return plain
    endpoint: IStreamClientEndpoint = wrapClientTLS(client_tls(settings.tls, settings.host), plain)
    return endpoint
