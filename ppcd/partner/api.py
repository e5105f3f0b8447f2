"""The operations, and the envelope around each: correlator, key, errors.

Every answer passes through the envelope, also those to requests that no handler saw.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from math import ceil
from typing import Any, Final, TypeVar, assert_never

from pydantic import BaseModel
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.charge.money import Money, to_decimal_text
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.flow.listing import Listings, TooMany
from ppcd.http.messages import JSON_TYPE, Request, Response
from ppcd.http.router import Handler, Router
from ppcd.http.server import Limits
from ppcd.partner import json_text
from ppcd.partner.clients import client_address
from ppcd.partner.errors import BY_STATUS, ApiError, Problem
from ppcd.partner.listing import list_answer, list_wanted
from ppcd.partner.payments import order_of, payment_body, resource_url
from ppcd.partner.scopes import Scope
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.shares import Shares
from ppcd.partner.wire import CancelPayment, CreatePayment, language_wanted, read
from ppcd.store.failures import StoreError
from ppcd.store.limits import Limit, OverLimit
from ppcd.store.subscribers import Spared, Why

__all__ = ["PartnerApi"]

_log = Logger(namespace="ppcd.partner")

_CORRELATOR: Final = re.compile(rb"[a-zA-Z0-9_:;./<>{}-]{1,256}")
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]{1,512}=*)")
_PAYMENT_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_CHARGE_ID_MAX: Final = 2**63 - 1
_WAIT: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_NO_STORE: Final = (b"Cache-Control", b"no-store")
_RETRY_AFTER_S: Final = 1.0
#: What `?wait=` may take beyond the wait itself.
_WAIT_MARGIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Call:
    """A request whose partner is known."""

    request: Request
    partner: flow.Partner


_Operation = Callable[[_Call], Coroutine[Any, Any, Response]]
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
        """`new_correlator` makes an x-correlator for a request that brought none."""
        self._requests = requests
        self._listings = listings
        self._settings = settings
        self._trusted = frozenset(settings.trusted_proxies)
        self._new_correlator = new_correlator
        self._shares = Shares(
            clock,
            requests_per_s=settings.requests_per_s_max,
            waiting_max=settings.waits_per_partner_max,
        )

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
            router.add(method, base + path, self._enveloped(operation, scope), deadline_s=seconds)
        router.add("GET", "/openapi/carrier-billing.yaml", _contract)

    def for_partner(
        self, operation: Callable[[flow.Partner, Request], Coroutine[Any, Any, Response]]
    ) -> Handler:
        """A handler of another room's in this API's envelope: correlator, key, errors. What other
        rooms offer leads to charges, so a key must be allowed to create them.
        """

        async def call(given: _Call) -> Response:
            return await operation(given.partner, given.request)

        return self._enveloped(call, Scope.CREATE)

    def taking(
        self,
        model: type[_Model],
        operation: Callable[[flow.Partner, Request, _Model], Coroutine[Any, Any, Response]],
    ) -> Handler:
        """As `for_partner`, for an operation on a body, read and checked as that model."""

        async def call(given: _Call) -> Response:
            wanted = read(model, _body(given.request))
            return await operation(given.partner, given.request, wanted)

        return self._enveloped(call, Scope.CREATE)

    def error(self, status: int, request: Request | None) -> Response:
        """The answer to what no handler saw, or what broke in one."""
        problem = BY_STATUS.get(status, Problem.INTERNAL)
        answer = problem.answer(headers=_retry_after() if status == 503 else ())
        given = None if request is None else request.header(b"x-correlator")
        return self._close(answer, self._correlator(given))

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
            trusted_addresses=self._trusted,
        )

    # -- the envelope

    def _enveloped(self, operation: _Operation, scope: Scope) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            given = request.header_values(b"x-correlator")
            correlator = self._correlator(given[0] if len(given) == 1 else None)
            partner = None
            try:
                if len(given) > 1 or (given and given[0] and not _CORRELATOR.fullmatch(given[0])):
                    raise ApiError(Problem.INVALID_ARGUMENT, "x-correlator is malformed")
                partner = await self._authenticate(request)
                retry_after_s = self._shares.take(partner.partner_id)
                if retry_after_s > 0:
                    raise ApiError(Problem.TOO_MANY_REQUESTS, headers=_retry_after(retry_after_s))
                if partner.scopes is not None and scope not in partner.scopes:
                    raise ApiError(Problem.PERMISSION_DENIED)
                answer = await operation(_Call(request, partner))
            except ApiError as error:
                answer = error.answer()
            except StoreError as error:
                # Nothing is known to have happened; the same request again is harmless.
                _log.warn("the store is not there for a request: {error}", error=error)
                answer = Problem.UNAVAILABLE.answer(headers=_retry_after())
            notes = {} if partner is None else {"partner": partner.name}
            return self._close(answer, correlator, notes)

        return handle

    def _correlator(self, given: bytes | None) -> bytes:
        """The request's own, if it is well formed: it is echoed and logged."""
        if given is not None and _CORRELATOR.fullmatch(given):
            return given
        return self._new_correlator().encode("ascii")

    @staticmethod
    def _close(
        answer: Response, correlator: bytes, notes: Mapping[str, str] | None = None
    ) -> Response:
        headers = [*answer.headers, (b"x-correlator", correlator), _NO_STORE]
        notes = {"correlator": correlator.decode("ascii"), **(notes or {})}
        return replace(answer, headers=headers, notes=notes)

    async def _authenticate(self, request: Request) -> flow.Partner:
        given = request.header(b"authorization")
        if given is None:
            raise ApiError(
                Problem.UNAUTHENTICATED, headers=[(b"WWW-Authenticate", b'Bearer realm="ppcd"')]
            )
        key = _BEARER.fullmatch(given)
        partner = None
        if key is not None:
            partner = await self._requests.authenticate(
                key[1].decode("ascii"), address=client_address(request, self._trusted)
            )
        if partner is None:
            challenge = b'Bearer realm="ppcd", error="invalid_token"'
            raise ApiError(Problem.UNAUTHENTICATED, headers=[(b"WWW-Authenticate", challenge)])
        return partner

    # -- the operations

    async def _create(self, call: _Call) -> Response:
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
                raise ApiError(Problem.UNAVAILABLE, headers=_retry_after(retry_after_s))
            case other:
                assert_never(other)

    def _created(self, charge: flow.ChargeView) -> Response:
        location = resource_url(charge.charge_id, self._settings).encode("ascii")
        body = payment_body(charge, self._settings)
        return Response(201, [JSON_TYPE, (b"Location", location)], body)

    async def _retrieve(self, call: _Call) -> Response:
        charge_id = _charge_id(call.request)
        wait_s = min(_wait(call.request), self._settings.wait_s_max)
        if wait_s > 0:
            with self._shares.waiting(call.partner.partner_id) as may_wait:
                charge = await self._requests.get(
                    call.partner, charge_id, wait_s if may_wait else 0
                )
        else:
            charge = await self._requests.get(call.partner, charge_id)
        if charge is None:
            raise ApiError(Problem.NOT_FOUND)
        return Response(200, [JSON_TYPE], payment_body(charge, self._settings))

    async def _list(self, call: _Call) -> Response:
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

    async def _cancel(self, call: _Call) -> Response:
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
            headers = _retry_after(spared.retry_after_s)
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


def _retry_after(seconds: float = _RETRY_AFTER_S) -> list[tuple[bytes, bytes]]:
    return [(b"Retry-After", b"%d" % max(1, ceil(seconds)))]


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
