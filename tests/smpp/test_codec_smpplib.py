"""Our bytes read by smpplib and its bytes read by us: a second opinion on plain messages."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from smpplib.client import SimpleSequenceGenerator
from smpplib.smpp import make_pdu, parse_pdu

from ppcd.smpp import Command, Decoder, Pdu, Tag, bind, build, encode, submit_sm

OCTET = st.integers(0, 255)
WORD = st.text("0123456789abcXYZ", max_size=20)
#: smpplib knows each of these and takes any value.
TAGS = {
    Tag.USER_MESSAGE_REFERENCE: ("user_message_reference", 0xFFFF),
    Tag.SOURCE_PORT: ("source_port", 0xFFFF),
    Tag.SAR_TOTAL_SEGMENTS: ("sar_total_segments", 0xFF),
}


class Client:
    """As much of a client as its PDUs want."""

    sequence_generator = SimpleSequenceGenerator()
    sequence = 0

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "service_type": draw(st.sampled_from(["", "CMT", "USSD"])),
        "source_addr_ton": draw(OCTET),
        "source_addr_npi": draw(OCTET),
        "source_addr": draw(WORD),
        "dest_addr_ton": draw(OCTET),
        "dest_addr_npi": draw(OCTET),
        "destination_addr": draw(WORD),
        "esm_class": draw(OCTET),
        "protocol_id": draw(OCTET),
        "priority_flag": draw(OCTET),
        "validity_period": draw(st.sampled_from(["", "000000001000000R"])),
        "registered_delivery": draw(OCTET),
        "replace_if_present_flag": draw(OCTET),
        "data_coding": draw(OCTET),
        "sm_default_msg_id": draw(OCTET),
        "short_message": draw(st.binary(min_size=1, max_size=254)),
    }


def as_bytes(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.encode() if isinstance(value, str) else value for name, value in values.items()
    }


@settings(max_examples=50)
@given(messages(), st.dictionaries(st.sampled_from(sorted(TAGS)), st.integers(0, 255)))
def test_what_it_writes_we_read(values: dict[str, Any], tags: dict[Tag, int]) -> None:
    options = {TAGS[tag][0]: value for tag, value in tags.items()}
    octets = make_pdu("submit_sm", client=Client(), **values, **options).generate()
    [read] = Decoder().feed(octets)
    assert read.fault is None
    for name, value in as_bytes(values).items():
        assert getattr(read, name) == value
    assert {tag: read.tlvs.get(tag) for tag in tags} == tags
    assert len(read.tlvs) == len(tags)


@settings(max_examples=50)
@given(messages(), st.dictionaries(st.sampled_from(sorted(TAGS)), st.integers(0, 255)))
def test_what_we_write_it_reads(values: dict[str, Any], tags: dict[Tag, int]) -> None:
    pdu = submit_sm(**as_bytes(values), tlvs=tags.items())
    read = parse_pdu(encode(pdu, sequence=7), client=Client(), allow_unknown_opt_params=True)
    assert read.sequence == 7
    for name, value in as_bytes(values).items():
        assert (getattr(read, name) or type(value)()) == value, name
    for tag, value in tags.items():
        assert getattr(read, TAGS[tag][0]) == value


def test_binds_and_answers_of_either_side() -> None:
    asked = make_pdu("bind_transceiver", client=Client(), system_id="ppcd", password="secret")
    [read] = Decoder().feed(asked.generate())
    assert read == bind(system_id=b"ppcd", password=b"secret", sequence=read.sequence)
    for pdu in (
        build(Command.BIND_TRANSCEIVER_RESP, system_id=b"smsc", sequence=3),
        build(Command.SUBMIT_SM_RESP, message_id=b"4711", sequence=3),
        Pdu(Command.SUBMIT_SM_RESP, 0x58, 3),
        Pdu(Command.ENQUIRE_LINK, 0, 3),
        Pdu(Command.UNBIND_RESP, 0, 3),
    ):
        theirs = parse_pdu(encode(pdu), client=Client(), allow_unknown_opt_params=True)
        assert (theirs.sequence, theirs.status) == (3, pdu.status)
