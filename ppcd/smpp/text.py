"""Text and alphabets: what a data_coding means on a link, and which alphabet a text needs.

Owns the reading of data_coding (SMPP 3.4, 5.2.19; GSM's own values by 3GPP 23.038, 4). Nothing
is guessed: an alphabet is the declared one or the link's override, and octets that aren't text
in it are an error.
"""

import codecs
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from ppcd.smpp.errors import TextError
from ppcd.smpp.gsm0338 import decode_gsm, encode_gsm, gsm_units, pack_septets, unpack_septets


class Alphabet(StrEnum):
    """The character sets this package reads and writes."""

    GSM0338 = "gsm0338"
    GSM0338_PACKED = "gsm0338-packed"
    ASCII = "ascii"
    LATIN1 = "latin1"
    CYRILLIC = "iso8859-5"
    HEBREW = "iso8859-8"
    UCS2 = "ucs2"
    UCS2_LITTLE_ENDIAN = "ucs2-le"  # against the specification; seen at modem gateways
    UTF8 = "utf8"  # the same
    BINARY = "binary"

    @property
    def is_ucs2(self) -> bool:
        """Whether two octets make a character, on the wire as on air."""
        return self in (Alphabet.UCS2, Alphabet.UCS2_LITTLE_ENDIAN)


_A = Alphabet

#: Python's codecs. UCS-2 is read as UTF-16: phones send emoji as surrogate pairs.
_CODECS: Final[Mapping[Alphabet, str]] = MappingProxyType(
    {
        _A.ASCII: "ascii",
        _A.LATIN1: "latin-1",
        _A.CYRILLIC: "iso8859-5",
        _A.HEBREW: "iso8859-8",
        _A.UCS2: "utf-16-be",
        _A.UCS2_LITTLE_ENDIAN: "utf-16-le",
        _A.UTF8: "utf-8",
    }
)

# Looked up once: by name each decoding would search the registry.
_DECODERS: Final = {alphabet: codecs.getdecoder(name) for alphabet, name in _CODECS.items()}

_BY_NAME: Final[Mapping[str, Alphabet]] = {alphabet.value: alphabet for alphabet in Alphabet}

_DATA_CODINGS: Final[Mapping[Alphabet, int]] = MappingProxyType(
    {
        _A.GSM0338: 0,
        _A.GSM0338_PACKED: 0,
        _A.ASCII: 1,
        _A.LATIN1: 3,
        _A.BINARY: 4,
        _A.CYRILLIC: 6,
        _A.HEBREW: 7,
        _A.UCS2: 8,
        _A.UCS2_LITTLE_ENDIAN: 8,
        _A.UTF8: 0,
    }
)

_BY_SPECIFICATION: Final[Mapping[int, Alphabet]] = MappingProxyType(
    {
        0x01: _A.ASCII,
        0x02: _A.BINARY,
        0x03: _A.LATIN1,
        0x04: _A.BINARY,
        0x06: _A.CYRILLIC,
        0x07: _A.HEBREW,
        0x08: _A.UCS2,
    }
)

# Reading a member off its enum takes longer than most of what is done with it here.
_GSM0338: Final = _A.GSM0338
_GSM0338_PACKED: Final = _A.GSM0338_PACKED
_UCS2: Final = _A.UCS2
_BINARY: Final = _A.BINARY


def alphabet_of(
    data_coding: int,
    *,
    default: str = Alphabet.GSM0338,
    overrides: Mapping[int, str] | None = None,
) -> Alphabet | None:
    """The alphabet of a data_coding; None for one that is reserved, compressed or unsupported.

    0 is `default`, the SMSC's default alphabet. `overrides` is the link's own reading and wins.
    """
    if overrides is not None and data_coding in overrides:
        return Alphabet(overrides[data_coding])
    if data_coding == 0:
        return _BY_NAME.get(default) or Alphabet(default)  # the latter to say what is wrong
    if data_coding < 0x10:
        return _BY_SPECIFICATION.get(data_coding)
    # What 3.4 reserves from here on is in practice GSM's data coding scheme passed through.
    if data_coding < 0x80:
        if data_coding & 0x20:
            return None  # compressed
        return (_GSM0338, _BINARY, _UCS2, None)[data_coding >> 2 & 3]
    if data_coding < 0xC0:
        return None
    if data_coding < 0xE0:
        return _GSM0338
    if data_coding < 0xF0:
        return _UCS2
    return _BINARY if data_coding & 0x04 else _GSM0338


def decode_text(
    data: bytes,
    data_coding: int,
    *,
    default: str = Alphabet.GSM0338,
    overrides: Mapping[int, str] | None = None,
    fill_bits: int = 0,
) -> str:
    """User data, without its UDH, as text. TextError when it isn't text in that alphabet.

    `fill_bits` stand between a UDH and packed septets (`ppcd.smpp.udh.fill_bits`).
    """
    alphabet = alphabet_of(data_coding, default=default, overrides=overrides)
    if alphabet is None or alphabet is _BINARY:
        raise TextError(f"data_coding {data_coding:#04x} is no text here")
    if alphabet is _GSM0338:
        return decode_gsm(data)
    if alphabet is _GSM0338_PACKED:
        return decode_gsm(unpack_septets(data, fill_bits=fill_bits))
    try:
        return _DECODERS[alphabet](data)[0]
    except UnicodeDecodeError as error:
        # The reason is the codec's and names no text.
        detail = f"octet {error.start} of {len(data)}: {error.reason}"
        raise TextError(f"not {alphabet.value}: {detail}") from None


class Encoded(NamedTuple):
    """Text as it goes out: its data_coding and octets."""

    data_coding: int
    octets: bytes


def resolve(text: str, alphabet: str = "auto", *, default: str = Alphabet.GSM0338) -> Alphabet:
    """The alphabet to send `text` in: the named one, or by "auto" `default` if it will do."""
    if alphabet != "auto":
        return _BY_NAME.get(alphabet) or Alphabet(alphabet)  # the latter to say what is wrong
    chosen = _BY_NAME.get(default) or Alphabet(default)
    return chosen if _carries(chosen, text) else _UCS2


def encode_text(text: str, alphabet: str = "auto", *, default: str = Alphabet.GSM0338) -> Encoded:
    """`text` in `alphabet`; "auto" takes the SMSC's `default` if that has it all, else UCS-2.

    TextError when the alphabet lacks a character.
    """
    chosen = resolve(text, alphabet, default=default)
    data_coding = 0 if chosen == default else _DATA_CODINGS[chosen]
    if chosen is _GSM0338:
        return Encoded(data_coding, encode_gsm(text))
    if chosen is _GSM0338_PACKED:
        return Encoded(data_coding, pack_septets(encode_gsm(text)))
    if chosen is _BINARY:
        raise TextError("text can't be sent as binary")
    try:
        return Encoded(data_coding, text.encode(_CODECS[chosen]))
    except UnicodeEncodeError as error:
        char = text[error.start]
        raise TextError(f"U+{ord(char):04X} is not in {chosen.value}") from None


def _carries(alphabet: Alphabet, text: str) -> bool:
    if alphabet in (_GSM0338, _GSM0338_PACKED):
        return gsm_units(text) is not None
    try:
        text.encode(_CODECS[alphabet])
    except (UnicodeEncodeError, KeyError):
        return False
    return True
