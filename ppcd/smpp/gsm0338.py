"""The GSM 7-bit default alphabet with its extension table (3GPP TS 23.038, 6.2.1).

Owns the two tables and septet packing. In SMPP each septet travels in an octet of its own; the
packed form is for the few SMSCs that pass the air interface through.
"""

from typing import Final

from ppcd.smpp.errors import TextError

_ESCAPE: Final = 0x1B

#: Sixteen a row, 0x00 to 0x7F; the escape's own place holds what a lone one displays as.
_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

_OCTETS: Final = {
    **{char: bytes((code,)) for code, char in enumerate(_BASIC) if code != _ESCAPE},
    **{char: bytes((_ESCAPE, code)) for code, char in _EXTENSION.items()},
}


def gsm_units(text: str) -> list[bytes] | None:
    """The octets of each character, one or an escape and one; None if some has none."""
    try:
        return [_OCTETS[char] for char in text]
    except KeyError:
        return None


def encode_gsm(text: str) -> bytes:
    """`text` as unpacked septets; TextError names the first character that isn't there."""
    units = gsm_units(text)
    if units is None:
        strange = next(char for char in text if char not in _OCTETS)
        raise TextError(f"U+{ord(strange):04X} is not in the GSM 03.38 alphabet")
    return b"".join(units)


def decode_gsm(octets: bytes) -> str:
    """Unpacked septets as text; TextError for an octet over 0x7F, which is no septet.

    An unknown extension code displays as the basic character of that code, a lone escape or two
    of them as a space (23.038, 6.2.1.1).
    """
    chars: list[str] = []
    escaped = False
    for octet in octets:
        if octet > 0x7F:
            raise TextError(f"octet {octet:#04x} is not in the GSM 03.38 alphabet")
        if escaped:
            chars.append(_EXTENSION.get(octet, _BASIC[octet]))
            escaped = False
        elif octet == _ESCAPE:
            escaped = True
        else:
            chars.append(_BASIC[octet])
    if escaped:
        chars.append(" ")
    return "".join(chars)


def pack_septets(septets: bytes, *, fill_bits: int = 0) -> bytes:
    """Septets packed as on air, low bits first, after `fill_bits` zero bits (23.038, 6.1.2.1)."""
    packed = bytearray()
    held, bits = 0, fill_bits
    for septet in septets:
        held |= septet << bits
        bits += 7
        if bits >= 8:
            packed.append(held & 0xFF)
            held >>= 8
            bits -= 8
    if bits:
        packed.append(held)
    return bytes(packed)


def unpack_septets(octets: bytes, *, fill_bits: int = 0) -> bytes:
    """Packed octets as one septet an octet, the reverse of `pack_septets`.

    Where the bits come out even the last septet is padding if it is 0 or CR, as 23.038 pads: a
    message that ends in `@` there can't be told from a shorter one.
    """
    septets = bytearray()
    held, bits = 0, -fill_bits
    for octet in octets:
        held |= octet << bits if bits >= 0 else octet >> -bits
        bits += 8
        while bits >= 7:
            septets.append(held & 0x7F)
            held >>= 7
            bits -= 7
    if bits == 0 and septets and septets[-1] in (0x00, 0x0D):
        del septets[-1]
    return bytes(septets)
