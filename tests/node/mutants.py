"""`ppcd` with a planted bug: the kills must catch each, or their judges have gone blind.

`python -m tests.node.mutants NAME run --config FILE` is `ppcd run` with that bug.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from ppcd.cli import main


def acknowledge_before_commit() -> None:
    """deliver_sm_resp leaves before what it acknowledges is committed."""
    from ppcd.smpp import Inbox, Link, Status
    from ppcd.sms.inbound import LinksInbound

    received = LinksInbound.received

    def hasty(self: LinksInbound, link: Link, batch: Inbox) -> None:
        batch.answer([Status.ESME_ROK] * len(batch))
        clock: Any = self._clock
        # The work is done a moment later, as a queue in memory would do it.
        clock.callLater(0.3, received, self, link, batch)

    LinksInbound.received = hasty  # type: ignore[method-assign]


def new_key_per_attempt() -> None:
    """Each attempt at a debit has a key of its own."""
    from ppcd.charge.debit import DebitOrder
    from ppcd.flow import asking

    def order(**values: Any) -> DebitOrder:
        values["key"] = f"{values['key']}-{values['attempt']}"
        return DebitOrder(**values)

    asking.DebitOrder = order  # type: ignore[misc, assignment]


def new_key_per_refund_attempt() -> None:
    """The same of refunds, from the second attempt on."""
    from ppcd.charge.refund import RefundOrder
    from ppcd.flow import refund

    def order(**values: Any) -> RefundOrder:
        if values["attempt"] > 1:
            values["key"] = f"{values['key']}-{values['attempt']}"
        return RefundOrder(**values)

    refund.RefundOrder = order  # type: ignore[misc, assignment]


def told_before_sent() -> None:
    """A notification is marked as delivered before it is sent."""
    from ppcd.flow.notify import Notifications
    from ppcd.flow.ports import Delivered, Event

    init: Callable[..., None] = Notifications.__init__

    class Hasty:
        """Answers at once and posts half a second later."""

        def __init__(self, sender: Any, clock: Any) -> None:
            self._sender = sender
            self._clock = clock

        async def deliver(self, event: Event) -> Delivered:
            from twisted.internet.defer import Deferred

            self._clock.callLater(0.5, lambda: Deferred.fromCoroutine(self._sender.deliver(event)))
            return Delivered(204)

    def patched(self: Notifications, **parts: Any) -> None:
        parts["notifier"] = Hasty(parts["notifier"], parts["lanes"].reactor)
        init(self, **parts)

    Notifications.__init__ = patched  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "acknowledge-before-commit": acknowledge_before_commit,
    "new-key-per-attempt": new_key_per_attempt,
    "new-key-per-refund-attempt": new_key_per_refund_attempt,
    "told-before-sent": told_before_sent,
}


def run(arguments: Sequence[str]) -> int:
    """`NAME` and then what `ppcd` takes."""
    MUTANTS[arguments[0]]()
    return main(arguments[1:])


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
