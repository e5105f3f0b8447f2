"""The served specifications as a tester that others wrote reads them: thousands of requests made
from each, good and bad, and every answer held against it.

`scripts/fuzz_api.py` runs it for long; a test runs it for a few hundred requests.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
#: What must hold of every answer. That good requests are taken is not among them: whether a number
#: is this operator's, or a currency one that it knows, no schema says.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
#: For the node that is tried: it would soon look at no secret any more.
NODE = "wrong_secrets_per_min_max: 0"
#: What is paid before, so that there is something to refund.
MUCH = {"amount": 900}
#: A run makes some of its requests from examples and from each rule of the specification, however
#: few are asked for.
EACH_MIN = 10

_GENERATED = re.compile(r"(\d+) generated")


@dataclass(frozen=True)
class Run:
    """What came of one specification."""

    name: str
    cases: int
    #: By method and status, how many requests were answered so.
    answers: Counter[tuple[str, int]]
    passed: bool
    #: What the tester printed.
    report: str


def served() -> dict[str, int]:
    """All specifications in the package, with the number of their operations."""
    found = {}
    for path in sorted(ROOT.glob("ppcd/*/openapi/*.yaml")):
        paths = yaml.safe_load(path.read_text())["paths"]
        found[path.name] = sum(
            method in ("get", "post", "put", "delete", "patch")
            for methods in paths.values()
            for method in methods
        )
    return found


def run(
    origin: str,
    *,
    client: tuple[str, str],
    paid: Sequence[str],
    name: str,
    each: int,
    seed: int,
    sequences: bool = True,
) -> Run:
    """Try the specification `name` as served at `origin`, `each` cases an operation or more, for
    the `client` of that name and key, which has the `paid` payments; without `sequences`, no
    requests that follow from answers, which take longest.
    """
    authorization = f"Bearer {client[1]}"
    if name == "oauth.yaml":
        authorization = f"Basic {base64.b64encode(':'.join(client).encode()).decode()}"
    phases = "examples,coverage,fuzzing" + ",stateful" * sequences
    program = Path(sys.executable).with_name("schemathesis")
    with tempfile.TemporaryDirectory() as directory:
        events = Path(directory) / "events.ndjson"
        done = subprocess.run(
            [
                *(str(program), "--config-file", str(HERE / "schemathesis.toml")),
                *("run", f"{origin}/openapi/{name}", "--origin", origin),
                *("--header", f"Authorization: {authorization}", "--checks", ",".join(CHECKS)),
                *("--max-examples", str(max(each, EACH_MIN)), "--seed", str(seed)),
                *("--continue-on-failure", "--no-shrink", "--warnings", "off"),
                *("--phases", phases),
                *("--report", "ndjson", "--report-ndjson-path", str(events)),
            ],
            capture_output=True,
            text=True,
            cwd=directory,
            env=os.environ
            | {"SCHEMATHESIS_HOOKS": "requests_that_fit", "PYTHONPATH": str(HERE)}
            | {"PPCD_PAID": ",".join(paid)},
            check=False,
        )
        answers: Counter[tuple[str, int]] = Counter()
        if events.exists():
            for line in events.read_text().splitlines():
                answers.update(_answers(json.loads(line)))
    generated = _GENERATED.search(done.stdout)
    cases = int(generated[1]) if generated else 0
    return Run(name, cases, answers, done.returncode == 0, done.stdout + done.stderr)


def _answers(event: dict[str, Any]) -> list[tuple[str, int]]:
    recorder = event.get("ScenarioFinished", {}).get("recorder", {})
    return [
        (one["request"]["method"], one["response"]["status_code"])
        for one in recorder.get("interactions", {}).values()
        if one.get("response")
    ]
