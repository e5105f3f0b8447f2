"""What becomes of each malformed PDU, and of the good one behind it."""

import pytest

from ppcd.smpp import (
    Command,
    Decoder,
    FramingError,
    Pdu,
    Status,
    WireQuirks,
    encode,
    response_to,
)
from tests.smpp.vectors import MALFORMED, RESPONSE, Malformed, deliver, pdu, sm, tlv

GOOD = deliver()


def decoded(octets: bytes, quirks: WireQuirks | None = None) -> list[Pdu]:
    return Decoder(quirks=quirks).feed(octets)


@pytest.mark.parametrize("vector", MALFORMED, ids=lambda vector: vector.name)
def test_each_malformed_pdu_meets_its_fate_and_the_next_is_read(vector: Malformed) -> None:
    if vector.fate == "waits":
        decoder = Decoder()
        assert decoder.feed(vector.octets) == []
        assert decoder.waiting == len(vector.octets)
    elif vector.fate == "breaks":
        with pytest.raises(FramingError) as raised:
            decoded(GOOD + vector.octets + GOOD)
        assert raised.value.before == decoded(GOOD)
        [nack] = decoded(raised.value.answer)
        assert (nack.command, nack.status) == (Command.GENERIC_NACK, Status.ESME_RINVCMDLEN)
    else:
        first, second = decoded(vector.octets + GOOD)
        assert first.body == vector.octets[16:]
        assert second == decoded(GOOD)[0]
        assert second.fault is None
        if vector.fate == "passes":
            assert first.fault is None
        else:
            assert first.fault is not None
            assert first.fault.status == vector.status
            assert first.fault.response == vector.response


@pytest.mark.parametrize(
    "vector", [v for v in MALFORMED if v.fate == "refused"], ids=lambda vector: vector.name
)
def test_a_faulted_request_gets_its_own_response_and_a_response_gets_none(
    vector: Malformed,
) -> None:
    [bad] = decoded(vector.octets)
    assert bad.fault is not None
    if vector.response is None:
        with pytest.raises(ValueError, match="no response"):
            response_to(bad, bad.fault.status)
    else:
        [answer] = decoded(encode(response_to(bad, bad.fault.status)))
        assert answer.command == vector.response
        assert answer.status == vector.status
        assert answer.sequence == bad.sequence


def test_a_length_over_the_limit_is_refused_from_its_first_four_octets() -> None:
    decoder = Decoder(pdu_size_max=1024)
    for octet in b"\0\0\4":
        assert decoder.feed(bytes((octet,))) == []
    with pytest.raises(FramingError) as raised:
        decoder.feed(b"\1")
    assert raised.value.length == 1025
    assert raised.value.sequence == 0
    assert raised.value.answer == bytes.fromhex("00000010 80000000 00000002 00000000")


def test_a_broken_length_with_its_whole_header_is_answered_with_its_sequence() -> None:
    with pytest.raises(FramingError) as raised:
        decoded(b"\0\0\0\x08" + GOOD[4:])
    assert raised.value.sequence == 7


def test_a_broken_stream_stays_broken() -> None:
    decoder = Decoder()
    with pytest.raises(FramingError):
        decoder.feed(GOOD + b"\0\0\0\0")
    assert decoder.broken is not None
    with pytest.raises(FramingError) as again:
        decoder.feed(GOOD)
    assert again.value.before == []
    assert again.value.answer == b""


def test_the_limit_can_change_between_reads() -> None:
    decoder = Decoder(pdu_size_max=len(GOOD))
    decoder.pdu_size_max = 16
    with pytest.raises(FramingError):
        decoder.feed(GOOD)


def test_parameters_in_front_of_the_bad_one_are_there() -> None:
    [bad] = decoded(pdu(5, sm(length=200)))
    assert bad.source_addr == b"38097123456"
    assert bad.fault is not None
    assert bad.fault.field == "short_message"
    assert not hasattr(bad, "short_message")
    assert len(bad.tlvs) == 0


def test_a_pdu_of_an_unknown_command_has_no_parameters() -> None:
    [strange] = decoded(pdu(0x00010101, b"abc"))
    assert dict(strange.fields) == {}
    assert strange.body == b"abc"
    assert len(strange.tlvs) == 0


def test_a_link_may_allow_longer_strings() -> None:
    octets = deliver(service_type=b"S" * 30, source=b"\1\1" + b"3" * 32 + b"\0")
    quirks = WireQuirks(field_sizes={"service_type": 31, "source_addr": 33})
    for decoder in (Decoder(quirks=quirks), Decoder(quirks=quirks)):
        [long] = decoder.feed(octets)
        assert long.fault is None
        assert long.source_addr == b"3" * 32
    assert decoded(octets)[0].fault is not None
    too_long = deliver(service_type=b"S" * 31)
    assert decoded(too_long, quirks)[0].fault is not None


def test_a_link_may_leave_out_the_nul_behind_a_message_id() -> None:
    octets = pdu(RESPONSE | 4, b"4711")
    [taken] = decoded(octets, WireQuirks(unterminated_last_string=True))
    assert taken.fault is None
    assert taken.message_id == b"4711"
    assert decoded(octets)[0].fault is not None


def test_a_link_may_lose_its_broken_tlvs() -> None:
    octets = deliver(tlvs=tlv(0x204, b"\0\1") + b"\2")
    [taken] = decoded(octets, WireQuirks(broken_tlvs_dropped=True))
    assert taken.fault is None
    assert taken.short_message == "ДА".encode("utf-16-be")
    assert len(taken.tlvs) == 0


def test_a_dripping_peer_costs_no_joins_before_the_length_has_arrived() -> None:
    decoder = Decoder()
    octets = deliver(tlvs=tlv(0x424, b"x" * 60_000))
    for at in range(0, len(octets) - 10, 10):
        assert decoder.feed(octets[at : at + 10]) == []
    found = decoder.feed(octets[at + 10 :])
    assert [pdu.message for pdu in found] == ["ДА".encode("utf-16-be")]
    assert decoder.waiting == 0


def test_what_waits_is_counted() -> None:
    decoder = Decoder()
    assert decoder.waiting == 0
    decoder.feed(GOOD + GOOD[:3])
    assert decoder.waiting == 3
    decoder.feed(GOOD[3:20])
    assert decoder.waiting == 20
    assert len(decoder.feed(GOOD[20:])) == 1
    assert decoder.waiting == 0
