"""The SQL adapter against a billing database on a real PostgreSQL, over a network that fails."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
import pytest_twisted
import yaml
from pydantic import ValidationError
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from ppcd.billing.sql import SqlBilling, lanes_for
from ppcd.billing.sql_settings import SqlBillingSettings
from ppcd.charge.debit import Debited, DenialReason, Denied, NotFound, NotSent, Reserved, Unknown
from ppcd.charge.money import Money
from ppcd.charge.refund import Refunded
from ppcd.charge.reservation import Released
from tests.billing import misbehaving
from tests.billing.adapter_contract import (
    PHONE,
    AdapterContract,
    Fault,
    ReservingContract,
    a_refund,
    an_order,
)
from tests.billing.misbehaving import EXAMPLES
from tests.postgres import query
from tests.store.proxy import Cut, Proxy

#: How the faults of the interface come about: on the way of the commit.
CUTS = {
    Fault.LOST_REQUEST: Cut.BEFORE,
    Fault.LOST_ANSWER: Cut.AFTER,
    Fault.RESET: Cut.AFTER,
    Fault.ZOMBIE: Cut.LATER,
}
KEPT = {"idempotent": "true", "queryable": "true", "stores_refusals": "true"}
#: What belongs to payments in two steps, left out.
NO_STEPS = {"reserve": None, "capture": None, "release": None}


def settings_for(dsn: str, /, **changes: Any) -> SqlBillingSettings:
    described = misbehaving.described(dsn)
    return SqlBillingSettings.model_validate(described | changes)


class SqlWorld:
    def __init__(self, reactor: Any, dsn: str, proxy: Proxy) -> None:
        self._reactor = reactor
        self._dsn = dsn
        self._proxy = proxy
        misbehaving.create(self.sql)
        query(dsn, "INSERT INTO billing.account VALUES (%s, 'UAH', 1000000, false)", PHONE.digits)
        self.adapter = self.an_adapter()

    def an_adapter(self, **changes: Any) -> SqlBilling:
        settings = settings_for(self._proxy.dsn, **changes)
        lanes = lanes_for(settings, settings.dsn, reactor=self._reactor)
        return SqlBilling("main", settings, lanes=lanes, close=lanes.close)

    def behave(self, fault: Fault) -> None:
        misbehaving.behave(self.sql, PHONE.digits, fault)
        self.sql("UPDATE billing.account SET balance_minor = 1000000, barred = false")
        if fault in CUTS:
            self._proxy.cut(b"COMMIT", CUTS[fault])
        elif fault is Fault.INSUFFICIENT:
            self.sql("UPDATE billing.account SET balance_minor = 2499")
        elif fault is Fault.BARRED:
            self.sql("UPDATE billing.account SET barred = true")
        elif fault is Fault.NO_SUCH_SUBSCRIBER:
            self.sql("DELETE FROM billing.account")

    def sql(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        return query(self._dsn, statement, *args)

    async def shut_down(self) -> None:
        self._proxy.refuse()

    async def zombies_rise(self) -> None:
        self._proxy.let_go()
        while not self.debited("1001") or (self.asked("9001") and not self.refunded("9001")):
            await deferLater(self._reactor, 0.02)

    def asked(self, key: str) -> int:
        return int(self.sql("SELECT count(*) FROM asked WHERE key = %s", key)[0][0])

    def debited(self, key: str) -> list[tuple[str, int, str]]:
        return self.sql(
            "SELECT msisdn, amount_minor, currency FROM billing.movement WHERE key = %s", key
        )

    def refunded(self, key: str) -> list[tuple[str, int, str]]:
        return [(msisdn, -amount, cur) for msisdn, amount, cur in self.debited(key)]


@pytest.fixture
def proxy(bare_database: str) -> Iterator[Proxy]:
    with Proxy(bare_database) as proxy:
        yield proxy


@pytest_twisted.async_yield_fixture
async def world(reactor: Any, bare_database: str, proxy: Proxy) -> AsyncIterator[SqlWorld]:
    world = SqlWorld(reactor, bare_database, proxy)
    yield world
    await world.adapter.close()


class TestSqlBilling(AdapterContract, ReservingContract):
    pass


@pytest_twisted.ensureDeferred
async def test_the_example_works_as_it_stands(world: SqlWorld) -> None:
    example = yaml.load((EXAMPLES / "postgresql.yaml").read_text(), yaml.BaseLoader)
    section = example["billing"]["postgresql"]
    adapter = world.an_adapter(
        **{key: section[key] for key in ("debit", "query", "answer", "refund", *NO_STEPS)}
    )
    answer = await adapter.debit(an_order(), may_send=lambda: True)
    assert answer == Debited("M1")
    assert await adapter.query(an_order()) == answer
    half = a_refund(money=Money(1500, "UAH"))
    assert await adapter.refund(half, may_send=lambda: True) == Refunded("M2")
    assert await adapter.query_refund(half) == Refunded("M2")
    more = await adapter.refund(a_refund("9002", money=half.money), may_send=lambda: True)
    assert more == Denied(DenialReason.BILLING_REJECTED, "too_much")
    other = await adapter.refund(a_refund("9003", debit_key="7"), may_send=lambda: True)
    assert other == Denied(DenialReason.BILLING_REJECTED, "no_such_debit")
    for key, takes in (("1003", "capture"), ("1004", "release")):
        held = await adapter.reserve(an_order(key), may_send=lambda: True)
        assert held == Reserved(f"H-{key}")
        assert await adapter.query(an_order(key)) == held
        await getattr(adapter, takes)(an_order(key), may_send=lambda: True)
    assert await adapter.query(an_order("1003")) == Debited("M3")
    assert await adapter.query(an_order("1004")) == NotFound()
    world.behave(Fault.BARRED)
    refused = await adapter.debit(an_order("1002"), may_send=lambda: True)
    assert refused == Denied(DenialReason.SERVICE_DENIED, "barred")
    await adapter.close()


@pytest_twisted.ensureDeferred
async def test_a_node_that_sleeps_before_its_commit_debits_nothing(world: SqlWorld) -> None:
    """The commit is held back for longer than the server waits for it."""
    adapter = world.an_adapter(timeout_s="0.2", commit_timeout_s="2")
    world.behave(Fault.ZOMBIE)
    answer = await adapter.debit(an_order(), may_send=lambda: True)
    assert isinstance(answer, NotSent | Unknown)
    world._proxy.let_go()
    await adapter.close()
    assert world.debited("1001") == []
    assert await world.adapter.query(an_order()) == NotFound()


@pytest_twisted.ensureDeferred
async def test_a_statement_that_takes_too_long_did_nothing(world: SqlWorld) -> None:
    slow = "SELECT d.* FROM billing.debit({key}, {msisdn}, {amount_minor}, {currency}) d, "
    adapter = world.an_adapter(timeout_s="0.2", debit=slow + "LATERAL (SELECT pg_sleep(60)) s")
    assert isinstance(await adapter.debit(an_order(), may_send=lambda: True), NotSent)
    await adapter.close()
    assert world.debited("1001") == []


def _sharing(world: SqlWorld, **changes: Any) -> SqlBilling:
    """An adapter that asks over one connection for several debits at once."""
    return world.an_adapter(**{"connections_max": "1", "together_max": "10"} | changes)


async def _debit_all(adapter: SqlBilling, may_send: Callable[[str], bool]) -> dict[str, Any]:
    asking = {
        key: Deferred.fromCoroutine(adapter.debit(an_order(key), may_send=partial(may_send, key)))
        for key in KEYS
    }
    answers = {key: await answer for key, answer in asking.items()}
    await adapter.close()
    return answers


def _always(key: str) -> bool:
    return True


def _transactions(world: SqlWorld) -> int:
    return int(world.sql("SELECT count(DISTINCT xmin::text) FROM billing.movement")[0][0])


KEYS = [str(key) for key in range(2001, 2007)]


@pytest_twisted.ensureDeferred
async def test_debits_share_a_transaction_where_the_operator_says_so(world: SqlWorld) -> None:
    answers = await _debit_all(_sharing(world), lambda key: key != "2003")
    assert isinstance(answers.pop("2003"), NotSent)
    assert all(isinstance(answer, Debited) for answer in answers.values())
    assert len({answer.reference for answer in answers.values()}) == 5
    # The first found the connection free; the others came while it was at work.
    assert _transactions(world) == 2
    assert world.debited("2003") == []


@pytest_twisted.ensureDeferred
async def test_without_that_each_has_its_own(world: SqlWorld) -> None:
    answers = await _debit_all(_sharing(world, together_max="1"), _always)
    assert all(isinstance(answer, Debited) for answer in answers.values())
    assert _transactions(world) == len(KEYS)


@pytest.mark.parametrize(
    "trouble",
    [
        "WHERE 1 / ({key}::bigint - 2004) IS NOT NULL",
        ", LATERAL (SELECT pg_sleep(CASE WHEN {key} = '2004' THEN 60 END)) s",
    ],
)
@pytest_twisted.ensureDeferred
async def test_one_that_fails_fails_alone(world: SqlWorld, trouble: str) -> None:
    statement = "SELECT d.* FROM billing.debit({key}, {msisdn}, {amount_minor}, {currency}) d "
    adapter = _sharing(world, debit=statement + trouble, timeout_s="0.3")
    answers = await _debit_all(adapter, _always)
    assert isinstance(answers.pop("2004"), NotSent)
    assert all(isinstance(answer, Debited) for answer in answers.values())
    assert world.debited("2004") == []
    assert all(len(world.debited(key)) == 1 for key in answers)


@pytest_twisted.ensureDeferred
async def test_who_shares_a_transaction_has_no_more_time_than_one(world: SqlWorld) -> None:
    slow = "SELECT d.* FROM billing.debit({key}, {msisdn}, {amount_minor}, {currency}) d, "
    slow += "LATERAL (SELECT pg_sleep(0.1)) s"
    answers = await _debit_all(_sharing(world, debit=slow, timeout_s="0.3"), _always)
    assert all(isinstance(answer, Debited) for answer in answers.values())
    assert _transactions(world) == len(KEYS)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
@pytest_twisted.ensureDeferred
async def test_a_lost_commit_is_unknown_for_all_who_share_it(
    world: SqlWorld, proxy: Proxy, cut: Cut
) -> None:
    def lose_the_commit(key: str) -> bool:
        if key == KEYS[-1]:  # asked when the transaction that they share is under way
            proxy.cut(b"COMMIT", cut)
        return True

    answers = await _debit_all(_sharing(world), lose_the_commit)
    assert isinstance(answers.pop(KEYS[0]), Debited)
    assert all(isinstance(answer, Unknown) for answer in answers.values())
    expected = 0 if cut is Cut.BEFORE else 1
    assert all(len(world.debited(key)) == expected for key in answers)


@pytest_twisted.ensureDeferred
async def test_a_connection_lost_before_the_commit_did_nothing_and_each_is_tried_again(
    world: SqlWorld, proxy: Proxy
) -> None:
    proxy.cut(KEYS[-1].encode(), Cut.AFTER)
    answers = await _debit_all(_sharing(world), _always)
    assert all(isinstance(answer, Debited) for answer in answers.values())
    assert all(len(world.debited(key)) == 1 for key in KEYS)


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("SELECT 'debited' AS result WHERE {key} = ''", "the statement gave no row"),
        ("SELECT 'debited' AS result, {key} AS k UNION ALL SELECT 'debited', ''", "one row"),
        ("SELECT 'debited' AS result, {key} AS result", "one row"),
        ("INSERT INTO asked VALUES ({key}, '')", "one row"),
        ("SELECT 'debited' AS said, {key} AS k", "no result"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_anything_but_one_row_is_unknown(
    world: SqlWorld, statement: str, answer: str
) -> None:
    adapter = world.an_adapter(debit=statement, query=statement)
    said = await adapter.debit(an_order(), may_send=lambda: True)
    assert isinstance(said, Unknown)
    assert answer in said.detail
    asked = await adapter.query(an_order())
    assert isinstance(asked, NotFound if "no row" in answer else Unknown)
    await adapter.close()


@pytest_twisted.ensureDeferred
async def test_a_broken_statement_debits_nothing_and_says_why(world: SqlWorld) -> None:
    adapter = world.an_adapter(debit="SELECT * FROM nothing WHERE key = {key}")
    answer = await adapter.debit(an_order(), may_send=lambda: True)
    assert isinstance(answer, NotSent)
    assert "nothing" in answer.detail
    await adapter.close()


@pytest_twisted.ensureDeferred
async def test_values_are_parameters_whatever_is_in_them(world: SqlWorld) -> None:
    adapter = world.an_adapter(
        debit="SELECT CASE WHEN {merchant} LIKE '%''; DROP%' THEN 'refused' END AS result, "
        "true AS reason, {key}::text AS k, NULL AS reference",
        answer={"reasons": {"true": "LIMIT_EXCEEDED"}},
    )
    order = an_order(merchant="'; DROP TABLE asked; --")
    answer = await adapter.debit(order, may_send=lambda: True)
    assert isinstance(answer, Denied)
    assert answer.code == "true"
    await adapter.close()


@pytest_twisted.ensureDeferred
async def test_a_billing_that_can_not_be_asked_says_so(world: SqlWorld) -> None:
    adapter = world.an_adapter(
        query=None, abilities={"idempotent": "true"}, refund=None, **NO_STEPS
    )
    assert isinstance(await adapter.query(an_order()), Unknown)
    assert isinstance(await adapter.query_refund(a_refund()), Unknown)
    assert isinstance(await adapter.refund(a_refund(), may_send=lambda: True), NotSent)
    assert isinstance(await adapter.debit(an_order(), may_send=lambda: True), Debited)
    await adapter.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dsn": "postgresql://u:p@h/d"}, "must not hold a password"),
        ({"dsn": "host=h password=p"}, "must not hold a password"),
        ({"debit": "SELECT 1"}, "{key} must be"),
        ({"query": "SELECT 1"}, "{key} must be"),
        ({"debit": "SELECT debit({key}, {id})"}, "{id} is not a field"),
        ({"debit": "SELECT debit({key}, {password})"}, "{password} is not a field"),
        ({"query": None}, "needs a query"),
        ({"capture": None}, "belong together"),
        ({"abilities": {"reserving": "true"}}, "reversible and refund belong together"),
        ({"refund": None}, "reversible and refund belong together"),
        ({"refund": {"statement": "SELECT 1"}}, "{key} must be"),
        ({"refund": {"statement": "SELECT {key}, {id}"}}, "{id} is not a field"),
        ({"refund": {"statement": "SELECT {key}", "abilities": KEPT}}, "needs a query"),
        (
            {"abilities": {"quiet_period_s": "5", "reversible": "true", "reserving": "true"}},
            "at least 11",
        ),
        (
            {"refund": {"statement": "SELECT {key}", "abilities": {"quiet_period_s": "5"}}},
            "at least 11",
        ),
        ({"password_file": "a", "password_credential": "b"}, "not both"),
    ],
)
def test_a_wrong_description_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        settings_for("host=h", **change)
    assert message in str(raised.value)


@pytest_twisted.ensureDeferred
async def test_the_example_lets_go_of_what_has_not_come_yet_or_was_refused(world: SqlWorld) -> None:
    """Whoever lets go must not be followed by a reserve that was under way all the time."""

    async def released(key: str) -> Any:
        return await world.adapter.release(an_order(key), may_send=lambda: True)

    assert await released("1001") == Released()
    late = await world.adapter.reserve(an_order(), may_send=lambda: True)
    assert isinstance(late, Unknown)
    world.behave(Fault.INSUFFICIENT)
    refused = await world.adapter.reserve(an_order("1002"), may_send=lambda: True)
    assert isinstance(refused, Denied)
    assert await released("1002") == Released()
    world.behave(Fault.NONE)
    await world.adapter.reserve(an_order("1003"), may_send=lambda: True)
    assert isinstance(await world.adapter.capture(an_order("1003"), may_send=lambda: True), Debited)
    assert isinstance(await released("1003"), Unknown)
    [(balance,)] = world.sql("SELECT balance_minor FROM billing.account")
    assert balance == 1_000_000 - 2500


@pytest_twisted.ensureDeferred
async def test_a_billing_that_can_not_hold_money_says_so(world: SqlWorld) -> None:
    adapter = world.an_adapter(abilities={**KEPT, "reversible": "true"}, **NO_STEPS)
    assert isinstance(await adapter.reserve(an_order(), may_send=lambda: True), NotSent)
    await adapter.close()
