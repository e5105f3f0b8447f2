"""A charge as its partner may see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import END_STATES, State
from ppcd.flow.document import Document
from ppcd.store.rows import ChargeRow


@dataclass(frozen=True, slots=True)
class ChargeView:
    """A charge as its partner may see it."""

    charge_id: int
    state: State
    reason: DenialReason | None
    created_at: datetime
    paid_at: datetime | None
    billing_reference: str | None
    document: Mapping[str, Any]
    sink: str | None
    two_step: bool = False
    #: Of two steps: the money is held, or was until somebody decided.
    was_reserved: bool = False
    #: Names the consent by a PIN; None: consent is by an answer.
    authorization_id: str | None = None

    @property
    def to_be_waited_for(self) -> bool:
        """Whether something comes next without the partner's doing."""
        typed = self.authorization_id is not None and self.state is State.AWAITING
        return not (self.state in END_STATES or self.was_reserved or typed)


def view_of(row: ChargeRow) -> ChargeView:
    state = State(row.state)
    return ChargeView(
        charge_id=row.charge_id,
        state=state,
        reason=None if row.reason is None else DenialReason(row.reason),
        created_at=row.created_at,
        paid_at=row.decided_at if state is State.SUCCEEDED else None,
        billing_reference=row.billing_reference,
        document=Document(row.document),
        sink=row.sink,
        two_step=row.two_step,
        was_reserved=row.was_reserved,
        authorization_id=row.authorization_id,
    )
