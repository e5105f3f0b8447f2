"""Phones of one operator: what each received, in order, and long messages put together.

Owns the inboxes, nothing on the wire. Any number with the operator's prefix is a phone; it exists
from its first message on.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from ppcd.smpp import Joiner, Pdu, TextError, Whole

#: Enough for a person to read, and for a test to look back on.
MESSAGES_MAX: Final = 1_000
_MSISDN: Final = re.compile(r"[1-9][0-9]{4,14}")


@dataclass(frozen=True, slots=True)
class Message:
    """What a phone shows; `to` is the phone."""

    to: str
    sender: str
    text: str
    at: str

    def asdict(self) -> dict[str, str]:
        return {"from": self.sender, "text": self.text, "at": self.at}


class Handsets:
    """All phones whose number begins with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._inboxes: dict[str, deque[Message]] = {}
        self._joiner = Joiner()

    def exists(self, msisdn: str) -> bool:
        """Whether that number is one of the operator's phones."""
        return msisdn.startswith(self.prefix) and _MSISDN.fullmatch(msisdn) is not None

    def put(self, message: Message) -> None:
        inbox = self._inboxes.setdefault(message.to, deque(maxlen=MESSAGES_MAX))
        inbox.append(message)

    def messages(self, msisdn: str) -> list[Message]:
        """Oldest first."""
        return list(self._inboxes.get(msisdn, ()))

    def last_sender(self, msisdn: str) -> str | None:
        """Whom an answer without an address goes to."""
        inbox = self._inboxes.get(msisdn)
        return inbox[-1].sender if inbox else None

    def read(self, pdu: Pdu, now: float) -> str | None:
        """The text that this message completes; None while parts are missing.

        What is no text is shown as phones show it: with a sign that it can't be.
        """
        self._joiner.expire(now)
        for found in self._joiner.add(pdu, now):
            if isinstance(found, Whole):
                try:
                    return found.text()
                except TextError:
                    return "\N{REPLACEMENT CHARACTER}"
        return None
