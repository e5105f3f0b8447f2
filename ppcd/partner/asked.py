"""What a request asks for, checked: its body, the payment it is about, how long it would wait."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ppcd.http.messages import Request
from ppcd.partner import json_text
from ppcd.partner.errors import ApiError, Problem

_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_ID_MAX: Final = 2**63 - 1
_WAIT: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


def body_of(request: Request) -> dict[str, Any]:
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


def charge_id_of(request: Request) -> int:
    """The payment's; as `id_of`."""
    return id_of(request, "paymentId")


def id_of(request: Request, name: str) -> int:
    """Raises ApiError for what is no id of ours, in the words for an unknown one."""
    text = request.params[name]
    if _ID.fullmatch(text) is None or int(text) > _ID_MAX:
        raise ApiError(Problem.NOT_FOUND)
    return int(text)


def wait_of(request: Request) -> float:
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
