"""Sessions over the partners' API, their result on the return URL, and who may show the page."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ppcd.charge.msisdn import Msisdn
from ppcd.checkout.result import result_query, return_url
from ppcd.flow.request import Created, NoFreeAddress
from ppcd.store import checkout as store_of
from ppcd.store.checkout import SHARED, Try
from tests.builders import POOL, Store
from tests.checkout.world import SECRET, World
from tests.flow.world import now


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


GOOD: dict[str, Any] = {"tariffs": ["gold-250"]}
FREE: dict[str, Any] = {"amount": 10, "currency": "UAH", "description": "Coffee"}


def test_a_session_is_opened_with_an_id_nobody_can_guess(world: World) -> None:
    got = world.ask("POST", "/checkout/v1/sessions", GOOD)
    assert got.status == 201
    session = got.json["id"]
    assert len(session) == 32  # 160 bits in base 32
    assert got.json["url"] == f"https://pay.example/pay/{session}"
    assert got.json["expiresAt"].endswith("Z")
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["location"] == f"/checkout/v1/sessions/{session}"
    [(kept,)] = world.store.query(
        "SELECT id_hash FROM checkout_session WHERE partner_id = %s", world.store.partner_id
    )
    assert bytes(kept) == hashlib.sha256(session.encode()).digest()


def test_without_a_public_url_pages_are_where_the_api_was_found(store: Store) -> None:
    got = World(store, public_url="").ask("POST", "/checkout/v1/sessions", GOOD)
    assert got.json["url"] == f"https://a/pay/{got.json['id']}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tariffs": []}, "tariffs must have at least 1 item"),
        ({"tariffs": ["a", "a"]}, "names a tariff twice"),
        ({"tariffs": None}, "tariffs must not be null"),
        ({"amount": 10}, "has both tariffs and an amount"),
        ({"variant": 3}, "variant is wrong"),
        ({"variant": "1"}, "variant is wrong"),
        ({"variant": True}, "variant must be 1 or 2"),
        ({"phoneNumber": "0971234567"}, "phoneNumber does not match"),
        ({"language": "fr"}, "language is wrong"),
        ({"successUrl": "javascript:alert(1)"}, "successUrl is no URL"),
        ({"successUrl": "http://shop.example/"}, "successUrl must be https"),
        ({"cancelUrl": "http://shop.example/"}, "cancelUrl must be https"),
        ({"branding": {"logoUrl": "https://x.example/a.png;script-src"}}, "must not have ; , or"),
        ({"branding": {"logoUrl": "http://x.example/a.png"}}, "branding.logoUrl must be https"),
        ({"branding": {"color": "red"}}, "branding.color does not match"),
        ({"branding": {"color": "#fff}"}}, "branding.color does not match"),
        ({"referenceCode": "x" * 241}, "referenceCode must have at most 240"),
        ({"succesUrl": "https://x.example"}, "succesUrl is not a field"),
    ],
)
def test_what_is_wrong_is_named(world: World, changes: dict[str, Any], message: str) -> None:
    got = world.ask("POST", "/checkout/v1/sessions", GOOD | changes)
    assert (got.status, got.json["code"]) == (400, "INVALID_ARGUMENT")
    assert message in got.json["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"tariffs": ["silver"]}, 422, "UNPROCESSABLE_ENTITY"),
        (FREE | {"currency": "XXX"}, 400, "INVALID_ARGUMENT"),
        (FREE | {"amount": 0}, 400, "INVALID_ARGUMENT"),
        (FREE | {"amount": 1.234}, 400, "INVALID_ARGUMENT"),
        (FREE | {"amount": "10"}, 400, "INVALID_ARGUMENT"),
        ({"amount": 10, "currency": "UAH"}, 400, "INVALID_ARGUMENT"),
        ({}, 400, "INVALID_ARGUMENT"),
        (GOOD | {"phoneNumber": "+48501234567"}, 404, "IDENTIFIER_NOT_FOUND"),
    ],
)
def test_what_can_not_be_sold_is_refused(
    world: World, body: dict[str, Any], status: int, code: str
) -> None:
    got = world.ask("POST", "/checkout/v1/sessions", body)
    assert (got.status, got.json["code"]) == (status, code)


def test_a_key_is_needed(world: World) -> None:
    got = world.ask("POST", "/checkout/v1/sessions", GOOD, key="wrong")
    assert got.status == 401
    assert world.ask("GET", "/checkout/v1/sessions/x", key="wrong").status == 401


def test_a_partner_asks_what_became_of_its_session(world: World) -> None:
    session = world.opened(tariffs=["gold-250"], referenceCode="order-1")
    path = "/checkout/v1/sessions" + session.removeprefix("/pay")
    assert world.ask("GET", path).json["status"] == "open"
    world.pay(session)
    got = world.ask("GET", path).json
    assert (got["status"], got["tries"], got["referenceCode"]) == ("processing", 1, "order-1")
    assert got["paymentId"] == str(world.charge().charge_id)
    world.answer("НЕТ")
    got = world.ask("GET", path).json
    assert (got["status"], got["denialReason"]) == ("denied", "USER_DECLINED")
    world.pay(session, after=1)
    world.answer()
    got = world.ask("GET", path).json
    assert (got["status"], got["referenceCode"]) == ("succeeded", "order-1-2")
    # The payment itself is the partner's to read like any other.
    payment = world.ask("GET", f"/carrier-billing/v0.5/payments/{got['paymentId']}").json
    assert payment["paymentStatus"] == "succeeded"
    assert payment["amountTransaction"]["referenceCode"] == "order-1-2"
    amount = payment["amountTransaction"]["paymentAmount"]["chargingInformation"]["amount"]
    assert amount == 25


def test_another_partners_session_is_not_there(world: World) -> None:
    session = world.opened()
    other = World(Store(world.store.dsn, world.store.direct, world.store.pinned))
    path = "/checkout/v1/sessions" + session.removeprefix("/pay")
    assert other.ask("GET", path).status == 404


def test_an_unpaid_session_expires_and_is_forgotten_days_later(world: World) -> None:
    session = world.opened()
    path = "/checkout/v1/sessions" + session.removeprefix("/pay")
    world.store.ahead(1801)
    assert world.ask("GET", path).json["status"] == "expired"
    world.store.ahead(4 * 86_400)
    for _ in range(20):  # each forgets a few, also of other tests'
        world.opened()
    assert world.ask("GET", path).status == 404


# -- the return URL


def test_the_result_on_the_return_url_is_signed_as_documented(world: World) -> None:
    session = world.opened(
        tariffs=["gold-250"],
        referenceCode="заказ 1",
        successUrl="https://shop.example/paid?x=1#top",
    )
    world.pay(session)
    world.answer()
    name = session.removeprefix("/pay/")
    found = now(world.checkout._pages._sessions.find(name))
    assert found is not None
    url = return_url(found)
    assert url is not None
    assert url.startswith("https://shop.example/paid?x=1&ppcdSession=")
    assert url.endswith("#top")
    query = urlsplit(url).query
    given = parse_qs(query)
    assert given["ppcdStatus"] == ["succeeded"]
    assert given["ppcdReference"] == ["заказ 1"]
    assert given["ppcdPayment"] == [str(world.charge().charge_id)]
    signed = query[query.index("ppcdSession=") : query.index("&ppcdSignature=")]
    mac = hmac.new(SECRET, b"ppcd-checkout-result:" + signed.encode(), hashlib.sha256).digest()
    expected = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    assert given["ppcdSignature"] == [expected]


def test_whoever_has_not_paid_never_comes_to_the_success_url(world: World) -> None:
    session = world.opened(
        tariffs=["gold-250"],
        successUrl="https://shop.example/paid",
        cancelUrl="https://shop.example/basket",
    )
    world.pay(session)
    world.answer("НЕТ")
    text = world.get(session).text
    assert "https://shop.example/basket?ppcdSession=" in text
    assert "ppcdStatus=denied" in text
    assert "ppcdReason=USER_DECLINED" in text
    assert "shop.example/paid" not in text
    bare = world.opened(tariffs=["gold-250"], successUrl="https://shop.example/paid")
    assert "shop.example" not in world.get(bare).text


def test_a_result_without_a_charge_says_so(world: World) -> None:
    session = world.opened(cancelUrl="https://shop.example/basket")
    found = now(world.checkout._pages._sessions.find(session.removeprefix("/pay/")))
    assert found is not None
    assert "ppcdStatus=open" in result_query(found)
    assert "ppcdPayment" not in result_query(found)


# -- what the browser may do


def test_the_policy_lets_only_our_own_files_in(world: World) -> None:
    got = world.get(world.opened())
    policy = got.headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert got.headers["referrer-policy"] == "no-referrer"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["cache-control"] == "no-store"
    assert "set-cookie" not in got.headers
    assert "<style" not in got.text
    assert " style=" not in got.text
    assert "<script>" not in got.text
    assert " onclick" not in got.text


def test_a_logo_is_the_only_thing_from_elsewhere(world: World) -> None:
    logo = "https://cdn.example/logo.png?v=1&w=2"
    got = world.get(world.opened(branding={"logoUrl": logo}))
    assert f"img-src 'self' {logo};" in got.headers["content-security-policy"]
    assert 'src="https://cdn.example/logo.png?v=1&amp;w=2"' in got.text


def test_only_registered_sites_may_frame_the_page(world: World) -> None:
    site, partner_id = "https://shop.example", world.store.partner_id
    world.store.run(store_of.add_site, partner_id=partner_id, origin=site)
    assert world.store.run(store_of.sites, partner_id) == [site]
    got = world.get(world.opened())
    assert f"frame-ancestors {site}" in got.headers["content-security-policy"]
    assert f'data-sites="{site}"' in got.text
    assert world.store.run(store_of.remove_site, partner_id=partner_id, origin=site)
    assert not world.store.run(store_of.remove_site, partner_id=partner_id, origin=site)


def test_everything_from_outside_is_escaped(world: World) -> None:
    evil = "<script>alert(1)</script>\"'&"
    session = world.opened(
        amount=5,
        currency="UAH",
        description=evil,
        branding={"name": evil},
        cancelUrl="https://a.b/",
    )
    for got in (world.get(session), world.pay(session, phone=evil), world.pay(session)):
        assert "<script>alert" not in got.text
        assert "&lt;script&gt;" in got.text
    world.answer()
    assert "<script>alert" not in world.get(session + "/state").json["html"]


def test_files_are_kept_for_ever_under_names_of_their_content(world: World) -> None:
    text = world.get(world.opened(branding={"color": "#AA3300"})).text
    for kind, word in (("css", b"--brand"), ("js", b"EventSource"), ("svg", b"<svg")):
        path = next(
            part for part in text.split('"') if part.endswith("." + kind) and "assets" in part
        )
        got = world.get(path)
        assert got.status == 200
        assert word in got.body
        assert "immutable" in got.headers["cache-control"]
    assert "--brand:#aa3300" in world.get("/checkout/v1/brand/aa3300.css").text
    assert "ppcd-checkout" in world.get("/checkout/v1/checkout.js").text
    for path in ("assets/1/nothing.js", "brand/red.css", "brand/aa33000.css", "assets/1/..%2fx"):
        assert world.get(f"/checkout/v1/{path}").status == 404


# -- two at once, where the store decides


def test_of_two_presses_at_once_one_begins(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    hashed = store_of.id_hash(session.removeprefix("/pay/"))
    rows = [
        world.store.run(
            store_of.begin,
            hashed,
            Try(offer=0, msisdn=380971000000 + owner, language="ru", owner=owner),
            after=0,
            tries_max=5,
        )
        for owner in (1, 2)
    ]
    assert [row and (row.tries, row.try_owner) for row in rows] == [(1, 1), (1, 1)]
    # Asked again after a lost commit, the first one finds that it is still the one.
    again = world.store.run(
        store_of.begin,
        hashed,
        Try(offer=0, msisdn=380971000001, language="ru", owner=1),
        after=0,
        tries_max=5,
    )
    assert again is not None
    assert (again.tries, again.try_owner) == (1, 1)


def test_a_try_that_two_have_asked_for_is_called_refused_by_neither(world: World) -> None:
    """Its charge may still come to be; a next try beside it could be paid as well."""
    session = world.opened(tariffs=["gold-250"])
    name = session.removeprefix("/pay/")
    hashed = store_of.id_hash(name)
    sessions = world.checkout._pages._sessions
    found = now(sessions.find(name))
    assert found is not None
    new = Try(offer=0, msisdn=world.phone, language="ru", owner=7)
    world.store.run(store_of.begin, hashed, new, after=0, tries_max=5)
    joined = world.store.run(store_of.join, hashed, number=1)
    assert joined is not None
    assert joined.try_owner == SHARED
    for owner in (7, SHARED):
        world.store.run(store_of.refuse, hashed, number=1, owner=owner, why="no_free_address")
    found = now(sessions.find(name))
    assert found is not None
    assert found.pending
    assert not found.may_try


def test_the_one_who_alone_asked_may_call_it_refused(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    name = session.removeprefix("/pay/")
    sessions = world.checkout._pages._sessions
    world.steps.pool = ()
    found = now(sessions.find(name))
    assert found is not None
    number = Msisdn(world.phone)
    current, answer = now(sessions.pay(found, after=0, offer=0, msisdn=number, language="ru"))
    assert isinstance(answer, NoFreeAddress)
    assert current.may_try
    world.steps.pool = POOL
    _, answer = now(sessions.pay(current, after=1, offer=0, msisdn=number, language="ru"))
    assert isinstance(answer, Created)
