"""The commands as people type them: what they print, their exit codes, their error lines."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ppcd import __version__
from ppcd.cli import main
from tests.postgres import query

Run = Callable[..., tuple[int, str, str]]

CONFIG = """\
database: {{dsn: "{dsn}"}}
links:
  main: {{host: 127.0.0.1, port: 2775, system_id: ppcd, password_file: {secret}}}
routes:
  games: {{links: [main], pool: {{first: "717100", size: 32}}, billing: main}}
billing:
  main: {{url: "http://127.0.0.1:8090/billing/debits"}}
operations: {{socket: {directory}/ppcd.sock}}
"""


@pytest.fixture
def run(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with a configuration of its own: (exit code, standard output, error)."""
    return a_runner(database, tmp_path, capsys)


def a_runner(dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    config = tmp_path / "ppcd.yaml"
    config.write_text(CONFIG.format(dsn=dsn, secret=secret, directory=tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--config", str(config)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_partners_key_is_shown_once_and_stored_as_a_hash(run: Run, database: str) -> None:
    code, out, _ = run("partner", "add", "gamex", "--merchant", "GameX")
    assert code == 0
    [key] = [line.split()[-1] for line in out.splitlines() if line.startswith("key:")]
    assert key.startswith("ppcd_")
    assert len(key) >= 43
    stored = query(database, "SELECT encode(key_hash, 'escape') FROM partner_key")
    assert key not in str(stored)
    assert key not in run("partner", "list")[1]
    assert run("partner", "list")[1].split()[4:6] == ["WEBHOOK", "URL"] or "gamex" in out


def test_a_partners_sites_are_added_listed_and_removed(run: Run) -> None:
    assert run("partner", "add", "gamex", "--merchant", "GameX")[0] == 0
    assert "gamex has no sites" in run("partner", "sites", "gamex")[1]
    for _ in range(2):
        code, out, _ = run("partner", "sites", "gamex", "--add", "https://shop.example")
        assert (code, out) == (0, "https://shop.example\n")
    code, out, _ = run("partner", "sites", "gamex", "--json")
    assert json.loads(out) == {"name": "gamex", "sites": ["https://shop.example"]}
    assert run("partner", "sites", "gamex", "--remove", "https://shop.example")[0] == 0
    code, _, said = run("partner", "sites", "gamex", "--remove", "https://shop.example")
    assert (code, said.count("is no site of gamex")) == (1, 1)
    for wrong in ("shop.example", "https://shop.example/", "https://*", "javascript:x"):
        code, _, said = run("partner", "sites", "gamex", "--add", wrong)
        assert (code, said.count("is no site, such as")) == (2, 1)
    assert run("partner", "sites", "nobody")[0] == 1


def test_a_partner_is_registered_once(run: Run) -> None:
    assert run("partner", "add", "gamex", "--merchant", "GameX")[0] == 0
    code, _, err = run("partner", "add", "gamex", "--merchant", "Other")
    assert (code, err) == (1, "ppcd: there is a partner gamex already\n")


def test_keys_rotate_with_an_overlap_until_the_others_are_revoked(run: Run, database: str) -> None:
    run("partner", "add", "gamex", "--merchant", "GameX")
    live = "SELECT count(*) FROM partner_key WHERE revoked_at IS NULL"
    run("partner", "rotate-key", "gamex")
    assert query(database, live) == [(2,)]
    code, out, _ = run("partner", "rotate-key", "gamex", "--revoke-others", "--json")
    assert (code, json.loads(out)["revoked"]) == (0, 2)
    assert query(database, live) == [(1,)]
    code, _, err = run("partner", "rotate-key", "nobody")
    assert code == 1
    assert "there is no partner nobody" in err


def test_a_rotated_webhook_secret_leaves_the_old_one_signing(run: Run, database: str) -> None:
    run("partner", "add", "gamex", "--merchant", "GameX")
    code, out, _ = run("partner", "set-webhook", "gamex", "https://shop.example/hook")
    assert (code, "https://shop.example/hook" in out) == (0, True)
    before = query(database, "SELECT webhook_secret FROM partner")
    code, out, _ = run("partner", "rotate-secret", "gamex", "--overlap-days", "2", "--json")
    assert json.loads(out)["webhook_secret"].startswith("whsec_")
    assert query(database, "SELECT webhook_secret_before FROM partner") == before
    left = "SELECT extract(epoch FROM webhook_secret_before_until - business_now()) FROM partner"
    assert 2 * 86400 - 60 < query(database, left)[0][0] <= 2 * 86400
    code, out, _ = run("partner", "rotate-secret", "gamex", "--overlap-days", "0")
    assert "signs nothing from now on" in out
    assert run("partner", "rotate-secret", "gamex")[1].count("as well until 20") == 1
    assert run("partner", "rotate-secret", "gamex", "--overlap-days", "400")[0] == 2
    assert run("partner", "rotate-secret", "nobody")[0] == 1


def test_a_tariff_is_an_amount_that_the_currency_can_be_paid_in(run: Run) -> None:
    run("partner", "add", "gamex", "--merchant", "GameX")
    tariff = ("--currency", "UAH", "--description", "250 gold")
    assert run("tariff", "add", "gamex", "gold-250", "--amount", "25.00", *tariff)[0] == 0
    for amount in ("25.001", "0", "-1", "x"):
        code, _, err = run("tariff", "add", "gamex", "bad", f"--amount={amount}", *tariff)
        assert (code, err.startswith("ppcd: ")) == (2, True), amount
    assert run("tariff", "add", "gamex", "gold-250", "--amount", "1", *tariff)[0] == 1
    code, out, _ = run("tariff", "list", "gamex")
    assert "25.00 UAH" in out
    [listed] = json.loads(run("tariff", "list", "gamex", "--json")[1])
    assert listed["name"] == "gold-250"


@pytest.mark.parametrize(
    "arguments",
    [
        ("partner", "add", "Game X", "--merchant", "GameX"),
        ("partner", "add", "gamex", "--merchant", "GameX", "--webhook-url", "shop.example"),
        ("tariff", "add", "gamex", "-", "--amount", "1", "--currency", "UAH", "--description", "x"),
        ("charge", "find"),
        ("charge", "find", "--msisdn", "097"),
    ],
)
def test_wrong_usage_says_what_to_do_and_exits_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_unknown_charges_are_said_to_be_unknown(run: Run) -> None:
    assert run("charge", "show", "1") == (1, "", "ppcd: there is no charge 1\n")
    assert run("charge", "find", "--reference", "none", "--json")[1] == "[]\n"


def test_without_a_node_the_status_says_so(run: Run) -> None:
    for command in (("status",), ("pause", "debits"), ("resume", "prompts")):
        code, _, err = run(*command)
        assert code == 1
        assert "is ppcd running?" in err


def test_an_empty_database_wants_a_migration(
    bare_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = a_runner(bare_database, tmp_path, capsys)
    code, _, err = run("partner", "list")
    assert (code, "run `ppcd migrate`" in err) == (1, True)
    assert "would apply" in run("migrate", "--dry-run")[1]
    assert "applied" in run("migrate")[1]
    assert run("migrate")[1] == "the schema is up to date\n"
    assert run("partner", "list")[0] == 0


def test_a_database_that_is_away_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = a_runner(f"host={tmp_path} dbname=nowhere user=x", tmp_path, capsys)
    for command in (("partner", "list"), ("migrate",)):
        code, _, err = run(*command)
        assert code == 1
        assert "no connection" in err
        assert err.count("\n") == 1


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--config", "/nowhere/ppcd.yaml"]) == 2
    said = capsys.readouterr().err
    assert said == "ppcd: there is no /nowhere/ppcd.yaml: say --config FILE\n"


def test_a_good_configuration_is_ok(run: Run) -> None:
    code, out, _ = run("check-config")
    assert (code, out.splitlines()[-1].endswith(": ok")) == (0, True)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ppcd {__version__}\n"


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
