"""CAMARA's operations: from a request to `flow` and back to an answer.

Who asks, and whether they may, is the envelope's; every answer passes through it.
"""

import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from typing import Any, Final, TypeVar, assert_never

from pydantic import BaseModel
from twisted.internet.interfaces import IReactorTime

from ppcd.charge.money import Money, to_decimal_text
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.flow.listing import Listings, TooMany
from ppcd.http.messages import JSON_TYPE, Request, Response
from ppcd.http.router import Handler, Router
from ppcd.http.server import Limits
from ppcd.partner import json_text
from ppcd.partner.envelope import Call, Envelope
from ppcd.partner.errors import ApiError, Problem, retry_after
from ppcd.partner.listing import list_answer, list_wanted
from ppcd.partner.payments import order_of, payment_body, resource_url
from ppcd.partner.scopes import Scope
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.wire import CancelPayment, CreatePayment, language_wanted, read
from ppcd.store.limits import Limit, OverLimit
from ppcd.store.subscribers import Spared, Why

__all__ = ["PartnerApi"]

_PAYMENT_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_CHARGE_ID_MAX: Final = 2**63 - 1
_WAIT: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
#: What `?wait=` may take beyond the wait itself.
_WAIT_MARGIN_S: Final = 10.0


_Model = TypeVar("_Model", bound=BaseModel)


class PartnerApi:
    """CAMARA Carrier Billing over the requests of `flow`."""

    def __init__(
        self,
        requests: flow.Requests,
        settings: PartnerApiSettings,
        *,
        listings: Listings,
        clock: IReactorTime,
        new_correlator: Callable[[], str],
    ) -> None:
        self._requests = requests
        self._listings = listings
        self._settings = settings
        self.envelope = Envelope(requests, settings, clock=clock, new_correlator=new_correlator)

    # -- for whoever builds the site

    def add_routes(self, router: Router) -> None:
        base = self._settings.base_path
        deadline_s = self._settings.request_timeout_s
        waiting_s = self._settings.wait_s_max + _WAIT_MARGIN_S
        for method, path, operation, scope, seconds in (
            ("POST", "/payments", self._create, Scope.CREATE, deadline_s),
            ("GET", "/payments", self._list, Scope.READ, deadline_s),
            ("GET", "/payments/{paymentId}", self._retrieve, Scope.READ, waiting_s),
            ("POST", "/payments/{paymentId}/cancel", self._cancel, Scope.WRITE, deadline_s),
        ):
            router.add(
                method, base + path, self.envelope.keyed(operation, scope), deadline_s=seconds
            )
        router.add("GET", "/openapi/carrier-billing.yaml", _contract)

    def for_partner(
        self, operation: Callable[[flow.Partner, Request], Coroutine[Any, Any, Response]]
    ) -> Handler:
        """A handler of another room's in this API's envelope: correlator, key, errors. What other
        rooms offer leads to charges, so a key must be allowed to create them.
        """

        async def call(given: Call) -> Response:
            return await operation(given.partner, given.request)

        return self.envelope.keyed(call, Scope.CREATE)

    def taking(
        self,
        model: type[_Model],
        operation: Callable[[flow.Partner, Request, _Model], Coroutine[Any, Any, Response]],
    ) -> Handler:
        """As `for_partner`, for an operation on a body, read and checked as that model."""

        async def call(given: Call) -> Response:
            wanted = read(model, _body(given.request))
            return await operation(given.partner, given.request, wanted)

        return self.envelope.keyed(call, Scope.CREATE)

    def error(self, status: int, request: Request | None) -> Response:
        """The answer to what no handler saw, or what broke in one."""
        return self.envelope.error(status, request)

    @property
    def limits(self) -> Limits:
        """What the site should hold peers to."""
        settings = self._settings
        return Limits(
            headers_s=settings.headers_timeout_s,
            body_s=settings.body_timeout_s,
            idle_s=settings.idle_timeout_s,
            handler_s=settings.request_timeout_s,
            body_size_max=settings.body_size_max,
            connections_max=settings.connections_max,
            connections_per_address_max=settings.connections_per_address_max,
            trusted_addresses=self.envelope.trusted,
        )

    # -- the operations

    async def _create(self, call: Call) -> Response:
        document = _body(call.request)
        order = order_of(
            read(CreatePayment, document),
            document,
            language=language_wanted(call.request.header(b"accept-language")),
            settings=self._settings,
        )
        if order.product_id is not None:
            tariff = await self._requests.tariff(call.partner, order.product_id)
            price = None if tariff is None else Money(tariff.amount_minor, tariff.currency)
            if price is not None and order.money != price:
                raise ApiError(
                    Problem.UNAUTHORIZED_AMOUNT,
                    "Unauthorized amount requested. The tariff's price is "
                    f"{to_decimal_text(price)} {price.currency}.",
                )
        result = await self._requests.create(call.partner, order)
        match result:
            case flow.Created(charge):
                return self._created(charge)
            case flow.Replayed(charge):
                # The answer of the first time, whatever has become of the charge since.
                return self._created(
                    replace(
                        charge,
                        state=State.AWAITING,
                        reason=None,
                        paid_at=None,
                        billing_reference=None,
                    )
                )
            case flow.CorrelatorTaken():
                raise ApiError(Problem.CORRELATOR_TAKEN)
            case flow.ReferenceTaken():
                raise ApiError(
                    Problem.ALREADY_EXISTS,
                    "The resource that a client tried to create already exists. "
                    "The referenceCode was used before.",
                )
            case flow.NoFreeAddress():
                raise ApiError(Problem.ANOTHER_SESSION)
            case Spared():
                raise _refusal(result)
            case OverLimit(limit):
                raise _over(limit)
            case flow.NotServed():
                raise ApiError(Problem.IDENTIFIER_NOT_FOUND)
            case flow.Busy(retry_after_s):
                raise ApiError(Problem.UNAVAILABLE, headers=retry_after(retry_after_s))
            case other:
                assert_never(other)

    def _created(self, charge: flow.ChargeView) -> Response:
        location = resource_url(charge.charge_id, self._settings).encode("ascii")
        body = payment_body(charge, self._settings)
        return Response(201, [JSON_TYPE, (b"Location", location)], body)

    async def _retrieve(self, call: Call) -> Response:
        charge_id = _charge_id(call.request)
        wait_s = min(_wait(call.request), self._settings.wait_s_max)
        if wait_s > 0:
            with self.envelope.shares.waiting(call.partner.partner_id) as may_wait:
                charge = await self._requests.get(
                    call.partner, charge_id, wait_s if may_wait else 0
                )
        else:
            charge = await self._requests.get(call.partner, charge_id)
        if charge is None:
            raise ApiError(Problem.NOT_FOUND)
        return Response(200, [JSON_TYPE], payment_body(charge, self._settings))

    async def _list(self, call: Call) -> Response:
        wanted = list_wanted(call.request)
        page = await self._listings.find(
            call.partner,
            wanted.criteria,
            offset=wanted.offset,
            limit=wanted.per_page,
            newest_first=wanted.newest_first,
        )
        if isinstance(page, TooMany):
            raise ApiError(Problem.TOO_MANY_MATCHING_RECORDS)
        return list_answer(page, wanted, self._settings)

    async def _cancel(self, call: Call) -> Response:
        """Ends what nobody has answered. A reply that was faster wins, and the partner is told."""
        charge_id = _charge_id(call.request)
        wanted = read(CancelPayment, _body(call.request))
        if wanted.phone_number is None:
            raise ApiError(Problem.MISSING_IDENTIFIER)
        charge = await self._requests.get(call.partner, charge_id)
        if charge is None:
            raise ApiError(Problem.NOT_FOUND)
        if wanted.phone_number != charge.document["phoneNumber"]:
            raise ApiError(Problem.IDENTIFIER_NOT_FOUND)
        match await self._requests.cancel(call.partner, charge_id):
            case flow.Cancelled():
                return Response(202)
            case flow.AlreadyConfirmed():
                raise ApiError(Problem.PAYMENT_CONFIRMED)
            case flow.AlreadyCancelled() | flow.AlreadyEnded():
                # However else it ended: nothing was debited and nothing will be, which is what
                # this code tells a client. CAMARA has no third one.
                raise ApiError(Problem.PAYMENT_CANCELLED)
            case flow.NotFound():
                raise ApiError(Problem.NOT_FOUND)
            case other:
                assert_never(other)


