"""`ppcd subscriber block`, `unblock`, `show`."""

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import Run, a_runner

PHONE = "380971234567"


@pytest.fixture
def run(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_runner(database, tmp_path, capsys)


def test_a_phone_is_blocked_shown_and_unblocked(run: Run) -> None:
    code, out, _ = run("subscriber", "block", "+" + PHONE, "--note", "asked by letter")
    assert (code, PHONE in out) == (0, False), "numbers are masked"
    shown = json.loads(run("subscriber", "show", PHONE, "--json")[1])
    assert shown["blocked"] is True
    assert (shown["why"], shown["note"], shown["until"]) == ("operator", "asked by letter", None)
    out = run("subscriber", "show", PHONE)[1]
    assert "is blocked by an operator" in out
    assert "asked by letter" in out
    assert run("subscriber", "unblock", PHONE)[0] == 0
    code, _, err = run("subscriber", "unblock", PHONE)
    assert (code, "is not blocked" in err) == (1, True)
    assert "is not blocked" in run("subscriber", "show", PHONE)[1]


def test_a_block_may_have_an_end(run: Run) -> None:
    assert run("subscriber", "block", PHONE, "--days", "30")[0] == 0
    shown = json.loads(run("subscriber", "show", PHONE, "--json")[1])
    assert shown["until"] > shown["since"]
    assert "until 20" in run("subscriber", "show", PHONE)[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("block", "097"),
        ("block", PHONE, "--days", "0"),
        ("block", PHONE, "--days", "nan"),
        ("block", PHONE, "--note", "x" * 201),
        ("unblock", "phone"),
        ("show", "0971234567890123"),
    ],
)
def test_what_can_not_be_meant_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run("subscriber", *arguments)
    assert (code, len(err.splitlines())) == (2, 1)
