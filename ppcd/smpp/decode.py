"""Bytes off the socket to PDUs: framing and decoding in one pass, bounded by limits.

Owns the stream: what is complete, what is too long, where a PDU begins. Refuses to know time,
sessions and text. Nothing is allocated by what a peer claims, and nothing is joined or parsed
before the announced length has arrived.
"""

import struct
from collections.abc import Container, Sequence
from typing import Final

from ppcd.smpp.body import WireQuirks, read_body
from ppcd.smpp.command import RESPONSE_BIT, UNANSWERED, Command
from ppcd.smpp.errors import FramingError
from ppcd.smpp.fields import BODIES
from ppcd.smpp.patterns import FastJudge, deliver_patterns
from ppcd.smpp.pdu import HEADER_SIZE, Fault, Pdu, encode, generic_nack, pack_header
from ppcd.smpp.status import Status
from ppcd.smpp.tlv import NO_TLVS, TLV_COUNT_MAX, Tag, Tlvs, tlv_stream_problem

#: A message_payload of 64 KiB and everything around it. Links that never need one set less.
PDU_SIZE_MAX: Final = 70_000

_read_head: Final = struct.Struct(">IQI").unpack_from  # length; command_id and status; sequence
_read_length: Final = struct.Struct(">I").unpack_from
# Reading a member off its enum takes longer than filling a slot.
_DELIVER_SM: Final = Command.DELIVER_SM
#: TLVs of so many octets are few enough without being counted.
_TLVS_HOT_MAX: Final = 4 * TLV_COUNT_MAX
#: Contents that a decoder remembers, and how long they may be: what thousands send is short.
CONTENTS_MAX: Final = 2048
CONTENT_OCTETS_MAX: Final = 160

_DELIVER_RESP_SIZE: Final = 17
_DELIVER_RESP: Final = pack_header(_DELIVER_RESP_SIZE, Command.DELIVER_SM_RESP, 0, 0) + b"\0"


class Content:
    """A good deliver_sm's parameters from destination_addr on: what was sent, not by whom.

    Thousands who send the same to the same address share one; it is known by its identity.
    """

    __slots__ = ("data_coding", "destination_addr", "esm_class", "short_message", "tlvs")

    def __init__(
        self,
        destination_addr: bytes,
        esm_class: int,
        data_coding: int,
        short_message: bytes,
        tlvs: bytes,
    ) -> None:
        self.destination_addr = destination_addr
        self.esm_class = esm_class
        self.data_coding = data_coding
        self.short_message = short_message
        #: As octets; they are well-formed.
        self.tlvs = tlvs


class _Delivered(Pdu):
    """A PDU whose most wanted parameters are known already; the others are read as ever."""

    __slots__ = ("_content", "_source")

    def __init__(self, sequence: int, body: bytes, source: bytes, content: Content) -> None:
        self.command = _DELIVER_SM
        self.status = 0
        self.sequence = sequence
        self.body = body
        self.fault = None
        self._parts = None
        self._source = source
        self._content = content

    @property
    def tlvs(self) -> Tlvs:
        octets = self._content.tlvs
        return Tlvs.from_octets(octets) if octets else NO_TLVS

    @property
    def message(self) -> bytes:
        return self._content.short_message or self.tlvs.raw(Tag.MESSAGE_PAYLOAD) or b""


def _of_content(name: str) -> property:
    return property(lambda delivered: getattr(delivered._content, name))


_Delivered.source_addr = property(lambda delivered: delivered._source)  # type: ignore[assignment]
_Delivered.destination_addr = _of_content("destination_addr")  # type: ignore[assignment]
_Delivered.esm_class = _of_content("esm_class")  # type: ignore[assignment]
_Delivered.data_coding = _of_content("data_coding")  # type: ignore[assignment]
_Delivered.short_message = _of_content("short_message")  # type: ignore[assignment]
# Behind service_type and its NUL.
_Delivered.source_addr_ton = property(  # type: ignore[assignment]
    lambda delivered: delivered.body[delivered.body.index(0) + 1]
)


