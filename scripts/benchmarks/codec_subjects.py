"""The same jobs done by ppcd.smpp and by each library, as its own users would do them.

A job on reads takes what one read off a socket holds, reads the fields that a payment needs from
each deliver_sm and gives back the octets of all answers. The libraries bring no framing, so they
get the shortest one there is. Runs in the benchmark's own virtual environment.
"""

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ppcd.smpp import (
    Decoder,
    DeliverRows,
    Role,
    Session,
    SessionSettings,
    SubmitForm,
    Tlvs,
    bind,
    encode,
    encode_deliver_resps,
    response_to,
    submit_sm,
)
from ppcd.smpp.events import Requested

Job = Callable[[Any], Any]

SOURCE, DESTINATION = "717104", "380971234567"
TEXT = ("Оплата 25,00 грн. Відповідь ТАК. " * 3)[:70]
OCTETS = TEXT.encode("utf-16-be")
VALIDITY = "000000001000000R"

_length_at = struct.Struct(">I").unpack_from


class Subject(NamedTuple):
    """A library and its jobs by name; a job that it can't do is left out."""

    name: str
    kind: str  # "ours", "compiled", "python"
    jobs: dict[str, Job]


def frames(data: bytes) -> Iterator[bytes]:
    at, size = 0, len(data)
    while size - at >= 4:
        (length,) = _length_at(data, at)
        if not 16 <= length <= 65536:
            raise ValueError(length)
        if at + length > size:
            return
        yield data[at : at + length]
        at += length


_decoder = Decoder()
_form = SubmitForm(source_addr_npi=1, dest_addr_ton=1, dest_addr_npi=1, registered_delivery=1)


def _rows(data: bytes) -> Iterator[DeliverRows]:
    for run in _decoder.feed_rows(data):
        assert isinstance(run, DeliverRows)
        yield run


def _fields(rows: DeliverRows) -> None:
    for _sequence, _source, content in zip(
        rows.sequences, rows.sources, rows.contents, strict=True
    ):
        _ = (content.destination_addr, content.esm_class, content.data_coding)
        _ = (content.short_message, content.tlvs)


def _deliver(data: bytes) -> bytes:
    answers = b""
    for rows in _rows(data):
        _fields(rows)
        answers += rows.answers()
    return answers


def _deliver_split(data: bytes) -> bytes:
    answers = b""
    for rows in _rows(data):
        for content in rows.contents:
            _ = Tlvs.from_octets(content.tlvs).pairs
        answers += rows.answers()
    return answers


def _deliver_objects(data: bytes) -> bytes:
    pdus = _decoder.feed(data)
    for pdu in pdus:
        _ = (pdu.sequence, pdu.source_addr, pdu.destination_addr, pdu.esm_class)
        _ = (pdu.data_coding, pdu.short_message, pdu.tlvs)
    return encode_deliver_resps([pdu.sequence for pdu in pdus])


def _bound_session() -> Session:
    session = Session(Role.ESME, SessionSettings(pdu_size_max=65_536), random=lambda: 0.5, now=0.0)
    session.bind(bind(system_id=b"bench"), 0.0)
    [asked] = _decoder.feed(session.data_to_send())
    session.receive_data(encode(response_to(asked, system_id=b"smsc")), 0.0)
    return session


_session = _bound_session()


def _deliver_session(data: bytes) -> bytes:
    """The whole of what the daemon does with a read, timers and limits included, but the socket."""
    for event in _session.receive_data(data, 1.0):
        if isinstance(event, Requested):
            for rows in event.batch.runs:
                assert isinstance(rows, DeliverRows)
                _fields(rows)
            _session.answer(event.batch, [0] * len(event.batch), 1.0)
    return _session.data_to_send()


def _submit(count: int) -> None:
    for sequence in range(1, count + 1):
        pdu = _form.fill(
            source_addr=b"717104",
            destination_addr=b"380971234567",
            validity_period=b"000000001000000R",
            data_coding=8,
            short_message=OCTETS,
        )
        encode(pdu, sequence=sequence)


def _submit_at_once(count: int) -> None:
    for sequence in range(1, count + 1):
        pdu = submit_sm(
            source_addr=b"717104",
            source_addr_npi=1,
            destination_addr=b"380971234567",
            dest_addr_ton=1,
            dest_addr_npi=1,
            validity_period=b"000000001000000R",
            registered_delivery=1,
            data_coding=8,
            short_message=OCTETS,
        )
        encode(pdu, sequence=sequence)


def ours() -> Subject:
    jobs: dict[str, Job] = {
        "deliver": _deliver,
        "deliver_tlvs": _deliver,
        "receipt": _deliver,
        "submit": _submit,
        "deliver_session": _deliver_session,
        "deliver_objects": _deliver_objects,
        "deliver_tlvs_split": _deliver_split,
        "submit_at_once": _submit_at_once,
    }
    return Subject("ppcd.smpp", "ours", jobs)


