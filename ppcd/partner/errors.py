"""The closed list of errors that partners see, with CAMARA's messages as they are.

Codes and messages up to 429 are those of CAMARA Carrier Billing 0.5.0 and Carrier Billing Refund
0.3.0; 405, 413, 415 and 503, which they leave open, are documented in the contracts as served.
"""

from enum import Enum
from math import ceil
from typing import Final

from ppcd.http.messages import Headers, Response, json_response


class _Problem(Enum):
    """What a partner is told when it is not what was wanted."""

    @property
    def status(self) -> int:
        status: int = self.value[0]
        return status

    def answer(self, *, message: str | None = None, headers: Headers = ()) -> Response:
        """The response; `message` instead of CAMARA's where it can say more."""
        status, code, default = self.value
        body = {"status": status, "code": code, "message": message or default}
        return json_response(status, body, headers)


class Problem(_Problem):
    """Status, code and message. Some messages are only defaults: a field's name says more."""

    INVALID_ARGUMENT = (
        400,
        "INVALID_ARGUMENT",
        "Client specified an invalid argument, request body or query param.",
    )
    CURRENCY = (400, "INVALID_ARGUMENT", "Currency is unknown or not authorized.")
    CORRELATOR_TAKEN = (400, "INVALID_ARGUMENT", "clientCorrelator already exist on server.")
    INVALID_CREDENTIAL = (400, "INVALID_CREDENTIAL", "Only Access token is supported")
    INVALID_TOKEN = (400, "INVALID_TOKEN", "Only bearer token is supported")
    INVALID_SINK = (400, "INVALID_SINK", "sink not valid for the specified protocol")
    OUT_OF_RANGE = (400, "OUT_OF_RANGE", "Client specified an invalid range.")
    INVALID_DATE_RANGE = (
        400,
        "CARRIER_BILLING.INVALID_DATE_RANGE",
        "Client specified an invalid date range.",
    )
    TOO_MANY_MATCHING_RECORDS = (
        400,
        "CARRIER_BILLING.TOO_MANY_MATCHING_RECORDS",
        "Too many matching records found. Specify additional/suitable criteria to limit the "
        "number of records.",
    )
    INVALID_AUTHORIZATION_ID = (
        400,
        "CARRIER_BILLING.INVALID_AUTHORIZATION_ID",
        "Invalid authorizationId.",
    )
    INVALID_CODE = (400, "CARRIER_BILLING.INVALID_CODE", "Invalid code.")
    VALIDATION_FAILED = (
        400,
        "CARRIER_BILLING.VALIDATION_FAILED",
        "the maximum number of attempts have been consumed for this validation.",
    )
    UNAUTHENTICATED = (
        401,
        "UNAUTHENTICATED",
        "Request not authenticated due to missing, invalid, or expired credentials. "
        "A new authentication is required.",
    )
    PERMISSION_DENIED = (
        403,
        "PERMISSION_DENIED",
        "Client does not have sufficient permissions to perform this action.",
    )
    PAYMENT_DENIED = (403, "CARRIER_BILLING.PAYMENT_DENIED", "Payment denied by business.")
    NOT_FOUND = (404, "NOT_FOUND", "The specified resource is not found.")
    IDENTIFIER_NOT_FOUND = (404, "IDENTIFIER_NOT_FOUND", "phoneNumber not found.")
    METHOD_NOT_ALLOWED = (
        405,
        "METHOD_NOT_ALLOWED",
        "The requested method is not allowed/supported on the target resource.",
    )
    REQUEST_TIMEOUT = (408, "REQUEST_TIMEOUT", "The request did not arrive in time.")
    ALREADY_EXISTS = (
        409,
        "ALREADY_EXISTS",
        "The resource that a client tried to create already exists.",
    )
    ANOTHER_SESSION = (409, "ALREADY_EXISTS", "Another session is created for the same UE")
    ALREADY_VALIDATED = (409, "ALREADY_EXISTS", "Payment already validated")
    PAYMENT_CONFIRMED = (409, "CARRIER_BILLING.PAYMENT_CONFIRMED", "Payment has been confirmed.")
    PAYMENT_CANCELLED = (409, "CARRIER_BILLING.PAYMENT_CANCELLED", "Payment has been cancelled.")
    PAYLOAD_TOO_LARGE = (413, "PAYLOAD_TOO_LARGE", "The request body is too large.")
    UNSUPPORTED_MEDIA_TYPE = (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "The server refuses to accept the request because the payload format is in an "
        "unsupported format.",
    )
    SERVICE_NOT_APPLICABLE = (
        422,
        "SERVICE_NOT_APPLICABLE",
        "The service is not available for the provided identifier.",
    )
    MISSING_IDENTIFIER = (422, "MISSING_IDENTIFIER", "The phone number cannot be identified.")
    UNAUTHORIZED_AMOUNT = (
        422,
        "CARRIER_BILLING.UNAUTHORIZED_AMOUNT",
        "Unauthorized amount requested.",
    )
    USER_AMOUNT_THRESHOLD_OVERPASSED = (
        422,
        "CARRIER_BILLING.USER_AMOUNT_THRESHOLD_OVERPASSED",
        "Unauthorized payment request. Accumulated user mobile payments overpass account amount "
        "threshold.",
    )
    TOO_MANY_REQUESTS = (429, "TOO_MANY_REQUESTS", "Rate limit reached.")
    HEADERS_TOO_LARGE = (431, "HEADERS_TOO_LARGE", "The request's headers are too large.")
    INTERNAL = (500, "INTERNAL", "Unknown server error. Typically a server bug.")
    UNAVAILABLE = (503, "UNAVAILABLE", "Service unavailable.")


