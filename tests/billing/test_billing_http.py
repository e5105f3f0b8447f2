"""The HTTP adapter against the simulated billing, over real TCP."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from ppcd.billing.http import HttpBilling
from ppcd.billing.settings import HttpBillingSettings
from ppcd.charge.debit import Debited, DenialReason, Denied, NotFound, NotSent, Unknown
from ppcd.http.client import Client
from ppcd.sim.accounts import Mode
from ppcd.sim.billing import Billing, BillingOptions
from ppcd.sim.journal import read_journal, utc_now
from ppcd.sim.web import Route
from tests.billing.adapter_contract import (
    PHONE,
    AdapterContract,
    Fault,
    ReservingContract,
    a_refund,
    an_order,
    debit,
    refund,
)

MODES = {
    Fault.NONE: Mode.OK,
    Fault.INSUFFICIENT: Mode.INSUFFICIENT,
    Fault.BARRED: Mode.BARRED,
    Fault.NO_SUCH_SUBSCRIBER: Mode.UNKNOWN,
    Fault.OVER_LIMIT: Mode.LIMIT,
    Fault.REJECTED: Mode.REJECTED,
    Fault.LOST_REQUEST: Mode.TIMEOUT,
    Fault.LOST_ANSWER: Mode.TIMEOUT_AFTER_DEBIT,
    Fault.BUSY: Mode.UNAVAILABLE,
    Fault.ZOMBIE: Mode.ZOMBIE,
    Fault.ERROR_BEFORE_DEBIT: Mode.ERROR_BEFORE_DEBIT,
    Fault.ERROR_AFTER_DEBIT: Mode.ERROR_AFTER_DEBIT,
    Fault.GARBAGE: Mode.GARBAGE,
    Fault.RESET: Mode.RESET,
}

#: The adapter must give up before a zombie rises.
TIMEOUT_S = 0.4
ZOMBIE_S = 0.9


KEPT = {"idempotent": True, "queryable": True, "stores_refusals": True}


REASONS = {
    "insufficient": "INSUFFICIENT_FUNDS",
    "barred": "SERVICE_DENIED",
    "unknown": "USER_UNKNOWN",
    "limit": "LIMIT_EXCEEDED",
}


def settings_for(url: str, **changes: Any) -> HttpBillingSettings:
    described = {
        "url": f"{url}/billing/debits",
        "query_url": f"{url}/billing/debits/{{key}}",
        "timeout_s": TIMEOUT_S,
        "abilities": {**KEPT, "reversible": True, "reserving": True},
        "answer": {
            "reasons": REASONS,
            "echoes": {"key": "key", "amount_minor": "amount_minor", "currency": "currency"},
            "not_processed_statuses": [503],
            "not_found": ["not_found", "released"],
        },
        "reserve": {
            "url": f"{url}/billing/reservations",
            "answer": {"reasons": REASONS, "not_processed_statuses": [503]},
        },
        "capture": {
            "url": f"{url}/billing/captures",
            "answer": {"reasons": REASONS, "not_processed_statuses": [503]},
        },
        "release": {
            "url": f"{url}/billing/releases",
            "answer": {"not_processed_statuses": [503]},
        },
        "refund": {
            "url": f"{url}/billing/refunds",
            "query": {"url": f"{url}/billing/refunds/{{key}}"},
            "abilities": KEPT,
            "answer": {
                "reasons": {"barred": "SERVICE_DENIED", "unknown": "USER_UNKNOWN"},
                "echoes": {"debit_key": "debit_key", "amount_minor": "amount_minor"},
                "not_processed_statuses": [503],
            },
        },
    }
    return HttpBillingSettings.model_validate(described | changes)


class HttpWorld:
    def __init__(
        self, reactor: Any, data_dir: Path, *, fake: type[Billing] = Billing, **options: Any
    ) -> None:
        self._reactor = reactor
        self._journal = data_dir / "billing.jsonl"
        self.billing: Any = fake(
            reactor, BillingOptions(data_dir=data_dir, zombie_s=ZOMBIE_S, **options)
        )
        self.adapter: HttpBilling

    async def start(self, credentials: str | None = None, **changes: Any) -> None:
        await self.billing.start()
        settings = settings_for(self.billing.url, **changes)
        client = Client(self._reactor, connections_per_host_max=settings.connections_max)
        self.adapter = HttpBilling(
            "main", settings, client=client, now=utc_now, credentials=credentials
        )

    async def stop(self) -> None:
        await self.adapter.close()
        await self.billing.stop()

    def behave(self, fault: Fault) -> None:
        self.billing.behave(PHONE.digits, MODES[fault])

    async def shut_down(self) -> None:
        await self.billing.stop()

    async def zombies_rise(self) -> None:
        await deferLater(self._reactor, ZOMBIE_S)

    def asked(self, key: str) -> int:
        return len(self._entries("debit_asked", key) + self._entries("refund_asked", key))

    def debited(self, key: str) -> list[tuple[str, int, str]]:
        return self._moved("debited", key)

    def refunded(self, key: str) -> list[tuple[str, int, str]]:
        return self._moved("refunded", key)

    def _moved(self, kind: str, key: str) -> list[tuple[str, int, str]]:
        return [
            (entry["msisdn"], entry["amount_minor"], entry["currency"])
            for entry in self._entries(kind, key)
        ]

    def _entries(self, kind: str, key: str) -> list[dict[str, Any]]:
        entries = read_journal(self._journal)
        return [entry for entry in entries if entry["entry"] == kind and entry["key"] == key]


Start = Callable[..., Awaitable[HttpWorld]]


@pytest_twisted.async_yield_fixture
async def start(reactor: Any, tmp_path: Path) -> AsyncIterator[Start]:
    worlds: list[HttpWorld] = []

    async def make(credentials: str | None = None, **options: Any) -> HttpWorld:
        worlds.append(HttpWorld(reactor, tmp_path, **options))
        await worlds[-1].start(credentials)
        return worlds[-1]

    yield make
    for world in worlds:
        await world.stop()


@pytest_twisted.async_yield_fixture
async def world(reactor: Any, tmp_path: Path) -> AsyncIterator[HttpWorld]:
    world = HttpWorld(reactor, tmp_path)
    await world.start()
    yield world
    await world.stop()


class TestHttpBilling(AdapterContract, ReservingContract):
    pass


@pytest.mark.parametrize(
    ("fault", "denied"),
    [
        (Fault.OVER_LIMIT, Denied(DenialReason.LIMIT_EXCEEDED, "limit")),
        (Fault.REJECTED, Denied(DenialReason.BILLING_REJECTED, "rejected")),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_refusal_has_the_reason_that_its_word_is_said_to_have(
    world: HttpWorld, fault: Fault, denied: Denied
) -> None:
    world.behave(fault)
    assert await debit(world, an_order()) == denied
    assert world.debited("1001") == []


@pytest_twisted.ensureDeferred
async def test_busy_says_when_to_come_back(world: HttpWorld) -> None:
    world.behave(Fault.BUSY)
    answer = await debit(world, an_order())
    assert answer == NotSent("status 503", 1.0)
    assert isinstance(await world.adapter.query(an_order()), NotSent)


@pytest_twisted.ensureDeferred
async def test_credentials_open_the_door(start: Start) -> None:
    world = await start("Bearer s3cret", token="s3cret")
    assert isinstance(await debit(world, an_order()), Debited)


@pytest_twisted.ensureDeferred
async def test_wrong_credentials_are_unknown_not_denied(start: Start) -> None:
    world = await start(token="s3cret")
    assert await debit(world, an_order()) == Unknown("status 401")
    assert world.asked("1001") == 0


@pytest_twisted.ensureDeferred
async def test_a_billing_that_can_not_be_asked_says_so(reactor: Any, tmp_path: Path) -> None:
    world = HttpWorld(reactor, tmp_path)
    nothing_else = dict.fromkeys(("query_url", "refund", "reserve", "capture", "release"))
    await world.start(abilities={"idempotent": True}, **nothing_else)
    assert isinstance(await world.adapter.query(an_order()), Unknown)
    assert isinstance(await world.adapter.query_refund(a_refund()), Unknown)
    assert not world.adapter.refund_abilities.reversible
    assert isinstance(await refund(world, a_refund()), NotSent)
    for step in (world.adapter.reserve, world.adapter.capture, world.adapter.release):
        assert isinstance(await step(an_order(), may_send=lambda: True), NotSent)
    await world.stop()


@pytest_twisted.ensureDeferred
async def test_it_declares_what_the_settings_promise(world: HttpWorld) -> None:
    assert world.adapter.name == "main"
    assert world.adapter.abilities.idempotent
    assert world.adapter.abilities.queryable
    assert world.adapter.abilities.stores_refusals
    assert world.adapter.abilities.reserving


@pytest.mark.parametrize(("statuses", "says"), [([], Unknown), (["404"], NotFound)])
@pytest_twisted.ensureDeferred
async def test_a_404_that_is_not_billings_own_word_is_believed_only_if_the_operator_says_so(
    reactor: Any, tmp_path: Path, statuses: list[str], says: type
) -> None:
    class Elsewhere(Billing):
        """There is nothing where it is asked."""

        def routes(self) -> Sequence[Route]:
            return [route for route in super().routes() if route.method == "POST"]

    world = HttpWorld(reactor, tmp_path, fake=Elsewhere)
    await world.start(answer={"not_found_statuses": statuses})
    await debit(world, an_order())
    assert isinstance(await world.adapter.query(an_order()), says)
    await world.stop()
