"""The demo partner's webhook inbox: keeps a list of what came, valid or not, for `/sim/…`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ppcd.sim.journal import Journal
from ppcd.sim.signatures import webhook_is_ours


@dataclass(frozen=True, slots=True)
class Received:
    """One delivery, valid or not."""

    id: str
    at: str
    valid: bool
    body: Any

    @property
    def type(self) -> str | None:
        return _text(self.body, "type")

    @property
    def payment_id(self) -> str | None:
        return _text(self.body, "data", "paymentId")

    @property
    def status(self) -> str | None:
        return _text(self.body, "data", "status")

    @property
    def denial_reason(self) -> str | None:
        return _text(self.body, "data", "denialReason")

    def describe(self) -> dict[str, object]:
        return {
            "id": self.id,
            "type": self.type,
            "paymentId": self.payment_id,
            "status": self.status,
            "signature": "valid" if self.valid else "invalid",
            "at": self.at,
            "body": self.body,
        }


class Inbox:
    """Everything that was delivered, oldest first; kept in the journal before it is answered."""

    def __init__(self, journal: Journal, *, secret: str, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._secret = secret
        self._now = now
        self.received: list[Received] = []

    def replay(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            if entry["entry"] == "webhook":
                self.received.append(
                    Received(entry["id"], entry["at"], entry["signature"] == "valid", entry["body"])
                )

    def take(self, headers: Mapping[str, str], body: bytes) -> Received:
        """Records the delivery and says whether its signature is right and fresh."""
        valid = webhook_is_ours(headers, body, secret=self._secret, now=self._now())
        content = _content(body)
        event_id = headers.get("webhook-id", "")
        at = self._journal.write(
            "webhook", id=event_id, signature="valid" if valid else "invalid", body=content
        )
        received = Received(event_id, at, valid, content)
        self.received.append(received)
        return received


def _content(body: bytes) -> Any:
    """The body as JSON, or as the text it is."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _text(value: Any, *path: str) -> str | None:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
