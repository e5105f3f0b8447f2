"""The README's examples are run as they stand there, against each other."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ppcd.smpp

README = Path(ppcd.smpp.__file__).with_name("README.md")
LINES_MAX = {"ESME": 20, "SMSC": 30}


def example(name: str) -> str:
    found = re.search(rf"## An {name} in .*?```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", ["ESME", "SMSC"])
def test_an_example_is_as_short_as_it_says(name: str) -> None:
    lines = [line for line in example(name).splitlines() if line.strip()]
    assert len(lines) <= LINES_MAX[name]


class Running:
    """An example as a process, its output in a file."""

    def __init__(self, name: str, directory: Path, *arguments: str) -> None:
        self._output = directory / f"{name}.out"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-c", example(name), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def says(self, pattern: str) -> str:
        """Wait for a line; what the pattern's group caught."""
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            found = re.search(pattern, self._output.read_text())
            if found is not None:
                return found[1]
            assert self.process.poll() is None, self._output.read_text()
            try:
                self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
        raise AssertionError(f"no {pattern} in:\n{self._output.read_text()}")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        finally:
            self.process.kill()


def test_the_examples_talk_to_each_other(tmp_path: Path) -> None:
    smsc = Running("SMSC", tmp_path)
    esme = None
    try:
        esme = Running("ESME", tmp_path, smsc.says(r"listening (\d+)"))
        assert smsc.says(r"bound (\w+)") == "me"
        assert esme.says(r"submitted (.*)").startswith("Accepted(message_id='1'")
        assert esme.says(r"received (.*)") == "b'380971234567' b'YES'"
        assert smsc.says(r"delivered (.*)").startswith("Accepted(")
        esme.end()
        assert smsc.says(r"ended (.*)") == "the other side unbound"
    finally:
        if esme is not None:
            esme.end()
        smsc.end()
