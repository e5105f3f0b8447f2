"""`ppcd partner add-key`, `list-keys`, `revoke-key`, `revoke-tokens`, `set-networks`, `close`."""

import hashlib
import json
from pathlib import Path

import pytest

from ppcd.partner.scopes import Scope
from tests.cli.test_commands import Run, a_runner
from tests.postgres import query


@pytest.fixture
def run(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    run = a_runner(database, tmp_path, capsys)
    assert run("partner", "add", "gamex", "--merchant", "GameX")[0] == 0
    return run


def test_a_key_is_shown_once_and_listed_without_itself(run: Run, database: str) -> None:
    code, out, _ = run(
        *("partner", "add-key", "gamex", "--label", "web shop", "--days", "90", "--json"),
        *("--scope", Scope.READ, "--scope", Scope.CREATE),
        *("--network", "192.0.2.0/24", "--network", "2001:db8::1"),
    )
    added = json.loads(out)
    assert code == 0
    stored = query(database, "SELECT key_hash FROM partner_key WHERE label = 'web shop'")
    assert stored == [(hashlib.sha256(added["key"].encode()).digest(),)]
    code, out, _ = run("partner", "list-keys", "gamex", "--json")
    assert added["key"] not in out
    first, second = json.loads(out)
    assert (first["label"], first["scopes"], first["networks"]) == ("first", None, None)
    assert second["key_id"] == added["key_id"]
    assert second["scopes"] == sorted([Scope.CREATE, Scope.READ])
    assert second["networks"] == ["192.0.2.0/24", "2001:db8::1/128"]
    assert second["expires_at"] > second["created_at"]
    assert (second["state"], second["revoked_at"]) == ("good", None)


def test_the_list_is_for_people_too(run: Run) -> None:
    code, out, _ = run("partner", "add-key", "gamex", "--label", "web shop")
    key = out.splitlines()[0].split()[-1]
    assert (code, key.startswith("ppcd_")) == (0, True)
    code, out, _ = run("partner", "list-keys", "gamex")
    assert code == 0
    assert "web shop" in out
    assert key not in out


def test_a_key_is_revoked_by_its_number(run: Run) -> None:
    added = json.loads(run("partner", "add-key", "gamex", "--label", "old", "--json")[1])
    assert run("partner", "revoke-key", "gamex", str(added["key_id"]))[0] == 0
    code, _, err = run("partner", "revoke-key", "gamex", str(added["key_id"]))
    assert (code, "list-keys gamex" in err) == (1, True)
    assert "revoked" in run("partner", "list-keys", "gamex")[1]


def test_a_partner_is_kept_to_its_networks_and_let_go(run: Run, database: str) -> None:
    said = "SELECT networks::text FROM partner"
    assert run("partner", "set-networks", "gamex", "192.0.2.0/24")[0] == 0
    assert query(database, said) == [("{192.0.2.0/24}",)]
    assert "anywhere" in run("partner", "set-networks", "gamex")[1]
    assert query(database, said) == [(None,)]


@pytest.mark.parametrize(
    "more",
    [
        ("--label", ""),
        ("--label", "x" * 61),
        ("--label", "two\nlines"),
        ("--label", "x", "--days", "0"),
        ("--label", "x", "--days", "nan"),
        ("--label", "x", "--network", "192.0.2.1/24"),
        ("--label", "x", "--network", "home"),
    ],
)
def test_a_key_that_can_not_be_meant_is_refused(run: Run, more: tuple[str, ...]) -> None:
    code, _, err = run("partner", "add-key", "gamex", *more)
    assert (code, len(err.splitlines())) == (2, 1)


def test_an_unknown_partner_is_said_to_be(run: Run) -> None:
    for command in (
        ("add-key", "nobody", "--label", "x"),
        ("list-keys", "nobody"),
        ("revoke-key", "nobody", "1"),
        ("set-networks", "nobody"),
    ):
        code, _, err = run("partner", *command)
        assert (code, "there is no partner nobody" in err) == (1, True)


def test_tokens_are_counted_and_revoked(run: Run, database: str) -> None:
    added = json.loads(run("partner", "add-key", "gamex", "--label", "app", "--json")[1])
    query(
        database,
        """INSERT INTO access_token (token_hash, key_id, expires_at)
           SELECT sha256(n::text::bytea), %s, business_now() + interval '1 hour'
             FROM generate_series(1, 3) n RETURNING true""",
        added["key_id"],
    )
    listed = json.loads(run("partner", "list-keys", "gamex", "--json")[1])
    assert [key["tokens"] for key in listed] == [0, 3]
    first = str(listed[0]["key_id"])
    assert "0 access tokens" in run("partner", "revoke-tokens", "gamex", "--key", first)[1]
    assert "3 access tokens" in run("partner", "revoke-tokens", "gamex")[1]
    assert query(database, "SELECT count(*) FROM access_token") == [(0,)]


def test_a_partner_is_closed_and_opened_again(run: Run, database: str) -> None:
    closed = "SELECT closed_at IS NOT NULL FROM partner"
    for options, now_closed in (((), True), (("--reopen",), False)):
        said = "closed" if now_closed else "open"
        assert run("partner", "close", "gamex", *options)[1] == f"gamex is {said}\n"
        assert run("partner", "close", "gamex", *options)[1] == f"gamex was {said} already\n"
        assert query(database, closed) == [(now_closed,)]
    assert run("partner", "close", "nobody")[0] == 1
