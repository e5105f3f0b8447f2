"""Answers that come after their attempts were given up, handed to the step that asked.

Owns only the way from an adapter to `Debits` and `Refunds`, which know what an answer proves.
"""

from collections.abc import Mapping

from ppcd.charge.debit import DebitAnswer, Order
from ppcd.charge.refund import RefundAnswer, RefundOrder
from ppcd.flow.background import background
from ppcd.flow.debit import Debits
from ppcd.flow.ports import Adapter, HearsLate
from ppcd.flow.refund import Refunds
from ppcd.metrics import Metrics

_WHAT = "settle by a late answer"


class Late:
    """Fulfils `LateAnswers` for all adapters that may hear late."""

    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        debits: Debits,
        refunds: Refunds,
        metrics: Metrics,
    ) -> None:
        self._adapters = adapters
        self._debits = debits
        self._refunds = refunds
        self._metrics = metrics
        for adapter in adapters.values():
            if isinstance(adapter, HearsLate):
                adapter.late = self

    def debit(self, adapter: str, order: Order, answer: DebitAnswer) -> None:
        """In the turn in which it came; what it settles is settled soon."""
        settled = self._debits.came_late(self._adapters[adapter], order, answer)
        background(_WHAT, settled, self._metrics)

    def refund(self, adapter: str, order: RefundOrder, answer: RefundAnswer) -> None:
        """The same."""
        settled = self._refunds.came_late(self._adapters[adapter], order, answer)
        background(_WHAT, settled, self._metrics)
