"""One connection's conversation: bytes and time in, events and bytes out (RFC 6733, 5; RFC 3539).

Owns what may be said when: the capabilities first, the watchdog, the farewell, and which answer
belongs to which request. Refuses to know sockets, what a request is about, and what is done about
one that got no answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from ppcd.billing.diameter import requests
from ppcd.billing.diameter.codes import (
    BASE,
    CREDIT_CONTROL,
    RELAY,
    Cause,
    Code,
    Command,
    Flag,
    Result,
)
from ppcd.billing.diameter.octets import Avps, Cutter, Malformed, Message
from ppcd.billing.diameter.requests import Identity

_U32_MAX: Final = 0xFFFFFFFF
#: Unanswered requests that are remembered in case the answer comes late.
LATE_MAX: Final = 10_000


class State(Enum):
    GREETING = auto()  # the CER is on its way
    #: Greeted, and not used before it has answered some watchdogs.
    PROBED = auto()
    OPEN = auto()
    #: The watchdog got no answer: nothing new is asked, what was asked may still be answered.
    SUSPECT = auto()
    LEAVING = auto()  # one side has said goodbye
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Opened:
    """Requests may be made: the first time, and when a suspect peer speaks again."""

    host: str


@dataclass(frozen=True, slots=True)
class Suspected:
    """The peer is silent: use another one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to the request that `token` was given with; `late` after it had expired."""

    token: Any
    message: Message
    late: bool


@dataclass(frozen=True, slots=True)
class Expired:
    """No answer in time. One may still come, late."""

    token: Any


@dataclass(frozen=True, slots=True)
class Odd:
    """Something that should not come, and was passed over."""

    what: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation is over: close the connection. Comes once, with what is unanswered."""

    why: str
    unanswered: tuple[Any, ...]
    #: After goodbyes; else it is a failure.
    orderly: bool
    #: The peer does not want us back soon: another Disconnect-Cause than a restart.
    unwanted: bool


