"""Lists on the wire: what a query asks for, and the page that answers it."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Final

from ppcd.charge.rules import State
from ppcd.flow.listing import LOOKED_AT_MAX, Criteria, Page, Standing
from ppcd.http.messages import JSON_TYPE, Request, Response
from ppcd.partner.errors import ApiError, Problem, RefundProblem
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
class Asked:
    """What the query of any list asks for."""

    since: datetime | None
    until: datetime | None
    #: None: whatever the status.
    statuses: tuple[str, ...] | None
    merchant_identifier: str | None
    page: int
    per_page: int
    newest_first: bool

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.per_page


@dataclass(frozen=True, slots=True)
class ListNames:
    """How a list's query calls what all lists have."""

    date: str
    status: str
    statuses: frozenset[str]
    invalid_date_range: Problem | RefundProblem


PAYMENTS: Final = ListNames(
    "paymentCreationDate", "paymentStatus", _STATUSES, Problem.INVALID_DATE_RANGE
)


def list_asked(request: Request, names: ListNames = PAYMENTS) -> Asked:
    """The query of a list, checked. Raises ApiError."""
    try:
        given = request.query()
    except ValueError:
        raise ApiError(Problem.INVALID_ARGUMENT, "the query can't be read") from None
    statuses = [value for name, value in given if name == names.status]
    if not names.statuses.issuperset(statuses):
        message = f"{names.status} must be one of {', '.join(sorted(names.statuses))}"
        raise ApiError(Problem.INVALID_ARGUMENT, message)
    first, last = f"{names.date}.gte", f"{names.date}.lte"
    once = _once(given, {"page", "perPage", "order", "merchantIdentifier", first, last})
    page = _integer(once, "page", 1)
    per_page = _integer(once, "perPage", _PER_PAGE)
    if not (1 <= per_page <= PER_PAGE_MAX and 1 <= page <= LOOKED_AT_MAX // per_page + 1):
        raise ApiError(Problem.OUT_OF_RANGE)
    order = once.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(Problem.INVALID_ARGUMENT, "order must be asc or desc")
    since, until = _time(once, first), _time(once, last)
    if since is not None and until is not None and since > until:
        raise ApiError(names.invalid_date_range)
    merchant = once.get("merchantIdentifier")
    if merchant is not None and ("\x00" in merchant or len(merchant) > _TEXT_LENGTH_MAX):
        raise ApiError(Problem.INVALID_ARGUMENT, "merchantIdentifier is too long, or has a NUL")
    found = tuple(statuses) or None
    return Asked(since, until, found, merchant, page, per_page, order == "desc")


def criteria_of(asked: Asked) -> Criteria:
    """Which payments are asked for."""
    return Criteria(
        since=asked.since,
        until=asked.until,
        standings=_standings(asked.statuses),
        merchant_identifier=asked.merchant_identifier,
    )


def page_answer(asked: Asked, bodies: Sequence[bytes], total: int) -> Response:
    """An array, with how many there are and the index of the last one shown."""
    last = asked.offset + len(bodies) if bodies else 0
    headers = [JSON_TYPE, (b"X-Total-Count", b"%d" % total), (b"Content-Last-Key", b"%d" % last)]
    return Response(200, headers, b"[" + b",".join(bodies) + b"]")


def list_answer(page: Page, asked: Asked, settings: PartnerApiSettings) -> Response:
    """CAMARA's PaymentArray."""
    bodies = [payment_body(charge, settings) for charge in page.charges]
    return page_answer(asked, bodies, page.total)


def _once(given: list[tuple[str, str]], names: Collection[str]) -> Mapping[str, str]:
    """Those of these names; none may come twice."""
    found = [name for name, _ in given]
    for name in names:
        if found.count(name) > 1:
            raise ApiError(Problem.INVALID_ARGUMENT, f"{name} must be given once")
    return dict(given)


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


def _standings(statuses: tuple[str, ...] | None) -> tuple[Standing, ...] | None:
    if statuses is None:
        return None
    return tuple(
        Standing(state.value, was_reserved, by_pin)
        for state, was_reserved, by_pin in product(State, (False, True), (False, True))
        if status_of(state, was_reserved=was_reserved, by_pin=by_pin)[0] in statuses
    )
