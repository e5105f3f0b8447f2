"""Signatures that the published libraries of Standard Webhooks verify."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from ppcd.webhook.signature import secret_of, shown, signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_the_known_answer() -> None:
    signed = signature(EVENT_ID, 1614265330, b'{"test": 2432232314}', [secret_of(SECRET)])
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=300), st.binary(min_size=24, max_size=64))
def test_the_reference_library_verifies_what_we_sign(body: bytes, key: bytes) -> None:
    now_s = int(datetime.now(UTC).timestamp())  # noqa: TID251 - the library compares with it
    # The library takes text; the octets that it signs are the text's.
    text = base64.b64encode(body).decode()
    headers = {
        "webhook-id": EVENT_ID,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(EVENT_ID, now_s, text.encode(), [key]),
    }
    library = Webhook(shown(key))
    assert (
        library.sign(EVENT_ID, datetime.fromtimestamp(now_s, UTC), text)
        == (headers["webhook-signature"])
    )
    with pytest.raises(WebhookVerificationError):
        library.verify(text + "x", headers)


def test_either_secret_verifies_while_they_are_rotated() -> None:
    now_s = int(datetime.now(UTC).timestamp())  # noqa: TID251 - the library compares with it
    new, old, other = b"n" * 24, b"o" * 24, b"x" * 24
    headers = {
        "webhook-id": EVENT_ID,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(EVENT_ID, now_s, b'{"a":1}', [new, old]),
    }
    for key in (new, old):
        assert Webhook(shown(key)).verify('{"a":1}', headers) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(shown(other)).verify('{"a":1}', headers)


def test_a_secret_reads_back() -> None:
    assert shown(secret_of(SECRET)) == SECRET


@pytest.mark.parametrize("wrong", ["", "whsec_", "whsec_a", "whsec_MfKQ9r8G", "whsec_" + "A" * 100])
def test_what_is_no_secret(wrong: str) -> None:
    with pytest.raises(ValueError, match="webhook secret"):
        secret_of(wrong)
