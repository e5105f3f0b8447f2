"""`ppcd partner set-limits` and `show-limits`."""

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import Run, a_runner
from tests.postgres import query


@pytest.fixture
def run(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    run = a_runner(database, tmp_path, capsys)
    run("partner", "add", "gamex", "--merchant", "GameX")
    return run


UAH = ("--currency", "UAH")


def test_a_partners_limits_are_set_shown_and_taken_away(run: Run, database: str) -> None:
    code, out, _ = run("partner", "set-limits", "gamex", *UAH, "--day", "100000", "--charge", "50")
    assert (code, out) == (0, "gamex: a charge 50.00 UAH, a day 100000.00 UAH\n")
    query(database, "INSERT INTO partner_taken VALUES (1, 'UAH', now()::date, 250)")
    query(database, "INSERT INTO partner_taken VALUES (1, 'EUR', now()::date, 0)")
    shown = json.loads(run("partner", "show-limits", "gamex", "--json")[1])
    assert shown[1] == {
        "currency": "UAH",
        "charge_max": "50.00",
        "day_max": "100000.00",
        "day_counted": "2.50",
        "month_max": None,
        "month_counted": "2.50",
    }
    out = run("partner", "show-limits", "gamex")[1]
    assert [line.split() for line in out.splitlines()] == [
        ["CURRENCY", "CHARGE", "DAY", "COUNTED", "MONTH", "COUNTED"],
        ["EUR", "-", "-", "0.00", "-", "0.00"],
        ["UAH", "50.00", "100000.00", "2.50", "-", "2.50"],
    ]
    code, out, _ = run("partner", "set-limits", "gamex", *UAH, "--default")
    assert (code, out) == (0, "gamex: as the configuration says\n")
    assert query(database, "SELECT count(*) FROM partner_limit") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("gamex", *UAH), 2, "say --charge, --day or --month, or else --default"),
        (("gamex", *UAH, "--day", "1", "--default"), 2, "or else --default"),
        (("gamex", *UAH, "--day", "much"), 2, "'much' is no amount, such as 25.00"),
        (("gamex", "--currency", "QQQ", "--day", "1"), 2, "QQQ"),
        (("nobody", *UAH, "--day", "1"), 1, "there is no partner nobody"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    run: Run, arguments: tuple[str, ...], code: int, said: str
) -> None:
    exit_code, _, err = run("partner", "set-limits", *arguments)
    assert (exit_code, said in err) == (code, True), err
