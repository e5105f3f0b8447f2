"""A blocked reactor is seen."""

from twisted.internet.task import Clock

from ppcd.metrics import Metrics
from ppcd.ops.lag import LagMeter


def a_meter() -> tuple[LagMeter, Clock, Metrics]:
    reactor, metrics = Clock(), Metrics()
    meter = LagMeter(metrics.reactor_lag_seconds.child(), reactor=reactor, interval_s=0.5)
    return meter, reactor, metrics


def test_a_punctual_reactor_has_no_lag():
    meter, reactor, metrics = a_meter()
    meter.start()
    reactor.pump([0.25] * 8)
    cell = metrics.reactor_lag_seconds.child()
    assert (cell.count, cell.sum) == (4, 0)
    meter.stop()
    assert reactor.getDelayedCalls() == []


def test_the_worst_lag_is_told_once():
    meter, reactor, metrics = a_meter()
    meter.start()
    meter.start()
    reactor.advance(0.5)
    reactor.advance(2.5)
    assert meter.take_worst() == 2
    assert meter.take_worst() == 0
    assert metrics.reactor_lag_seconds.child().sum == 2
    meter.stop()
    meter.stop()
    assert reactor.getDelayedCalls() == []
