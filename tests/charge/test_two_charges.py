"""Two charges of one subscriber, who only ever agrees to the first.

The danger: the SMSC delivers the first one's reply once more, or the person answers an old prompt
late, and a younger charge takes that for its own. Every order of events is searched with the real
reader and the real comparison; how an address is chosen is written down here once more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from ppcd.charge.reading import Confirmation, Reader, confirms

READER = Reader()
PRICE = "25"
DELIVERIES_MAX = 3


class Charge(NamedTuple):
    """One of the two, from its prompt on."""

    address: str
    code: str | None
    open: bool = True
    confirmed: bool = False


class World(NamedTuple):
    """All there is to know at one moment."""

    first: Charge
    second: Charge | None = None
    answered: bool = False
    deliveries: int = DELIVERIES_MAX


@dataclass(frozen=True)
class Policy:
    """How ppcd tells the two apart; a mutant weakens it."""

    pool: tuple[str, ...]
    holds: bool = True
    codes: bool = True
    confirms: Callable[..., Confirmation] = confirms

    def first_charge(self) -> Charge:
        """A pool of one asks for a code from the start."""
        return Charge(self.pool[0], "1111" if self.codes and len(self.pool) == 1 else None)

    def second_charge(self, first: Charge) -> Charge | None:
        """An address that is not held; else the held one and a code; none while it waits."""
        if not self.holds:
            return Charge(self.pool[0], None)
        for address in self.pool:
            if address != first.address:
                return Charge(address, None)
        if first.open:
            return None
        return Charge(first.address, "4821" if self.codes else None)


def steps(world: World, policy: Policy, text: str) -> Iterator[World]:
    if world.first.open:
        # Expired, cancelled, undeliverable: the person may answer all the same.
        yield world._replace(first=world.first._replace(open=False))
    if world.second is None:
        second = policy.second_charge(world.first)
        if second is not None:
            yield world._replace(second=second)
    if not world.answered:
        yield world._replace(answered=True)
    if world.answered and world.deliveries:
        # The answer arrives, or arrives again; with the address that the first prompt came from.
        yield _delivered(world._replace(deliveries=world.deliveries - 1), policy, text)


def _delivered(world: World, policy: Policy, text: str) -> World:
    def hears(charge: Charge | None) -> Charge | None:
        if charge is None or not charge.open or charge.address != world.first.address:
            return charge
        said = policy.confirms(READER.read(text), code=charge.code, major_number=PRICE)
        agreed = said is Confirmation.CONFIRMED
        return charge._replace(open=not agreed, confirmed=agreed)

    first = hears(world.first)
    assert first is not None
    return world._replace(first=first, second=hears(world.second))


def reachable(policy: Policy, text: str) -> set[World]:
    """Every moment that the events can lead to."""
    start = World(policy.first_charge())
    seen = {start}
    todo = [start]
    while todo:
        for after in steps(todo.pop(), policy, text):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def took_the_wrong_one(policy: Policy, text: str) -> bool:
    return any(world.second and world.second.confirmed for world in reachable(policy, text))


BARE_ANSWERS = ["ДА", "так", "1", "+", "ДА ДА", "да 25", "ДА 25,00"]


@pytest.mark.parametrize("pool", [("717100",), ("717100", "717101")], ids=["one", "two"])
def test_an_answer_never_confirms_a_younger_charge(pool: tuple[str, ...]) -> None:
    for text in [*BARE_ANSWERS, "ДА 1111", "да 1111 25"]:
        assert not took_the_wrong_one(Policy(pool), text), text


@pytest.mark.parametrize(("pool", "text"), [(("717100", "717101"), "ДА"), (("717100",), "ДА 1111")])
def test_the_right_answer_does_confirm_the_charge_it_was_given_to(
    pool: tuple[str, ...], text: str
) -> None:
    """Else the search above would be content with a gateway that never sells anything."""
    worlds = reachable(Policy(pool), text)
    assert any(world.first.confirmed for world in worlds)
    assert any(world.first.confirmed and world.second for world in worlds)


def code_is_ignored(reading, *, code, major_number):  # type: ignore[no-untyped-def]
    return confirms(reading, code=None, major_number=major_number)


def price_passes_for_the_code(reading, *, code, major_number):  # type: ignore[no-untyped-def]
    if reading.number == major_number:
        return Confirmation.CONFIRMED
    return confirms(reading, code=code, major_number=major_number)


def missing_code_passes(reading, *, code, major_number):  # type: ignore[no-untyped-def]
    if reading.number is None:
        return confirms(reading, code=None, major_number=major_number)
    return confirms(reading, code=code, major_number=major_number)


MUTANTS = {
    "no address is held": (Policy(("717100", "717101"), holds=False), "ДА"),
    "no code is asked for": (Policy(("717100",), codes=False), "ДА"),
    "the code is ignored": (Policy(("717100",), confirms=code_is_ignored), "ДА"),
    "the price passes for the code": (
        Policy(("717100",), confirms=price_passes_for_the_code),
        "да 25",
    ),
    "a missing code passes": (Policy(("717100",), confirms=missing_code_passes), "ДА"),
}


@pytest.mark.parametrize(("policy", "text"), MUTANTS.values(), ids=MUTANTS.keys())
def test_the_search_catches_that(policy: Policy, text: str) -> None:
    assert took_the_wrong_one(policy, text)
