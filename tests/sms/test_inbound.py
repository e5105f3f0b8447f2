"""What the SMSC delivers: sorted by type, decoded, and answered when it is recorded."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.flow.ports import DeliveryReceipt, Mo, Mos
from ppcd.metrics import Metrics
from ppcd.smpp import (
    ESM_UDHI,
    Accepted,
    Command,
    LinkState,
    MessageState,
    MessageType,
    Refused,
    Status,
    Tag,
    build,
    build_receipt_text,
    deliver_sm,
)
from ppcd.sms.dialect import Dialect, LocalPrefix
from ppcd.sms.inbound import GATHERED_MAX, SAID_MAX, LinksInbound
from ppcd.store.failures import NotApplied
from tests.conftest import Criticals
from tests.smpp.links import Scene

YES = "ДА".encode("utf-16-be")
DIALECT = Dialect(
    local_prefix=LocalPrefix(country_code="380", trunk_prefix="0"), alphabets={8: "ucs2"}
)


class Replies:
    """Records answers; says what it is told to."""

    def __init__(self) -> None:
        self.heard: list[Mo] = []
        self.sizes: list[int] = []
        self.refused: set[int] = set()
        self.waits: Deferred[None] | None = None
        #: What is not known at once, and when it is.
        self.late: list[int] = []
        self.looks: Deferred[None] | None = None
        self.trouble: Exception | None = None

    async def receive(self, batch: Mos, early: Callable[[Sequence[int]], None]) -> list[bool]:
        if self.waits is not None:
            await self.waits
        if self.trouble is not None:
            raise self.trouble
        self.heard.extend(batch)
        self.sizes.append(len(batch))
        if self.looks is not None:
            early(self.late)
            await self.looks
        return [number not in self.refused for number in range(len(batch))]


class House:
    """A real link with the inbound side behind it, and the SMSC's side in hand."""

    def __init__(self, *, gather_s: float = 0.0, **settings: Any) -> None:
        self.scene = Scene(**settings)
        self.replies = Replies()
        self.receipts: list[DeliveryReceipt] = []
        self.receipts_trouble: Exception | None = None
        self.metrics = Metrics()
        self.inbound = LinksInbound(
            dialects={"acme": DIALECT},
            replies=self.replies,
            receipts=self._receive,
            clock=self.scene.network,
            metrics=self.metrics,
            gather_s=gather_s,
        )
        self.scene.app.received = self.inbound.received  # type: ignore[method-assign]
        self.scene.up()

    async def _receive(self, batch: Sequence[DeliveryReceipt]) -> None:
        if self.receipts_trouble is not None:
            raise self.receipts_trouble
        self.receipts.extend(batch)

    def deliver(self, *messages: dict[str, Any]) -> list[int | None]:
        """The SMSC delivers these at once; the command_status of each answer, None: none yet."""
        answers: list[int | None] = [None] * len(messages)
        for number, message in enumerate(messages):

            def answered(answer: object, number: int = number) -> None:
                if isinstance(answer, Accepted):
                    answers[number] = 0
                elif isinstance(answer, Refused):
                    answers[number] = answer.status

            pdu = deliver_sm(**an_mo(**message))
            self.scene.smsc.peer.send(pdu).addCallback(answered)
        self.scene.network.turn()
        return answers


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.scene.down()


def an_mo(**changes: Any) -> dict[str, Any]:
    return {
        "source_addr": b"380971234567",
        "source_addr_ton": 1,
        "destination_addr": b"717104",
        "short_message": YES,
        "data_coding": 8,
        **changes,
    }


def a_receipt(**changes: Any) -> dict[str, Any]:
    now = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    text = build_receipt_text(
        message_id="id-7",
        submitted_at=now,
        done_at=now,
        state=MessageState.UNDELIVERABLE,
        error="001",
    )
    return {
        "esm_class": MessageType.RECEIPT,
        "short_message": text,
        "data_coding": 0,
        **changes,
    }


# --- what a message is ------------------------------------------------------------------------


def test_an_answer_is_handed_on_as_it_was_sent(house: House) -> None:
    assert house.deliver({}) == [Status.ESME_ROK]
    [mo] = house.replies.heard
    assert mo.msisdn == 380971234567
    said = mo.said
    assert (said.link, said.address, said.text, said.raw) == ("acme", "717104", "ДА", YES)
    assert (mo.said.data_coding, mo.said.esm_class, mo.said.part) == (8, 0, False)


def test_numbers_are_completed_and_addresses_freed_of_their_plus(house: House) -> None:
    house.deliver(
        {"source_addr": b"0971234567", "source_addr_ton": 2, "destination_addr": b"+717104"},
        {"source_addr": b"Bank", "source_addr_ton": 5},
    )
    first, second = house.replies.heard
    assert (first.msisdn, first.said.address) == (380971234567, "717104")
    assert second.msisdn is None


