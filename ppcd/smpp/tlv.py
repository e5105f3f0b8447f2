"""TLVs: the tags of SMPP 3.4 and 5.0 by name, and an ordered multimap of what a PDU carries.

Owns tags, widths and the TLV stream (3.4, 5.3). Never judges values: an unknown tag, a strange
width, a repeated tag is kept as it came, in order, octet by octet.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from ppcd.smpp.errors import EncodeError

#: More TLVs than any message needs; 15,000 empty ones fit into 60 KB and would cost 10 ms.
TLV_COUNT_MAX: Final = 256

_HEAD: Final = struct.Struct(">HH")
_read_head: Final = _HEAD.unpack_from
_write_head: Final = _HEAD.pack


class Tag(IntEnum):
    """Every TLV of SMPP 3.4 (table 5-7), then what 5.0 adds."""

    DEST_ADDR_SUBUNIT = 0x0005
    DEST_NETWORK_TYPE = 0x0006
    DEST_BEARER_TYPE = 0x0007
    DEST_TELEMATICS_ID = 0x0008
    SOURCE_ADDR_SUBUNIT = 0x000D
    SOURCE_NETWORK_TYPE = 0x000E
    SOURCE_BEARER_TYPE = 0x000F
    SOURCE_TELEMATICS_ID = 0x0010
    QOS_TIME_TO_LIVE = 0x0017
    PAYLOAD_TYPE = 0x0019
    ADDITIONAL_STATUS_INFO_TEXT = 0x001D
    RECEIPTED_MESSAGE_ID = 0x001E
    MS_MSG_WAIT_FACILITIES = 0x0030
    PRIVACY_INDICATOR = 0x0201
    SOURCE_SUBADDRESS = 0x0202
    DEST_SUBADDRESS = 0x0203
    USER_MESSAGE_REFERENCE = 0x0204
    USER_RESPONSE_CODE = 0x0205
    SOURCE_PORT = 0x020A
    DESTINATION_PORT = 0x020B
    SAR_MSG_REF_NUM = 0x020C
    LANGUAGE_INDICATOR = 0x020D
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    CALLBACK_NUM_PRES_IND = 0x0302
    CALLBACK_NUM_ATAG = 0x0303
    NUMBER_OF_MESSAGES = 0x0304
    CALLBACK_NUM = 0x0381
    DPF_RESULT = 0x0420
    SET_DPF = 0x0421
    MS_AVAILABILITY_STATUS = 0x0422
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    DELIVERY_FAILURE_REASON = 0x0425
    MORE_MESSAGES_TO_SEND = 0x0426
    MESSAGE_STATE = 0x0427
    USSD_SERVICE_OP = 0x0501
    DISPLAY_TIME = 0x1201
    SMS_SIGNAL = 0x1203
    MS_VALIDITY = 0x1204
    ALERT_ON_MESSAGE_DELIVERY = 0x130C
    ITS_REPLY_TYPE = 0x1380
    ITS_SESSION_INFO = 0x1383

    # SMPP 5.0
    CONGESTION_STATE = 0x0428
    BROADCAST_CHANNEL_INDICATOR = 0x0600
    BROADCAST_CONTENT_TYPE = 0x0601
    BROADCAST_CONTENT_TYPE_INFO = 0x0602
    BROADCAST_MESSAGE_CLASS = 0x0603
    BROADCAST_REP_NUM = 0x0604
    BROADCAST_FREQUENCY_INTERVAL = 0x0605
    BROADCAST_AREA_IDENTIFIER = 0x0606
    BROADCAST_ERROR_STATUS = 0x0607
    BROADCAST_AREA_SUCCESS = 0x0608
    BROADCAST_END_TIME = 0x0609
    BROADCAST_SERVICE_GROUP = 0x060A
    BILLING_IDENTIFICATION = 0x060B
    SOURCE_NETWORK_ID = 0x060D
    DEST_NETWORK_ID = 0x060E
    SOURCE_NODE_ID = 0x060F
    DEST_NODE_ID = 0x0610
    DEST_ADDR_NP_RESOLUTION = 0x0611
    DEST_ADDR_NP_INFORMATION = 0x0612
    DEST_ADDR_NP_COUNTRY = 0x0613


_T = Tag

#: Tags whose value is an unsigned integer, with the width we send. Reading takes any width:
#: source_telematics_id is one octet in 3.4 and two in the field, ms_validity one or four.
INTEGER_WIDTHS: Final[Mapping[int, int]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                _T.DEST_ADDR_SUBUNIT,
                _T.DEST_NETWORK_TYPE,
                _T.DEST_BEARER_TYPE,
                _T.SOURCE_ADDR_SUBUNIT,
                _T.SOURCE_NETWORK_TYPE,
                _T.SOURCE_BEARER_TYPE,
                _T.SOURCE_TELEMATICS_ID,
                _T.PAYLOAD_TYPE,
                _T.MS_MSG_WAIT_FACILITIES,
                _T.PRIVACY_INDICATOR,
                _T.USER_RESPONSE_CODE,
                _T.LANGUAGE_INDICATOR,
                _T.SAR_TOTAL_SEGMENTS,
                _T.SAR_SEGMENT_SEQNUM,
                _T.SC_INTERFACE_VERSION,
                _T.CALLBACK_NUM_PRES_IND,
                _T.NUMBER_OF_MESSAGES,
                _T.DPF_RESULT,
                _T.SET_DPF,
                _T.MS_AVAILABILITY_STATUS,
                _T.DELIVERY_FAILURE_REASON,
                _T.MORE_MESSAGES_TO_SEND,
                _T.MESSAGE_STATE,
                _T.USSD_SERVICE_OP,
                _T.DISPLAY_TIME,
                _T.MS_VALIDITY,
                _T.ITS_REPLY_TYPE,
                _T.CONGESTION_STATE,
                _T.DEST_ADDR_NP_RESOLUTION,
            ),
            1,
        ),
        **dict.fromkeys(
            (
                _T.DEST_TELEMATICS_ID,
                _T.USER_MESSAGE_REFERENCE,
                _T.SOURCE_PORT,
                _T.DESTINATION_PORT,
                _T.SAR_MSG_REF_NUM,
                _T.SMS_SIGNAL,
                _T.ITS_SESSION_INFO,
            ),
            2,
        ),
        _T.QOS_TIME_TO_LIVE: 4,
    }
)

#: Tags whose value is a C-octet string, with its largest size, NUL included.
STRING_SIZES: Final[Mapping[int, int]] = MappingProxyType(
    {
        _T.ADDITIONAL_STATUS_INFO_TEXT: 256,
        _T.RECEIPTED_MESSAGE_ID: 65,
        _T.SOURCE_NETWORK_ID: 65,
        _T.DEST_NETWORK_ID: 65,
    }
)

# Most streams hold a few short values: they are judged by one call. What this doesn't match may
# still be good and is walked. The bodies of no two branches begin alike, so it can't backtrack.
_SHORT_MAX: Final = 16
_short_stream: Final = re.compile(
    b"(?s)(?:..\0(?:"
    + b"|".join(
        re.escape(bytes((size,))) + (b".{%d}" % size if size else b"")
        for size in (1, 2, 3, 0, *range(4, _SHORT_MAX + 1))
    )
    + b"))*+"
).fullmatch


def tlv_stream_problem(octets: bytes) -> str | None:
    """What is wrong with a TLV stream as a whole, None when nothing is (3.4, 5.3)."""
    if len(octets) <= 4 * TLV_COUNT_MAX and _short_stream(octets):
        return None
    at, end, count = 0, len(octets), 0
    while end - at >= 4:
        at += 4 + _read_head(octets, at)[1]
        count += 1
        if count > TLV_COUNT_MAX:
            return f"more than {TLV_COUNT_MAX} TLVs"
    if at > end:
        return f"the last value ends {at - end} octets behind the PDU"
    return f"{end - at} octets are no TLV" if at < end else None


def encode_tlv(tag: int, value: bytes | int) -> bytes:
    """One TLV's octets; EncodeError for what can't stand there.

    An int is written in the specification's width of that tag; bytes go out as they are, so a
    C-octet string's NUL is the caller's (`c_string` adds it).
    """
    name = tag_name(tag)
    if isinstance(value, int):
        value = _write_integer(tag, value)
    if len(value) > 0xFFFF:
        raise EncodeError(name, f"{len(value)} octets, more than 65535")
    if not 0 <= tag <= 0xFFFF:
        raise EncodeError(name, "a tag has 16 bits")
    return _write_head(tag, len(value)) + value


def _write_integer(tag: int, number: int) -> bytes:
    width = INTEGER_WIDTHS.get(tag)
    if width is None:
        raise EncodeError(tag_name(tag), "has no integer width, give bytes")
    try:
        return number.to_bytes(width, "big")
    except OverflowError:
        detail = f"{number} doesn't fit into {width} octets"
        raise EncodeError(tag_name(tag), detail) from None


def c_string(tag: int, text: bytes) -> bytes:
    """`text` as the C-octet string value of `tag`, NUL added; EncodeError if it can't be one."""
    size = STRING_SIZES[tag]
    if 0 in text:
        raise EncodeError(tag_name(tag), "a NUL inside a C-octet string")
    if len(text) >= size:
        raise EncodeError(tag_name(tag), f"{len(text)} octets, more than {size - 1}")
    return text + b"\0"


