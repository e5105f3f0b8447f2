"""The simulated billing as a process: starts, stops when told, and forgets nothing when killed."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

PROGRAM = """
import argparse, sys
from ppcd.sim import billing_program
parser = argparse.ArgumentParser()
billing_program.add_arguments(parser)
sys.exit(billing_program.run(parser.parse_args()))
"""

Start = Callable[..., "Program"]


class Program:
    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> "Program":
        assert self.process.stdout is not None
        word, self.url = self.process.stdout.readline().split()
        assert word == "ready"
        return self

    def debit(self, key: str) -> dict[str, Any]:
        order = {"key": key, "msisdn": "380971234567", "amount_minor": 2500, "currency": "UAH"}
        request = Request(self.url + "/billing/debits", json.dumps(order).encode())
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=10)
        return self.process.returncode


@pytest.fixture
def start() -> Iterator[Start]:
    programs: list[Program] = []

    def run(*arguments: str) -> Program:
        programs.append(Program(*arguments))
        return programs[-1]

    yield run
    for program in programs:
        program.process.kill()
        program.process.communicate()


def test_it_says_ready_and_ends_with_0_when_told(start: Start) -> None:
    program = start("--http", "127.0.0.1:0").ready()
    assert program.debit("1")["result"] == "debited"
    assert program.end(signal.SIGTERM) == 0


def test_a_killed_billing_still_knows_what_it_answered(start: Start, tmp_path: Path) -> None:
    arguments = ("--http", "127.0.0.1:0", "--data", str(tmp_path), "--fsync")
    first = start(*arguments).ready()
    debited = first.debit("1")
    first.end(signal.SIGKILL)
    assert start(*arguments).ready().debit("1") == debited


def test_a_taken_port_is_one_line_and_1(start: Start) -> None:
    taken = start("--http", "127.0.0.1:0").ready()
    second = start("--http", taken.url.removeprefix("http://")).process
    _, errors = second.communicate(timeout=10)
    assert second.returncode == 1
    assert len(errors.splitlines()) == 1


def test_the_token_file_is_read(start: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    program = start("--http", "127.0.0.1:0", "--token-file", str(tmp_path / "token")).ready()
    with pytest.raises(HTTPError, match="401"):
        program.debit("1")


@pytest.mark.parametrize(
    "arguments", [("--http", "8090"), ("--http", "x:y"), ("--token-file", "/does/not/exist")]
)
def test_wrong_arguments_are_one_line_and_2(start: Start, arguments: tuple[str, ...]) -> None:
    process = start(*arguments).process
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 2
    assert len(errors.splitlines()) == 1
