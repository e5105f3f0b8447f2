"""A session under a clock of its own, with the other side's bytes at hand; builders for both."""

from __future__ import annotations

from typing import Any

from ppcd.smpp import Command, Decoder, Pdu, Role, Session, SessionSettings, State, build, encode
from ppcd.smpp.events import Event
from ppcd.smpp.timers import TimerSettings

BINDS = {
    State.BOUND_TRX: Command.BIND_TRANSCEIVER,
    State.BOUND_TX: Command.BIND_TRANSMITTER,
    State.BOUND_RX: Command.BIND_RECEIVER,
}


class Talk:
    """One session; `now` moves by `wait`, what it says is read back as PDUs."""

    def __init__(self, role: Role = Role.ESME, **settings: Any) -> None:
        timers = {k: settings.pop(k) for k in list(settings) if k in TimerSettings.__slots__}
        self.now = 1000.0
        self.session = Session(
            role,
            SessionSettings(timers=TimerSettings(**timers), **settings),
            random=lambda: 1.0,
            now=self.now,
        )
        self._reader = Decoder()

    def said(self) -> list[Pdu]:
        """What the session wants to write, as PDUs."""
        return self._reader.feed(self.session.data_to_send())

    def hear(self, *pdus: Pdu | bytes) -> list[Event]:
        """The other side's PDUs in one read."""
        octets = b"".join(p if isinstance(p, bytes) else encode(p) for p in pdus)
        return self.session.receive_data(octets, self.now)

    def wait(self, seconds: float) -> list[Event]:
        """Time passes, with every deadline on the way kept."""
        until = self.now + seconds
        events: list[Event] = []
        while (at := self.session.next_deadline(self.now)) is not None and at <= until:
            self.now = max(self.now, at)
            before = len(events)
            events += self.session.tick(self.now)
            if self.session.next_deadline(self.now) == at and len(events) == before:
                raise AssertionError("a deadline that does not move")
        self.now = until
        return events

    def submit(self, token: object, **fields: Any) -> bool:
        return self.session.submit(a_submit(**fields), token, self.now)


def a_submit(sequence: int = 0, **fields: Any) -> Pdu:
    return build(
        Command.SUBMIT_SM,
        sequence=sequence,
        **{"source_addr": b"717100", "destination_addr": b"380971234567", **fields},
    )


def a_deliver(sequence: int, text: bytes = b"YES", **fields: Any) -> Pdu:
    return build(
        Command.DELIVER_SM,
        sequence=sequence,
        source_addr=b"380971234567",
        destination_addr=b"717100",
        short_message=text,
        **fields,
    )


def a_bind(command: int = Command.BIND_TRANSCEIVER, sequence: int = 1) -> Pdu:
    return build(command, sequence=sequence, system_id=b"ppcd", password=b"secret")


def an_answer(request: Pdu, status: int = 0, **fields: Any) -> Pdu:
    command = request.command | 0x8000_0000
    if status or command not in (Command.SUBMIT_SM_RESP, Command.DELIVER_SM_RESP):
        return Pdu(command, status, request.sequence)
    return build(command, sequence=request.sequence, **fields)


def bound_esme(state: State = State.BOUND_TRX, **settings: Any) -> Talk:
    """An ESME whose bind was just accepted."""
    talk = Talk(Role.ESME, **settings)
    talk.session.bind(a_bind(BINDS[state]), talk.now)
    (bind,) = talk.said()
    talk.hear(build(bind.command | 0x8000_0000, sequence=bind.sequence, system_id=b"smsc"))
    assert talk.session.state is state
    return talk


def bound_smsc(state: State = State.BOUND_TRX, **settings: Any) -> Talk:
    """An SMSC that just accepted a bind."""
    talk = Talk(Role.SMSC, **settings)
    bind = a_bind(BINDS[state], sequence=77)
    talk.hear(bind)
    talk.session.answer_bind(
        build(bind.command | 0x8000_0000, sequence=77, system_id=b"smsc"), talk.now
    )
    talk.said()
    assert talk.session.state is state
    return talk
