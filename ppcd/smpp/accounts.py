"""The two small accounts of a session: requests we owe answers to, octets we are about to write.

Know no PDUs and no time.
"""

from __future__ import annotations


class Owed:
    """Requests of the other side that wait for our answer, and whether that is too many."""

    __slots__ = ("_limit", "paused", "unanswered")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.unanswered = 0
        #: The driver doesn't read at present.
        self.paused = False

    @property
    def wants_reading(self) -> bool:
        """False while too many wait; then the sender must wait, too."""
        if self.paused:
            # Half, so that a full house does not stop and go with each answer.
            return self.unanswered <= self._limit // 2
        return self.unanswered < self._limit


class Outgoing:
    """Octets on their way: answers and enquire_link ahead of our own requests."""

    __slots__ = ("_data", "_urgent")

    def __init__(self) -> None:
        self._urgent: list[bytes] = []
        self._data: list[bytes] = []

    def urgent(self, octets: bytes) -> None:
        self._urgent.append(octets)

    def data(self, pieces: list[bytes]) -> None:
        self._data.extend(pieces)

    def take(self) -> bytes:
        """All of it, once."""
        if not self._urgent and not self._data:
            return b""
        octets = b"".join(self._urgent + self._data)
        self._urgent.clear()
        self._data.clear()
        return octets
