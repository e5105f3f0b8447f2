"""`scripts/bench codec`: ppcd.smpp beside the libraries that a Python user would take.

CPU time of one process in which all of them take turns, so that a disturbed machine disturbs all;
medians over the turns, with their noise. The libraries live in a virtual environment of their own
under build/, made on the first run and filled with the versions of `codec_peers.txt`.
"""

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import figure, noise

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = HERE / "codec_peers.txt"
HOME = ROOT / "build" / "bench-venv"

PYTHON = ("aiosmpplib", "smpp.pdu3", "smpplib")
COMPILED = ("smpp34",)

Turns = dict[str, list[float]]


def environment() -> Path:
    """The Python of the libraries' own environment, made and filled when it isn't there."""
    python = HOME / "bin" / "python"
    marker = HOME / "peers.txt"
    wanted = PEERS.read_text()
    if not marker.exists() or marker.read_text() != wanted:
        venv.create(HOME, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(PEERS)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        marker.write_text(wanted)
    return python


def run(quick: bool = False) -> list[dict[str, Any]]:  # noqa: FBT001, FBT002  # the driver's form
    """Measures, prints the table, gives the figures."""
    python = environment()
    # What ppcd itself needs comes behind the libraries' own packages.
    path = os.pathsep.join([str(ROOT), str(HERE), sysconfig.get_path("purelib")])
    command = [str(python), str(HERE / "codec_turns.py"), *(["--quick"] if quick else [])]
    environ = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environ)
    found = json.loads(done.stdout)
    print(table(found["titles"], found["turns"]))
    return figures(found["turns"])


def table(titles: dict[str, str], found: dict[str, Turns]) -> str:
    """Microseconds of CPU a PDU: median and noise (half the distance between the quartiles)."""
    names = list(dict.fromkeys(name for turns in found.values() for name in turns))
    lines = ["µs of CPU a PDU, median (± noise); bytes read to fields read to answers in one batch"]
    lines.append(f"{'':<26}" + "".join(f"{name:>18}" for name in names))
    for job, turns in found.items():
        row = f"{titles[job]:<26}"
        for name in names:
            if name in turns:
                low, middle, high = statistics.quantiles(turns[name], n=4)
                row += f"{middle:>10.2f} (±{50 * (high - low) / middle:>2.0f} %)"
            else:
                row += f"{'fails' if len(turns) > 1 else '':>18}"
        lines.append(row)
    return "\n".join(lines)


def times_as_fast(turns: Turns, others: Sequence[str]) -> list[float]:
    """Of each turn: how many times as fast as the fastest of the others that can do it at all."""
    able = [turns[name] for name in others if name in turns]
    return [min(theirs) / ours for ours, *theirs in zip(turns["ppcd.smpp"], *able, strict=True)]


def figures(found: dict[str, Turns]) -> list[dict[str, Any]]:
    """What a run is judged by: ratios within it; the rates are for people."""

    def ratio(name: str, job: str, others: Sequence[str], must: float, aim: float) -> Any:
        ratios = times_as_fast(found[job], others)
        return figure(
            f"{job}_vs_{name}",
            statistics.median(ratios),
            "times",
            better="higher",
            must=must,
            aim=aim,
            noise=noise(ratios),
        )

    def rate(job: str, aim: float) -> Any:
        median = statistics.median(found[job]["ppcd.smpp"])
        return figure(f"{job}_rate", 1e6 / median, "PDUs/CPU-s", better="higher", aim=aim)

    return [
        *(ratio("fastest_python", job, PYTHON, 10, 20) for job in ("deliver", "deliver_tlvs")),
        ratio("fastest_python", "receipt", PYTHON, 10, 20),
        ratio("fastest_python", "submit", PYTHON, 10, 12),
        *(ratio("compiled", job, COMPILED, 1, 1.2) for job in ("deliver", "deliver_tlvs")),
        ratio("compiled", "receipt", COMPILED, 1, 1.1),
        # Ours with sessions, timers and limits; theirs is the codec alone, so no must.
        figure(
            "session_vs_compiled",
            statistics.median(
                theirs / ours
                for ours, theirs in zip(
                    found["deliver_session"]["ppcd.smpp"], found["deliver"]["smpp34"], strict=True
                )
            ),
            "times",
            better="higher",
            aim=1,
        ),
        rate("deliver", 1_000_000),
        rate("submit", 1_000_000),
    ]
