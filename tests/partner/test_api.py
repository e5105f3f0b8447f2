"""Keys, correlators, retrievePayment, cancelPayment, and what happens when things break."""

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import State
from ppcd.flow import request as flow
from ppcd.http.exchange import CLIENT_GONE
from ppcd.http.messages import Request
from ppcd.partner.clients import client_address
from ppcd.partner.scopes import Scope
from ppcd.partner.shares import Shares
from ppcd.store.failures import NotApplied, OutcomeUnknown
from tests.conftest import Criticals
from tests.http.peers import Peer
from tests.partner.world import BASE, PAID_AT, PHONE, World, a_payment


@pytest.fixture
def world() -> World:
    return World()


# -- keys and correlators


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic ZGVtbzprZXk=", "demo-key",
     "Bearer demo-key extra", "Bearer демо"],
)  # fmt: skip
def test_without_a_good_key_it_is_401(world: World, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in (
        ("POST", "/payments"),
        ("GET", "/payments"),
        ("GET", "/payments/1"),
        ("POST", "/payments/1/cancel"),
    ):
        wire = {name: value.encode().decode("latin-1") for name, value in headers.items()}
        got = world.ask(method, BASE + path, key=None, headers=wire)
        assert (got.status, got.code) == (401, "UNAUTHENTICATED")
        assert got.headers["www-authenticate"].startswith("bearer ")
        assert got.headers["x-correlator"] == "made-by-ppcd"


def test_two_authorization_headers_are_none(world: World) -> None:
    world.peer.sends(
        b"GET /carrier-billing/v0.5/payments/1 HTTP/1.1\r\nHost: a\r\n"
        b"Authorization: Bearer demo-key\r\nAuthorization: Bearer other-key\r\n\r\n"
    )
    assert world.peer.answer()[0] == 401


def test_the_scheme_is_case_insensitive(world: World) -> None:
    headers = {"Authorization": "bearer demo-key"}
    assert world.create(key=None, headers=headers).status == 201


@pytest.mark.parametrize("correlator", ["b4333c46-49c0", "a_:;./<>{}-9", "x" * 256])
def test_a_correlator_is_echoed_on_every_answer(world: World, correlator: str) -> None:
    headers = {"x-correlator": correlator}
    for got in (
        world.create(headers=headers),
        world.create(b"{", headers=headers),
        world.create(key=None, headers=headers),
        world.ask("GET", f"{BASE}/payments/1", headers=headers),
        world.ask("DELETE", f"{BASE}/payments/1", headers=headers),
        world.ask("GET", "/nowhere", headers=headers),
    ):
        assert got.headers["x-correlator"] == correlator


@pytest.mark.parametrize("correlator", ["a b", "x" * 257, "é", "a,b"])
def test_a_malformed_correlator_is_refused_and_not_echoed(world: World, correlator: str) -> None:
    got = world.create(headers={"x-correlator": correlator})
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert "x-correlator" in got.message
    assert got.headers["x-correlator"] == "made-by-ppcd"


def test_an_empty_correlator_is_none(world: World) -> None:
    got = world.create(headers={"x-correlator": ""})
    assert got.status == 201
    assert got.headers["x-correlator"] == "made-by-ppcd"


def test_two_correlators_are_refused(world: World) -> None:
    world.peer.sends(
        b"GET /carrier-billing/v0.5/payments/1 HTTP/1.1\r\nHost: a\r\n"
        b"Authorization: Bearer demo-key\r\nX-Correlator: a\r\nX-Correlator: b\r\n\r\n"
    )
    assert world.peer.answer()[0] == 400


# -- what a key may do, and from where


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (Scope.CREATE, {"create"}),
        (Scope.READ, {"read", "list"}),
        (Scope.WRITE, {"cancel"}),
        (None, {"create", "read", "list", "cancel"}),
    ],
)
def test_a_key_does_what_its_scopes_say(
    world: World, scope: Scope | None, allowed: set[str]
) -> None:
    path = f"{BASE}/payments/{world.created()}"
    narrow = replace(world.requests.shop, scopes=None if scope is None else frozenset({scope}))
    world.requests.keys["narrow"] = narrow
    world.requests.charges = {
        charge_id: (narrow, view) for charge_id, (_, view) in world.requests.charges.items()
    }
    got = {
        "create": world.create(a_payment(correlator="c-2"), key="narrow"),
        "read": world.ask("GET", path, key="narrow"),
        "list": world.ask("GET", f"{BASE}/payments", key="narrow"),
        "cancel": world.ask("POST", f"{path}/cancel", {"phoneNumber": PHONE}, key="narrow"),
    }
    for what, answer in got.items():
        if what in allowed:
            assert answer.status < 300, what
        else:
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED"), what


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        ((), None, "192.0.2.1"),
        ((), "198.51.100.7", "192.0.2.1"),  # anybody can write that
        (("192.0.2.1",), "198.51.100.7", "198.51.100.7"),
        (("192.0.2.1",), "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        (("192.0.2.1", "10.0.0.2"), "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        (("192.0.2.1",), "2001:DB8::1", "2001:db8::1"),
        (("192.0.2.1",), "::ffff:198.51.100.7", "198.51.100.7"),
        (("192.0.2.1", "10.0.0.2"), "10.0.0.2", "192.0.2.1"),
        (("192.0.2.1",), None, ""),
        (("192.0.2.1",), "198.51.100.7, unknown", ""),
    ],
)
def test_only_a_trusted_proxy_says_who_called_it(
    trusted: tuple[str, ...], forwarded: str | None, address: str
) -> None:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    request = Request("GET", "/", "", headers, b"", peer="192.0.2.1")
    assert client_address(request, frozenset(trusted)) == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ('for="198.51.100.7:4711";proto=https;by=10.0.0.2', "198.51.100.7"),
        ('proto=https; For="[2001:DB8::1]:4711"', "2001:db8::1"),
        ("for=203.0.113.9, for=198.51.100.7", "198.51.100.7"),
        ("for=198.51.100.7, for=192.0.2.1", "198.51.100.7"),
        ('for=198.51.100.7;host="a, for=203.0.113.9"', "198.51.100.7"),
        ("for=192.0.2.1", "192.0.2.1"),
        ("for=198.51.100.7, for=unknown", ""),
        ("for=198.51.100.7, for=_hidden", ""),
        ("for=198.51.100.7, proto=https", ""),
        ('for="[2001:db8::1', ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_proxy_may_say_it_in_the_standard_header(forwarded: str | None, address: str) -> None:
    # A caller wrote the other one, and the proxy passed it on.
    headers = [(b"x-forwarded-for", b"203.0.113.66")]
    if forwarded is not None:
        headers.append((b"forwarded", forwarded.encode()))
    request = Request("GET", "/", "", headers, b"", peer="192.0.2.1")
    assert client_address(request, frozenset({"192.0.2.1"}), "forwarded") == address


def test_the_log_has_the_caller_and_not_the_proxy() -> None:
    world = World(trusted_proxies="192.0.2.1", proxy_header="forwarded")
    world.create(headers={"Forwarded": "for=198.51.100.7"})
    assert world.requests.addresses == ["198.51.100.7"]
    assert world.seen[-1].notes["client"] == "198.51.100.7"
    world.create()
    assert world.seen[-1].notes["client"] == "unknown"


def test_the_address_goes_with_the_key(world: World) -> None:
    world.create()
    assert world.requests.addresses == [world.seen[-1].peer]


# -- retrievePayment


_REASON = DenialReason.INSUFFICIENT_FUNDS


@pytest.mark.parametrize(
    ("state", "reason", "status", "context", "denial"),
    [
        (State.AWAITING, None, "processing", "PPCD.AWAITING_REPLY", None),
        (State.CONFIRMED, None, "processing", "PPCD.DEBITING", None),
        (State.DEBITING, None, "processing", "PPCD.DEBITING", None),
        (State.IN_DOUBT, None, "processing", "PPCD.OUTCOME_PENDING", None),
        (State.REVIEW, None, "processing", "PPCD.OUTCOME_PENDING", None),
        (State.RESERVED, None, "reserved", None, None),
        (State.SUCCEEDED, None, "succeeded", None, None),
        (State.DENIED, _REASON, "denied", "PPCD.INSUFFICIENT_FUNDS", "INSUFFICIENT_FUNDS"),
        (State.DENIED, None, "denied", "PPCD.BILLING_REJECTED", "BILLING_REJECTED"),
        (State.DECLINED, None, "denied", "PPCD.USER_DECLINED", "USER_DECLINED"),
        (State.EXPIRED, None, "denied", "PPCD.CONFIRMATION_TIMEOUT", "CONFIRMATION_TIMEOUT"),
        (State.UNDELIVERABLE, None, "denied", "PPCD.PROMPT_UNDELIVERABLE", "PROMPT_UNDELIVERABLE"),
        (State.CANCELLED, None, "denied", "PPCD.CANCELLED_BY_MERCHANT", "CANCELLED_BY_MERCHANT"),
    ],
)
def test_every_state_has_its_words(
    world: World,
    state: State,
    reason: DenialReason | None,
    status: str,
    context: str | None,
    denial: str | None,
) -> None:
    charge_id = world.created()
    world.requests.becomes(charge_id, state, reason)
    got = world.ask("GET", f"{BASE}/payments/{charge_id}")
    assert got.status == 200
    assert got.json["paymentStatus"] == status
    assert got.json.get("contextCode") == context
    assert got.json.get("denialReason") == denial
    assert "paymentDate" not in got.json


def test_every_state_can_be_shown(world: World) -> None:
    charge_id = world.created()
    for state in State:
        world.requests.becomes(charge_id, state)
        assert world.ask("GET", f"{BASE}/payments/{charge_id}").status == 200


def test_a_paid_payment_says_when_and_under_what_reference(world: World) -> None:
    charge_id = world.created()
    world.requests.becomes(charge_id, State.SUCCEEDED, paid_at=PAID_AT, billing_reference='B"1')
    payment = world.ask("GET", f"{BASE}/payments/{charge_id}").json
    assert payment["paymentDate"] == "2026-11-23T09:00:07.005Z"
    assert payment["amountTransaction"]["serverReferenceCode"] == 'B"1'


def test_resources_have_the_public_url() -> None:
    world = World(public_url="https://pay.example.net")
    got = world.create()
    url = f"https://pay.example.net{BASE}/payments/{got.json['paymentId']}"
    assert got.json["amountTransaction"]["resourceURL"] == url
    assert got.headers["location"] == url.lower()


@pytest.mark.parametrize(
    "payment_id",
    ["1", "0", "-1", "01", "abc", "9" * 19, "9" * 25, "1.0", "%D9%A1", "1%00", "%20", "1%2F2"],
)
def test_unknown_ids_are_404(world: World, payment_id: str) -> None:
    for method, path, body in (("GET", "", None), ("POST", "/cancel", {"phoneNumber": PHONE})):
        got = world.ask(method, f"{BASE}/payments/{payment_id}{path}", body)
        assert (got.status, got.code) == (404, "NOT_FOUND")
        assert got.message == "The specified resource is not found."


def test_another_partners_payment_looks_like_none(world: World) -> None:
    charge_id = world.created()
    theirs = world.ask("GET", f"{BASE}/payments/{charge_id}", key="other-key")
    none = world.ask("GET", f"{BASE}/payments/1", key="other-key")
    assert (theirs.status, theirs.body) == (none.status, none.body) == (404, none.body)
    got = world.ask(
        "POST", f"{BASE}/payments/{charge_id}/cancel", {"phoneNumber": PHONE}, key="other-key"
    )
    assert got.status == 404
    assert world.requests.cancelled == []


@pytest.mark.parametrize(
    ("query", "wait_s"),
    [("", 0), ("?wait=0", 0), ("?wait=25", 25), ("?wait=2.5", 2.5), ("?wait=31", 30),
     ("?wait=999999", 30), ("?other=1", 0)],
)  # fmt: skip
def test_how_long_it_waits(world: World, query: str, wait_s: float) -> None:
    charge_id = world.created()
    assert world.ask("GET", f"{BASE}/payments/{charge_id}{query}").status == 200
    assert world.requests.waits == [wait_s]


@pytest.mark.parametrize(
    "query", ["?wait=", "?wait=-1", "?wait=soon", "?wait=1&wait=2", "?wait=1e9", "?wait=%ff",
              "?wait=9999999", "?" + "a=1&" * 200]
)  # fmt: skip
def test_a_wait_that_is_none_is_an_error(world: World, query: str) -> None:
    got = world.ask("GET", f"{BASE}/payments/1{query}")
    assert (got.status, got.code) == (400, "INVALID_ARGUMENT")
    assert got.message.startswith("wait ")


def test_a_wait_outlives_the_deadline_of_other_requests(world: World) -> None:
    charge_id = world.created()
    world.requests.waiting = Deferred()
    world.sends("GET", f"{BASE}/payments/{charge_id}?wait=30")
    world.clock.advance(29.9)
    assert world.peer.got() == b""
    world.requests.waiting.callback(None)
    assert world.peer.answer()[0] == 200


def test_a_client_that_stops_waiting_is_forgotten(world: World) -> None:
    charge_id = world.created()
    world.requests.waiting = Deferred()
    world.sends("GET", f"{BASE}/payments/{charge_id}?wait=30")
    world.peer.hangs_up()
    assert world.seen[-1].status == CLIENT_GONE


# -- what one partner may take


def _read(world: World, key: str = "demo-key") -> Any:
    return world.ask("GET", f"{BASE}/payments/1", key=key)


def test_a_partner_that_asks_too_fast_is_told_when_to_come_back() -> None:
    world = World(requests_per_s_max=0.5)
    assert _read(world).status == 404
    got = _read(world)
    assert (got.status, got.code) == (429, "TOO_MANY_REQUESTS")
    assert got.headers["retry-after"] == "2"
    assert _read(world, "other-key").status == 404, "the others are not in it"
    world.clock.advance(2)
    assert _read(world).status == 404
    assert _read(world).status == 429


def test_who_was_quiet_may_send_some_at_once() -> None:
    world = World(requests_per_s_max=3)
    for _ in range(2):
        assert [_read(world).status for _ in range(7)] == [404] * 6 + [429]
        world.clock.advance(10)


def test_without_a_limit_there_is_none() -> None:
    world = World(requests_per_s_max=0)
    assert {_read(world).status for _ in range(50)} == {404}


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing() -> None:
    world = World()
    shares = Shares(world.clock, requests_per_s=1, waiting_max=1)
    assert [shares.take(1), shares.take(1)] == [0, 0]
    world.clock.rightNow = -100.0
    assert shares.take(1) == 1


def test_too_many_waiting_are_answered_at_once() -> None:
    world = World(waits_per_partner_max=1)
    charge_id = world.created()
    path = f"{BASE}/payments/{charge_id}?wait=30"
    world.requests.waiting = Deferred()
    world.sends("GET", path)
    second = Peer(world.site)
    second.sends(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer demo-key\r\n\r\n".encode()
    )
    assert second.answer()[0] == 200
    assert world.requests.waits == [30, 0]
    world.requests.waiting.callback(None)
    assert world.peer.answer()[0] == 200
    assert world.ask("GET", path).status == 200
    assert world.requests.waits[-1] == 30


def test_a_waiter_that_went_away_counts_no_more() -> None:
    world = World(waits_per_partner_max=1)
    path = f"{BASE}/payments/{world.created()}?wait=30"
    world.requests.waiting = Deferred()
    world.sends("GET", path)
    world.peer.hangs_up()
    world.peer = Peer(world.site)
    world.requests.waiting = None
    assert world.ask("GET", path).status == 200
    assert world.requests.waits == [30, 30]


# -- what the access log is told


def test_the_access_log_has_partner_and_correlator(world: World) -> None:
    headers = {"x-correlator": "c-1"}
    world.create(headers=headers)
    world.create(headers=headers, key="wrong")
    world.ask("GET", "/nowhere", headers=headers)
    assert [dict(seen.notes) for seen in world.seen] == [
        {"correlator": "c-1", "partner": "shop"},
        {"correlator": "c-1"},
        {"correlator": "c-1"},
    ]


# -- cancelPayment


def _cancel(world: World, charge_id: int, body: Any = None) -> Any:
    body = {"phoneNumber": PHONE} if body is None else body
    return world.ask("POST", f"{BASE}/payments/{charge_id}/cancel", body)


def test_a_cancel_is_accepted_without_a_body(world: World) -> None:
    charge_id = world.created()
    got = _cancel(world, charge_id)
    assert (got.status, got.body) == (202, b"")
    assert got.headers["content-length"] == "0"
    assert world.requests.cancelled == [charge_id]


@pytest.mark.parametrize(
    ("result", "status", "code", "message"),
    [
        (
            flow.AlreadyConfirmed(),
            409,
            "CARRIER_BILLING.PAYMENT_CONFIRMED",
            "Payment has been confirmed.",
        ),
        (
            flow.AlreadyCancelled(),
            409,
            "CARRIER_BILLING.PAYMENT_CANCELLED",
            "Payment has been cancelled.",
        ),
        (
            flow.AlreadyEnded(State.EXPIRED),
            409,
            "CARRIER_BILLING.PAYMENT_CANCELLED",
            "Payment has been cancelled.",
        ),
        (flow.NotFound(), 404, "NOT_FOUND", "The specified resource is not found."),
    ],
)
def test_why_a_cancel_fails(
    world: World, result: Any, status: int, code: str, message: str
) -> None:
    charge_id = world.created()
    world.requests.cancel_result = result
    got = _cancel(world, charge_id)
    assert (got.status, got.code, got.message) == (status, code, message)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "MISSING_IDENTIFIER"),
        ({"phoneNumber": "+380971234568"}, 404, "IDENTIFIER_NOT_FOUND"),
        ({"phoneNumber": "0971234567"}, 400, "INVALID_ARGUMENT"),
        ({"phoneNumber": None}, 400, "INVALID_ARGUMENT"),
        ({"phoneNumber": PHONE, "reason": "x"}, 400, "INVALID_ARGUMENT"),
        (b"", 400, "INVALID_ARGUMENT"),
        (b"[]", 400, "INVALID_ARGUMENT"),
    ],
)
def test_a_cancel_names_the_number(world: World, body: Any, status: int, code: str) -> None:
    charge_id = world.created()
    got = _cancel(world, charge_id, body)
    assert (got.status, got.code) == (status, code)
    assert world.requests.cancelled == []


