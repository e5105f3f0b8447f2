"""PDUs written by hand with struct alone, so that a bug of the codec can't hide on both sides.

GOOD ones with what must be read from them, and MALFORMED ones with what must become of each:
what other people's programs crashed on, hung on, or lost messages over.
"""

import struct
from typing import NamedTuple

DELIVER, SUBMIT, DATA = 5, 4, 0x103
RESPONSE = 0x80000000


def pdu(command: int, body: bytes = b"", *, status: int = 0, sequence: int = 7) -> bytes:
    return struct.pack(">4I", 16 + len(body), command, status, sequence) + body


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def sm(
    *,
    service_type: bytes = b"CMT",
    source: bytes = b"\x01\x01" + b"38097123456\0",
    destination: bytes = b"\x00\x01" + b"7171\0",
    flags: bytes = b"\0\0\0",
    schedule: bytes = b"",
    validity: bytes = b"",
    registered: int = 0,
    replace: int = 0,
    data_coding: int = 8,
    message: bytes = "ДА".encode("utf-16-be"),
    length: int | None = None,
    tlvs: bytes = b"",
) -> bytes:
    """The body of a submit_sm or deliver_sm; `length` lies about the message's."""
    size = len(message) if length is None else length
    tail = bytes((registered, replace, data_coding, 0, size))
    text = (service_type + b"\0") + source + destination + flags
    return text + schedule + b"\0" + validity + b"\0" + tail + message + tlvs


class Malformed(NamedTuple):
    """What must become of `octets`: see the four functions below."""

    name: str
    octets: bytes
    fate: str
    status: int = 0
    response: int | None = None


def passes(name: str, octets: bytes) -> Malformed:
    """Strange but whole: an ordinary PDU."""
    return Malformed(name, octets, "passes")


def refused(name: str, octets: bytes, status: int, response: int = RESPONSE | DELIVER) -> Malformed:
    """A PDU with a fault, to be answered so."""
    return Malformed(name, octets, "refused", status, response)


def ignored(name: str, octets: bytes, status: int) -> Malformed:
    """A PDU with a fault that nobody answers."""
    return Malformed(name, octets, "refused", status, None)


def breaks(name: str, octets: bytes) -> Malformed:
    """Ends the stream."""
    return Malformed(name, octets, "breaks", 2)


def waits(name: str, octets: bytes) -> Malformed:
    """Not complete yet."""
    return Malformed(name, octets, "waits")


def deliver(**changes: object) -> bytes:
    return pdu(DELIVER, sm(**changes))  # type: ignore[arg-type]


def _with_length(length: int, octets: bytes) -> bytes:
    return struct.pack(">I", length) + octets[4:]


RINVMSGLEN, RINVCMDID, RINVPARLEN, RINVOPTPARSTREAM = 1, 3, 0xC2, 0xC0
_PLAIN = deliver()
_NOTE = b"\1\1380971234567\0\1\1380977654321\0"

