"""Work that nobody waits for: none is dropped, every failure is logged and counted.

And who waits for one of the jobs that are begun together, by callbacks.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ppcd.metrics import Metrics

J = TypeVar("J")
#: Who is told that a job is over, and what it failed with, if it did.
Over: TypeAlias = Callable[[J, Failure | None], None]

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


async def one(begin: Callable[[Sequence[J], Over[J]], None], job: J) -> None:
    """Begin a single job and wait for its end; raises what it failed with."""
    ended: Deferred[None] = Deferred()

    def over(_: J, why: Failure | None) -> None:
        if why is None:
            ended.callback(None)
        else:
            ended.errback(why)

    begin([job], over)
    await ended
