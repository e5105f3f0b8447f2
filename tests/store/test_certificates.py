"""Certificates: whose they are, and what ends them."""

from typing import Any

import pytest

from ppcd.store import certificates, keys
from ppcd.store.certificates import Registered, Shown
from tests.builders import Store


def a_certificate(store: Store, **what: Any) -> int:
    wanted: dict[str, Any] = {"fingerprint": None, "subject": None, "label": "", "scopes": None}
    added: int = store.run(certificates.add, partner_id=store.partner_id, **wanted | what)
    return added


def shown(store: Store, subject: str = "") -> Shown:
    number = store.number()
    return Shown(f"{number}".encode().ljust(32, b"+"), subject or f"CN=shop {number},O=A\\, B")


def partners(store: Store, *asked: Shown) -> list[int | None]:
    return [row and row.partner_id for row in store.run(certificates.holders, list(asked))]


def test_certificates_are_known_by_themselves_or_their_subject(store: Store) -> None:
    first, second, third = (shown(store) for _ in range(3))
    a_certificate(store, fingerprint=first.fingerprint)
    a_certificate(store, subject=second.subject)
    mine = store.partner_id
    assert partners(store, third, second, first, second) == [None, mine, mine, mine]


def test_one_that_is_registered_itself_says_more_than_its_subject(store: Store) -> None:
    both = shown(store)
    a_certificate(store, subject=both.subject, scopes=["all", "of", "them"])
    a_certificate(store, fingerprint=both.fingerprint, scopes=["one"])
    [holder] = store.run(certificates.holders, [both])
    assert holder is not None
    assert (holder.key_id, holder.scopes) == (None, ("one",))


def test_a_certificate_is_dead_when_it_or_its_partner_is(store: Store) -> None:
    mine = shown(store)
    number = a_certificate(store, fingerprint=mine.fingerprint)
    with pytest.raises(Registered):
        a_certificate(store, fingerprint=mine.fingerprint)
    for closed in (True, False):
        store.run(keys.close_partner, partner_id=store.partner_id, closed=closed)
        assert (partners(store, mine) == [None]) is closed
    args = {"partner_id": store.partner_id, "certificate_id": number}
    assert store.run(certificates.revoke, **args)
    assert not store.run(certificates.revoke, **args)
    assert partners(store, mine) == [None]
    a_certificate(store, fingerprint=mine.fingerprint)
    assert partners(store, mine) == [store.partner_id]


def test_a_partners_networks_hold_for_its_certificates(store: Store) -> None:
    mine = shown(store)
    a_certificate(store, fingerprint=mine.fingerprint)
    store.run(keys.set_networks, partner_id=store.partner_id, networks=["192.0.2.0/24"])
    [holder] = store.run(certificates.holders, [mine])
    assert holder is not None
    assert [str(n) for n in holder.partner_networks or ()] == ["192.0.2.0/24"]
    store.run(keys.set_networks, partner_id=store.partner_id, networks=None)
