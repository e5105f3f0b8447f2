"""`ppcd partner add-certificate`, `list-certificates`, `revoke-certificate`."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificates

from ppcd.partner.scopes import Scope
from tests.cli.test_commands import Run, a_runner
from tests.smpp.authority import Authority


@pytest.fixture
def run(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    run = a_runner(database, tmp_path, capsys)
    assert run("partner", "add", "gamex", "--merchant", "GameX")[0] == 0
    return run


def listed(run: Run) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        run("partner", "list-certificates", "gamex", "--json")[1]
    )
    return found


def test_a_certificate_is_registered_by_its_fingerprint_or_its_subject(
    run: Run, tmp_path: Path
) -> None:
    file, _ = Authority(tmp_path).certify("shop")
    digits = load_pem_x509_certificates(Path(file).read_bytes())[0].fingerprint(SHA256()).hex()
    other = ":".join("0F" for _ in range(32))
    for options in (
        ("--file", file, "--label", "web shop", "--scope", Scope.READ),
        ("--subject-of", file),
        ("--subject", "CN=other,O=A\\, B"),
        ("--fingerprint", other),
    ):
        code, out, _ = run("partner", "add-certificate", "gamex", *options)
        assert (code, out.startswith("certificate ")) == (0, True)
    first, second, third, fourth = listed(run)
    assert (first["fingerprint"], first["subject"]) == (digits, None)
    assert (first["label"], first["scopes"], first["state"]) == ("web shop", [Scope.READ], "good")
    assert (second["fingerprint"], second["subject"]) == (None, "CN=shop")
    assert third["subject"] == "CN=other,O=A\\, B"
    assert fourth["fingerprint"] == "0f" * 32
    table = run("partner", "list-certificates", "gamex")[1]
    assert f"sha256:{digits}" in table
    assert "web shop" in table


def test_a_certificate_is_one_partners_until_it_is_revoked(run: Run) -> None:
    assert run("partner", "add", "other", "--merchant", "Other")[0] == 0
    subject = ("--subject", "CN=shop")
    added = run("partner", "add-certificate", "gamex", "--json", *subject)[1]
    code, _, err = run("partner", "add-certificate", "other", *subject)
    assert (code, "revoke it there first" in err) == (1, True)
    number = str(json.loads(added)["certificate_id"])
    assert run("partner", "revoke-certificate", "other", number)[0] == 1
    assert run("partner", "revoke-certificate", "gamex", number)[0] == 0
    assert run("partner", "revoke-certificate", "gamex", number)[0] == 1
    assert [row["state"] for row in listed(run)] == ["revoked"]
    assert run("partner", "add-certificate", "other", *subject)[0] == 0


@pytest.mark.parametrize("options", [("--fingerprint", "abc"), ("--file", "/nothing/here.pem")])
def test_what_is_no_certificate_is_refused(run: Run, options: tuple[str, str]) -> None:
    assert run("partner", "add-certificate", "gamex", *options)[0] == 2
