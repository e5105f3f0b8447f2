"""command_id by name and which answer belongs to which request (SMPP 3.4, 5.1.2.1).

Knows no bodies and no session states.
"""

from enum import IntEnum
from typing import Final

#: Set in every response's command_id.
RESPONSE_BIT: Final = 0x80000000


class Command(IntEnum):
    """Every operation of SMPP 3.4; 5.0's broadcast operations by name only, without bodies."""

    BIND_RECEIVER = 0x00000001
    BIND_TRANSMITTER = 0x00000002
    QUERY_SM = 0x00000003
    SUBMIT_SM = 0x00000004
    DELIVER_SM = 0x00000005
    UNBIND = 0x00000006
    REPLACE_SM = 0x00000007
    CANCEL_SM = 0x00000008
    BIND_TRANSCEIVER = 0x00000009
    OUTBIND = 0x0000000B
    ENQUIRE_LINK = 0x00000015
    SUBMIT_MULTI = 0x00000021
    ALERT_NOTIFICATION = 0x00000102
    DATA_SM = 0x00000103
    BROADCAST_SM = 0x00000111
    QUERY_BROADCAST_SM = 0x00000112
    CANCEL_BROADCAST_SM = 0x00000113

    GENERIC_NACK = 0x80000000
    BIND_RECEIVER_RESP = 0x80000001
    BIND_TRANSMITTER_RESP = 0x80000002
    QUERY_SM_RESP = 0x80000003
    SUBMIT_SM_RESP = 0x80000004
    DELIVER_SM_RESP = 0x80000005
    UNBIND_RESP = 0x80000006
    REPLACE_SM_RESP = 0x80000007
    CANCEL_SM_RESP = 0x80000008
    BIND_TRANSCEIVER_RESP = 0x80000009
    ENQUIRE_LINK_RESP = 0x80000015
    SUBMIT_MULTI_RESP = 0x80000021
    DATA_SM_RESP = 0x80000103
    BROADCAST_SM_RESP = 0x80000111
    QUERY_BROADCAST_SM_RESP = 0x80000112
    CANCEL_BROADCAST_SM_RESP = 0x80000113


BINDS: Final = frozenset(
    {Command.BIND_RECEIVER, Command.BIND_TRANSMITTER, Command.BIND_TRANSCEIVER}
)

#: Requests that have no response (3.4, 4.1.7 and 4.12.1).
UNANSWERED: Final = frozenset({Command.OUTBIND, Command.ALERT_NOTIFICATION})


def is_response(command: int) -> bool:
    """Whether bit 31 is set: a response or generic_nack, which nobody answers."""
    return command >= RESPONSE_BIT


def command_name(command: int) -> str:
    """The specification's name, `submit_sm`, or `0x00010101` for what it doesn't know."""
    try:
        return Command(command).name.lower()
    except ValueError:
        return f"{command:#010x}"
