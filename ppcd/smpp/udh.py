"""The user data header: what stands in front of the text when esm_class says so.

Owns its elements (3GPP 23.040, 9.2.3.24) and the SAR TLVs that say the same. A header that can't
be is named, never raised: the message itself was received.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from ppcd.smpp.octets import ESM_UDHI
from ppcd.smpp.pdu import Pdu
from ppcd.smpp.tlv import Tag, Tlvs

CONCATENATED_8: Final = 0x00
PORTS_8: Final = 0x04
PORTS_16: Final = 0x05
CONCATENATED_16: Final = 0x08


class By(StrEnum):
    """How the parts of a long message name each other."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"


class Concatenation(NamedTuple):
    """This message is part `number`, from 1, of `total` under `reference`."""

    by: By
    reference: int
    total: int
    number: int


class UserData(NamedTuple):
    """A message's header elements, (id, octets) in order, and what follows them."""

    elements: tuple[tuple[int, bytes], ...]
    octets: bytes
    #: Octets the header takes, its own length octet included; 0 without one.
    header_size: int = 0
    #: What is wrong with the header; the elements in front of that are kept.
    problem: str | None = None


def fill_bits(header_size: int) -> int:
    """Bits between a header and packed septets, which begin on a septet boundary."""
    return -8 * header_size % 7


def split_udh(message: bytes) -> UserData:
    """A message with UDHI taken apart; unknown elements are kept."""
    if not message:
        return UserData((), b"", problem="there is no header at all")
    end = 1 + message[0]
    if end > len(message):
        detail = f"the header has {message[0]} octets, the message fewer"
        return UserData((), b"", len(message), detail)
    elements: list[tuple[int, bytes]] = []
    at = 1
    while at < end:
        data_at = at + 2
        data_end = data_at + message[at + 1] if data_at <= end else data_at
        if data_end > end:
            detail = "an element ends behind the header"
            return UserData(tuple(elements), message[end:], end, detail)
        elements.append((message[at], message[data_at:data_end]))
        at = data_end
    return UserData(tuple(elements), message[end:], end)


def user_data(pdu: Pdu) -> UserData:
    """The user data of a message, from short_message or message_payload, header split off."""
    if pdu.esm_class & ESM_UDHI:
        return split_udh(pdu.message)
    return UserData((), pdu.message)


def _checked(by: By, reference: int, total: int, number: int) -> Concatenation | None:
    # 23.040: a total of 0 or a number outside 1..total makes the element void.
    return Concatenation(by, reference, total, number) if 1 <= number <= total else None


def concatenation_in(data: UserData) -> Concatenation | None:
    """The concatenation among header elements; the last one that isn't void counts."""
    found = None
    for element, octets in data.elements:
        if element == CONCATENATED_8 and len(octets) == 3:
            found = _checked(By.UDH8, octets[0], octets[1], octets[2]) or found
        elif element == CONCATENATED_16 and len(octets) == 4:
            reference = int.from_bytes(octets[:2], "big")
            found = _checked(By.UDH16, reference, octets[2], octets[3]) or found
    return found


def concatenation_by_sar(tlvs: Tlvs) -> Concatenation | None:
    """The concatenation in the three SAR TLVs; None unless all are there (3.4, 5.3.2.22)."""
    if not tlvs.octets:
        return None
    reference = tlvs.integer(Tag.SAR_MSG_REF_NUM)
    total = tlvs.integer(Tag.SAR_TOTAL_SEGMENTS)
    number = tlvs.integer(Tag.SAR_SEGMENT_SEQNUM)
    if reference is None or total is None or number is None:
        return None
    return _checked(By.SAR, reference, total, number)


def concatenation_of(pdu: Pdu) -> Concatenation | None:
    """Which part of which long message `pdu` is, None for a message of its own."""
    found = concatenation_in(user_data(pdu)) if pdu.esm_class & ESM_UDHI else None
    return found or concatenation_by_sar(pdu.tlvs)
