"""What docs/architecture.md says of the house is what stands there."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()


def test_the_rooms_are_the_ones_whose_imports_are_checked():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    wanted = [set(re.split(r" \| ", row)) for row in layers["contracts"][0]["layers"]]
    table = PAGE.partition("| rooms |")[2].partition("\n\n")[0]
    shown = [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.splitlines()[2:]]
    assert shown == wanted


def test_the_tables_are_those_of_the_schema():
    schema = "".join(path.read_text() for path in (ROOT / "ppcd/store/schema").glob("*.sql"))
    tables = set(re.findall(r"^CREATE TABLE (\w+)", schema, re.MULTILINE)) - {"business_clock"}
    kinds = PAGE.partition("## Three kinds of table")[2].partition("The status of a charge")[0]
    assert tables <= set(re.findall(r"`(\w+)`", kinds))
