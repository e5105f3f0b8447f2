"""Programs that other people wrote: whether they are here, and how they are run and ended."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NODE_MODULES = ROOT / "build" / "peers" / "node_modules"


def _has_perl_module(name: str) -> bool:
    if shutil.which("perl") is None:
        return False
    return subprocess.run(["perl", f"-M{name}", "-e", "1"], capture_output=True).returncode == 0


def _has_erlang_diameter() -> bool:
    if shutil.which("erl") is None:
        return False
    # With its header, which comes in a package of its own.
    look = """halt(case code:lib_dir(diameter) of {error, _} -> 1; Directory ->
        case filelib:is_file(Directory ++ "/include/diameter.hrl") of
            true -> 0; false -> 1 end end)."""
    command = ["erl", "-noshell", "-eval", look]
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


_FOUND: dict[str, Callable[[], bool]] = {
    "node-smpp": lambda: (
        shutil.which("node") is not None and (NODE_MODULES / "smpp" / "package.json").exists()
    ),
    "Net::SMPP": lambda: _has_perl_module("Net::SMPP"),
    "Erlang's diameter": _has_erlang_diameter,
    "curl": lambda: shutil.which("curl") is not None,
    "node": lambda: shutil.which("node") is not None,
    "php": lambda: shutil.which("php") is not None,
    "smpplib": lambda: importlib.util.find_spec("smpplib") is not None,
}


@functools.cache
def _is_here(name: str) -> bool:
    return _FOUND[name]()


def require_peer(name: str) -> None:
    """Skip the test, with a line that says what to do, when that program isn't installed."""
    if not _is_here(name):
        pytest.skip(f"conversations with {name}: not installed; scripts/install-peers does it")


class Program:
    """A peer as a process of its own: its lines of JSON are what it says, the rest is for us."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self._output = directory / f"{Path(command[-1]).name}-{len(list(directory.iterdir()))}.out"
        environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its events of that name so far."""
        lines = self._output.read_text(errors="replace").splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{") and line[-1] == "}"]
        return [found for found in events if found["event"] == event]

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """By its process id; what it printed is shown with a failed test."""
        if self.running:
            self.process.kill()
        self.process.wait(10)
        print(self._output.read_text(errors="replace"))
