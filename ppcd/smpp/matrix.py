"""Who may send what in which state: SMPP 3.4 §2.3's operation matrix, read as a table.

Owns the states of a conversation and nothing that happens in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from ppcd.smpp.command import Command


class Role(Enum):
    """Which side of the conversation a session plays."""

    ESME = "esme"
    SMSC = "smsc"

    # The one of Enum is written in Python, and the matrix is asked for each message.
    __hash__ = object.__hash__

    @property
    def other(self) -> Role:
        return Role.SMSC if self is Role.ESME else Role.ESME


class State(Enum):
    """Where a conversation stands; the words of 3.4 §2.2, and the ways out of it."""

    OPEN = "open"  # connected, nobody bound
    BINDING = "binding"  # a bind was sent or received and has no answer yet
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBINDING = "unbinding"  # our unbind is on its way
    CLOSED = "closed"

    __hash__ = object.__hash__  # as of Role


BOUND: Final = frozenset({State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX})

#: The state that each kind of bind leads to.
BOUND_BY: Final[Mapping[int, State]] = {
    Command.BIND_TRANSMITTER: State.BOUND_TX,
    Command.BIND_RECEIVER: State.BOUND_RX,
    Command.BIND_TRANSCEIVER: State.BOUND_TRX,
}

_SUBMITTING: Final = frozenset[int](
    {
        Command.SUBMIT_SM,
        Command.SUBMIT_MULTI,
        Command.QUERY_SM,
        Command.CANCEL_SM,
        # 3.4's table lists replace_sm for transmitters only; nobody means it.
        Command.REPLACE_SM,
        Command.DATA_SM,
    }
)
# data_sm goes both ways, and we allow it in the direction that the bind allows.
_DELIVERING: Final = frozenset[int]({Command.DELIVER_SM, Command.DATA_SM})
_NONE: Final = frozenset[int]()

#: Requests about messages that a role may send in a state. Binds, unbind and enquire_link are the
#: session's own and not listed.
MAY_SEND: Final[Mapping[tuple[Role, State], frozenset[int]]] = {
    (Role.ESME, State.OPEN): _NONE,
    (Role.ESME, State.BINDING): _NONE,
    (Role.ESME, State.BOUND_TX): _SUBMITTING,
    (Role.ESME, State.BOUND_RX): _NONE,
    (Role.ESME, State.BOUND_TRX): _SUBMITTING,
    (Role.ESME, State.UNBINDING): _NONE,
    (Role.ESME, State.CLOSED): _NONE,
    (Role.SMSC, State.OPEN): _NONE,
    (Role.SMSC, State.BINDING): _NONE,
    (Role.SMSC, State.BOUND_TX): _NONE,
    (Role.SMSC, State.BOUND_RX): _DELIVERING,
    (Role.SMSC, State.BOUND_TRX): _DELIVERING,
    (Role.SMSC, State.UNBINDING): _NONE,
    (Role.SMSC, State.CLOSED): _NONE,
}