def test_a_receipt_is_no_answer_whatever_its_text_says(house: House) -> None:
    assert house.deliver(a_receipt()) == [Status.ESME_ROK]
    assert house.replies.heard == []
    [receipt] = house.receipts
    assert (receipt.link, receipt.message_id, receipt.state) == ("acme", "id-7", "undeliverable")
    assert receipt.error == "001"
    assert receipt.msisdn is not None
    assert house.metrics.receipts.child("undeliverable").value == 1


def test_an_answer_that_looks_like_a_receipt_is_an_answer(house: House) -> None:
    house.deliver(a_receipt(esm_class=0))
    assert house.receipts == []
    [mo] = house.replies.heard
    assert mo.said.text is not None
    assert mo.said.text.startswith("id:id-7")


@pytest.mark.parametrize(
    "esm_class",
    [
        MessageType.DELIVERY_ACKNOWLEDGEMENT,
        MessageType.USER_ACKNOWLEDGEMENT,
        MessageType.CONVERSATION_ABORT,
        MessageType.INTERMEDIATE_NOTIFICATION,
        0x0C,
        0x3C,
    ],
)
def test_other_types_confirm_nothing_and_are_taken(house: House, esm_class: int) -> None:
    assert house.deliver({"esm_class": esm_class}) == [Status.ESME_ROK]
    assert house.replies.heard == []
    assert house.receipts == []


def test_a_receipt_that_names_no_message_is_taken_and_forgotten(house: House) -> None:
    nameless = a_receipt(short_message=b"stat:UNDELIV")
    assert house.deliver(nameless) == [Status.ESME_ROK]
    assert house.receipts == []


def test_a_receipts_tlvs_count(house: House) -> None:
    tlvs = [(Tag.RECEIPTED_MESSAGE_ID, b"id-9\0"), (Tag.MESSAGE_STATE, 2)]
    house.deliver(a_receipt(short_message=b"", tlvs=tlvs))
    [receipt] = house.receipts
    assert (receipt.message_id, receipt.state) == ("id-9", "delivered")


# --- text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"short_message": b"\x04", "data_coding": 8},
        {"short_message": b"\xd8\x00", "data_coding": 8},
        {"short_message": YES, "data_coding": 245},
        {"short_message": b"\x1e\x03", "esm_class": ESM_UDHI},
        {"short_message": b"", "esm_class": ESM_UDHI},
    ],
)
def test_what_cannot_be_read_is_handed_on_without_text(
    house: House, message: dict[str, Any]
) -> None:
    assert house.deliver(message) == [Status.ESME_ROK]
    [mo] = house.replies.heard
    assert mo.said.text is None
    assert mo.said.raw == message["short_message"]


def test_a_part_of_a_long_message_says_so(house: House) -> None:
    tlvs = [
        (Tag.SAR_MSG_REF_NUM, 7),
        (Tag.SAR_TOTAL_SEGMENTS, 2),
        (Tag.SAR_SEGMENT_SEQNUM, 1),
    ]
    house.deliver(
        {"short_message": b"\x05\x00\x03\x07\x02\x01" + YES, "esm_class": ESM_UDHI},
        {"tlvs": tlvs},
        {"short_message": b"\x05\x00\x03\x07\x01\x01" + YES, "esm_class": ESM_UDHI},
    )
    assert [(mo.said.part, mo.said.text) for mo in house.replies.heard] == [
        (True, "ДА"),
        (True, "ДА"),
        (False, "ДА"),
    ]


def test_a_payload_in_a_tlv_is_the_message(house: House) -> None:
    house.deliver({"short_message": b"", "tlvs": [(Tag.MESSAGE_PAYLOAD, YES)]})
    [mo] = house.replies.heard
    assert (mo.said.text, mo.said.raw) == ("ДА", YES)


# --- answers to the SMSC ----------------------------------------------------------------------


def test_nothing_is_acknowledged_before_it_is_recorded(house: House) -> None:
    house.replies.waits = waiting = Deferred[None]()
    answers = house.deliver({}, {})
    assert answers == [None, None]
    assert house.metrics.replies_unacknowledged.child().value == 2
    drained: list[None] = []
    house.inbound.drained().addCallback(drained.append)
    assert drained == []
    house.replies.waits = None
    waiting.callback(None)
    house.scene.network.turn()
    assert answers == [0, 0]
    assert drained == [None]
    assert house.metrics.reply_ack_seconds.child().count >= 1
    house.inbound.drained().addCallback(drained.append)
    assert drained == [None, None]


def test_each_of_a_mixed_batch_has_its_own_answer(house: House) -> None:
    house.replies.refused = {1}
    house.receipts_trouble = NotApplied("down")
    answers = house.deliver(a_receipt(), {}, {}, {"esm_class": MessageType.USER_ACKNOWLEDGEMENT})
    assert answers.count(Status.ESME_RSYSERR) >= 2
    assert answers[0] == Status.ESME_RSYSERR
    assert answers[3] == Status.ESME_ROK


