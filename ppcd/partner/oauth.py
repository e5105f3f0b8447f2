"""OAuth 2 for clients that expect it: client credentials (RFC 6749 4.4) and revocation (RFC 7009).

Owns their wire format and error bodies, and how often an address may be wrong. A partner's name is
the client_id, any of its keys the client_secret.
"""

import re
from base64 import b64decode
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from twisted.internet.interfaces import IReactorTime

from ppcd.flow.tokens import NotAllowed, Tokens
from ppcd.http.messages import Headers, Request, Response, json_response
from ppcd.http.router import Router
from ppcd.http.server import network_of
from ppcd.partner.contracts import served
from ppcd.partner.envelope import Envelope
from ppcd.partner.errors import retry_after
from ppcd.partner.scopes import Scope
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.shares import Buckets
from ppcd.store.failures import StoreError
from ppcd.store.keys import Holder

_FORM: Final = b"application/x-www-form-urlencoded"
_BASIC: Final = re.compile(rb"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]{1,2048}={0,2})")
#: A confused client may be wrong so often at once.
_WRONG_AT_ONCE: Final = 20
#: RFC 6749 5.1 asks for it beside Cache-Control, which the envelope adds.
_PRAGMA: Final = (b"Pragma", b"no-cache")


class _Refused(Exception):
    """Ends a request with an error of RFC 6749 5.2."""

    def __init__(
        self, error: str, description: str, *, status: int = 400, headers: Headers = ()
    ) -> None:
        super().__init__(error)
        body = {"error": error, "error_description": description}
        self.answer = json_response(status, body, [*headers, _PRAGMA])


class OAuth:
    """The two endpoints."""

    def __init__(
        self,
        tokens: Tokens,
        envelope: Envelope,
        settings: PartnerApiSettings,
        *,
        clock: IReactorTime,
    ) -> None:
        self._tokens = tokens
        self._envelope = envelope
        self._deadline_s = settings.request_timeout_s
        self._wrong: Buckets[str] = Buckets(
            clock, per_s=settings.wrong_secrets_per_min_max / 60, full=_WRONG_AT_ONCE
        )

    def add_routes(self, router: Router) -> None:
        for path, operation in (("/oauth2/token", self._token), ("/oauth2/revoke", self._revoke)):
            handler = self._envelope.unkeyed(operation)
            router.add("POST", path, handler, deadline_s=self._deadline_s)
        router.add("GET", "/openapi/oauth.yaml", served("oauth.yaml"))

    async def _token(self, request: Request, notes: dict[str, str]) -> Response:
        try:
            form = _form(request)
            client = await self._client(request, form, notes)
            if "grant_type" not in form:
                raise _Refused("invalid_request", "grant_type is missing")
            if form["grant_type"] != "client_credentials":
                raise _Refused("unsupported_grant_type", "grant_type must be client_credentials")
            issued = await self._tokens.issue(client, _scopes(form.get("scope")))
            if isinstance(issued, NotAllowed):
                raise _Refused("invalid_scope", "this key has not all of these scopes")
        except _Refused as refused:
            return refused.answer
        except StoreError:
            return _unavailable()
        granted = Scope if issued.scopes is None else issued.scopes
        body = {
            "access_token": issued.token,
            "token_type": "Bearer",
            "expires_in": issued.lifetime_s,
            "scope": " ".join(sorted(granted)),
        }
        return json_response(200, body, [_PRAGMA])

    async def _revoke(self, request: Request, notes: dict[str, str]) -> Response:
        """RFC 7009 2.2: what is no token of the client's is as good as revoked."""
        try:
            form = _form(request)
            client = await self._client(request, form, notes)
            if "token" not in form:
                raise _Refused("invalid_request", "token is missing")
            await self._tokens.revoke(client, form["token"])
        except _Refused as refused:
            return refused.answer
        except StoreError:
            return _unavailable()
        return Response(200)

    async def _client(
        self, request: Request, form: dict[str, str], notes: dict[str, str]
    ) -> Holder:
        """The key that the client has shown. Raises _Refused."""
        address = self._envelope.address_of(request)
        wait_s = self._wrong.wait_s(network_of(address))
        if wait_s > 0:
            raise _too_often("wrong secrets came from this address of late", wait_s)
        name, secret = _credentials(request, form)
        client = await self._tokens.client(name, secret, address=address)
        if client is None:
            self._wrong.take(network_of(address))
            raise _invalid_client("client_id and client_secret are not those of a client")
        if not await self._envelope.certified(request, client.partner_id):
            raise _invalid_client("the connection has no certificate of this client")
        notes["partner"] = client.name
        wait_s = self._envelope.shares.take(client.partner_id)
        if wait_s > 0:
            raise _too_often("rate limit reached", wait_s)
        return client


def _form(request: Request) -> dict[str, str]:
    media_type = (request.header(b"content-type") or b"").split(b";")[0].strip().lower()
    if media_type != _FORM:
        raise _Refused("invalid_request", f"the body must be {_FORM.decode()}")
    try:
        fields = parse_qsl(
            request.body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(request.body),
            errors="strict",
            max_num_fields=20,
        )
    except ValueError:
        raise _Refused("invalid_request", "the body is no form") from None
    form = {name: value for name, value in fields if value}  # RFC 6749 3.2: empty is left out
    if len({name for name, _ in fields}) < len(fields):
        raise _Refused("invalid_request", "a parameter is given twice")
    return form


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """client_id and client_secret, by the one way or the other."""
    given = request.header_values(b"authorization")
    if given and "client_secret" in form:
        raise _Refused("invalid_request", "the client shows its secret in two ways")
    if not given:
        if not {"client_id", "client_secret"} <= form.keys():
            raise _invalid_client("client_id or client_secret is missing")
        return form["client_id"], form["client_secret"]
    found = _BASIC.fullmatch(given[0]) if len(given) == 1 else None
    try:
        # RFC 6749 2.3.1: both are form-encoded before they are joined.
        name, colon, secret = b64decode(found[1] if found else b"").decode("ascii").partition(":")
        name, secret = unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        name = colon = secret = ""
    if not colon or form.get("client_id", name) != name:
        raise _invalid_client("the Authorization header is not that of a client")
    return name, secret


def _scopes(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    wanted = frozenset(text.split())
    unknown = wanted - frozenset(Scope)
    if unknown or not wanted:
        raise _Refused("invalid_scope", f"the scopes are: {' '.join(Scope)}")
    return wanted


def _invalid_client(description: str) -> _Refused:
    challenge = [(b"WWW-Authenticate", b'Basic realm="ppcd"')]
    return _Refused("invalid_client", description, status=401, headers=challenge)


def _too_often(description: str, wait_s: float) -> _Refused:
    return _Refused("temporarily_unavailable", description, status=429, headers=retry_after(wait_s))


def _unavailable() -> Response:
    refused = _Refused("temporarily_unavailable", "not now", status=503, headers=retry_after())
    return refused.answer
