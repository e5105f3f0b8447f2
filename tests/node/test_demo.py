"""`ppcd demo`: one command, and the contract's whole outside answers at one address."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ppcd.sim.demo import DEMO_SECRET
from tests.node.world import ask, free_port, wait_for
from tests.peers import require_peer

ROOT = Path(__file__).parents[2]
PHONE = "380971234567"
KEY = {"Authorization": "Bearer demo-key"}


class Demo:
    """The demo as a process."""

    def __init__(self, data: Path) -> None:
        self.port = free_port()
        self._data = data
        self._log = data.parent / "demo.log"
        self.start()

    def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ppcd.cli", "demo"),
                    *("--http", f"127.0.0.1:{self.port}", "--data", str(self._data)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        ready = f"ready http://127.0.0.1:{self.port}\n"
        wait_for("ready", lambda: ready in self._log.read_text(), seconds=90)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(40)

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        return ask(self.port, method, path, document, headers=KEY)

    def pay(self, reference: str) -> str:
        """A charge by a tariff's name, answered ДА; the payment's id."""
        charging = {"amount": 25.0, "currency": "UAH", "description": "250 gold"}
        answer = self.ask(
            "POST",
            "/carrier-billing/v0.5/payments",
            {
                "amountTransaction": {
                    "phoneNumber": f"+{PHONE}",
                    "clientCorrelator": reference,
                    "referenceCode": reference,
                    "paymentAmount": {
                        "chargingInformation": charging,
                        "chargingMetaData": {"productId": "gold-250"},
                    },
                }
            },
        )
        assert answer.status == 201, answer
        before = len(self.messages())
        wait_for("the prompt", lambda: len(self.messages()) > before or self._asked())
        reply = self.ask("POST", f"/sim/handsets/{PHONE}/replies", {"text": "ДА"})
        assert reply.status < 300, reply
        payment = str(answer.json["paymentId"])
        seen = self.ask("GET", f"/carrier-billing/v0.5/payments/{payment}?wait=25").json
        assert seen["paymentStatus"] == "succeeded", seen
        return payment

    def messages(self) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = self.ask("GET", f"/sim/handsets/{PHONE}/messages").json
        return messages

    def _asked(self) -> bool:
        return bool(self.messages()) and "отправьте ДА" in self.messages()[-1]["text"]

    def node_pid(self) -> int:
        """The node's process, 0 while there is none."""
        children = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        found = re.search(r"^\s*(\d+) .* run --config", children, re.MULTILINE)
        return int(found[1]) if found else 0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo") / "data")
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.stop()


def test_a_charge_is_paid_at_the_demos_address(demo: Demo) -> None:
    account = f"/sim/billing/accounts/{PHONE}"
    assert demo.ask("GET", account).json["balance_minor"] == 100_000
    payment = demo.pay("first")
    seen = demo.ask("GET", account).json
    assert (seen["balance_minor"], len(seen["debits"])) == (97_500, 1)
    assert seen["debits"][0]["amount_minor"] == 2500
    told = wait_for(
        "the webhook",
        lambda: [
            event
            for event in demo.ask("GET", "/sim/partner/webhooks").json
            if event["paymentId"] == payment
        ],
    )
    assert (told[0]["signature"], told[0]["status"]) == ("valid", "succeeded")
    assert set(told[0]) == {"id", "type", "paymentId", "status", "signature", "at", "body"}
    assert set(demo.messages()[0]) == {"from", "text", "at"}


