"""CAMARA's operations: from a request to `flow` and back to an answer.

Who asks, and whether they may, is the envelope's; every answer passes through it.
"""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from twisted.internet.interfaces import IReactorTime

from ppcd.charge.money import Money, to_decimal_text
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.flow.listing import Listings, TooMany
from ppcd.flow.reservation import Reservations
from ppcd.flow.validation import Validations
from ppcd.flow.view import ChargeView
from ppcd.http.messages import JSON_TYPE, Request, Response
from ppcd.http.router import Handler, Router
from ppcd.http.server import Limits
from ppcd.partner.asked import body_of, charge_id_of, wait_of
from ppcd.partner.contracts import served
from ppcd.partner.envelope import Call, Envelope
from ppcd.partner.errors import ApiError, Problem
from ppcd.partner.listing import criteria_of, list_answer, list_asked
from ppcd.partner.payments import order_of, payment_body, resource_url, sink_problem
from ppcd.partner.refusals import refusal
from ppcd.partner.scopes import Scope
from ppcd.partner.second_step import SecondStep
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.wire import CreatePayment, language_wanted, read

__all__ = ["PartnerApi"]

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
        reservations: Reservations,
        validations: Validations,
        clock: IReactorTime,
        new_correlator: Callable[[], str],
    ) -> None:
        self._requests = requests
        self._listings = listings
        self._second_step = SecondStep(requests, reservations, validations)
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
            ("POST", "/payments/prepare", self._prepare, Scope.CREATE, deadline_s),
            *(
                ("POST", f"/payments/{{paymentId}}/{name}", operation, Scope.WRITE, deadline_s)
                for name, operation in self._second_step.operations.items()
            ),
        ):
            router.add(
                method, base + path, self.envelope.keyed(operation, scope), deadline_s=seconds
            )
        router.add("GET", "/openapi/carrier-billing.yaml", served("carrier-billing.yaml"))

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
            wanted = read(model, body_of(given.request))
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
            requests_max=settings.requests_per_connection_max,
            handler_s=settings.request_timeout_s,
            body_size_max=settings.body_size_max,
            connections_max=settings.connections_max,
            connections_per_address_max=settings.connections_per_address_max,
            trusted_addresses=self.envelope.trusted,
        )

    # -- the operations

    async def _create(self, call: Call) -> Response:
        return await self._ask_for(call, two_step=False)

    async def _prepare(self, call: Call) -> Response:
        return await self._ask_for(call, two_step=True)

    async def _ask_for(self, call: Call, *, two_step: bool) -> Response:
        document = body_of(call.request)
        order = order_of(
            read(CreatePayment, document),
            document,
            language=language_wanted(call.request.header(b"accept-language")),
            settings=self._settings,
            two_step=two_step,
        )
        problem = await self._problem(call.partner, order)
        result: flow.CreateAnswer | None
        if problem is None:
            result = await self._requests.create(call.partner, order)
        else:
            result = await self._requests.earlier(call.partner, order)
        match result:
            case None:
                assert problem is not None
                raise problem
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
                        was_reserved=False,
                    )
                )
            case refused:
                raise refusal(refused)

    async def _problem(self, partner: flow.Partner, order: flow.Order) -> ApiError | None:
        """What this partner may not ask for; it may have been otherwise when it asked first."""
        problem = sink_problem(order.sink, self._settings, own_url=partner.webhook_url)
        if problem is not None or order.product_id is None:
            return problem
        tariff = await self._requests.tariff(partner, order.product_id)
        price = None if tariff is None else Money(tariff.amount_minor, tariff.currency)
        if price is None or order.money == price:
            return None
        return ApiError(
            Problem.UNAUTHORIZED_AMOUNT,
            "Unauthorized amount requested. The tariff's price is "
            f"{to_decimal_text(price)} {price.currency}.",
        )

    def _created(self, charge: ChargeView) -> Response:
        location = resource_url(charge.charge_id, self._settings).encode("ascii")
        body = payment_body(charge, self._settings, created=True)
        return Response(201, [JSON_TYPE, (b"Location", location)], body)

    async def _retrieve(self, call: Call) -> Response:
        charge_id = charge_id_of(call.request)
        wait_s = min(wait_of(call.request), self._settings.wait_s_max)
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
        asked = list_asked(call.request)
        page = await self._listings.find(
            call.partner,
            criteria_of(asked),
            offset=asked.offset,
            limit=asked.per_page,
            newest_first=asked.newest_first,
        )
        if isinstance(page, TooMany):
            raise ApiError(Problem.TOO_MANY_MATCHING_RECORDS)
        return list_answer(page, asked, self._settings)
