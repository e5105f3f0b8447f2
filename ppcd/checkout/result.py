"""The result on the return URL, signed: which session, what became of it.

A convenience for the partner's page, not the proof of payment: that is the webhook, or a GET.
"""

import base64
import hmac
from typing import Final
from urllib.parse import urlencode

from ppcd.charge.rules import State
from ppcd.checkout.sessions import FAILED, Session

#: Said before the signed text, so that no webhook's signature can be one of these.
_DOMAIN: Final = b"ppcd-checkout-result:"


def status_of(session: Session) -> str:
    """The session in one word for its partner."""
    if session.charge is None:
        return "pending" if session.pending else "open"
    state = session.charge.state
    if state is State.SUCCEEDED:
        return "succeeded"
    if state in FAILED:
        return "denied"
    return "processing"


def result_query(session: Session) -> str:
    """`ppcdSession=…&ppcdStatus=…&…&ppcdSignature=…`"""
    charge = session.charge
    parts = [
        ("ppcdSession", session.id),
        ("ppcdStatus", status_of(session)),
        ("ppcdReference", session.reference),
    ]
    if charge is not None:
        parts.append(("ppcdPayment", str(charge.charge_id)))
        if charge.reason is not None:
            parts.append(("ppcdReason", charge.reason.value))
    text = urlencode(parts)
    return f"{text}&ppcdSignature={signature(text, session.row.secret)}"


def signature(text: str, secret: bytes) -> str:
    """Base64url without padding of the HMAC-SHA-256 over the query up to the signature."""
    digest = hmac.digest(secret, _DOMAIN + text.encode("ascii"), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def return_url(session: Session) -> str | None:
    """Where the partner wants the buyer back, with the result; None if it said nowhere.

    Whoever has not paid never comes to the success URL: a careless shop would take that for money.
    """
    row = session.row
    paid = session.charge is not None and session.charge.state is State.SUCCEEDED
    base = row.success_url if paid else row.cancel_url
    if base is None:
        return None
    base, hash_sign, fragment = base.partition("#")
    return f"{base}{'&' if '?' in base else '?'}{result_query(session)}{hash_sign}{fragment}"
