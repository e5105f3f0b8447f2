"""Waiting on an injected clock."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from ppcd.sim.timing import sleep, within
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


def test_within_says_whether_it_came() -> None:
    clock = Clock()
    wanted: Deferred[None] = Deferred()
    came = Deferred.fromCoroutine(within(clock, wanted, 5))
    wanted.callback(None)
    assert done(came)
    late = Deferred.fromCoroutine(within(clock, Deferred(), 5))
    clock.advance(5)
    assert not done(late)
    assert clock.getDelayedCalls() == []


def test_within_can_be_cancelled_itself() -> None:
    clock = Clock()
    waiting = Deferred.fromCoroutine(within(clock, Deferred(), 5))
    waiting.cancel()
    with pytest.raises(CancelledError):
        done(waiting)
    assert clock.getDelayedCalls() == []