def _refusal(spared: Spared) -> ApiError:
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


def _body(request: Request) -> dict[str, Any]:
    """The JSON object that the body is. Raises ApiError."""
    media_type = (request.header(b"content-type") or b"").split(b";")[0].strip().lower()
    if request.body and media_type != b"application/json":
        raise ApiError(Problem.UNSUPPORTED_MEDIA_TYPE)
    try:
        document = json_text.decode(request.body)
    except json_text.JsonError as exc:
        raise ApiError(Problem.INVALID_ARGUMENT, str(exc)) from None
    if not isinstance(document, dict):
        raise ApiError(Problem.INVALID_ARGUMENT, "the body must be a JSON object")
    return document


def _charge_id(request: Request) -> int:
    """Raises ApiError for what is no id of ours, in the words for an unknown one."""
    text = request.params["paymentId"]
    if _PAYMENT_ID.fullmatch(text) is None or int(text) > _CHARGE_ID_MAX:
        raise ApiError(Problem.NOT_FOUND)
    return int(text)


def _wait(request: Request) -> float:
    """Seconds that the client is ready to wait. Raises ApiError."""
    try:
        given = [value for name, value in request.query() if name == "wait"]
        if not given:
            return 0
        if len(given) > 1 or _WAIT.fullmatch(given[0]) is None:
            raise ValueError
        return float(Decimal(given[0]))
    except (ValueError, InvalidOperation):
        message = "wait must be given once, as a number of seconds from 0 to 30"
        raise ApiError(Problem.INVALID_ARGUMENT, message) from None


async def _contract(request: Request) -> Response:
    """The contract as served, for people and generators; needs no key."""
    body = files("ppcd.partner").joinpath("openapi/carrier-billing.yaml").read_bytes()
    return Response(200, [(b"Content-Type", b"application/yaml")], body)
