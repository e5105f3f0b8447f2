"""Long texts out: how many messages a text makes, and the parts to send.

Owns the lengths on air (3GPP 23.040, 9.2.3.24.1). Never parts an escape from its character nor a
surrogate pair. References and PDUs are the caller's.
"""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from ppcd.smpp.errors import TextError
from ppcd.smpp.gsm0338 import encode_gsm, gsm_units, pack_septets
from ppcd.smpp.octets import ESM_UDHI
from ppcd.smpp.text import Alphabet, Encoded, encode_text, resolve
from ppcd.smpp.tlv import Tag
from ppcd.smpp.udh import By, fill_bits

PARTS_MAX: Final = 255

_AIR_OCTETS: Final = 140
#: Octets of the header in front of each part. SAR names no width: the SMSC may take 16 bits.
_HEADER_SIZES: Final = {By.UDH8: 6, By.UDH16: 7, By.SAR: 7}
_PAYLOAD_MAX: Final = 0xFFFF


class Part(NamedTuple):
    """Parameters of one submit_sm by their names: `submit_sm(…, **part._asdict())`."""

    esm_class: int
    data_coding: int
    short_message: bytes
    tlvs: tuple[tuple[int, bytes | int], ...] = ()


def _pieces(text: str, alphabet: Alphabet, by: By) -> list[str]:
    """The text of each message. More than one only if a single message can't hold it."""
    # On air there are only septets and UCS-2. What travels to the SMSC as Latin-1 or ISO-8859-5
    # is measured as what it becomes there.
    septets = None if alphabet.is_ucs2 else gsm_units(text)
    header = _HEADER_SIZES[by]
    if septets is not None:
        whole, part = _AIR_OCTETS * 8 // 7, (_AIR_OCTETS - header) * 8 // 7
        total = len(b"".join(septets))
    else:
        whole, part = _AIR_OCTETS, _AIR_OCTETS - header
        total = len(text.encode("utf-16-be", "surrogatepass"))
    if total <= whole:
        return [text]
    if septets is not None:
        sizes = [len(unit) for unit in septets]
    elif total == 2 * len(text):  # most texts: nothing that takes two units
        return [text[at : at + part // 2] for at in range(0, len(text), part // 2)]
    else:
        sizes = [4 if char > "\uffff" else 2 for char in text]
    pieces, begin, used = [], 0, 0
    for at, size in enumerate(sizes):
        if used + size > part:
            pieces.append(text[begin:at])
            begin, used = at, 0
        used += size
    pieces.append(text[begin:])
    return pieces


# A text is counted before it is put on record and cut when it is sent, and thousands are sent the
# same one. Bounded: a text may have anything in it.
@lru_cache(maxsize=1024)
def _cut(text: str, alphabet: str, default: str, by: By) -> tuple[Alphabet, tuple[str, ...]]:
    chosen = resolve(text, alphabet, default=default)
    return chosen, tuple(_pieces(text, chosen, by))


@lru_cache(maxsize=1024)
def _encoded(pieces: tuple[str, ...], chosen: Alphabet, default: str) -> tuple[Encoded, ...]:
    return tuple(encode_text(piece, chosen, default=default) for piece in pieces)


def segment_count(
    text: str,
    alphabet: str = "auto",
    *,
    default: str = Alphabet.GSM0338,
    by: By = By.UDH8,
) -> int:
    """How many messages `text` makes on air, which is what the operator bills."""
    return len(_cut(text, alphabet, default, by)[1])


def split(
    text: str,
    *,
    reference: int,
    alphabet: str = "auto",
    default: str = Alphabet.GSM0338,
    by: By = By.UDH8,
) -> list[Part]:
    """The messages that carry `text`, in order; one that fits alone has no header.

    `reference` names the long message to its receiver: only its lowest 8 or 16 bits go out.
    TextError for text the alphabet lacks or that needs more than 255 parts.
    """
    chosen, pieces = _cut(text, alphabet, default, by)
    total = len(pieces)
    if total > PARTS_MAX:
        raise TextError(f"{total} parts, more than {PARTS_MAX}")
    encoded = _encoded(pieces, chosen, default)
    if total == 1:
        return [Part(0, *encoded[0])]
    parts = []
    for number, (piece, (data_coding, octets)) in enumerate(zip(pieces, encoded, strict=True), 1):
        if by is By.SAR:
            parts.append(Part(0, data_coding, octets, _sar(reference, total, number)))
            continue
        header = _header(by, reference, total, number)
        if chosen is Alphabet.GSM0338_PACKED:
            # The text begins on a septet boundary behind the header.
            octets = pack_septets(encode_gsm(piece), fill_bits=fill_bits(len(header)))
        parts.append(Part(ESM_UDHI, data_coding, header + octets))
    return parts


def split_payload(
    text: str, *, alphabet: str = "auto", default: str = Alphabet.GSM0338
) -> list[Part]:
    """One message whatever the length: message_payload where short_message is too short.

    The SMSC splits it. TextError when even 65,535 octets don't hold it.
    """
    chosen = resolve(text, alphabet, default=default)
    data_coding, octets = encode_text(text, chosen, default=default)
    if len(_pieces(text, chosen, By.SAR)) == 1:
        return [Part(0, data_coding, octets)]
    if len(octets) > _PAYLOAD_MAX:
        raise TextError(f"{len(octets)} octets, more than {_PAYLOAD_MAX}")
    return [Part(0, data_coding, b"", ((Tag.MESSAGE_PAYLOAD, octets),))]


def _header(by: By, reference: int, total: int, number: int) -> bytes:
    if by is By.UDH8:
        return bytes((5, 0, 3, reference & 0xFF, total, number))
    return struct.pack(">BBBHBB", 6, 8, 4, reference & 0xFFFF, total, number)


def _sar(reference: int, total: int, number: int) -> tuple[tuple[int, bytes | int], ...]:
    return (
        (Tag.SAR_MSG_REF_NUM, reference & 0xFFFF),
        (Tag.SAR_TOTAL_SEGMENTS, total),
        (Tag.SAR_SEGMENT_SEQNUM, number),
    )
