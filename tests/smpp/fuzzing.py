"""Fuzz targets for framer, PDU bodies, TLVs, receipts, text and long messages.

Each takes any octets and asserts what must hold of them. `scripts/fuzz_smpp.py` lets a
coverage-guided fuzzer choose the octets; `test_fuzz.py` replays what it found worth keeping.
"""

from collections.abc import Callable
from datetime import datetime

from ppcd.smpp import (
    Alphabet,
    By,
    Command,
    Decoder,
    DeliverRows,
    EncodeError,
    FramingError,
    Joiner,
    MessageState,
    Pdu,
    TextError,
    TimeError,
    Tlvs,
    Whole,
    WireQuirks,
    alphabet_of,
    concatenation_of,
    decode_text,
    deliver_sm,
    encode,
    encode_text,
    parse_receipt,
    parse_time,
    response_to,
    segment_count,
    split,
)
from ppcd.smpp.body import read_body
from ppcd.smpp.fields import BODIES
from ppcd.smpp.patterns import FastJudge, fast_read
from ppcd.smpp.tlv import tlv_stream_problem

_SIZE_MAX = 4_096
_COMMANDS = sorted(BODIES)
_STRICT = WireQuirks()
_ALPHABETS = list(Alphabet)


def _read(pieces: list[bytes]) -> tuple[list[Pdu], int | None]:
    """What came out, and the impossible length, if there was one."""
    decoder = Decoder(pdu_size_max=_SIZE_MAX)
    found: list[Pdu] = []
    for piece in pieces:
        try:
            found += decoder.feed(piece)
        except FramingError as error:
            broken = error
            break
        assert decoder.waiting < _SIZE_MAX
    else:
        return found, None
    for pdu in broken.before:
        assert isinstance(pdu, Pdu)
        found.append(pdu)
    [nack] = Decoder().feed(broken.answer)
    assert nack.command == Command.GENERIC_NACK
    return found, broken.length


def stream(data: bytes) -> None:
    """However a stream is cut, the same PDUs come out; every request can be answered."""
    if not data:
        return
    step, octets = data[0] + 1, data[1:]
    whole, broken = _read([octets])
    pieces = [octets[at : at + step] for at in range(0, len(octets), step)]
    assert _read(pieces) == (whole, broken)
    consumed = 0
    for pdu in whole:
        frame = octets[consumed : consumed + 16 + len(pdu.body)]
        assert frame[16:] == pdu.body
        consumed += len(frame)
        _examine(pdu)
    if broken is None:
        rows = Decoder(pdu_size_max=_SIZE_MAX).feed_rows(octets)
        flat = [
            pdu for run in rows for pdu in (run.pdus() if isinstance(run, DeliverRows) else [run])
        ]
        assert flat == whole


def _examine(pdu: Pdu) -> None:
    assert repr(pdu)
    assert len(pdu.tlvs) == len(list(pdu.tlvs))
    try:
        answer = response_to(pdu, pdu.fault.status if pdu.fault else 0)
    except ValueError:
        assert pdu.command >= 0x80000000 or pdu.command in (0x0B, 0x102)
    else:
        assert pdu.fault is None or pdu.fault.response == answer.command
        assert Decoder().feed(encode(answer)) == [answer]
    if pdu.fault is None and 1 <= pdu.sequence <= 0x7FFFFFFF:
        assert Decoder().feed(encode(pdu)) == [pdu]
        if "esm_class" in pdu.fields:
            concatenation_of(pdu)
            parse_receipt(pdu, any_type=True)


def body(data: bytes) -> None:
    """The fast ways and the slow one agree; what was read can be written again."""
    if not data:
        return
    command, octets = _COMMANDS[data[0] % len(_COMMANDS)], data[1:]
    slow = read_body(command, octets, _STRICT)
    lenient = read_body(command, octets, None)
    at = FastJudge(_STRICT).tlvs_at(command, octets)
    if at is not None:
        assert (slow.problem, slow.tlvs_at) == (None, at)
    fast = fast_read(command, octets)
    if fast is not None:
        assert fast == (lenient.values, octets[lenient.tlvs_at :])
    if slow.problem is None:
        assert slow.values == lenient.values
        pdu = Pdu(command, 0, 1, octets)
        try:
            again = pdu.replace()
        except EncodeError:
            return  # times and messages that are read but never sent
        assert again.fields == pdu.fields
        assert again.body == octets[: slow.tlvs_at] + pdu.tlvs.octets or not octets


def tlvs(data: bytes) -> None:
    """A good stream can be walked and put together again."""
    if tlv_stream_problem(data) is None:
        found = Tlvs.from_octets(data)
        assert Tlvs(found.pairs) == found
        assert all(found.get(tag) is None or tag in found for tag, _ in found)
        assert repr(found)


def receipt(data: bytes) -> None:
    """Any text is a receipt or none; its type is its esm_class's word alone."""
    if len(data) < 2:
        return
    text = data[1:255]
    head = b"\0\0\0\0\0\0\0" + data[:1] + bytes(7)
    pdu = Pdu(Command.DELIVER_SM, 0, 1, head + bytes((0, len(text))) + text)
    assert pdu.short_message == text
    found = parse_receipt(pdu)
    assert (found is not None) == (data[0] & 0x3C in (0x04, 0x20))
    found = parse_receipt(pdu, any_type=True)
    if found is not None:
        assert isinstance(found.state, MessageState)
        for moment in (found.done_at, found.submitted_at):
            assert moment is None or (isinstance(moment, datetime) and moment.tzinfo)
    try:
        parse_time(text)
    except TimeError:
        pass


def text(data: bytes) -> None:
    """Octets are text or a TextError; text that is sent comes back."""
    if len(data) < 2:
        return
    data_coding, default, octets = data[0], _ALPHABETS[data[1] % len(_ALPHABETS)], data[2:]
    alphabet = alphabet_of(data_coding, default=default)
    try:
        found = decode_text(octets, data_coding, default=default)
    except TextError:
        return
    assert alphabet is not None
    if alphabet not in (Alphabet.GSM0338, Alphabet.GSM0338_PACKED):
        assert encode_text(found, alphabet).octets == octets
    else:
        assert decode_text(encode_text(found, "gsm0338").octets, 0) == found


def parts(data: bytes) -> None:
    """What was split is joined, whatever the text."""
    if not data:
        return
    by = list(By)[data[0] % 3]
    sent = data[1:].decode("utf-8", "ignore")
    joiner = Joiner()
    made = split(sent, reference=data[0], by=by)
    assert len(made) == segment_count(sent, by=by)
    events = [
        event
        for part in made
        for event in joiner.add(deliver_sm(source_addr=b"1", **part._asdict()), 0.0)
    ]
    [whole] = events
    assert isinstance(whole, Whole)
    assert whole.text() == sent


TARGETS: dict[str, Callable[[bytes], None]] = {
    "stream": stream,
    "body": body,
    "tlvs": tlvs,
    "receipt": receipt,
    "text": text,
    "parts": parts,
}
