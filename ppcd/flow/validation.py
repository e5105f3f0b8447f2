"""The step that takes a PIN for a yes, where the operator lets partners ask for one.

Owns what a partner is told about a code that its subscriber typed. Refuses to know HTTP.
"""

from collections.abc import Awaitable, Callable
from enum import Enum, auto

from ppcd.charge.consequence import ENDED_WITHOUT_DEBIT
from ppcd.charge.rules import State
from ppcd.flow.ends import hand_on
from ppcd.flow.ports import LEASE_S, Offers
from ppcd.flow.request import Partner
from ppcd.flow.view import ChargeView
from ppcd.metrics import Metrics
from ppcd.store import validation
from ppcd.store.lanes import Runner
from ppcd.store.validation import Tried


class Validated(Enum):
    """What a posted code came to."""

    CONFIRMED = auto()
    WRONG_CODE = auto()
    WRONG_AUTHORIZATION = auto()
    #: No more tries, or no more time.
    FAILED = auto()
    #: It was right before, and no code is wanted any more.
    ALREADY = auto()
    NOT_FOUND = auto()


_MEANS = {
    Tried.CONFIRMED: Validated.CONFIRMED,
    Tried.WRONG_CODE: Validated.WRONG_CODE,
    Tried.CODES_USED_UP: Validated.FAILED,
    Tried.WRONG_AUTHORIZATION: Validated.WRONG_AUTHORIZATION,
}


class Validations:
    """Takes the codes that partners post."""

    def __init__(
        self,
        *,
        lanes: Runner,
        offers: Offers,
        metrics: Metrics,
        wrong_codes_max: Callable[[], int],
        look_up: Callable[[Partner, int], Awaitable[ChargeView | None]],
    ) -> None:
        """`look_up` is that of `Requests`."""
        self._lanes = lanes
        self._offers = offers
        self._metrics = metrics
        self._wrong_codes_max = wrong_codes_max
        self._look_up = look_up

    async def validate(
        self, partner: Partner, charge_id: int, *, authorization_id: str, typed: str
    ) -> Validated:
        """Try a code. CONFIRMED is committed; the reservation is on its way."""
        tried = await self._lanes.run(
            validation.validate,
            charge_id,
            partner_id=partner.partner_id,
            authorization_id=authorization_id,
            typed=typed,
            wrong_codes_max=self._wrong_codes_max(),
            lease_s=LEASE_S,
        )
        hand_on([tried.ended], self._offers, self._metrics)
        if tried.debit is not None:
            self._metrics.charges.child("confirmed").add()
            self._offers.debits([tried.debit])
        if tried.effect is not Tried.NOT_AWAITED:
            return _MEANS[tried.effect]
        charge = await self._look_up(partner, charge_id)
        if charge is None:
            return Validated.NOT_FOUND
        if charge.authorization_id is None or charge.authorization_id != authorization_id:
            return Validated.WRONG_AUTHORIZATION
        # An awaiting one is out of time: the sweep has not come by yet.
        over = charge.state is State.AWAITING or (
            charge.state in ENDED_WITHOUT_DEBIT - {State.DENIED} and not charge.was_reserved
        )
        return Validated.FAILED if over else Validated.ALREADY
