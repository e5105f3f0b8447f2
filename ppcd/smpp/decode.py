"""Bytes off the socket to PDUs: framing and decoding in one pass, bounded by limits.

Owns the stream: what is complete, what is too long, where a PDU begins. Refuses to know time,
sessions and text. Nothing is allocated by what a peer claims, and nothing is joined or parsed
before the announced length has arrived.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from ppcd.smpp.body import WireQuirks, read_body
from ppcd.smpp.command import RESPONSE_BIT, UNANSWERED, Command
from ppcd.smpp.errors import FramingError
from ppcd.smpp.fields import BODIES
from ppcd.smpp.patterns import FastJudge, deliver_pattern
from ppcd.smpp.pdu import HEADER_SIZE, Fault, Pdu, encode, generic_nack, pack_header
from ppcd.smpp.status import Status
from ppcd.smpp.tlv import NO_TLVS, TLV_COUNT_MAX, Tag, Tlvs, tlv_stream_problem

#: A message_payload of 64 KiB and everything around it. Links that never need one set less.
PDU_SIZE_MAX: Final = 70_000

#: A good deliver_sm of status 0: sequence, source_addr, destination_addr, esm_class,
#: data_coding, short_message, TLV octets (checked), and the whole body.
DeliverRow: TypeAlias = tuple[int, bytes, bytes, int, int, bytes, bytes, bytes]

_read_head: Final = struct.Struct(">IQI").unpack_from  # length; command_id and status; sequence
_read_length: Final = struct.Struct(">I").unpack_from
_HOT: Final = Command.DELIVER_SM << 32
# Reading a member off its enum takes longer than filling a slot.
_DELIVER_SM: Final = Command.DELIVER_SM
#: TLVs of so many octets are few enough without being counted.
_TLVS_HOT_MAX: Final = 4 * TLV_COUNT_MAX

_DELIVER_RESP_SIZE: Final = 17
_DELIVER_RESP: Final = pack_header(_DELIVER_RESP_SIZE, Command.DELIVER_SM_RESP, 0, 0) + b"\0"


class _Delivered(Pdu):
    """A PDU whose most wanted parameters are already in its row; the others are read as ever."""

    __slots__ = ("_row",)

    def __init__(self, row: DeliverRow) -> None:
        self.command = _DELIVER_SM
        self.status = 0
        self.sequence = row[0]
        self.body = row[7]
        self.fault = None
        self._parts = None
        self._row = row

    @property
    def tlvs(self) -> Tlvs:
        octets = self._row[6]
        return Tlvs.from_octets(octets) if octets else NO_TLVS

    @property
    def message(self) -> bytes:
        return self._row[5] or self.tlvs.raw(Tag.MESSAGE_PAYLOAD) or b""


def _in_row(at: int) -> property:
    def get(delivered: _Delivered) -> Any:
        return delivered._row[at]

    return property(get)


_Delivered.source_addr = _in_row(1)  # type: ignore[assignment]
_Delivered.destination_addr = _in_row(2)  # type: ignore[assignment]
_Delivered.esm_class = _in_row(3)  # type: ignore[assignment]
_Delivered.data_coding = _in_row(4)  # type: ignore[assignment]
_Delivered.short_message = _in_row(5)  # type: ignore[assignment]
# Behind service_type and its NUL.
_Delivered.source_addr_ton = property(  # type: ignore[assignment]
    lambda delivered: delivered.body[delivered.body.index(0) + 1]
)


class DeliverRows(list[DeliverRow]):
    """deliver_sm that came one after another, in wire order, each a lean tuple."""

    __slots__ = ()

    def pdus(self) -> list[Pdu]:
        """The same as PDUs."""
        return [_Delivered(row) for row in self]

    def answers(self, statuses: Sequence[int] | None = None) -> bytes:
        """All deliver_sm_resp, in order, for one write; every one ESME_ROK without `statuses`."""
        return encode_deliver_resps([row[0] for row in self], statuses)


def encode_deliver_resps(sequences: Sequence[int], statuses: Sequence[int] | None = None) -> bytes:
    """One deliver_sm_resp of 17 octets for each sequence number: ESME_ROK, or its status.

    Numbers must come from received PDUs: they are not checked again.
    """
    count = len(sequences)
    answers = bytearray(_DELIVER_RESP * count)
    _stripe(answers, 12, struct.pack(f">{count}I", *sequences))
    if statuses is not None:
        assert len(statuses) == count, "one status a PDU"
    if statuses is not None and any(statuses):
        _stripe(answers, 8, struct.pack(f">{count}I", *statuses))
    return bytes(answers)


def _stripe(answers: bytearray, at: int, numbers: bytes) -> None:
    # Four strided copies for a whole batch: packing answer by answer takes ten times as long.
    for octet in range(4):
        answers[at + octet :: _DELIVER_RESP_SIZE] = numbers[octet::4]


class Decoder:
    """Takes octets as they come and gives back the PDUs that are complete.

    `pdu_size_max` may be changed at any time: a session allows less before bind. After a
    FramingError the decoder is dead and raises on every call.
    """

    __slots__ = (
        "_chunks",
        "_judge",
        "_match",
        "_needed",
        "_quirks",
        "_waiting",
        "broken",
        "pdu_size_max",
    )

    def __init__(self, pdu_size_max: int = PDU_SIZE_MAX, quirks: WireQuirks | None = None) -> None:
        self.pdu_size_max = pdu_size_max
        #: The error that ended this stream, None while it lives.
        self.broken: FramingError | None = None
        self._quirks = quirks or WireQuirks()
        self._judge = FastJudge(self._quirks)
        self._match = deliver_pattern(self._quirks).match
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._needed = 0

    @property
    def waiting(self) -> int:
        """Octets of a PDU that isn't complete yet: while it isn't 0, a timer should run."""
        return self._waiting

    def feed(self, data: bytes) -> list[Pdu]:
        """The PDUs that `data` completes, in wire order; one that is malformed has a `fault`.

        FramingError when a length can't be; its `before` has the PDUs in front of it.
        """
        try:
            batch = self.feed_rows(data)
        except FramingError as error:
            error.before = _expand(error.before)
            raise
        return _expand(batch)

    def feed_rows(self, data: bytes) -> list[Pdu | DeliverRows]:
        """As `feed`, with good deliver_sm in runs of lean tuples: the way for floods."""
        if self.broken is not None:
            raise FramingError(self.broken.length, self.broken.sequence, b"", ())
        if self._waiting:
            # Joining at every read would be quadratic in the PDU's size.
            self._chunks.append(data)
            self._waiting += len(data)
            if self._waiting < self._needed:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
            self._waiting = 0
        out: list[Pdu | DeliverRows] = []
        at = self._decode(data, out)
        left = len(data) - at
        needed = 4
        if left >= 4:
            (needed,) = _read_length(data, at)
            self._judge_length(needed, data, at, out)
        if left:
            self._chunks.append(data[at:] if at else data)
            self._waiting = left
            self._needed = needed
        return out

    def _judge_length(
        self, length: int, data: bytes, at: int, before: list[Pdu | DeliverRows]
    ) -> None:
        if HEADER_SIZE <= length <= self.pdu_size_max:
            return
        sequence = 0
        if len(data) - at >= HEADER_SIZE:
            (sequence,) = _read_length(data, at + 12)
        answer = encode(generic_nack(sequence, Status.ESME_RINVCMDLEN))
        self.broken = FramingError(length, sequence, answer, before)
        raise self.broken

    def _decode(self, data: bytes, out: list[Pdu | DeliverRows]) -> int:
        """Appends what is complete to `out`; where the first incomplete PDU begins.

        One loop on purpose, without calls for a good deliver_sm: each costs a tenth of it.
        """
        match = self._match
        size_max = self.pdu_size_max
        rows: DeliverRows | None = None
        add: Callable[[DeliverRow], None] = DeliverRows().append
        at = 0
        end_of_data = len(data)
        last_header = end_of_data - HEADER_SIZE
        while at <= last_header:
            length, kind, sequence = _read_head(data, at)
            if not 16 <= length <= size_max:
                break
            end = at + length
            if end > end_of_data:
                break
            if kind == _HOT and (found := match(data, at + 16, end)) is not None:
                body, source, destination, esm, tail, message = found.groups()
                size = tail[4]
                left = len(message) - size
                tlvs = b""
                length_at = 3
                if left:
                    tlvs = message[size:]
                    message = message[:size]
                    # Steps from length to length; one of 256 octets or more is the slow way's.
                    while length_at < left and not tlvs[length_at - 1]:
                        length_at += 4 + tlvs[length_at]
                if length_at - 3 == left <= _TLVS_HOT_MAX:
                    if rows is None:
                        rows = DeliverRows()
                        out.append(rows)
                        add = rows.append
                    add((sequence, source, destination, esm[0], tail[2], message, tlvs, body))
                    at = end
                    continue
            out.append(self._pdu(kind, sequence, data[at + HEADER_SIZE : end]))
            rows = None
            at = end
        return at

    def _pdu(self, kind: int, sequence: int, body: bytes) -> Pdu:
        command, status = kind >> 32, kind & 0xFFFFFFFF
        return Pdu(command, status, sequence, body, self._fault(command, body))

    def _fault(self, command: int, body: bytes) -> Fault | None:
        answer: int | None = command | RESPONSE_BIT
        if command >= RESPONSE_BIT or command in UNANSWERED:
            answer = None
        table = BODIES.get(command)
        if table is None:
            if answer is not None:
                answer = Command.GENERIC_NACK
            return Fault(Status.ESME_RINVCMDID, answer, "command_id", f"{command:#010x} is unknown")
        if not table or (not body and command >= RESPONSE_BIT):
            # Header only: a body there, and some send one, means nothing. Of the other responses
            # any may come without its body.
            return None
        tlvs_at = self._judge.tlvs_at(command, body)
        if tlvs_at is None:
            reading = read_body(command, body, self._quirks)
            if reading.problem is not None:
                status, field, detail = reading.problem
                return Fault(status, answer, field, detail)
            tlvs_at = reading.tlvs_at
        stream = body[tlvs_at:]
        problem = tlv_stream_problem(stream) if stream else None
        if problem is None or self._quirks.broken_tlvs_dropped:
            return None
        if answer is None and len(stream) < 4 and not any(stream):
            return None  # a response padded with NULs
        return Fault(Status.ESME_RINVOPTPARSTREAM, answer, "tlvs", problem)


def _expand(batch: Sequence[object]) -> list[Pdu]:
    pdus: list[Pdu] = []
    for item in batch:
        if isinstance(item, Pdu):
            pdus.append(item)
        else:
            assert isinstance(item, DeliverRows)
            pdus.extend(item.pdus())
    return pdus
