"""Alphabets: what a data_coding means, what octets say, which alphabet a text needs."""

import gsm0338
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.smpp import Alphabet, TextError, alphabet_of, decode_text, encode_text
from ppcd.smpp.gsm0338 import decode_gsm, encode_gsm, pack_septets, unpack_septets

GSM_TEXT = st.text(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà\f^{}\\[~]|€"
)
_ORACLE = gsm0338.Codec()


def oracle(octets: bytes) -> str | None:
    try:
        return str(_ORACLE.decode(octets)[0])
    except UnicodeDecodeError:
        return None


def test_the_alphabet_is_that_of_an_independent_library() -> None:
    for code in set(range(128)) - {0x1B}:
        assert decode_gsm(bytes((code,))) == oracle(bytes((code,)))
        extended = oracle(bytes((0x1B, code)))
        # What isn't in the extension table displays as the basic character, 23.038, 6.2.1.1.
        assert decode_gsm(bytes((0x1B, code))) == (extended or oracle(bytes((code,))))
    for code in range(0x3000):
        char = chr(code)
        try:
            expected = _ORACLE.encode(char)[0]
        except UnicodeEncodeError:
            expected = None
        if char == "\x1b":
            expected = None
        try:
            assert encode_gsm(char) == expected
        except TextError:
            assert expected is None


def test_a_lone_escape_shows_as_a_space() -> None:
    assert decode_gsm(b"a\x1b") == "a "
    assert decode_gsm(b"\x1b\x1ba") == " a"


@given(GSM_TEXT)
def test_gsm_text_comes_back(text: str) -> None:
    assert decode_gsm(encode_gsm(text)) == text
    septets = encode_gsm(text)
    for fill_bits in range(7):
        packed = pack_septets(septets, fill_bits=fill_bits)
        back = unpack_septets(packed, fill_bits=fill_bits)
        assert back == septets or (back == septets[:-1] and septets[-1] in b"@\0\r")


def test_septets_are_packed_as_on_air() -> None:
    # The well-known example: "hellohello" in eight octets and a bit.
    assert pack_septets(b"hellohello").hex() == "e8329bfd4697d9ec37"
    assert unpack_septets(bytes.fromhex("e8329bfd4697d9ec37")) == b"hellohello"
    assert unpack_septets(pack_septets(b"7777777")) == b"7777777"
    assert unpack_septets(pack_septets(b"88888888")) == b"88888888"
    assert unpack_septets(b"") == b""


@given(st.text())
def test_text_of_any_kind_comes_back(text: str) -> None:
    try:
        data_coding, octets = encode_text(text)
    except TextError:
        assert any(0xD800 <= ord(char) < 0xE000 for char in text)
        return
    assert data_coding in (0, 8)
    assert decode_text(octets, data_coding) == text


@given(st.binary(max_size=40), st.integers(0, 255), st.sampled_from(list(Alphabet)))
def test_octets_of_any_kind_are_text_or_a_text_error(
    octets: bytes, data_coding: int, default: Alphabet
) -> None:
    for overrides in (None, {data_coding: default}):
        try:
            text = decode_text(octets, data_coding, default=default, overrides=overrides)
        except TextError:
            continue
        assert isinstance(text, str)


@given(st.text(max_size=20), st.sampled_from(list(Alphabet)))
def test_what_an_alphabet_takes_comes_back(text: str, alphabet: Alphabet) -> None:
    try:
        data_coding, octets = encode_text(text, alphabet)
    except TextError:
        return
    back = decode_text(octets, data_coding, overrides={data_coding: alphabet})
    if alphabet is Alphabet.GSM0338_PACKED:
        back, text = back.rstrip("@\r"), text.rstrip("@\r")
    assert back == text


