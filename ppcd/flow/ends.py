"""What each step does when charges ended in its transaction: count, and hand on the work."""

from collections import Counter
from collections.abc import Iterable

from ppcd.flow.ports import Offers
from ppcd.metrics import Metrics
from ppcd.store.rows import Ended


def hand_on(ends: Iterable[Ended | None], offers: Offers, metrics: Metrics) -> None:
    """Count the ends, and offer their notifications and notices to the workers."""
    ended = [end for end in ends if end is not None]
    for state, count in Counter(end.state for end in ended).items():
        metrics.charges.child(state).add(count)
    paid_seconds = metrics.paid_seconds.child()
    for end in ended:
        if end.paid_s is not None:
            paid_seconds.observe(end.paid_s)
    offers.webhooks([end.webhook for end in ended if end.webhook is not None])
    offers.prompts([end.prompt for end in ended if end.prompt is not None])
