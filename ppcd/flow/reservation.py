"""The second step: the partner confirms or cancels what is reserved, or time lets go of it.

Owns what a partner is told that decides too early, too late, or a second time. How the decision is
carried out is `debit`'s: from here on it is a job among others.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ppcd.charge.reservation import Decision
from ppcd.charge.rules import State
from ppcd.flow.ports import LEASE_S, Offers
from ppcd.flow.request import CancelAnswer, NotFound, Partner
from ppcd.flow.view import ChargeView
from ppcd.metrics import Metrics
from ppcd.store import reservations
from ppcd.store.lanes import Runner

BATCH: Final = 500
#: What a charge becomes by a decision.
_BECOMES: Final = {
    Decision.CONFIRMED: State.CAPTURING,
    Decision.CANCELLED: State.RELEASING,
    Decision.LAPSED: State.RELEASING,
}


@dataclass(frozen=True, slots=True)
class Decided:
    """This call decided it."""


@dataclass(frozen=True, slots=True)
class DecidedBefore:
    """The partner, or the time, was faster."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class NotReserved:
    """There is nothing to decide about: not yet, or no longer."""

    charge: ChargeView


DecideAnswer = Decided | DecidedBefore | NotReserved | NotFound


class Reservations:
    """Decides about reserved money."""

    def __init__(
        self,
        *,
        lanes: Runner,
        offers: Offers,
        metrics: Metrics,
        look_up: Callable[[Partner, int], Awaitable[ChargeView | None]],
        cancel: Callable[[Partner, int], Awaitable[CancelAnswer]],
    ) -> None:
        """`look_up` and `cancel` are those of `Requests`."""
        self._lanes = lanes
        self._offers = offers
        self._metrics = metrics
        self._look_up = look_up
        self._cancel = cancel

    async def confirm(self, partner: Partner, charge_id: int) -> DecideAnswer:
        """Take what is reserved."""
        return await self._decide(partner, charge_id, Decision.CONFIRMED)

    async def cancel(self, partner: Partner, charge_id: int) -> DecideAnswer | CancelAnswer:
        """Let go of what is reserved; or end what nobody has answered."""
        answer = await self._decide(partner, charge_id, Decision.CANCELLED)
        if isinstance(answer, NotReserved) and answer.charge.state is State.AWAITING:
            return await self._cancel(partner, charge_id)
        return answer

    async def lapse(self) -> None:
        """Let go of everything that nobody has decided about in time, batch by batch."""
        while True:
            jobs = await self._lanes.run(reservations.lapse, limit=BATCH, lease_s=LEASE_S)
            self._count(Decision.LAPSED, len(jobs))
            self._offers.debits(jobs)
            if len(jobs) < BATCH:
                return

    async def _decide(self, partner: Partner, charge_id: int, decision: Decision) -> DecideAnswer:
        job = await self._lanes.run(
            reservations.decide,
            charge_id,
            partner_id=partner.partner_id,
            decision=decision,
            lease_s=LEASE_S,
        )
        if job is not None:
            self._count(decision, 1)
            self._offers.debits([job])
            return Decided()
        charge = await self._look_up(partner, charge_id)
        if charge is None:
            return NotFound()
        if charge.state is State.RESERVED:
            # Its time is over; whoever sweeps has not come by yet.
            return DecidedBefore(Decision.LAPSED)
        earlier = await self._lanes.run(reservations.decision_of, charge_id)
        return NotReserved(charge) if earlier is None else DecidedBefore(earlier)

    def _count(self, decision: Decision, count: int) -> None:
        self._metrics.charges.child(_BECOMES[decision].value).add(count)
