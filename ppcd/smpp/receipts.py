"""Delivery receipts: the TLV form, and the text form in all its deformities (SMPP 3.4, app. B).

Owns how a receipt is told, read and written. What type a message has is its esm_class's word
alone: a text that looks like a receipt is no receipt, or subscribers could forge them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from ppcd.smpp.octets import FINAL_STATES, MessageState, MessageType, message_type
from ppcd.smpp.pdu import Pdu
from ppcd.smpp.times import parse_receipt_date
from ppcd.smpp.tlv import Tag
from ppcd.smpp.udh import user_data

#: Base of message ids in receipts where responses carry the other one.
IdBase: TypeAlias = Literal["as_sent", "decimal", "hex"]

_TEXT_MAX: Final = 1_024

# An item begins with a name and a colon; a name inside a longer word is none.
_ITEM: Final = re.compile(
    r"(?<![a-z])(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err|text)[ \t]{0,4}:",
    re.IGNORECASE,
)
# What most SMSCs send, in one match. Its values hold no colon, so no item can hide in them.
_typical: Final = re.compile(
    rb"id:(?P<id>\w{1,64}) sub:(?P<sub>\w{0,9}) dlvrd:(?P<dlvrd>\w{0,9})"
    rb" submit date:(?P<submitdate>\w{0,14}) done date:(?P<donedate>\w{0,14})"
    rb" stat:(?P<stat>\w{1,13}) err:(?P<err>\w{0,9}) [Tt]ext:"
).match
_NUMBER: Final = {10: re.compile(r"[0-9]+"), 16: re.compile(r"[0-9a-fA-F]+")}

_STATES: Final[Mapping[str, MessageState]] = MappingProxyType(
    {
        # The specification's words, cut or not, then what else has been seen.
        "DELIV": MessageState.DELIVERED,
        "EXPIR": MessageState.EXPIRED,
        "DELET": MessageState.DELETED,
        "UNDEL": MessageState.UNDELIVERABLE,
        "ACCEP": MessageState.ACCEPTED,
        "UNKNO": MessageState.UNKNOWN,
        "REJEC": MessageState.REJECTED,
        "ENROU": MessageState.ENROUTE,
        "SKIPP": MessageState.SKIPPED,
        "SCHED": MessageState.SCHEDULED,
        "FAILE": MessageState.UNDELIVERABLE,
        "FAIL": MessageState.UNDELIVERABLE,
        "BUFFE": MessageState.ENROUTE,
        "BUFFR": MessageState.ENROUTE,
        "QUEUE": MessageState.ENROUTE,
    }
)
_WORDS: Final[Mapping[MessageState, str]] = MappingProxyType(
    {
        MessageState.SCHEDULED: "SCHEDLD",
        MessageState.ENROUTE: "ENROUTE",
        MessageState.DELIVERED: "DELIVRD",
        MessageState.EXPIRED: "EXPIRED",
        MessageState.DELETED: "DELETED",
        MessageState.UNDELIVERABLE: "UNDELIV",
        MessageState.ACCEPTED: "ACCEPTD",
        MessageState.UNKNOWN: "UNKNOWN",
        MessageState.REJECTED: "REJECTD",
        MessageState.SKIPPED: "SKIPPED",
    }
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message. `message_id` is empty where the SMSC named none."""

    message_id: str
    #: UNKNOWN also for a state nobody knows.
    state: MessageState
    #: The text's err, of letters or digits; None without one.
    error: str | None = None
    #: The dates as they stand in the text; `submitted_at` and `done_at` read them.
    submit_date: str = ""
    done_date: str = ""
    #: network_error_code: network type and its code; None without one.
    network_error: tuple[int, int] | None = None
    #: The submit_sm's own user_message_reference, where the SMSC gives it back.
    user_message_reference: int | None = None
    #: An intermediate notification, never the last word, whatever its state says.
    is_intermediate: bool = False
    #: The SMSC's, for dates that don't name theirs.
    zone: tzinfo = UTC

    @property
    def submitted_at(self) -> datetime | None:
        """When the SMSC took the message; None when that can't be read."""
        return parse_receipt_date(self.submit_date, zone=self.zone)

    @property
    def done_at(self) -> datetime | None:
        """When the message came to its end; None when that can't be read."""
        return parse_receipt_date(self.done_date, zone=self.zone)

    @property
    def is_final(self) -> bool:
        """Whether nothing more is to come for this message."""
        return not self.is_intermediate and self.state in FINAL_STATES


# Reading a member off its enum takes longer than looking for its TLV.
_RECEIPT: Final = MessageType.RECEIPT
_NORMAL: Final = MessageType.NORMAL
_INTERMEDIATE: Final = MessageType.INTERMEDIATE_NOTIFICATION
_MESSAGE_ID: Final = Tag.RECEIPTED_MESSAGE_ID
_STATE: Final = Tag.MESSAGE_STATE
_NETWORK_ERROR: Final = Tag.NETWORK_ERROR_CODE
_REFERENCE: Final = Tag.USER_MESSAGE_REFERENCE


