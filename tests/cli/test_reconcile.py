"""`ppcd reconcile`: what billing's own file says, beside what we recorded, and what it settles."""

import csv
import json
import os
import resource
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from ppcd.billing.file import FileBilling
from ppcd.billing.file_settings import FileBillingSettings
from ppcd.charge.debit import Debited
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import State
from ppcd.sim import billing_program
from ppcd.sim.accounts import Accounts, Mode, Order
from ppcd.sim.billing import JOURNAL
from ppcd.sim.journal import Journal
from tests.billing.adapter_contract import an_order
from tests.builders import Charge, Store, connections
from tests.cli.test_commands import Run, a_runner
from tests.store.test_refunds import a_new_refund, accept

CONF = Path(__file__).parents[2] / "conf" / "reconcile"
#: The mapping of the files that these tests write.
MAPPING = """\
columns: {key: key, amount: amount, time: at, result: result, reference: ref, msisdn: phone}
currency: UAH
results: {OK: debited, NO: denied}
refunds: negative
"""
HEAD = "key,amount,at,result,ref,phone\n"
EVERYTHING = ("--slack-s", "0")
ROWS_MILLION = int(os.environ.get("PPCD_RECONCILE_ROWS", "3000"))


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with connections(database) as (direct, pinned):
        yield Store(database, direct, pinned)


@pytest.fixture
def reactor() -> Any:
    from twisted.internet import reactor  # noqa: TID251

    return reactor


class Books:
    """A file of billing's, and the command that compares it."""

    def __init__(self, store: Store, run: Run, directory: Path) -> None:
        self.store = store
        self.directory = directory
        self._run = run
        self._rows: list[str] = []
        (directory / "map.yaml").write_text(MAPPING)

    def now(self) -> datetime:
        at: datetime = self.store.query("SELECT business_now()")[0][0]
        return at

    def a_charge(self, state: State = State.SUCCEEDED, **changes: Any) -> Charge:
        return self.store.a_charge(state, billing="main", **changes)

    def row(self, key: object, amount: str = "25.00", result: str = "OK", **more: str) -> None:
        at = more.get("at", self.now().isoformat())
        self._rows.append(
            f"{key},{amount},{at},{result},{more.get('ref', '')},{more.get('phone', '')}\n"
        )

    def compared(self, *arguments: str, exits: int | None = None) -> dict[str, Any]:
        code, out, err = self.run(*arguments, "--json")
        assert exits is None or code == exits, err
        found: dict[str, Any] = json.loads(out)
        return found

    def run(self, *arguments: str) -> tuple[int, str, str]:
        path = self.directory / "billing.csv"
        path.write_text(HEAD + "".join(self._rows))
        mapping = ("--mapping", str(self.directory / "map.yaml"))
        return self._run("reconcile", str(path), *mapping, *EVERYTHING, *arguments)

    def edges(self) -> None:
        """Rows that make the file's period wider than everything between them."""
        for hours in (-2, 2):
            at = (self.now() + timedelta(hours=hours)).isoformat()
            self.row("edge", "1.00", "NO", at=at)


