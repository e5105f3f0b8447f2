"""How fast a bind may send: a token bucket whose rate falls when the SMSC is full and grows back.

Additive increase, multiplicative decrease, as TCP has it. The whole bind slows down and not the one
message that was refused: the SMSC said that *we* are too fast. Knows no PDU and no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PAUSE_S_MIN: Final = 1.0
PAUSE_S_MAX: Final = 30.0
# A window of refusals comes back at once and is one piece of news: one decrease a second.
CUT_EVERY_S: Final = 1.0
RATE_MIN: Final = 1.0
# 5.0: 80..89 is "optimum", so don't grow; 100 is congested. In between the SMSC copes.
CONGESTION_ENOUGH: Final = 80
CONGESTION_FULL: Final = 100
# A rate computed from tokens may fall short of one by a rounding; waiting for it would spin.
_ALMOST_ONE: Final = 1.0 - 1e-6


class Pace:
    """Messages per second that may be sent now; None as `rate` is no limit."""

    __slots__ = (
        "_bucket_at",
        "_ceiling",
        "_count",
        "_count_since",
        "_cut_at",
        "_grown_at",
        "_held_until",
        "_last_count",
        "_random",
        "_rate_max",
        "_strikes",
        "_tokens",
        "rate",
    )

    def __init__(self, rate_max: float | None, random: Callable[[], float], now: float) -> None:
        self.rate = rate_max
        self._rate_max = rate_max
        self._random = random
        self._tokens = 1.0
        self._bucket_at = now
        self._held_until = now
        self._strikes = 0
        self._cut_at: float | None = None
        self._grown_at = now
        self._ceiling = rate_max or 0.0
        self._count = 0
        self._last_count = 0
        self._count_since = now

    def may_send(self, now: float) -> bool:
        """Whether one more message may go in this instant."""
        if now < self._held_until:
            return False
        rate = self.rate
        if rate is None:
            return True
        # A tenth of a second's worth may go at once: evener than a second's, cheaper than one.
        burst = max(1.0, rate / 10)
        self._tokens = min(burst, self._tokens + max(0.0, now - self._bucket_at) * rate)
        self._bucket_at = now
        return self._tokens >= _ALMOST_ONE

    def spend(self, segments: int) -> None:
        """A message went; a long one leaves a debt that the following ones wait for."""
        if self.rate is not None:
            self._tokens -= segments

    def ready_at(self, now: float) -> float:
        """When `may_send` next says yes; `now` or earlier if it does already."""
        rate = self.rate
        if rate is None:
            return self._held_until
        return max(self._held_until, self._bucket_at + (1.0 - self._tokens) / rate)

    def answered(self, now: float) -> None:
        """The SMSC took a message."""
        self._strikes = 0
        self._tick(now)
        if self._cut_at is None or self.rate is None or now - self._grown_at < 1.0:
            return
        self._grown_at = now
        self.rate += max(RATE_MIN, self._ceiling / 20)
        if self._rate_max is not None and self.rate >= self._rate_max:
            self.rate, self._cut_at = self._rate_max, None
        elif self._rate_max is None and self.rate >= 2 * self._ceiling:
            # Twice what once was too much, and no complaint: the SMSC's mood has passed.
            self.rate, self._cut_at = None, None

    def throttled(self, now: float) -> None:
        """The SMSC said RTHROTTLED or RMSGQFUL: stop for a moment, then go on more slowly."""
        self._tick(now)
        old_news = self._cut_at is not None and now - self._cut_at < CUT_EVERY_S
        if old_news or now < self._held_until:
            return
        pause_s = min(PAUSE_S_MAX, PAUSE_S_MIN * 2.0 ** min(self._strikes, 10))
        self._strikes += 1
        # Jitter in the upper half: many nodes throttled together must not return together.
        self._held_until = now + pause_s * (0.5 + 0.5 * self._random())
        self._cut(now)

    def congestion(self, state: int, now: float) -> None:
        """SMPP 5.0's congestion_state came with an answer."""
        if state >= CONGESTION_FULL:
            if self._cut_at is None or now - self._cut_at >= CUT_EVERY_S:
                self._cut(now)
        elif state >= CONGESTION_ENOUGH:
            self._grown_at = now

    def _cut(self, now: float) -> None:
        rate = self.rate
        if rate is None:
            rate = float(max(self._count, self._last_count, 2))
            self._ceiling = rate
            self._tokens, self._bucket_at = 0.0, now
        self.rate = max(RATE_MIN, rate / 2)
        self._cut_at = self._grown_at = now

    def _tick(self, now: float) -> None:
        """Count answers a second: what an unlimited bind was doing when it was too much."""
        if now - self._count_since >= 1.0:
            self._last_count = self._count if now - self._count_since < 2.0 else 0
            self._count = 0
            self._count_since = now
        self._count += 1
