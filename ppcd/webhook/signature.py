"""Standard Webhooks signatures (specification 1.0.0), symmetric."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

_PREFIX: Final = "whsec_"
_SECRET_LENGTH_MIN: Final = 24
_SECRET_LENGTH_MAX: Final = 64


def secret_of(text: str) -> bytes:
    """The key that a secret as shown to partners (`whsec_…`) stands for. Raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError("not a webhook secret: it must be whsec_ and base64") from exc
    if not _SECRET_LENGTH_MIN <= len(key) <= _SECRET_LENGTH_MAX:
        raise ValueError("a webhook secret must be 24 to 64 octets long")
    return key


def shown(key: bytes) -> str:
    """The secret as partners are shown it."""
    return _PREFIX + base64.b64encode(key).decode("ascii")


def signature(event_id: str, timestamp_s: int, body: bytes, secrets: Sequence[bytes]) -> str:
    """The value of `webhook-signature`: one signature a secret, so that either verifies.

    `secrets` are decoded keys. What is signed is the octets sent, joined by dots, so the id must
    have none.
    """
    assert "." not in event_id
    assert secrets
    content = b"%s.%d.%s" % (event_id.encode("ascii"), timestamp_s, body)
    digests = (hmac.digest(key, content, hashlib.sha256) for key in secrets)
    return " ".join("v1," + base64.b64encode(digest).decode("ascii") for digest in digests)
