"""What is around every operation: correlator, caller, rate, errors.

Owns that each answer echoes a correlator and is stored nowhere on its way, and that no operation is
reached without a partner who may use it. Refuses to know what the operations do.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ppcd.flow import request as flow
from ppcd.http.messages import Request, Response
from ppcd.http.router import Handler
from ppcd.partner.clients import client_address
from ppcd.partner.errors import BY_STATUS, ApiError, Problem, retry_after
from ppcd.partner.scopes import Scope
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.shares import Shares
from ppcd.store.certificates import Shown
from ppcd.store.failures import StoreError

_log = Logger(namespace="ppcd.partner")

_CORRELATOR: Final = re.compile(rb"[a-zA-Z0-9_:;./<>{}-]{1,256}")
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]{1,512}=*)")
_NO_STORE: Final = (b"Cache-Control", b"no-store")


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose partner is known."""

    request: Request
    partner: flow.Partner


Operation = Callable[[Call], Coroutine[Any, Any, Response]]
#: What needs no key. It finds out itself who asks, and notes what the access log is to have.
Unkeyed = Callable[[Request, dict[str, str]], Coroutine[Any, Any, Response]]


class Envelope:
    """One for all operations of a site."""

    def __init__(
        self,
        requests: flow.Requests,
        settings: PartnerApiSettings,
        *,
        clock: IReactorTime,
        new_correlator: Callable[[], str],
    ) -> None:
        """`new_correlator` makes an x-correlator for a request that brought none."""
        self._requests = requests
        self._new_correlator = new_correlator
        self._certificates = settings.client_certificates
        self.trusted = frozenset(settings.trusted_proxies)
        self._proxy_header = settings.proxy_header
        self.shares = Shares(
            clock,
            requests_per_s=settings.requests_per_s_max,
            waiting_max=settings.waits_per_partner_max,
        )

    def keyed(self, operation: Operation, scope: Scope) -> Handler:
        """A handler for partners whose key has that scope."""

        async def named(request: Request, notes: dict[str, str]) -> Response:
            partner = await self._authenticate(request)
            notes["partner"] = partner.name
            self.take_share(partner.partner_id)
            if partner.scopes is not None and scope not in partner.scopes:
                raise ApiError(Problem.PERMISSION_DENIED)
            return await operation(Call(request, partner))

        return self.unkeyed(named)

    def unkeyed(self, operation: Unkeyed) -> Handler:
        """A handler for anybody."""

        async def handle(request: Request) -> Response:
            given = request.header_values(b"x-correlator")
            correlator = self._correlator(given[0] if len(given) == 1 else None)
            notes = {"correlator": correlator.decode("ascii")}
            if request.peer in self.trusted:
                notes["client"] = self.address_of(request) or "unknown"
            try:
                if len(given) > 1 or (given and given[0] and not _CORRELATOR.fullmatch(given[0])):
                    raise ApiError(Problem.INVALID_ARGUMENT, "x-correlator is malformed")
                answer = await operation(request, notes)
            except ApiError as error:
                answer = error.answer()
            except StoreError as error:
                # Nothing is known to have happened; the same request again is harmless.
                _log.warn("the store is not there for a request: {error}", error=error)
                answer = Problem.UNAVAILABLE.answer(headers=retry_after())
            return _closed(answer, correlator, notes)

        return handle

    def error(self, status: int, request: Request | None) -> Response:
        """The answer to what no handler saw, or what broke in one."""
        problem = BY_STATUS.get(status, Problem.INTERNAL)
        answer = problem.answer(headers=retry_after() if status == 503 else ())
        given = None if request is None else request.header(b"x-correlator")
        correlator = self._correlator(given)
        return _closed(answer, correlator, {"correlator": correlator.decode("ascii")})

    def address_of(self, request: Request) -> str:
        """Where the caller is, as far as it is known."""
        return client_address(request, self.trusted, self._proxy_header)

    def take_share(self, partner_id: int) -> None:
        """Count one request of a partner. Raises ApiError when it has had its share."""
        retry_after_s = self.shares.take(partner_id)
        if retry_after_s > 0:
            raise ApiError(Problem.TOO_MANY_REQUESTS, headers=retry_after(retry_after_s))

    def _correlator(self, given: bytes | None) -> bytes:
        """The request's own, if it is well formed: it is echoed and logged."""
        if given is not None and _CORRELATOR.fullmatch(given):
            return given
        return self._new_correlator().encode("ascii")

    async def _authenticate(self, request: Request) -> flow.Partner:
        given = request.header(b"authorization")
        if given is None:
            partner = await self._by_certificate(request)
            if partner is not None:
                return partner
            raise ApiError(
                Problem.UNAUTHENTICATED, headers=[(b"WWW-Authenticate", b'Bearer realm="ppcd"')]
            )
        key = _BEARER.fullmatch(given)
        partner = None
        if key is not None:
            partner = await self._requests.authenticate(
                key[1].decode("ascii"), address=self.address_of(request)
            )
        if partner is None or not await self.certified(request, partner.partner_id):
            challenge = b'Bearer realm="ppcd", error="invalid_token"'
            raise ApiError(Problem.UNAUTHENTICATED, headers=[(b"WWW-Authenticate", challenge)])
        return partner

    async def certified(self, request: Request, partner_id: int) -> bool:
        """Whether the connection has the certificate that is asked for beside a partner's key."""
        if self._certificates != "beside_key":
            return True
        shown = await self._shown(request)
        if shown is not None and shown.partner_id == partner_id:
            return True
        _log.warn("a key was used without a certificate of its partner")
        return False

    async def _by_certificate(self, request: Request) -> flow.Partner | None:
        return await self._shown(request) if self._certificates == "instead_of_key" else None

    async def _shown(self, request: Request) -> flow.Partner | None:
        if request.certificate is None:
            return None
        shown = Shown(request.certificate.fingerprint, request.certificate.subject)
        return await self._requests.certified(shown, address=self.address_of(request))


def _closed(answer: Response, correlator: bytes, notes: Mapping[str, str]) -> Response:
    headers = [*answer.headers, (b"x-correlator", correlator), _NO_STORE]
    return Response(answer.status, headers, answer.body, notes)
