"""Prometheus' own linter reads a whole exposition."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ppcd.metrics import Metrics

pytestmark = pytest.mark.peer

BUILD = Path(__file__).parents[2] / "build" / "prometheus"


@pytest.fixture(scope="session")
def promtool() -> str:
    """promtool from the path, or from Debian's package, unpacked below build/ only."""
    unpacked = BUILD / "usr" / "bin" / "promtool"
    if found := shutil.which("promtool"):
        return found
    if not unpacked.exists():
        if not shutil.which("apt-get"):
            pytest.skip("promtool: neither installed nor to be had from Debian's packages")
        BUILD.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(
            ["apt-get", "download", "prometheus"], cwd=BUILD, capture_output=True, check=False
        )
        packages = sorted(BUILD.glob("prometheus_*.deb"))
        if got.returncode or not packages:
            pytest.skip("promtool: Debian's package prometheus cannot be downloaded")
        subprocess.run(["dpkg", "-x", packages[0], BUILD], check=True)
    return str(unpacked)


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