MALFORMED = (
    waits("nothing", b""),
    waits("15 octets", _PLAIN[:15]),
    breaks("length 0", _with_length(0, _PLAIN)),
    breaks("length 8", _with_length(8, _PLAIN)),
    breaks("length 15", _with_length(15, _PLAIN)),
    breaks("length 0xFFFFFFFF", _with_length(0xFFFFFFFF, _PLAIN)),
    breaks("length 200 MB", _with_length(200_000_000, _PLAIN)),
    breaks("length of ASCII, a browser", b"GET / HTTP/1.1\r\n\r\n"),
    waits("length 10 too great", _with_length(len(_PLAIN) + 10, _PLAIN)),
    refused("length 20", _with_length(20, _PLAIN[:20]), RINVPARLEN),
    refused("cut inside the mandatory part", pdu(DELIVER, sm()[:30]), RINVPARLEN),
    refused("cut before sm_length", pdu(DELIVER, sm(message=b"")[:-1]), RINVPARLEN),
    refused("no body at all", pdu(DELIVER), RINVPARLEN),
    refused("unterminated source_addr", pdu(DELIVER, b"\0\1\1" + b"3" * 15), RINVPARLEN),
    refused("source_addr of 300", deliver(source=b"\1\1" + b"3" * 300 + b"\0"), RINVPARLEN),
    refused("source_addr of 21", deliver(source=b"\1\1" + b"3" * 21 + b"\0"), RINVPARLEN),
    refused("service_type of 30", deliver(service_type=b"S" * 30), RINVPARLEN),
    refused("validity of 17", deliver(validity=b"1" * 17), RINVPARLEN),
    refused("sm_length 200", deliver(length=200), RINVMSGLEN),
    refused("sm_length 255 of nothing", deliver(length=255, message=b""), RINVMSGLEN),
    refused("TLV header of 1 octet", deliver(tlvs=b"\2"), RINVOPTPARSTREAM),
    refused("TLV header of 2 octets", deliver(tlvs=b"\2\4"), RINVOPTPARSTREAM),
    refused("TLV header of 3 octets", deliver(tlvs=b"\2\4\0"), RINVOPTPARSTREAM),
    refused("TLV over the rest", deliver(tlvs=b"\2\4\0\5\0\1"), RINVOPTPARSTREAM),
    refused("TLV of 0xFFFF", deliver(tlvs=b"\2\4\xff\xff\0\1"), RINVOPTPARSTREAM),
    refused("good TLV, then a stump", deliver(tlvs=tlv(0x204, b"\0\1") + b"\2"), RINVOPTPARSTREAM),
    refused("257 empty TLVs", deliver(tlvs=tlv(0x1400, b"") * 257), RINVOPTPARSTREAM),
    passes("256 empty TLVs", deliver(tlvs=tlv(0x1400, b"") * 256)),
    passes("user_message_reference of 0 octets", deliver(tlvs=tlv(0x204, b""))),
    passes("user_message_reference of 3 octets", deliver(tlvs=tlv(0x204, b"\1\2\3"))),
    passes("source_addr FF FE", deliver(source=b"\1\1\xff\xfe\0")),
    passes("source_addr with line feeds", deliver(source=b"\n\n\n\n\0")),
    refused("command 0x00010101", pdu(0x00010101, sm()), RINVCMDID, RESPONSE),
    refused("command 0", pdu(0), RINVCMDID, RESPONSE),
    refused("broadcast_sm", pdu(0x111, b"\0" * 20), RINVCMDID, RESPONSE),
    refused("a vendor's command", pdu(0x00010203, b"abc"), RINVCMDID, RESPONSE),
    ignored("an unknown response", pdu(0x80010101, b"abc"), RINVCMDID),
    passes("alert_notification", pdu(0x102, _NOTE + tlv(0x422, b"\0"))),
    ignored("alert_notification cut", pdu(0x102, _NOTE[:9]), RINVPARLEN),
    passes("data_sm", pdu(DATA, b"\0\1\0013809\0\0\0017171\0\0\0\0" + tlv(0x424, b"YES"))),
    refused("data_sm cut", pdu(DATA, b"\0\1\0013809\0\0"), RINVPARLEN, RESPONSE | DATA),
    passes("outbind", pdu(0xB, b"smsc\0secret\0")),
    ignored("outbind with a system_id of 40", pdu(0xB, b"s" * 40 + b"\0secret\0"), RINVPARLEN),
    passes("cancel_sm_resp", pdu(RESPONSE | 8)),
    passes("cancel_sm_resp with a body", pdu(RESPONSE | 8, b"junk")),
    passes("replace_sm_resp", pdu(RESPONSE | 7)),
    passes("submit_multi_resp", pdu(RESPONSE | 0x21, b"id\0\1\1\0013809\0\0\0\0\x0b")),
    ignored("submit_multi_resp cut", pdu(RESPONSE | 0x21, b"id\0\2\1\0013809\0\0\0\0"), RINVPARLEN),
    passes("query_sm_resp", pdu(RESPONSE | 3, b"id\0\0\2\0")),
    passes("query_sm_resp, date of 12", pdu(RESPONSE | 3, b"id\0" + b"261123091500\0\2\0")),
    passes("submit_sm_resp with 0x450", pdu(RESPONSE | SUBMIT, status=0x450)),
    passes("submit_sm_resp with 0xDEADBEEF", pdu(RESPONSE | SUBMIT, b"\0", status=0xDEADBEEF)),
    passes("submit_sm_resp throttled, no body", pdu(RESPONSE | SUBMIT, status=0x58)),
    passes("submit_sm_resp throttled, one NUL", pdu(RESPONSE | SUBMIT, b"\0", status=0x58)),
    passes("submit_sm_resp, congestion", pdu(RESPONSE | SUBMIT, b"id\0" + tlv(0x428, b"\x5a"))),
    passes("submit_sm_resp padded with NULs", pdu(RESPONSE | SUBMIT, b"id\0\0\0")),
    ignored("submit_sm_resp, id unterminated", pdu(RESPONSE | SUBMIT, b"4711"), RINVPARLEN),
    ignored("submit_sm_resp, id of 80", pdu(RESPONSE | SUBMIT, b"4" * 80 + b"\0"), RINVPARLEN),
    ignored("submit_sm_resp, stray octets", pdu(RESPONSE | SUBMIT, b"1\0ab"), RINVOPTPARSTREAM),
    passes("bind_transceiver_resp, error, no body", pdu(RESPONSE | 9, status=0x0E)),
    passes("bind_transceiver_resp, version", pdu(RESPONSE | 9, b"smsc\0" + tlv(0x210, b"\x34"))),
    passes("generic_nack", pdu(RESPONSE, status=3)),
    passes("generic_nack, sequence 0", pdu(RESPONSE, status=2, sequence=0)),
    passes("enquire_link_resp with a body", pdu(RESPONSE | 0x15, b"\0\0\0")),
    passes("enquire_link with a body", pdu(0x15, b"junk")),
    passes("sequence 0xFFFFFFFF", pdu(0x15, sequence=0xFFFFFFFF)),
    passes("empty message without payload", deliver(message=b"")),
    passes("data_coding 0xF5", deliver(data_coding=0xF5)),
    passes("data_coding 0x11", deliver(data_coding=0x11)),
    passes("data_coding 0x48", deliver(data_coding=0x48)),
    passes("data_coding 4 with FF", deliver(data_coding=4, message=b"\xff")),
    passes("data_coding 0 with E9", deliver(data_coding=0, message=b"\xe9")),
    passes("UCS-2 of odd length", deliver(message=b"\x04\x14\x04")),
    passes("UCS-2 with a lone surrogate", deliver(message=b"\xd8\x3d\x04\x14")),
    passes("UDHI without a message", deliver(flags=b"\x40\0\0", message=b"")),
    passes("UDHL beyond the message", deliver(flags=b"\x40\0\0", message=b"\x05\0\3")),
    passes("8-bit concatenation", deliver(flags=b"\x40\0\0", message=b"\5\0\3\x2a\2\1\4\x14")),
    passes("16-bit concatenation", deliver(flags=b"\x40\0\0", message=b"\6\x08\4\1\x2a\2\1\4\x14")),
    passes("port addressing", deliver(flags=b"\x40\0\0", message=b"\6\5\4\x0b\x84\x23\xf0\4\x14")),
    passes("TON and NPI 0xFF", deliver(source=b"\xff\xff3809\0")),
    passes("TON 7", deliver(source=b"\7\0013809\0")),
    passes("NPI 2", deliver(source=b"\1\0023809\0")),
    passes("esm_class 0xFF", deliver(flags=b"\xff\0\0", message=b"\0")),
    passes("esm_class 0x20", deliver(flags=b"\x20\0\0")),
    passes("priority 9", deliver(flags=b"\0\0\x09")),
    passes("registered_delivery 0xFF", deliver(registered=0xFF)),
    passes("replace_if_present_flag 7", deliver(replace=7)),
    passes("validity garbage", deliver(validity=b"garbage")),
    passes("schedule absolute", deliver(schedule=b"261123091500000+")),
    passes("one TLV twice", deliver(tlvs=tlv(0x204, b"\0\1") + tlv(0x204, b"\0\2"))),
    passes("short_message and payload", deliver(tlvs=tlv(0x424, b"\4\x14"))),
    passes("short_message of 255", deliver(message=b"x" * 255, data_coding=0)),
    passes("a status in a request", pdu(DELIVER, sm(), status=5)),
)