class RefundProblem(_Problem):
    """What CAMARA Carrier Billing Refund 0.3.0 has beside those; its prefix is its own."""

    NOT_ELIGIBLE = (
        403,
        "CARRIER_BILLING_REFUND.PAYMENT_NOT_ELIGIBLE_FOR_REFUND",
        "Payment not eligible for refund.",
    )
    UNAUTHORIZED_AMOUNT = (
        422,
        "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT",
        "Unauthorized amount requested.",
    )
    INVALID_PAYMENT_STATUS = (
        422,
        "CARRIER_BILLING_REFUND.INVALID_PAYMENT_STATUS",
        "Payment is not yet completed.",
    )
    TAXES_MANAGEMENT_MISMATCH = (
        422,
        "CARRIER_BILLING_REFUND.TAXES_MANAGEMENT_MISMATCH",
        "Inconsistent isTaxIncluded value with regards to related payment.",
    )
    REFUND_DETAILS_MISMATCH = (
        422,
        "CARRIER_BILLING_REFUND.REFUND_DETAILS_MISMATCH",
        "Inconsistent refundDetails information with regards to related payment.",
    )
    INVALID_DATE_RANGE = (
        400,
        "CARRIER_BILLING_REFUND.INVALID_DATE_RANGE",
        "Client specified an invalid date range.",
    )
    TOO_MANY_MATCHING_RECORDS = (
        400,
        "CARRIER_BILLING_REFUND.TOO_MANY_MATCHING_RECORDS",
        "Too many matching records found. Specify additional/suitable criteria to limit the "
        "number of records.",
    )


class ApiError(Exception):
    """Ends a request with this answer."""

    def __init__(
        self, problem: _Problem, message: str | None = None, *, headers: Headers = ()
    ) -> None:
        super().__init__(problem.name)
        self.problem = problem
        self.message = message
        self.headers = headers

    def answer(self) -> Response:
        return self.problem.answer(message=self.message, headers=self.headers)


def retry_after(seconds: float = 1.0) -> Headers:
    """The header that says when to come again."""
    return [(b"Retry-After", b"%d" % max(1, ceil(seconds)))]


#: For what never reached a handler.
BY_STATUS: Final = {
    problem.status: problem
    for problem in (
        Problem.INVALID_ARGUMENT,
        Problem.NOT_FOUND,
        Problem.METHOD_NOT_ALLOWED,
        Problem.REQUEST_TIMEOUT,
        Problem.PAYLOAD_TOO_LARGE,
        Problem.HEADERS_TOO_LARGE,
        Problem.INTERNAL,
        Problem.UNAVAILABLE,
    )
}
