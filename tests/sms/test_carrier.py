"""Texts over a route's links: split, submitted, judged, and over another link if nothing left."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ppcd.charge.msisdn import Msisdn
from ppcd.flow.ports import SendResult, Sent, Sms
from ppcd.metrics import Metrics
from ppcd.smpp import (
    ESM_UDHI,
    Advice,
    LinkGroup,
    MessageType,
    NotSent,
    Pdu,
    Status,
    message_type,
)
from ppcd.smpp.link import Hearer
from ppcd.sms.carrier import LinksCarrier
from ppcd.sms.dialect import Dialect
from tests.smpp.links import Scene

LONG = "Для подтверждения оплаты отправьте ДА в ответ. " * 3


def an_sms(text: str = "Отправьте ДА", **changes: Any) -> Sms:
    values: dict[str, Any] = {
        "route": "main",
        "source": "717104",
        "msisdn": Msisdn.from_digits("380971234567"),
        "text": text,
        "validity_s": 600.0,
        "reference": 0x1234,
        **changes,
    }
    return Sms(**values)


class Road:
    """Two links of one route, each with an SMSC of its own."""

    def __init__(self, dialect: Dialect) -> None:
        self.scenes = [Scene(name="one"), Scene(name="two")]
        self.metrics = Metrics()
        self.carrier = LinksCarrier(
            groups={"main": LinkGroup([scene.link for scene in self.scenes])},
            dialects={"one": dialect, "two": dialect},
            clock=self.scenes[0].network,
            metrics=self.metrics,
        )

    def send(self, sms: Sms) -> Sent:
        results: list[Sent] = []
        self.carrier.send(sms, results.append)
        self.carrier.flush()
        for _ in range(30):
            for scene in self.scenes:
                scene.network.wait(11)  # beyond the response timeout, and what throttling pauses
            if results:
                break
        [sent] = results
        return sent

    def arrived(self, number: int = 0) -> list[Pdu]:
        """The submit_sm that an SMSC got."""
        return self.scenes[number].smsc.pdus


@pytest.fixture
def make_road() -> Iterator[Callable[..., Road]]:
    roads: list[Road] = []

    def make(*, up: tuple[int, ...] = (0,), **dialect: Any) -> Road:
        road = Road(Dialect(**dialect))
        roads.append(road)
        for number in up:
            road.scenes[number].up()
        return road

    yield make
    for road in roads:
        for scene in road.scenes:
            scene.down()


def answer_with(road: Road, *statuses: int | None, number: int = 0) -> None:
    """What the SMSC answers to each segment, always; None: nothing."""

    def answering(peer: Any, pdu: Pdu) -> None:
        segment = pdu.short_message[5] if pdu.esm_class & ESM_UDHI else 1
        status = statuses[segment - 1]
        if status is not None:
            peer.answer(pdu, status, message_id=b"id-7" if status == 0 else b"")

    road.scenes[number].smsc.answering = answering


def test_a_text_arrives_with_its_addresses_and_what_is_left_of_its_time(
    make_road: Callable[..., Road],
) -> None:
    road = make_road(source_ton=3, source_npi=0)
    assert road.send(an_sms()) == Sent(SendResult.ACCEPTED, "one", "ESME_ROK", ((0, "id1"),))
    [pdu] = road.arrived()
    assert (pdu.source_addr, pdu.source_addr_ton, pdu.source_addr_npi) == (b"717104", 3, 0)
    assert (pdu.destination_addr, pdu.dest_addr_ton) == (b"380971234567", 1)
    assert pdu.short_message == "Отправьте ДА".encode("utf-16-be")
    assert pdu.validity_period == b"000000001000000R"
    assert pdu.registered_delivery == 1
    assert message_type(pdu.esm_class) == MessageType.NORMAL
    assert road.metrics.submits.child("one", "ESME_ROK").value == 1


@pytest.mark.parametrize(
    ("validity_s", "wire"),
    [(0.2, b"000000000001000R"), (1e9, b"000001000000000R"), (59.9, b"000000000059000R")],
)
def test_validity_stays_within_what_can_be_said(
    make_road: Callable[..., Road], validity_s: float, wire: bytes
) -> None:
    road = make_road()
    road.send(an_sms(validity_s=validity_s))
    [pdu] = road.arrived()
    assert pdu.validity_period == wire


def test_a_long_text_goes_in_segments_over_one_link(make_road: Callable[..., Road]) -> None:
    road = make_road(up=(0, 1))
    assert road.carrier.segments(LONG) == 3
    sent = road.send(an_sms(LONG))
    assert sent.result is SendResult.ACCEPTED
    assert len(sent.segments) == 3
    arrived = road.arrived(0) or road.arrived(1)
    assert len(arrived) == 3
    assert [pdu.short_message[:6] for pdu in arrived] == [
        bytes([5, 0, 3, 0x34, 3, number]) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (Status.ESME_RTHROTTLED, SendResult.NOT_NOW),
        (Status.ESME_RMSGQFUL, SendResult.NOT_NOW),
        (Status.ESME_RSYSERR, SendResult.NOT_NOW),
        (Status.ESME_RINVDSTADR, SendResult.REFUSED),
        (Status.ESME_RINVSRCADR, SendResult.FAULT),
        (None, SendResult.UNKNOWN),
    ],
)
def test_a_refusal_means_what_its_status_says(
    make_road: Callable[..., Road], status: int | None, result: SendResult
) -> None:
    road = make_road(up=(0,))
    answer_with(road, status)
    sent = road.send(an_sms())
    assert sent.result is result
    assert sent.segments == ((None if status is None else int(status), None),)


def test_an_operators_own_meaning_of_a_status_wins(make_road: Callable[..., Road]) -> None:
    road = make_road(advice={int(Status.ESME_RTHROTTLED): Advice.GIVE_UP})
    answer_with(road, Status.ESME_RTHROTTLED)
    assert road.send(an_sms()).result is SendResult.REFUSED


@pytest.mark.parametrize(
    ("statuses", "result"),
    [
        ((0, Status.ESME_RINVDSTADR, Status.ESME_RTHROTTLED), SendResult.REFUSED),
        ((0, None, Status.ESME_RTHROTTLED), SendResult.NOT_NOW),
        ((0, None, 0), SendResult.UNKNOWN),
        ((Status.ESME_RINVSRCADR, None, 0), SendResult.FAULT),
    ],
)
def test_of_segments_the_worst_counts(
    make_road: Callable[..., Road], statuses: tuple[int | None, ...], result: SendResult
) -> None:
    road = make_road()
    answer_with(road, *statuses)
    sent = road.send(an_sms(LONG))
    assert sent.result is result
    assert [status for status, _ in sent.segments] == [
        None if status is None else int(status) for status in statuses
    ]


def test_without_a_link_nothing_was_sent(make_road: Callable[..., Road]) -> None:
    road = make_road(up=())
    nothing = Sent(SendResult.NOT_SENT, "", "no link of the route is bound")
    assert road.send(an_sms()) == nothing
    assert road.send(an_sms(route="other")) == nothing


def test_what_did_not_leave_one_link_goes_over_another(make_road: Callable[..., Road]) -> None:
    road = make_road(up=(0, 1))
    first, second = road.scenes

    def refuse(pdu: Pdu, told: Hearer, *, segments: int = 1) -> None:
        told(NotSent("the queue is full"))

    first.link.put = refuse  # type: ignore[assignment]
    sent = road.send(an_sms())
    assert (sent.result, sent.link) == (SendResult.ACCEPTED, "two")
    second.link.put = refuse  # type: ignore[assignment]
    sent = road.send(an_sms())
    assert (sent.result, sent.segments) == (SendResult.NOT_SENT, ())


def test_a_text_of_which_only_a_part_left_is_not_unsent(make_road: Callable[..., Road]) -> None:
    road = make_road()
    link = road.scenes[0].link
    put = link.put
    count = iter(range(10))

    def once(pdu: Pdu, told: Hearer, *, segments: int = 1) -> None:
        if next(count) == 0:
            put(pdu, told, segments=segments)
        else:
            told(NotSent("the queue is full"))

    link.put = once  # type: ignore[assignment]
    sent = road.send(an_sms(LONG))
    assert sent.result is SendResult.NOT_NOW
    assert sent.segments == ((0, "id1"), (None, None), (None, None))


def test_an_unknown_fate_is_not_tried_over_another_link(make_road: Callable[..., Road]) -> None:
    road = make_road(up=(0, 1))
    for number in (0, 1):
        answer_with(road, None, number=number)
    assert road.send(an_sms()).result is SendResult.UNKNOWN
    assert len(road.arrived(0)) + len(road.arrived(1)) == 1


def test_a_text_that_cannot_be_encoded_is_our_fault(make_road: Callable[..., Road]) -> None:
    road = make_road()
    sent = road.send(an_sms("x" * 50_000))
    assert sent.result is SendResult.FAULT
    assert sent.segments == ()
    assert road.arrived() == []


@pytest.mark.parametrize(
    ("base", "given", "kept"),
    [("as_sent", b"0A1B", "0A1B"), ("decimal", b"0A1B", "2587"), ("hex", b"2587", "2587")],
)
def test_an_id_is_kept_in_the_form_that_receipts_are_compared_in(
    make_road: Callable[..., Road], base: str, given: bytes, kept: str
) -> None:
    road = make_road(receipt_id_base=base)
    road.scenes[0].smsc.answering = lambda peer, pdu: peer.answer(pdu, message_id=given)
    assert road.send(an_sms()).segments == ((0, kept),)
