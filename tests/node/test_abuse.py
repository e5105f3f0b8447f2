"""Two running nodes on one database: what is revoked, blocked or used up on one is so on both."""

import json
from collections.abc import Iterator
from itertools import count
from urllib.parse import urlencode

import pytest

from tests.node.world import Answer, Node, World, a_world, ask, wait_for

PHONES = count(380970200001)
LIMITS = (
    "{prompts_per_hour_max: 2, prompts_per_day_max: 10, open_max: 1, stop_blocks_days: 30, "
    "agreed_min: 0.5, agreed_asked_min: 12, slowed_per_minute_max: 1}"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("abuse"), limits=LIMITS) as world:
        world.add_node().start()
        yield world


@pytest.fixture
def phone() -> str:
    return str(next(PHONES))


def test_a_key_that_is_revoked_is_dead_at_once_on_all_nodes(world: World) -> None:
    command = ("partner", "add-key", "gamex", "--label", "web", "--json")
    added = json.loads(world.node.run_command(*command, "--scope", "carrier-billing:payments:read"))
    headers = {"Authorization": f"Bearer {added['key']}"}
    for node in world.nodes:
        assert node.api("GET", "", headers=headers).status == 200
        assert node.api("POST", "", {}, headers=headers).json["code"] == "PERMISSION_DENIED"
    world.node.run_command("partner", "revoke-key", "gamex", str(added["key_id"]))
    for node in world.nodes:
        assert node.api("GET", "", headers=headers).status == 401


def test_a_token_dies_on_all_nodes_with_itself_its_key_or_its_partner(world: World) -> None:
    one, two = world.nodes

    def a_client() -> tuple[str, str]:
        command = ("partner", "add-key", "gamex", "--label", "client", "--json")
        added = json.loads(one.run_command(*command))
        return str(added["key_id"]), added["key"]

    def a_token(node: Node, key: str) -> str:
        got = form(node, "/oauth2/token", key, grant_type="client_credentials")
        assert got.status == 200, got
        return str(got.json["access_token"])

    def form(node: Node, path: str, key: str, **fields: str) -> Answer:
        return ask(
            node.partner_port,
            "POST",
            path,
            body=urlencode({"client_id": "gamex", "client_secret": key} | fields).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

    def opens(token: str) -> set[int]:
        headers = {"Authorization": f"Bearer {token}"}
        return {node.api("GET", "", headers=headers).status for node in world.nodes}

    key_id, key = a_client()
    first, second, third = (a_token(node, key) for node in (one, two, one))
    assert opens(first) == opens(second) == opens(third) == {200}
    assert form(two, "/oauth2/revoke", key, token=first).status == 200
    assert opens(first) == {401}
    one.run_command("partner", "revoke-tokens", "gamex", "--key", key_id)
    assert opens(second) == {401}
    fourth = a_token(two, key)
    one.run_command("partner", "revoke-key", "gamex", key_id)
    assert opens(fourth) == {401}
    assert form(two, "/oauth2/token", key, grant_type="client_credentials").status == 401
    fifth = a_token(two, a_client()[1])
    one.run_command("partner", "close", "gamex")
    assert opens(fifth) == opens(world.partner.key) == {401}
    one.run_command("partner", "close", "gamex", "--reopen")
    assert opens(fifth) == opens(world.partner.key) == {200}


def test_a_phone_is_not_bombed_through_whatever_node(world: World, phone: str) -> None:
    one, two = world.nodes
    first = one.prompted(phone, "abuse-1")
    assert two.create(phone, "abuse-2").json["code"] == "ALREADY_EXISTS"
    world.reply(phone, "НЕТ")
    assert one.payment(first, wait_s=20)["denialReason"] == "USER_DECLINED"
    second = two.prompted(phone, "abuse-3")
    world.reply(phone, "НЕТ")
    assert two.payment(second, wait_s=20)["denialReason"] == "USER_DECLINED"
    over = one.create(phone, "abuse-4")
    assert (over.status, over.json["code"]) == (429, "TOO_MANY_REQUESTS")
    assert 'ppcd_charges_spared_total{why="hour"} 1' in one.metrics()
    assert len(world.messages(phone)) == 2


def test_a_stop_lasts_on_all_nodes_until_somebody_ends_it(world: World, phone: str) -> None:
    one, two = world.nodes
    payment = one.prompted(phone, "stop-1")
    world.reply(phone, "СТОП")
    assert one.payment(payment, wait_s=20)["denialReason"] == "USER_DECLINED"
    for node in world.nodes:
        denied = node.create(phone, f"stop-{node.name}")
        assert (denied.status, denied.json["code"]) == (403, "CARRIER_BILLING.PAYMENT_DENIED")
    shown = json.loads(one.run_command("subscriber", "show", phone, "--json"))
    assert (shown["why"], shown["charges_last_hour"]) == ("stop", 1)
    one.run_command("subscriber", "unblock", phone)
    assert two.create(phone, "stop-3").status == 201


def test_the_access_log_names_partner_and_correlator(world: World) -> None:
    world.node.api("GET", "", headers={"x-correlator": "asked-about"})
    wait_for(
        "the line",
        lambda: any(
            (e.get("correlator"), e.get("partner")) == ("asked-about", "gamex")
            for e in world.node.log()
        ),
    )


def test_a_partner_to_whom_all_say_no_is_slowed(world: World) -> None:
    phones = [str(next(PHONES)) for _ in range(12)]
    payments = []
    for phone in phones:
        payments.append(world.node.prompted(phone, f"pump-{phone}"))
        world.reply(phone, "НЕТ")
    for payment in payments:
        assert world.node.payment(payment, wait_s=20)["denialReason"] == "USER_DECLINED"
    # A node that starts looks at once; those that run do so every few seconds.
    third = world.add_node()
    third.start()
    wait_for("the partner to be slowed", lambda: "SLOWED" in third.run_command("status"))
    assert "partner gamex" in third.run_command("status")
    assert "ppcd_partners_slowed 1" in third.metrics()
    held = [third.create(str(next(PHONES)), f"slow-{n}") for n in range(3)]
    assert [answer.status for answer in held][1:] == [429, 429]
    assert 0 < int(held[-1].headers["Retry-After"]) <= 60
    third.party.stop()
