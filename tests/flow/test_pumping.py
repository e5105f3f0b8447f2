"""A partner to which few say yes may ask only so much, over all nodes; on the real database."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from ppcd.flow.pumping import Pumping, PumpingRules
from ppcd.store import charges, creation, pumping
from ppcd.store.creation import Created
from ppcd.store.lanes import Direct
from ppcd.store.pumping import Asked
from ppcd.store.rows import NewCharge
from ppcd.store.subscribers import Spared, Why
from tests.builders import LEASE_S, Store
from tests.flow.world import World, now

LOW = PumpingRules(agreed_min=0.5, window_s=3600, asked_min=4, per_minute=2)


class Floor:
    """One partner's charges, and who is slowed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rules = LOW
        self.slow: Mapping[int, int] = {}
        self.pumping = Pumping(
            lanes=world.runner,
            rules=lambda: self.rules,
            metrics=world.metrics,
            apply=lambda slow: setattr(self, "slow", slow),
        )

    def end(self, *texts: str) -> None:
        """So many phones are asked, and answer so."""
        for text in texts:
            charge = self.world.a_charge()
            if text:
                self.world.answer(charge, text)
            else:
                args: dict[str, Any] = {"partner_id": charge.partner_id, "lease_s": LEASE_S}
                self.world.store.run(charges.cancel, charge.charge_id, **args)

    def look(self) -> Mapping[int, int]:
        now(self.pumping.look())
        mine = self.world.partner.partner_id
        return {partner: most for partner, most in self.slow.items() if partner == mine}

    def figures(self) -> Asked | None:
        asked = self.world.store.run(pumping.asked_of_late, window_s=3600, asked_min=1)
        mine = [a for a in asked if a.partner_id == self.world.partner.partner_id]
        return mine[0] if mine else None


@pytest.fixture
def floor(world: World) -> Floor:
    return Floor(world)


def create(store: Store, *batch: NewCharge, per_minute: int = 2) -> list[Any]:
    slow = {store.partner_id: per_minute}
    found: list[Any] = store.run(creation.create, list(batch), lease_s=LEASE_S, slow=slow)
    return found


def test_whom_few_agree_with_is_slowed_until_more_do(floor: Floor) -> None:
    mine = floor.world.partner.partner_id
    floor.end("НЕТ", "НЕТ", "")
    assert floor.look() == {}, "three charges say nothing yet"
    floor.end("НЕТ")
    assert floor.look() == {mine: 2}
    [status] = [s for s in floor.pumping.status() if s["partner"] == floor.world.partner.name]
    assert (status["asked"], status["agreed"], status["per_minute"]) == (4, 0, 2)
    assert floor.world.metrics.partners_slowed.child().value == len(floor.slow)
    floor.end("ДА", "ДА", "ДА", "ДА")
    assert floor.look() == {}


def test_a_yes_that_billing_denies_is_a_yes(floor: Floor) -> None:
    floor.end("НЕТ", "", "ДА")
    assert floor.figures() == Asked(
        floor.world.partner.partner_id, floor.world.partner.name, asked=3, agreed=1
    )


def test_only_the_window_counts(floor: Floor) -> None:
    floor.end("НЕТ", "НЕТ", "НЕТ", "НЕТ")
    floor.world.store.ahead(3601)
    assert floor.figures() is None


def test_without_a_floor_nobody_is_slowed_and_who_was_is_let_go(floor: Floor) -> None:
    floor.end("НЕТ", "НЕТ", "НЕТ", "НЕТ")
    assert floor.look()
    floor.rules = PumpingRules(agreed_min=0, window_s=3600, asked_min=4, per_minute=2)
    assert floor.look() == {}
    assert floor.pumping.status() == []


# --- how much a slowed partner may ask ----------------------------------------------------------


def test_a_slowed_partner_has_so_many_a_minute(store: Store) -> None:
    first = create(store, *(store.a_new_charge() for _ in range(3)))
    assert [type(result) for result in first] == [Created, Created, Spared]
    assert first[2].why is Why.SLOWED
    assert 55 < first[2].retry_after_s <= 60
    store.ahead(30)
    [later] = create(store, store.a_new_charge())
    assert 25 < later.retry_after_s <= 30
    store.ahead(31)
    assert isinstance(create(store, store.a_new_charge())[0], Created)


def test_a_charge_that_was_held_back_can_be_tried_again_as_it_is(store: Store) -> None:
    new = store.a_new_charge()
    create(store, store.a_new_charge(), store.a_new_charge())
    assert isinstance(create(store, new)[0], Spared)
    store.ahead(61)
    assert isinstance(create(store, new)[0], Created)


def test_other_partners_are_not_held_back(store: Store) -> None:
    other = f"other-{store.number()}"
    theirs = [
        store.a_new_charge(partner_id=store.a_partner(other), partner=other) for _ in range(1)
    ]
    mine = [store.a_new_charge() for _ in range(3)]
    results = create(store, *mine, *theirs)
    assert [isinstance(result, Created) for result in results] == [True, True, False, True]


def test_nodes_together_let_no_more_through(store: Store) -> None:
    batches = [[store.a_new_charge() for _ in range(3)] for _ in range(4)]
    results: list[Any] = []

    def node(batch: list[NewCharge]) -> None:
        with Direct(store.dsn) as direct:
            slow = {store.partner_id: 5}
            results.extend(direct.run(creation.create, batch, lease_s=LEASE_S, slow=slow))

    threads = [threading.Thread(target=node, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(result, Created) for result in results) == 5
