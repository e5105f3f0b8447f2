"""What ppcd asks as AVPs: credit-control requests, and the peer's own CER, DWR and DPR.

Pure functions of settings and order. Session-Id and End-to-End Identifier come from the charge's
key alone: every attempt on every node has the same ones, and nothing has to be remembered for it.
"""

from __future__ import annotations

import ipaddress
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ppcd.billing.diameter.codes import (
    CREDIT_CONTROL,
    END_USER_E164,
    EVENT_REQUEST,
    INITIAL_REQUEST,
    LOGOUT,
    TERMINATION_REQUEST,
    Action,
    Cause,
    Code,
    Result,
    Step,
)
from ppcd.billing.diameter.currency import NUMERIC
from ppcd.billing.diameter.octets import Avp, avp, i32_avp, i64_avp, text_avp, u32_avp
from ppcd.billing.diameter.settings import DiameterBillingSettings
from ppcd.charge.debit import DebitOrder, Order
from ppcd.charge.money import Money, exponent
from ppcd.charge.refund import RefundOrder
from ppcd.store.ids import time_of

#: Event-Timestamp counts from here, in 32 bits that begin anew in 2036: RFC 6733, 4.3.1.
NTP_EPOCH: Final = datetime(1900, 1, 1, tzinfo=UTC)
PRODUCT_NAME: Final = "ppcd"
#: Address Family Numbers: RFC 6733, 4.3.1.
_FAMILY: Final = {4: 1, 6: 2}
_U32_MAX: Final = 0xFFFFFFFF
#: Tells a session's second request from its first.
_OTHER_REQUEST: Final = 0xAAAAAAAA


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are to every peer: DiameterIdentities."""

    host: str
    realm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is the same in every credit-control request of one billing system."""

    identity: Identity
    session_identity: str
    destination_realm: str
    destination_host: str | None
    context: str
    service_identifier: int | None
    rating_group: int | None
    use_mscc: bool


def service_of(settings: DiameterBillingSettings, identity: Identity) -> Service:
    """What the settings say is the same in every request."""
    return Service(
        identity=identity,
        session_identity=settings.session_identity,
        destination_realm=settings.destination_realm,
        destination_host=settings.destination_host,
        context=settings.service_context_id,
        service_identifier=settings.service_identifier,
        rating_group=settings.rating_group,
        use_mscc=settings.use_mscc,
    )


class CreditControl:
    """Writes credit-control requests; what never changes in them is written once."""

    def __init__(self, service: Service) -> None:
        self._session_identity = service.session_identity
        self._use_mscc = service.use_mscc
        identity = service.identity
        head = (
            text_avp(Code.ORIGIN_HOST, identity.host)
            + text_avp(Code.ORIGIN_REALM, identity.realm)
            + text_avp(Code.DESTINATION_REALM, service.destination_realm)
            + u32_avp(Code.AUTH_APPLICATION_ID, CREDIT_CONTROL)
            + text_avp(Code.SERVICE_CONTEXT_ID, service.context)
        )
        self._to_one_host = service.destination_host is not None
        if service.destination_host is not None:
            head += text_avp(Code.DESTINATION_HOST, service.destination_host)
        event = head + _kind(EVENT_REQUEST, 0)
        self._heads: dict[Action | Step, bytes] = {
            action: event + u32_avp(Code.REQUESTED_ACTION, action.value) for action in Action
        }
        end = _kind(TERMINATION_REQUEST, 1) + u32_avp(Code.TERMINATION_CAUSE, LOGOUT)
        self._heads |= {
            Step.RESERVE: head + _kind(INITIAL_REQUEST, 0),
            Step.CAPTURE: head + end,
            Step.RELEASE: head + end,
        }
        self._service = b"".join(
            u32_avp(code, number)
            for code, number in (
                (Code.SERVICE_IDENTIFIER, service.service_identifier),
                (Code.RATING_GROUP, service.rating_group),
            )
            if number is not None
        )

    def session_id(self, order: Order, action: Action | Step = Action.DIRECT_DEBITING) -> str:
        """The same for every attempt at this order, for ever; the OCS recognises repeats by it."""
        number = _number(order.key)
        own = f"key;{order.key}" if number is None else f"{number >> 32};{number & _U32_MAX}"
        # A question is another session than the debit: only one of the two may be remembered. A
        # refund has a key, and so a session, of its own; it says so for people.
        # Both steps of a payment are one session.
        name = "session" if isinstance(action, Step) else action.name.lower()
        tail = "" if action is Action.DIRECT_DEBITING else f";{name}"
        return f"{self._session_identity};{own}{tail}"

    def body(self, order: Order, action: Action | Step = Action.DIRECT_DEBITING) -> bytes:
        """The AVPs of the request for `order`."""
        used = action in (Step.CAPTURE, Step.RELEASE)
        amount_minor = 0 if action is Step.RELEASE else order.money.amount_minor
        money = _money_avp(amount_minor, order.money.currency)
        units = avp(Code.USED_SERVICE_UNIT if used else Code.REQUESTED_SERVICE_UNIT, money)
        head = self._heads[action]
        if used and not self._to_one_host and isinstance(order, DebitOrder) and order.reservation:
            # A session stays with who holds the money: RFC 6733, 8.1.
            head += text_avp(Code.DESTINATION_HOST, order.reservation)
        if self._use_mscc:
            service = avp(Code.MULTIPLE_SERVICES_CREDIT_CONTROL, units + self._service)
        else:
            service = self._service + units
        # RFC 8506, 8.1: Session-Id follows the header directly, so that relays find it.
        return b"".join(
            (
                text_avp(Code.SESSION_ID, self.session_id(order, action)),
                head,
                u32_avp(Code.EVENT_TIMESTAMP, _timestamp(order)),
                _subscription_id(order.msisdn.digits),
                service,
            )
        )


