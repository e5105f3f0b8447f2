"""What docs/partner-api.md shows works as shown."""

import base64
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import State
from ppcd.flow.ports import End
from ppcd.partner.errors import Problem, RefundProblem
from ppcd.partner.events import EventWriter
from ppcd.sim.demo import DEMO_SECRET
from tests.partner.refund_world import RefundWorld
from tests.partner.world import PHONE, World
from tests.peers import require_peer

PAGE = (Path(__file__).parents[2] / "docs/partner-api.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_first_request_gets_the_answer_shown() -> None:
    request = _blocks("sh")[0].split("<<'JSON'\n")[1].removesuffix("JSON\n")
    shown = json.loads(_blocks("json")[0])
    got = World().create(request.encode())
    assert got.status == 201
    answer = json.loads(got.body)
    for payment in (shown, answer):
        payment_id = payment.pop("paymentId")
        transaction = payment["amountTransaction"]
        transaction["resourceURL"] = transaction["resourceURL"].replace(payment_id, "ID")
    assert answer == shown


def test_the_event_is_the_one_shown() -> None:
    shown = json.loads(_blocks("json")[1])
    at = datetime(2026, 11, 23, 9, 0, 7, 5000, tzinfo=UTC)
    end = End(int(shown["data"]["paymentId"]), 1, "succeeded", None, None, at)
    assert json.loads(EventWriter("urn:ppcd")(end, event_id=shown["id"])) == shown


def test_the_other_event_is_the_one_shown() -> None:
    shown = json.loads(_blocks("json")[2])
    at = datetime(2026, 11, 23, 9, 10, tzinfo=UTC)
    reason = shown["data"]["denialReason"]
    end = End(int(shown["data"]["paymentId"]), 1, "expired", reason, None, at)
    assert json.loads(EventWriter("urn:ppcd")(end, event_id=shown["id"])) == shown


SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
BODY = '{"a":"ДА"}'


def _deliveries() -> list[tuple[str, bool, dict[str, str], str]]:
    """What, whether it is genuine, its headers and body; signed by the reference library."""
    now = datetime.now(UTC)  # noqa: TID251 - the code shown compares with it
    old = now - timedelta(seconds=301)
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()

    def headers(secret: str = SECRET, at: datetime = now, **changes: str) -> dict[str, str]:
        return {
            "webhook-id": "evt_1_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign("evt_1_1", at, BODY),
        } | {name.replace("_", "-"): value for name, value in changes.items()}

    good = headers()["webhook-signature"]
    return [
        ("genuine", True, headers(), BODY),
        ("two", True, headers(webhook_signature=f"v1,AAAA {good}"), BODY),
        ("other body", False, headers(), BODY + " "),
        ("other id", False, headers(webhook_id="evt_1_2"), BODY),
        ("other secret", False, headers(other), BODY),
        ("old", False, headers(at=old), BODY),
        ("other time", False, headers(webhook_timestamp=str(int(now.timestamp()) - 5)), BODY),
        ("no time", False, headers(webhook_timestamp="soon"), BODY),
        ("no version", False, headers(webhook_signature=good.removeprefix("v1,")), BODY),
        ("nothing", False, headers(webhook_signature=""), BODY),
    ]


def test_the_verification_shown_agrees_with_the_reference_library() -> None:
    scope: dict[str, Any] = {}
    exec(_blocks("python")[0], scope)  # the page's own code, not a stranger's
    for what, genuine, headers, body in _deliveries():
        if what == "no time":
            continue  # an exception, and so no 2xx
        assert scope["is_genuine"](SECRET, headers, body.encode()) is genuine, what


_PHP = """<?php
%s
foreach (json_decode(stream_get_contents(STDIN), true) as [$headers, $body]) {
    echo json_encode(is_genuine($argv[1], $headers, $body)), "\\n";
}
"""
_JS = """
%s
for (const [headers, body] of JSON.parse(require("node:fs").readFileSync(0))) {
  console.log(isGenuine(process.argv[2], headers, Buffer.from(body)));
}
"""


@pytest.mark.peer
@pytest.mark.parametrize(
    ("program", "block", "frame"), [("php", "php", _PHP), ("node", "js", _JS)], ids=["php", "js"]
)
def test_so_does_the_verification_in_other_languages(
    program: str, block: str, frame: str, tmp_path: Path
) -> None:
    require_peer(program)
    deliveries = _deliveries()
    script = tmp_path / f"verify.{block}"
    script.write_text(frame % _blocks(block)[0])
    done = subprocess.run(
        [program, str(script), SECRET],
        input=json.dumps([[headers, body] for _, _, headers, body in deliveries]),
        capture_output=True,
        text=True,
        check=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [genuine for _, genuine, *_ in deliveries]


def test_the_demos_secret_is_the_one_shown() -> None:
    assert f"PPCD_WEBHOOK_SECRET={DEMO_SECRET} " in PAGE


def test_every_error_and_reason_is_in_the_tables() -> None:
    for problem in Problem:
        status, code, _ = problem.value
        assert any(
            line.startswith(f"| {status} |") and f"`{code}`" in line for line in PAGE.splitlines()
        ), problem
    for reason in DenialReason:
        assert f"| `{reason.value}` |" in PAGE
    assert f'"{PHONE}"' in PAGE
    assert State.SUCCEEDED.value in PAGE


def test_the_refund_shown_is_accepted() -> None:
    [block] = [block for block in _blocks("sh") if "carrier-billing-refund" in block]
    request = block.split("<<'JSON'\n")[1].removesuffix("JSON\n")
    got = RefundWorld().refund(request.encode())
    assert got.status == 201
    assert got.json["refundStatus"] == "processing"


def test_every_problem_with_a_refund_is_in_the_page() -> None:
    assert all(f"`{problem.value[1]}`" in PAGE for problem in RefundProblem)
