"""Refunds on the wire: from a request to what is wanted, from a refund to an answer."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ppcd.charge.money import Money, exponent
from ppcd.charge.refund import RefundState
from ppcd.flow.document import document_of, document_text
from ppcd.flow.refund_requests import (
    Left,
    Payment,
    RefundCriteria,
    RefundView,
    RefundWanted,
)
from ppcd.partner.errors import ApiError, Problem, RefundProblem
from ppcd.partner.listing import Asked, ListNames
from ppcd.partner.payments import fingerprint, money_of, rfc3339, told_where
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.wire import (
    CreatePartialRefund,
    CreateTotalRefund,
    PartialRefundAmount,
    RefundItem,
    read,
)

#: refundStatus and contextCode of every state.
REFUND_STATUS: Final[Mapping[RefundState, tuple[str, str | None]]] = {
    RefundState.ACCEPTED: ("processing", None),
    RefundState.REFUNDING: ("processing", None),
    RefundState.IN_DOUBT: ("processing", "PPCD.OUTCOME_PENDING"),
    RefundState.REVIEW: ("processing", "PPCD.OUTCOME_PENDING"),
    RefundState.SUCCEEDED: ("succeeded", None),
    RefundState.DENIED: ("denied", None),
}

REFUNDS: Final = ListNames(
    "refundCreationDate",
    "refundStatus",
    frozenset(status for status, _ in REFUND_STATUS.values()),
    RefundProblem.INVALID_DATE_RANGE,
)

_AT: Final = "amountTransaction.refundAmount.chargingInformation"


def read_refund(document: dict[str, Any]) -> CreateTotalRefund | CreatePartialRefund:
    """The body of createRefund, checked for its own sake. Raises ApiError."""
    match document.get("type"):
        case "total":
            return read(CreateTotalRefund, document)
        case "partial":
            return read(CreatePartialRefund, document)
    raise ApiError(Problem.INVALID_ARGUMENT, "type must be total or partial")


def refund_wanted(
    request: CreateTotalRefund | CreatePartialRefund,
    document: dict[str, Any],
    payment: Payment,
    *,
    settings: PartnerApiSettings,
) -> RefundWanted:
    """What is to be given back, checked against the payment. Raises ApiError."""
    sink, token, expires_at = told_where(request.sink, request.sink_credential, settings)
    transaction = request.amount_transaction
    money = None
    if isinstance(transaction.refund_amount, PartialRefundAmount):
        money = _part(transaction.refund_amount, document_of(payment.document))
    return RefundWanted(
        money=money,
        reference=transaction.reference_code,
        correlator=transaction.client_correlator,
        reason=request.reason,
        sink=sink,
        sink_token=token,
        sink_token_expires_at=expires_at,
        document=document["amountTransaction"],
        # The same words about another payment are another request.
        fingerprint=fingerprint({**document, "paymentId": str(payment.charge_id)}),
    )


def _part(wanted: PartialRefundAmount, payment: Mapping[str, Any]) -> Money:
    money = money_of(wanted.charging_information, at=_AT)
    paid = payment.get("paymentAmount", {})
    if wanted.charging_information.is_tax_included != _is_tax_included(payment):
        raise ApiError(RefundProblem.TAXES_MANAGEMENT_MISMATCH)
    if wanted.refund_details is not None:
        _check_details(wanted.refund_details, paid.get("paymentDetails") or ())
    return money


def _is_tax_included(payment: Mapping[str, Any]) -> bool:
    information = payment.get("paymentAmount", {}).get("chargingInformation", {})
    return bool(information.get("isTaxIncluded", False))


def _check_details(wanted: Sequence[RefundItem], paid: Sequence[Mapping[str, Any]]) -> None:
    """Each item is one that was paid for, at no more than its price. Raises ApiError."""
    items = {item["id"]: item for item in paid}
    for item in wanted:
        sold = items.get(item.payment_item_id)
        if (
            sold is None
            or item.currency != sold["currency"]
            or item.amount > Decimal(sold["amount"])
            or item.is_tax_included != sold.get("isTaxIncluded", False)
        ):
            raise ApiError(RefundProblem.REFUND_DETAILS_MISMATCH)


def criteria_of_refunds(asked: Asked) -> RefundCriteria:
    """Which refunds are asked for."""
    states = None
    if asked.statuses is not None:
        states = tuple(
            state.value for state, (said, _) in REFUND_STATUS.items() if said in asked.statuses
        )
    return RefundCriteria(
        since=asked.since,
        until=asked.until,
        states=states,
        merchant_identifier=asked.merchant_identifier,
    )


def refund_url(view: RefundView, settings: PartnerApiSettings) -> str:
    """Where the refund is found again."""
    base = f"{settings.public_url}{settings.refund_base_path}"
    return f"{base}/payments/{view.charge_id}/refunds/{view.refund_id}"


def refund_body(view: RefundView) -> bytes:
    """CAMARA's Refund, with our extensions."""
    status, context = REFUND_STATUS[view.state]
    refund: dict[str, Any] = {
        "refundId": str(view.refund_id),
        "type": "total" if view.whole else "partial",
        "amountTransaction": dict(view.document),
        "refundStatus": status,
    }
    if view.denial is not None:
        refund |= {"contextCode": f"PPCD.{view.denial.value}", "denialReason": view.denial.value}
    elif context is not None:
        refund["contextCode"] = context
    refund["refundCreationDate"] = rfc3339(view.created_at)
    if view.refunded_at is not None:
        refund["refundDate"] = rfc3339(view.refunded_at)
    if view.reason is not None:
        refund["reason"] = view.reason
    if view.sink is not None:
        refund["sink"] = view.sink
    return document_text(refund).encode()


def remaining_body(left: Left) -> bytes:
    """CAMARA's PaymentRemainingAmount."""
    return document_text(
        {
            "amount": Decimal(left.money_minor).scaleb(-exponent(left.currency)),
            "currency": left.currency,
            "isTaxIncluded": _is_tax_included(left.document),
        }
    ).encode()
