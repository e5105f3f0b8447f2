"""Pages of a partner's charges."""

from typing import Any

import pytest

from ppcd.charge.rules import State
from ppcd.flow import listing
from ppcd.flow.listing import Criteria, Listings, Page, Standing, TooMany
from tests.flow.world import World, now


def _page(world: World, offset: int = 0, limit: int = 10, **criteria: Any) -> Page:
    listings = Listings(lanes=world.runner)
    page = now(
        listings.find(
            world.partner, Criteria(**criteria), offset=offset, limit=limit, newest_first=True
        )
    )
    assert isinstance(page, Page)
    return page


def test_pages_follow_each_other_and_all_know_the_total(world: World) -> None:
    ids = [world.a_charge().charge_id for _ in range(5)]
    first, second, none = (_page(world, offset, 3) for offset in (0, 3, 6))
    assert [view.charge_id for view in [*first.charges, *second.charges]] == ids[::-1]
    assert (first.total, second.total, none.total) == (5, 5, 5)
    assert none.charges == []


def test_a_page_shows_what_became_of_its_charges(world: World) -> None:
    charge = world.a_charge()
    world.answer(charge, "нет")
    world.a_charge()
    [view] = _page(world, standings=(Standing("declined", False, False),)).charges
    assert (view.charge_id, view.state) == (charge.charge_id, State.DECLINED)


def test_who_has_too_many_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT_MAX", 1)
    world.a_charge()
    assert _page(world).total == 1
    world.a_charge()
    asked = Listings(lanes=world.runner).find(
        world.partner, Criteria(), offset=0, limit=1, newest_first=False
    )
    assert now(asked) == TooMany()