def smpp34() -> Subject:
    from smpp34 import SubmitSm, decode

    def deliver(data: bytes) -> bytes:
        found = [decode(frame) for frame in frames(data)]
        for pdu in found:
            _ = (pdu.sequence_number, pdu.source_addr, pdu.destination_addr, pdu.esm_class)
            _ = (pdu.data_coding, pdu.short_message)
        # Our packing of answers: there is no faster one that it could use.
        return encode_deliver_resps([pdu.sequence_number for pdu in found])

    def deliver_tlvs(data: bytes) -> bytes:
        found = [decode(frame) for frame in frames(data)]
        for pdu in found:
            _ = (pdu.sequence_number, pdu.source_addr, pdu.destination_addr, pdu.esm_class)
            _ = (pdu.data_coding, pdu.short_message, pdu.tlvs)
        return encode_deliver_resps([pdu.sequence_number for pdu in found])

    def submit(count: int) -> None:
        for sequence in range(1, count + 1):
            SubmitSm(
                SOURCE,
                DESTINATION,
                OCTETS,
                source_addr_npi=1,
                dest_addr_ton=1,
                dest_addr_npi=1,
                validity_period=VALIDITY,
                registered_delivery=1,
                data_coding=8,
                sequence_number=sequence,
            ).encode()

    jobs = {"deliver": deliver, "deliver_tlvs": deliver_tlvs, "receipt": deliver_tlvs}
    return Subject("smpp34", "compiled", {**jobs, "submit": submit})


def aiosmpplib() -> Subject:
    from datetime import timedelta

    from aiosmpplib import NPI, TON, DeliverSm, DeliverSmResp, PhoneNumber, SubmitSm

    def deliver(data: bytes) -> bytes:
        answers = []
        for frame in frames(data):
            header = DeliverSm.parse_header(frame)
            pdu = DeliverSm.from_pdu(frame, header, "gsm0338")
            _ = (pdu.sequence_num, pdu.source.number, pdu.destination.number, pdu.esm_class)
            _ = (pdu.encoding, pdu.short_message, pdu.optional_params)
            answers.append(DeliverSmResp(pdu.sequence_num).pdu())
        return b"".join(answers)

    def submit(count: int) -> None:
        for sequence in range(1, count + 1):
            SubmitSm(
                sequence_num=sequence,
                short_message=TEXT,
                source=PhoneNumber(SOURCE, TON.UNKNOWN, NPI.ISDN),
                destination=PhoneNumber(DESTINATION, TON.INTERNATIONAL, NPI.ISDN),
                validity_period=timedelta(minutes=10),
                registered_delivery=1,
                encoding="ucs2",
            ).pdu()

    jobs = {"deliver": deliver, "deliver_tlvs": deliver, "receipt": deliver, "submit": submit}
    return Subject("aiosmpplib", "python", jobs)


def smpplib() -> Subject:
    from smpplib.client import SimpleSequenceGenerator
    from smpplib.smpp import make_pdu, parse_pdu

    class Client:
        sequence_generator = SimpleSequenceGenerator()

        @property
        def sequence(self) -> int:
            return int(self.sequence_generator.sequence)

        def next_sequence(self) -> int:
            return int(self.sequence_generator.next_sequence())

    client = Client()

    def deliver(data: bytes) -> bytes:
        answers = []
        for frame in frames(data):
            pdu = parse_pdu(frame, client=client, allow_unknown_opt_params=True)
            _ = (pdu.sequence, pdu.source_addr, pdu.destination_addr, pdu.esm_class)
            _ = (pdu.data_coding, pdu.short_message)
            answer = make_pdu("deliver_sm_resp", client=client)
            answer.sequence = pdu.sequence
            answers.append(answer.generate())
        return b"".join(answers)

    def submit(count: int) -> None:
        for _ in range(count):
            make_pdu(
                "submit_sm",
                client=client,
                source_addr_npi=1,
                source_addr=SOURCE,
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=DESTINATION,
                validity_period=VALIDITY,
                registered_delivery=1,
                data_coding=8,
                short_message=OCTETS,
            ).generate()

    jobs = {"deliver": deliver, "deliver_tlvs": deliver, "receipt": deliver, "submit": submit}
    return Subject("smpplib", "python", jobs)


def smpp_pdu3() -> Subject:
    from smpp.pdu import pdu_types
    from smpp.pdu.operations import DeliverSMResp, SubmitSM
    from smpp.pdu.pdu_encoding import PDUEncoder

    encoder = PDUEncoder()
    coding = pdu_types.DataCoding(
        pdu_types.DataCodingScheme.DEFAULT, pdu_types.DataCodingDefault.UCS2
    )
    receipt = pdu_types.RegisteredDelivery(
        pdu_types.RegisteredDeliveryReceipt.SMSC_DELIVERY_RECEIPT_REQUESTED
    )

    def deliver(data: bytes) -> bytes:
        answers = []
        for frame in frames(data):
            pdu = encoder.decode(io.BytesIO(frame))
            params = pdu.params
            _ = (pdu.seqNum, params["source_addr"], params["destination_addr"])
            _ = (params["esm_class"], params["data_coding"], params["short_message"])
            answers.append(encoder.encode(DeliverSMResp(pdu.seqNum)))
        return b"".join(answers)

    def submit(count: int) -> None:
        for sequence in range(1, count + 1):
            encoder.encode(
                SubmitSM(
                    sequence,
                    source_addr_npi=pdu_types.AddrNpi.ISDN,
                    source_addr=SOURCE.encode(),
                    dest_addr_ton=pdu_types.AddrTon.INTERNATIONAL,
                    dest_addr_npi=pdu_types.AddrNpi.ISDN,
                    destination_addr=DESTINATION.encode(),
                    registered_delivery=receipt,
                    data_coding=coding,
                    short_message=OCTETS,
                )
            )

    jobs = {"deliver": deliver, "deliver_tlvs": deliver, "receipt": deliver, "submit": submit}
    return Subject("smpp.pdu3", "python", jobs)


def all_subjects() -> list[Subject]:
    return [ours(), smpp34(), aiosmpplib(), smpp_pdu3(), smpplib()]