# A receipt as the specification writes it, and the same as SMSCs write it.
TYPICAL = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2611230915 done date:2611230916"
    b" stat:DELIVRD err:000 text:Hello"
)
DEFORMED = {
    "other order": b"stat:DELIVRD err:000 id:0123456789 done date:2611230916 text:",
    "other case": b"ID:0123456789 SUB:001 DONE DATE:2611230916 STAT:delivrd ERR:000 TEXT:x",
    "spaces behind colons": b"id: 0123456789 stat: DELIVRD done date: 2611230916 err: 000 text: x",
    "spaces before colons": b"id :0123456789 stat :DELIVRD done date :2611230916 err :000 text :x",
    "line ends": b"id:0123456789\r\nstat:DELIVRD\r\ndone date:2611230916\r\nerr:000\r\ntext:x",
    "commas": b"id:0123456789, stat:DELIVRD, done date:2611230916, err:000, text:x",
    "underscores": b"id:0123456789 done_date:2611230916 stat:DELIVRD err:000",
    "no text": b"id:0123456789 sub:001 done date:2611230916 stat:DELIVRD err:000",
    "capital text": TYPICAL.replace(b"text:", b"Text:"),
    "text that lies": TYPICAL[:-5] + b"id:666 stat:REJECTD err:999 done date:9901010000",
    "text first time that lies": b"id:0123456789 stat:DELIVRD done date:2611230916 err:000 text:"
    b"id:666 text:stat:EXPIRED",
    "seconds": TYPICAL.replace(b"2611230916", b"261123091600"),
    "four-digit years": TYPICAL.replace(b"2611230916", b"20261123091600"),
    "with zone": TYPICAL.replace(b"2611230916", b"261123091600000+"),
    "spelled out": TYPICAL.replace(b"DELIVRD", b"DELIVERED"),
    "numeric": TYPICAL.replace(b"DELIVRD", b"2"),
    "numeric with zeros": TYPICAL.replace(b"DELIVRD", b"002"),
    "no sub and dlvrd": b"id:0123456789 done date:2611230916 stat:DELIVRD err:000 text:Hello",
    "repeated items": b"id:0123456789 id:666 stat:DELIVRD stat:EXPIRED err:000"
    b" done date:2611230916",
    "UCS-2": TYPICAL.decode().encode("utf-16-be"),
    "UCS-2, other byte order": TYPICAL.decode().encode("utf-16-le"),
    "UCS-2 and a Cyrillic text": (TYPICAL.decode() + "Оплата").encode("utf-16-be"),
}
