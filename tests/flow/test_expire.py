"""The step that time takes: batch by batch, until nothing is left."""

import pytest

from ppcd.charge.rules import State
from tests.flow.world import World, now


def test_a_sweep_ends_all_that_is_due(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ppcd.flow.expire.BATCH", 2)
    charges = [world.a_charge() for _ in range(5)]
    world.store.ahead(601)
    now(world.expiry.sweep())
    assert {world.state(charge) for charge in charges} == {State.EXPIRED}
    assert len(world.offers.notified) == 5
    assert world.counted("charges", "expired") == 5


def test_holds_that_have_long_been_free_are_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppcd.flow.expire.BATCH", 2)
    for _ in range(5):
        world.a_charge()
    world.store.ahead(30 * 86_400)
    now(world.expiry.free_holds())
    assert world.store.query("SELECT count(*) FROM hold") == [(0,)]
