"""What is answered to what, where the application is not asked: bytes ready to be written.

Owns the table of refusals. The rule behind it: an answer is never answered; a request is answered
by its own response, so that its sender finds it; generic_nack only where no response exists.
"""

from __future__ import annotations

from typing import NamedTuple

from ppcd.smpp.command import BINDS, UNANSWERED
from ppcd.smpp.events import Oddity
from ppcd.smpp.matrix import MAY_SEND, Role, State
from ppcd.smpp.pdu import HEADER_SIZE, Pdu, encode, pack_header, response_to
from ppcd.smpp.status import Status


class Ruling(NamedTuple):
    """What to think of a request that is not taken, and what to say to its sender."""

    oddity: Oddity
    status: int | None = None
    answer: bytes = b""


def header_only(command: int, sequence: int, status: int = 0) -> bytes:
    """A PDU without a body."""
    return pack_header(HEADER_SIZE, command, status, sequence)


def with_sequence(encoded: bytes, sequence: int) -> bytes:
    """The same PDU under another sequence number."""
    return encoded[:12] + sequence.to_bytes(4, "big") + encoded[16:]


def _refused(pdu: Pdu, oddity: Oddity, status: int) -> Ruling:
    return Ruling(oddity, status, encode(response_to(pdu, status)))


def rule_on(pdu: Pdu, role: Role, state: State, not_now_status: int | None) -> Ruling:
    """How to refuse a request that came in at `role`; never called for one that is taken."""
    fault = pdu.fault
    if fault is not None and fault.response is None:
        return Ruling(Oddity.MALFORMED)
    if fault is not None:
        unknown = fault.status == Status.ESME_RINVCMDID
        oddity = Oddity.UNKNOWN_COMMAND if unknown else Oddity.MALFORMED
        return _refused(pdu, oddity, fault.status)
    if pdu.command in UNANSWERED:
        return Ruling(Oddity.WRONG_STATE)
    if pdu.command in BINDS and role is Role.SMSC:
        return _refused(pdu, Oddity.WRONG_STATE, Status.ESME_RALYBND)
    if pdu.command in MAY_SEND[role.other, state]:
        # Allowed, but we are leaving: it may come again later, or to another node.
        if not_now_status is None:
            return Ruling(Oddity.LEAVING)
        return _refused(pdu, Oddity.LEAVING, not_now_status)
    if state is State.UNBINDING:
        # Never a permanent error to a message that crossed our unbind: silence brings it back.
        return Ruling(Oddity.LEAVING)
    return _refused(pdu, Oddity.WRONG_STATE, Status.ESME_RINVBNDSTS)
