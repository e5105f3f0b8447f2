"""The demo partner's webhook inbox: checks each signature with its own code and keeps a list.

Owns Standard Webhooks as a receiver reads it. On purpose it shares no line with the sender:
two parties that share a bug agree with each other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ppcd.sim.journal import Journal

#: How far the sender's clock and ours may be apart; older messages may be replays.
TOLERANCE_S: Final = 300


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
        self._key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
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
        valid = self._is_valid(headers, body)
        content = _content(body)
        event_id = headers.get("webhook-id", "")
        at = self._journal.write(
            "webhook", id=event_id, signature="valid" if valid else "invalid", body=content
        )
        received = Received(event_id, at, valid, content)
        self.received.append(received)
        return received

    def _is_valid(self, headers: Mapping[str, str], body: bytes) -> bool:
        event_id, sent_at = headers.get("webhook-id"), headers.get("webhook-timestamp")
        if not event_id or not sent_at or not sent_at.isascii() or not sent_at.isdigit():
            return False
        if abs(self._now().timestamp() - int(sent_at)) > TOLERANCE_S:
            return False
        signed = f"{event_id}.{sent_at}.".encode("latin-1") + body
        wanted = hmac.new(self._key, signed, hashlib.sha256).digest()
        return any(
            hmac.compare_digest(wanted, given)
            for given in _signatures(headers.get("webhook-signature", ""))
        )


def _signatures(header: str) -> list[bytes]:
    """The MACs of version 1 in a header such as `v1,BASE64 v1,BASE64 v1a,…`."""
    found = []
    for part in header.split():
        version, _, text = part.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found


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
