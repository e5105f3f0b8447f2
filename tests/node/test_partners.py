"""Two running nodes and their partners: what one partner does is no other partner's trouble, and
what one partner asks for twice is done once, whatever node is asked.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count

import pytest

from ppcd.service.work import WEBHOOKS_PER_PARTNER_MAX
from tests.node.world import World, a_world, wait_for

PHONES = count(380970300001)
#: Loopback is a whole network: these are all this machine, and each is a host of its own.
HOSTS = [f"127.0.0.{number}" for number in range(1, 31)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("partners")
    with a_world(directory, sink_hosts=json.dumps(HOSTS)) as world:
        world.add_node().start()
        yield world


@pytest.fixture
def phone() -> str:
    return str(next(PHONES))


class Hanging:
    """A partner's server that takes every connection and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("0.0.0.0", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self.taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self.taken.append(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self.taken:
            connection.close()


def test_a_partner_that_hangs_slows_nobody_else(world: World) -> None:
    node = world.node
    sloth = json.loads(node.run_command("partner", "add", "sloth", "--merchant", "S", "--json"))
    headers = {"Authorization": f"Bearer {sloth['key']}"}
    hanging = Hanging()
    try:
        for number in range(60):
            phone = str(next(PHONES))
            sink = f"http://{HOSTS[number % len(HOSTS)]}:{hanging.port}/"
            made = node.api("POST", "", _order(phone, f"sloth-{number}", sink), headers=headers)
            assert made.status == 201, made
            path = f"/{made.json['paymentId']}/cancel"
            node.api("POST", path, {"phoneNumber": f"+{phone}"}, headers=headers)
        wait_for("attempts that hang", lambda: len(hanging.taken) >= WEBHOOKS_PER_PARTNER_MAX)
        # No host has more than two of them: without a partner's limit all would hang at once.
        assert len(hanging.taken) == WEBHOOKS_PER_PARTNER_MAX
        phone = str(next(PHONES))
        payment = node.create(phone, "quick-1").json["paymentId"]
        begun_at = time.monotonic()
        node.api("POST", f"/{payment}/cancel", {"phoneNumber": f"+{phone}"})
        wait_for("the others' event", lambda: world.partner.events_of(payment), seconds=2)
        assert time.monotonic() - begun_at < 2
    finally:
        hanging.close()


def test_the_same_request_to_two_nodes_at_once_is_one_payment(world: World) -> None:
    for number in range(5):
        phone = str(next(PHONES))
        order = _order(phone, f"twice-{number}")
        with ThreadPoolExecutor(6) as pool:
            begun = [pool.submit(node.api, "POST", "", order) for node in world.nodes * 3]
            answers = [answer.result() for answer in begun]
        assert {answer.status for answer in answers} == {201}
        assert len({answer.body for answer in answers}) == 1
        wait_for("the prompt", lambda phone=phone: world.messages(phone))
    time.sleep(0.5)
    assert len(world.messages(phone)) == 1


def test_other_content_under_one_correlator_is_one_payment_and_an_error(
    world: World, phone: str
) -> None:
    other = str(next(PHONES))
    orders = [_order(phone, "mine"), _order(other, "mine")]
    with ThreadPoolExecutor(2) as pool:
        begun = [
            pool.submit(node.api, "POST", "", order)
            for node, order in zip(world.nodes, orders, strict=True)
        ]
        answers = [answer.result() for answer in begun]
    assert sorted(answer.status for answer in answers) == [201, 400]
    [refused] = [answer.json for answer in answers if answer.status == 400]
    assert refused["code"] == "INVALID_ARGUMENT"


def _order(phone: str, name: str, sink: str | None = None) -> dict[str, object]:
    charging = {"amount": 25, "currency": "UAH", "description": "250 gold"}
    transaction = {
        "phoneNumber": f"+{phone}",
        "clientCorrelator": name,
        "referenceCode": name,
        "paymentAmount": {"chargingInformation": charging},
    }
    return {"amountTransaction": transaction} | ({} if sink is None else {"sink": sink})
