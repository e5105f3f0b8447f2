"""A database that fails as told."""

from typing import Any

from twisted.internet.defer import Deferred, fail

from ppcd.store.failures import OutcomeUnknown
from ppcd.store.lanes import Immediate
from tests.builders import Store


class Unsteady(Immediate):
    """A database that fails as told: transaction's name -> what happens, one call after another."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.direct, reactor=None)
        self.troubles: dict[str, list[Any]] = {}

    def call(self, transaction: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        name = getattr(transaction, "func", transaction).__name__
        trouble = self.troubles.get(name, [])
        what = trouble.pop(0) if trouble else None
        if callable(what):
            what()
            what = None
        if isinstance(what, OutcomeUnknown) and "applied" in str(what):
            super().call(transaction, *args, **kwargs)
        if what is not None:
            return fail(what)
        return super().call(transaction, *args, **kwargs)
