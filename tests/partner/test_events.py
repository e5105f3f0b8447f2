"""Bodies of events: the same octets on every attempt, in CAMARA's words."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import State
from ppcd.flow.ports import End
from ppcd.partner.events import EventWriter

DECIDED_AT = datetime(2026, 11, 23, 11, 0, 7, 5999, tzinfo=timezone(timedelta(hours=2)))


def an_end(
    state: State | None, reason: DenialReason | None = None, *, was_reserved: bool = False
) -> End:
    """The end, or what is told before it; without a state, that a code is awaited."""
    told = "pending_validation" if state is None else state.value
    why = None if reason is None else reason.value
    return End(17, 1, told, why, "B1", DECIDED_AT, was_reserved)


def an_event(
    state: State | None, reason: DenialReason | None = None, *, was_reserved: bool = False
) -> dict[str, Any]:
    write = EventWriter("urn:ppcd:test")
    return json.loads(write(an_end(state, reason, was_reserved=was_reserved), event_id="evt_17_1"))


@pytest.mark.parametrize(
    ("state", "reason", "kind", "word"),
    [
        (None, None, "payment-pending-validation", "validate"),
        (State.RESERVED, None, "payment-reserved", "confirm or cancel"),
        (State.CANCELLED, DenialReason.CONFIRMATION_TIMEOUT, "payment-cancelled", "TIMEOUT"),
        (State.SUCCEEDED, None, "payment-completed", "charged"),
    ],
)
def test_two_steps_are_told_of_one_by_one(
    state: State | None, reason: DenialReason | None, kind: str, word: str
) -> None:
    event = an_event(state, reason, was_reserved=state is not None)
    assert event["type"] == f"org.camaraproject.carrier-billing.v0.{kind}"
    assert event["data"]["status"] == "succeeded"
    assert word in event["data"]["description"]


def test_what_was_cancelled_before_it_was_reserved_is_denied() -> None:
    event = an_event(State.CANCELLED, DenialReason.CANCELLED_BY_MERCHANT)
    assert event["type"].endswith("payment-denied")
    assert event["data"]["denialReason"] == "CANCELLED_BY_MERCHANT"


def test_a_paid_charge_is_a_completed_payment() -> None:
    assert an_event(State.SUCCEEDED) == {
        "id": "evt_17_1",
        "source": "urn:ppcd:test",
        "specversion": "1.0",
        "type": "org.camaraproject.carrier-billing.v0.payment-completed",
        "time": "2026-11-23T09:00:07.005Z",
        "datacontenttype": "application/json",
        "sequence": "0000000001",
        "data": {
            "paymentId": "17",
            "status": "succeeded",
            "description": "The payment has been charged.",
            "paymentDate": "2026-11-23T09:00:07.005Z",
        },
    }


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (State.DENIED, DenialReason.INSUFFICIENT_FUNDS, "INSUFFICIENT_FUNDS"),
        (State.DENIED, None, "BILLING_REJECTED"),
        (State.DECLINED, None, "USER_DECLINED"),
        (State.EXPIRED, None, "CONFIRMATION_TIMEOUT"),
        (State.UNDELIVERABLE, None, "PROMPT_UNDELIVERABLE"),
        (State.CANCELLED, DenialReason.CANCELLED_BY_MERCHANT, "CANCELLED_BY_MERCHANT"),
    ],
)
def test_every_other_end_is_a_denied_payment(
    state: State, reason: DenialReason | None, said: str
) -> None:
    event = an_event(state, reason)
    assert event["type"] == "org.camaraproject.carrier-billing.v0.payment-denied"
    assert event["data"] == {
        "paymentId": "17",
        "status": "failed",
        "description": f"The payment has not been charged: {said}.",
        "denialReason": said,
    }


def test_every_attempt_sends_the_same_octets() -> None:
    write = EventWriter("urn:ppcd")
    end = an_end(State.SUCCEEDED)
    assert write(end, event_id="evt_1_1") == write(end, event_id="evt_1_1")


def test_what_is_no_end_is_no_event() -> None:
    with pytest.raises(AssertionError):
        an_event(State.AWAITING)


def test_times_are_utc() -> None:
    end = End(17, 1, "succeeded", None, None, datetime(2026, 1, 1, tzinfo=UTC))
    event = json.loads(EventWriter("urn:ppcd")(end, event_id="evt_17_1"))
    assert event["data"]["paymentDate"] == "2026-01-01T00:00:00.000Z"


def a_refund_event(reason: DenialReason | None = None) -> dict[str, Any]:
    state = "succeeded" if reason is None else "denied"
    word = None if reason is None else reason.value
    end = End(17, 3, state, word, "B2", DECIDED_AT, refund_id=18)
    return json.loads(EventWriter("urn:ppcd:test")(end, event_id="evt_17_3"))


def test_a_refund_that_was_made_is_completed() -> None:
    assert a_refund_event() == {
        "id": "evt_17_3",
        "source": "urn:ppcd:test",
        "specversion": "1.0",
        "type": "org.camaraproject.carrier-billing-refund.v0.refund-completed",
        "time": "2026-11-23T09:00:07.005Z",
        "datacontenttype": "application/json",
        "sequence": "0000000003",
        "data": {
            "paymentId": "17",
            "refundId": "18",
            "status": "succeeded",
            "description": "The money has been refunded.",
            "refundDate": "2026-11-23T09:00:07.005Z",
        },
    }


def test_a_refund_that_was_not_made_is_denied_with_its_reason() -> None:
    event = a_refund_event(DenialReason.SERVICE_DENIED)
    assert event["type"] == "org.camaraproject.carrier-billing-refund.v0.refund-denied"
    assert event["data"] == {
        "paymentId": "17",
        "refundId": "18",
        "status": "failed",
        "description": "The money has not been refunded: SERVICE_DENIED.",
        "denialReason": "SERVICE_DENIED",
    }
