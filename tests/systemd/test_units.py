"""The unit files are what systemd takes, and the sandbox is as tight as promised."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
#: In tenths, as systemd-analyze counts: 2.0 is promised.
EXPOSURE_MAX = 20

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        shutil.which("systemd-analyze") is None, reason="systemd: systemd-analyze is not installed"
    ),
]


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", ["ppcd.service", "ppcd@.service", "ppcd-sim@.service"])
def test_the_sandbox_is_tight(unit):
    ran = run(
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE_MAX}",
        "--no-pager",
        UNITS / unit,
    )
    assert ran.returncode == 0, ran.stdout[-500:] + ran.stderr


@pytest.mark.parametrize("unit", ["ppcd.service", "ppcd@.service", "ppcd-sim@.service"])
def test_systemd_takes_every_line(unit, tmp_path):
    """Unknown keys only warn and exit with 0, so any line on standard error is a failure."""
    text = (UNITS / unit).read_text()
    # The program is not installed here, and verify asks for it.
    copy = tmp_path / unit.replace("@", "@main")
    copy.write_text(re.sub(r"/opt/ppcd/bin/ppcd\b", "/bin/true", text))
    ran = run("systemd-analyze", "verify", "--man=no", f"./{copy.name}", cwd=tmp_path)
    assert ran.stderr == ""
    assert ran.returncode == 0


def test_the_watchdog_and_the_notification_are_asked_for():
    text = (UNITS / "ppcd.service").read_text()
    for line in ("Type=notify", "WatchdogSec=30s", "ExecReload=/bin/kill -HUP $MAINPID"):
        assert f"\n{line}\n" in text


def test_one_node_and_many_differ_in_names_only():
    one = (UNITS / "ppcd.service").read_text().splitlines()
    many = (UNITS / "ppcd@.service").read_text().splitlines()
    options = [{line for line in unit if not line.startswith("#")} for unit in (one, many)]
    assert {line.partition("=")[0] for line in options[0] ^ options[1]} == {
        "Description",
        "ExecStart",
        "RuntimeDirectory",
        "DefaultInstance",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="systemd: only root can give files to a new user")
def test_user_and_directories_are_made(tmp_path):
    for kind in ("sysusers", "tmpfiles"):
        directory = tmp_path / "usr" / "lib" / f"{kind}.d"
        directory.mkdir(parents=True)
        (directory / "ppcd.conf").write_text((UNITS / f"ppcd.{kind}").read_text())
    (tmp_path / "etc").mkdir()
    made = run("systemd-sysusers", f"--root={tmp_path}", "ppcd.conf")
    assert made.returncode == 0, made.stderr
    assert re.search(r"^ppcd:.*:/usr/sbin/nologin$", (tmp_path / "etc/passwd").read_text(), re.M)
    made = run("systemd-tmpfiles", "--create", f"--root={tmp_path}", "ppcd.conf")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "etc/ppcd").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "etc/ppcd/credentials").stat().st_mode & 0o777 == 0o700