@pytest.fixture
def books(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Books:
    return Books(store, a_runner(store.dsn, tmp_path, capsys), tmp_path)


def test_when_both_say_the_same_nothing_differs(books: Books) -> None:
    charges = [books.a_charge() for _ in range(3)]
    refused = books.a_charge(State.DENIED)
    for charge in charges:
        books.row(charge.charge_id, phone=f"+{charge.msisdn}", ref="B-1")
    books.row(refused.charge_id, result="NO")
    books.edges()
    found = books.compared(exits=0)
    assert found["counts"] == {}
    assert (found["rows"], found["debited"], found["refused"]) == (6, 3, 3)
    assert found["ppcd_paid"] == 3
    assert found["sums"] == [
        {
            "day": books.now().date().isoformat(),
            "partner": books.store.partner,
            "tariff": None,
            "currency": "UAH",
            "ppcd": {"count": 3, "amount": "75.00"},
            "billing": {"count": 3, "amount": "75.00"},
        }
    ]
    code, out, _ = books.run()
    assert code == 0
    assert "nothing differs" in out
    assert "75.00" in out


def _only_billing(books: Books) -> None:
    books.row("17")


def _only_billing_without_a_charges_key(books: Books) -> None:
    books.row("X-17")


def _only_here(books: Books) -> None:
    books.a_charge()


def _twice(books: Books) -> None:
    charge = books.a_charge()
    for _ in range(2):
        books.row(charge.charge_id)


def _amount(books: Books) -> None:
    books.row(books.a_charge().charge_id, "26.00")


def _subscriber(books: Books) -> None:
    books.row(books.a_charge().charge_id, phone="380970000000")


def _taken_after_end(books: Books) -> None:
    books.row(books.a_charge(State.DECLINED).charge_id)


def _still_open(books: Books) -> None:
    books.row(books.a_charge(State.CONFIRMED).charge_id)


def _refused_there(books: Books) -> None:
    books.row(books.a_charge().charge_id, result="NO")


def _doubt_taken(books: Books) -> None:
    books.row(books.a_charge(State.REVIEW).charge_id)


def _doubt_refused(books: Books) -> None:
    books.row(books.a_charge(State.IN_DOUBT).charge_id, result="NO")


def _doubt_absent(books: Books) -> None:
    books.a_charge(State.REVIEW)


@pytest.mark.parametrize(
    "differ",
    [
        *(_only_billing, _only_billing_without_a_charges_key, _only_here, _twice, _amount),
        *(_subscriber, _taken_after_end, _still_open, _refused_there),
        *(_doubt_taken, _doubt_refused, _doubt_absent),
    ],
)
def test_what_differs_is_said_and_nothing_is_changed(
    books: Books, differ: Callable[[Books], None]
) -> None:
    books.row(books.a_charge().charge_id)
    differ(books)
    books.edges()
    kind = differ.__name__.removeprefix("_").removesuffix("_without_a_charges_key")
    found = books.compared(exits=1)
    assert found["counts"] == {kind: 1}
    assert [one["difference"] for one in found["differences"]] == [kind]
    assert books.store.query("SELECT count(*) FROM debit_resolution") == [(0,)]
    code, out, _ = books.run()
    assert (code, kind in out) == (1, True)


def test_a_difference_says_where_and_how_much(books: Books) -> None:
    charge = books.a_charge()
    books.row(charge.charge_id, "26.00", ref="B-7")
    [one] = books.compared(exits=1)["differences"]
    assert one == {
        "difference": "amount",
        "line": 2,
        "charge": charge.charge_id,
        "refund": None,
        "key": str(charge.charge_id),
        "state": "succeeded",
        "amount_here": "25.00",
        "currency_here": "UAH",
        "amount_billing": "26.00",
        "currency_billing": "UAH",
        "reference": "B-7",
    }


def test_all_differences_go_into_a_file_and_only_some_onto_the_screen(books: Books) -> None:
    for number in range(5):
        books.row(f"X-{number}")
    out = books.directory / "differences.csv"
    code, said, _ = books.run("--limit", "2", "--out", str(out))
    assert (code, "… and 3 more: use --out FILE" in said) == (1, True)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["key"] for row in rows] == [f"X-{number}" for number in range(5)]
    assert books.run("--out", str(books.directory / "no" / "such"))[0] == 1


# --- settling


def test_doubts_are_settled_as_the_file_says(books: Books) -> None:
    paid, refused = books.a_charge(State.REVIEW), books.a_charge(State.IN_DOUBT)
    books.row(paid.charge_id, ref="B-7")
    books.row(refused.charge_id, result="NO")
    books.store.ahead(70)
    found = books.compared("--settle", exits=0)
    assert found["settled"] == {"done": 2, "left": {}}
    assert books.store.state(paid) is State.SUCCEEDED
    assert books.store.get(paid).billing_reference == "B-7"
    assert books.store.state(refused) is State.DENIED
    assert books.store.get(refused).reason == "BILLING_REJECTED"
    resolved = books.store.query("SELECT reason, person FROM debit_resolution ORDER BY charge_id")
    assert resolved[0][0] == "line 2 of billing.csv"
    assert resolved[0][1].startswith(f"reconcile billing.csv sha256:{found['sha256'][:16]} by ")
    assert books.compared(exits=0)["counts"] == {}
    assert books.compared("--settle", exits=0)["settled"] == {"done": 0, "left": {}}


