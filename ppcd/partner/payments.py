"""Charges as CAMARA's payments: from a request to an order, from a charge to an answer."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ppcd.charge.debit import DenialReason
from ppcd.charge.money import AmountError, Money, UnknownCurrency, from_decimal
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import State
from ppcd.flow.document import Document, document_text
from ppcd.flow.request import Order
from ppcd.flow.view import ChargeView
from ppcd.partner import json_text
from ppcd.partner.errors import ApiError, Problem
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.wire import (
    ChargingInformation,
    CreatePayment,
    host_of,
    read_credential,
    read_sink,
)

#: paymentStatus and contextCode of every state. Ends other than success are `denied`; their
#: contextCode is made of the reason. `status_of` says more of payments in two steps.
STATUS: Final[Mapping[State, tuple[str, str | None]]] = {
    State.AWAITING: ("processing", "PPCD.AWAITING_REPLY"),
    State.CONFIRMED: ("processing", "PPCD.DEBITING"),
    State.DEBITING: ("processing", "PPCD.DEBITING"),
    State.RESERVING: ("processing", "PPCD.DEBITING"),
    State.RESERVED: ("reserved", None),
    State.CAPTURING: ("reserved", "PPCD.DEBITING"),
    State.RELEASING: ("reserved", "PPCD.OUTCOME_PENDING"),
    State.IN_DOUBT: ("processing", "PPCD.OUTCOME_PENDING"),
    State.REVIEW: ("processing", "PPCD.OUTCOME_PENDING"),
    State.SUCCEEDED: ("succeeded", None),
    State.DENIED: ("denied", None),
    State.DECLINED: ("denied", None),
    State.EXPIRED: ("denied", None),
    State.CANCELLED: ("denied", None),
    State.UNDELIVERABLE: ("denied", None),
}

_REASONS: Final[Mapping[State, DenialReason]] = {
    State.DECLINED: DenialReason.USER_DECLINED,
    State.EXPIRED: DenialReason.CONFIRMATION_TIMEOUT,
    State.CANCELLED: DenialReason.CANCELLED_BY_MERCHANT,
    State.UNDELIVERABLE: DenialReason.PROMPT_UNDELIVERABLE,
}


#: The same of what was reserved: CAMARA knows no way from `reserved` back to `processing`.
RESERVED_STATUS: Final[Mapping[State, tuple[str, str | None]]] = {
    State.IN_DOUBT: ("reserved", "PPCD.OUTCOME_PENDING"),
    State.REVIEW: ("reserved", "PPCD.OUTCOME_PENDING"),
    State.CANCELLED: ("cancelled", None),
}


def status_of(state: State, *, was_reserved: bool, by_pin: bool) -> tuple[str, str | None]:
    """paymentStatus and contextCode. `by_pin`: consent is by a code on the partner's site."""
    if by_pin and state is State.AWAITING:
        return "pending_validation", None
    if was_reserved and state in RESERVED_STATUS:
        return RESERVED_STATUS[state]
    return STATUS[state]


def denial_reason(
    state: State, reason: DenialReason | None, *, was_reserved: bool = False
) -> DenialReason | None:
    """Why no money moved; None unless the charge ended denied."""
    if status_of(state, was_reserved=was_reserved, by_pin=False)[0] != "denied":
        return None
    return reason or _REASONS.get(state, DenialReason.BILLING_REJECTED)


