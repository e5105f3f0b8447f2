"""What follows on a payment: CAMARA's validatePayment, confirmPayment and cancelPayment.

cancelPayment also ends a payment of one step that nobody has answered, which is ppcd's extension.
"""

from collections.abc import Mapping

from ppcd.charge.reservation import Decision
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.flow.reservation import DecideAnswer, Decided, DecidedBefore, NotReserved, Reservations
from ppcd.flow.validation import Validated, Validations
from ppcd.flow.view import ChargeView
from ppcd.http.messages import Response
from ppcd.partner.asked import body_of, charge_id_of
from ppcd.partner.envelope import Call, Operation
from ppcd.partner.errors import ApiError, Problem
from ppcd.partner.wire import SecondStepOf, ValidatePayment, read

_NOT_APPLICABLE = Problem.SERVICE_NOT_APPLICABLE.value[2].removesuffix(".")


class SecondStep:
    """The operations, by the last part of their path."""

    def __init__(
        self, requests: flow.Requests, reservations: Reservations, validations: Validations
    ) -> None:
        self._requests = requests
        self._reservations = reservations
        self._validations = validations
        self.operations: Mapping[str, Operation] = {
            "cancel": self._cancel,
            "confirm": self._confirm,
            "validate": self._validate,
        }

    async def _cancel(self, call: Call) -> Response:
        """Ends what nobody has answered, and lets go of what is reserved. A reply that was faster
        wins, and the partner is told.
        """
        charge = await self._meant(call)
        if charge.two_step:
            answer = await self._reservations.cancel(call.partner, charge.charge_id)
        else:
            answer = await self._requests.cancel(call.partner, charge.charge_id)
        match answer:
            case flow.Cancelled():
                return Response(202)
            case flow.AlreadyConfirmed():
                raise ApiError(Problem.PAYMENT_CONFIRMED)
            case flow.AlreadyCancelled() | flow.AlreadyEnded():
                # However else it ended: nothing was debited and nothing will be, which is what
                # this code tells a client. CAMARA has no third one.
                raise ApiError(Problem.PAYMENT_CANCELLED)
            case NotReserved(now) if now.state is State.DENIED or now.state in _UNANSWERED:
                raise ApiError(Problem.PAYMENT_CANCELLED)
            case _:
                return _decided(answer)

    async def _confirm(self, call: Call) -> Response:
        charge = await self._meant(call)
        if not charge.two_step:
            raise ApiError(
                Problem.SERVICE_NOT_APPLICABLE,
                f"{_NOT_APPLICABLE}: the payment is of one step, its subscriber confirms it.",
            )
        answer = await self._reservations.confirm(call.partner, charge.charge_id)
        if isinstance(answer, NotReserved) and answer.charge.state is State.DENIED:
            raise ApiError(Problem.PAYMENT_DENIED)
        if isinstance(answer, NotReserved) and answer.charge.state in _UNANSWERED:
            raise ApiError(Problem.PAYMENT_DENIED)
        return _decided(answer)

    async def _validate(self, call: Call) -> Response:
        charge_id = charge_id_of(call.request)
        wanted = read(ValidatePayment, body_of(call.request))
        validated = await self._validations.validate(
            call.partner, charge_id, authorization_id=wanted.authorization_id, typed=wanted.code
        )
        if validated is Validated.CONFIRMED:
            return Response(204)
        raise ApiError(_REFUSED[validated])

    async def _meant(self, call: Call) -> ChargeView:
        """The payment that a request is about, if it is this partner's and of that number."""
        charge_id = charge_id_of(call.request)
        wanted = read(SecondStepOf, body_of(call.request))
        if wanted.phone_number is None:
            raise ApiError(Problem.MISSING_IDENTIFIER)
        charge = await self._requests.get(call.partner, charge_id)
        if charge is None:
            raise ApiError(Problem.NOT_FOUND)
        if wanted.phone_number != charge.document["phoneNumber"]:
            raise ApiError(Problem.IDENTIFIER_NOT_FOUND)
        return charge


#: Ends without an answer that agreed.
_UNANSWERED = frozenset({State.DECLINED, State.EXPIRED, State.UNDELIVERABLE, State.CANCELLED})

_REFUSED: Mapping[Validated, Problem] = {
    Validated.WRONG_CODE: Problem.INVALID_CODE,
    Validated.WRONG_AUTHORIZATION: Problem.INVALID_AUTHORIZATION_ID,
    Validated.FAILED: Problem.VALIDATION_FAILED,
    Validated.ALREADY: Problem.ALREADY_VALIDATED,
    Validated.NOT_FOUND: Problem.NOT_FOUND,
}


def _decided(answer: DecideAnswer) -> Response:
    """What comes of a decision. Raises ApiError where it was none."""
    match answer:
        case Decided():
            return Response(202)
        case DecidedBefore(Decision.CONFIRMED):
            raise ApiError(Problem.PAYMENT_CONFIRMED)
        case DecidedBefore():
            raise ApiError(Problem.PAYMENT_CANCELLED)
        case NotReserved():
            message = f"{_NOT_APPLICABLE}: the payment is not reserved yet."
            raise ApiError(Problem.SERVICE_NOT_APPLICABLE, message)
        case flow.NotFound():
            raise ApiError(Problem.NOT_FOUND)