def test_not_now_is_said_as_the_smsc_understands_it() -> None:
    house = House(not_now_status=Status.ESME_RX_T_APPN)
    house.replies.refused = {0}
    assert house.deliver({}) == [Status.ESME_RX_T_APPN]
    house.scene.down()


def test_where_no_status_says_not_now_the_link_is_dropped_instead() -> None:
    house = House(not_now_status=None)
    assert house.deliver({}) == [0]
    house.replies.refused = {0}
    assert house.deliver({}) == [None]
    assert house.scene.link.state is not LinkState.BOUND
    house.scene.down()


def test_a_bug_acknowledges_nothing(house: House, criticals: Criticals) -> None:
    house.replies.trouble = KeyError("bug")
    assert house.deliver({}) == [Status.ESME_RSYSERR]
    [logged] = criticals.take()
    assert "a batch could not be recorded" in logged
    house.replies.trouble = None
    assert house.deliver({}) == [0]


def test_a_flood_of_all_kinds_keeps_its_order(house: House) -> None:
    """Plain answers come as rows, the others as PDUs; each answer goes to its own."""
    plain = [{"source_addr": b"38097%07d" % number} for number in range(20)]
    part = {"short_message": b"\x05\x00\x03\x07\x02\x01" + YES, "esm_class": ESM_UDHI}
    long = {"short_message": "да ".encode("utf-16-be") * 20}
    house.replies.refused = {3}
    answers = house.deliver(*plain[:10], a_receipt(), part, *plain[10:], long)
    assert answers.count(Status.ESME_ROK) == 22
    assert answers[3] == Status.ESME_RSYSERR
    heard = house.replies.heard
    assert [mo.msisdn for mo in heard if mo.said.text == "ДА" and not mo.said.part] == [
        int(b"38097%07d" % number) for number in range(20)
    ]
    assert [mo.said.part for mo in heard].index(True) == 10
    assert heard[-1].said.text == "да " * 20
    assert len(house.receipts) == 1


def test_small_reads_that_come_together_leave_together() -> None:
    house = House(gather_s=0.01)
    network, replies = house.scene.network, house.replies
    connection, _ = network.links[0]
    house.replies.refused = {1}
    assert house.deliver({}) == [0], "the first waits for nobody"
    one, other = house.deliver({}, {}), house.deliver({})
    assert (one, other, replies.sizes) == ([None, None], [None], [1])
    assert not connection.reading, "what brings a few is not read from for a while"
    assert not house.inbound.drained().called
    network.advance(0.01)
    network.turn()
    assert (one, other, replies.sizes) == ([0, Status.ESME_RSYSERR], [0], [1, 3])
    network.advance(0.01)
    network.turn()
    assert connection.reading
    assert house.deliver({}) == [0]
    many = house.deliver(*[{}] * GATHERED_MAX)
    assert many.count(Status.ESME_ROK) == GATHERED_MAX - 1, "many wait for nobody either"
    last = house.deliver({})
    network.advance(0.01)
    network.turn()
    assert (last, replies.sizes) == ([0], [1, 3, 1, GATHERED_MAX, 1])
    house.scene.down()


def test_what_is_recorded_is_answered_before_what_is_looked_at_again(house: House) -> None:
    house.replies.late = [1]
    looking: Deferred[None] = Deferred()
    house.replies.looks = looking
    house.replies.refused = {1}
    answers = house.deliver({}, a_receipt(), {}, {})
    assert answers == [0, None, None, 0]
    assert not house.inbound.drained().called
    looking.callback(None)
    house.scene.network.turn()
    assert answers == [0, 0, Status.ESME_RSYSERR, 0]
    assert house.inbound.drained().called


def test_what_was_said_is_not_remembered_for_ever(house: House) -> None:
    words = [{"short_message": b"%d" % number, "data_coding": 0} for number in range(SAID_MAX + 2)]
    for start in range(0, len(words), 500):
        house.deliver(*words[start : start + 500])
    assert [mo.said.text for mo in house.replies.heard] == [str(n) for n in range(len(words))]


def test_an_answer_may_come_as_data_sm(house: House) -> None:
    data_sm = build(
        Command.DATA_SM,
        source_addr=b"380971234567",
        source_addr_ton=1,
        destination_addr=b"717104",
        data_coding=8,
        tlvs=[(Tag.MESSAGE_PAYLOAD, YES)],
    )
    answers: list[object] = []
    house.scene.smsc.peer.send(data_sm).addCallback(answers.append)
    house.scene.network.turn()
    assert [type(answer) for answer in answers] == [Accepted]
    [mo] = house.replies.heard
    assert (mo.msisdn, mo.said.text) == (380971234567, "ДА")
