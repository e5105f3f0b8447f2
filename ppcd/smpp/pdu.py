"""The PDU as a value: a header and the body's octets, read when asked for.

The octets are the truth, in both directions: what was received re-encodes byte for byte, what
was built has been checked once. Parameters are attributes by the specification's names, bytes
and integers; text, addresses and meanings are other modules' business.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ppcd.smpp.body import read_body, write_body
from ppcd.smpp.command import RESPONSE_BIT, UNANSWERED, Command, command_name, is_response
from ppcd.smpp.errors import EncodeError
from ppcd.smpp.fields import BODIES, Destination, DistributionList, Unsuccessful, Value
from ppcd.smpp.patterns import fast_read
from ppcd.smpp.status import Status, status_name
from ppcd.smpp.tlv import NO_TLVS, Tag, Tlvs, tlv_stream_problem

#: 3.4, 5.1.4: 1 to 0x7FFFFFFF, rising by one, then 1 again.
SEQUENCE_MAX: Final = 0x7FFFFFFF
HEADER_SIZE: Final = 16

#: Tags with their octets, or with integers for the tags that have a width.
TlvPairs: TypeAlias = Iterable[tuple[int, bytes | int]]

pack_header: Final = struct.Struct(">4I").pack


class Fault(NamedTuple):
    """Why a received PDU can't be taken, and what its sender is told.

    `response` is the command_id to answer with, None where nothing may be answered: answering a
    response makes loops, outbind and alert_notification have none.
    """

    status: Status
    response: int | None
    field: str
    detail: str


class Pdu:
    """One PDU. Treat it as frozen; `replace` makes a changed copy.

    A received one with a `fault` has the parameters in front of the bad one. `sequence` is 0 in
    a built request until `encode` is told its number.
    """

    __slots__ = ("_parts", "body", "command", "fault", "sequence", "status")

    command: int
    status: int
    sequence: int
    #: Everything behind the header.
    body: bytes
    fault: Fault | None

    if TYPE_CHECKING:  # the parameters; the properties that read them are made below the class
        addr_npi: int
        addr_ton: int
        address_range: bytes
        data_coding: int
        dest_addr_npi: int
        dest_addr_ton: int
        dest_addresses: tuple[Destination | DistributionList, ...]
        destination_addr: bytes
        error_code: int
        esm_class: int
        esme_addr: bytes
        esme_addr_npi: int
        esme_addr_ton: int
        final_date: bytes
        interface_version: int
        message_id: bytes
        message_state: int
        password: bytes
        priority_flag: int
        protocol_id: int
        registered_delivery: int
        replace_if_present_flag: int
        schedule_delivery_time: bytes
        service_type: bytes
        short_message: bytes
        sm_default_msg_id: int
        source_addr: bytes
        source_addr_npi: int
        source_addr_ton: int
        system_id: bytes
        system_type: bytes
        unsuccess_smes: tuple[Unsuccessful, ...]
        validity_period: bytes

    def __init__(
        self,
        command: int,
        status: int = 0,
        sequence: int = 0,
        body: bytes = b"",
        fault: Fault | None = None,
    ) -> None:
        self.command = command
        self.status = status
        self.sequence = sequence
        self.body = body
        self.fault = fault
        self._parts: tuple[Mapping[str, Value], Tlvs] | None = None

    def _take_apart(self) -> tuple[Mapping[str, Value], Tlvs]:
        if self._parts is None:
            octets = b""
            fields: Mapping[str, Value] = {}
            if self.command in BODIES:
                fast = fast_read(self.command, self.body)
                if fast is not None:
                    fields, octets = fast
                else:
                    reading = read_body(self.command, self.body, None)
                    fields, octets = reading.values, self.body[reading.tlvs_at :]
            # A broken stream that got as far as here was tolerated, without its TLVs.
            empty = not octets or tlv_stream_problem(octets) is not None
            self._parts = fields, NO_TLVS if empty else Tlvs.from_octets(octets)
        return self._parts

    @property
    def fields(self) -> Mapping[str, Value]:
        """The mandatory parameters by name, in the specification's order."""
        return self._take_apart()[0]

    @property
    def tlvs(self) -> Tlvs:
        """The optional parameters."""
        return self._take_apart()[1]

    @property
    def message(self) -> bytes:
        """short_message, or message_payload where that carries the text (3.4, 5.3.2.32)."""
        fields, tlvs = self._take_apart()
        short = fields.get("short_message", b"")
        assert isinstance(short, bytes)
        return short or tlvs.raw(Tag.MESSAGE_PAYLOAD) or b""

    def replace(
        self,
        *,
        status: int | None = None,
        sequence: int | None = None,
        tlvs: TlvPairs | None = None,
        **fields: object,
    ) -> "Pdu":
        """A copy with these parameters changed, checked anew; EncodeError as for `build`."""
        return build(
            self.command,
            status=self.status if status is None else status,
            sequence=self.sequence if sequence is None else sequence,
            tlvs=self.tlvs if tlvs is None else tlvs,
            **{**self.fields, **fields},
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pdu):
            return NotImplemented
        mine = (self.command, self.status, self.sequence, self.body)
        return mine == (other.command, other.status, other.sequence, other.body)

    def __hash__(self) -> int:
        return hash((self.command, self.status, self.sequence, self.body))

    def __repr__(self) -> str:
        # Never the body: texts, numbers and passwords are in it.
        fault = f" fault={self.fault.field}" if self.fault else ""
        return (
            f"<Pdu {command_name(self.command)} {status_name(self.status)}"
            f" sequence={self.sequence} body={len(self.body)}{fault}>"
        )


