"""What came of what a partner asked: of a creation, and of a cancel.

Owns the words. Refuses to know how they are told.
"""

from dataclasses import dataclass

from ppcd.charge.rules import State
from ppcd.flow.view import ChargeView
from ppcd.store.limits import OverLimit
from ppcd.store.subscribers import Spared


@dataclass(frozen=True, slots=True)
class Created:
    charge: ChargeView


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same request came before; here is its charge."""

    charge: ChargeView


@dataclass(frozen=True, slots=True)
class CorrelatorTaken:
    """Another request came under this correlator."""


@dataclass(frozen=True, slots=True)
class ReferenceTaken:
    """Another charge of this partner has this reference."""


@dataclass(frozen=True, slots=True)
class NoFreeAddress:
    """So many charges wait for this subscriber's answer that no reply address is left."""


@dataclass(frozen=True, slots=True)
class NotServed:
    """No route serves this number: it is not this operator's."""


@dataclass(frozen=True, slots=True)
class CannotReserve:
    """The billing system behind this number's route makes charges in one step only."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Not now, or nobody knows: the same request again is harmless when it has a correlator."""

    retry_after_s: float


CreateAnswer = (
    Created
    | Replayed
    | CorrelatorTaken
    | ReferenceTaken
    | NoFreeAddress
    | NotServed
    | CannotReserve
    | Spared
    | OverLimit
    | Busy
)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """This call ended it."""


@dataclass(frozen=True, slots=True)
class AlreadyConfirmed:
    """The subscriber was faster."""


@dataclass(frozen=True, slots=True)
class AlreadyCancelled:
    """An earlier call ended it."""


@dataclass(frozen=True, slots=True)
class AlreadyEnded:
    """It had ended without a debit, otherwise than by a cancel."""

    state: State


@dataclass(frozen=True, slots=True)
class NotFound:
    """This partner has no such charge."""


CancelAnswer = Cancelled | AlreadyConfirmed | AlreadyCancelled | AlreadyEnded | NotFound