@pytest.mark.parametrize(
    ("data_coding", "octets", "text"),
    [
        (0, b"Yes", "Yes"),
        (0, b"\x1b\x65", "€"),
        (1, b"YES", "YES"),
        (3, b"\xe9t\xe9", "été"),
        (6, "так".encode("iso8859-5"), "так"),
        (7, "כן".encode("iso8859-8"), "כן"),
        (8, "ДА👍".encode("utf-16-be"), "ДА👍"),
        (0x11, b"Yes", "Yes"),
        (0x18, "ДА".encode("utf-16-be"), "ДА"),
        (0x48, "ДА".encode("utf-16-be"), "ДА"),
        (0xC0, b"Yes", "Yes"),
        (0xE0, "ДА".encode("utf-16-be"), "ДА"),
        (0xF0, b"Yes", "Yes"),
    ],
)
def test_octets_are_read_by_their_data_coding(data_coding: int, octets: bytes, text: str) -> None:
    assert decode_text(octets, data_coding) == text


@pytest.mark.parametrize(
    ("data_coding", "octets"),
    [
        (0, b"\xe9"),
        (1, b"\xe9"),
        (2, b"YES"),
        (4, b"\xff"),
        (5, b"YES"),
        (8, b"\x04\x14\x04"),
        (8, b"\xd8\x3d\x04\x14"),
        (0x0B, b"YES"),
        (0x14, b"YES"),
        (0x1C, b"YES"),
        (0x30, b"YES"),
        (0x80, b"YES"),
        (0xBF, b"YES"),
        (0xF5, b"YES"),
    ],
)
def test_octets_that_are_no_text_are_an_error(data_coding: int, octets: bytes) -> None:
    with pytest.raises(TextError) as raised:
        decode_text(octets, data_coding)
    assert "YES" not in str(raised.value)


def test_a_link_has_its_own_reading_of_a_data_coding() -> None:
    assert decode_text(b"\xe9", 0, default="latin1") == "é"
    assert decode_text(b"Yes", 0x48, overrides={0x48: "gsm0338"}) == "Yes"
    assert decode_text("ДА".encode("utf-16-le"), 8, overrides={8: "ucs2-le"}) == "ДА"
    assert decode_text("ДА".encode(), 0, default="utf8") == "ДА"
    assert decode_text(pack_septets(b"YES"), 0, default="gsm0338-packed") == "YES"
    filled = pack_septets(b"YES", fill_bits=1)
    assert decode_text(filled, 0, default="gsm0338-packed", fill_bits=1) == "YES"
    assert alphabet_of(0x48, overrides={0x48: "binary"}) is Alphabet.BINARY
    with pytest.raises(ValueError, match="koi8"):
        alphabet_of(0, default="koi8")


def test_auto_takes_the_default_alphabet_while_it_has_all_characters() -> None:
    assert encode_text("Yes €") == (0, b"Yes \x1b\x65")
    assert encode_text("ДА") == (8, "ДА".encode("utf-16-be"))
    assert encode_text("été", default="latin1") == (0, b"\xe9t\xe9")
    assert encode_text("ДА", default="latin1") == (8, "ДА".encode("utf-16-be"))
    assert encode_text("так", default="iso8859-5") == (0, "так".encode("iso8859-5"))
    assert encode_text("так", default="binary") == (8, "так".encode("utf-16-be"))
    assert encode_text("Yes", default="gsm0338-packed") == (0, pack_septets(b"Yes"))


def test_a_named_alphabet_is_taken_or_refused() -> None:
    assert encode_text("так", "iso8859-5") == (6, "так".encode("iso8859-5"))
    assert encode_text("Yes", "ucs2") == (8, "Yes".encode("utf-16-be"))
    assert encode_text("Yes", "gsm0338", default="latin1") == (0, b"Yes")
    for text, alphabet in (
        ("ДА", "gsm0338"),
        ("ДА", "latin1"),
        ("x", "binary"),
        ("\ud800", "auto"),
    ):
        with pytest.raises(TextError):
            encode_text(text, alphabet)
    with pytest.raises(TextError, match=r"U\+0414 is not in the GSM"):
        encode_text("aД", "gsm0338")
