"""Whose key it is, and that a revoked one is dead at once."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from ppcd.flow.request import Partner
from ppcd.store import keys
from tests.flow.world import World, now


def a_key(world: World, **limits: Any) -> tuple[int, str]:
    key = f"key-{world.store.number()}"
    key_id = world.store.run(
        keys.add_key,
        partner_id=world.store.partner_id,
        key_hash=hashlib.sha256(key.encode()).digest(),
        label="",
        **limits,
    )
    return key_id, key


def opened(world: World, key: str, address: str = "192.0.2.7") -> Partner | None:
    return now(world.requests.authenticate(key, address=address))


def test_a_key_names_its_partner_and_what_it_may_do(world: World) -> None:
    assert opened(world, a_key(world)[1]) == world.partner
    _, key = a_key(world, scopes=["x"])
    assert opened(world, key) == replace(world.partner, scopes=frozenset({"x"}))


def test_a_revoked_key_is_dead_at_once(world: World) -> None:
    key_id, key = a_key(world)
    assert opened(world, key) == world.partner
    world.store.run(keys.revoke_key, partner_id=world.store.partner_id, key_id=key_id)
    assert opened(world, key) is None


def test_a_new_key_is_good_at_once(world: World) -> None:
    assert opened(world, f"key-{world.store.number() + 1}") is None
    assert opened(world, a_key(world)[1]) == world.partner


def test_a_strange_key_opens_nothing(world: World) -> None:
    assert opened(world, "\ud800") is None
    assert opened(world, "") is None


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.1", False),
        ("2001:db8::1", True),
        ("2001:db8::1%eth0", True),
        ("2001:db9::1", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_a_key_is_good_from_its_networks_only(world: World, address: str, good: bool) -> None:
    _, key = a_key(world, networks=["192.0.2.0/24", "2001:db8::/32"])
    assert opened(world, key, address) == (world.partner if good else None)


def test_a_partners_networks_hold_for_all_its_keys(world: World) -> None:
    _, wide = a_key(world)
    _, narrow = a_key(world, networks=["192.0.2.0/24"])
    world.store.run(
        keys.set_networks,
        partner_id=world.store.partner_id,
        networks=["192.0.2.7/32", "10.0.0.0/8"],
    )
    assert opened(world, wide, "10.1.1.1") == world.partner
    assert opened(world, narrow, "10.1.1.1") is None
    assert opened(world, narrow, "192.0.2.8") is None
    assert opened(world, narrow, "192.0.2.7") == world.partner
