"""Lists on the wire: what a query asks for, and the page that answers it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Final

from ppcd.charge.rules import State
from ppcd.flow.listing import LOOKED_AT_MAX, Criteria, Page, Standing
from ppcd.http.messages import JSON_TYPE, Request, Response
from ppcd.partner.errors import ApiError, Problem
from ppcd.partner.payments import payment_body, status_of
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.wire import rfc3339_time

PER_PAGE_MAX: Final = 100
_PER_PAGE: Final = 10
_TEXT_LENGTH_MAX: Final = 2000
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
#: CAMARA's, of which we use some.
_STATUSES: Final = frozenset(
    {"processing", "pending_validation", "denied", "reserved", "succeeded", "cancelled"}
)


@dataclass(frozen=True, slots=True)
class ListWanted:
    """What a list's query asks for."""

    criteria: Criteria
    page: int
    per_page: int
    newest_first: bool

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.per_page


def list_wanted(request: Request) -> ListWanted:
    """The query of retrievePayments, checked. Raises ApiError."""
    try:
        given = request.query()
    except ValueError:
        raise ApiError(Problem.INVALID_ARGUMENT, "the query can't be read") from None
    statuses = [value for name, value in given if name == "paymentStatus"]
    once = _once(given)
    page = _integer(once, "page", 1)
    per_page = _integer(once, "perPage", _PER_PAGE)
    if not (1 <= per_page <= PER_PAGE_MAX and 1 <= page <= LOOKED_AT_MAX // per_page + 1):
        raise ApiError(Problem.OUT_OF_RANGE)
    order = once.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(Problem.INVALID_ARGUMENT, "order must be asc or desc")
    since = _time(once, "paymentCreationDate.gte")
    until = _time(once, "paymentCreationDate.lte")
    if since is not None and until is not None and since > until:
        raise ApiError(Problem.INVALID_DATE_RANGE)
    merchant = once.get("merchantIdentifier")
    if merchant is not None and ("\x00" in merchant or len(merchant) > _TEXT_LENGTH_MAX):
        raise ApiError(Problem.INVALID_ARGUMENT, "merchantIdentifier is too long, or has a NUL")
    criteria = Criteria(
        since=since, until=until, standings=_standings(statuses), merchant_identifier=merchant
    )
    return ListWanted(criteria, page, per_page, order == "desc")


def list_answer(page: Page, wanted: ListWanted, settings: PartnerApiSettings) -> Response:
    """CAMARA's PaymentArray, with how many there are and the index of the last one shown."""
    last = wanted.offset + len(page.charges) if page.charges else 0
    headers = [
        JSON_TYPE,
        (b"X-Total-Count", b"%d" % page.total),
        (b"Content-Last-Key", b"%d" % last),
    ]
    body = b",".join(payment_body(charge, settings) for charge in page.charges)
    return Response(200, headers, b"[" + body + b"]")


def _once(given: list[tuple[str, str]]) -> Mapping[str, str]:
    """All but the status, which may come often."""
    names = [name for name, _ in given if name in _NAMES]
    for name in names:
        if names.count(name) > 1:
            raise ApiError(Problem.INVALID_ARGUMENT, f"{name} must be given once")
    return dict(given)


_NAMES: Final = frozenset(
    {
        "page",
        "perPage",
        "order",
        "paymentCreationDate.gte",
        "paymentCreationDate.lte",
        "merchantIdentifier",
    }
)


def _integer(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not _INTEGER.fullmatch(text):
        raise ApiError(Problem.INVALID_ARGUMENT, f"{name} must be an integer")
    return int(text)


def _time(given: Mapping[str, str], name: str) -> datetime | None:
    if name not in given:
        return None
    # A plus sign that was not encoded has come as a space; no RFC 3339 offset begins with one.
    text = re.sub(r" (?=[0-9]{2}:[0-9]{2}$)", "+", given[name])
    time = rfc3339_time(text)
    if time is None:
        message = f"{name} must be a date-time of RFC 3339 with time zone"
        raise ApiError(Problem.INVALID_ARGUMENT, message)
    return time


def _standings(statuses: list[str]) -> tuple[Standing, ...] | None:
    if not statuses:
        return None
    if not _STATUSES.issuperset(statuses):
        message = f"paymentStatus must be one of {', '.join(sorted(_STATUSES))}"
        raise ApiError(Problem.INVALID_ARGUMENT, message)
    return tuple(
        Standing(state.value, was_reserved, by_pin)
        for state, was_reserved, by_pin in product(State, (False, True), (False, True))
        if status_of(state, was_reserved=was_reserved, by_pin=by_pin)[0] in statuses
    )
