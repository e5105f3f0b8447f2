"""The stand-in for billing keeps the contract of adapters."""

from typing import Any

import pytest
from twisted.internet.task import Clock

from ppcd.charge.debit import Abilities
from tests.billing.adapter_contract import AdapterContract, Fault, ReservingContract
from tests.flow.fakes import ABLE, RESERVING, Billing, FakeAdapter


class _World:
    def __init__(self, abilities: Abilities) -> None:
        self.clock = Clock()
        self.billing = Billing(abilities)
        self.adapter: Any = FakeAdapter(self.billing)

    def behave(self, fault: Fault) -> None:
        self.billing.faults.clear()
        self.billing.faults.append(fault)

    async def shut_down(self) -> None:
        self.billing.down = True

    async def zombies_rise(self) -> None:
        self.billing.rise()

    def asked(self, key: str) -> int:
        return sum(order.key == key for order in self.billing.asked)

    def debited(self, key: str) -> list[tuple[str, int, str]]:
        return self.billing.of(key)

    def refunded(self, key: str) -> list[tuple[str, int, str]]:
        return [entry[1:] for entry in self.billing.given_back if entry[0] == key]


class TestFakeAdapter(AdapterContract):
    @pytest.fixture
    def world(self) -> _World:
        return _World(ABLE)


class TestFakeReserving(ReservingContract):
    @pytest.fixture
    def world(self) -> _World:
        return _World(RESERVING)
