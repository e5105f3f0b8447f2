"""The mandatory parameters of every PDU as data, to be read beside SMPP 3.4, chapter 4.

Owns names, order, kinds and sizes. Who reads and writes by these tables: `ppcd.smpp.body`.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

from ppcd.smpp.command import Command as C

SHORT_MESSAGE_LENGTH_MAX: Final = 255  # 254 in 3.4, 255 in 5.0; the octet that counts holds no more
DESTINATIONS_MAX: Final = 254


class Kind(Enum):
    """How a parameter stands on the wire (3.4, 3.1)."""

    INTEGER = auto()  # unsigned, one octet
    STRING = auto()  # C-octet string, `size` includes its NUL
    TIME = auto()  # C-octet string of 1 or 17 octets
    MESSAGE = auto()  # sm_length and as many octets
    DESTINATIONS = auto()  # number_of_dests and as many dest_address
    UNSUCCESSFUL = auto()  # no_unsuccess and as many unsuccess_sme


class Field(NamedTuple):
    """One mandatory parameter; `size` in octets, for strings the maximum with the NUL."""

    name: str
    kind: Kind
    size: int = 1


def _integers(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.INTEGER) for name in names)


def _string(name: str, size: int) -> tuple[Field, ...]:
    return (Field(name, Kind.STRING, size),)


def _time(name: str) -> tuple[Field, ...]:
    return (Field(name, Kind.TIME, 17),)


def _address(prefix: str, name: str, size: int = 21) -> tuple[Field, ...]:
    return _integers(f"{prefix}_ton", f"{prefix}_npi") + _string(name, size)


_SERVICE_TYPE = _string("service_type", 6)
_MESSAGE_ID = _string("message_id", 65)
_SOURCE = _address("source_addr", "source_addr")
_DESTINATION = _address("dest_addr", "destination_addr")
_SHORT_MESSAGE = (Field("short_message", Kind.MESSAGE, SHORT_MESSAGE_LENGTH_MAX),)

_BIND = (
    *_string("system_id", 16),
    *_string("password", 9),
    *_string("system_type", 13),
    *_integers("interface_version", "addr_ton", "addr_npi"),
    *_string("address_range", 41),
)
_BIND_RESP = _string("system_id", 16)
_FROM_ESM_CLASS = (
    *_integers("esm_class", "protocol_id", "priority_flag"),
    *_time("schedule_delivery_time"),
    *_time("validity_period"),
    *_integers("registered_delivery", "replace_if_present_flag"),
    *_integers("data_coding", "sm_default_msg_id"),
    *_SHORT_MESSAGE,
)
_SM = (*_SERVICE_TYPE, *_SOURCE, *_DESTINATION, *_FROM_ESM_CLASS)
_NOTHING: tuple[Field, ...] = ()

#: Body of each operation this package speaks, TLVs left out: any PDU may carry any.
BODIES: Final[Mapping[int, tuple[Field, ...]]] = MappingProxyType(
    {
        C.GENERIC_NACK: _NOTHING,
        C.BIND_RECEIVER: _BIND,
        C.BIND_RECEIVER_RESP: _BIND_RESP,
        C.BIND_TRANSMITTER: _BIND,
        C.BIND_TRANSMITTER_RESP: _BIND_RESP,
        C.BIND_TRANSCEIVER: _BIND,
        C.BIND_TRANSCEIVER_RESP: _BIND_RESP,
        C.OUTBIND: _string("system_id", 16) + _string("password", 9),
        C.UNBIND: _NOTHING,
        C.UNBIND_RESP: _NOTHING,
        C.ENQUIRE_LINK: _NOTHING,
        C.ENQUIRE_LINK_RESP: _NOTHING,
        C.SUBMIT_SM: _SM,
        C.SUBMIT_SM_RESP: _MESSAGE_ID,
        C.DELIVER_SM: _SM,
        C.DELIVER_SM_RESP: _MESSAGE_ID,
        C.SUBMIT_MULTI: (
            *_SERVICE_TYPE,
            *_SOURCE,
            Field("dest_addresses", Kind.DESTINATIONS, DESTINATIONS_MAX),
            *_FROM_ESM_CLASS,
        ),
        C.SUBMIT_MULTI_RESP: (*_MESSAGE_ID, Field("unsuccess_smes", Kind.UNSUCCESSFUL, 255)),
        C.DATA_SM: (
            *_SERVICE_TYPE,
            *_address("source_addr", "source_addr", 65),
            *_address("dest_addr", "destination_addr", 65),
            *_integers("esm_class", "registered_delivery", "data_coding"),
        ),
        C.DATA_SM_RESP: _MESSAGE_ID,
        C.QUERY_SM: (*_MESSAGE_ID, *_SOURCE),
        C.QUERY_SM_RESP: (
            *_MESSAGE_ID,
            *_time("final_date"),
            *_integers("message_state", "error_code"),
        ),
        C.CANCEL_SM: (*_SERVICE_TYPE, *_MESSAGE_ID, *_SOURCE, *_DESTINATION),
        C.CANCEL_SM_RESP: _NOTHING,
        C.REPLACE_SM: (
            *_MESSAGE_ID,
            *_SOURCE,
            *_time("schedule_delivery_time"),
            *_time("validity_period"),
            *_integers("registered_delivery", "sm_default_msg_id"),
            *_SHORT_MESSAGE,
        ),
        C.REPLACE_SM_RESP: _NOTHING,
        C.ALERT_NOTIFICATION: (
            *_address("source_addr", "source_addr", 65),
            *_address("esme_addr", "esme_addr", 65),
        ),
    }
)


class Destination(NamedTuple):
    """One dest_address of submit_multi that is an SME (3.4, 4.5.1.1, dest_flag 1)."""

    ton: int
    npi: int
    address: bytes


class DistributionList(NamedTuple):
    """One dest_address of submit_multi that is a distribution list (dest_flag 2)."""

    name: bytes


class Unsuccessful(NamedTuple):
    """One destination that submit_multi_resp refuses (3.4, 4.5.2.1)."""

    ton: int
    npi: int
    address: bytes
    status: int


#: What a parameter may hold, by kind: INTEGER int, strings bytes, the lists tuples.
Value = int | bytes | tuple[Destination | DistributionList, ...] | tuple[Unsuccessful, ...]
