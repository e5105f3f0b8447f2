"""Waiting on an injected clock, cancellable."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


async def sleep(clock: IReactorTime, delay_s: float) -> None:
    woken: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = clock.callLater(delay_s, woken.callback, None)
    await woken
