"""Our requests on their way: queue, window, pace, sequence numbers and the wait for answers.

Owns the promise that every request handed in is handed back exactly once: with its answer, as
expired, as unsent, or at the end. Works on encoded bytes; knows no states and no clock.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ppcd.smpp.answers import with_sequence
from ppcd.smpp.settings import SessionSettings
from ppcd.smpp.throttle import Pace

#: SMPP 3.4 5.1.4: 1..0x7FFFFFFF, then 1 again.
SEQUENCE_MAX: Final = 0x7FFF_FFFF


class Request:
    """One request: its bytes (the sequence number is stamped in when it goes) and its owner."""

    __slots__ = ("command", "data", "order", "queued_at", "segments", "sent_at", "token", "tries")

    def __init__(
        self, data: bytes, *, command: int, token: Any, segments: int, order: int, now: float
    ) -> None:
        self.data = data
        self.command = command
        self.token = token
        self.segments = segments
        self.order = order
        self.queued_at = now
        self.sent_at = now
        self.tries = 0


class Outbox:
    """The requests of one session, from `put` to their end."""

    __slots__ = (
        "_again",
        "_flying",
        "_heard_from",
        "_next_order",
        "_next_sequence",
        "_paused",
        "_queue",
        "_queue_max",
        "_queue_s",
        "_retries_max",
        "_timeout_s",
        "pace",
        "reserved",
        "window_max",
    )

    def __init__(self, settings: SessionSettings, random: Callable[[], float], now: float) -> None:
        self.window_max = settings.window_max
        self._queue_max = settings.queue_max
        self._queue_s = settings.queue_s
        self._timeout_s = settings.response_timeout_s
        self._retries_max = settings.throttle_retries_max
        self.pace = Pace(settings.rate_max, random, now)
        self._queue: deque[Request] = deque()
        self._again: list[Request] = []  # throttled ones in their first order; before the queue
        # A dict keeps the order of sending and all wait equally long: its first is the next due.
        self._flying: dict[int, Request] = {}
        #: Sequence numbers in use by the session itself (bind, enquire_link, unbind).
        self.reserved: dict[int, int] = {}
        self._next_sequence = 1
        self._next_order = 0
        self._heard_from = now
        self._paused = False

    @property
    def in_flight(self) -> int:
        """Requests written and not answered."""
        return len(self._flying)

    @property
    def queued(self) -> int:
        return len(self._queue) + len(self._again)

    def room_now(self, now: float) -> int:
        """Free places in the window that nobody queues for; 0 while the pace says wait."""
        if not self.pace.may_send(now):
            return 0
        return max(0, self.window_max - len(self._flying) - self.queued)

    def sequence(self) -> int:
        """The next sequence number that nothing in flight has."""
        number = self._next_sequence
        while number in self._flying or number in self.reserved:
            number = number + 1 if number < SEQUENCE_MAX else 1
        self._next_sequence = number + 1 if number < SEQUENCE_MAX else 1
        return number

    def put(self, data: bytes, *, command: int, token: Any, segments: int, now: float) -> bool:
        """Queue a request; False when the queue is full."""
        if self.queued >= self._queue_max:
            return False
        order = self._next_order
        self._next_order = order + 1
        request = Request(
            data, command=command, token=token, segments=segments, order=order, now=now
        )
        self._queue.append(request)
        return True

    def take(self, now: float) -> list[bytes]:
        """The bytes that may be written now, as window and pace allow."""
        taken: list[bytes] = []
        flying, pace = self._flying, self.pace
        while (self._again or self._queue) and len(flying) < self.window_max:
            if not pace.may_send(now):
                break
            request = self._again.pop(0) if self._again else self._queue.popleft()
            pace.spend(request.segments)
            sequence = self.sequence()
            request.sent_at = now
            # In the window before the first octet leaves: an answer can't be faster.
            flying[sequence] = request
            data = request.data
            taken.append(with_sequence(data, sequence))
        return taken

    def waiting_for(self, sequence: int) -> Request | None:
        """The request in flight under this number."""
        return self._flying.get(sequence)

    def done(self, sequence: int) -> None:
        """It was answered."""
        del self._flying[sequence]

    def again(self, sequence: int) -> bool:
        """It was throttled: send it once more, before all younger ones; False when tired of it."""
        request = self._flying[sequence]
        if request.tries >= self._retries_max:
            return False
        request.tries += 1
        del self._flying[sequence]
        insort(self._again, request, key=_by_order)
        return True

    def pause(self) -> None:
        """Answers can't be read now, so nothing expires."""
        self._paused = True

    def resume(self, now: float) -> None:
        self._paused = False
        self._heard_from = now

    def _expires_at(self, request: Request) -> float:
        return max(request.sent_at, self._heard_from) + self._timeout_s

    def expired(self, now: float) -> list[Any]:
        """Tokens of requests whose answer did not come in time; they are forgotten here."""
        tokens: list[Any] = []
        while self._flying and not self._paused:
            sequence, request = next(iter(self._flying.items()))
            if self._expires_at(request) > now:
                break
            del self._flying[sequence]
            tokens.append(request.token)
        return tokens

    def stale(self, now: float) -> list[Any]:
        """Tokens of requests that queued too long; none of their octets was written."""
        tokens: list[Any] = []
        for queue in (self._again, self._queue):
            while queue and queue[0].queued_at + self._queue_s <= now:
                tokens.append(queue[0].token)
                del queue[0]
        return tokens

    def next_deadline(self, now: float) -> float | None:
        """When something may go, expire or grow stale."""
        found: list[float] = []
        if self._flying and not self._paused:
            found.append(self._expires_at(next(iter(self._flying.values()))))
        found.extend(q[0].queued_at + self._queue_s for q in (self._again, self._queue) if q)
        if found and self.queued and len(self._flying) < self.window_max:
            found.append(self.pace.ready_at(now))
        return min(found, default=None)

    def give_back_queued(self) -> list[Any]:
        """Tokens of what never left, in order."""
        tokens = [request.token for request in (*self._again, *self._queue)]
        self._again.clear()
        self._queue.clear()
        return tokens

    def give_back_flying(self) -> list[Any]:
        """Tokens of what was written and not answered, in the order of writing."""
        tokens = [request.token for request in self._flying.values()]
        self._flying.clear()
        return tokens


def _by_order(request: Request) -> int:
    return request.order
