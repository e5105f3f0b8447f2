"""The four ends of a submit. Values: none of them is an exception, all are expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ppcd.smpp.pdu import Pdu


@dataclass(frozen=True, slots=True)
class Accepted:
    """The SMSC took it; `message_id` is what a receipt will name, opaque."""

    message_id: str
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Refused:
    """The SMSC answered with this command_status; `advice(status)` tells what that asks for."""

    status: int


@dataclass(frozen=True, slots=True)
class NotSent:
    """The SMSC did not take it, for certain: it may be sent again, here or elsewhere."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Written, and no answer came: it may have been sent to the phone or not."""

    reason: str


SubmitAnswer: TypeAlias = Accepted | Refused | NotSent | Unknown
