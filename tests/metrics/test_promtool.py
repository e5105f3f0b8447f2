"""Prometheus' own linter reads a whole exposition."""

import shutil
import subprocess

import pytest

from ppcd.metrics import Metrics
from tests.ops.debian import unpacked

pytestmark = pytest.mark.peer


@pytest.fixture(scope="session")
def promtool() -> str:
    """promtool from the path, or from Debian's package."""
    return shutil.which("promtool") or str(unpacked("prometheus", "usr/bin/promtool"))


def test_promtool_finds_nothing_to_say(promtool):
    metrics = Metrics()
    metrics.know_link("main")
    metrics.know_adapter("main")
    metrics.know_route("/health/live")
    metrics.http_requests.child("/health/live", "200").add()
    ours = b"".join(
        line + b"\n"
        for line in metrics.expose()[1].splitlines()
        # Names of prometheus_client's own collectors are not ours to mend.
        if not line.removeprefix(b"# HELP ").removeprefix(b"# TYPE ").startswith(b"p")
        or b"ppcd_" in line
    )
    ran = subprocess.run(
        [promtool, "check", "metrics"], input=ours, capture_output=True, check=False
    )
    assert (ran.stdout + ran.stderr).decode() == ""
    assert ran.returncode == 0