Event = Opened | Suspected | Answered | Expired | Odd | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long what may take."""

    answer_s: float = 10.0
    #: Tw of RFC 3539, not below 6; with it the seconds by which it varies either way.
    watchdog_s: float = 30.0
    watchdog_jitter_s: float = 2.0
    greeting_s: float = 10.0
    #: For how long a late answer is still recognised.
    late_s: float = 600.0


@dataclass(slots=True)
class _Asked:
    token: Any
    until: float
    expired: bool = False


class Exchange:
    """Our side of one connection. Call `greet` first; write `data_to_send` after each call."""

    def __init__(
        self,
        identity: Identity,
        pace: Pace,
        *,
        first_id: int,
        jitter: Iterator[float],
        peer_host: str | None = None,
        watchdogs_first: int = 1,
    ) -> None:
        """`first_id` is a random number of 32 bits, `jitter` gives numbers of 0 to 1;
        `peer_host` is the only DiameterIdentity that may answer, None: any. `watchdogs_first`
        must be answered before anything is asked. One at least: some stacks pass over a request
        that follows their greeting at once. More after a failure: RFC 3539, 3.4.1."""
        self.state = State.GREETING
        self._identity = identity
        self._pace = pace
        self._jitter = jitter
        self._peer_host = peer_host
        self._watchdogs_first = watchdogs_first
        self._host = ""
        self._ids = itertools.count(first_id)
        self._cutter = Cutter()
        self._out: list[bytes] = []
        #: By Hop-by-Hop Identifier, oldest first: all wait equally long.
        self._asked: dict[int, _Asked] = {}
        self._late: dict[int, _Asked] = {}
        self._greeting_id = 0
        self._watchdog_id: int | None = None
        self._farewell_id: int | None = None
        self._deadline = 0.0  # of the greeting, the watchdog or the farewell
        self._unwanted = False

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN

    @property
    def in_flight(self) -> int:
        """Requests that still wait for their answer."""
        return len(self._asked)

    def data_to_send(self) -> bytes:
        """What is to be written now, all of it."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def next_deadline(self) -> float | None:
        """When `tick` must next be called; None when it is over."""
        if self.state is State.CLOSED:
            return None
        first = next(iter(self._asked.values()), None)
        return self._deadline if first is None else min(first.until, self._deadline)

    def greet(self, address: str, now: float) -> None:
        """Begin: `address` is our end of the connection."""
        self._deadline = now + self._pace.greeting_s
        self._greeting_id = self._send_base(
            Command.CAPABILITIES_EXCHANGE, requests.capabilities(self._identity, address)
        )

    def ask(self, token: Any, body: bytes, now: float, *, end_to_end: int, repeat: bool) -> None:
        """Make a credit-control request; `repeat`: it may have arrived before, unanswered."""
        assert self.state is State.OPEN
        flags = Flag.REQUEST | Flag.PROXIABLE | (Flag.RETRANSMITTED if repeat else 0)
        hop_by_hop = next(self._ids) & _U32_MAX
        self._asked[hop_by_hop] = _Asked(token, now + self._pace.answer_s)
        message = Message(
            flags, Command.CREDIT_CONTROL, CREDIT_CONTROL, hop_by_hop, end_to_end, body
        )
        self._out.append(message.encoded())

    def leave(self, now: float) -> list[Event]:
        """Say goodbye; ends when the peer has answered or after a while."""
        if self.state in (State.LEAVING, State.CLOSED):
            return []
        if self.state is State.GREETING:
            return self.end("we are leaving")
        self.state = State.LEAVING
        self._deadline = now + min(2.0, self._pace.answer_s)
        body = requests.disconnect(self._identity, Cause.REBOOTING)
        self._farewell_id = self._send_base(Command.DISCONNECT_PEER, body)
        return []

    def end(self, why: str) -> list[Event]:
        """It is over now. What was asked and not answered comes back; a second call does
        nothing."""
        if self.state is State.CLOSED:
            return []
        orderly, self.state = self.state is State.LEAVING, State.CLOSED
        unanswered = tuple(asked.token for asked in self._asked.values())
        self._asked.clear()
        self._late.clear()
        return [Ended(why, unanswered, orderly, self._unwanted)]

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """What the peer's bytes amount to."""
        messages, fault = self._cutter.feed(data)
        events: list[Event] = []
        for message in messages:
            if self.state is State.CLOSED:
                break
            try:
                events += self._received(message, now)
            except Malformed as exc:
                events.append(Odd(f"command {message.command}: {exc}"))
                if self.state is State.GREETING:
                    events += self.end("the peer's greeting can't be read")
        if fault is not None:
            events += self.end(f"the peer's octets make no messages: {fault}")
        return events

    def tick(self, now: float) -> list[Event]:
        """What has become overdue."""
        events: list[Event] = []
        while (first := next(iter(self._asked.items()), None)) and first[1].until <= now:
            hop_by_hop, asked = first
            del self._asked[hop_by_hop]
            events.append(Expired(asked.token))
            self._late[hop_by_hop] = _Asked(asked.token, now + self._pace.late_s)
        while (old := next(iter(self._late.items()), None)) and (
            old[1].until <= now or len(self._late) > LATE_MAX
        ):
            del self._late[old[0]]
        if self.state is not State.CLOSED and self._deadline <= now:
            events += self._overdue(now)
        return events

    # Inside

    def _overdue(self, now: float) -> list[Event]:
        if self.state is State.GREETING:
            return self.end("no answer to our greeting")
        if self.state is State.LEAVING:
            return self.end("left")
        if self._watchdog_id is None:
            self._send_watchdog(now)
            return []
        if self.state is State.OPEN:
            self.state = State.SUSPECT
            self._watch(now)
            return [Suspected()]
        return self.end("the peer is silent")

    def _send_watchdog(self, now: float) -> None:
        body = requests.origin(self._identity)
        self._watchdog_id = self._send_base(Command.DEVICE_WATCHDOG, body)
        self._watch(now)

    def _watch(self, now: float) -> None:
        varied = self._pace.watchdog_jitter_s * (2 * next(self._jitter) - 1)
        self._deadline = now + self._pace.watchdog_s + varied

    def _received(self, message: Message, now: float) -> list[Event]:
        if self.state is State.GREETING:
            return self._greeted(message, now)
        events: list[Event] = []
        if self.state in (State.OPEN, State.SUSPECT):
            # Whatever comes proves that the peer lives: RFC 3539, 3.4.1.
            self._watch(now)
            if self.state is State.SUSPECT:
                self.state = State.OPEN
                events.append(Opened(self._host))
        if message.is_request:
            return events + self._requested(message, now)
        return events + self._answered(message)

    def _greeted(self, message: Message, now: float) -> list[Event]:
        """RFC 6733, 5.3: nothing else is said before the capabilities are exchanged."""
        if message.is_request or (message.command, message.hop_by_hop) != (
            Command.CAPABILITIES_EXCHANGE,
            self._greeting_id,
        ):
            return self.end(f"command {message.command} before the answer to our greeting")
        avps = message.avps()
        code = avps.one(Code.RESULT_CODE)
        if code is None or code.u32() != Result.SUCCESS:
            return self.end(f"the peer refuses us with {'nothing' if code is None else code.u32()}")
        host = avps.one(Code.ORIGIN_HOST)
        name = "" if host is None else host.text()
        if not name:
            return self.end("the peer does not say who it is")
        if self._peer_host is not None and name.lower() != self._peer_host.lower():
            return self.end(f"the peer is {name[:100]!r} and not {self._peer_host!r}")
        if not {CREDIT_CONTROL, RELAY} & set(_applications(avps)):
            return self.end("the peer does no credit control")
        self._host = name
        self.state = State.PROBED
        self._send_watchdog(now)
        return []

    def _requested(self, message: Message, now: float) -> list[Event]:
        if message.command == Command.DEVICE_WATCHDOG:
            self._answer(message, Result.SUCCESS)
            return []
        if message.command == Command.DISCONNECT_PEER:
            cause = message.avps().one(Code.DISCONNECT_CAUSE)
            self._unwanted = cause is not None and cause.u32() != Cause.REBOOTING
            self._answer(message, Result.SUCCESS)
            if self.state is not State.LEAVING:
                # What was asked may still be answered; the peer closes when it has done so.
                self.state = State.LEAVING
                self._deadline = now + self._pace.answer_s
            return []
        self._answer(message, Result.COMMAND_UNSUPPORTED)
        return [Odd(f"a request with command {message.command}")]

    def _answered(self, message: Message) -> list[Event]:
        if message.command == Command.DEVICE_WATCHDOG:
            return self._watchdog_answered(message)
        if message.command == Command.DISCONNECT_PEER:
            return self.end("left") if message.hop_by_hop == self._farewell_id else []
        asked = self._asked.pop(message.hop_by_hop, None)
        if asked is not None:
            return [Answered(asked.token, message, late=False)]
        asked = self._late.pop(message.hop_by_hop, None)
        if asked is not None:
            return [Answered(asked.token, message, late=True)]
        return [Odd("an answer to nothing that was asked")]

    def _watchdog_answered(self, message: Message) -> list[Event]:
        if message.hop_by_hop != self._watchdog_id:
            return []
        self._watchdog_id = None
        if self.state is not State.PROBED:
            return []
        self._watchdogs_first -= 1
        if self._watchdogs_first > 0:
            return []
        self.state = State.OPEN
        return [Opened(self._host)]

    def _send_base(self, command: int, body: bytes) -> int:
        hop_by_hop = next(self._ids) & _U32_MAX
        # Never passed on by agents, so any end-to-end number will do that is new.
        message = Message(Flag.REQUEST, command, BASE, hop_by_hop, hop_by_hop, body)
        self._out.append(message.encoded())
        return hop_by_hop

    def _answer(self, request: Message, code: Result) -> None:
        flags = request.flags & Flag.PROXIABLE
        session = None
        if code is not Result.SUCCESS:
            flags |= Flag.ERROR
            session = request.avps().one(Code.SESSION_ID)
        body = requests.result(self._identity, code, session)
        self._out.append(
            Message(
                flags,
                request.command,
                request.application,
                request.hop_by_hop,
                request.end_to_end,
                body,
            ).encoded()
        )


def _applications(avps: Avps) -> Iterator[int]:
    """The authorisation applications that a peer advertises, alone or under a vendor."""
    for found in avps.all(Code.AUTH_APPLICATION_ID):
        yield found.u32()
    for group in avps.all(Code.VENDOR_SPECIFIC_APPLICATION_ID):
        for found in group.members().all(Code.AUTH_APPLICATION_ID):
            yield found.u32()
