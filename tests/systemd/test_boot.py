"""The unit itself, run by a systemd booted for it: offline checks can't see a sandbox bite."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: As mounted by boot.sh.
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = f"/opt/python/bin/{VERSION}"
ENVIRONMENT = (
    f"PYTHONPATH=/opt/source:/opt/ppcd/lib/{VERSION}/site-packages "
    "PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH=/opt/python/lib"
)

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/lib/systemd/systemd").exists(),
        reason="systemd: booting it takes root and Debian's package systemd",
    ),
]

CONFIGURATION = """\
database: {host: 127.0.0.1, port: 1, dbname: ppcd, user: ppcd}
links:
  main: {host: 127.0.0.1, port: 1, system_id: ppcd, password_credential: smpp-main}
routes:
  games: {links: main, pool: {first: "717100", size: 32}, billing: main}
billing:
  main: {url: "http://127.0.0.1:1/debits"}
charges: {lifetime_s: 600}
partner_api: {listen: "127.0.0.1:8080"}
"""

CHECKS = """\
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
TimeoutStartSec=100
ExecStart=/opt/checks.sh
StandardOutput=append:/var/log/out.log
StandardError=inherit
"""

TARGET = "[Unit]\nDefaultDependencies=no\nRequires=checks.service\n"


def the_unit() -> str:
    """The real one, with what only a whole machine has taken out."""
    unit = (ROOT / "systemd" / "ppcd.service").read_text()
    unit = re.sub(r"(?m)^(After|Wants|WantedBy)=.*\n", "", unit)
    unit = unit.replace("[Unit]\n", "[Unit]\nDefaultDependencies=no\n", 1)
    unit = unit.replace("WatchdogSec=30s", "WatchdogSec=3s")
    # This checkout's environment has other places written into its programs, and its interpreter
    # may be in somebody's home, which the sandbox hides: both are mounted elsewhere and put
    # together.
    unit = unit.replace("/opt/ppcd/bin/ppcd ", f"{PYTHON} -m ppcd.cli ")
    return unit.replace(
        "[Service]\n",
        "[Service]\n"
        f"Environment={ENVIRONMENT}\n"
        "LoadCredential=smpp-main:/etc/ppcd/credentials/smpp-main\n"
        "StandardOutput=append:/var/log/out.log\n"
        "StandardError=inherit\n",
        1,
    )


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group of its own for the booted systemd to rule over."""
    for base in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        if (base / "cgroup.procs").exists():
            break
    else:
        pytest.skip("systemd: no second version of control groups here")
    group = base / f"ppcd-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("systemd: control groups cannot be made here")
    yield group
    for directory, _, _ in os.walk(group, topdown=False):
        os.rmdir(directory)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    units = tmp_path / "units"
    units.mkdir()
    (units / "ppcd.service").write_text(the_unit())
    (units / "checks.service").write_text(CHECKS)
    (units / "checks.target").write_text(TARGET)
    (tmp_path / "ppcd.yaml").write_text(CONFIGURATION)
    (tmp_path / "credential").write_text("password\n")
    checks = (HERE / "checks.sh").read_text()
    (tmp_path / "checks.sh").write_text(checks.replace("PYTHON ", f"env {ENVIRONMENT} {PYTHON} "))
    for log in ("out.log", "console.log"):
        (tmp_path / log).touch()
    return tmp_path


def test_the_service_lives_in_its_sandbox(scratch, cgroup):
    flags = ["mount", "pid", "fork", "kill-child", "ipc", "uts", "net", "cgroup"]
    boot = ["unshare", *(f"--{flag}" for flag in flags), "bash", HERE / "boot.sh"]
    ran = subprocess.run(
        # The shell moves itself into the group first; everything below is born there.
        [
            "bash",
            "-c",
            'echo $$ > "$0/cgroup.procs" && exec timeout -k 5 110 "$@"',
            cgroup,
            *boot,
            scratch,
            ROOT,
            sys.base_prefix,
            sys.prefix,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    said = (scratch / "out.log").read_text()
    if "permitted" in ran.stderr and not said:
        pytest.skip(f"systemd: namespaces are forbidden here: {ran.stderr.strip()[:100]}")
    everything = f"{said}\n{ran.stderr}\n{(scratch / 'console.log').read_text()[-4000:]}"
    assert "end of checks" in said, everything
    assert "NOT:" not in said, everything
