"""The demo partner believes only webhooks that are signed, fresh and unchanged."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from ppcd.sim.journal import Journal, read_journal
from ppcd.sim.webhooks import Inbox

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: The known answer that the specification's libraries share.
KNOWN_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
KNOWN_AT = 1614265330
KNOWN_BODY = b'{"test": 2432232314}'
KNOWN_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = datetime.fromtimestamp(KNOWN_AT, UTC)


class Box:
    def __init__(self, path: Path) -> None:
        self.path = path / "shop.jsonl"
        self.now = NOW
        self.journal = Journal(self.path, now=lambda: self.now)
        self.inbox = Inbox(self.journal, secret=SECRET, now=lambda: self.now)

    def take(self, body: bytes = KNOWN_BODY, **changes: str | None) -> bool:
        headers = {
            "webhook-id": KNOWN_ID,
            "webhook-timestamp": str(KNOWN_AT),
            "webhook-signature": KNOWN_SIGNATURE,
        }
        for name, value in changes.items():
            key = f"webhook-{name}"
            headers.pop(key) if value is None else headers.update({key: value})
        return self.inbox.take(headers, body).valid


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.journal.close()


def test_the_specifications_known_answer_is_valid(box: Box) -> None:
    assert box.take()


def test_a_signature_by_an_independent_library_is_valid(box: Box) -> None:
    body = '{"type":"x","data":{"paymentId":"7","status":"succeeded"}}'
    signature = Webhook(SECRET).sign("event-1", NOW, body)
    assert box.take(body.encode(), id="event-1", signature=signature)
    [seen] = box.inbox.received
    assert (seen.type, seen.payment_id, seen.status) == ("x", "7", "succeeded")


def test_one_right_signature_among_several_is_enough(box: Box) -> None:
    assert box.take(signature=f"v1,AAAA v1a,abc {KNOWN_SIGNATURE} v2,zzz")


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "v1,G0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"signature": "v1,not base64"},
        {"signature": KNOWN_SIGNATURE.replace("v1,", "v1a,")},
        {"signature": ""},
        {"signature": None},
        {"id": "msg_other"},
        {"id": None},
        {"timestamp": str(KNOWN_AT + 1)},
        {"timestamp": "soon"},
        {"timestamp": "²"},
        {"timestamp": "9" * 400},
        {"timestamp": None},
    ],
)
def test_anything_changed_is_invalid(box: Box, changes: dict[str, Any]) -> None:
    assert not box.take(**changes)


def test_another_body_is_invalid(box: Box) -> None:
    assert not box.take(KNOWN_BODY + b" ")


@pytest.mark.parametrize(
    ("late_s", "valid"), [(300, True), (301, False), (-300, True), (-301, False)]
)
def test_five_minutes_apart_is_as_far_as_it_goes(box: Box, late_s: int, valid: bool) -> None:
    box.now = NOW + timedelta(seconds=late_s)
    assert box.take() is valid


def test_the_list_is_as_promised_and_survives_a_restart(box: Box, tmp_path: Path) -> None:
    box.take()
    box.take(b"\xffnonsense", signature="v1,")
    listed = [received.describe() for received in box.inbox.received]
    assert listed[0] == {
        "id": KNOWN_ID,
        "type": None,
        "paymentId": None,
        "status": None,
        "signature": "valid",
        "at": "2021-02-25T15:02:10.000Z",
        "body": {"test": 2432232314},
    }
    assert listed[1]["signature"] == "invalid"
    assert listed[1]["body"] == "�nonsense"
    later = Box(tmp_path)
    later.inbox.replay(read_journal(later.path))
    later.journal.close()
    assert [received.describe() for received in later.inbox.received] == listed
