"""Waiting on an injected clock, cancellable."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")


async def sleep(clock: IReactorTime, delay_s: float) -> None:
    woken: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = clock.callLater(delay_s, woken.callback, None)
    await woken


async def within(clock: IReactorTime, waited: Deferred[None], delay_s: float) -> bool:
    """Whether it came within that time; if not, it is cancelled."""
    over = False

    def expire() -> None:
        nonlocal over
        over = True
        waited.cancel()

    timer = clock.callLater(delay_s, expire)
    try:
        await waited
    except CancelledError:
        if not over:
            raise
        return False
    finally:
        if timer.active():
            timer.cancel()
    return True
