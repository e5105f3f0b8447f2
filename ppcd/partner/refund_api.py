"""CAMARA Carrier Billing Refund: its four operations over the requests of `flow`."""

from typing import assert_never

from ppcd.charge.refund import Refusal
from ppcd.flow.listing import TooMany
from ppcd.flow.refund_requests import (
    Obstacle,
    RefundCreated,
    RefundOfOlder,
    RefundRequests,
)
from ppcd.flow.request import Busy
from ppcd.http.messages import JSON_TYPE, Response
from ppcd.http.router import Router
from ppcd.partner.asked import body_of, charge_id_of, id_of
from ppcd.partner.contracts import served
from ppcd.partner.envelope import Call, Envelope
from ppcd.partner.errors import ApiError, Problem, RefundProblem, retry_after
from ppcd.partner.listing import list_asked, page_answer
from ppcd.partner.payments import sink_problem
from ppcd.partner.refunds import (
    REFUNDS,
    criteria_of_refunds,
    read_refund,
    refund_body,
    refund_url,
    refund_wanted,
    remaining_body,
)
from ppcd.partner.scopes import Scope
from ppcd.partner.settings import PartnerApiSettings

__all__ = ["RefundApi"]


class RefundApi:
    """What partners can do about refunds, in the same envelope as all else."""

    def __init__(
        self, requests: RefundRequests, settings: PartnerApiSettings, *, envelope: Envelope
    ) -> None:
        self._requests = requests
        self._settings = settings
        self._envelope = envelope

    def add_routes(self, router: Router) -> None:
        base = self._settings.refund_base_path + "/payments/{paymentId}/refunds"
        for method, path, operation, scope in (
            ("POST", "", self._create, Scope.CREATE_REFUND),
            ("GET", "", self._list, Scope.READ_REFUNDS),
            ("GET", "/remaining-amount", self._left, Scope.READ_REFUNDS),
            ("GET", "/{refundId}", self._retrieve, Scope.READ_REFUNDS),
        ):
            router.add(
                method,
                base + path,
                self._envelope.keyed(operation, scope),
                deadline_s=self._settings.request_timeout_s,
            )
        name = "carrier-billing-refund.yaml"
        router.add("GET", f"/openapi/{name}", served(name))

    async def _create(self, call: Call) -> Response:
        charge_id = charge_id_of(call.request)
        document = body_of(call.request)
        request = read_refund(document)
        payment = await self._requests.payment(call.partner, charge_id)
        if payment is None:
            raise ApiError(Problem.NOT_FOUND)
        wanted = refund_wanted(request, document, payment, settings=self._settings)
        problem = sink_problem(wanted.sink, self._settings, own_url=call.partner.webhook_url)
        if problem is not None:
            raise problem
        answer = await self._requests.create(payment, wanted)
        match answer:
            case RefundCreated(view):
                location = refund_url(view, self._settings).encode("ascii")
                return Response(201, [JSON_TYPE, (b"Location", location)], refund_body(view))
            case RefundOfOlder():
                raise ApiError(Problem.CORRELATOR_TAKEN)
            case Refusal():
                raise _refused(answer)
            case Obstacle():
                raise _hindered(answer)
            case Busy(retry_after_s):
                raise ApiError(Problem.UNAVAILABLE, headers=retry_after(retry_after_s))
            case other:
                assert_never(other)

    async def _list(self, call: Call) -> Response:
        asked = list_asked(call.request, REFUNDS)
        page = await self._requests.find(
            call.partner,
            charge_id_of(call.request),
            criteria_of_refunds(asked),
            offset=asked.offset,
            limit=asked.per_page,
            newest_first=asked.newest_first,
        )
        if page is None:
            raise ApiError(Problem.NOT_FOUND)
        if isinstance(page, TooMany):
            raise ApiError(RefundProblem.TOO_MANY_MATCHING_RECORDS)
        return page_answer(asked, [refund_body(view) for view in page.refunds], page.total)

    async def _retrieve(self, call: Call) -> Response:
        ids = charge_id_of(call.request), id_of(call.request, "refundId")
        view = await self._requests.get(call.partner, *ids)
        if view is None:
            raise ApiError(Problem.NOT_FOUND)
        return Response(200, [JSON_TYPE], refund_body(view))

    async def _left(self, call: Call) -> Response:
        left = await self._requests.left(call.partner, charge_id_of(call.request))
        if left is None:
            raise ApiError(Problem.NOT_FOUND)
        return Response(200, [JSON_TYPE], remaining_body(left))


def _refused(refusal: Refusal) -> ApiError:
    """What the partner is told when the money says no."""
    match refusal:
        case Refusal.NOT_PAID:
            return ApiError(RefundProblem.INVALID_PAYMENT_STATUS)
        case Refusal.NOTHING_LEFT:
            message = "Payment not eligible for refund. Nothing of it is left to be refunded."
            return ApiError(RefundProblem.NOT_ELIGIBLE, message)
        case Refusal.TOO_MUCH:
            message = "Unauthorized amount requested. It is more than is left of the payment."
            return ApiError(RefundProblem.UNAUTHORIZED_AMOUNT, message)
        case Refusal.ONLY_WHOLE:
            message = "Unauthorized amount requested. Only the whole payment can be refunded."
            return ApiError(RefundProblem.UNAUTHORIZED_AMOUNT, message)
        case Refusal.OTHER_CURRENCY:
            return ApiError(Problem.CURRENCY)
        case other:
            assert_never(other)


def _hindered(obstacle: Obstacle) -> ApiError:
    """And when something else does."""
    match obstacle:
        case Obstacle.CORRELATOR_TAKEN:
            return ApiError(Problem.CORRELATOR_TAKEN)
        case Obstacle.REFERENCE_TAKEN:
            message = f"{Problem.ALREADY_EXISTS.value[2]} The referenceCode was used before."
            return ApiError(Problem.ALREADY_EXISTS, message)
        case Obstacle.NOT_REVERSIBLE:
            message = "Payment not eligible for refund. The operator's billing gives nothing back."
            return ApiError(RefundProblem.NOT_ELIGIBLE, message)
        case Obstacle.TOO_OLD:
            message = "Payment not eligible for refund. It is too old."
            return ApiError(RefundProblem.NOT_ELIGIBLE, message)
        case other:
            assert_never(other)
