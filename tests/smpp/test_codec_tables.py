"""Names, numbers, advice; and the field tables against a second writing of the specification."""

import pytest

from ppcd.smpp import (
    NO_TLVS,
    Advice,
    Command,
    EncodeError,
    MessageType,
    Status,
    Tag,
    Tlvs,
    advice,
    c_string,
    command_name,
    encode_tlv,
    is_response,
    message_type,
    status_name,
    tag_name,
)
from ppcd.smpp.fields import BODIES

# SMPP 3.4, chapter 4: what has no size is one octet.
CHAPTER_4 = {
    "bind_transmitter": (
        "system_id:16 password:9 system_type:13 interface_version addr_ton addr_npi"
        " address_range:41"
    ),
    "outbind": "system_id:16 password:9",
    "bind_receiver_resp": "system_id:16",
    "unbind": "",
    "generic_nack": "",
    "submit_sm": (
        "service_type:6 source_addr_ton source_addr_npi source_addr:21 dest_addr_ton dest_addr_npi"
        " destination_addr:21 esm_class protocol_id priority_flag schedule_delivery_time:17"
        " validity_period:17 registered_delivery replace_if_present_flag data_coding"
        " sm_default_msg_id short_message:255"
    ),
    "submit_sm_resp": "message_id:65",
    "deliver_sm_resp": "message_id:65",
    "submit_multi": (
        "service_type:6 source_addr_ton source_addr_npi source_addr:21 dest_addresses:254"
        " esm_class protocol_id priority_flag schedule_delivery_time:17"
        " validity_period:17 registered_delivery replace_if_present_flag data_coding"
        " sm_default_msg_id short_message:255"
    ),
    "submit_multi_resp": "message_id:65 unsuccess_smes:255",
    "data_sm": (
        "service_type:6 source_addr_ton source_addr_npi source_addr:65 dest_addr_ton dest_addr_npi"
        " destination_addr:65 esm_class registered_delivery data_coding"
    ),
    "data_sm_resp": "message_id:65",
    "query_sm": "message_id:65 source_addr_ton source_addr_npi source_addr:21",
    "query_sm_resp": "message_id:65 final_date:17 message_state error_code",
    "cancel_sm": (
        "service_type:6 message_id:65 source_addr_ton source_addr_npi source_addr:21"
        " dest_addr_ton dest_addr_npi destination_addr:21"
    ),
    "cancel_sm_resp": "",
    "replace_sm": (
        "message_id:65 source_addr_ton source_addr_npi source_addr:21 schedule_delivery_time:17"
        " validity_period:17 registered_delivery sm_default_msg_id short_message:255"
    ),
    "replace_sm_resp": "",
    "enquire_link": "",
    "enquire_link_resp": "",
    "alert_notification": (
        "source_addr_ton source_addr_npi source_addr:65 esme_addr_ton esme_addr_npi esme_addr:65"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAPTER_4)
def test_the_tables_say_what_the_specification_says(name: str) -> None:
    table = BODIES[Command[name.upper()]]
    written = [item.name if item.size == 1 else f"{item.name}:{item.size}" for item in table]
    assert " ".join(written) == CHAPTER_4[name]


def test_every_operation_of_3_4_has_its_body_and_its_response() -> None:
    broadcast = {c for c in Command if c & 0x7FFFFFFF in (0x111, 0x112, 0x113)}
    assert set(BODIES) == set(Command) - broadcast
    requests = {c for c in BODIES if not is_response(c)}
    unanswered = {Command.OUTBIND, Command.ALERT_NOTIFICATION}
    assert {c | 0x80000000 for c in requests - unanswered} | {Command.GENERIC_NACK} == {
        c for c in BODIES if is_response(c)
    }
    assert BODIES[Command.DELIVER_SM] == BODIES[Command.SUBMIT_SM]
    assert (
        BODIES[Command.BIND_RECEIVER]
        == BODIES[Command.BIND_TRANSMITTER]
        == BODIES[Command.BIND_TRANSCEIVER]
    )


def test_names_are_the_specifications_and_the_unknown_is_a_number() -> None:
    assert command_name(0x80000005) == "deliver_sm_resp"
    assert command_name(0x00010101) == "0x00010101"
    assert status_name(0x58) == "ESME_RTHROTTLED"
    assert status_name(0x450) == "0x00000450"
    assert tag_name(0x0424) == "message_payload"
    assert tag_name(0x1403) == "0x1403"


def test_3_4_has_44_tags_and_their_numbers() -> None:
    before_5_0 = [tag for tag in Tag if tag != Tag.CONGESTION_STATE and not 0x600 <= tag < 0x700]
    assert len(before_5_0) == 44
    assert (Tag.ALERT_ON_MESSAGE_DELIVERY, Tag.ITS_SESSION_INFO) == (0x130C, 0x1383)
    assert Tag.CONGESTION_STATE == 0x0428


ADVICE = {
    Advice.OK: {0x00},
    Advice.RETRY: {0x08, 0x45, 0x64, 0x67, 0xFE, 0xFF, 0x102, 0x09, 0x4A, 0x113, 0x500, 1 << 31},
    Advice.SLOW: {0x14, 0x58},
    Advice.GIVE_UP: {0x0B, 0x0C, 0x11, 0x13, 0x65, 0x66, 0x101, 0x103, 0x400, 0x450, 0x4FF},
    Advice.BIND: {0x05, 0x0D, 0x0E, 0x0F, 0x53},
    Advice.OURS: {
        0x01, 0x02, 0x03, 0x04, 0x06, 0x07, 0x0A, 0x15, 0x33, 0x34, 0x40, 0x42, 0x43, 0x44, 0x48,
        0x49, 0x50, 0x51, 0x54, 0x55, 0x61, 0x62, 0x63, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0x100, 0x104,
        0x105, 0x106,
    },
}  # fmt: skip


def test_every_status_has_its_advice() -> None:
    assert {s for group in ADVICE.values() for s in group} >= set(Status)
    for how, statuses in ADVICE.items():
        assert {advice(status) for status in statuses} == {how}


def test_a_link_has_its_own_reading_of_a_status() -> None:
    overrides = {0x450: Advice.SLOW, 0x0B: Advice.RETRY}
    assert advice(0x450, overrides) is Advice.SLOW
    assert advice(0x0B, overrides) is Advice.RETRY
    assert advice(0x58, overrides) is Advice.SLOW


def test_5_0_only_renamed_the_old_codes() -> None:
    assert Status.ESME_RINVTLVSTREAM is Status.ESME_RINVOPTPARSTREAM
    assert status_name(0xC2) == "ESME_RINVPARLEN"


def test_tlvs_keep_order_repetition_and_octets() -> None:
    pairs = [
        (0x1403, b"\0\xff"),
        (Tag.CALLBACK_NUM, b"1234"),
        (0x1403, b""),
        (Tag.CALLBACK_NUM, b"5678"),
    ]
    tlvs = Tlvs(pairs)
    assert list(tlvs) == pairs
    assert len(tlvs) == 4
    assert tlvs.all(Tag.CALLBACK_NUM) == [b"1234", b"5678"]
    assert tlvs.raw(0x1403) == b"\0\xff"
    assert 0x1403 in tlvs
    assert 0x1404 not in tlvs
    assert tlvs == Tlvs.from_octets(tlvs.octets)
    assert hash(tlvs) == hash(Tlvs(pairs))
    assert tlvs != pairs
    assert repr(tlvs) == "Tlvs(0x1403[2], callback_num[4], 0x1403[0], callback_num[4])"


def test_tlvs_are_read_in_the_specifications_types() -> None:
    tlvs = Tlvs(
        [
            (Tag.USER_MESSAGE_REFERENCE, 0x0102),
            (Tag.QOS_TIME_TO_LIVE, 600),
            (Tag.RECEIPTED_MESSAGE_ID, b"4711\0"),
            (Tag.NETWORK_ERROR_CODE, b"\3\0\x22"),
            (Tag.ALERT_ON_MESSAGE_DELIVERY, b""),
            (Tag.DPF_RESULT, b""),
            (Tag.SOURCE_TELEMATICS_ID, b"\0\x05"),
            (Tag.SET_DPF, b"123456789"),
        ]
    )
    assert tlvs.get(Tag.USER_MESSAGE_REFERENCE) == 0x0102
    assert tlvs.get(Tag.QOS_TIME_TO_LIVE) == 600
    assert tlvs.get(Tag.RECEIPTED_MESSAGE_ID) == b"4711"
    assert tlvs.get(Tag.NETWORK_ERROR_CODE) == b"\3\0\x22"
    assert tlvs.get(Tag.ALERT_ON_MESSAGE_DELIVERY) == b""
    assert tlvs.get(Tag.DPF_RESULT) is None
    assert tlvs.get(Tag.SOURCE_TELEMATICS_ID) == 5
    assert tlvs.get(Tag.SET_DPF) is None
    assert tlvs.get(Tag.MESSAGE_STATE) is None
    assert tlvs.string(Tag.ADDITIONAL_STATUS_INFO_TEXT) is None
    assert NO_TLVS.raw(0x1403) is None


def test_a_string_tlv_gets_its_nul_and_its_limit() -> None:
    assert c_string(Tag.RECEIPTED_MESSAGE_ID, b"4711") == b"4711\0"
    for bad in (b"47\0" + b"11", b"1" * 65):
        with pytest.raises(EncodeError, match="receipted_message_id"):
            c_string(Tag.RECEIPTED_MESSAGE_ID, bad)


def test_one_tlv_is_encoded_as_written_by_hand() -> None:
    assert encode_tlv(Tag.SMS_SIGNAL, 0x0102) == b"\x12\x03\0\2\1\2"
    assert encode_tlv(0x3FFF, b"abc") == b"\x3f\xff\0\3abc"


@pytest.mark.parametrize(
    ("esm_class", "kind"),
    [
        (0x00, MessageType.NORMAL),
        (0x03, MessageType.NORMAL),
        (0x40, MessageType.NORMAL),
        (0x04, MessageType.RECEIPT),
        (0x44, MessageType.RECEIPT),
        (0x08, MessageType.DELIVERY_ACKNOWLEDGEMENT),
        (0x10, MessageType.USER_ACKNOWLEDGEMENT),
        (0x18, MessageType.CONVERSATION_ABORT),
        (0x20, MessageType.INTERMEDIATE_NOTIFICATION),
        (0x0C, 0x0C),
    ],
)
def test_the_message_type_is_one_number(esm_class: int, kind: int) -> None:
    assert message_type(esm_class) == kind
