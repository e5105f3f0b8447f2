"""How a transaction fails: it did not happen, or nobody knows. No other failure leaves the store.

Texts never hold a row's values: PostgreSQL's details quote them, and they may be personal.
"""


class StoreError(Exception):
    """Base of the two failures; not raised itself."""


class NotApplied(StoreError):
    """The transaction did not happen. Nothing of it can be seen, now or later."""


class OutcomeUnknown(StoreError):
    """Its commit was sent and the answer lost: it may have happened, or may yet happen.

    Acknowledge nothing. Reading proves nothing either, as an abandoned commit may still become
    visible; run the same transaction again under the same keys, which waits for the old one.
    """


class Busy(NotApplied):
    """Too much is waiting already."""


class Closing(NotApplied):
    """The store is being closed."""


class Unsuitable(NotApplied):
    """The server must not be used for money as it is set up; a person has to change it."""


class Violated(NotApplied):
    """A constraint said no; `constraint` is its name, empty where PostgreSQL gives none."""

    def __init__(self, detail: str, *, constraint: str) -> None:
        super().__init__(detail)
        self.constraint = constraint


class Broken(NotApplied):
    """The statement is wrong: a bug, or a schema of another release. Trying again is no use."""
