"""Bodies of the events that partners are sent: CAMARA CloudEvents.

A pure function of a charge's end, so that every attempt sends the same octets. Signatures, headers
and delivery are `webhook`'s.
"""

import json
from datetime import datetime
from typing import Any, Final

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import State
from ppcd.flow.ports import End
from ppcd.partner.payments import denial_reason, rfc3339

_TYPE_PREFIX: Final = "org.camaraproject.carrier-billing.v0."
_REFUND_TYPE_PREFIX: Final = "org.camaraproject.carrier-billing-refund.v0."


def payment_event(
    *,
    charge_id: int,
    state: State | None,
    reason: DenialReason | None,
    decided_at: datetime,
    sequence: int,
    event_id: str,
    time: datetime,
    source: str,
    was_reserved: bool = False,
) -> bytes:
    """The CloudEvent of a charge's end, or of what comes before it in two steps.

    `state` is RESERVED, or an end; None: a code is awaited. `event_id` is the same on every attempt
    and has no dots (it is signed between dots). `sequence` numbers the events of one charge, as
    they may overtake each other. `source` is a URI reference that says who sends.
    """
    kind, data = _said(state, reason, decided_at=decided_at, was_reserved=was_reserved)
    data = {"paymentId": str(charge_id), **data}
    return _event(
        _TYPE_PREFIX + kind, data, sequence=sequence, event_id=event_id, time=time, source=source
    )


def refund_event(
    *,
    charge_id: int,
    refund_id: int,
    reason: DenialReason | None,
    decided_at: datetime,
    sequence: int,
    event_id: str,
    time: datetime,
    source: str,
) -> bytes:
    """The CloudEvent of a refund's end; without a `reason`, the money was given back."""
    data: dict[str, Any] = {"paymentId": str(charge_id), "refundId": str(refund_id)}
    if reason is None:
        kind = "refund-completed"
        data |= {
            "status": "succeeded",
            "description": "The money has been refunded.",
            "refundDate": rfc3339(decided_at),
        }
    else:
        kind = "refund-denied"
        data |= {
            "status": "failed",
            "description": f"The money has not been refunded: {reason.value}.",
            "denialReason": reason.value,
        }
    return _event(
        _REFUND_TYPE_PREFIX + kind,
        data,
        sequence=sequence,
        event_id=event_id,
        time=time,
        source=source,
    )


def _event(
    kind: str, data: dict[str, Any], *, sequence: int, event_id: str, time: datetime, source: str
) -> bytes:
    event = {
        "id": event_id,
        "source": source,
        "specversion": "1.0",
        "type": kind,
        "time": rfc3339(time),
        "datacontenttype": "application/json",
        # CloudEvents' sequence extension: ordered as text.
        "sequence": f"{sequence:010d}",
        "data": data,
    }
    return json.dumps(event, separators=(",", ":")).encode("ascii")


def _said(
    state: State | None, reason: DenialReason | None, *, decided_at: datetime, was_reserved: bool
) -> tuple[str, dict[str, Any]]:
    """The event's kind, and what it says."""
    if state is None or state is State.RESERVED:
        kind = "payment-pending-validation" if state is None else "payment-reserved"
        return kind, {"status": "succeeded", "description": _BEFORE_THE_END[kind]}
    denied = denial_reason(state, reason, was_reserved=was_reserved)
    if denied is not None:
        return "payment-denied", {
            "status": "failed",
            "description": f"The payment has not been charged: {denied.value}.",
            "denialReason": denied.value,
        }
    if state is State.CANCELLED:
        why = "" if reason is None else f": {reason.value}"
        description = f"The reservation was let go, nothing has been charged{why}."
        return "payment-cancelled", {"status": "succeeded", "description": description}
    assert state is State.SUCCEEDED, f"{state} is not an end that partners are told of"
    return "payment-completed", {
        "status": "succeeded",
        "description": "The payment has been charged.",
        "paymentDate": rfc3339(decided_at),
    }


_BEFORE_THE_END: Final = {
    "payment-pending-validation": "A code was sent to the subscriber: validate the payment.",
    "payment-reserved": "The amount is reserved: confirm or cancel the payment.",
}


class EventWriter:
    """Fulfils flow's `WriteEvent` for one sender."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __call__(self, end: End, *, event_id: str) -> bytes:
        same: dict[str, Any] = {
            "charge_id": end.charge_id,
            "reason": None if end.reason is None else DenialReason(end.reason),
            "decided_at": end.decided_at,
            "sequence": end.sequence,
            "event_id": event_id,
            "time": end.decided_at,
            "source": self._source,
        }
        if end.refund_id is not None:
            return refund_event(refund_id=end.refund_id, **same)
        return payment_event(
            state=None if end.state == "pending_validation" else State(end.state),
            was_reserved=end.was_reserved,
            **same,
        )