class Tlvs:
    """The TLVs of one PDU: an ordered multimap of (tag, octets), kept raw, split when asked for."""

    __slots__ = ("_pairs", "octets")

    #: The stream as it stands on the wire.
    octets: bytes

    def __init__(self, pairs: Iterable[tuple[int, bytes | int]] = ()) -> None:
        parts = [encode_tlv(tag, value) for tag, value in pairs]
        if len(parts) > TLV_COUNT_MAX:
            raise EncodeError("tlvs", f"{len(parts)} TLVs, more than {TLV_COUNT_MAX}")
        self.octets = b"".join(parts)
        self._pairs: tuple[tuple[int, bytes], ...] | None = None

    @classmethod
    def from_octets(cls, octets: bytes) -> "Tlvs":
        """A view of a received stream that `tlv_stream_problem` found nothing wrong with."""
        made = cls.__new__(cls)
        made.octets = octets
        made._pairs = None
        return made

    @property
    def pairs(self) -> tuple[tuple[int, bytes], ...]:
        """All (tag, octets), in wire order, repetitions included."""
        if self._pairs is None:
            octets, found, at = self.octets, [], 0
            while at < len(octets):
                tag, length = _read_head(octets, at)
                at += 4 + length
                found.append((tag, octets[at - length : at]))
            self._pairs = tuple(found)
        return self._pairs

    def raw(self, tag: int) -> bytes | None:
        """The octets of the first `tag`, None without one."""
        for found, value in self.pairs if self.octets else ():
            if found == tag:
                return value
        return None

    def all(self, tag: int) -> list[bytes]:
        """The octets of every `tag`, in order: callback_num and its kin repeat and pair by it."""
        return [value for found, value in self.pairs if found == tag]

    def integer(self, tag: int) -> int | None:
        """The first `tag` as an unsigned integer of 1 to 8 octets; None without such a one."""
        value = self.raw(tag)
        return int.from_bytes(value, "big") if value and len(value) <= 8 else None

    def string(self, tag: int) -> bytes | None:
        """The first `tag` as a string up to its NUL, which some SMSCs leave out."""
        value = self.raw(tag)
        return None if value is None else value.partition(b"\0")[0]

    def get(self, tag: int) -> int | bytes | None:
        """The first `tag` in the specification's type: integer, string without NUL, or octets."""
        if tag in INTEGER_WIDTHS:
            return self.integer(tag)
        return self.string(tag) if tag in STRING_SIZES else self.raw(tag)

    def __contains__(self, tag: object) -> bool:
        return any(found == tag for found, _ in self.pairs)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tlvs) and self.octets == other.octets

    def __hash__(self) -> int:
        return hash(self.octets)

    def __repr__(self) -> str:
        # Values may be text or keys: a log sees names and sizes only.
        inner = ", ".join(f"{tag_name(tag)}[{len(value)}]" for tag, value in self.pairs)
        return f"Tlvs({inner})"


NO_TLVS: Final = Tlvs()


def tag_name(tag: int) -> str:
    """The specification's name, `message_payload`, or `0x1403` for what it doesn't know."""
    try:
        return Tag(tag).name.lower()
    except ValueError:
        return f"{tag:#06x}"
