"""Sessions over the partners' API: opening one, and asking what became of it.

Owns what a session may ask for. Refuses to know keys and envelopes: `service` lends the partners'.
"""

import re
from typing import Any, Final

from ppcd.charge.money import AmountError, Money, UnknownCurrency, from_decimal
from ppcd.charge.msisdn import InvalidMsisdn, Msisdn
from ppcd.charge.texts import one_line
from ppcd.checkout import wire
from ppcd.checkout.offers import Offer, write_offers
from ppcd.checkout.result import status_of
from ppcd.checkout.sessions import Session, Sessions
from ppcd.flow import request as flow
from ppcd.http.messages import Request, Response, json_response
from ppcd.store import checkout as store

#: How long a session can be paid.
LIFETIME_S: Final = 1800.0
_DESCRIPTION_UNITS_MAX: Final = 120
_HOST: Final = re.compile(
    r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?"
)


class _Refused(Exception):
    """The request can't be done as it is."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = json_response(*wire.problem(status, code, message))


class SessionApi:
    """`/checkout/v1/sessions`, for partners whose key was checked."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        requests: flow.Requests,
        public_url: str,
        scheme: str,
        http_hosts: frozenset[str],
    ) -> None:
        """`http_hosts`: those to which browsers may be sent without TLS, loopback apart.

        Without a `public_url`, pages are where the partner found this API, by `scheme`.
        """
        self._sessions = sessions
        self._requests = requests
        self._public_url = public_url
        self._scheme = scheme
        self._http_hosts = http_hosts

    async def open(
        self, partner: flow.Partner, request: Request, wanted: wire.NewSession
    ) -> Response:
        """POST: a new session."""
        try:
            new = await self._new(partner, wanted)
        except _Refused as refused:
            return refused.answer
        name = self._sessions.new_id()
        hashed = store.id_hash(name)
        reference = wanted.reference_code or f"checkout-{hashed.hex()[:20]}"
        row = store.NewSession(id_hash=hashed, reference=reference, **new)
        expires_at = await self._sessions.open(row)
        body = {
            "id": name,
            "url": self._url(name, request),
            "expiresAt": wire.rfc3339(expires_at),
            "referenceCode": reference,
        }
        location = (b"Location", f"/checkout/v1/sessions/{name}".encode("ascii"))
        return json_response(201, body, [location])

    async def show(self, partner: flow.Partner, request: Request) -> Response:
        """GET: what became of a session of this partner's."""
        session = await self._sessions.find(request.params["session"])
        if session is None or session.row.partner_id != partner.partner_id:
            message = "The specified resource is not found."
            return json_response(*wire.problem(404, "NOT_FOUND", message))
        return json_response(200, self._body(session, request))

    def _body(self, session: Session, request: Request) -> dict[str, Any]:
        row, charge = session.row, session.charge
        status = status_of(session)
        if row.expired and status == "open":
            status = "expired"
        body: dict[str, Any] = {
            "id": session.id,
            "url": self._url(session.id, request),
            "expiresAt": wire.rfc3339(row.expires_at),
            "status": status,
            "tries": row.tries,
            "referenceCode": session.reference,
        }
        if charge is not None:
            body["paymentId"] = str(charge.charge_id)
            if charge.reason is not None:
                body["denialReason"] = charge.reason.value
        return body

    def _url(self, name: str, request: Request) -> str:
        base = self._public_url
        if not base:
            host = (request.header(b"host") or b"").decode("latin-1")
            base = f"{self._scheme}://{host}" if _HOST.fullmatch(host) else ""
        return f"{base}/pay/{name}"

    async def _new(self, partner: flow.Partner, wanted: wire.NewSession) -> dict[str, Any]:
        """The session's fields. Raises _Refused."""
        branding = wanted.branding or wire.Branding()
        for field, url in (("successUrl", wanted.success_url), ("cancelUrl", wanted.cancel_url)):
            if url is not None and not wire.is_safe(url, http_hosts=self._http_hosts):
                raise _Refused(400, "INVALID_ARGUMENT", f"{field} must be https")
        return {
            "partner_id": partner.partner_id,
            "variant": wanted.variant,
            "offers": write_offers(await self._offers(partner, wanted)),
            "msisdn": self._number(wanted.phone_number),
            "language": wanted.language,
            "success_url": wanted.success_url,
            "cancel_url": wanted.cancel_url,
            "brand_name": branding.name,
            "brand_logo_url": branding.logo_url,
            "brand_color": branding.color.lower() if branding.color else None,
            "lifetime_s": LIFETIME_S,
        }

    def _number(self, given: str | None) -> int | None:
        if given is None:
            return None
        try:
            msisdn = Msisdn.from_e164(given)
        except InvalidMsisdn:
            raise _Refused(400, "INVALID_ARGUMENT", "phoneNumber is no E.164 number") from None
        if not self._requests.serves(msisdn):
            raise _Refused(404, "IDENTIFIER_NOT_FOUND", "phoneNumber not found.")
        return msisdn.as_int

    async def _offers(self, partner: flow.Partner, wanted: wire.NewSession) -> list[Offer]:
        if wanted.tariffs is None:
            return [_free(wanted)]
        offers = []
        for name in wanted.tariffs:
            tariff = await self._requests.tariff(partner, name)
            if tariff is None:
                raise _Refused(422, "UNPROCESSABLE_ENTITY", f"there is no tariff {name!a}")
            money = Money(tariff.amount_minor, tariff.currency)
            offers.append(Offer(tariff.name, money, tariff.description))
        return offers


def _free(wanted: wire.NewSession) -> Offer:
    """An amount of the partner's own."""
    assert wanted.amount is not None
    assert wanted.currency is not None
    assert wanted.description is not None
    try:
        money = from_decimal(wanted.amount, wanted.currency)
    except UnknownCurrency:
        message = "Currency is unknown or not authorized."
        raise _Refused(400, "INVALID_ARGUMENT", message) from None
    except AmountError as exc:
        raise _Refused(400, "INVALID_ARGUMENT", f"amount: {exc}") from None
    return Offer(None, money, one_line(wanted.description, _DESCRIPTION_UNITS_MAX))
