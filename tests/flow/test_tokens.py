"""Keys exchanged for tokens: what a token opens, and what ends it. On the real database."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from ppcd.flow.request import Partner
from ppcd.flow.tokens import Issued, NotAllowed, Tokens
from ppcd.store import keys, tokens
from ppcd.store.tokens import TOKENS_PER_KEY_MAX
from tests.flow.world import World, now

HOUR = 3600


class Clients:
    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = Tokens(lanes=world.runner, lifetime_s=HOUR)
        self.key_id, self.key = self.a_key()

    def a_key(self, **limits: Any) -> tuple[int, str]:
        key = f"key-{self.world.store.number()}"
        key_id = self.world.store.run(
            keys.add_key,
            partner_id=self.world.store.partner_id,
            key_hash=hashlib.sha256(key.encode()).digest(),
            label="",
            **limits,
        )
        return key_id, key

    def issued(self, key: str, wanted: frozenset[str] | None = None) -> Issued | NotAllowed:
        client = now(self.tokens.client(self.world.partner.name, key, address="192.0.2.7"))
        assert client is not None
        return now(self.tokens.issue(client, wanted))

    def token(self, key: str | None = None, wanted: frozenset[str] | None = None) -> str:
        issued = self.issued(key or self.key, wanted)
        assert isinstance(issued, Issued)
        return issued.token

    def stored(self) -> int:
        counted = "SELECT count(*) FROM access_token WHERE key_id = %s"
        return int(self.world.store.query(counted, self.key_id)[0][0])

    def opened(self, token: str, address: str = "192.0.2.7") -> Partner | None:
        return now(self.world.requests.authenticate(token, address=address))


@pytest.fixture
def clients(world: World) -> Clients:
    return Clients(world)


def test_a_token_opens_what_its_key_opens(clients: Clients) -> None:
    assert clients.opened(clients.token()) == clients.world.partner
    _, narrow = clients.a_key(scopes=["a", "b"])
    assert clients.opened(clients.token(narrow)) == replace(
        clients.world.partner, scopes=frozenset("ab")
    )


def test_a_token_may_open_less_than_its_key_and_never_more(clients: Clients) -> None:
    _, narrow = clients.a_key(scopes=["a", "b"])
    found = clients.opened(clients.token(narrow, frozenset("a")))
    assert found is not None
    assert found.scopes == frozenset("a")
    assert clients.issued(narrow, frozenset("ac")) == NotAllowed()
    assert clients.issued(clients.key, frozenset("ac")) != NotAllowed()


def test_a_token_is_stored_as_a_hash(clients: Clients) -> None:
    token = clients.token()
    assert len(token) > 40
    [(stored,)] = clients.world.store.query(
        "SELECT token_hash FROM access_token WHERE key_id = %s", clients.key_id
    )
    assert bytes(stored) == hashlib.sha256(token.encode()).digest()


def test_a_token_ends_by_itself(clients: Clients) -> None:
    token = clients.token()
    clients.world.store.ahead(HOUR - 1)
    assert clients.opened(token) is not None
    clients.world.store.ahead(2)
    assert clients.opened(token) is None
    # The next one takes the room of those that are over.
    clients.token()
    assert clients.stored() == 1


def test_a_token_is_dead_with_its_key(clients: Clients) -> None:
    store = clients.world.store
    token, other = clients.token(), clients.token(clients.a_key()[1])
    store.run(keys.revoke_key, partner_id=store.partner_id, key_id=clients.key_id)
    assert clients.opened(token) is None
    assert clients.opened(other) is not None


def test_a_token_does_not_outlive_its_key(clients: Clients) -> None:
    _, brief = clients.a_key(lifetime_s=60)
    token = clients.token(brief)
    clients.world.store.ahead(61)
    assert clients.opened(token) is None


def test_a_token_is_dead_with_its_partner_and_lives_again_with_it(clients: Clients) -> None:
    store = clients.world.store
    token = clients.token()
    for closed, opens in ((True, False), (False, True)):
        assert store.run(keys.close_partner, partner_id=store.partner_id, closed=closed)
        assert not store.run(keys.close_partner, partner_id=store.partner_id, closed=closed)
        assert (clients.opened(token) is not None) is opens
        assert (clients.opened(clients.key) is not None) is opens


def test_a_token_is_good_from_its_keys_networks_only(clients: Clients) -> None:
    _, near = clients.a_key(networks=["192.0.2.0/24"])
    token = clients.token(near)
    assert clients.opened(token) is not None
    assert clients.opened(token, "198.51.100.1") is None


def test_a_client_revokes_its_own_tokens_only(clients: Clients) -> None:
    token = clients.token()
    client = now(clients.tokens.client(clients.world.partner.name, clients.key, address=""))
    assert client is not None
    now(clients.tokens.revoke(replace(client, partner_id=client.partner_id + 1), token))
    assert clients.opened(token) is not None
    now(clients.tokens.revoke(client, token))
    now(clients.tokens.revoke(client, token))
    assert clients.opened(token) is None


def test_tokens_are_revoked_by_key_or_all(clients: Clients) -> None:
    store = clients.world.store
    _, other = clients.a_key()
    mine, theirs = clients.token(), clients.token(other)
    assert store.run(tokens.counts, store.partner_id).get(clients.key_id) == 1
    args: dict[str, Any] = {"partner_id": store.partner_id}
    assert store.run(tokens.revoke_all, **args, key_id=clients.key_id) == 1
    assert (clients.opened(mine), clients.opened(theirs) is not None) == (None, True)
    assert store.run(tokens.revoke_all, **args) == 1
    assert clients.opened(theirs) is None
    assert store.run(tokens.counts, store.partner_id) == {}


def test_who_is_no_client_gets_none(clients: Clients) -> None:
    name = clients.world.partner.name
    for client, secret in ((name, "wrong"), ("other", clients.key), (name, clients.token())):
        assert now(clients.tokens.client(client, secret, address="")) is None


def test_a_key_has_so_many_tokens_and_the_oldest_ends(clients: Clients) -> None:
    first = clients.token()
    clients.world.store.query(
        """INSERT INTO access_token (token_hash, key_id, made_at, expires_at)
           SELECT sha256(n::text::bytea), %s, business_now(), business_now() + interval '1 hour'
             FROM generate_series(2, %s) n RETURNING true""",
        clients.key_id,
        TOKENS_PER_KEY_MAX,
    )
    assert clients.opened(first) is not None
    newest = clients.token()
    assert clients.opened(first) is None
    assert clients.opened(newest) is not None
    assert clients.stored() == TOKENS_PER_KEY_MAX
