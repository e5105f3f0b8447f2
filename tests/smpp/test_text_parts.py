"""Long messages: counted, split, headed, joined."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcd.smpp import (
    By,
    Command,
    Concatenation,
    Incomplete,
    Joiner,
    Part,
    Pdu,
    Tag,
    TextError,
    Whole,
    build,
    concatenation_of,
    decode_text,
    deliver_sm,
    segment_count,
    split,
    split_payload,
    split_udh,
    submit_sm,
    user_data,
)
from ppcd.smpp.gsm0338 import unpack_septets

METHODS = st.sampled_from(list(By))


def arrived(part: Part, *, source: bytes = b"380971234567", destination: bytes = b"7171") -> Pdu:
    """The part as it would come in."""
    return deliver_sm(source_addr=source, destination_addr=destination, **part._asdict())


def joined(pdus: list[Pdu], **reading: Any) -> str:
    joiner = Joiner()
    events = [event for pdu in pdus for event in joiner.add(pdu, 0.0)]
    [whole] = events
    assert isinstance(whole, Whole)
    assert len(joiner) == 0
    assert joiner.octets == 0
    return whole.text(**reading)


@pytest.mark.parametrize(
    ("text", "by", "count"),
    [
        ("", By.UDH8, 1),
        ("a" * 160, By.UDH8, 1),
        ("a" * 161, By.UDH8, 2),
        ("a" * 306, By.UDH8, 2),
        ("a" * 307, By.UDH8, 3),
        ("a" * 306, By.UDH16, 3),
        ("a" * 304, By.UDH16, 2),
        ("a" * 304, By.SAR, 2),
        ("€" * 80, By.UDH8, 1),
        ("a" + "€" * 80, By.UDH8, 2),
        ("ж" * 70, By.UDH8, 1),
        ("ж" * 71, By.UDH8, 2),
        ("ж" * 134, By.UDH8, 2),
        ("ж" * 135, By.UDH8, 3),
        ("ж" * 133, By.UDH16, 3),
        ("ж" * 132, By.UDH16, 2),
        ("👍" * 35, By.UDH8, 1),
        ("👍" * 36, By.UDH8, 2),
        ("👍" * 67, By.UDH8, 3),  # 33 pairs a part: 67 units hold no half
    ],
)
def test_messages_are_counted_as_they_are_billed(text: str, by: By, count: int) -> None:
    assert segment_count(text, by=by) == count
    assert len(split(text, reference=1, by=by)) == count


def test_text_in_another_alphabet_is_counted_as_it_will_be_on_air() -> None:
    assert segment_count("a" * 160, "latin1") == 1
    assert segment_count("ê" * 71, "latin1") == 2
    assert segment_count("ж" * 71, "iso8859-5") == 2
    assert segment_count("a" * 71, "ucs2") == 2
    assert segment_count("a" * 160, default="latin1") == 1


def test_parts_are_headed_as_written_by_hand() -> None:
    first, second = split("a" * 161, reference=0x1FF)
    assert first == Part(0x40, 0, b"\x05\x00\x03\xff\x02\x01" + b"a" * 153)
    assert second == Part(0x40, 0, b"\x05\x00\x03\xff\x02\x02" + b"a" * 8)
    first, second = split("ж" * 71, reference=0x11FF, by=By.UDH16)
    assert first.short_message[:7] == b"\x06\x08\x04\x11\xff\x02\x01"
    assert len(first.short_message) == 7 + 132
    assert second.short_message[7:] == "ж".encode("utf-16-be") * 5
    first, second = split("ж" * 71, reference=0x11FF, by=By.SAR)
    assert first.esm_class == 0
    assert dict(second.tlvs) == {
        Tag.SAR_MSG_REF_NUM: 0x11FF,
        Tag.SAR_TOTAL_SEGMENTS: 2,
        Tag.SAR_SEGMENT_SEQNUM: 2,
    }


def test_an_escape_stays_with_its_character_and_a_pair_together() -> None:
    first, second = split("a" * 152 + "€" * 5, reference=1)
    assert first.short_message[6:] == b"a" * 152
    assert second.short_message[6:] == b"\x1b\x65" * 5
    first, second = split("ж" * 66 + "👍" * 3, reference=1)
    assert first.short_message[6:].decode("utf-16-be") == "ж" * 66
    assert second.short_message[6:].decode("utf-16-be") == "👍" * 3


def test_packed_septets_begin_on_a_septet_boundary_behind_the_header() -> None:
    text = "b" * 161
    parts = split(text, reference=1, default="gsm0338-packed")
    assert [len(part.short_message) for part in parts] == [140, 14]
    assert unpack_septets(parts[0].short_message[6:], fill_bits=1) == b"b" * 153
    assert joined([arrived(part) for part in parts], default="gsm0338-packed") == text
    [one] = split("bbb", reference=1, default="gsm0338-packed")
    assert one.esm_class == 0


def test_more_than_255_parts_are_refused() -> None:
    assert len(split("a" * (153 * 255), reference=1)) == 255
    with pytest.raises(TextError, match="256 parts"):
        split("a" * (153 * 255 + 1), reference=1)


def test_message_payload_carries_what_short_message_cannot() -> None:
    assert split_payload("a" * 160) == [Part(0, 0, b"a" * 160)]
    [long] = split_payload("ж" * 71)
    assert long == Part(0, 8, b"", ((Tag.MESSAGE_PAYLOAD, "ж".encode("utf-16-be") * 71),))
    assert (
        submit_sm(destination_addr=b"1", **long._asdict()).message == "ж".encode("utf-16-be") * 71
    )
    with pytest.raises(TextError, match="65540 octets"):
        split_payload("ж" * 32770)


@settings(max_examples=60)
@given(st.text(max_size=700).filter(lambda text: text.isprintable()), METHODS, st.randoms())
def test_what_was_split_is_joined_in_whatever_order(text: str, by: By, random: Any) -> None:
    parts = [arrived(part) for part in split(text, reference=77, by=by)]
    assert len(parts) == segment_count(text, by=by)
    for part in parts:
        assert len(part.short_message) <= 160
    random.shuffle(parts)
    assert joined(parts) == text


CONCATENATED = b"\x05\x00\x03\x2a\x02\x01"


@pytest.mark.parametrize(
    ("message", "elements", "rest", "problem"),
    [
        (CONCATENATED + b"ab", ((0, b"\x2a\2\1"),), b"ab", False),
        (b"\0ab", (), b"ab", False),
        (b"\x06\x05\x04\x0b\x84\x23\xf0!", ((5, b"\x0b\x84\x23\xf0"),), b"!", False),
        (b"\x0a\x70\0\x24\x01\x05\0\x03\x2a\2\1x", ((0x70, b""), (0x24, b"\5"), (0, b"\x2a\2\1")),
         b"x", False),
        (b"", (), b"", True),
        (b"\x05\0\3", (), b"", True),
        (b"\x03\0\x05\1x", (), b"x", True),
        (b"\x01\0x", (), b"x", True),
        (b"\x04\x24\x01\x05\0x", ((0x24, b"\5"),), b"x", True),
    ],
)  # fmt: skip
def test_a_header_is_taken_apart_or_its_fault_is_named(
    message: bytes, elements: tuple[tuple[int, bytes], ...], rest: bytes, problem: bool
) -> None:
    found = split_udh(message)
    assert found.elements == elements
    assert found.octets == rest
    assert (found.problem is not None) == problem


@given(st.binary(max_size=60))
def test_any_octets_can_be_asked_for_a_header(message: bytes) -> None:
    found = split_udh(message)
    assert found.octets == b"" or message.endswith(found.octets)
    concatenation_of(deliver_sm(source_addr=b"1", esm_class=0x40, short_message=message))


def test_without_the_flag_nothing_is_a_header() -> None:
    message = deliver_sm(source_addr=b"1", short_message=CONCATENATED)
    assert user_data(message).octets == CONCATENATED
    assert user_data(message).header_size == 0
    assert concatenation_of(message) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (CONCATENATED, Concatenation(By.UDH8, 0x2A, 2, 1)),
        (b"\x06\x08\x04\x01\x2a\x02\x02", Concatenation(By.UDH16, 0x012A, 2, 2)),
        (b"\x06\x05\x04\x0b\x84\x23\xf0", None),  # ports
        (b"\x05\x00\x03\x2a\x00\x01", None),  # of no parts
        (b"\x05\x00\x03\x2a\x02\x00", None),  # part 0
        (b"\x05\x00\x03\x2a\x02\x03", None),  # part 3 of 2
        (b"\x04\x00\x02\x2a\x02", None),  # too short
        (b"\x05\x08\x03\x2a\x02\x01", None),  # 16 bits in three octets
        (b"\x0a\x00\x03\x2a\x02\x01\x00\x03\x2b\x02\x02", Concatenation(By.UDH8, 0x2B, 2, 2)),
        (b"\x0a\x00\x03\x2a\x02\x01\x00\x03\x2b\x02\x03", Concatenation(By.UDH8, 0x2A, 2, 1)),
    ],
)
def test_a_part_says_which_it_is(header: bytes, expected: Concatenation | None) -> None:
    message = deliver_sm(source_addr=b"1", esm_class=0x40, short_message=header + b"x")
    assert concatenation_of(message) == expected


@pytest.mark.parametrize(
    "missing", [Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM]
)
def test_sar_needs_all_three(missing: Tag) -> None:
    pairs = {Tag.SAR_MSG_REF_NUM: 9, Tag.SAR_TOTAL_SEGMENTS: 2, Tag.SAR_SEGMENT_SEQNUM: 1}
    whole = deliver_sm(source_addr=b"1", tlvs=pairs.items())
    assert concatenation_of(whole) == Concatenation(By.SAR, 9, 2, 1)
    del pairs[missing]
    assert concatenation_of(deliver_sm(source_addr=b"1", tlvs=pairs.items())) is None


def test_a_header_without_concatenation_leaves_the_sar_tlvs() -> None:
    sar = [(Tag.SAR_MSG_REF_NUM, 9), (Tag.SAR_TOTAL_SEGMENTS, 2), (Tag.SAR_SEGMENT_SEQNUM, 1)]
    ported = b"\x06\x05\x04\x0b\x84\x23\xf0"
    both = deliver_sm(source_addr=b"1", esm_class=0x40, short_message=ported, tlvs=sar)
    assert concatenation_of(both) == Concatenation(By.SAR, 9, 2, 1)


def test_a_data_sm_joins_like_any_other() -> None:
    halves = [
        build(
            Command.DATA_SM,
            esm_class=0x40,
            tlvs=[(Tag.MESSAGE_PAYLOAD, b"\x05\x00\x03\x07\x02" + bytes((number,)) + text)],
        )
        for number, text in ((1, b"Y"), (2, b"ES"))
    ]
    assert joined(halves) == "YES"


def parts_of(text: str, reference: int = 1, **address: bytes) -> list[Pdu]:
    return [arrived(part, **address) for part in split(text, reference=reference)]


def test_a_message_of_its_own_passes_at_once() -> None:
    joiner = Joiner()
    single = deliver_sm(source_addr=b"1", short_message=b"YES")
    [whole] = joiner.add(single, 0.0)
    assert whole == Whole((single,))
    assert not whole.is_long
    alone = deliver_sm(source_addr=b"1", esm_class=0x40, short_message=b"\x05\0\3\1\1\1YES")
    [whole] = joiner.add(alone, 0.0)
    assert isinstance(whole, Whole)
    assert whole.text() == "YES"
    assert len(joiner) == 0


def test_parts_of_two_subscribers_never_meet() -> None:
    joiner = Joiner()
    first, _ = parts_of("a" * 161, source=b"380971111111")
    _, second = parts_of("b" * 161, source=b"380972222222")
    assert joiner.add(first, 0.0) == []
    assert joiner.add(second, 0.0) == []
    assert len(joiner) == 2


@pytest.mark.parametrize("difference", ["destination", "link", "reference", "total", "width"])
def test_parts_meet_only_if_everything_agrees(difference: str) -> None:
    joiner = Joiner()
    first = parts_of("a" * 161)[0]
    others = {
        "destination": parts_of("a" * 161, destination=b"7172")[1],
        "link": parts_of("a" * 161)[1],
        "reference": parts_of("a" * 161, reference=2)[1],
        "total": parts_of("a" * 330)[1],
        "width": arrived(split("a" * 161, reference=1, by=By.UDH16)[1]),
    }
    assert joiner.add(first, 0.0, link="one") == []
    link = "two" if difference == "link" else "one"
    assert joiner.add(others[difference], 0.0, link=link) == []
    assert len(joiner) == 2


def test_a_repeated_part_changes_nothing() -> None:
    joiner = Joiner()
    first, second = parts_of("a" * 161)
    forged = first.replace(short_message=first.short_message[:6] + b"z")
    assert joiner.add(first, 0.0) == []
    octets = joiner.octets
    assert joiner.add(forged, 1.0) == []
    assert joiner.octets == octets
    [whole] = joiner.add(second, 2.0)
    assert isinstance(whole, Whole)
    assert whole.is_long
    assert whole.text() == "a" * 161


def test_what_waits_too_long_is_handed_back() -> None:
    joiner = Joiner(age_s_max=60)
    assert joiner.next_deadline() is None
    old, young = parts_of("a" * 320)[1], parts_of("b" * 161, reference=2)[0]
    joiner.add(old, 100.0)
    joiner.add(parts_of("a" * 320)[0], 130.0)
    joiner.add(young, 130.0)
    assert joiner.next_deadline() == 160.0
    assert joiner.expire(159.9) == []
    [given_up] = joiner.expire(160.0)
    assert given_up == Incomplete((parts_of("a" * 320)[0], old), 3)
    assert joiner.next_deadline() == 190.0
    assert len(joiner) == 1
    assert len(joiner.expire(1000.0)) == 1
    assert joiner.octets == 0


def test_too_many_messages_push_out_the_oldest() -> None:
    joiner = Joiner(messages_max=2)
    firsts = [parts_of("a" * 161, reference=number)[0] for number in range(3)]
    assert joiner.add(firsts[0], 0.0) == []
    assert joiner.add(firsts[1], 0.0) == []
    [given_up] = joiner.add(firsts[2], 0.0)
    assert given_up == Incomplete((firsts[0],), 2)
    assert len(joiner) == 2


def test_too_many_octets_push_out_the_oldest() -> None:
    firsts = [parts_of("a" * 161, reference=number)[0] for number in range(3)]
    joiner = Joiner(octets_max=2 * len(firsts[0].body))
    assert [joiner.add(first, 0.0) for first in firsts[:2]] == [[], []]
    [given_up] = joiner.add(firsts[2], 0.0)
    assert isinstance(given_up, Incomplete)
    assert joiner.octets == 2 * len(firsts[0].body)
    tiny = Joiner(octets_max=10)
    assert [type(event) for event in tiny.add(firsts[0], 0.0)] == [Incomplete]
    assert len(tiny) == 0


def test_octets_are_joined_before_they_are_read() -> None:
    thumb = "👍".encode("utf-16-be")
    header = b"\x05\x00\x03\x01\x02"
    halves = [
        deliver_sm(
            source_addr=b"1",
            esm_class=0x40,
            data_coding=8,
            short_message=header + bytes((at + 1,)) + half,
        )
        for at, half in enumerate((thumb[:2], thumb[2:]))
    ]
    assert joined(halves) == "👍"
    with pytest.raises(TextError):
        decode_text(thumb[:2], 8)


def test_parts_may_differ_in_their_data_coding() -> None:
    header = b"\x05\x00\x03\x01\x02"
    mixed = [
        deliver_sm(source_addr=b"1", esm_class=0x40, short_message=header + b"\1YES "),
        deliver_sm(
            source_addr=b"1",
            esm_class=0x40,
            data_coding=8,
            short_message=header + b"\2" + "ДА".encode("utf-16-be"),
        ),
    ]
    assert joined(mixed) == "YES ДА"
    assert joined(mixed, overrides={0: "ascii"}) == "YES ДА"
