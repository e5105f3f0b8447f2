"""Meanings of single octets: TON, NPI, esm_class, registered_delivery, message_state.

Names for people who read and write values; PDUs carry plain integers, known or not. (SMPP 3.4,
5.2.)
"""

from enum import IntEnum
from typing import Final


class Ton(IntEnum):
    """Type of number (5.2.5)."""

    UNKNOWN = 0
    INTERNATIONAL = 1
    NATIONAL = 2
    NETWORK_SPECIFIC = 3
    SUBSCRIBER = 4
    ALPHANUMERIC = 5
    ABBREVIATED = 6


class Npi(IntEnum):
    """Numbering plan indicator (5.2.6)."""

    UNKNOWN = 0
    ISDN = 1
    DATA = 3
    TELEX = 4
    LAND_MOBILE = 6
    NATIONAL = 8
    PRIVATE = 9
    ERMES = 10
    INTERNET = 14
    WAP_CLIENT_ID = 18


#: esm_class (5.2.12): user data header present; the message type is a number in bits 5 to 2.
ESM_UDHI: Final = 0x40
ESM_REPLY_PATH: Final = 0x80
ESM_TYPE_MASK: Final = 0x3C


class MessageType(IntEnum):
    """Bits 5 to 2 of an esm_class, compared as one value, never bit by bit.

    Conversation abort (0x18) has the bits of others in it: only the whole number says what a
    message is, and only NORMAL is a subscriber's.
    """

    NORMAL = 0x00
    RECEIPT = 0x04
    DELIVERY_ACKNOWLEDGEMENT = 0x08
    USER_ACKNOWLEDGEMENT = 0x10
    CONVERSATION_ABORT = 0x18
    INTERMEDIATE_NOTIFICATION = 0x20


def message_type(esm_class: int) -> int:
    """The type of an SMSC's message; a `MessageType` where it is a known one."""
    return esm_class & ESM_TYPE_MASK


class RegisteredDelivery(IntEnum):
    """Bits 1 and 0 of registered_delivery (5.2.17): which receipts are asked for."""

    NONE = 0
    ALWAYS = 1
    ON_FAILURE = 2


class MessageState(IntEnum):
    """message_state (5.2.28); SCHEDULED and SKIPPED are 5.0's."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


#: States after which no other receipt is due.
FINAL_STATES: Final = frozenset(
    {
        MessageState.DELIVERED,
        MessageState.EXPIRED,
        MessageState.DELETED,
        MessageState.UNDELIVERABLE,
        MessageState.ACCEPTED,
        MessageState.REJECTED,
        MessageState.SKIPPED,
    }
)