def parse_receipt(pdu: Pdu, *, zone: tzinfo = UTC, any_type: bool = False) -> Receipt | None:
    """The receipt in a deliver_sm or data_sm, None if its esm_class says that it is none.

    TLVs win over the text. `zone` is the SMSC's local time. `any_type`, for SMSCs that send
    receipts as normal messages, also takes a normal message with an id and a stat in its text:
    it lets subscribers forge receipts.
    """
    kind = message_type(pdu.esm_class)
    items = None
    if any_type and kind == _NORMAL:
        items = _read_text(pdu)
        if "id" not in items or "stat" not in items:
            return None
    elif kind not in (_RECEIPT, _INTERMEDIATE):
        return None
    if items is None:
        items = _read_text(pdu)
    tlvs = pdu.tlvs
    message_id = tlvs.string(_MESSAGE_ID)
    number = tlvs.integer(_STATE)
    network = tlvs.raw(_NETWORK_ERROR) or b""
    return Receipt(
        message_id=message_id.decode("latin-1") if message_id else items.get("id", ""),
        state=_state(str(number) if number is not None else items.get("stat", "")),
        error=items.get("err") or None,
        submit_date=items.get("submitdate", ""),
        done_date=items.get("donedate", ""),
        network_error=(network[0], int.from_bytes(network[1:], "big"))
        if len(network) == 3
        else None,
        user_message_reference=tlvs.integer(_REFERENCE),
        is_intermediate=kind == _INTERMEDIATE,
        zone=zone,
    )


def _read_text(pdu: Pdu) -> dict[str, str]:
    octets = user_data(pdu).octets
    typical = _typical(octets)
    if typical is not None:
        return {name: value.decode("ascii") for name, value in typical.groupdict().items() if value}
    # Names, dates and states are ASCII. In UCS-2 of either byte order every other octet of them
    # is a NUL, whatever data_coding says: without the NULs all forms are one.
    text = octets[: 2 * _TEXT_MAX].replace(b"\0", b"").decode("latin-1")
    return _items(text[:_TEXT_MAX])


def _items(text: str) -> dict[str, str]:
    """The items in front of `text:`, in whatever order, case and spacing; the first one counts.

    What follows `text:` is the message itself and may hold `id:` and `stat:`: never searched.
    """
    items: dict[str, str] = {}
    name, begin = "", 0
    for found in _ITEM.finditer(text):
        _keep(items, name, text[begin : found.start()])
        name = re.sub("[ _]", "", found[1].lower())
        begin = found.end()
        if name == "text":
            return items
    _keep(items, name, text[begin:])
    return items


def _keep(items: dict[str, str], name: str, value: str) -> None:
    words = value.replace(",", " ").replace(";", " ").split()
    if name and words:
        # Dates may be parted by spaces, everything else is one word.
        items.setdefault(name, "".join(words) if name.endswith("date") else words[0])


def _state(word: str) -> MessageState:
    if word.isascii() and word.isdigit():
        number = int(word[-2:]) if len(word.lstrip("0")) < 3 else len(MessageState)
        return MessageState(number) if number < len(MessageState) else MessageState.UNKNOWN
    return _STATES.get(word[:5].upper(), MessageState.UNKNOWN)


def build_receipt_text(
    message_id: str,
    state: MessageState,
    *,
    submitted_at: datetime,
    done_at: datetime,
    error: str = "000",
    text: str = "",
) -> bytes:
    """The typical text of appendix B, as an SMSC sends it; `text`'s first 20 characters."""
    delivered = 1 if state is MessageState.DELIVERED else 0
    return (
        f"id:{message_id} sub:001 dlvrd:{delivered:03} submit date:{submitted_at:%y%m%d%H%M}"
        f" done date:{done_at:%y%m%d%H%M} stat:{_WORDS[state]} err:{error} text:{text[:20]}"
    ).encode("ascii", "replace")


def receipt_id_key(message_id: str, base: IdBase) -> str:
    """A receipt's message id in the form in which both sides compare equal.

    `base` is the receipts' ("decimal" or "hex"; the responses' is the other), or "as_sent":
    ids are opaque and compared as they are.
    """
    return _id_key(message_id, {"as_sent": 0, "decimal": 10, "hex": 16}[base])


def response_id_key(message_id: str, base: IdBase) -> str:
    """The same for the message id of a submit_sm_resp; `base` is still the receipts'."""
    return _id_key(message_id, {"as_sent": 0, "decimal": 16, "hex": 10}[base])


def _id_key(message_id: str, base: int) -> str:
    if base and _NUMBER[base].fullmatch(message_id):
        return str(int(message_id, base))
    return message_id
