"""Frames and AVPs: cut anywhere, broken everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.billing.diameter.codes import Code
from ppcd.billing.diameter.octets import (
    LENGTH_MAX,
    Avps,
    Cutter,
    Malformed,
    Message,
    avp,
    read_avps,
    text_avp,
    u32_avp,
)
from tests.billing.diameter.messages import GRANTED, cut

MESSAGES = st.lists(st.binary(max_size=40).map(lambda data: avp(1, data)), min_size=1, max_size=5)


@given(bodies=MESSAGES, at=st.integers(0, 400))
def test_a_stream_is_cut_the_same_wherever_reads_end(bodies: list[bytes], at: int) -> None:
    messages = [Message(0x80, 272, 4, i, i, body) for i, body in enumerate(bodies)]
    stream = b"".join(message.encoded() for message in messages)
    cutter = Cutter()
    first, fault = cutter.feed(stream[:at])
    second, other = cutter.feed(stream[at:])
    assert [*first, *second] == messages
    assert fault is other is None


@pytest.mark.parametrize(
    "head",
    [
        b"\x02\0\0\x14",
        b"\x01\0\0\0",
        b"\x01\0\0\x10",
        b"\x01\0\0\x16",
        b"\x01" + (LENGTH_MAX + 4).to_bytes(3, "big"),
    ],
    ids=["version", "nothing", "below the header", "not of four", "too long"],
)
def test_a_wrong_length_or_version_ends_the_stream_after_what_was_good(head: bytes) -> None:
    messages, fault = Cutter().feed(GRANTED + head + bytes(40))
    assert messages == cut(GRANTED)
    assert fault is not None


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_else_than_malformed(data: bytes) -> None:
    try:
        avps = Avps(read_avps(data))
        for found in avps:
            found.members()
    except Malformed:
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\1",
        u32_avp(1, 1)[:-1],
        b"\0\0\0\1\x40\0\0\7",
        b"\0\0\0\1\x80\0\0\x0c",
        b"\0\0\0\1\x80\0\0\x08" + bytes(4),
        u32_avp(1, 1) * 1001,
    ],
    ids=["a piece", "cut off", "shorter than its header", "no vendor", "vendor outside", "many"],
)
def test_avps_must_add_up(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_avps(data)


def test_a_vendors_avp_is_not_that_of_the_rfc() -> None:
    foreign = b"\0\0\1\x0c\xc0\0\0\x10\0\0\x28\xaf\0\0\x07\xd1"
    avps = Avps(read_avps(foreign + u32_avp(Code.RESULT_CODE, 4012)))
    found = avps.one(Code.RESULT_CODE)
    assert found is not None
    assert found.u32() == 4012
    assert [one.vendor for one in avps] == [10415, 0]


def test_what_should_stand_once_and_has_a_size_is_held_to_it() -> None:
    with pytest.raises(Malformed, match="2 times"):
        Avps(read_avps(u32_avp(268, 1) * 2)).one(268)
    [short] = read_avps(avp(268, b"\0\0\1"))
    for read in (short.u32, short.i32, short.i64):
        with pytest.raises(Malformed, match="3 octets"):
            read()
    [text] = read_avps(avp(263, b"\xff"))
    with pytest.raises(Malformed, match="UTF-8"):
        text.text()


def test_padding_is_not_part_of_the_value() -> None:
    assert [found.data for found in read_avps(text_avp(1, "abcde") * 2)] == [b"abcde"] * 2
