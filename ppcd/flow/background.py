"""Coroutines that nobody waits for: none is dropped, every failure is logged and counted."""

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.metrics import Metrics

log = Logger(namespace="ppcd.background")


def background(what: str, coro: Coroutine[Any, Any, None], metrics: Metrics) -> Deferred[None]:
    """Run `coro`; the Deferred fires when it is over and never fails."""
    running: Deferred[None] = Deferred.fromCoroutine(coro)
    return running.addErrback(lambda failure: report(what, failure, metrics))


def report(what: str, failure: Failure, metrics: Metrics) -> None:
    """Log and count a failure of something that nobody waits for."""
    if not isinstance(failure.value, CancelledError):
        metrics.background_failures.child().add()
        log.failure("failed to {what}", failure, what=what)
