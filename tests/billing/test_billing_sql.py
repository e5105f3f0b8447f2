"""The SQL adapter against a billing database on a real PostgreSQL, over a network that fails."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import yaml
from pydantic import ValidationError
from twisted.internet.task import deferLater

from ppcd.billing.sql import SqlBilling, lanes_for
from ppcd.billing.sql_settings import SqlBillingSettings
from ppcd.charge.debit import Debited, DenialReason, Denied, NotFound, NotSent, Reserved, Unknown
from ppcd.charge.money import Money
from ppcd.charge.refund import Refunded
from ppcd.charge.reservation import Released
from tests.billing.adapter_contract import PHONE, AdapterContract, Fault, a_refund, an_order
from tests.postgres import query
from tests.store.proxy import Cut, Proxy

EXAMPLES = Path(__file__).parents[2] / "conf" / "billing"
BILLING = (EXAMPLES / "postgresql.sql").read_text()

#: How the faults of the interface come about: on the way of the commit.
CUTS = {
    Fault.LOST_REQUEST: Cut.BEFORE,
    Fault.LOST_ANSWER: Cut.AFTER,
    Fault.RESET: Cut.AFTER,
    Fault.ZOMBIE: Cut.LATER,
}
#: And those of the function itself: what it says, and whether it debits before that.
MISBEHAVE = """
    CREATE TABLE misbehaviour (says text NOT NULL, debits boolean NOT NULL, asked_max bigint);
    CREATE TABLE asked (key text NOT NULL);
    CREATE FUNCTION billing.misbehaving_debit(
        a_key text, a_msisdn text, a_minor bigint, a_currency text,
        OUT result text, OUT reason text, OUT reference text, OUT amount_minor bigint
    ) LANGUAGE plpgsql AS $$
    DECLARE
        bad misbehaviour;
    BEGIN
        INSERT INTO asked VALUES (a_key);
        SELECT * INTO bad FROM misbehaviour;
        IF bad.says IS NULL OR bad.debits THEN
            SELECT d.* INTO result, reason, reference, amount_minor
              FROM billing.debit(a_key, a_msisdn, a_minor, a_currency) d;
        END IF;
        IF bad.says IS NOT NULL AND (SELECT count(*) FROM asked WHERE key = a_key) = 1 THEN
            result := bad.says;
        END IF;
    END $$;
    CREATE FUNCTION billing.misbehaving_refund(
        a_key text, a_debit_key text, a_msisdn text, a_minor bigint, a_currency text,
        OUT result text, OUT reason text, OUT reference text, OUT amount_minor bigint
    ) LANGUAGE plpgsql AS $$
    DECLARE
        bad misbehaviour;
    BEGIN
        INSERT INTO asked VALUES (a_key);
        SELECT * INTO bad FROM misbehaviour;
        IF bad.says IS NULL OR bad.debits THEN
            SELECT d.* INTO result, reason, reference, amount_minor
              FROM billing.refund(a_key, a_debit_key, a_msisdn, a_minor, a_currency) d;
        END IF;
        IF bad.says IS NOT NULL AND (SELECT count(*) FROM asked WHERE key = a_key) = 1 THEN
            result := bad.says;
        END IF;
    END $$
