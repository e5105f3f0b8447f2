"""Delivery receipts: the specification's text, what SMSCs make of it, TLVs, message ids."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcd.smpp import (
    Command,
    MessageState,
    Pdu,
    Receipt,
    Tag,
    build,
    build_receipt_text,
    c_string,
    deliver_sm,
    parse_receipt,
    receipt_id_key,
    response_id_key,
)
from ppcd.smpp.receipts import _items
from tests.smpp.vectors import DEFORMED, TYPICAL

DONE = datetime(2026, 11, 23, 9, 16, tzinfo=UTC)


def receipt_of(text: bytes, **changes: Any) -> Receipt:
    receipt = parse_receipt(a_receipt(text, **changes))
    assert receipt is not None
    return receipt


def a_receipt(text: bytes = b"", *, esm_class: int = 0x04, **changes: Any) -> Pdu:
    return deliver_sm(source_addr=b"38097", esm_class=esm_class, short_message=text, **changes)


def test_the_typical_text_is_read() -> None:
    assert receipt_of(TYPICAL) == Receipt(
        message_id="0123456789",
        state=MessageState.DELIVERED,
        error="000",
        submit_date="2611230915",
        done_date="2611230916",
    )
    assert receipt_of(TYPICAL).done_at == DONE
    assert receipt_of(TYPICAL).submitted_at == DONE - timedelta(minutes=1)
    assert receipt_of(TYPICAL).is_final


@pytest.mark.parametrize("name", DEFORMED)
@pytest.mark.parametrize("place", ["short_message", "message_payload"])
def test_deformed_texts_say_the_same(name: str, place: str) -> None:
    text = DEFORMED[name]
    coding = 8 if b"\0" in text else 0
    if place == "short_message":
        receipt = receipt_of(text, data_coding=coding)
    else:
        payload = [(Tag.MESSAGE_PAYLOAD, text)]
        receipt = receipt_of(b"", data_coding=coding, tlvs=payload)
    assert receipt.message_id == "0123456789"
    assert receipt.state is MessageState.DELIVERED
    assert receipt.error == "000"
    assert receipt.done_at == DONE


def test_a_header_in_front_of_a_receipt_is_skipped() -> None:
    assert receipt_of(b"\x05\0\3\1\1\1" + TYPICAL, esm_class=0x44).message_id == "0123456789"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("DELIVRD", 2), ("DELIVERED", 2), ("EXPIRED", 3), ("DELETED", 4), ("UNDELIV", 5),
        ("UNDELIVERABLE", 5), ("Undelivered", 5), ("FAILED", 5), ("FAIL", 5), ("ACCEPTD", 6),
        ("ACCEPTED", 6), ("UNKNOWN", 7), ("REJECTD", 8), ("REJECTED", 8), ("ENROUTE", 1),
        ("BUFFERED", 1), ("BUFFRED", 1), ("QUEUED", 1), ("SKIPPED", 9), ("SCHEDULED", 0),
        ("0", 0), ("5", 5), ("8", 8), ("10", 7), ("99999999", 7), ("0008", 8),
        ("GONE", 7), ("-", 7),
    ],
)  # fmt: skip
def test_a_state_is_read_in_words_and_numbers(word: str, state: int) -> None:
    assert receipt_of(f"id:1 stat:{word} err:000".encode()).state == state


@pytest.mark.parametrize(
    ("err", "error"), [("E-17", "E-17"), ("00000", "00000"), ("", None), ("0x1f", "0x1f")]
)
def test_an_error_is_whatever_word_stands_there(err: str, error: str | None) -> None:
    assert receipt_of(f"id:1 stat:UNDELIV err:{err} text:".encode()).error == error


@pytest.mark.parametrize("date", [b"0", b"", b"tomorrow", b"9999999999"])
def test_a_date_that_is_none_is_none(date: bytes) -> None:
    receipt = receipt_of(b"id:1 stat:DELIVRD done date:" + date + b" err:000 text:")
    assert (receipt.done_at, receipt.submitted_at) == (None, None)
    assert receipt.error == "000"


def test_dates_are_the_smscs_local_time() -> None:
    kyiv = timezone(timedelta(hours=2))
    receipt = parse_receipt(a_receipt(TYPICAL), zone=kyiv)
    assert receipt is not None
    assert receipt.done_at == DONE - timedelta(hours=2)


def test_tlvs_alone_are_a_receipt_and_win_over_the_text() -> None:
    tlvs = [
        (Tag.RECEIPTED_MESSAGE_ID, c_string(Tag.RECEIPTED_MESSAGE_ID, b"4711")),
        (Tag.MESSAGE_STATE, 5),
        (Tag.NETWORK_ERROR_CODE, b"\3\1\2"),
        (Tag.USER_MESSAGE_REFERENCE, 99),
    ]
    alone = receipt_of(b"", tlvs=tlvs)
    assert alone == Receipt(
        message_id="4711",
        state=MessageState.UNDELIVERABLE,
        network_error=(3, 258),
        user_message_reference=99,
    )
    both = receipt_of(TYPICAL, tlvs=tlvs)
    assert (both.message_id, both.state) == ("4711", MessageState.UNDELIVERABLE)
    assert (both.error, both.done_at) == ("000", DONE)


def test_tlvs_that_say_nothing_leave_it_to_the_text() -> None:
    tlvs = [(Tag.RECEIPTED_MESSAGE_ID, b"\0"), (Tag.NETWORK_ERROR_CODE, b"\3\1")]
    receipt = receipt_of(TYPICAL, tlvs=tlvs)
    assert (receipt.message_id, receipt.network_error) == ("0123456789", None)


def test_an_id_without_its_nul_is_read() -> None:
    assert receipt_of(b"", tlvs=[(Tag.RECEIPTED_MESSAGE_ID, b"47\xff11")]).message_id == "47\xff11"


def test_a_state_nobody_knows_is_unknown_and_not_final() -> None:
    receipt = receipt_of(b"", tlvs=[(Tag.MESSAGE_STATE, 200)])
    assert receipt.state is MessageState.UNKNOWN
    assert not receipt.is_final


def test_a_data_sm_can_be_a_receipt() -> None:
    pdu = build(
        Command.DATA_SM,
        esm_class=0x04,
        tlvs=[(Tag.RECEIPTED_MESSAGE_ID, b"4711\0"), (Tag.MESSAGE_STATE, 2)],
    )
    receipt = parse_receipt(pdu)
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == ("4711", MessageState.DELIVERED)


def test_an_unreadable_receipt_is_still_one() -> None:
    assert receipt_of(b"\xff\xfe") == Receipt(message_id="", state=MessageState.UNKNOWN)


def test_an_intermediate_notification_is_never_the_end() -> None:
    receipt = receipt_of(TYPICAL, esm_class=0x20)
    assert receipt.is_intermediate
    assert not receipt.is_final


@pytest.mark.parametrize("esm_class", [0x00, 0x03, 0x40, 0x08, 0x10, 0x18, 0x0C, 0x3C])
def test_a_text_that_looks_like_a_receipt_is_none(esm_class: int) -> None:
    assert parse_receipt(a_receipt(TYPICAL, esm_class=esm_class)) is None


def test_a_link_may_take_receipts_in_normal_messages() -> None:
    def read(text: bytes, esm_class: int) -> Receipt | None:
        return parse_receipt(a_receipt(text, esm_class=esm_class), any_type=True)

    for esm_class in (0x00, 0x04):
        receipt = read(TYPICAL, esm_class)
        assert receipt is not None
        assert receipt.message_id == "0123456789"
    assert read(b"id:1 and nothing", 0x00) is None
    assert read("ДА".encode("utf-16-be"), 0x00) is None
    assert read(TYPICAL, 0x18) is None


def test_a_written_receipt_is_read_back() -> None:
    for state in MessageState:
        text = build_receipt_text(
            "4711",
            state,
            submitted_at=DONE - timedelta(minutes=5),
            done_at=DONE,
            error="012",
            text="Оплата 25 грн, відповідь ДА",
        )
        receipt = receipt_of(text)
        assert (receipt.message_id, receipt.state, receipt.error) == ("4711", state, "012")
        assert receipt.done_at == DONE
        assert len(text) <= 160
    typical = build_receipt_text(
        "0123456789",
        MessageState.DELIVERED,
        submitted_at=DONE - timedelta(minutes=1),
        done_at=DONE,
        text="Hello",
    )
    assert typical == TYPICAL


WORD = st.text("0123456789abcdefXYZ", min_size=1, max_size=9)


@given(WORD, WORD, WORD, st.sampled_from(["2611230916", "", "0"]), st.text(max_size=30))
def test_the_fast_and_the_slow_way_agree(
    one: str, two: str, err: str, date: str, text: str
) -> None:
    octets = (
        f"id:{one} sub:001 dlvrd:001 submit date:{date} done date:{date} stat:{two}"
        f" err:{err} text:{text}"
    ).encode("latin-1", "replace")
    fast = receipt_of(octets[:254])
    items = _items(octets.decode("latin-1"))
    assert fast.message_id == items["id"] == one
    assert fast.error == items["err"] == err
    assert fast.done_date == items.get("donedate", "")


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from([b"id:", b"stat:", b"err:", b"text:", b"done date:", b" ", b"\r\n", b"\0"])
        | st.binary(max_size=12),
        max_size=20,
    ).map(lambda pieces: b"".join(pieces)[:254]),
    st.integers(0, 255),
)
def test_receipts_of_any_octets_raise_nothing(text: bytes, esm_class: int) -> None:
    receipt = parse_receipt(a_receipt(text, esm_class=esm_class), any_type=True)
    if receipt is not None:
        assert isinstance(receipt.state, MessageState)
        assert receipt.done_at is None or receipt.done_at.tzinfo is not None


def test_ids_are_opaque_unless_a_link_says_otherwise() -> None:
    assert receipt_id_key("00FF", "as_sent") == "00FF"
    assert response_id_key("00ff", "as_sent") == "00ff"


@pytest.mark.parametrize(
    ("response", "receipt", "base"),
    [
        ("1A2B", "6699", "decimal"),
        ("1a2b", "0000006699", "decimal"),
        ("00001a2b", "6699", "decimal"),
        ("6699", "1A2B", "hex"),
        ("6699", "00001a2b", "hex"),
        ("not-a-number", "not-a-number", "hex"),
    ],
)
def test_ids_of_two_bases_compare_equal(response: str, receipt: str, base: Any) -> None:
    assert response_id_key(response, base) == receipt_id_key(receipt, base)


def test_ids_that_only_look_like_numbers_stay_as_they_are() -> None:
    for strange in ("", "1_0", "+5", " 5", "٥", "0x1f", "12g"):
        assert receipt_id_key(strange, "hex") == strange
