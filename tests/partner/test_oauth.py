"""OAuth 2 on the wire: RFC 6749 4.4 and 5, RFC 7009. Octets in, octets out."""

import base64
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import pytest
from openapi_spec_validator import validate

from ppcd.flow.tokens import Issued, NotAllowed
from ppcd.partner.oauth import OAuth
from ppcd.partner.scopes import Scope
from ppcd.store.failures import NotApplied
from ppcd.store.keys import Holder
from tests.partner.answers import Contract
from tests.partner.world import Got, World

GRANT = {"grant_type": "client_credentials"}
TEXT = files("ppcd.partner").joinpath("openapi/oauth.yaml").read_text()
#: Every answer of these tests is held against it.
CONTRACT = Contract(TEXT)
CLIENT = {"client_id": "shop", "client_secret": "demo-key"}


def basic(name: str = "shop", secret: str = "demo-key") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


class FakeTokens:
    """Flow as the endpoints see it: one partner, two keys."""

    def __init__(self) -> None:
        self.secrets = {"demo-key": None, "two words:+%": (Scope.READ.value,)}
        self.asked: list[tuple[str, str, str]] = []
        self.revoked: list[str] = []
        self.failure: Exception | None = None

    async def client(self, name: str, secret: str, *, address: str) -> Holder | None:
        self.asked.append((name, secret, address))
        if self.failure is not None:
            raise self.failure
        if name not in ("shop", "my shop") or secret not in self.secrets:
            return None
        return Holder(1, "shop", "Shop", "ru", None, 7, self.secrets[secret], None, None)

    async def issue(self, client: Holder, wanted: frozenset[str] | None) -> Issued | NotAllowed:
        own = None if client.scopes is None else frozenset(client.scopes)
        if wanted is not None and own is not None and not wanted <= own:
            return NotAllowed()
        return Issued("ppcdt_new", own if wanted is None else wanted, 3600)

    async def revoke(self, client: Holder, token: str) -> None:
        self.revoked.append(token)


class Endpoints(World):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.tokens = FakeTokens()
        oauth: Any = OAuth
        oauth(self.tokens, self.api.envelope, self.settings, clock=self.clock).add_routes(
            self.router
        )

    def post(self, form: Any, *, path: str = "/oauth2/token", **headers: str) -> Got:
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        sent = {"Content-Type": "application/x-www-form-urlencoded"} | headers
        got = self.ask("POST", path, body, key=None, headers=sent)
        CONTRACT.check("POST", path, status=got.status, headers=got.headers, body=got.body)
        return got

    def refused(self, form: Any, **headers: str) -> tuple[int, str]:
        got = self.post(form, **headers)
        assert set(got.json) == {"error", "error_description"}
        assert (got.headers["cache-control"], got.headers["pragma"]) == ("no-store", "no-cache")
        return got.status, got.json["error"]


@pytest.fixture
def world() -> Endpoints:
    return Endpoints()


def test_the_contract_is_valid_served_without_a_key_and_has_what_there_is(
    world: Endpoints,
) -> None:
    validate(CONTRACT.document)
    assert world.ask("GET", "/openapi/oauth.yaml", key=None).body.decode() == TEXT
    routes = {(r.method, r.template) for r in world.router.routes if "/oauth2" in r.template}
    assert routes == CONTRACT.operations
    unknown = {"x-correlator": "not a correlator"}
    assert world.post(GRANT | CLIENT, **unknown).code == "INVALID_ARGUMENT"
    with pytest.raises(AssertionError, match="418 is not documented"):
        CONTRACT.check("POST", "/oauth2/token", status=418, headers={}, body=b"")


def test_a_client_gets_a_token_for_all_that_its_key_may_do(world: Endpoints) -> None:
    got = world.post(GRANT | CLIENT)
    assert got.status == 200
    assert got.json == {
        "access_token": "ppcdt_new",
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": " ".join(sorted(Scope)),
    }
    assert (got.headers["cache-control"], got.headers["pragma"]) == ("no-store", "no-cache")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-correlator"] == "made-by-ppcd"
    assert world.seen[-1].notes["partner"] == "shop"


def test_the_secret_may_come_as_basic_with_all_its_characters(world: Endpoints) -> None:
    got = world.post(GRANT, **basic("my+shop", "two+words%3A%2B%25"))
    assert got.json["scope"] == Scope.READ
    assert world.tokens.asked == [("my shop", "two words:+%", "192.0.2.1")]
    assert world.post(GRANT | {"client_id": "shop"}, **basic()).status == 200


