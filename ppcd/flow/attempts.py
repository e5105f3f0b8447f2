"""One attempt at billing, whatever it is about: asked safely, weighed, worded.

Owns what debits and refunds have in common: until when an intent may be sent, what an adapter's
failure means, how old and how quiet a doubt is. Refuses to know what is recorded and what follows.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.charge.debit import (
    Abilities,
    Debited,
    Denied,
    NextStep,
    NotFound,
    NotSent,
    QueryAnswer,
    Reserved,
    Unknown,
    resolve_doubt,
)
from ppcd.charge.refund import Refunded, RefundQueryAnswer
from ppcd.charge.reservation import Released
from ppcd.flow.ports import Adapter
from ppcd.metrics import GaugeCell, Metrics

log = Logger(namespace="ppcd.flow.attempts")

A = TypeVar("A")

#: An intent is good for this long: a node that was paused must not send an old one. Quiet periods
#: count from its end.
SEND_WITHIN_S: Final = 5.0
#: Billing was not reached: pauses before the next attempts, the last one again and again.
NOT_SENT_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0)
#: Billing names its own pause, and this is the longest that is believed.
RETRY_AFTER_MAX_S: Final = 60.0

_UNHOLDABLE: Final = re.compile("[\x00\ud800-\udfff]")


class DoubtAge(NamedTuple):
    """What is known of a doubt when a decision is due: ages in seconds."""

    age_s: float
    quiet_s: float
    tries: int

    def step(self, abilities: Abilities, *, horizon_s: float) -> NextStep:
        """What may be done next, and when."""
        return resolve_doubt(
            abilities,
            age_s=self.age_s,
            quiet_s=self.quiet_s,
            tries=max(0, self.tries - 1),
            horizon_s=horizon_s,
        )


def left_open(*, doubt_s: float | None, quiet_s: float | None, attempts: int) -> DoubtAge:
    """The doubt about an attempt whose result was never recorded: its node stopped."""
    return DoubtAge(doubt_s or 0, quiet_before(quiet_s), attempts)


def answered(
    *, doubt_s: float | None, quiet_s: float | None, took_s: float, sent: bool, attempt: int
) -> DoubtAge:
    """The doubt after an answer. `sent`: what was asked for may have been done by this attempt.

    How quiet it was when the request left decides what its answer proves (`quiet_before`); how
    quiet it is now, when the next one may.
    """
    quiet_now_s = took_s + (-SEND_WITHIN_S if sent else quiet_before(quiet_s))
    return DoubtAge((doubt_s or 0) + took_s, quiet_now_s, attempt)


def quiet_before(quiet_s: float | None) -> float:
    """Since the last moment at which an earlier request may have left; negative before it."""
    return (quiet_s or 0) - SEND_WITHIN_S


def ask(
    adapter: Adapter, call: Callable[[], Awaitable[A]], *, metrics: Metrics
) -> Deferred[A | Unknown]:
    """What the adapter answers. One that breaks may have sent what it was given: Unknown."""
    in_flight = metrics.debits_in_flight.child(adapter.name)
    in_flight.add()
    try:
        asking: Deferred[A] = ensureDeferred(call())  # type: ignore[arg-type]  # either it takes
    except Exception:
        asking = fail()
    return asking.addCallbacks(
        *(_over, _broke), callbackArgs=(in_flight,), errbackArgs=(adapter, in_flight)
    )


def _over(answer: A, in_flight: GaugeCell) -> A:
    in_flight.add(-1)
    return answer


def _broke(why: Failure, adapter: Adapter, in_flight: GaugeCell) -> Unknown:
    in_flight.add(-1)
    assert isinstance(why.value, Exception)
    return broken(why.value, adapter)


def broken(why: Exception, adapter: Adapter) -> Unknown:
    """A bug of the adapter's: what it may have sent is unknown."""
    failure = Failure(why)  # type: ignore[no-untyped-call]
    log.failure("billing {billing} failed on an answer", failure, billing=adapter.name)
    return Unknown(f"the adapter failed: {type(why).__name__}")


def pause_s(attempt: int, answer: object, *, jitter: float) -> float:
    """How long to leave a billing alone that was not reached, or said that it did nothing."""
    pause = NOT_SENT_PAUSES_S[min(attempt, len(NOT_SENT_PAUSES_S)) - 1]
    if isinstance(answer, NotSent) and answer.retry_after_s is not None:
        pause = max(pause, min(answer.retry_after_s, RETRY_AFTER_MAX_S))
    return pause * (1 + jitter / 2)


def kept(text: str | None) -> str | None:
    """Billing's words without what PostgreSQL can't hold: an answer must not be lost for that."""
    if text is None or text.isprintable():
        return text
    return _UNHOLDABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def told(answer: QueryAnswer | RefundQueryAnswer | Released) -> tuple[str, str]:
    """The word under which an answer is recorded and counted, and its detail for people."""
    match answer:
        case Debited():
            return "debited", ""
        case Refunded():
            return "refunded", ""
        case Reserved():
            return "reserved", ""
        case Released():
            return "released", ""
        case Denied():
            return "denied", answer.code
        case NotSent():
            return "not_sent", answer.detail
        case NotFound():
            return "not_found", "billing knows nothing of it"
        case Unknown():
            return "unknown", answer.detail
