"""A billing database with the example's functions, which misbehaves for some phones.

What it does wrong it does the first time that a step is asked for under a key, and only then.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.billing.adapter_contract import Fault

EXAMPLES: Final = Path(__file__).parents[2] / "conf" / "billing"

#: What it says, and whether it does what it was asked for.
SAYS: Final = {
    Fault.BUSY: ("busy", False),
    Fault.ERROR_BEFORE_DEBIT: ("error", False),
    Fault.ERROR_AFTER_DEBIT: ("error", True),
    Fault.GARBAGE: ("\x7f<html>", True),
}

_ORDER = "a_key text, a_msisdn text, a_minor bigint, a_currency text"
_ALL = "a_key, a_msisdn, a_minor, a_currency"
_REFUND = "a_key text, a_debit_key text, a_msisdn text, a_minor bigint, a_currency text"
#: The parameters of each function as it is asked, and those that the example's takes.
_STEPS = {
    "debit": (_ORDER, _ALL),
    "reserve": (_ORDER, _ALL),
    "capture": (_ORDER, "a_key"),
    "release": (_ORDER, _ALL),
    "refund": (_REFUND, "a_key, a_debit_key, a_msisdn, a_minor, a_currency"),
}
_TABLES = """
    CREATE TABLE misbehaviour (
        msisdn text PRIMARY KEY, says text, does boolean NOT NULL, slow_s float8 NOT NULL DEFAULT 0
    );
    CREATE TABLE asked (key text NOT NULL, step text NOT NULL);
"""
_FUNCTION = """
    CREATE FUNCTION billing.misbehaving_{step}({parameters}, OUT result text, OUT reason text,
                                               OUT reference text, OUT amount_minor bigint)
    LANGUAGE plpgsql AS $$
    DECLARE
        bad misbehaviour;
        said jsonb := '{{}}';
    BEGIN
        INSERT INTO asked VALUES (a_key, '{step}');
        SELECT * INTO bad FROM misbehaviour m
         WHERE m.msisdn = a_msisdn
           AND (SELECT count(*) FROM asked a WHERE a.key = a_key AND a.step = '{step}') = 1;
        PERFORM pg_sleep(bad.slow_s);
        IF coalesce(bad.does, true) THEN
            SELECT to_jsonb(d) INTO said FROM billing.{step}({arguments}) d;
        END IF;
        result := coalesce(bad.says, CASE jsonb_typeof(said) WHEN 'string' THEN said #>> '{{}}'
                                          ELSE said ->> 'result' END);
        reason := said ->> 'reason';
        reference := said ->> 'reference';
        amount_minor := said ->> 'amount_minor';
    END $$;
"""


def create(run: Callable[..., Any]) -> None:
    """Make it in an empty database."""
    run((EXAMPLES / "postgresql.sql").read_text())
    run(_TABLES)
    for step, (parameters, arguments) in _STEPS.items():
        run(_FUNCTION.format(step=step, parameters=parameters, arguments=arguments))


def behave(run: Callable[..., Any], msisdn: str, fault: Fault, *, slow_s: float = 0) -> None:
    """From now on, for this phone."""
    run("DELETE FROM misbehaviour WHERE msisdn = %s", msisdn)
    if fault in SAYS or slow_s:
        says, does = SAYS.get(fault, (None, True))
        run("INSERT INTO misbehaviour VALUES (%s, %s, %s, %s)", msisdn, says, does, slow_s)


def described(dsn: str, **changes: Any) -> dict[str, Any]:
    """The section of the configuration that asks it."""
    kept = {"idempotent": "true", "queryable": "true", "stores_refusals": "true"}
    reasons = {
        "no_funds": "INSUFFICIENT_FUNDS",
        "barred": "SERVICE_DENIED",
        "no_subscriber": "USER_UNKNOWN",
    }
    answer = {"not_processed": ["busy"], "reasons": reasons}
    find = "SELECT * FROM billing.find({key})"
    order = "{key}, {msisdn}, {amount_minor}, {currency}"

    def asks(step: str, fields: str = order) -> str:
        return f"SELECT * FROM billing.misbehaving_{step}({fields})"

    return {
        "kind": "sql",
        "dsn": dsn,
        "debit": asks("debit"),
        "query": find,
        "commit_timeout_s": "1",
        "abilities": {**kept, "reversible": "true", "reserving": "true"},
        "answer": {
            **answer,
            "not_found": ["not_found", "released"],
            "echoes": {"amount_minor": "amount_minor"},
        },
        "reserve": {"statement": asks("reserve"), "answer": answer},
        "capture": {"statement": asks("capture"), "answer": answer},
        "release": {"statement": asks("release"), "answer": {"not_processed": ["busy"]}},
        "refund": {
            "statement": asks("refund", order.replace("{key}", "{key}, {debit_key}")),
            "query": find,
            "abilities": kept,
            "answer": answer,
        },
    } | changes
