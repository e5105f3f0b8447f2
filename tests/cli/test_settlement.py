"""`ppcd settlement`: the same period is the same statement, to the byte."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ppcd.charge.money import Money
from ppcd.charge.rules import State
from ppcd.store import registers
from ppcd.store.registers import TariffRow
from tests.builders import Charge, Store, connections
from tests.cli.test_commands import CONFIG, Run, a_runner
from tests.store.test_refunds import a_new_refund, accept

#: A month that is over for the tests' clock.
MONTH = "2027-03"


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with connections(database) as (direct, pinned):
        yield Store(database, direct, pinned)


@pytest.fixture
def run(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    zoned = CONFIG + "charges: {{time_zone: Europe/Kyiv}}\n"
    monkeypatch.setattr("tests.cli.test_commands.CONFIG", zoned)
    return a_runner(store.dsn, tmp_path, capsys)


def at(store: Store, when: str) -> None:
    """Set the clock that decides about money, by Kyiv's."""
    store.query(
        "UPDATE business_clock SET ahead = (%s::timestamp AT TIME ZONE 'Europe/Kyiv')"
        " - clock_timestamp()",
        when,
    )


def paid(store: Store, when: str, **changes: Any) -> Charge:
    at(store, when)
    return store.a_charge(State.SUCCEEDED, **changes)


def a_refund(store: Store, charge: Charge, amount_minor: int, end: str = "succeeded") -> None:
    """A refund that ends now."""
    new = a_new_refund(store, charge, wanted=Money(amount_minor, "UAH"))
    accept(store, new)
    store.query("DELETE FROM refund_job WHERE refund_id = %s", new.refund_id)
    store.query(
        "INSERT INTO refund_outcome VALUES (%s, %s, %s, %s, 'R-1', business_now())",
        *(charge.charge_id, new.refund_id, end, None if end == "succeeded" else "BILLING_REJECTED"),
    )


@pytest.fixture
def march(store: Store) -> list[Charge]:
    """A month's debits, with neighbours on both sides that are not of it."""
    at(store, "2027-02-01 10:00")
    tariff = TariffRow("gold-250", 2500, "UAH", "250 gold", None)
    store.run(registers.add_tariff, partner_id=store.partner_id, tariff=tariff)
    gold = {"product_id": "gold-250"}
    paid(store, "2027-02-28 23:59:50", **gold)
    made = [
        paid(store, "2027-03-01 00:00:00", **gold),
        paid(store, "2027-03-01 12:00:00", **gold),
        paid(store, "2027-03-01 12:00:00", product_id="whatever", amount_minor=99),
        # Kyiv's clock goes forward on the 28th: this day has 23 hours.
        paid(store, "2027-03-28 23:59:00"),
        paid(store, "2027-03-31 23:59:50", currency="EUR"),
    ]
    store.a_charge(State.DENIED)
    at(store, "2027-03-30 08:00")
    a_refund(store, made[0], 1000)
    at(store, "2027-04-01 00:00")
    a_refund(store, made[0], 500)
    a_refund(store, made[1], 500, "denied")
    paid(store, "2027-04-01 00:00:00", **gold)
    at(store, "2027-04-02 00:00:00")
    return made


def test_a_month_is_the_operators_days_and_nothing_else(
    run: Run, store: Store, march: list[Charge]
) -> None:
    code, out, err = run("settlement", store.partner, "--month", MONTH, "--csv")
    assert (code, err) == (0, "")
    assert out == (
        "partner,day,tariff,currency,debits,debited,refunds,refunded,net\n"
        f"{store.partner},2027-03-01,,UAH,1,0.99,0,0.00,0.99\n"
        f"{store.partner},2027-03-01,gold-250,UAH,2,50.00,0,0.00,50.00\n"
        f"{store.partner},2027-03-28,,UAH,1,25.00,0,0.00,25.00\n"
        f"{store.partner},2027-03-30,gold-250,UAH,0,0.00,1,10.00,-10.00\n"
        f"{store.partner},2027-03-31,,EUR,1,25.00,0,0.00,25.00\n"
    )


def test_people_read_days_tariffs_and_totals(run: Run, store: Store, march: list[Charge]) -> None:
    code, out, _ = run("settlement", store.partner, "--month", MONTH)
    assert code == 0
    assert (
        out
        == f"""\
Statement for {store.partner} (Game Shop)
2027-03-01 to 2027-03-31, days of Europe/Kyiv

DAY         TARIFF    CURRENCY  DEBITS  DEBITED  REFUNDS  REFUNDED  NET
2027-03-01  -         UAH       1       0.99     0        0.00      0.99
2027-03-01  gold-250  UAH       2       50.00    0        0.00      50.00
2027-03-28  -         UAH       1       25.00    0        0.00      25.00
2027-03-30  gold-250  UAH       0       0.00     1        10.00     -10.00
2027-03-31  -         EUR       1       25.00    0        0.00      25.00

TARIFF    CURRENCY  DEBITS  DEBITED  REFUNDS  REFUNDED  NET
-         EUR       1       25.00    0        0.00      25.00
-         UAH       2       25.99    0        0.00      25.99
gold-250  UAH       2       50.00    1        10.00     40.00

TOTAL  DEBITS  DEBITED  REFUNDS  REFUNDED  NET
EUR    1       25.00    0        0.00      25.00
UAH    4       75.99    1        10.00     65.99
"""
    )