def end_to_end_id(order: Order, action: Action | Step = Action.DIRECT_DEBITING) -> int:
    """The End-to-End Identifier: the same on a repeat, another one for each charge of a long time.

    The low half of an id is nine bits of milliseconds and a counter that all nodes share;
    it comes again after eight million charges, where RFC 6733 asks for four minutes.
    """
    number = _number(order.key)
    low = zlib.crc32(order.key.encode()) if number is None else number & _U32_MAX
    if action is Action.CHECK_BALANCE:
        return low ^ _U32_MAX
    return low ^ _OTHER_REQUEST if action in (Step.CAPTURE, Step.RELEASE) else low


def money_avp(money: Money) -> bytes:
    """CC-Money: 25.00 UAH is 2500, exponent -2, currency 980."""
    return _money_avp(money.amount_minor, money.currency)


def _money_avp(amount_minor: int, currency: str) -> bytes:
    value = i64_avp(Code.VALUE_DIGITS, amount_minor)
    places = exponent(currency)
    if places:
        value += i32_avp(Code.EXPONENT, -places)
    unit = avp(Code.UNIT_VALUE, value)
    return avp(Code.CC_MONEY, unit + u32_avp(Code.CURRENCY_CODE, NUMERIC[currency]))


def _kind(request_type: int, number: int) -> bytes:
    return u32_avp(Code.CC_REQUEST_TYPE, request_type) + u32_avp(Code.CC_REQUEST_NUMBER, number)


def capabilities(identity: Identity, address: str) -> bytes:
    """The AVPs of a CER; `address` is our end of the connection."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    octets = struct.pack("!H", _FAMILY[parsed.version]) + parsed.packed
    return (
        origin(identity)
        + avp(Code.HOST_IP_ADDRESS, octets)
        + u32_avp(Code.VENDOR_ID, 0)
        + text_avp(Code.PRODUCT_NAME, PRODUCT_NAME, flags=0)
        + u32_avp(Code.AUTH_APPLICATION_ID, CREDIT_CONTROL)
    )


def origin(identity: Identity) -> bytes:
    """The AVPs that stand in each message of ours; all of those in a DWR."""
    return text_avp(Code.ORIGIN_HOST, identity.host) + text_avp(Code.ORIGIN_REALM, identity.realm)


def disconnect(identity: Identity, cause: Cause) -> bytes:
    """The AVPs of a DPR."""
    return origin(identity) + u32_avp(Code.DISCONNECT_CAUSE, cause)


def result(identity: Identity, code: Result, session_id: Avp | None = None) -> bytes:
    """The AVPs of an answer of ours to a request of the peer's."""
    session = b"" if session_id is None else avp(Code.SESSION_ID, session_id.data)
    return session + u32_avp(Code.RESULT_CODE, code) + origin(identity)


def _number(key: str) -> int | None:
    """The charge's id that the key is; None for a key of another form."""
    plain = key.isascii() and key.isdecimal() and len(key) <= 19 and key == str(int(key))
    return int(key) if plain else None


def _subscription_id(digits: str) -> bytes:
    kind = u32_avp(Code.SUBSCRIPTION_ID_TYPE, END_USER_E164)
    return avp(Code.SUBSCRIPTION_ID, kind + text_avp(Code.SUBSCRIPTION_ID_DATA, digits))


def _timestamp(order: Order) -> int:
    """When the service was asked for: the same on a repeat, as RFC 8506 wants it."""
    asked = order.refund_id if isinstance(order, RefundOrder) else order.charge_id
    return int((time_of(asked) - NTP_EPOCH).total_seconds()) & _U32_MAX