def _parameter(name: str) -> property:
    def get(self: Pdu) -> Value:
        try:
            return (self._parts or self._take_apart())[0][name]
        except KeyError:
            raise AttributeError(f"{command_name(self.command)} has no {name}") from None

    return property(get, doc=f"{name}, by the specification's name.")


for _name in {item.name for table in BODIES.values() for item in table}:
    setattr(Pdu, _name, _parameter(_name))


def build(
    command: int,
    *,
    status: int = 0,
    sequence: int = 0,
    tlvs: TlvPairs = (),
    **fields: object,
) -> Pdu:
    """A PDU from parameters by name; absent ones are empty or 0. EncodeError names a bad one.

    A TLV's value is octets as they go out, or an integer for the tags that have a width.
    """
    octets = tlv_octets(tlvs, fields.get("short_message")) if tlvs else b""
    return Pdu(command, status, sequence, write_body(command, fields) + octets)


def tlv_octets(tlvs: TlvPairs, short_message: object = b"") -> bytes:
    """TLVs as they go out; EncodeError when one can't be, or message_payload where there is text.

    The two places for a text exclude each other (3.4, 4.4.1).
    """
    made = tlvs if isinstance(tlvs, Tlvs) else Tlvs(tlvs)
    if short_message and Tag.MESSAGE_PAYLOAD in made:
        raise EncodeError("message_payload", "not together with a short_message")
    return made.octets


def response_to(
    request: Pdu,
    status: int = 0,
    *,
    tlvs: TlvPairs = (),
    **fields: object,
) -> Pdu:
    """The answer to `request`: its own response command, its sequence number, `status`.

    A response other than ESME_ROK goes out without a body (3.4, 4.1.2) unless fields are given;
    deliver_sm_resp always has its one NUL, which most SMSCs expect. A PDU at fault is answered
    with its fault's command. ValueError for what nobody answers.
    """
    fault = request.fault
    command = request.command | RESPONSE_BIT if fault is None else fault.response
    if command is None or is_response(request.command) or request.command in UNANSWERED:
        raise ValueError(f"{command_name(request.command)} has no response")
    if command not in BODIES:
        command = Command.GENERIC_NACK
    if status and not fields and not tlvs and command != Command.DELIVER_SM_RESP:
        return Pdu(command, status, request.sequence)
    return build(command, status=status, sequence=request.sequence, tlvs=tlvs, **fields)


def generic_nack(sequence: int, status: int) -> Pdu:
    """generic_nack (3.4, 4.3): for what was no recognisable request."""
    return Pdu(Command.GENERIC_NACK, status, sequence)


def encode(pdu: Pdu, *, sequence: int | None = None) -> bytes:
    """The PDU's octets, numbered `sequence` if given. EncodeError for a header that can't be.

    Requests carry 1 to 0x7FFFFFFF; a response echoes whatever number the request had.
    """
    number = pdu.sequence if sequence is None else sequence
    if not 0 < number <= 0x7FFFFFFF and not (is_response(pdu.command) and 0 <= number < 1 << 32):
        raise EncodeError("sequence_number", f"{number} is not within 1..{SEQUENCE_MAX}")
    body = pdu.body
    try:
        return pack_header(16 + len(body), pdu.command, pdu.status, number) + body
    except struct.error:
        detail = f"command {pdu.command} or status {pdu.status} is not within 32 bits"
        raise EncodeError("command_status", detail) from None
