"""A coroutine that may last only so long."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

_T = TypeVar("_T")


async def bounded(reactor: Any, seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` gives; TimeoutError after `seconds`; CancelledError when the caller cancels.

    Those who are cancelled below say so in words of their own: only we know who meant what.
    """
    ended_by: Exception | None = None

    def end(reason: Exception) -> None:
        nonlocal ended_by
        ended_by = reason
        running.cancel()

    running = Deferred.fromCoroutine(work)
    outcome: Deferred[_T] = Deferred(lambda _: end(CancelledError()))
    running.chainDeferred(outcome)
    timer = reactor.callLater(seconds, end, TimeoutError())
    try:
        return await outcome
    except Exception as exc:
        if ended_by is not None:
            raise ended_by from exc
        raise
    finally:
        stop(None, timer)


def stop(result: Any, timer: Any) -> Any:
    """Cancel a timer unless it has run; for a Deferred's callbacks, whose result it leaves."""
    if timer.active():
        timer.cancel()
    return result
