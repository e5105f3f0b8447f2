#!/usr/bin/env python3
"""Makes thousands of requests from the served specifications and holds every answer against them.

    scripts/fuzz_api.py [--cases 10000] [--only carrier-billing.yaml] [--seed N]

Starts a node with its surroundings (the environment of scripts/test has all that it takes), and
ends with exit status 1 when an answer was a 5xx, or one that the specification does not have.
"""

import argparse
import math
import secrets
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from tests.node.world import a_world
    from tests.partner.specification import MUCH, NODE, Run, run, served

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--only", choices=served(), help="one specification")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    args = parser.parse_args()
    specifications = {
        name: operations for name, operations in served().items() if args.only in (None, name)
    }
    each = math.ceil(args.cases / sum(specifications.values()))
    done: list[Run] = []
    with tempfile.TemporaryDirectory() as directory, a_world(Path(directory), api=NODE) as world:
        paid = [world.paid(f"3809709{n:05}", f"paid-{n}", charging=MUCH) for n in range(20)]
        for name in specifications:
            found = run(
                f"http://127.0.0.1:{world.node.partner_port}",
                client=("gamex", world.partner.key),
                paid=paid,
                name=name,
                each=each,
                seed=args.seed,
            )
            done.append(found)
            answers = ", ".join(
                f"{count} {method} {status}"
                for (method, status), count in sorted(found.answers.items())
            )
            print(f"{name}: {found.cases} cases; answers: {answers}", flush=True)
            if not found.passed:
                print(found.report)
    cases = sum(found.cases for found in done)
    print(f"{cases} cases, seed {args.seed}")
    if cases < args.cases:
        print(f"fewer than {args.cases} cases were made: give a larger --cases", file=sys.stderr)
        return 1
    return 0 if all(found.passed for found in done) else 1


if __name__ == "__main__":
    sys.exit(main())