def rfc3339(time: datetime) -> str:
    """UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def order_of(
    request: CreatePayment, document: dict[str, Any], *, language: str | None,
    settings: PartnerApiSettings, two_step: bool = False,
) -> Order:  # fmt: skip
    """What the partner asks for. `document` is the body as read; its digits are kept.

    Raises ApiError.
    """
    transaction = request.amount_transaction
    sink, token, expires_at = told_where(request.sink, request.sink_credential, settings)
    money = _money(request)
    if transaction.phone_number is None:
        raise ApiError(Problem.MISSING_IDENTIFIER)
    meta = transaction.payment_amount.charging_meta_data
    return Order(
        msisdn=Msisdn.from_e164(transaction.phone_number),
        money=money,
        description=transaction.payment_amount.charging_information.description,
        reference=transaction.reference_code,
        correlator=transaction.client_correlator,
        merchant=(meta.merchant_name or None) if meta else None,
        language=language,
        product_id=(meta.product_id or None) if meta else None,
        sink=sink,
        sink_token=token,
        sink_token_expires_at=expires_at,
        document=document["amountTransaction"],
        fingerprint=fingerprint(document, two_step=two_step),
        two_step=two_step,
    )


def told_where(
    sink: str | None, credential: dict[str, Any] | None, settings: PartnerApiSettings
) -> tuple[str | None, str | None, datetime | None]:
    """Where events go, the token to show there, and until when. Raises ApiError."""
    if sink is not None:
        sink = read_sink(sink, http_hosts=frozenset(settings.http_sink_hosts))
    token, expires_at = (None, None) if credential is None else read_credential(credential)
    return sink, token, expires_at


def sink_problem(
    sink: str | None, settings: PartnerApiSettings, *, own_url: str | None
) -> ApiError | None:
    """Why events may not go to the host of this sink; `own_url` is where the partner is told."""
    registered = {*settings.sink_hosts, *settings.http_sink_hosts, host_of(own_url)}
    if sink is None or settings.any_sink_host or host_of(sink) in registered:
        return None
    return ApiError(Problem.INVALID_SINK, "sink not valid: its host is not registered for you")


def _money(request: CreatePayment) -> Money:
    information = request.amount_transaction.payment_amount.charging_information
    return money_of(information, at="amountTransaction.paymentAmount.chargingInformation")


def money_of(information: ChargingInformation, *, at: str) -> Money:
    """The money that is named at that place. Raises ApiError."""
    try:
        return from_decimal(information.amount, information.currency)
    except UnknownCurrency:
        raise ApiError(Problem.CURRENCY) from None
    except AmountError as exc:
        raise ApiError(Problem.INVALID_ARGUMENT, f"{at}.amount: {exc}") from None


def fingerprint(document: dict[str, Any], *, two_step: bool = False) -> bytes:
    """The same for requests that ask for the same; credentials are renewed and don't count."""
    content = {name: value for name, value in document.items() if name != "sinkCredential"}
    if two_step:
        content["prepare"] = True
    return hashlib.sha256(json_text.canonical(content).encode()).digest()


def resource_url(charge_id: int, settings: PartnerApiSettings) -> str:
    """Where the payment is found again."""
    return f"{settings.public_url}{settings.base_path}/payments/{charge_id}"


def payment_body(view: ChargeView, settings: PartnerApiSettings, *, created: bool = False) -> bytes:
    """CAMARA's Payment, with our extensions; `created`: as the request for it is answered."""
    by_pin = view.authorization_id is not None
    status, context = status_of(view.state, was_reserved=view.was_reserved, by_pin=by_pin)
    reason = denial_reason(view.state, view.reason, was_reserved=view.was_reserved)
    if reason is not None:
        context = f"PPCD.{reason.value}"
    elif status == "cancelled" and view.reason is not None:
        context = f"PPCD.{view.reason.value}"
    more = {"resourceURL": resource_url(view.charge_id, settings)}
    if view.billing_reference is not None:
        more["serverReferenceCode"] = view.billing_reference
    payment: dict[str, Any] = {
        "paymentId": str(view.charge_id),
        "amountTransaction": Document(document_text(view.document)).with_more(more),
        "paymentStatus": status,
    }
    if created and by_pin:
        payment["validationInfo"] = {
            "action": "validate",
            "authorizationId": view.authorization_id,
        }
    if context is not None:
        payment["contextCode"] = context
    if reason is not None:
        payment["denialReason"] = reason.value
    payment["paymentCreationDate"] = rfc3339(view.created_at)
    if status == "succeeded" and view.paid_at is not None:
        payment["paymentDate"] = rfc3339(view.paid_at)
    if view.sink is not None:
        payment["sink"] = view.sink
    return document_text(payment).encode()
