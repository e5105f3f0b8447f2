"""What the linters can't see: sizes, names, words, and documents that have fallen behind."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ppcd.metrics import Metrics

ROOT = Path(__file__).parents[1]
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

SOURCES = sorted((ROOT / "ppcd").rglob("*.py"))
#: Names that say only that something is in there.
EMPTY_NAMES = {"base", "common", "core", "helper", "helpers", "misc", "util", "utils"}
#: Hosts of package registries, and paths of somebody's own machine: the project stands alone.
#: Written so that this file does not contain them.
STRANGERS = re.compile(
    "|".join(
        [
            r"pypi\.(?:org|python)",
            r"python" + r"hosted",
            r"registry\.npm",
            r"deb\.deb" + r"ian",
            r"proxy\.gol" + r"ang",
            r"\.\./sha" + r"red/",
            r"(?<![\w/])/wo" + r"rk/",
        ]
    )
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def committed() -> Iterator[Path]:
    """Files of the project: those that git tracks, generated and foreign ones apart."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():
            yield path


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """What must be understood at once: without the list of arguments and the explanation."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_is_short_says_what_it_is_and_has_short_functions(path):
    text = path.read_text()
    lines = len(text.splitlines())
    assert lines <= MODULE_LINES_MAX, f"{lines} lines; at most {MODULE_LINES_MAX}"
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text.strip(), "no docstring says what this module is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = body_lines(node)
            assert length <= FUNCTION_LINES_MAX, f"{node.name}: {length} lines"


def test_modules_are_named_for_what_they_are():
    assert [named(path) for path in SOURCES if path.stem in EMPTY_NAMES] == []


def test_every_package_has_tests():
    packages = {path.parent.name for path in (ROOT / "ppcd").glob("*/__init__.py")}
    tested = {path.parent.name for path in (ROOT / "tests").rglob("test_*.py")}
    # The way of a charge and the wiring are tested by whole nodes, in tests/node.
    assert packages - tested - {"cli", "flow", "service", "sms", "worker"} == set()


def test_no_test_sleeps():
    """A sleep is too long or too short. Only around whole processes does real time pass."""
    sleepers = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.parent.name == "node":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep":
                sleepers.append(f"{named(path)}:{node.lineno}")
    assert sleepers == []


def test_every_metric_is_counted_somewhere():
    """A metric that nobody feeds says that all is well."""
    code = "".join(path.read_text() for path in SOURCES if path.parent.name != "metrics")
    metrics = Metrics()
    unfed = [
        name
        for name, family in vars(metrics).items()
        if family in metrics.families and not re.search(rf"\.{name}\b", code)
    ]
    assert unfed == []


def test_the_project_speaks_of_itself_alone():
    found = []
    for path in committed():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture or a recorded PDU
        for number, line in enumerate(text.splitlines(), start=1):
            if STRANGERS.search(line):
                found.append(f"{named(path)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_documents_name_only_metrics_that_exist():
    metrics = Metrics()
    known = {family.name for family in metrics.families} | {metrics.build_info.name}
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "count", "sum")}
    unknown = []
    for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        for name in re.findall(r"\bppcd_[a-z_]+[a-z]\b(?!\.)", path.read_text()):
            if name not in known:
                unknown.append(f"{named(path)}: {name}")
    assert unknown == []


def test_documents_link_only_to_what_is_there():
    broken = []
    for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", path.read_text()):
            if not (path.parent / target).exists():
                broken.append(f"{named(path)}: {target}")
    assert broken == []