def test_files_are_the_same_bytes_whenever_they_are_written(
    run: Run, store: Store, march: list[Charge], tmp_path: Path
) -> None:
    written = []
    for name in ("first", "second"):
        directory = tmp_path / name
        code, out, _ = run("settlement", "--month", MONTH, "--out", str(directory))
        assert code == 0
        stem = f"settlement_{store.partner}_2027-03-01_2027-03-31"
        assert out == f"{directory / stem}\n"
        files = {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
        assert list(files) == [f"{stem}.csv", f"{stem}.txt", f"{stem}_items.csv"]
        written.append(files)
        # What came later, also a tariff of a name that was free then, changes nothing.
        paid(store, "2027-05-01 00:00:00")
        tariff = TariffRow("whatever", 99, "UAH", "x", None)
        if name == "first":
            store.run(registers.add_tariff, partner_id=store.partner_id, tariff=tariff)
    assert written[0] == written[1]
    rows = list(csv.DictReader(written[0][f"{stem}_items.csv"].decode().splitlines()))
    refund = rows.pop(1)
    assert [int(row["charge"]) for row in rows] == [charge.charge_id for charge in march]
    assert {(row["what"], row["refund"]) for row in rows} == {("debit", "")}
    assert rows[0]["at"].startswith("2027-02-28T22:00:00.")
    assert rows[0]["billing_reference"] == f"ref-{march[0].charge_id}"
    assert [row["amount"] for row in rows] == ["25.00", "25.00", "0.99", "25.00", "25.00"]
    assert (refund["what"], refund["amount"], refund["charge"], refund["billing_reference"]) == (
        *("refund", "10.00", str(march[0].charge_id), "R-1"),
    )
    assert refund["reference"].startswith("refund-")


def test_every_partner_has_its_own(run: Run, store: Store, tmp_path: Path) -> None:
    paid(store, "2027-03-10 12:00")
    store.a_partner("another")
    at(store, "2027-04-02 00:00")
    assert run("settlement", "--month", MONTH, "--out", str(tmp_path / "out"))[0] == 0
    sizes = {path.name: len(path.read_text().splitlines()) for path in (tmp_path / "out").iterdir()}
    assert sizes["settlement_another_2027-03-01_2027-03-31.csv"] == 1
    assert sizes[f"settlement_{store.partner}_2027-03-01_2027-03-31.csv"] == 2


def test_a_period_that_is_not_over_is_said_to_be_so(run: Run, store: Store) -> None:
    paid(store, "2027-03-10 12:00")
    period = ("--from", "2027-03-10", "--to", "2027-03-10")
    code, out, err = run("settlement", store.partner, *period, "--json")
    said = json.loads(out)
    assert (code, said["final"], "not over yet" in err) == (0, False, True)
    assert said["totals"] == [
        {
            **{"currency": "UAH", "debits": 1, "debited": "25.00"},
            **{"refunds": 0, "refunded": "0.00", "net": "25.00"},
        }
    ]
    at(store, "2027-03-11 00:02")
    code, out, err = run("settlement", store.partner, *period, "--json")
    assert (json.loads(out)["final"], err) == (True, "")


def test_what_a_person_settles_later_counts_when_it_is_settled(run: Run, store: Store) -> None:
    """However old the charge is: a statement that was given out never changes."""
    at(store, "2027-01-10 12:00")
    charge = store.a_charge(State.REVIEW)
    at(store, "2027-03-10 12:00")
    run("debit", "resolve", str(charge.charge_id), "succeeded", "--reason", "booked")
    at(store, "2027-04-02 00:00")
    assert len(run("settlement", store.partner, "--month", "2027-01", "--csv")[1].splitlines()) == 1
    assert len(run("settlement", store.partner, "--month", MONTH, "--csv")[1].splitlines()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("shop",),
        ("--month", MONTH),
        ("shop", "--month", MONTH, "--from", "2027-03-01"),
        ("shop", "--from", "2027-03-02", "--to", "2027-03-01"),
        ("shop", "--from", "2027-03-02"),
    ],
)
def test_what_can_not_be_meant_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("settlement", *arguments)[0] == 2


def test_what_can_not_be_written_is_said(run: Run, store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run("settlement", "--month", MONTH, "--out", str(tmp_path / "file" / "x"))
    assert (code, "Not a directory" in err) == (1, True)
    assert run("settlement", "nobody", "--month", MONTH)[0] == 1


def test_december_ends_with_its_31st(run: Run, store: Store) -> None:
    said = json.loads(run("settlement", store.partner, "--month", "2026-12", "--json")[1])
    assert (said["from"], said["to"]) == ("2026-12-01", "2026-12-31")
