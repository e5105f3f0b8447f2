"""Keys: whom they open for, until when, and what is known of them."""

from ipaddress import ip_network
from typing import Any

import pytest

from ppcd.store import keys
from tests.builders import Store


def a_key(store: Store, label: str = "web", **limits: Any) -> tuple[int, bytes]:
    key_hash = f"{store.number()}".encode().ljust(32, b"-")
    key_id = store.run(
        keys.add_key, partner_id=store.partner_id, key_hash=key_hash, label=label, **limits
    )
    return key_id, key_hash


def opens(store: Store, key_hash: bytes) -> bool:
    return store.run(keys.holders, [key_hash]) != [None]


def first_key(store: Store) -> bytes:
    return store.partner.encode().ljust(32, b".")


def test_keys_are_answered_in_the_order_asked(store: Store) -> None:
    _, key = a_key(store)
    found = store.run(keys.holders, [key, b"3" * 32, first_key(store), key])
    mine = store.partner_id
    assert [row and row.partner_id for row in found] == [mine, None, mine, mine]


def test_a_key_without_limits_has_none(store: Store) -> None:
    _, key = a_key(store)
    [holder] = store.run(keys.holders, [key])
    assert holder is not None
    assert (holder.scopes, holder.key_networks, holder.partner_networks) == (None, None, None)


def test_a_key_says_what_it_may_do_and_from_where(store: Store) -> None:
    _, key = a_key(store, scopes=["a", "b"], networks=["192.0.2.0/24", "2001:db8::/32"])
    store.run(keys.set_networks, partner_id=store.partner_id, networks=["192.0.2.7/32"])
    [holder] = store.run(keys.holders, [key])
    assert holder is not None
    assert holder.scopes == ("a", "b")
    assert holder.key_networks == (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    assert holder.partner_networks == (ip_network("192.0.2.7/32"),)
    store.run(keys.set_networks, partner_id=store.partner_id, networks=None)
    [holder] = store.run(keys.holders, [key])
    assert holder is not None
    assert holder.partner_networks is None


def test_a_key_opens_until_it_expires(store: Store) -> None:
    _, key = a_key(store, lifetime_s=3600)
    assert opens(store, key)
    store.ahead(3599)
    assert opens(store, key)
    store.ahead(2)
    assert not opens(store, key)
    assert [row.expired for row in store.run(keys.keys, store.partner_id)] == [False, True]


def test_a_revoked_key_opens_nothing_and_the_others_do(store: Store) -> None:
    key_id, key = a_key(store)
    other = store.a_partner(f"other-{store.number()}")
    assert not store.run(keys.revoke_key, partner_id=other, key_id=key_id)
    assert opens(store, key)
    assert store.run(keys.revoke_key, partner_id=store.partner_id, key_id=key_id)
    assert not store.run(keys.revoke_key, partner_id=store.partner_id, key_id=key_id)
    assert not opens(store, key)
    assert opens(store, first_key(store))


def test_all_keys_but_one_are_revoked(store: Store) -> None:
    _, key = a_key(store)
    revoke = {"partner_id": store.partner_id, "except_hash": key}
    assert store.run(keys.revoke_keys, **revoke) == 1
    assert store.run(keys.revoke_keys, **revoke) == 0
    assert opens(store, key)
    assert not opens(store, first_key(store))


def test_a_closed_partners_keys_open_nothing(store: Store) -> None:
    store.query(
        "UPDATE partner SET closed_at = business_now() WHERE partner_id = %s", store.partner_id
    )
    assert not opens(store, first_key(store))


def test_a_key_of_the_previous_release_is_good_for_everything(store: Store) -> None:
    key = f"{store.number()}".encode().ljust(32, b"+")
    store.query(
        "INSERT INTO partner_key (key_hash, partner_id, label) VALUES (%s, %s, 'old')",
        key,
        store.partner_id,
    )
    assert opens(store, key)


@pytest.mark.parametrize("limits", [{"scopes": []}, {"networks": []}])
def test_a_key_for_nothing_is_a_mistake(store: Store, limits: Any) -> None:
    with pytest.raises(Exception, match="check constraint"):
        a_key(store, **limits)
