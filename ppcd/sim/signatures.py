"""What a partner checks before it believes: that a webhook, or a browser's result, is ppcd's.

To be copied by partners: standard library only. On purpose it shares no line with the sender: two
parties that share a bug agree with each other.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

#: How far the sender's clock and ours may be apart; older messages may be replays.
TOLERANCE_S: Final = 300


def webhook_is_ours(headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> bool:
    """Whether ppcd sent these octets, and lately: Standard Webhooks, names in small letters."""
    event_id, sent_at = headers.get("webhook-id"), headers.get("webhook-timestamp")
    if not event_id or not sent_at or not re.fullmatch(r"[0-9]{1,12}", sent_at):
        return False
    if abs(now.timestamp() - int(sent_at)) > TOLERANCE_S:
        return False
    signed = f"{event_id}.{sent_at}.".encode("latin-1") + body
    wanted = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    # Several while the secret is being changed: «v1,BASE64 v1,BASE64».
    return any(
        hmac.compare_digest(wanted, given) for given in _macs(headers.get("webhook-signature", ""))
    )


def result_is_ours(query: str, *, secret: str) -> bool:
    """Whether ppcd wrote this result; `query` is what stands behind the return URL's «?»."""
    begin, end = query.find("ppcdSession="), query.find("&ppcdSignature=")
    if not 0 <= begin < end:
        return False
    signed = b"ppcd-checkout-result:" + query[begin:end].encode()
    mac = base64.urlsafe_b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest())
    given = query[end:].removeprefix("&ppcdSignature=").encode()
    return hmac.compare_digest(mac.rstrip(b"="), given)


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


def _macs(header: str) -> list[bytes]:
    found = []
    for part in header.split():
        version, _, text = part.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found
