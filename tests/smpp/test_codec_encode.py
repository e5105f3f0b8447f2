"""What the encoder writes, byte by byte, and what it refuses to write."""

import copy
import pickle
import struct
from typing import Any

import pytest

from ppcd.smpp import (
    SEQUENCE_MAX,
    Command,
    Destination,
    DistributionList,
    EncodeError,
    Fault,
    Pdu,
    Status,
    SubmitForm,
    Tag,
    Tlvs,
    Unsuccessful,
    bind,
    build,
    deliver_sm,
    encode,
    encode_deliver_resps,
    enquire_link,
    generic_nack,
    response_to,
    submit_sm,
    unbind,
)
from ppcd.smpp.decode import Decoder, DeliverRows
from tests.smpp.vectors import pdu, sm, tlv

PROMPT = ("Оплата 25 грн. Відповідь ТАК. " * 3)[:70]

# What the PDU is built with, and its octets written by hand.
GOLDEN = {
    "submit_sm of 70 UCS-2 characters": (
        submit_sm(
            service_type=b"CMT",
            source_addr_npi=1,
            source_addr=b"717104",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=b"380971234567",
            validity_period=b"000000001000000R",
            registered_delivery=1,
            data_coding=8,
            short_message=PROMPT.encode("utf-16-be"),
        ),
        pdu(
            4,
            sm(
                source=b"\0\x01717104\0",
                destination=b"\1\x01380971234567\0",
                validity=b"000000001000000R",
                registered=1,
                message=PROMPT.encode("utf-16-be"),
            ),
        ),
    ),
    "deliver_sm with USSD TLVs": (
        deliver_sm(
            service_type=b"CMT",
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr=b"38097123456",
            dest_addr_npi=1,
            destination_addr=b"7171",
            data_coding=8,
            short_message="ДА".encode("utf-16-be"),
            tlvs=[
                (Tag.USSD_SERVICE_OP, 2),
                (Tag.ITS_SESSION_INFO, 0x0102),
                (0x1403, b"\0vendor"),
            ],
        ),
        pdu(5, sm(tlvs=tlv(0x501, b"\2") + tlv(0x1383, b"\1\2") + tlv(0x1403, b"\0vendor"))),
    ),
    "bind_transceiver": (
        bind(system_id=b"ppcd", password=b"secret", address_range=b"^7171"),
        pdu(9, b"ppcd\0secret\0\0\x34\0\0^7171\0"),
    ),
    "bind_receiver": (
        bind(Command.BIND_RECEIVER, system_id=b"a", system_type=b"VMA", addr_ton=1, addr_npi=9),
        pdu(1, b"a\0\0VMA\0\x34\1\x09\0"),
    ),
    "bind_transceiver_resp": (
        build(
            Command.BIND_TRANSCEIVER_RESP,
            system_id=b"smsc",
            tlvs=[(Tag.SC_INTERFACE_VERSION, 0x34)],
        ),
        pdu(0x80000009, b"smsc\0" + tlv(0x210, b"\x34")),
    ),
    "outbind": (build(Command.OUTBIND, system_id=b"smsc", password=b"pw"), pdu(11, b"smsc\0pw\0")),
    "unbind": (unbind(), pdu(6)),
    "enquire_link": (enquire_link(), pdu(0x15)),
    "submit_sm_resp with congestion_state": (
        build(Command.SUBMIT_SM_RESP, message_id=b"4711", tlvs=[(Tag.CONGESTION_STATE, 90)]),
        pdu(0x80000004, b"4711\0" + tlv(0x428, b"\x5a")),
    ),
    "submit_multi": (
        build(
            Command.SUBMIT_MULTI,
            source_addr=b"7171",
            dest_addresses=[Destination(1, 1, b"3809"), DistributionList(b"friends")],
            short_message=b"hi",
        ),
        pdu(0x21, b"\0\0\0" + b"7171\0" + b"\2\1\1\x013809\0\2friends\0" + b"\0" * 9 + b"\2hi"),
    ),
    "submit_multi_resp": (
        build(
            Command.SUBMIT_MULTI_RESP,
            message_id=b"m",
            unsuccess_smes=[Unsuccessful(1, 1, b"3809", 0x0B)],
        ),
        pdu(0x80000021, b"m\0\1\1\x013809\0\0\0\0\x0b"),
    ),
    "data_sm": (
        build(
            Command.DATA_SM,
            source_addr=b"1",
            destination_addr=b"2",
            data_coding=8,
            tlvs=[(Tag.MESSAGE_PAYLOAD, b"\4\x14")],
        ),
        pdu(0x103, b"\0\0\x001\0\0\x002\0\0\0\x08" + tlv(0x424, b"\4\x14")),
    ),
    "query_sm": (
        build(Command.QUERY_SM, message_id=b"m", source_addr_ton=3, source_addr=b"7171"),
        pdu(3, b"m\0\3\x007171\0"),
    ),
    "query_sm_resp": (
        build(
            Command.QUERY_SM_RESP,
            message_id=b"m",
            final_date=b"261123091500000+",
            message_state=2,
            error_code=9,
        ),
        pdu(0x80000003, b"m\x00261123091500000+\0\2\x09"),
    ),
    "cancel_sm": (
        build(Command.CANCEL_SM, message_id=b"m", source_addr=b"1", destination_addr=b"2"),
        pdu(8, b"\0m\0\0\x001\0\0\x002\0"),
    ),
    "replace_sm": (
        build(Command.REPLACE_SM, message_id=b"m", source_addr=b"1", short_message=b"new"),
        pdu(7, b"m\0\0\x001\0\0\0\0\0\3new"),
    ),
    "alert_notification": (
        build(
            Command.ALERT_NOTIFICATION,
            source_addr=b"1",
            esme_addr=b"2",
            tlvs=[(Tag.MS_AVAILABILITY_STATUS, 2)],
        ),
        pdu(0x102, b"\0\x001\0\0\x002\0" + tlv(0x422, b"\2")),
    ),
    "generic_nack": (generic_nack(7, 3), pdu(0x80000000, status=3)),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_octets_are_those_written_by_hand(name: str) -> None:
    built, octets = GOLDEN[name]
    assert encode(built, sequence=7) == octets
    [read] = Decoder().feed(octets)
    assert read == built.replace(sequence=7)


ADDRESSED: dict[str, Any] = {"source_addr": b"7171", "destination_addr": b"380971234567"}
REFUSED = {
    "a NUL in an address": ("source_addr", {"source_addr": b"71\0" + b"71"}),
    "a NUL in the destination": ("destination_addr", {"destination_addr": b"71\0" + b"71"}),
    "a NUL in the service type": ("service_type", {"service_type": b"A\0"}),
    "a NUL in a time": ("validity_period", {"validity_period": b"0" * 15 + b"\0"}),
    "an address of 21": ("source_addr", {"source_addr": b"1" * 21}),
    "a destination of 21": ("destination_addr", {"destination_addr": b"1" * 21}),
    "a service type of 6": ("service_type", {"service_type": b"ABCDEF"}),
    "a time of 15": ("validity_period", {"validity_period": b"1" * 15}),
    "a time of 17": ("validity_period", {"validity_period": b"1" * 17}),
    "a schedule of 3": ("schedule_delivery_time", {"schedule_delivery_time": b"now"}),
    "a message of 255": ("short_message", {"short_message": b"x" * 255}),
    "an octet of 256": ("data_coding", {"data_coding": 256}),
    "an octet below 0": ("esm_class", {"esm_class": -1}),
    "a float": ("protocol_id", {"protocol_id": 1.5}),
    "text as an address": ("source_addr", {"source_addr": "7171"}),
    "text as a message": ("short_message", {"short_message": "hi"}),
    "a TLV of 65,536 octets": ("message_payload", {"tlvs": [(Tag.MESSAGE_PAYLOAD, b"x" * 65_536)]}),
    "an integer TLV out of range": ("message_state", {"tlvs": [(Tag.MESSAGE_STATE, 256)]}),
    "a negative TLV": ("message_state", {"tlvs": [(Tag.MESSAGE_STATE, -1)]}),
    "an integer for a TLV without width": ("0x1403", {"tlvs": [(0x1403, 1)]}),
    "a tag of 17 bits": ("0x10000", {"tlvs": [(0x10000, b"")]}),
    "257 TLVs": ("tlvs", {"tlvs": [(0x1400, b"")] * 257}),
    "two texts": (
        "message_payload",
        {"short_message": b"x", "tlvs": [(Tag.MESSAGE_PAYLOAD, b"y")]},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_encoder_refuses(name: str) -> None:
    field, changes = REFUSED[name]
    with pytest.raises(EncodeError) as raised:
        submit_sm(**{**ADDRESSED, **changes})
    assert raised.value.field == field
    assert field in str(raised.value)
    assert raised.value.detail
    with pytest.raises(EncodeError) as by_table:
        build(Command.SUBMIT_SM, **{**ADDRESSED, **changes})
    assert by_table.value.field == field


@pytest.mark.parametrize(
    ("command", "field", "changes"),
    [
        (Command.SUBMIT_MULTI, "dest_addresses", {}),
        (Command.SUBMIT_MULTI, "dest_addresses", {"dest_addresses": 5}),
        (Command.SUBMIT_MULTI, "dest_addresses", {"dest_addresses": [b"3809"]}),
        (Command.SUBMIT_MULTI, "dest_addresses",
         {"dest_addresses": [DistributionList(b"x")] * 255}),
        (Command.SUBMIT_MULTI, "dl_name", {"dest_addresses": [DistributionList(b"x" * 21)]}),
        (Command.SUBMIT_MULTI, "dest_addr_ton", {"dest_addresses": [Destination(256, 0, b"")]}),
        (Command.SUBMIT_MULTI_RESP, "unsuccess_smes", {"unsuccess_smes": [b"3809"]}),
        (Command.SUBMIT_MULTI_RESP, "error_status_code",
         {"unsuccess_smes": [Unsuccessful(0, 0, b"", 1 << 32)]}),
        (Command.SUBMIT_SM_RESP, "message_id", {"message_id": b"x" * 65}),
        (Command.QUERY_SM, "short_message", {"short_message": b"x"}),
        (Command.ENQUIRE_LINK, "anything", {"anything": 1}),
        (Command.BROADCAST_SM, "command_id", {}),
        (0x00010203, "command_id", {}),
    ],
)  # fmt: skip
def test_the_tables_refuse(command: int, field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(EncodeError) as raised:
        build(command, **changes)
    assert raised.value.field == field


def test_a_bind_is_one_of_three() -> None:
    with pytest.raises(EncodeError, match="no bind"):
        bind(Command.SUBMIT_SM, system_id=b"x")


@pytest.mark.parametrize("number", [0, -1, SEQUENCE_MAX + 1, 1 << 40])
def test_a_request_is_never_numbered_outside_the_range(number: int) -> None:
    with pytest.raises(EncodeError, match="sequence_number"):
        encode(enquire_link(), sequence=number)


def test_a_response_echoes_whatever_number_the_request_had() -> None:
    for number in (0, 1, 0xFFFFFFFF):
        [request] = Decoder().feed(pdu(0x15, sequence=number))
        assert encode(response_to(request))[12:] == struct.pack(">I", number)
    with pytest.raises(EncodeError):
        encode(generic_nack(1 << 32, 0))


def test_a_status_has_32_bits() -> None:
    assert encode(generic_nack(1, 0xFFFFFFFF))[8:12] == b"\xff" * 4
    with pytest.raises(EncodeError, match="32 bits"):
        encode(generic_nack(1, 1 << 32))


@pytest.mark.parametrize(
    "command", sorted(c for c in Command if c < 0x80000000 and c not in (11, 0x102))
)
def test_command_length_of_every_answer_is_its_length(command: Command) -> None:
    for status in (0, *Status, 0x450, 0xDEADBEEF):
        octets = encode(response_to(Pdu(command, 0, 9, b""), status))
        assert struct.unpack_from(">I", octets)[0] == len(octets)
        [read] = Decoder().feed(octets)
        assert read.fault is None
        assert (read.status, read.sequence) == (status, 9)


def test_answers_say_what_the_specification_wants_and_smscs_expect() -> None:
    [message] = Decoder().feed(pdu(5, sm()))
    assert encode(response_to(message)) == pdu(0x80000005, b"\0")
    assert encode(response_to(message, 8)) == pdu(0x80000005, b"\0", status=8)
    [submitted] = Decoder().feed(pdu(4, sm()))
    assert encode(response_to(submitted, message_id=b"4711")) == pdu(0x80000004, b"4711\0")
    assert encode(response_to(submitted, 0x58)) == pdu(0x80000004, status=0x58)
    congested = response_to(submitted, 0x58, tlvs=[(Tag.CONGESTION_STATE, 100)])
    assert congested.tlvs.get(Tag.CONGESTION_STATE) == 100


@pytest.mark.parametrize("command", [11, 0x102, 0x80000000, 0x80000004])
def test_nobody_answers_what_has_no_response(command: int) -> None:
    with pytest.raises(ValueError, match="no response"):
        response_to(Pdu(command, 0, 1))


def test_a_batch_of_answers_is_packed_as_one_by_one() -> None:
    numbers = [1, 0x7FFFFFFF, 0xFFFFFFFF, 300]
    one_by_one = b"".join(pdu(0x80000005, b"\0", sequence=number) for number in numbers)
    assert encode_deliver_resps(numbers) == one_by_one
    assert encode_deliver_resps(numbers, [0, 0, 0, 0]) == one_by_one
    statuses = [0, 8, 0x450, 0xDEADBEEF]
    assert encode_deliver_resps(numbers, statuses) == b"".join(
        pdu(0x80000005, b"\0", status=status, sequence=number)
        for number, status in zip(numbers, statuses, strict=True)
    )
    assert encode_deliver_resps([]) == b""
    [rows] = Decoder().feed_rows(pdu(5, sm(), sequence=1) + pdu(5, sm(), sequence=2))
    assert isinstance(rows, DeliverRows)
    assert rows.answers([0, 8]) == encode_deliver_resps([1, 2], [0, 8])


def test_a_changed_copy_is_checked_anew_and_the_original_stays() -> None:
    original = deliver_sm(source_addr=b"1", short_message=b"x", tlvs=[(0x1403, b"v")])
    changed = original.replace(status=8, source_addr=b"2", tlvs=[])
    assert (changed.status, changed.source_addr, changed.tlvs) == (8, b"2", Tlvs())
    assert (original.status, original.source_addr) == (0, b"1")
    assert original.replace().tlvs.raw(0x1403) == b"v"
    with pytest.raises(EncodeError):
        original.replace(source_addr=b"2" * 30)


def test_a_pdu_compares_by_its_octets_and_shows_none_of_them() -> None:
    one, two = deliver_sm(source_addr=b"38097"), deliver_sm(source_addr=b"38097")
    assert one == two
    assert hash(one) == hash(two)
    assert one != deliver_sm(source_addr=b"38098")
    assert one != "a PDU"
    assert "38097" not in repr(one)
    assert repr(one) == "<Pdu deliver_sm ESME_ROK sequence=0 body=22>"
    fault = Fault(Status.ESME_RINVCMDID, None, "command_id", "unknown")
    assert repr(Pdu(0x99, 0x450, 1, b"", fault)) == (
        "<Pdu 0x00000099 0x00000450 sequence=1 body=0 fault=command_id>"
    )


def test_a_pdu_survives_being_copied_and_pickled() -> None:
    original = deliver_sm(source_addr=b"38097", short_message=b"x")
    for other in (
        copy.copy(original),
        copy.deepcopy(original),
        pickle.loads(pickle.dumps(original)),
    ):
        assert other == original
        assert other.source_addr == b"38097"


def test_a_parameter_of_another_pdu_is_no_attribute() -> None:
    assert not hasattr(enquire_link(), "short_message")
    with pytest.raises(AttributeError, match="enquire_link has no source_addr"):
        _ = enquire_link().source_addr


def test_the_text_of_a_message_is_in_either_place() -> None:
    assert deliver_sm(source_addr=b"1", short_message=b"x").message == b"x"
    assert deliver_sm(source_addr=b"1", tlvs=[(Tag.MESSAGE_PAYLOAD, b"y")]).message == b"y"
    assert deliver_sm(source_addr=b"1").message == b""
    data = build(Command.DATA_SM, tlvs=[(Tag.MESSAGE_PAYLOAD, b"z")])
    assert data.message == b"z"


FORMS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a route": {"source_addr_npi": 1, "dest_addr_ton": 1, "registered_delivery": 1},
    "percent signs": {"service_type": b"%d%%", "protocol_id": 0x25, "sm_default_msg_id": 0x25},
    "all of it": {
        "source_addr_ton": 5,
        "source_addr_npi": 0x25,
        "dest_addr_ton": 0x25,
        "dest_addr_npi": 1,
        "service_type": b"CMT",
        "priority_flag": 0x25,
        "registered_delivery": 0x25,
        "replace_if_present_flag": 0x25,
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_fills_in_the_same_pdus(name: str) -> None:
    form = SubmitForm(**FORMS[name])
    contents: list[dict[str, Any]] = [
        {"source_addr": b"71%b04", "destination_addr": b"380971234567", "short_message": b"%b\0"},
        {
            "source_addr": b"",
            "destination_addr": b"1",
            "esm_class": 0x40,
            "data_coding": 8,
            "validity_period": b"000000001000000R",
            "tlvs": [(Tag.MESSAGE_PAYLOAD, b"x")],
        },
        {
            "source_addr": b"1",
            "destination_addr": b"2",
            "short_message": b"x",
            "tlvs": Tlvs([(0x1403, b"v")]),
        },
    ]
    for content in contents:
        assert form.fill(**content) == submit_sm(**FORMS[name], **content)


@pytest.mark.parametrize("name", sorted(set(REFUSED) & {
    "a NUL in an address", "a NUL in the destination", "a NUL in a time", "an address of 21",
    "a destination of 21", "a time of 15", "a message of 255", "an octet of 256",
    "an octet below 0", "text as an address", "text as a message", "two texts", "257 TLVs",
}))  # fmt: skip
def test_a_form_refuses_the_same(name: str) -> None:
    field, changes = REFUSED[name]
    with pytest.raises(EncodeError) as raised:
        SubmitForm().fill(**{**ADDRESSED, **changes})
    assert raised.value.field == field


def test_a_form_of_bad_constants_is_never_made() -> None:
    with pytest.raises(EncodeError, match="service_type"):
        SubmitForm(service_type=b"ABCDEF")
