"""submit_sm by the thousand: what a route's messages have in common is checked and written once.

`SubmitForm` gives the same PDUs as `ppcd.smpp.requests.submit_sm`, in two thirds of the time.
"""

from typing import Final, TypedDict, Unpack

from ppcd.smpp.body import MESSAGE_SENT_MAX
from ppcd.smpp.command import Command
from ppcd.smpp.pdu import Pdu, TlvPairs, tlv_octets
from ppcd.smpp.requests import submit_sm

# Reading a member off its enum takes as long as checking an address.
_SUBMIT_SM: Final = Command.SUBMIT_SM


class Constants(TypedDict, total=False):
    """Parameters that all messages of a route share; absent ones are empty."""

    source_addr_ton: int
    source_addr_npi: int
    dest_addr_ton: int
    dest_addr_npi: int
    service_type: bytes
    protocol_id: int
    priority_flag: int
    registered_delivery: int
    replace_if_present_flag: int
    sm_default_msg_id: int


def _literal(octets: bytes) -> bytes:
    return octets.replace(b"%", b"%%")


class SubmitForm:
    """A submit_sm with everything filled in but addresses, text and validity."""

    __slots__ = ("_constants", "_template")

    def __init__(self, **constants: Unpack[Constants]) -> None:
        self._constants = constants
        blank = submit_sm(destination_addr=b"", **constants)  # EncodeError for a bad one
        head = blank.service_type + b"\0" + bytes((blank.source_addr_ton, blank.source_addr_npi))
        between = bytes((blank.dest_addr_ton, blank.dest_addr_npi))
        flags = bytes((blank.protocol_id, blank.priority_flag))
        tail = bytes((blank.registered_delivery, blank.replace_if_present_flag))
        self._template = (
            (_literal(head) + b"%b\0")
            + (_literal(between) + b"%b\0")
            + (b"%c" + _literal(flags) + b"\0%b\0")
            + (_literal(tail) + b"%c" + _literal(bytes((blank.sm_default_msg_id,))) + b"%c%b")
        )

    def fill(
        self,
        *,
        source_addr: bytes,
        destination_addr: bytes,
        short_message: bytes = b"",
        data_coding: int = 0,
        esm_class: int = 0,
        validity_period: bytes = b"",
        tlvs: TlvPairs = (),
    ) -> Pdu:
        """The whole PDU; EncodeError names a parameter that can't be."""
        try:
            # As submit_sm judges, but without a call.
            good = (
                len(source_addr) <= 20
                and 0 not in source_addr
                and len(destination_addr) <= 20
                and 0 not in destination_addr
                and len(short_message) <= MESSAGE_SENT_MAX
                and (
                    not validity_period or (len(validity_period) == 16 and 0 not in validity_period)
                )
            )
            body = self._template % (
                source_addr,
                destination_addr,
                esm_class,
                validity_period,
                data_coding,
                len(short_message),
                short_message,
            )
        except (OverflowError, TypeError):
            good, body = False, b""
        if good:
            if tlvs:
                body += tlv_octets(tlvs, short_message)
            return Pdu(_SUBMIT_SM, 0, 0, body)
        return submit_sm(
            source_addr=source_addr,
            destination_addr=destination_addr,
            short_message=short_message,
            data_coding=data_coding,
            esm_class=esm_class,
            validity_period=validity_period,
            tlvs=tlvs,
            **self._constants,
        )
