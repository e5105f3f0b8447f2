"""Requests by name, for those who build them by hand: checked, typed, with the usual defaults.

Everything else is `ppcd.smpp.pdu.build(Command.X, …)`. Refuses to know text: messages are octets
with their data_coding.
"""

from collections.abc import Iterable
from typing import Final

from ppcd.smpp.body import MESSAGE_SENT_MAX
from ppcd.smpp.command import BINDS, Command
from ppcd.smpp.errors import EncodeError
from ppcd.smpp.pdu import Pdu, build, refuse_two_texts
from ppcd.smpp.tlv import Tlvs

#: interface_version of SMPP 3.4 (5.2.4).
INTERFACE_VERSION: Final = 0x34

_SM: Final = b"%b\0%c%c%b\0%c%c%b\0%c%c%c\0%b\0%c%c%c%c%c%b"

TlvPairs = Iterable[tuple[int, bytes | int]]


def submit_sm(
    *,
    source_addr: bytes = b"",
    destination_addr: bytes,
    short_message: bytes = b"",
    source_addr_ton: int = 0,
    source_addr_npi: int = 0,
    dest_addr_ton: int = 0,
    dest_addr_npi: int = 0,
    service_type: bytes = b"",
    esm_class: int = 0,
    protocol_id: int = 0,
    priority_flag: int = 0,
    schedule_delivery_time: bytes = b"",
    validity_period: bytes = b"",
    registered_delivery: int = 0,
    replace_if_present_flag: int = 0,
    data_coding: int = 0,
    sm_default_msg_id: int = 0,
    tlvs: TlvPairs = (),
    sequence: int = 0,
    command: int = Command.SUBMIT_SM,
) -> Pdu:
    """submit_sm (3.4, 4.4.1); EncodeError names a parameter that can't be."""
    # One template with the constant octets in it. What it can't write, build names.
    try:
        plain = (
            len(source_addr) <= 20
            and 0 not in source_addr
            and len(destination_addr) <= 20
            and 0 not in destination_addr
            and len(short_message) <= MESSAGE_SENT_MAX
            and (not validity_period or (len(validity_period) == 16 and 0 not in validity_period))
            and (not service_type or (len(service_type) <= 5 and 0 not in service_type))
            and not schedule_delivery_time
        )
        body = _SM % (
            service_type,
            source_addr_ton,
            source_addr_npi,
            source_addr,
            dest_addr_ton,
            dest_addr_npi,
            destination_addr,
            esm_class,
            protocol_id,
            priority_flag,
            validity_period,
            registered_delivery,
            replace_if_present_flag,
            data_coding,
            sm_default_msg_id,
            len(short_message),
            short_message,
        )
    except (OverflowError, TypeError):
        plain, body = False, b""
    if plain:
        if tlvs:
            octets = tlvs.octets if isinstance(tlvs, Tlvs) else Tlvs(tlvs).octets
            if short_message:
                refuse_two_texts(octets)
            body += octets
        return Pdu(command, 0, sequence, body)
    return build(
        command,
        sequence=sequence,
        tlvs=tlvs,
        service_type=service_type,
        source_addr_ton=source_addr_ton,
        source_addr_npi=source_addr_npi,
        source_addr=source_addr,
        dest_addr_ton=dest_addr_ton,
        dest_addr_npi=dest_addr_npi,
        destination_addr=destination_addr,
        esm_class=esm_class,
        protocol_id=protocol_id,
        priority_flag=priority_flag,
        schedule_delivery_time=schedule_delivery_time,
        validity_period=validity_period,
        registered_delivery=registered_delivery,
        replace_if_present_flag=replace_if_present_flag,
        data_coding=data_coding,
        sm_default_msg_id=sm_default_msg_id,
        short_message=short_message,
    )


def deliver_sm(
    *,
    source_addr: bytes,
    destination_addr: bytes = b"",
    short_message: bytes = b"",
    source_addr_ton: int = 0,
    source_addr_npi: int = 0,
    dest_addr_ton: int = 0,
    dest_addr_npi: int = 0,
    service_type: bytes = b"",
    esm_class: int = 0,
    protocol_id: int = 0,
    priority_flag: int = 0,
    registered_delivery: int = 0,
    data_coding: int = 0,
    tlvs: TlvPairs = (),
    sequence: int = 0,
) -> Pdu:
    """deliver_sm (3.4, 4.6.1), whose other parameters are always empty."""
    return submit_sm(
        command=Command.DELIVER_SM,
        source_addr=source_addr,
        destination_addr=destination_addr,
        short_message=short_message,
        source_addr_ton=source_addr_ton,
        source_addr_npi=source_addr_npi,
        dest_addr_ton=dest_addr_ton,
        dest_addr_npi=dest_addr_npi,
        service_type=service_type,
        esm_class=esm_class,
        protocol_id=protocol_id,
        priority_flag=priority_flag,
        registered_delivery=registered_delivery,
        data_coding=data_coding,
        tlvs=tlvs,
        sequence=sequence,
    )


def bind(
    command: int = Command.BIND_TRANSCEIVER,
    *,
    system_id: bytes,
    password: bytes = b"",
    system_type: bytes = b"",
    interface_version: int = INTERFACE_VERSION,
    addr_ton: int = 0,
    addr_npi: int = 0,
    address_range: bytes = b"",
    sequence: int = 0,
) -> Pdu:
    """bind_transceiver, or the other `command` of the three (3.4, 4.1)."""
    if command not in BINDS:
        raise EncodeError("command_id", f"{command:#010x} is no bind")
    return build(
        command,
        sequence=sequence,
        system_id=system_id,
        password=password,
        system_type=system_type,
        interface_version=interface_version,
        addr_ton=addr_ton,
        addr_npi=addr_npi,
        address_range=address_range,
    )


def enquire_link(sequence: int = 0) -> Pdu:
    """enquire_link (3.4, 4.11): header only."""
    return Pdu(Command.ENQUIRE_LINK, 0, sequence)


def unbind(sequence: int = 0) -> Pdu:
    """unbind (3.4, 4.2): header only."""
    return Pdu(Command.UNBIND, 0, sequence)
