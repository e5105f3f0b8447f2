"""What a session has to say: one small value a happening, in the order they matter.

Cloudhopper's vocabulary: expected answers, unexpected ones, expired requests, recoverable and
unrecoverable errors each have a name of their own, and none of them is an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ppcd.smpp.batch import Batch
from ppcd.smpp.pdu import Pdu


class End(Enum):
    """Why a session is over; `abort` tells whether the other side deserves an orderly close."""

    UNBOUND = "we unbound"
    UNBOUND_BY_PEER = "the other side unbound"
    UNBIND_UNANSWERED = "our unbind was not answered"
    BIND_REFUSED = "bind refused"
    BIND_LATE = "not bound in time"
    ENQUIRY_LOST = "enquire_link was not answered"
    INCOMPLETE_PDU = "a PDU began and never ended"
    FRAMING = "impossible command_length"
    STRAYS = "requests before a bind"
    LOST = "connection lost"
    DROPPED = "dropped by us"
    SLOW_READER = "the other side does not read"
    FAULT = "an error of our own"

    @property
    def abort(self) -> bool:
        return self in _ABORTED


_ABORTED = frozenset(
    {End.ENQUIRY_LOST, End.INCOMPLETE_PDU, End.DROPPED, End.SLOW_READER, End.FAULT, End.LOST}
)


class Oddity(Enum):
    """Why a PDU that came in was not taken."""

    UNMATCHED = "an answer to nothing that waits"  # late, doubled, or never asked for
    WRONG_TYPE = "an answer of another operation"
    MALFORMED_ANSWER = "a malformed answer"
    MALFORMED = "a malformed request"
    UNKNOWN_COMMAND = "an unknown command"
    WRONG_STATE = "a request that this state or bind does not allow"
    LEAVING = "a request while we are leaving"


@dataclass(frozen=True, slots=True)
class Bound:
    """The bind stands. As ESME: with the SMSC's answer; as SMSC: with the bind we accepted."""

    pdu: Pdu


@dataclass(frozen=True, slots=True)
class BindRequested:
    """An ESME wants to bind: `accept_bind` or `refuse_bind` must follow, at once or later."""

    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Requested:
    """Requests to answer, in wire order, all that came in one read."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Told:
    """alert_notification or outbind: nothing to answer."""

    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to our request, whatever its status; `token` is the sender's own."""

    token: Any
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Expired:
    """Written, and no answer in time: nobody knows whether it happened."""

    token: Any


@dataclass(frozen=True, slots=True)
class Unsent:
    """It waited too long in the queue; not one octet of it was written."""

    token: Any


@dataclass(frozen=True, slots=True)
class Odd:
    """A PDU that the session dealt with itself; `answered` is the status it sent, if any."""

    pdu: Pdu
    oddity: Oddity
    answered: int | None = None


@dataclass(frozen=True, slots=True)
class PeerUnbinds:
    """The other side wants to leave; its answer follows when what is open has been answered."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over and the connection is to be closed. Comes exactly once, and last.

    `unanswered` were written and are now unknown for ever; `unsent` never left.
    """

    end: End
    unanswered: list[Any]
    unsent: list[Any]
    status: int | None = None


Event = (
    Bound
    | BindRequested
    | Requested
    | Told
    | Answered
    | Expired
    | Unsent
    | Odd
    | PeerUnbinds
    | Ended
)
