"""The README's first configuration is run as it stands, and no document links into the void."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from psycopg import conninfo

from ppcd.sim import billing_program, smsc_program
from tests.node.world import free_port, wait_for
from tests.postgres import a_server

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: The ports that the README shows; each is replaced by a free one.
PORTS = ("2775", "8080", "8090", "8091", "9464")
SMSC, PHONES, BILLING = PORTS[0], PORTS[3], PORTS[2]


def _blocks(section: str) -> list[str]:
    """The shell blocks below a heading, in order."""
    text = re.search(rf"^## {section}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    assert text, f"the README has no section {section!r}"
    return re.findall(r"^```sh\n(.*?)^```", text[1], re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who types the README's blocks, each terminal beginning in the checkout."""

    def __init__(self, checkout: Path, environment: dict[str, str]) -> None:
        self.ports = {port: str(free_port()) for port in PORTS}
        self._checkout = checkout
        self._environment = environment
        self._state = checkout / "state"
        self._state.touch()
        self.programs: list[subprocess.Popen[bytes]] = []

    def types(self, block: str) -> str:
        """Run a block to its end; what it printed. Its directory and variables stay."""
        if re.match(r"(cd|mkdir) ", block):  # a terminal's first
            self._state.write_text("")
        script = (
            f". {self._state}\n{self._with_ports(block)}\n"
            "{ declare -p KEY ID 2>/dev/null || true; "
            f'printf "cd %q\\n" "$PWD"; }} > {self._state}\n'
        )
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self._checkout,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def leaves_running(self, block: str) -> Path:
        """Start a program that stays in its terminal; where it prints."""
        printed = self._checkout / f"printed-{len(self.programs)}"
        script = (
            f". {self._state}\nexec {self._with_ports(block).strip()}{self._default_ports(block)}"
        )
        with printed.open("wb") as output:
            program = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self._checkout,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.programs.append(program)
        return printed

    def waits_for_node(self, printed: Path) -> None:
        """Return when the node says that it takes requests."""
        url = f"http://127.0.0.1:{self.ports['9464']}/health/ready"

        def ready() -> bool:
            with urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)

        try:
            wait_for("the node", ready, seconds=60)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{printed.read_text()}") from None

    def leaves(self) -> list[int]:
        """End all programs, the last one first; their exit codes."""
        codes = []
        for program in reversed(self.programs):
            program.terminate()
            codes.append(program.wait(timeout=40))
        self.programs = []
        return codes

    def _with_ports(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: self.ports[found[0]], text)

    def _default_ports(self, block: str) -> str:
        """What a simulator that takes its default ports must be told instead."""
        if "sim smsc" in block:
            return f" --smpp 127.0.0.1:{self.ports[SMSC]} --http 127.0.0.1:{self.ports[PHONES]}"
        if "sim billing" in block:
            return f" --http 127.0.0.1:{self.ports[BILLING]}"
        return ""


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A checkout of their own, and a PostgreSQL in which they may make databases."""
    checkout = Path(tempfile.mkdtemp(prefix="ppcd-readme-"))  # short: a socket's path comes of it
    server = a_server(checkout / "postgres")
    server.start()
    to = conninfo.conninfo_to_dict(server.dsn())
    programs = [str(Path(sys.executable).parent), str(server.bin_dir), os.environ["PATH"]]
    reader = Reader(
        checkout,
        os.environ
        | {"PATH": ":".join(programs)}
        | {"PGHOST": str(to["host"]), "PGPORT": str(to["port"]), "PGUSER": str(to["user"])},
    )
    try:
        yield reader
    finally:
        reader.leaves()
        server.stop()
        shutil.rmtree(checkout, ignore_errors=True)


@pytest.mark.slow
def test_the_first_configuration_of_the_readme_makes_a_paid_charge(reader):
    said = {}
    for block in _blocks("A first real configuration"):
        if not re.match(r"ppcd (sim|run) ", block):
            said[block] = reader.types(block)
            if "/messages" in block:
                wait_for("the prompt", lambda again=block: "ДА" in reader.types(again))
            continue
        printed = reader.leaves_running(block)
        if "sim" in block:
            wait_for("the simulator", lambda file=printed: "ready http" in file.read_text())
        else:
            reader.waits_for_node(printed)

    [status] = [text for block, text in said.items() if "ppcd status" in block]
    assert re.search(r"^link main +bound", status, re.MULTILINE)
    end = said[_blocks("A first real configuration")[-1]]
    assert '"paymentStatus":"succeeded"' in end
    assert re.search(r"^state +succeeded$", end, re.MULTILINE)
    assert reader.leaves()[0] == 0, "the node ends well"


def test_the_readme_relies_on_the_ports_that_the_simulators_take_by_default():
    import argparse

    smsc, billing = argparse.ArgumentParser(), argparse.ArgumentParser()
    smsc_program.add_arguments(smsc)
    billing_program.add_arguments(billing)
    assert smsc.get_default("smpp") == f"127.0.0.1:{SMSC}"
    assert smsc.get_default("http") == f"127.0.0.1:{PHONES}"
    assert billing.get_default("http") == f"127.0.0.1:{BILLING}"


def _targets(document: Path) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def _anchors(document: Path) -> set[str]:
    """How forges name headings in links."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document):
    for target in _targets(document):
        name, _, anchor = target.partition("#")
        to = (document.parent / name).resolve() if name else document
        assert to.exists(), f"{target} does not exist"
        assert not anchor or anchor in _anchors(to), f"{target}: there is no such heading"


@pytest.mark.parametrize("folder", ["docs", "docs/decisions"])
def test_the_index_of_a_folder_names_every_document_in_it(folder):
    index = ROOT / folder / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in _targets(index)}
    there = set(index.parent.glob("*.md")) - {index}
    assert there <= linked, f"missing: {sorted(path.name for path in there - linked)}"
