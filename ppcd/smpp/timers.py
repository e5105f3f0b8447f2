"""When a session must act: the timers of SMPP 3.4 §7.2 as one plain value.

Owns what time means to a conversation. Knows no PDU, no transport and no clock: the time is an
argument, and what falls due is an answer, so that a day of silence is tested in a microsecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Due(Enum):
    """What a timer asks for."""

    ENQUIRE = "enquire"  # the line was idle: ask whether the other side lives
    ENQUIRY_LOST = "enquiry lost"  # it did not say: abort
    INACTIVE = "inactive"  # no messages for too long: unbind
    INIT_LATE = "init late"  # connected, yet nobody bound in time
    INCOMPLETE = "incomplete"  # a PDU began and never ended
    DRAIN_LATE = "drain late"  # what was in flight took too long: leave without it
    UNBIND_LATE = "unbind late"  # our unbind was not answered: close


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSettings:
    """Seconds; None switches a timer off where it may be."""

    session_init_s: float = 10.0
    enquire_link_s: float | None = 30.0
    enquire_link_timeout_s: float = 10.0
    # Off: a link for prompts is quiet at night, and enquire_link already tells dead from idle.
    inactivity_s: float | None = None
    incomplete_s: float = 10.0
    drain_s: float = 5.0
    unbind_s: float = 5.0


class Timers:
    """The running timers of one session; every change takes `now` in clock seconds."""

    __slots__ = (
        "_drain_until",
        "_enquired_at",
        "_heard_at",
        "_init_until",
        "_moved_at",
        "_partial_since",
        "_paused",
        "_settings",
        "_unbind_until",
    )

    def __init__(self, settings: TimerSettings, now: float) -> None:
        self._settings = settings
        self._init_until: float | None = now + settings.session_init_s
        self._heard_at = now
        self._moved_at = now
        self._enquired_at: float | None = None
        self._partial_since: float | None = None
        self._drain_until: float | None = None
        self._unbind_until: float | None = None
        self._paused = False

    def bound(self, now: float) -> None:
        """The bind stands: from here on the line is watched."""
        self._init_until = None
        self._heard_at = self._moved_at = now

    def heard(self, now: float) -> None:
        """Anything at all came in: the other side lives."""
        self._heard_at = now
        self._enquired_at = None

    def moved(self, now: float) -> None:
        """A message went or came."""
        self._moved_at = now

    def partial(self, now: float, octets: int) -> None:
        """So many octets of an unfinished PDU are waiting for the rest."""
        if not octets:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = now

    def whole(self) -> None:
        """A PDU was completed: if octets are left, they belong to a younger one."""
        self._partial_since = None

    def enquired(self, now: float) -> None:
        """Our enquire_link is on its way."""
        self._enquired_at = now

    def draining(self, now: float) -> None:
        """No new work; what is in flight may finish for a while."""
        if self._drain_until is None:
            self._drain_until = now + self._settings.drain_s

    def unbinding(self, now: float) -> None:
        """Our unbind is on its way; nothing else matters any more."""
        self._drain_until = None
        self._unbind_until = now + self._settings.unbind_s

    def pause(self) -> None:
        """We stopped reading: silence is our own doing now, and proves nothing."""
        self._paused = True

    def resume(self, now: float) -> None:
        """We read again: whoever was waited for gets the whole time anew."""
        self._paused = False
        self._heard_at = now
        if self._enquired_at is not None:
            self._enquired_at = now
        if self._partial_since is not None:
            self._partial_since = now

    def _deadlines(self) -> list[tuple[float, Due]]:
        settings = self._settings
        if self._unbind_until is not None:
            return [(self._unbind_until, Due.UNBIND_LATE)]
        found: list[tuple[float, Due]] = []
        if self._partial_since is not None and not self._paused:
            found.append((self._partial_since + settings.incomplete_s, Due.INCOMPLETE))
        if self._init_until is not None:
            found.append((self._init_until, Due.INIT_LATE))
            return found
        if self._drain_until is not None:
            found.append((self._drain_until, Due.DRAIN_LATE))
        elif settings.inactivity_s is not None:
            found.append((self._moved_at + settings.inactivity_s, Due.INACTIVE))
        if self._enquired_at is not None:
            if not self._paused:
                lost_at = self._enquired_at + settings.enquire_link_timeout_s
                found.append((lost_at, Due.ENQUIRY_LOST))
        elif settings.enquire_link_s is not None:
            found.append((self._heard_at + settings.enquire_link_s, Due.ENQUIRE))
        return found

    def next_deadline(self) -> float | None:
        """When `due` may next answer something; None while nothing is awaited."""
        return min((at for at, _ in self._deadlines()), default=None)

    def due(self, now: float) -> Due | None:
        """The timer that ran out first, if any did."""
        at, due = min(self._deadlines(), key=lambda pair: pair[0], default=(now + 1, Due.ENQUIRE))
        return due if at <= now else None