@pytest.mark.peer
def test_the_partners_page_leads_to_a_paid_charge_with_curl(demo: Demo) -> None:
    """Its commands as they stand, but for the address, the phone and the payment's id."""
    require_peer("curl")
    page = (ROOT / "docs" / "partner-api.md").read_text()
    commands = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[:3]
    phone = "380971112233"

    def run(command: str) -> list[Any]:
        for old, new in (
            ("http://127.0.0.1:8080", f"http://127.0.0.1:{demo.port}"),
            (PHONE, phone),
        ):
            assert old in command or old == PHONE
            command = command.replace(old, new)
        said = subprocess.run(
            ["bash", "-euc", command], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        decoder, found, rest = json.JSONDecoder(), [], said.strip()
        while rest:
            value, end = decoder.raw_decode(rest)
            found.append(value)
            rest = rest[end:].strip()
        return found

    [made] = run(commands[0])
    assert made["paymentStatus"] == "processing"
    look, answer = commands[1].split("\n", 1)
    wait_for("the prompt", lambda: run(look)[0])
    run(answer)
    [payment] = run(re.sub(r"PAYMENT_ID=[0-9]+", f"PAYMENT_ID={made['paymentId']}", commands[2]))
    assert payment["paymentStatus"] == "succeeded"


def test_a_developer_sees_the_events_of_a_payment(demo: Demo) -> None:
    port = free_port()
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "ppcd.cli", "webhook", "listen"),
            *("--listen", f"127.0.0.1:{port}"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PPCD_WEBHOOK_SECRET": DEMO_SECRET},
    ) as listening:
        assert listening.stdout is not None
        ready = listening.stdout.readline()
        assert ready == f"ready http://127.0.0.1:{port}/\n"
        charging = {"amount": 1, "currency": "UAH", "description": "one"}
        order = {
            "phoneNumber": "+380971112244",
            "referenceCode": "listened-1",
            "paymentAmount": {"chargingInformation": charging},
        }
        body = {"amountTransaction": order, "sink": ready.split()[1]}
        made = demo.ask("POST", "/carrier-billing/v0.5/payments", body)
        assert made.status == 201, made
        payment = made.json["paymentId"]
        path = f"/carrier-billing/v0.5/payments/{payment}/cancel"
        demo.ask("POST", path, {"phoneNumber": "+380971112244"})
        line = listening.stdout.readline()
        listening.terminate()
    assert f"signature valid  payment-denied  payment {payment}  failed (CANCELLED" in line


def test_another_amount_than_the_tariffs_is_refused(demo: Demo) -> None:
    document = {
        "amountTransaction": {
            "phoneNumber": f"+{PHONE}",
            "referenceCode": "dear",
            "paymentAmount": {
                "chargingInformation": {"amount": 26, "currency": "UAH", "description": "x"},
                "chargingMetaData": {"productId": "gold-250"},
            },
        }
    }
    answer = demo.ask("POST", "/carrier-billing/v0.5/payments", document)
    assert (answer.status, answer.json["code"]) == (422, "CARRIER_BILLING.UNAUTHORIZED_AMOUNT")


def test_the_page_and_the_contract_are_served(demo: Demo) -> None:
    page = demo.ask("GET", "/")
    assert page.status == 200
    assert b"http://" not in page.body.replace(b"http://www.w3.org", b"")
    contract = demo.ask("GET", "/openapi/carrier-billing.yaml")
    assert contract.status == 200
    assert b"createPayment" in contract.body


def test_a_killed_node_is_started_again_and_goes_on(demo: Demo) -> None:
    first = demo.node_pid()
    os.kill(first, signal.SIGKILL)
    wait_for("another node", lambda: demo.node_pid() not in (0, first))
    wait_for(
        "the API",
        lambda: demo.ask("GET", "/carrier-billing/v0.5/payments/1").status == 404,
    )
    demo.pay("after-the-kill")


def test_a_second_start_finds_everything_in_place(demo: Demo) -> None:
    account = demo.ask("GET", f"/sim/billing/accounts/{PHONE}").json
    assert demo.stop() == 0
    demo.start()
    assert demo.ask("GET", f"/sim/billing/accounts/{PHONE}").json == account
    demo.pay("second-start")
    assert json.dumps(account)


def test_a_start_after_a_kill_ends_what_was_left_behind(demo: Demo) -> None:
    left = demo.node_pid()
    demo.process.kill()
    demo.process.wait(10)
    assert Path(f"/proc/{left}").exists(), "the killed demo leaves its node behind"
    demo.start()
    assert demo.node_pid() not in (0, left)
    demo.pay("after-a-kill-of-the-demo")
