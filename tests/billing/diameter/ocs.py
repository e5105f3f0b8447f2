"""Erlang's diameter as online charging system: a process, its journal, and how it behaves."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[1] / "ocs"
HOST = "ocs.operator.example"


def compiled(directory: Path) -> Path:
    """`directory` with the system's modules in it."""
    for source in SOURCES.iterdir():
        shutil.copy(source, directory)
    make = 'ok = diameter_make:codec("ro.dia"), [{ok, _} = compile:file(M) || M <- [ro, ocs]]'
    subprocess.run(
        ["erl", "-noshell", "-eval", f"{make}, halt()."],
        cwd=directory,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    return directory


class Ocs:
    """One running system."""

    def __init__(self, directory: Path, *, host: str = HOST) -> None:
        self._process = subprocess.Popen(
            ["erl", "-noshell", "-eval", f'ocs:main("{host}").'],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._journal: list[dict[str, Any]] = []
        self.port = int(self._until("up")["port"])

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def mode(self, msisdn: str, mode: str) -> None:
        """How it behaves for a phone from now on."""
        self._tell(f"mode {msisdn} {mode}")

    def journal(self, event: str) -> list[dict[str, Any]]:
        """What it wrote down so far."""
        if self.running:
            self._tell("sync")
        return [entry for entry in self._journal if entry["event"] == event]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._until("done")

    def _until(self, event: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{"'):
                entry: dict[str, Any] = json.loads(line)
                if entry["event"] == event:
                    return entry
                self._journal.append(entry)
            else:
                print(line, end="")  # shown with a failed test
        raise AssertionError("the charging system ended")
