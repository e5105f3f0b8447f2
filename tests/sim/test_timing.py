"""Waiting on an injected clock."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from ppcd.sim.timing import sleep
from tests.sim.memory import done


def test_sleep_wakes_in_time_and_can_be_cancelled() -> None:
    clock = Clock()
    woken = Deferred.fromCoroutine(sleep(clock, 5))
    clock.advance(4.9)
    assert not woken.called
    clock.advance(0.1)
    assert woken.called
    cancelled = Deferred.fromCoroutine(sleep(clock, 5))
    cancelled.cancel()
    assert clock.getDelayedCalls() == []
    with pytest.raises(CancelledError):
        done(cancelled)
