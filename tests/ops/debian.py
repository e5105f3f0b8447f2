"""Programs of others from Debian's packages, unpacked below build/: nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"


def unpacked(package: str, path: str) -> Path:
    """The file at `path` of Debian's `package` (a glob); skips the test where it cannot be had."""
    directory = BUILD / package
    if found := sorted(directory.glob(path)):
        return found[0]
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip(f"{package}: neither installed nor to be had from Debian's packages")
    directory.mkdir(parents=True, exist_ok=True)
    if not _download(package, directory):
        # A fresh machine has no list of packages yet.
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
        if not _download(package, directory):
            pytest.skip(f"{package}: Debian's package cannot be downloaded")
    (archive,) = directory.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive, directory], check=True)
    return next(iter(sorted(directory.glob(path))))


def _download(package: str, directory: Path) -> bool:
    ran = subprocess.run(
        ["apt-get", "download", "-q", package], cwd=directory, capture_output=True, check=False
    )
    return ran.returncode == 0
