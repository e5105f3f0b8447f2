"""retrievePayments: queries, pages, headers and errors."""

from datetime import UTC, datetime

import pytest

from ppcd.charge.rules import State
from ppcd.partner.wire import rfc3339_time
from tests.partner.world import BASE, Got, World


@pytest.fixture
def world() -> World:
    return World()


def a_list(world: World, query: str = "", **more: str) -> Got:
    return world.ask("GET", f"{BASE}/payments{query}", **more)


def created(world: World, count: int) -> list[str]:
    return [
        str(world.created(correlator=f"c-{number}", reference=f"r-{number}"))
        for number in range(count)
    ]


def test_the_newest_ten_come_first_with_the_total(world: World) -> None:
    ids = created(world, 12)
    got = a_list(world)
    assert got.status == 200
    assert [payment["paymentId"] for payment in got.json] == ids[:1:-1]
    assert got.headers["x-total-count"] == "12"
    assert got.headers["content-last-key"] == "10"
    assert got.headers["content-type"] == "application/json"


def test_pages_are_asked_for_by_number(world: World) -> None:
    ids = created(world, 12)
    got = a_list(world, "?page=2&perPage=5&order=asc")
    assert [payment["paymentId"] for payment in got.json] == ids[5:10]
    assert got.headers["content-last-key"] == "10"
    behind = a_list(world, "?page=9&perPage=5")
    assert (behind.status, behind.json) == (200, [])
    assert (behind.headers["x-total-count"], behind.headers["content-last-key"]) == ("12", "0")


def test_a_list_is_the_partners_own(world: World) -> None:
    created(world, 1)
    assert a_list(world, key="other-key").json == []
    assert a_list(world, key="wrong").code == "UNAUTHENTICATED"


def test_what_is_asked_for_reaches_the_store(world: World) -> None:
    a_list(
        world,
        "?paymentCreationDate.gte=2026-11-01T00:00:00Z"
        "&paymentCreationDate.lte=2026-11-02T02:00:00.5%2B02:00"
        "&paymentStatus=succeeded&paymentStatus=reserved&merchantIdentifier=shop%201",
    )
    [criteria] = world.listings.asked
    assert criteria.since == datetime(2026, 11, 1, tzinfo=UTC)
    assert criteria.until == datetime(2026, 11, 2, 0, 0, 0, 500_000, tzinfo=UTC)
    assert {one.state for one in criteria.standings or () if not one.was_reserved} == {
        *("succeeded", "reserved", "capturing", "releasing")
    }
    assert {one.state for one in criteria.standings or () if one.was_reserved} == {
        *("succeeded", "reserved", "capturing", "releasing", "in_doubt", "review")
    }
    assert criteria.merchant_identifier == "shop 1"


def test_every_status_stands_for_its_states(world: World) -> None:
    seen = []
    for status in ("processing", "pending_validation", "denied", "reserved", "succeeded"):
        a_list(world, f"?paymentStatus={status}")
        seen += world.listings.asked[-1].standings or ()
    a_list(world, "?paymentStatus=cancelled")
    cancelled = world.listings.asked[-1].standings or ()
    assert {(one.state, one.was_reserved) for one in cancelled} == {("cancelled", True)}
    assert len({*seen, *cancelled}) == len(seen) + len(cancelled) == 4 * len(State)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("page=0", "OUT_OF_RANGE"),
        ("page=-1", "OUT_OF_RANGE"),
        ("perPage=0", "OUT_OF_RANGE"),
        ("perPage=101", "OUT_OF_RANGE"),
        ("page=1000&perPage=1000", "OUT_OF_RANGE"),
        ("page=102&perPage=100", "OUT_OF_RANGE"),
        ("page=x", "INVALID_ARGUMENT"),
        ("page=", "INVALID_ARGUMENT"),
        ("page=1&page=2", "INVALID_ARGUMENT"),
        ("page=9999999999999999999", "INVALID_ARGUMENT"),
        ("perPage=1.5", "INVALID_ARGUMENT"),
        ("order=up", "INVALID_ARGUMENT"),
        ("paymentStatus=paid", "INVALID_ARGUMENT"),
        ("paymentStatus=", "INVALID_ARGUMENT"),
        ("paymentCreationDate.gte=2026-11-01", "INVALID_ARGUMENT"),
        ("paymentCreationDate.gte=2026-11-01T00:00:00", "INVALID_ARGUMENT"),
        ("paymentCreationDate.lte=2026-02-30T00:00:00Z", "INVALID_ARGUMENT"),
        ("merchantIdentifier=%00", "INVALID_ARGUMENT"),
        ("merchantIdentifier=" + "x" * 2001, "INVALID_ARGUMENT"),
        ("merchantIdentifier=%ff", "INVALID_ARGUMENT"),
        (
            "paymentCreationDate.gte=2026-11-02T00:00:00Z"
            "&paymentCreationDate.lte=2026-11-01T00:00:00Z",
            "CARRIER_BILLING.INVALID_DATE_RANGE",
        ),
    ],
)
def test_what_is_wrong_with_a_query_is_said(world: World, query: str, code: str) -> None:
    got = a_list(world, "?" + query)
    assert (got.status, got.code) == (400, code)
    assert world.listings.asked == []


def test_too_many_to_list_is_an_error(world: World) -> None:
    world.listings.too_many = True
    got = a_list(world)
    assert (got.status, got.code) == (400, "CARRIER_BILLING.TOO_MANY_MATCHING_RECORDS")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-23T09:00:00Z", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2026-11-23t09:00:00.1234567z", datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-23 11:00:00+02:00", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:59", None),
        ("2026-11-23T09:00:00+99:99", None),
        ("2026-11-23T24:00:00Z", None),
        ("2026-11-23T09:00:00", None),
        ("tomorrow", None),
    ],
)
def test_times_are_rfc_3339(text: str, time: datetime | None) -> None:
    assert rfc3339_time(text) == time
