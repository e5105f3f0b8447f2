#!/usr/bin/env python3
"""Coverage-guided fuzzing of ppcd.smpp: framer, PDU bodies, TLVs, receipts, text, long messages.

    scripts/fuzz_smpp.py [TARGET] [--seconds 60] [--keep]

Without a target all take turns. The fuzzer (atheris) lives in build/fuzz-venv, made on the first
run; what it finds stays in build/fuzz-corpus. `--keep` merges into tests/smpp/corpus what covers
something new. A finding ends the run with its input in build/fuzz-corpus and exit status 1.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "fuzz-venv"
FOUND = ROOT / "build" / "fuzz-corpus"
KEPT = ROOT / "tests" / "smpp" / "corpus"
NAMES = ("stream", "body", "tlvs", "receipt", "text", "parts")
INSIDE = "PPCD_FUZZ_TARGET"
ATHERIS = "atheris>=3.0,<4"


def environment() -> Path:
    python = HOME / "bin" / "python"
    marker = HOME / "made"
    if not marker.exists():
        venv.create(HOME, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", ATHERIS], check=True)
        marker.write_text(ATHERIS)
    return python


def seeds(name: str) -> Path:
    """The malformed vectors and the deformed receipts as a first corpus."""
    sys.path.insert(0, str(ROOT))
    from tests.smpp.vectors import DEFORMED, MALFORMED

    if name == "receipt":
        found = [b"\x04" + text for text in DEFORMED.values()]
    elif name in ("text", "parts"):
        found = [b"\0\0Yes \x1b\x65", b"\x08\0\x04\x14\x04\x10", "\0ДА\1\u20ac".encode() * 60]
    else:
        found = [b"\x05" + v.octets[0 if name == "stream" else 16 :] for v in MALFORMED]
    directory = FOUND / f"{name}-seeds"
    directory.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(found):
        (directory / f"{number:03}").write_bytes(octets)
    return directory


def drive(name: str, *arguments: str) -> int:
    """Runs the fuzzer on a target in its own environment."""
    # What ppcd itself needs comes behind the fuzzer's own packages.
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    python = environment()
    # By environment, because a merging fuzzer starts this file again with its own arguments only.
    search = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    environ = {**os.environ, "PATH": search, "PYTHONPATH": path, INSIDE: name}
    command = [str(python), __file__, *arguments]
    return subprocess.run(command, env=environ, check=False).returncode


def inside(name: str) -> None:
    """In the fuzzer's environment: instruments the package and hands over."""
    import atheris

    with atheris.instrument_imports(include=["ppcd.smpp", "tests.smpp.fuzzing"]):
        from tests.smpp.fuzzing import TARGETS

    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    if INSIDE in os.environ:
        inside(os.environ[INSIDE])
        return 0
    parser = argparse.ArgumentParser(description="Fuzz ppcd.smpp.")
    parser.add_argument("target", nargs="?", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    for name in [options.target] if options.target else NAMES:
        found, kept = FOUND / name, KEPT / name
        for directory in (found, kept):
            directory.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={options.seconds}", "-max_len=1024", "-timeout=5"]
        quiet = ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={FOUND}/{name}-"]
        status = drive(name, str(found), str(kept), str(seeds(name)), *limits, *quiet)
        if status:
            return 1
        if options.keep and drive(name, "-merge=1", str(kept), str(found), str(seeds(name))):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
