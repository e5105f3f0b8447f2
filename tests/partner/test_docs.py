"""What docs/partner-api.md shows works as shown."""

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook

from ppcd.charge.debit import DenialReason
from ppcd.charge.rules import State
from ppcd.flow.ports import End
from ppcd.partner.errors import Problem
from ppcd.partner.events import EventWriter
from tests.partner.world import PHONE, World

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


def test_the_verification_shown_agrees_with_the_reference_library() -> None:
    scope: dict[str, Any] = {}
    exec(_blocks("python")[0], scope)  # the page's own code, not a stranger's
    is_genuine = scope["is_genuine"]
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    now = datetime.now(UTC)  # noqa: TID251 - the code shown compares with it
    timestamp = str(int(now.timestamp()))
    headers = {
        "webhook-id": "evt_1_1",
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1,AAAA " + Webhook(secret).sign("evt_1_1", now, '{"a":1}'),
    }
    assert is_genuine(secret, headers, b'{"a":1}')
    assert not is_genuine(secret, headers, b'{"a":2}')
    assert not is_genuine(secret, headers | {"webhook-id": "evt_1_2"}, b'{"a":1}')
    old = str(int(timestamp) - 301)
    assert not is_genuine(secret, headers | {"webhook-timestamp": old}, b'{"a":1}')


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
