"""A running node on bad days: stops, reloads, stop buttons, and everything around it falling."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ppcd.sim.postgres import Postgres
from tests.node.world import World, a_world, ask, wait_for

PHONES = count(380970100001)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("operations"), billing_timeout_s=5) as world:
        yield world


@pytest.fixture
def phone() -> str:
    return str(next(PHONES))


def succeeds(world: World, payment: str) -> bool:
    """Within a minute: an SMSC that was told "not now" takes its time to come again."""
    for _ in range(3):
        seen = world.node.payment(payment, wait_s=20)
        if seen["paymentStatus"] != "processing":
            break
    return bool(seen["paymentStatus"] == "succeeded")


def said(world: World, text: str) -> bool:
    return any(text in entry["message"] for entry in world.node.log())


def test_a_stop_drains_and_loses_nothing(world: World, phone: str) -> None:
    world.account(phone, mode="slow")
    payment = world.node.prompted(phone, "drain")
    world.reply(phone, "ДА")
    wait_for("the debit", lambda: any(e["entry"] == "debit_asked" for e in world.billing_journal()))
    assert world.node.party.stop(25) == 0
    assert said(world, "stopped")
    # The debit that was under way was brought to its end, and the SMSC was unbound.
    assert world.debited()[payment] == [2500]
    assert any("unbound" in str(e.get("why")) for e in world.smsc_journal())
    world.node.start()
    assert succeeds(world, payment)
    wait_for("the webhook", lambda: world.partner.events_of(payment))
    assert world.debited()[payment] == [2500]


def test_a_reload_applies_what_can_change(world: World, phone: str) -> None:
    world.node.configure(lifetime_s=300, more="words: {yes: [дозволяю]}")
    world.node.party.signal(signal.SIGHUP)
    wait_for("the reload", lambda: said(world, "reloaded: charges.lifetime_s, words.yes"))
    payment = world.node.prompted(phone, "reload")
    world.reply(phone, "Дозволяю")
    assert succeeds(world, payment)


def test_a_bad_file_leaves_the_old_configuration_in_force(world: World, phone: str) -> None:
    good = world.node.config.read_text()
    world.node.config.write_text(good + "\nno_such_key: 1\nlog: {level: loud}\n")
    world.node.party.signal(signal.SIGHUP)
    wait_for("the refusal", lambda: said(world, "not reloaded"))
    problems = [e["message"] for e in world.node.log() if "not reloaded" in e["message"]]
    assert any("no_such_key" in p for p in problems)
    assert any("log.level" in p for p in problems)
    assert "ppcd_config_last_reload_successful 0.0" in world.node.metrics()
    payment = world.node.prompted(phone, "badfile")
    world.reply(phone, "ДА")
    assert succeeds(world, payment)
    world.node.config.write_text(good)
    world.node.party.signal(signal.SIGHUP)
    wait_for(
        "the good file",
        lambda: "ppcd_config_last_reload_successful 1.0" in world.node.metrics(),
    )


def test_the_stop_buttons_hold_prompts_and_debits(world: World, phone: str) -> None:
    world.node.run_command("pause", "prompts")
    assert 'ppcd_paused{kind="prompts"} 1.0' in world.node.metrics()
    payment = world.node.create(phone, "paused").json["paymentId"]
    status = json.loads(world.node.run_command("status", "--json"))
    assert not world.messages(phone)
    world.node.run_command("resume", "prompts")
    wait_for("the prompt", lambda: world.messages(phone))
    world.node.run_command("pause", "debits", "--adapter", "main")
    world.reply(phone, "ДА")
    wait_for("the yes", lambda: world.node.payment(payment)["contextCode"] == "PPCD.DEBITING")
    wait_for(
        "the status",
        lambda: json.loads(world.node.run_command("status", "--json"))["paused"],
    )
    assert payment not in world.debited()
    world.node.run_command("resume", "debits", "--adapter", "main")
    assert succeeds(world, payment)
    assert "no adapter 'other'" in world.node.run_command(
        "pause", "debits", "--adapter", "other", expect=2
    )
    assert "no partner 'othr'" in world.node.run_command(
        "pause", "prompts", "--partner", "othr", expect=2
    )
    assert status["links"][0]["state"] == "bound"


def test_a_lost_link_is_bound_again(world: World, phone: str) -> None:
    world.smsc.kill()
    wait_for("not ready", lambda: world.node.health("ready") == 503)
    assert world.node.health("live") == 200
    payment = world.node.create(phone, "lostlink").json["paymentId"]
    world.smsc.start()
    wait_for("the prompt", lambda: world.messages(phone))
    world.reply(phone, "ДА")
    assert succeeds(world, payment)


def test_a_restarted_database_is_found_again(world: World, phone: str) -> None:
    payment = world.node.prompted(phone, "database")
    world.postgres.stop("immediate")
    try:
        answer = world.node.create(phone, "nodatabase")
        wait_for("the warning", lambda: said(world, "the database is away"))
        mo = world.reply(phone, "ДА")
    finally:
        world.postgres.start()
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert succeeds(world, payment)
    journal = [e for e in world.smsc_journal() if e.get("id") == mo]
    assert [e["status"] for e in journal if e["entry"] == "mo_acked"][-1] == 0
    wait_for("the relief", lambda: said(world, "the database is back"))


def test_a_billing_outage_is_survived(world: World, phone: str) -> None:
    payment = world.node.prompted(phone, "outage")
    world.billing.kill()
    world.reply(phone, "ДА")
    wait_for(
        "attempts in vain",
        lambda: (
            'ppcd_debits_total{adapter="main",outcome="not_sent"} 0' not in world.node.metrics()
            or None
        ),
    )
    assert world.node.payment(payment)["contextCode"] == "PPCD.DEBITING"
    world.billing.start()
    assert succeeds(world, payment)
    assert world.debited()[payment] == [2500]


def test_a_partner_that_fails_is_told_again_under_one_id(world: World, phone: str) -> None:
    world.partner.answers[:] = [500, 302]
    payment = world.node.prompted(phone, "flaky")
    world.reply(phone, "нет")
    events = wait_for(
        "three attempts",
        lambda: (e := world.partner.events_of(payment)) and len(e) == 3 and e,
        seconds=40,
    )
    assert len({(event_id, json.dumps(body)) for event_id, body, _ in events}) == 1


def test_wrong_requests_get_clear_errors(world: World) -> None:
    port = world.node.partner_port
    path = "/carrier-billing/v0.5/payments"
    nobody = ask(port, "POST", path, {}, headers={"Authorization": "Bearer wrong"})
    assert (nobody.status, nobody.json["code"]) == (401, "UNAUTHENTICATED")
    with socket.create_connection(("127.0.0.1", port)) as raw:
        body = b'{"amountTransaction": '
        raw.sendall(
            b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (path.encode(), world.partner.key.encode(), len(body), body)
        )
        answer = b""
        while piece := raw.recv(4096):
            answer += piece
    assert b" 400 " in answer.splitlines()[0]
    assert b"INVALID_ARGUMENT" in answer
    foreign = world.node.create("380501234567", "foreign")
    assert (foreign.status, foreign.json["code"]) == (404, "IDENTIFIER_NOT_FOUND")
    assert ask(port, "GET", "/metrics").status == 404


def test_garbage_on_the_link_ends_the_connection_and_nothing_else(
    tmp_path: Path, world: World, phone: str
) -> None:
    """An SMSC that answers a bind with a PDU of a gigabyte is refused from its first octets."""
    seen: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def rude() -> None:
        for _ in range(2):
            peer, _address = listener.accept()
            with peer:
                seen.append("bind" if peer.recv(1024)[4:8] == b"\0\0\0\x09" else "?")
                peer.sendall(b"\x40\0\0\0\0\0\0\x05" + b"\0" * 8 + b"garbage" * 100)
                while peer.recv(4096):
                    pass

    thread = threading.Thread(target=rude, daemon=True)
    thread.start()
    node = world.add_node(smpp_port=listener.getsockname()[1])
    node.start(wait=False)
    thread.join(60)
    assert seen == ["bind", "bind"], "it tries again after the refusal"
    assert node.health("live") == 200
    assert not [e for e in node.log() if e["level"] == "critical"]
    assert node.party.stop() == 0
    listener.close()
    payment = world.node.prompted(phone, "healthy")
    world.reply(phone, "ДА")
    assert succeeds(world, payment)


def test_all_problems_of_a_configuration_are_told_at_once(world: World) -> None:
    node = world.add_node(lifetime_s=5, more="charge: {}\nlog: {level: loud}", smpp_port=99999)
    told = node.run_command("check-config", expect=2)
    for path in ("charges.lifetime_s", "charge:", "log.level", "links.main.port"):
        assert path in told, told
    assert node.run_command("run", expect=2) == told
    good = world.add_node()
    assert good.run_command("check-config").strip().endswith("ok")


def test_a_database_that_does_not_fit_is_told(world: World, tmp_path: Path) -> None:
    with Postgres(tmp_path / "other") as other:
        other.ensure_database("ppcd")
        node = world.add_node(dsn=other.dsn("ppcd"))
        node.start(wait=False)
        assert node.party.process is not None
        assert node.party.process.wait(30) == 1
        assert "run `ppcd migrate`" in node.log()[-3]["message"] + str(node.log())
        node.run_command("migrate")
        assert "up to date" in node.run_command("migrate")
        _later_release(other)
        node.start(wait=False)
        assert node.party.process.wait(30) == 1
        assert "newer release" in str(node.log())
        assert "newer release" in node.run_command("migrate", expect=1)


def _later_release(postgres: Postgres) -> None:
    """As if a later release had been here."""
    import psycopg

    with psycopg.connect(postgres.dsn("ppcd")) as connection:
        connection.execute(
            "INSERT INTO ppcd_schema (version, name, sha256)"
            " VALUES (9999, 'later', repeat('0', 64))"
        )


def test_a_node_without_its_database_waits_for_it(world: World, tmp_path: Path) -> None:
    node = world.add_node(dsn=f"host={tmp_path} dbname=nowhere user=nobody")
    node.start(wait=False)
    wait_for(
        "the word", lambda: any("waiting for the database" in e["message"] for e in node.log())
    )
    assert node.health("live") == 200
    assert node.health("ready") == 503
    assert node.party.stop() == 0


def test_two_nodes_share_the_work(world: World) -> None:
    second = world.add_node()
    second.start()
    payments: list[tuple[str, Any]] = []
    for number in range(6):
        phone = str(next(PHONES))
        node = (world.node, second)[number % 2]
        payments.append((phone, node.prompted(phone, f"two-{number}")))
    for phone, _ in payments:
        world.reply(phone, "ДА")
    for _, payment in payments:
        assert succeeds(world, payment)
    taken = world.debited()
    assert all(taken[payment] == [2500] for _, payment in payments)
    assert second.party.stop() == 0