def test_what_is_odd_in_another_way_is_left_to_people(books: Books) -> None:
    twice, other = books.a_charge(State.REVIEW), books.a_charge(State.REVIEW)
    books.row(twice.charge_id)
    books.row(twice.charge_id)
    books.row(other.charge_id, "26.00")
    found = books.compared("--settle", exits=1)
    assert found["settled"]["done"] == 0
    assert found["counts"] == {"twice": 1, "amount": 1, "doubt_taken": 2}
    assert books.store.state(twice) is books.store.state(other) is State.REVIEW


def test_an_end_is_never_contradicted(books: Books) -> None:
    paid, denied = books.a_charge(State.SUCCEEDED), books.a_charge(State.DENIED)
    books.row(paid.charge_id, result="NO")
    books.row(denied.charge_id)
    found = books.compared("--settle", exits=1)
    assert found["counts"] == {"taken_after_end": 1, "refused_there": 1}
    assert books.store.state(paid) is State.SUCCEEDED
    assert books.store.state(denied) is State.DENIED


def test_a_denial_waits_while_billing_may_still_debit(books: Books) -> None:
    refused = books.a_charge(State.REVIEW)
    books.row(refused.charge_id, result="NO")
    found = books.compared("--settle", exits=1)
    assert found["settled"] == {"done": 0, "left": {"not_quiet": 1}}
    code, out, _ = books.run("--settle")
    assert (code, "0 settled, 1 left (not_quiet)" in out) == (1, True)
    assert books.store.state(refused) is State.REVIEW


def test_what_a_complete_file_lacks_was_not_debited(books: Books) -> None:
    old, young = books.a_charge(State.REVIEW), None
    books.edges()
    books.store.ahead(2 * 3600 - 30)
    # Sent so short before the file's end that billing may have booked it after that.
    young = books.a_charge(State.REVIEW)
    books.store.ahead(120)
    assert books.compared("--settle", exits=1)["settled"]["done"] == 0
    found = books.compared("--settle", "--absent-denied", exits=0)
    assert found["settled"]["done"] == 1
    assert books.store.state(old) is State.DENIED
    assert books.store.get(old).reason == "BILLING_UNAVAILABLE"
    assert books.store.state(young) is State.REVIEW


@pytest.mark.parametrize(
    ("act", "result", "kind"),
    [
        ("capture", "OK", "doubt_taken"),
        # That it was not captured is no word on the money that is held.
        ("capture", "NO", None),
        ("capture", None, None),
        ("reserve", "OK", "still_open"),
        ("reserve", None, None),
        ("release", "OK", "still_open"),
        ("release", None, None),
    ],
)
def test_of_two_steps_only_the_money_that_was_taken_is_settled(
    books: Books, act: str, result: str | None, kind: str | None
) -> None:
    charge = books.a_charge(State.REVIEW)
    books.store.query("UPDATE debit_job SET act = %s WHERE charge_id = %s", act, charge.charge_id)
    books.edges()
    books.store.ahead(120)
    if result is not None:
        books.row(charge.charge_id, result=result)
    found = books.compared("--settle", "--absent-denied")
    assert found["counts"] == ({} if kind is None else {kind: 1})
    assert found["settled"]["done"] == (kind == "doubt_taken")
    paid = books.store.count("outcome", charge)
    assert paid == (kind == "doubt_taken")


# --- the period


def test_what_is_near_the_edges_may_stand_in_another_file(books: Books) -> None:
    books.a_charge()
    books.edges()
    assert books.compared(exits=1)["counts"] == {"only_here": 1}
    assert books.compared("--slack-s", "8000", exits=0)["counts"] == {}


