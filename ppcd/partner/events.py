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


def payment_event(
    *,
    charge_id: int,
    state: State,
    reason: DenialReason | None,
    decided_at: datetime,
    sequence: int,
    event_id: str,
    time: datetime,
    source: str,
) -> bytes:
    """The CloudEvent of a charge's end.

    `event_id` is the same on every attempt and has no dots (it is signed between dots).
    `sequence` numbers the events of one charge, as they may overtake each other.
    `source` is a URI reference that says who sends.
    """
    denied = denial_reason(state, reason)
    data: dict[str, Any] = {"paymentId": str(charge_id)}
    if denied is None:
        assert state is State.SUCCEEDED, f"{state} is not an end that partners are told of"
        kind = "payment-completed"
        data |= {
            "status": "succeeded",
            "description": "The payment has been charged.",
            "paymentDate": rfc3339(decided_at),
        }
    else:
        kind = "payment-denied"
        data |= {
            "status": "failed",
            "description": f"The payment has not been charged: {denied.value}.",
            "denialReason": denied.value,
        }
    event = {
        "id": event_id,
        "source": source,
        "specversion": "1.0",
        "type": _TYPE_PREFIX + kind,
        "time": rfc3339(time),
        "datacontenttype": "application/json",
        # CloudEvents' sequence extension: ordered as text.
        "sequence": f"{sequence:010d}",
        "data": data,
    }
    return json.dumps(event, separators=(",", ":")).encode("ascii")


class EventWriter:
    """Fulfils flow's `WriteEvent` for one sender."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __call__(self, end: End, *, event_id: str) -> bytes:
        return payment_event(
            charge_id=end.charge_id,
            state=State(end.state),
            reason=None if end.reason is None else DenialReason(end.reason),
            decided_at=end.decided_at,
            sequence=end.sequence,
            event_id=event_id,
            time=end.decided_at,
            source=self._source,
        )
