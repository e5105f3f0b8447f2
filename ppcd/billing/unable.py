"""What a billing system says that can't hold money for later."""

from collections.abc import Callable
from typing import Final

from ppcd.charge.debit import DebitOrder, NotSent

_NO: Final = NotSent("this billing system can't reserve: its charges are made in one step")


class CannotReserve:
    """The second half of flow's adapter protocol, for adapters that have only the first."""

    async def reserve(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> NotSent:
        """Nothing is held."""
        return _NO

    async def capture(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> NotSent:
        """Nothing is taken."""
        return _NO

    async def release(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> NotSent:
        """Nothing is let go."""
        return _NO
