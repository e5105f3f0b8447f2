"""Why a payment was not created, as a partner is told."""

from typing import Final, assert_never

from ppcd.flow import request as flow
from ppcd.partner.errors import ApiError, Problem, retry_after
from ppcd.store.limits import Limit, OverLimit
from ppcd.store.subscribers import Spared, Why

_ONE_STEP_ONLY: Final = (
    "The service is not available for the provided identifier: its operator's billing can't "
    "reserve money. Use createPayment."
)

Refused = (
    flow.CorrelatorTaken
    | flow.ReferenceTaken
    | flow.NoFreeAddress
    | flow.NotServed
    | flow.CannotReserve
    | flow.Busy
    | Spared
    | OverLimit
)


def refusal(refused: Refused) -> ApiError:
    """The error for it."""
    match refused:
        case flow.CorrelatorTaken():
            return ApiError(Problem.CORRELATOR_TAKEN)
        case flow.ReferenceTaken():
            return ApiError(
                Problem.ALREADY_EXISTS,
                "The resource that a client tried to create already exists. "
                "The referenceCode was used before.",
            )
        case flow.NoFreeAddress():
            return ApiError(Problem.ANOTHER_SESSION)
        case Spared():
            return _spared(refused)
        case OverLimit(limit):
            return _over(limit)
        case flow.NotServed():
            return ApiError(Problem.IDENTIFIER_NOT_FOUND)
        case flow.CannotReserve():
            return ApiError(Problem.SERVICE_NOT_APPLICABLE, _ONE_STEP_ONLY)
        case flow.Busy(retry_after_s):
            return ApiError(Problem.UNAVAILABLE, headers=retry_after(retry_after_s))
        case other:
            assert_never(other)


def _spared(spared: Spared) -> ApiError:
    """What a partner is told when a subscriber is not to be asked."""
    match spared.why:
        case Why.BLOCKED:
            return ApiError(Problem.PAYMENT_DENIED)
        case Why.OPEN:
            return ApiError(Problem.ANOTHER_SESSION)
        case Why.HOUR | Why.DAY:
            message = "This subscriber was asked too often of late."
            headers = retry_after(spared.retry_after_s)
            return ApiError(Problem.TOO_MANY_REQUESTS, message, headers=headers)
        case Why.SLOWED:
            message = "Too few of those whom you ask say yes: so many payments a minute, no more."
            headers = retry_after(spared.retry_after_s)
            return ApiError(Problem.TOO_MANY_REQUESTS, message, headers=headers)
        case other:
            assert_never(other)


def _over(limit: Limit) -> ApiError:
    """What a partner is told when a charge is over a limit by sum."""
    match limit:
        case Limit.CHARGE:
            message = f"{Problem.UNAUTHORIZED_AMOUNT.value[2]} It is above what one payment may be."
            return ApiError(Problem.UNAUTHORIZED_AMOUNT, message)
        case Limit.SUBSCRIBER_DAY | Limit.SUBSCRIBER_MONTH:
            return ApiError(Problem.USER_AMOUNT_THRESHOLD_OVERPASSED)
        case Limit.PARTNER_DAY | Limit.PARTNER_MONTH:
            # CAMARA has no code for a limit that is the partner's own.
            period = "day" if limit is Limit.PARTNER_DAY else "month"
            message = f"Unauthorized payment request. Your own limit for this {period} is used up."
            return ApiError(Problem.USER_AMOUNT_THRESHOLD_OVERPASSED, message)
        case other:
            assert_never(other)