def test_days_are_the_operators(books: Books) -> None:
    charge = books.a_charge()
    books.row(charge.charge_id)
    today = books.now().date()
    far = ("--from", "2025-03-01", "--to", "2025-03-31")
    found = books.compared(*far, exits=0)
    assert (found["outside"], found["rows"]) == (1, 0)
    assert found["period"] == {
        "begin": "2025-03-01T00:00:00+00:00",
        "end": "2025-04-01T00:00:00+00:00",
    }
    yesterday = today - timedelta(days=1)
    found = books.compared("--from", str(yesterday), "--to", str(today), exits=0)
    assert (found["rows"], found["ppcd_paid"]) == (1, 1)


def test_without_times_nothing_is_missed(books: Books) -> None:
    books.row(books.a_charge().charge_id)
    books.a_charge()
    (books.directory / "map.yaml").write_text(
        "columns: {key: key, amount: amount}\ncurrency: UAH\n"
    )
    found = books.compared(exits=0)
    assert found["period"] is None
    assert "period   unknown" in books.run()[1]
    today = str(books.now().date())
    assert books.compared("--from", today, "--to", today)["period"] is not None


def test_only_the_debits_of_the_files_own_system_are_missed(books: Books) -> None:
    books.store.a_charge(State.SUCCEEDED, billing="other")
    books.edges()
    assert books.compared("--billing", "main", exits=0)["counts"] == {}


# --- refunds


def a_refund(books: Books, state: str = "succeeded") -> int:
    """A refund of 25 UAH that billing was asked for; its id."""
    charge = books.a_charge()
    books.row(charge.charge_id)
    new = a_new_refund(books.store, charge, billing="main")
    accept(books.store, new)
    books.store.query(
        "INSERT INTO refund_attempt VALUES (%s, %s, 1, 'refund', 'main', 'a', business_now())",
        *(charge.charge_id, new.refund_id),
    )
    if state == "in_doubt":
        books.store.query(
            "UPDATE refund_job SET attempts = 1, doubt_since = business_now(),"
            " review_since = business_now() WHERE refund_id = %s",
            new.refund_id,
        )
    elif state != "open":
        books.store.query("DELETE FROM refund_job WHERE refund_id = %s", new.refund_id)
        books.store.query(
            "INSERT INTO refund_outcome VALUES (%s, %s, %s, %s, NULL, business_now())",
            *(charge.charge_id, new.refund_id, state),
            None if state == "succeeded" else "BILLING_REJECTED",
        )
    return new.refund_id


def test_refunds_on_both_sides_do_not_differ(books: Books) -> None:
    books.row(a_refund(books), "-25.00")
    a_refund(books, "denied")
    books.edges()
    found = books.compared(exits=0)
    assert found["counts"] == {}
    assert found["refunds"] == [{"currency": "UAH", "count": 1, "amount": "25.00"}]
    assert "refunds  1 in the file, 25.00 UAH" in books.run()[1]


@pytest.mark.parametrize(
    ("state", "rows", "kind"),
    [
        (None, ["-25.00 OK"], "refund_only_billing"),
        ("succeeded", [], "refund_only_here"),
        ("succeeded", ["-25.00 OK", "-25.00 OK"], "refund_twice"),
        ("succeeded", ["-24.00 OK"], "refund_amount"),
        ("succeeded", ["-25.00 NO"], "refund_refused_there"),
        ("denied", ["-25.00 OK"], "refund_after_end"),
        ("open", ["-25.00 OK"], "refund_still_open"),
        ("in_doubt", ["-25.00 OK"], "refund_doubt_taken"),
        ("in_doubt", ["-25.00 NO"], "refund_doubt_refused"),
    ],
)
def test_what_differs_about_refunds(
    books: Books, state: str | None, rows: list[str], kind: str
) -> None:
    key = "X-1" if state is None else a_refund(books, state)
    for row in rows:
        amount, result = row.split()
        books.row(key, amount, result)
    books.edges()
    assert books.compared(exits=1)["counts"] == {kind: 1}
    books.store.ahead(70)
    settles = kind.startswith("refund_doubt")
    found = books.compared("--settle", exits=0 if settles else 1)
    assert found["settled"]["done"] == settles
    if settles:
        [(end, person)] = books.store.query("SELECT state, person FROM refund_resolution")
        assert end == ("succeeded" if kind == "refund_doubt_taken" else "denied")
        assert person.startswith("reconcile billing.csv sha256:")


