"""The Diameter adapter against an independent stack, over real TCP."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.protocols.portforward import ProxyFactory

from ppcd.billing.diameter.adapter import DiameterBilling
from ppcd.billing.diameter.currency import NUMERIC
from ppcd.billing.diameter.settings import DiameterBillingSettings
from ppcd.charge.debit import Debited, DenialReason, Denied, NotSent, Unknown
from ppcd.charge.money import Money
from ppcd.charge.reservation import Released
from ppcd.smpp.settings import TlsSettings
from ppcd.smpp.tls import server_tls
from tests.billing.adapter_contract import (
    PHONE,
    AdapterContract,
    Fault,
    ReservingContract,
    an_order,
    capture,
    debit,
    release,
    reserved,
)
from tests.billing.diameter.ocs import HOST, Ocs, compiled
from tests.peers import require_peer
from tests.smpp.authority import Authority

pytestmark = pytest.mark.peer

MODES = {
    Fault.NONE: "ok",
    Fault.INSUFFICIENT: "insufficient",
    Fault.BARRED: "barred",
    Fault.NO_SUCH_SUBSCRIBER: "unknown",
    Fault.LOST_REQUEST: "lost_request",
    Fault.LOST_ANSWER: "lost_answer",
    Fault.BUSY: "busy",
    Fault.ZOMBIE: "zombie",
    Fault.ERROR_BEFORE_DEBIT: "error_before",
    Fault.ERROR_AFTER_DEBIT: "error_after",
    Fault.GARBAGE: "other_money",
    Fault.RESET: "reset",
}

#: Less than a slow answer takes.
TIMEOUT_S = 1.0
LETTERS = {number: code for code, number in NUMERIC.items()}
#: A system keeps its books by session, and no two connections of one host: each test has its own.
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Ocs]]:
    """Gives a running system: the same one again while it lives."""
    require_peer("Erlang's diameter")
    directory = compiled(tmp_path_factory.mktemp("ocs"))
    running: dict[str, Ocs] = {}

    def give(host: str = HOST) -> Ocs:
        ocs = running.get(host)
        if ocs is None or not ocs.running:
            ocs = running[host] = Ocs(directory, host=host)
        return ocs

    yield give
    for ocs in running.values():
        ocs.end()


class OcsWorld:
    def __init__(self, reactor: Any, *systems: Ocs, **changes: Any) -> None:
        self._reactor = reactor
        self.systems = systems
        number = next(_NUMBERS)
        described = {
            "kind": "diameter",
            "origin_host": f"node{number}.ppcd.example",
            "origin_realm": "ppcd.example",
            "session_identity": f"sessions{number}.ppcd.example",
            "destination_realm": "operator.example",
            "service_context_id": "ppcd@operator.example",
            "peers": {
                f"peer{place}": {"host": "127.0.0.1", "port": ocs.port}
                for place, ocs in enumerate(systems)
            },
            "plaintext_ok": True,
            "answer_timeout_s": TIMEOUT_S,
            "reconnect_first_s": 0.01,
            "reopen_watchdogs": 1,
            "peer_wait_s": 3,
            "abilities": {
                "idempotent": True,
                "stores_refusals": True,
                "reversible": True,
                "reserving": True,
            },
        }
        settings = DiameterBillingSettings.model_validate(described | changes)
        self.session_identity = settings.session_identity
        self.origin_host = settings.origin_host
        self.adapter = DiameterBilling("main", settings, reactor=reactor, random=Random(1))
        self.adapter.start()
        self.behave(Fault.NONE)

    async def stop(self) -> None:
        await self.adapter.close()

    async def until_open(self) -> None:
        """All peers."""
        while not all(peer.is_open for peer in self.adapter.peers):
            await deferLater(self._reactor, 0.01)

    def behave(self, fault: Fault) -> None:
        self.mode(MODES[fault])

    def mode(self, mode: str) -> None:
        for ocs in self.systems:
            ocs.mode(PHONE.digits, mode)

    async def shut_down(self) -> None:
        for ocs in self.systems:
            ocs.end()

    async def zombies_rise(self) -> None:
        await deferLater(self._reactor, 1.7)

    def asked(self, key: str) -> int:
        return len(self.entries("asked", key))

    def debited(self, key: str) -> list[tuple[str, int, str]]:
        return self._moved("debited", key)

    def refunded(self, key: str) -> list[tuple[str, int, str]]:
        return self._moved("refunded", key)

    def _moved(self, event: str, key: str) -> list[tuple[str, int, str]]:
        moves = []
        for entry in self.entries(event, key):
            assert entry["exponent"] == -2
            moves.append((entry["msisdn"], entry["digits"], LETTERS[entry["currency"]]))
        return moves

    def entries(self, event: str, key: str) -> list[dict[str, Any]]:
        session = f"{self.session_identity};0;{key}"
        found = [entry for ocs in self.systems for entry in ocs.journal(event)]
        return [
            entry
            for entry in found
            if entry["session"].removesuffix(";refund_account").removesuffix(";session") == session
        ]


Make = Callable[..., OcsWorld]


@pytest_twisted.async_yield_fixture
async def make(reactor: Any, systems: Callable[..., Ocs]) -> AsyncIterator[Make]:
    worlds: list[OcsWorld] = []

    def make(*running: Ocs, **changes: Any) -> OcsWorld:
        worlds.append(OcsWorld(reactor, *(running or (systems(),)), **changes))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.stop()


@pytest.fixture
def world(make: Make) -> OcsWorld:
    return make()


class TestDiameterBilling(AdapterContract):
    # Diameter can't be asked what became of a debit, so there is nothing to hold it to.
    test_a_query_tells_of_a_kept_refusal = None  # type: ignore[assignment]
    test_not_found_proves_nothing_while_a_debit_may_be_late = None  # type: ignore[assignment]
    test_a_refund_may_be_late_too = None  # type: ignore[assignment]


class TestDiameterReserving(ReservingContract):
    # A session ends once, and whoever asks again is told how it did: nothing of ours ever captures
    # what it has asked to be released.
    test_what_is_released_cannot_be_captured = None  # type: ignore[assignment]

    @pytest_twisted.ensureDeferred
    async def test_a_session_begins_and_ends_and_its_second_request_is_another(
        self, world: OcsWorld
    ) -> None:
        order = await reserved(world)
        assert order.reservation == "ocs.operator.example"
        assert isinstance(await capture(world, order), Debited)
        begin, end = world.entries("asked", "1001")
        assert begin["session"] == end["session"]
        assert begin["session"].endswith(";session")
        assert begin["end_to_end"] != end["end_to_end"]
        assert [begin["repeat"], end["repeat"]] == [False, False]
        assert [e["event"] for e in world.entries("reserved", "1001")] == ["reserved"]

    @pytest_twisted.ensureDeferred
    async def test_a_release_says_that_nothing_was_used(self, world: OcsWorld) -> None:
        order = await reserved(world)
        assert await release(world, order) == Released()
        [entry] = world.entries("released", "1001")
        assert entry["digits"] == 0


class TestDiameterReservingInMultipleServices(TestDiameterReserving):
    @pytest.fixture
    def world(self, make: Make) -> OcsWorld:
        return make(use_mscc=True, service_identifier=7, rating_group=9)


class TestDiameterBillingInMultipleServices(TestDiameterBilling):
    @pytest.fixture
    def world(self, make: Make) -> OcsWorld:
        return make(use_mscc=True, service_identifier=7, rating_group=9)


@pytest_twisted.ensureDeferred
async def test_money_is_asked_for_with_its_exponent_and_numeric_currency(world: OcsWorld) -> None:
    for number, (currency, exponent) in enumerate({"JPY": 0, "KWD": -3}.items(), start=3000):
        order = an_order(str(number), money=Money(500, currency))
        assert isinstance(await debit(world, order), Debited)
        [entry] = world.entries("debited", str(number))
        assert (entry["digits"], entry["exponent"]) == (500, exponent)
        assert LETTERS[entry["currency"]] == currency


@pytest_twisted.ensureDeferred
async def test_a_repeat_has_the_t_flag_and_both_ids_of_the_first_attempt(world: OcsWorld) -> None:
    world.behave(Fault.LOST_ANSWER)
    await debit(world, an_order())
    await debit(world, an_order(attempt=2, repeat=True))
    first, again = world.entries("asked", "1001")
    assert [first["repeat"], again["repeat"]] == [False, True]
    assert first["end_to_end"] == again["end_to_end"]


@pytest_twisted.ensureDeferred
async def test_another_node_repeats_under_the_same_session(make: Make) -> None:
    first = make()
    other = make(session_identity=first.session_identity)
    first.behave(Fault.LOST_ANSWER)
    assert isinstance(await debit(first, an_order()), Unknown)
    again = await other.adapter.debit(an_order(attempt=2, repeat=True), may_send=lambda: True)
    assert isinstance(again, Debited)
    assert len(first.debited("1001")) == 1
    senders = [entry["from"] for entry in first.entries("asked", "1001")]
    assert senders == [first.origin_host, other.origin_host]


@pytest_twisted.ensureDeferred
async def test_an_error_answer_is_followed_by_a_request_without_the_t_flag(world: OcsWorld) -> None:
    world.mode("undeliverable")
    assert await debit(world, an_order()) == Unknown("result 3002")
    assert isinstance(await debit(world, an_order(attempt=2, repeat=True)), Debited)
    assert [entry["repeat"] for entry in world.entries("asked", "1001")] == [False, False]
    assert len(world.debited("1001")) == 1


@pytest_twisted.ensureDeferred
async def test_a_late_debit_is_not_asked_for_again(world: OcsWorld, reactor: Any) -> None:
    world.mode("slow")
    assert isinstance(await debit(world, an_order()), Unknown)
    while isinstance(await world.adapter.query(an_order()), Unknown):
        await deferLater(reactor, 0.02)
    assert isinstance(await debit(world, an_order(attempt=2, repeat=True)), Debited)
    assert world.asked("1001") == 1


@pytest_twisted.ensureDeferred
async def test_a_vendors_refusal_counts_once_it_is_configured(make: Make) -> None:
    silent = make()
    silent.mode("vendor")
    assert await debit(silent, an_order()) == Unknown("result 10415:4241")
    told = make(vendor_refusals={"10415:4241": "SERVICE_DENIED"})
    told.mode("vendor")
    assert await debit(told, an_order()) == Denied(DenialReason.SERVICE_DENIED, "10415:4241")


@pytest_twisted.ensureDeferred
async def test_what_must_be_mended_denies_and_alarms(world: OcsWorld) -> None:
    world.mode("unrated")
    assert await debit(world, an_order()) == Denied(DenialReason.BILLING_REJECTED, "5031")


@pytest_twisted.ensureDeferred
async def test_the_balance_can_be_asked_without_touching_it(world: OcsWorld) -> None:
    assert await world.adapter.balance_suffices(an_order()) is True
    world.behave(Fault.INSUFFICIENT)
    assert await world.adapter.balance_suffices(an_order("1002")) is False
    assert world.debited("1001") == []
    await world.shut_down()
    assert await world.adapter.balance_suffices(an_order()) is None


@pytest_twisted.ensureDeferred
async def test_the_second_peer_takes_over_when_the_first_is_gone(
    make: Make, systems: Callable[..., Ocs], reactor: Any
) -> None:
    first, second = systems("first.operator.example"), systems("second.operator.example")
    world = make(first, second, answer_timeout_s=25)
    await world.until_open()
    world.mode("lost_answer")
    asked = Deferred.fromCoroutine(debit(world, an_order()))
    while not first.journal("asked"):
        await deferLater(reactor, 0.01)
    first.end()
    # At once, and not when the time for an answer is over.
    assert isinstance(await asked, Unknown)
    world.systems = (second,)
    world.behave(Fault.NONE)
    assert isinstance(await debit(world, an_order("1002")), Debited)
    assert len(second.journal("debited")) == 1


@pytest_twisted.ensureDeferred
async def test_a_peer_that_is_too_busy_hands_over_to_the_other(
    make: Make, systems: Callable[..., Ocs]
) -> None:
    first, second = systems("first.operator.example"), systems("second.operator.example")
    world = make(first, second)
    await world.until_open()
    first.mode(PHONE.digits, "busy")
    assert isinstance(await debit(world, an_order()), Debited)
    asked = [entry["repeat"] for entry in world.entries("asked", "1001")]
    assert asked == [False, False]
    assert len(world.debited("1001")) == 1


@pytest_twisted.ensureDeferred
async def test_an_impostor_is_not_asked_for_money(make: Make, systems: Callable[..., Ocs]) -> None:
    ocs = systems()
    peer = {"host": "127.0.0.1", "port": ocs.port, "identity": "other.operator.example"}
    world = make(ocs, peers={"main": peer}, peer_wait_s=0.2)
    assert await debit(world, an_order()) == NotSent("no Diameter peer is open")
    assert world.asked("1001") == 0


@pytest_twisted.ensureDeferred
async def test_tls_stands_before_the_first_message(
    make: Make, systems: Callable[..., Ocs], reactor: Any, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate_file, key_file = authority.certify("ocs")
    shown = TlsSettings(certificate_file=certificate_file, key_file=key_file)
    ocs = systems()
    # The charging system's own network ends TLS before it.
    proxy = ProxyFactory("127.0.0.1", ocs.port)
    port = reactor.listenSSL(0, proxy, server_tls(shown), interface="127.0.0.1")
    peers = {"main": {"host": "127.0.0.1", "port": port.getHost().port}}
    trusting = make(ocs, peers=peers, tls={"ca_file": authority.ca_file}, plaintext_ok=False)
    assert isinstance(await debit(trusting, an_order()), Debited)
    tls = {"ca_file": Authority(tmp_path, "somebody else").ca_file}
    doubting = make(ocs, peers=peers, tls=tls, peer_wait_s=0.3)
    assert isinstance(await debit(doubting, an_order()), NotSent)
    assert doubting.asked("1001") == 0
    await gatherResults([Deferred.fromCoroutine(w.stop()) for w in (trusting, doubting)])
    await port.stopListening()