def test_a_scope_narrows_the_token(world: Endpoints) -> None:
    wanted = {"scope": f"{Scope.READ} {Scope.CREATE}"}
    got = world.post(GRANT | CLIENT | wanted)
    assert set(got.json["scope"].split()) == {Scope.READ, Scope.CREATE}
    narrow = {"client_secret": "two words:+%"}
    assert world.refused(GRANT | CLIENT | narrow | wanted) == (400, "invalid_scope")
    assert world.refused(GRANT | CLIENT | {"scope": "openid"}) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (CLIENT, "invalid_request"),
        (CLIENT | {"grant_type": ""}, "invalid_request"),
        (CLIENT | {"grant_type": "password"}, "unsupported_grant_type"),
        (b"grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        (b"grant_type", "invalid_request"),
        (b"grant_type=%ff", "invalid_request"),
        (b"grant_type=\xff", "invalid_request"),
        ("&".join(f"a{n}=1" for n in range(50)).encode(), "invalid_request"),
    ],
)
def test_a_form_that_is_wrong_is_refused(world: Endpoints, form: Any, error: str) -> None:
    assert world.refused(form) == (400, error)


def test_a_body_that_is_no_form_is_refused(world: Endpoints) -> None:
    got = world.post(b"{}", **{"Content-Type": "application/json"})
    assert (got.status, got.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (GRANT, {}),
        (GRANT | {"client_id": "shop"}, {}),
        (GRANT | CLIENT | {"client_secret": "wrong"}, {}),
        (GRANT | CLIENT | {"client_id": "other"}, {}),
        (GRANT, basic(secret="wrong")),
        (GRANT | {"client_id": "other"}, basic()),
        (GRANT, {"Authorization": "Basic !"}),
        (GRANT, {"Authorization": "Basic c2hvcA=="}),
        (GRANT, {"Authorization": "Basic AAAA/w=="}),
        (GRANT, {"Authorization": "Basic JWZmOng="}),
        (GRANT, {"Authorization": "Bearer demo-key"}),
    ],
)
def test_who_is_no_client_is_told_so_and_how_to_be_one(
    world: Endpoints, form: dict[str, str], headers: dict[str, str]
) -> None:
    got = world.post(form, **headers)
    assert (got.status, got.json["error"]) == (401, "invalid_client")
    assert got.headers["www-authenticate"] == 'basic realm="ppcd"'


def test_a_secret_shown_in_two_ways_is_refused(world: Endpoints) -> None:
    assert world.refused(GRANT | CLIENT, **basic()) == (400, "invalid_request")


def test_who_guesses_is_made_to_wait_and_others_are_not(world: Endpoints) -> None:
    wrong = GRANT | CLIENT | {"client_secret": "guess"}
    for _ in range(20):
        assert world.refused(wrong) == (401, "invalid_client")
    asked = len(world.tokens.asked)
    got = world.post(GRANT | CLIENT)
    assert (got.status, got.json["error"]) == (429, "temporarily_unavailable")
    assert got.headers["retry-after"] == "3"
    assert len(world.tokens.asked) == asked, "the database was asked all the same"
    world.peer = type(world.peer)(world.site, "192.0.2.2")
    assert world.post(GRANT | CLIENT).status == 200
    world.peer = type(world.peer)(world.site, "192.0.2.1")
    world.clock.advance(3)
    assert world.post(GRANT | CLIENT).status == 200


def test_an_address_of_ipv6_is_a_whole_network(world: Endpoints) -> None:
    for number in range(20):
        world.peer = type(world.peer)(world.site, f"2001:db8::{number:x}")
        assert world.refused(GRANT | CLIENT | {"client_secret": "x"})[0] == 401
    assert world.refused(GRANT | CLIENT)[0] == 429


def test_a_partner_that_asks_too_often_waits_here_too() -> None:
    world = Endpoints(requests_per_s_max=1)
    assert [world.post(GRANT | CLIENT).status for _ in range(3)] == [200, 200, 429]


def test_without_the_store_the_error_is_oauths(world: Endpoints) -> None:
    world.tokens.failure = NotApplied("down")
    for path in ("/oauth2/token", "/oauth2/revoke"):
        got = world.post(GRANT | CLIENT, path=path)
        assert (got.status, got.json["error"]) == (503, "temporarily_unavailable")
        assert got.headers["retry-after"] == "1"


def test_a_token_is_revoked_by_its_client_and_nobody_else(world: Endpoints) -> None:
    gone = world.post(CLIENT | {"token": "ppcdt_x"}, path="/oauth2/revoke")
    assert (gone.status, gone.body) == (200, b"")
    assert world.tokens.revoked == ["ppcdt_x"]
    wrong = world.post(CLIENT | {"token": "y", "client_id": "other"}, path="/oauth2/revoke")
    assert wrong.status == 401
    assert world.post(CLIENT, path="/oauth2/revoke").json["error"] == "invalid_request"
    assert world.tokens.revoked == ["ppcdt_x"]


def test_only_posts_are_taken(world: Endpoints) -> None:
    got = world.ask("GET", "/oauth2/token", key=None)
    CONTRACT.check("GET", "/oauth2/token", status=405, headers=got.headers, body=got.body)
    assert (got.status, got.headers["allow"]) == (405, "options, post")