def test_refunds_under_the_debits_key_are_only_counted(books: Books) -> None:
    a_refund(books)
    charge = books.a_charge()
    books.row(charge.charge_id)
    books.row(charge.charge_id, "-25.00")
    books.edges()
    found = books.compared(exits=0)
    assert (found["counts"], found["refunds"][0]["count"]) == ({}, 1)


def test_a_file_that_shows_no_refunds_misses_none(books: Books) -> None:
    a_refund(books)
    books.edges()
    assert books.compared("--set", "refunds=none", exits=0)["counts"] == {}


# --- what can't be read


def test_wrong_rows_are_told_with_their_lines(books: Books) -> None:
    books.row("17", "much")
    books.row("18")
    code, _, err = books.run()
    assert code == 2
    assert "billing.csv: line 2: amount 'much' is no amount in major units, such as 25.00" in err
    assert "go on with --skip-bad-rows" in err
    found = books.compared("--skip-bad-rows", exits=1)
    assert (found["bad_rows"], found["counts"]) == (1, {"only_billing": 1})


def test_another_file_is_given_up_soon(books: Books) -> None:
    for number in range(2000):
        books.row(number, "much")
    code, _, err = books.run()
    assert code == 2
    assert len(err.splitlines()) == 21
    assert "and 981 more" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "delimiter=;;"), "delimiter: must be one character"),
        (("--set", "columns.amount=much"), "there is no one column 'much'"),
        (("--set", "nonsense"), "say KEY=VALUE"),
        (("--set", "currency.code=UAH"), "say KEY=VALUE"),
        (("--set", "colour=red"), "unknown key"),
        (("--absent-denied",), "is a way to --settle"),
        (("--billing", "nobody"), "there is no nobody under billing"),
        (("--mapping", "/no/such.yaml"), "cannot be read"),
    ],
)
def test_wrong_usage_is_said(books: Books, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = books.run(*arguments)
    assert (code, said in err) == (2, True), err


def test_a_mapping_may_be_given_by_options_alone(books: Books) -> None:
    charge = books.a_charge()
    path = books.directory / "plain.csv"
    path.write_text(f"{charge.charge_id}|2500|x\n{charge.charge_id}|2500\n# end\n")
    options = [
        *("columns.key=1", "columns.amount=2", "header=false", "delimiter=|"),
        *("amount_form=minor", "currency=UAH", "ignore_lines=#"),
    ]
    wanted = [word for option in options for word in ("--set", option)]
    code, out, err = books._run("reconcile", str(path), *wanted, "--json")
    assert (code, json.loads(out)["counts"]) == (1, {"twice": 1}), err
    assert books._run("reconcile", str(path) + "x", *wanted)[0] == 2


def test_a_mapping_that_is_no_mapping_is_told_with_its_line(books: Books) -> None:
    (books.directory / "map.yaml").write_text("columns: {key: a, key: b}\n")
    code, _, err = books.run()
    assert (code, "map.yaml:1:19" in err) == (2, True), err


# --- worked examples


@pytest_twisted.ensureDeferred
async def test_the_files_of_debits_reconcile(books: Books, reactor: Any) -> None:
    """What the adapter for files writes is read back with conf/reconcile/cdr.yaml."""
    now = books.now().astimezone(UTC)
    described = {
        "kind": "file",
        "directory": str(books.directory / "out"),
        "journal": str(books.directory / "journal"),
    }
    cdr = FileBilling(
        "main",
        FileBillingSettings.model_validate(described),
        reactor=reactor,
        now=lambda: now,
    )
    charges = [books.a_charge() for _ in range(3)]
    for charge in charges:
        key = str(charge.charge_id)
        order = an_order(
            key=key, charge_id=charge.charge_id, msisdn=Msisdn.from_digits(str(charge.msisdn))
        )
        assert isinstance(await cdr.debit(order, may_send=lambda: True), Debited)
    await cdr.close()
    [path] = (books.directory / "out").glob("*.csv")
    code, out, err = books._run(
        "reconcile", str(path), "--mapping", str(CONF / "cdr.yaml"), "--json"
    )
    assert (code, json.loads(out)["debited"]) == (0, 3), (out, err)


def test_the_simulated_billings_own_file_reconciles(books: Books) -> None:
    """What `ppcd sim billing --export` writes is read back with conf/reconcile/simulated.yaml."""
    data = books.directory / "sim"
    journal = Journal(data / JOURNAL)
    accounts = Accounts(
        journal, balance_minor=100_000, currency="UAH", idempotent=True, stores_refusals=True
    )
    ok, doubt = books.a_charge(), books.a_charge(State.REVIEW)
    refused = books.a_charge(State.DENIED)
    accounts.put(str(refused.msisdn), balance_minor=0, currency="UAH", mode=Mode.OK)
    for charge in (ok, doubt, refused):
        accounts.settle(
            Order(
                key=str(charge.charge_id),
                msisdn=str(charge.msisdn),
                amount_minor=2500,
                currency="UAH",
            )
        )
    journal.close()
    parser = ArgumentParser()
    billing_program.add_arguments(parser)
    path = books.directory / "sim.csv"
    arguments = parser.parse_args(["--data", str(data), "--export", str(path)])
    assert billing_program.run(arguments) == 0
    assert billing_program.run(parser.parse_args(["--export", str(path)])) == 2
    mapping = ("--mapping", str(CONF / "simulated.yaml"))
    code, out, err = books._run("reconcile", str(path), *mapping, "--settle", "--json")
    said = json.loads(out.partition("sim.csv\n")[2])
    assert code == 0, (out, err)
    assert (said["debited"], said["refused"]) == (2, 1)
    assert (said["counts"], said["settled"]["done"]) == ({"doubt_taken": 1}, 1)
    assert books.store.state(doubt) is State.SUCCEEDED
    assert books.store.get(doubt).billing_reference == "SB000000002"


def test_an_accountants_file_reconciles(books: Books) -> None:
    """conf/reconcile/excel.yaml reads what stands in its comment."""
    mapping = CONF / "excel.yaml"
    charge = books.a_charge()
    lines = [
        line.removeprefix("#   ").replace("14876234876234", str(charge.charge_id))
        for line in mapping.read_text().splitlines()
        if line.startswith("#   ")
    ]
    path = books.directory / "excel.csv"
    path.write_text(
        "\n".join(lines).replace("380971234567", str(charge.msisdn)) + "\n", encoding="cp1251"
    )
    code, out, err = books._run("reconcile", str(path), "--mapping", str(mapping), "--json")
    said = json.loads(out)
    assert (code, said["rows"], said["debited"]) == (0, 2, 1), (out, err)
    assert said["refunds"] == [{"currency": "UAH", "count": 1, "amount": "25.00"}]


def test_a_file_of_many_rows_takes_no_more_memory(books: Books) -> None:
    """The long form: PPCD_RECONCILE_ROWS=1000000."""
    at = books.now().isoformat()
    path = books.directory / "many.csv"
    with path.open("w") as file:
        file.write(HEAD)
        for number in range(ROWS_MILLION):
            file.write(f"{10**17 + number},25.00,{at},OK,B-{number},\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mapping = ("--mapping", str(books.directory / "map.yaml"))
    code, out, err = books._run("reconcile", str(path), *mapping, "--json", "--limit", "3")
    assert code == 1, err
    said = json.loads(out)
    assert said["counts"] == {"only_billing": ROWS_MILLION}
    assert len(said["differences"]) == 3
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 * 1024