"""
SAYS = {
    Fault.BUSY: ("busy", False),
    Fault.ERROR_BEFORE_DEBIT: ("error", False),
    Fault.ERROR_AFTER_DEBIT: ("error", True),
    Fault.GARBAGE: ("\x7f<html>", True),
}


KEPT = {"idempotent": "true", "queryable": "true", "stores_refusals": "true"}


def settings_for(dsn: str, /, **changes: Any) -> SqlBillingSettings:
    described = {
        "kind": "sql",
        "dsn": dsn,
        "debit": "SELECT * FROM billing.misbehaving_debit("
        "{key}, {msisdn}, {amount_minor}, {currency})",
        "query": "SELECT * FROM billing.find({key})",
        "commit_timeout_s": "1",
        "abilities": {**KEPT, "reversible": "true"},
        "refund": {
            "statement": "SELECT * FROM billing.misbehaving_refund("
            "{key}, {debit_key}, {msisdn}, {amount_minor}, {currency})",
            "query": "SELECT * FROM billing.find({key})",
            "abilities": KEPT,
            "answer": {
                "not_processed": ["busy"],
                "reasons": {"barred": "SERVICE_DENIED", "no_subscriber": "USER_UNKNOWN"},
            },
        },
        "answer": {
            "not_processed": ["busy"],
            "reasons": {
                "no_funds": "INSUFFICIENT_FUNDS",
                "barred": "SERVICE_DENIED",
                "no_subscriber": "USER_UNKNOWN",
            },
            "echoes": {"amount_minor": "amount_minor"},
        },
    }
    return SqlBillingSettings.model_validate(described | changes)


class SqlWorld:
    def __init__(self, reactor: Any, dsn: str, proxy: Proxy) -> None:
        self._reactor = reactor
        self._dsn = dsn
        self._proxy = proxy
        query(dsn, BILLING)
        query(dsn, MISBEHAVE)
        query(dsn, "INSERT INTO billing.account VALUES (%s, 'UAH', 1000000, false)", PHONE.digits)
        self.adapter = self.an_adapter()

    def an_adapter(self, **changes: Any) -> SqlBilling:
        settings = settings_for(self._proxy.dsn, **changes)
        lanes = lanes_for(settings, settings.dsn, reactor=self._reactor)
        return SqlBilling("main", settings, lanes=lanes, close=lanes.close)

    def behave(self, fault: Fault) -> None:
        self.sql("DELETE FROM misbehaviour")
        self.sql("UPDATE billing.account SET balance_minor = 1000000, barred = false")
        if fault in CUTS:
            self._proxy.cut(b"COMMIT", CUTS[fault])
        elif fault in SAYS:
            self.sql("INSERT INTO misbehaviour VALUES (%s, %s)", *SAYS[fault])
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


class TestSqlBilling(AdapterContract):
    pass


@pytest_twisted.ensureDeferred
async def test_the_example_works_as_it_stands(world: SqlWorld) -> None:
    example = yaml.load((EXAMPLES / "postgresql.yaml").read_text(), yaml.BaseLoader)
    section = example["billing"]["postgresql"]
    adapter = world.an_adapter(
        **{key: section[key] for key in ("debit", "query", "answer", "refund")}
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


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("SELECT 'debited' AS result WHERE {key} = ''", "the statement gave no row"),
        ("SELECT 'debited' AS result, {key} AS k UNION ALL SELECT 'debited', ''", "one row"),
        ("SELECT 'debited' AS result, {key} AS result", "one row"),
        ("INSERT INTO asked VALUES ({key})", "one row"),
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
    adapter = world.an_adapter(query=None, abilities={"idempotent": "true"}, refund=None)
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
        ({"abilities": {"reserving": "true"}}, "belong together"),
        ({"abilities": {}}, "reversible and refund belong together"),
        ({"refund": None}, "reversible and refund belong together"),
        ({"refund": {"statement": "SELECT 1"}}, "{key} must be"),
        ({"refund": {"statement": "SELECT {key}, {id}"}}, "{id} is not a field"),
        ({"refund": {"statement": "SELECT {key}", "abilities": KEPT}}, "needs a query"),
        ({"abilities": {"quiet_period_s": "5", "reversible": "true"}}, "at least 11"),
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


#: Money that is held, in as few lines as that can be done in.
HOLDS = """
    CREATE TABLE hold (key text PRIMARY KEY, minor bigint NOT NULL, state text NOT NULL);
    CREATE FUNCTION reserve(a_key text, a_minor bigint, OUT result text, OUT reference text)
    LANGUAGE sql AS $$
        INSERT INTO hold VALUES (a_key, a_minor, 'reserved') ON CONFLICT DO NOTHING;
        SELECT state, 'H-' || key FROM hold WHERE key = a_key;
    $$;
    CREATE FUNCTION finish(a_key text, a_reference text, a_state text, OUT result text)
    LANGUAGE sql AS $$
        UPDATE hold SET state = a_state
         WHERE key = a_key AND state = 'reserved' AND a_reference IN ('', 'H-' || key);
        SELECT coalesce((SELECT state FROM hold WHERE key = a_key), 'nothing');
    $$
"""


@pytest_twisted.ensureDeferred
async def test_money_is_held_by_one_statement_and_taken_or_let_go_by_another(
    world: SqlWorld,
) -> None:
    world.sql(HOLDS)
    finish = "SELECT * FROM finish({key}, {reservation}, '%s')"
    adapter = world.an_adapter(
        abilities={**KEPT, "reversible": "true", "reserving": "true"},
        reserve={"statement": "SELECT * FROM reserve({key}, {amount_minor})"},
        capture={"statement": finish % "debited"},
        release={
            "statement": finish % "released",
            "answer": {"released": ["released"], "not_found": ["nothing"]},
        },
    )

    async def step(name: str, key: str, reservation: str | None = None) -> Any:
        order = an_order(key, reservation=reservation)
        return await getattr(adapter, name)(order, may_send=lambda: True)

    assert await step("reserve", "1001") == Reserved("H-1001")
    assert isinstance(await step("capture", "1001", "H-1001"), Debited)
    assert await step("reserve", "1002") == Reserved("H-1002")
    for _ in range(2):
        assert await step("release", "1002", "H-1002") == Released()
    assert isinstance(await step("capture", "1002", "H-1002"), Unknown)
    assert await step("release", "1003") == Released()
    assert world.sql("SELECT key, state FROM hold ORDER BY key") == [
        ("1001", "debited"),
        ("1002", "released"),
    ]
    unsent = await adapter.reserve(an_order("1004"), may_send=lambda: False)
    assert isinstance(unsent, NotSent)
    await adapter.close()
    assert isinstance(await world.adapter.reserve(an_order(), may_send=lambda: True), NotSent)