# -- when things break


@pytest.mark.parametrize("failure", [NotApplied("no connection"), OutcomeUnknown("lost")])
def test_without_the_store_it_is_503_and_try_again(world: World, failure: Exception) -> None:
    world.requests.failure = failure
    got = world.create()
    assert (got.status, got.code) == (503, "UNAVAILABLE")
    assert got.headers["retry-after"] == "1"
    assert b"connection" not in got.body


def test_a_bug_is_500_without_its_story(world: World, criticals: Criticals) -> None:
    world.requests.failure = RuntimeError("secret")
    got = world.create()
    assert (got.status, got.code) == (500, "INTERNAL")
    assert b"secret" not in got.body
    assert got.headers["x-correlator"] == "made-by-ppcd"
    assert len(criticals.take()) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("PUT", "/payments", 405, "get, head, options, post"),
        ("DELETE", "/payments/1", 405, "get, head, options"),
        ("GET", "/payments/1/cancel", 405, "options, post"),
        ("GET", "/payments/1/confirm", 405, "options, post"),
        ("GET", "/metrics", 404, None),
        ("GET", "/../openapi/carrier-billing.yaml", 404, None),
    ],
)
def test_other_methods_and_paths(
    world: World, method: str, path: str, status: int, allow: str | None
) -> None:
    got = world.ask(method, BASE + path)
    assert got.status == status
    assert got.json["status"] == status
    assert got.headers.get("allow") == allow


def test_answers_are_not_to_be_stored(world: World) -> None:
    assert world.create().headers["cache-control"] == "no-store"
    assert world.create(key=None).headers["cache-control"] == "no-store"


def test_routes_are_observed_by_their_templates(world: World) -> None:
    charge_id = world.created()
    world.ask("GET", f"{BASE}/payments/{charge_id}")
    assert [(seen.route, seen.status) for seen in world.seen] == [
        (f"{BASE}/payments", 201),
        (f"{BASE}/payments/{{paymentId}}", 200),
    ]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", None),
        ("en", "en"),
        ("EN-us", "en"),
        ("de", None),
        ("*", None),
        ("uk;q=0", None),
        ("ru;q=0.3, en;q=0.4", "en"),
        ("ru, en", "ru"),
        ("ru;q=0.001", "ru"),
        (";;q=,,uk;q=9", None),
        ("ukr", None),
    ],
)
def test_the_language_asked_for(world: World, header: str, language: str | None) -> None:
    world.create(headers={"Accept-Language": header})
    assert world.requests.orders[0].language == language
