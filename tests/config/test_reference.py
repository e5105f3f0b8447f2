"""What the documents say about the configuration is what the models do."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

from ppcd.config import load
from ppcd.config.reference import keys, reference
from tests.config.files import a_secret

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "conf" / "ppcd.yaml"


def test_the_reference_is_current():
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == reference(), "run: python -m ppcd.config > docs/configuration.md"


@pytest.mark.parametrize("package", ["config", "metrics"])
def test_the_reference_is_printed(package, capsys):
    runpy.run_module(f"ppcd.{package}", run_name="__main__")
    assert capsys.readouterr().out.startswith("# ")


@pytest.mark.parametrize(("path", "field"), list(keys()))
def test_every_key_says_what_it_is(path, field):
    assert len(field.description or "") > 10, path


def test_the_example_passes_given_its_secrets(tmp_path):
    text = EXAMPLE.read_text().replace("/etc/ppcd/secrets/", f"{tmp_path}/")
    for name in ("database", "smpp-main", "billing-main"):
        a_secret(tmp_path, name)
    path = tmp_path / "ppcd.yaml"
    path.write_text(text)
    settings = load(path)
    assert settings.warnings == ()


def written_out() -> dict:
    """The example with everything that is commented out: `#key:` without a space."""
    return yaml.load(re.sub(r"(?m)^( *)#(?=[a-z_])", r"\1", EXAMPLE.read_text()), yaml.BaseLoader)


def test_the_example_shows_every_key():
    example = written_out()
    missing = []
    for path, _ in keys():
        inner = [example]
        for part in path.split("."):
            if part == "NAME":
                inner = [value for found in inner for value in found.values()]
            else:
                inner = [found[part] for found in inner if part in (found or {})]
        if not inner:
            missing.append(path)
    assert missing == []


def test_what_the_example_shows_as_default_is_the_default():
    """Values in comments that are no defaults stand where there is none, or are marked below."""
    shown_only = {
        "sslmode",
        "trunk_prefix",
        "public_url",
        "rate_max",
        "inactivity_s",
        "msisdn_prefixes",
        "code",
        "partners",
    }
    lines = EXAMPLE.read_text().splitlines()
    defaults: dict[str, set[str]] = {}
    for path, field in keys():
        default = field.get_default(call_default_factory=True)
        defaults.setdefault(path.rpartition(".")[2], set()).add(text_of(default))
    for line in lines:
        match = re.fullmatch(r' *#([a-z_]+): ("?)([^{\["]*)\2', line)
        if match and match[1] not in shown_only and match[1] in defaults:
            possible = defaults[match[1]]
            assert match[3] in possible or possible & {"None", "PydanticUndefined"}, line


def text_of(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
