"""The partners' sandbox of conf/sandbox.yaml: each magic number does what the page promises."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ppcd.sim.magic import NUMBERS
from tests.node.world import Node, World, ask, wait_for
from tests.postgres import query

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "partner-api.md").read_text()
#: What the page says of each: by the number's end, the payment's last status and denial reason.
PROMISED = {
    end: (status, None if reason == "" else reason)
    for end, status, reason in re.findall(
        r"^\| `(\d{3}|other)` \|.*\| `(succeeded|denied)`(?: `([A-Z_]+)`)? \|$", PAGE, re.MULTILINE
    )
}
#: Ends that are seen only when time has passed; how much, the page says.
LATER = {"102", "304"}


class Sandbox(World):
    """The world of conf/sandbox.yaml: its own text, with free ports put in."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        for party in (self.smsc, self.billing):
            party.arguments.append("--magic")

    def configuration(self, node: Node, changed: Mapping[str, Any]) -> str:
        secret = self.directory / "secret"
        secret.touch(mode=0o600)
        # What the simulator of the tests wants; the sandbox's takes anything.
        secret.write_text("secret")
        text = (ROOT / "conf" / "sandbox.yaml").read_text()
        for old, new in (
            ("postgresql:///sandbox", self.postgres.dsn("ppcd")),
            ("port: 2775", f"port: {self.smpp_port}"),
            ("/etc/ppcd/secrets/sandbox-smpp", str(secret)),
            ("127.0.0.1:8090", f"127.0.0.1:{self.billing_port}"),
            ('listen: "127.0.0.1:8180"', f'listen: "127.0.0.1:{node.partner_port}"'),
            ("127.0.0.1:9564", f"127.0.0.1:{node.operations_port}"),
            ("/run/ppcd-sandbox/ppcd.sock", str(node.socket)),
        ):
            assert old in text
            text = text.replace(old, new)
        # The partner of the tests has no certificate.
        return text + '\nwebhooks: {http_hosts: ["127.0.0.1"]}\n'


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as world:
        world.node.start()
        yield world


def _phone(end: str) -> str:
    return "380971234" + ("567" if end == "other" else end)


def test_the_page_has_all_magic_numbers() -> None:
    assert set(PROMISED) == {*NUMBERS, "other"}


@pytest.mark.slow
def test_each_magic_number_ends_as_the_page_says(sandbox: Sandbox) -> None:
    node = sandbox.node
    payments = {}
    for end in PROMISED:
        made = node.create(_phone(end), f"magic-{end}")
        assert made.status == 201, made
        payments[end] = made.json["paymentId"]
    doubtful, seen = {"302", "303"}, set()
    while doubtful:
        for end in sorted(doubtful):
            found = node.payment(payments[end])
            if found.get("contextCode") == "PPCD.OUTCOME_PENDING":
                seen.add(end)
            if found["paymentStatus"] != "processing":
                doubtful.discard(end)
        time.sleep(0.1)
    for end in PROMISED.keys() - LATER:
        _check_end(sandbox, end, payments[end])
    assert seen == {"302", "303"}, "doubts are seen as such"
    assert node.payment(payments["102"])["contextCode"] == "PPCD.AWAITING_REPLY"
    # A minute goes by, for the database's clock decides about money.
    query(sandbox.postgres.dsn("ppcd"), "UPDATE business_clock SET ahead = '61 s' RETURNING 1")
    for end in LATER:
        _check_end(sandbox, end, payments[end])
    # Who said STOP is not asked again.
    again = node.create(_phone("105"), "magic-105-again")
    assert (again.status, again.json["code"]) == (403, "CARRIER_BILLING.PAYMENT_DENIED")
    # Debited once or not at all, whatever billing said of it.
    debited = sandbox.debited()
    for end, (status, _) in PROMISED.items():
        assert len(debited.get(payments[end], [])) == (status == "succeeded"), end


def _check_end(sandbox: Sandbox, end: str, payment: str) -> None:
    found = sandbox.node.payment(payment, wait_s=25)
    assert (found["paymentStatus"], found.get("denialReason")) == PROMISED[end], end
    wait_for("the event", lambda: sandbox.partner.events_of(payment))


def test_the_numbers_are_phones_of_the_simulator(sandbox: Sandbox) -> None:
    account = ask(sandbox.billing_port, "GET", f"/sim/billing/accounts/{_phone('201')}")
    assert account.json["mode"] == "insufficient"


def test_the_two_requests_of_the_page_are_a_paid_charge(sandbox: Sandbox) -> None:
    shown = re.findall(
        r'^curl -s "\$API(\S+?)"[^`]*?(?:<<\'JSON\'\n(.*?)JSON\n)?```', PAGE, re.M | re.S
    )
    (create, order), (retrieve, _) = shown
    port, key = sandbox.node.partner_port, {"Authorization": f"Bearer {sandbox.partner.key}"}
    made = ask(port, "POST", create, json.loads(order), headers=key)
    assert made.status == 201, made
    path = retrieve.replace("$PAYMENT_ID", made.json["paymentId"])
    assert ask(port, "GET", path, headers=key).json["paymentStatus"] == "succeeded"
