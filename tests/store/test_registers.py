"""Registers: partners, keys, tariffs, reply addresses and stop buttons."""

import pytest

from ppcd.store import registers
from ppcd.store.registers import PartnerRow, Taken, TariffRow, Unknown
from ppcd.store.rows import Address
from tests.builders import Store


def test_a_partner_is_found_by_name_and_among_all(store: Store) -> None:
    row = store.run(registers.partner_named, store.partner)
    assert row == PartnerRow(
        store.partner_id, store.partner, "Game Shop", "ru", "https://shop.example/hook"
    )
    assert row in store.run(registers.partners)
    with pytest.raises(Unknown):
        store.run(registers.partner_named, "nobody")


def test_a_name_is_taken_once(store: Store) -> None:
    with pytest.raises(Taken):
        store.a_partner(store.partner)


def test_a_webhooks_address_and_secret_change_apart(store: Store) -> None:
    store.run(registers.set_webhook, partner_id=store.partner_id, url="https://x.example/")
    secrets = "SELECT webhook_url, webhook_secret, webhook_secret_before FROM partner"
    secrets += " WHERE partner_id = %s"
    assert store.query(secrets, store.partner_id) == [("https://x.example/", b"secret", None)]
    store.run(registers.set_webhook, partner_id=store.partner_id, url=None)
    store.run(
        registers.rotate_webhook_secret,
        partner_id=store.partner_id,
        secret=b"two",
        overlap_s=60,
    )
    assert store.query(secrets, store.partner_id) == [(None, b"two", b"secret")]


def test_tariffs_are_a_partners_own_and_taken_once(store: Store) -> None:
    gold = TariffRow("gold-250", 2500, "UAH", "250 gold", None)
    slow = TariffRow("slow", 500, "UAH", "slow", 300)
    for tariff in (slow, gold):
        store.run(registers.add_tariff, partner_id=store.partner_id, tariff=tariff)
    assert store.run(registers.tariffs, store.partner_id) == [gold, slow]
    with pytest.raises(Taken):
        store.run(registers.add_tariff, partner_id=store.partner_id, tariff=gold)
    other = store.a_partner(f"other-{store.number()}")
    assert store.run(registers.tariffs, other) == []


def test_an_address_keeps_its_number_for_ever(store: Store) -> None:
    store.query("DELETE FROM reply_address")
    first = store.run(registers.register_addresses, {"a": ["100", "101"]})
    assert first == {"a": (Address(0, "100"), Address(1, "101"))}
    # 100 leaves the pool and comes back for another route; 102 is new.
    assert store.run(registers.register_addresses, {"a": ["101", "102"]}) == {
        "a": (Address(1, "101"), Address(2, "102"))
    }
    assert store.run(registers.register_addresses, {"b": ["100"]}) == {"b": (Address(0, "100"),)}
    assert store.query("SELECT route FROM reply_address WHERE address = '100'") == [("b",)]


def test_there_are_a_thousand_addresses_and_no_more(store: Store) -> None:
    store.query("DELETE FROM reply_address")
    many = {"a": [str(number) for number in range(1000)]}
    assert store.run(registers.register_addresses, many)["a"][-1] == Address(999, "999")
    with pytest.raises(ValueError, match="1000 reply addresses: 5000 "):
        store.run(registers.register_addresses, {"a": ["5000"]})


def test_a_stop_button_is_pressed_and_released_once(store: Store) -> None:
    debits = {"kind": "debits", "partner": "", "adapter": "sim"}
    prompts = {"kind": "prompts", "partner": "shop", "adapter": ""}
    assert [store.run(registers.pause, **debits) for _ in range(2)] == [True, False]
    assert store.run(registers.pause, **prompts)
    assert [(p.kind, p.partner, p.adapter) for p in store.run(registers.pauses)] == [
        ("debits", "", "sim"),
        ("prompts", "shop", ""),
    ]
    assert [store.run(registers.resume, **debits) for _ in range(2)] == [True, False]
    assert len(store.run(registers.pauses)) == 1