class DeliverRows:
    """deliver_sm of status 0 that came one after another, in wire order, column by column.

    No object is made for a message: in a flood, walking through objects that have left the
    processor's caches costs more than all the reading.
    """

    __slots__ = ("_octets", "_start", "contents", "sequences", "sources", "tons")

    def __init__(self, octets: bytes, start: int) -> None:
        self._octets = octets
        self._start = start
        #: sequence_number, as its four octets.
        self.sequences: list[bytes] = []
        #: source_addr_ton, as its octet.
        self.tons: list[bytes] = []
        self.sources: list[bytes] = []
        self.contents: list[Content] = []

    @property
    def columns(self) -> tuple[list[bytes], list[bytes], list[bytes], list[Content]]:
        """sequences, tons, sources, contents."""
        return self.sequences, self.tons, self.sources, self.contents

    def __len__(self) -> int:
        return len(self.sequences)

    def pdus(self, wanted: Container[int] | None = None) -> list[Pdu]:
        """The same as PDUs; only those at these positions, if any are named."""
        pdus: list[Pdu] = []
        at = self._start
        rows = zip(self.sequences, self.sources, self.contents, strict=True)
        for position, (sequence, source, content) in enumerate(rows):
            (length,) = _read_length(self._octets, at)
            if wanted is None or position in wanted:
                body = self._octets[at + HEADER_SIZE : at + length]
                pdus.append(_Delivered(int.from_bytes(sequence, "big"), body, source, content))
            at += length
        return pdus

    def answers(
        self, statuses: Sequence[int] | None = None, at: Sequence[int] | None = None
    ) -> bytes:
        """All deliver_sm_resp, in order, for one write; every one ESME_ROK without `statuses`.

        With `at`, only those of the messages at these positions.
        """
        chosen = self.sequences if at is None else map(self.sequences.__getitem__, at)
        return _deliver_resps(b"".join(chosen), statuses)


def encode_deliver_resps(sequences: Sequence[int], statuses: Sequence[int] | None = None) -> bytes:
    """One deliver_sm_resp of 17 octets for each sequence number: ESME_ROK, or its status.

    Numbers must come from received PDUs: they are not checked again.
    """
    return _deliver_resps(struct.pack(f">{len(sequences)}I", *sequences), statuses)


def _deliver_resps(sequences: bytes, statuses: Sequence[int] | None) -> bytes:
    count = len(sequences) // 4
    answers = bytearray(_DELIVER_RESP * count)
    _stripe(answers, 12, sequences)
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
        "_contents",
        "_judge",
        "_needed",
        "_patterns",
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
        self._patterns = deliver_patterns(self._quirks)
        self._contents: dict[bytes, Content] = {}
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
        """As `feed`, with good deliver_sm in columns: the way for floods."""
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
        match = self._patterns.whole.match
        content_of = self._contents.get
        size_max = self.pdu_size_max
        run: DeliverRows | None = None
        sequences, tons, sources, contents = DeliverRows(data, 0).columns
        at = 0
        end_of_data = len(data)
        last_header = end_of_data - HEADER_SIZE
        while at <= last_header:
            # What the length's upper half says, the pattern asks.
            length = data[at + 2] << 8 | data[at + 3]
            end = at + length
            if end <= end_of_data and length <= size_max:
                found = match(data, at, end)
                if found is not None:
                    sequence, ton, source, octets = found.groups()
                    content = content_of(octets) or self._content(octets)
                    if content is not None:
                        if run is None:
                            run = DeliverRows(data, at)
                            out.append(run)
                            sequences, tons, sources, contents = run.columns
                        sequences.append(sequence)
                        tons.append(ton)
                        sources.append(source)
                        contents.append(content)
                        at = end
                        continue
            length, kind, number = _read_head(data, at)
            if not HEADER_SIZE <= length <= size_max:
                break
            end = at + length
            if end > end_of_data:
                break
            out.append(self._pdu(kind, number, data[at + HEADER_SIZE : end]))
            run = None
            at = end
        return at

    def _content(self, octets: bytes) -> Content | None:
        """What these octets behind source_addr say; None if they are the slow reader's."""
        found = self._patterns.content.match(octets)
        if found is None:
            return None
        destination, esm, tail, message = found.groups()
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
        if length_at - 3 != left or left > _TLVS_HOT_MAX:
            return None
        content = Content(destination, esm[0], tail[2], message, tlvs)
        if len(octets) <= CONTENT_OCTETS_MAX:
            if len(self._contents) >= CONTENTS_MAX:
                self._contents.clear()
            self._contents[octets] = content
        return content

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
