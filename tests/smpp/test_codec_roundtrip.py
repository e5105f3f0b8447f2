"""Decode of encode, cut anywhere, for every PDU; and the fast way agrees with the slow one."""

import copy
import struct
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ppcd.smpp import Command, Decoder, DeliverRows, FramingError, Pdu, WireQuirks, encode
from ppcd.smpp.body import read_body
from ppcd.smpp.decode import CONTENTS_MAX
from ppcd.smpp.fields import BODIES
from ppcd.smpp.patterns import FastJudge, fast_read
from ppcd.smpp.tlv import Tlvs, tlv_stream_problem
from tests.smpp.strategies import pdus
from tests.smpp.vectors import MALFORMED, deliver, pdu, sm, tlv

STRICT = WireQuirks()


def feed_in_pieces(octets: bytes, cuts: list[int]) -> list[Pdu]:
    decoder = Decoder()
    found: list[Pdu] = []
    edges = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    for begin, end in pairwise(edges):
        found += decoder.feed(octets[begin:end])
    assert decoder.waiting == 0
    return found


@given(pdus())
def test_every_pdu_comes_back_as_it_was_built(built: Pdu) -> None:
    [read] = Decoder().feed(encode(built))
    assert read == built
    assert read.fault is None
    assert dict(read.fields) == dict(built.fields)
    assert read.tlvs == built.tlvs
    assert encode(read) == encode(built)


@pytest.mark.parametrize("command", sorted(BODIES), ids=lambda command: Command(command).name)
def test_every_pdu_rebuilt_from_its_parameters_has_the_same_octets(command: int) -> None:
    @settings(max_examples=25)
    @given(pdus(st.just(command)))
    def rebuilt(original: Pdu) -> None:
        again = original.replace(sequence=original.sequence)
        assert encode(again) == encode(original)

    rebuilt()


@given(st.lists(pdus(), max_size=5), st.lists(st.integers(0, 2_000), max_size=8))
def test_a_stream_may_be_cut_anywhere(built: list[Pdu], cuts: list[int]) -> None:
    stream = b"".join(map(encode, built))
    assert feed_in_pieces(stream, cuts) == built


def test_a_stream_may_be_cut_at_every_octet() -> None:
    stream = deliver() + deliver(tlvs=tlv(0x204, b"\0\1")) + pdu(0x15) + deliver(message=b"")
    whole = Decoder().feed(stream)
    assert len(whole) == 4
    for cut in range(1, len(stream)):
        assert feed_in_pieces(stream, [cut]) == whole
    assert feed_in_pieces(stream, list(range(len(stream)))) == whole


def test_a_hundred_pdus_in_one_read_come_out_in_order() -> None:
    stream = b"".join(pdu(5, sm(), sequence=number) for number in range(1, 101))
    assert [found.sequence for found in Decoder().feed(stream)] == list(range(1, 101))


def judged(octets: bytes) -> tuple[object, ...]:
    """How the slow reader alone sees a body of deliver_sm."""
    reading = read_body(Command.DELIVER_SM, octets, STRICT)
    if reading.problem is not None:
        return ("fault", reading.problem.status, reading.problem.field)
    problem = tlv_stream_problem(octets[reading.tlvs_at :])
    if problem is not None:
        return ("fault", 0xC0, "tlvs")
    return ("good", dict(reading.values), octets[reading.tlvs_at :])


def seen(octets: bytes) -> tuple[object, ...]:
    """How the decoder sees it."""
    [found] = Decoder().feed(pdu(5, octets))
    if found.fault is not None:
        return ("fault", found.fault.status, found.fault.field)
    return ("good", dict(found.fields), found.tlvs.octets)


BODY_SHAPED = st.builds(
    lambda pieces: b"".join(pieces),
    st.lists(st.sampled_from([b"\0", b"\1\1", b"3809\0", b"\0\0\0", b"\4", b"\2\4\0\2ab"])
             | st.binary(max_size=24), max_size=16),
)  # fmt: skip


@settings(max_examples=500)
@given(BODY_SHAPED | st.binary(max_size=80))
@example(sm())
@example(sm(message=b"\n" * 10, source=b"\n\n\n\0"))
@example(sm(tlvs=tlv(0x424, b"x" * 300)))
@example(sm(tlvs=tlv(0x1400, b"") * 257))
def test_the_fast_and_the_slow_way_agree_on_every_body(octets: bytes) -> None:
    assert seen(octets) == judged(octets)


