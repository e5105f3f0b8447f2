"""`scripts/bench [NAME] [--quick] [--json FILE]`: lists the benchmarks, or runs and judges one."""

import argparse
import importlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import judged, missed

#: Modules beside this one and what they measure, in the order in which they are worth running.
NAMES = {
    "codec": "SMPP bytes to fields to answers, beside other libraries",
    "reply": "deliver_sm to durable confirmation to deliver_sm_resp, beside COPY and an empty link",
    "growth": "confirmations with 10 k, 1 M and 10 M charges waiting, and a sustained minute",
    "chain": "a charge from HTTP request to webhook: charges a second, and where the time goes",
    "nodes": "two nodes on one database against one",
    "debits": "debits at each kind of billing, beside a bare client; and a million that wait",
    "api": "the partners' API",
    "pages": "the payment page",
}
HERE = Path(__file__).parent


def main() -> int:
    """0 done, 1 a figure misses its must, 2 there is no such benchmark."""
    there = {name: what for name, what in NAMES.items() if (HERE / f"{name}.py").exists()}
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure ppcd.")
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(there)}")
    parser.add_argument("--quick", action="store_true", help="a first impression in under 45 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args()
    if args.name is None:
        for name, what in there.items():
            print(f"{name:<8}{what}")
        return 0
    if args.name not in there:
        print(
            f"there is no benchmark {args.name!r}; there are: {', '.join(there)}", file=sys.stderr
        )
        return 2
    # Told to stop, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    figures: list[dict[str, Any]] = importlib.import_module(f"benchmarks.{args.name}").run(
        args.quick
    )
    print(judged(figures))
    if args.json is not None:
        by_name = {f["name"]: {k: v for k, v in f.items() if k != "name"} for f in figures}
        document = {"bench": args.name, "figures": by_name}
        args.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if missed(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