@pytest.mark.parametrize("command", sorted(BODIES), ids=lambda command: Command(command).name)
def test_the_patterns_read_what_the_slow_reader_reads(command: int) -> None:
    judge = FastJudge(STRICT)

    @settings(max_examples=50)
    @given(BODY_SHAPED)
    def agree(octets: bytes) -> None:
        slow = read_body(command, octets, None)
        fast = fast_read(command, octets)
        if fast is not None:
            assert slow.problem is None
            assert fast == (dict(slow.values), octets[slow.tlvs_at :])
            assert list(fast[0]) == list(slow.values)
        strict = read_body(command, octets, STRICT)
        at = judge.tlvs_at(command, octets)
        if at is not None:
            assert (strict.problem, strict.tlvs_at) == (None, at)

    agree()


@given(BODY_SHAPED | st.binary(max_size=60))
def test_a_tlv_stream_is_good_exactly_when_it_can_be_walked(octets: bytes) -> None:
    at = 0
    while len(octets) - at >= 4:
        at += 4 + struct.unpack_from(">H", octets, at + 2)[0]
    assert (tlv_stream_problem(octets) is None) == (at == len(octets))
    if at == len(octets):
        assert b"".join(tlv(*pair) for pair in Tlvs.from_octets(octets)) == octets


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=64), max_size=6))
def test_garbage_raises_nothing_but_a_framing_error(pieces: list[bytes]) -> None:
    decoder = Decoder(pdu_size_max=4096)
    for piece in pieces:
        try:
            for found in decoder.feed(piece):
                assert repr(found)
                assert found.tlvs is not None
        except FramingError:
            break


@settings(max_examples=300)
@given(
    st.sampled_from([v.octets for v in MALFORMED if len(v.octets) > 16] + [deliver()]),
    st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), max_size=6),
)
def test_mutations_of_real_pdus_raise_nothing(
    octets: bytes, changes: list[tuple[int, int]]
) -> None:
    mutated = bytearray(octets)
    for at, value in changes:
        if at < len(mutated):
            mutated[at] = value
    mutated[:4] = struct.pack(">I", len(mutated))
    for found in Decoder().feed(bytes(mutated)):
        assert found.body == bytes(mutated[16:])
        assert repr(found)
        assert len(found.tlvs) <= 256


def test_what_many_send_is_read_once_and_not_remembered_for_ever() -> None:
    decoder = Decoder()
    bodies = [sm(message=b"%d" % number) for number in range(CONTENTS_MAX + 1)]
    stream = b"".join(pdu(5, body) for body in (bodies[0], *bodies, bodies[0]))
    [rows] = decoder.feed_rows(stream)
    assert isinstance(rows, DeliverRows)
    assert rows.contents[0] is rows.contents[1] is not rows.contents[2]
    assert rows.contents[0] is not rows.contents[-1]
    assert rows.contents[0].short_message == rows.contents[-1].short_message == b"0"
    assert [found.short_message for found in rows.pdus({1, 3})] == [b"0", b"2"]


def test_rows_and_pdus_say_the_same() -> None:
    good = [v.octets for v in MALFORMED if v.fate == "passes"]
    stream = b"".join(good) + deliver() * 3
    rows = Decoder().feed_rows(stream)
    flat: list[Pdu] = []
    for item in rows:
        if isinstance(item, DeliverRows):
            for *who, content, found in zip(*item.columns, item.pdus(), strict=True):
                fields = Pdu(found.command, 0, found.sequence, found.body).fields
                assert who == [
                    found.sequence.to_bytes(4, "big"),
                    bytes([found.source_addr_ton]),
                    found.source_addr,
                ]
                for name in ("destination_addr", "esm_class", "data_coding", "short_message"):
                    assert getattr(content, name) == getattr(found, name) == fields[name]
                assert content.tlvs == found.tlvs.octets
                flat.append(found)
        else:
            flat.append(item)
    assert flat == Decoder().feed(stream)


@given(st.lists(pdus(st.just(Command.DELIVER_SM)), max_size=3))
@example([Pdu(Command.DELIVER_SM, 0, 1, sm(service_type=b"", message=b"", tlvs=tlv(0x424, b"x")))])
@example([Pdu(Command.DELIVER_SM, 0, 1, sm(tlvs=tlv(0x1403, b"x")))])
def test_a_pdu_out_of_a_row_is_like_any_other(built: list[Pdu]) -> None:
    stream = b"".join(encode(Pdu(5, 0, pdu.sequence, pdu.body)) for pdu in built)
    for found, original in zip(Decoder().feed(stream), built, strict=True):
        plain = Pdu(5, 0, original.sequence, original.body)
        assert found == plain
        assert hash(found) == hash(plain)
        assert found.tlvs == plain.tlvs
        assert found.message == plain.message
        assert dict(found.fields) == dict(plain.fields)
        for name, value in plain.fields.items():
            assert getattr(found, name) == value
        copied = copy.deepcopy(found)
        assert copied == plain
        assert copied.source_addr == plain.source_addr
        assert found.replace(status=8).status == 8
