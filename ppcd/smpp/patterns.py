"""Compiled patterns over PDU bodies: the fast way to judge and read what `ppcd.smpp.body` defines.

Generated from the same tables. One match does extraction, termination and maximum lengths in C.
`.` stands for any octet, 0x0A included; possessive quantifiers leave one way to match, so that
no input makes it slow. What doesn't match goes to the slow reader, which can say why.
"""

import re
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple

from ppcd.smpp.body import WireQuirks
from ppcd.smpp.command import Command
from ppcd.smpp.fields import BODIES, Field, Kind, Value

_REGULAR: Final = frozenset({Kind.INTEGER, Kind.STRING, Kind.TIME, Kind.MESSAGE})


class _Layout(NamedTuple):
    """A body's pattern, and what its groups hold: integers in a row are one group."""

    pattern: re.Pattern[bytes]
    #: For each group but the last, which is the rest of the body: is it integers?
    integers: tuple[bool, ...]
    names: tuple[str, ...]
    has_message: bool


def _string(item: Field, sizes: WireQuirks | None) -> bytes:
    if sizes is None:
        return b"[^\\0]*+"
    return b"[^\\0]{0,%d}+" % (sizes.field_sizes.get(item.name, item.size) - 1)


def _layout(table: tuple[Field, ...], sizes: WireQuirks | None) -> _Layout | None:
    if not all(item.kind in _REGULAR for item in table):
        return None
    has_message = bool(table) and table[-1].kind is Kind.MESSAGE
    # sm_length stands behind the integers in front of the message and joins their group.
    plain = (*table[:-1], Field("sm_length", Kind.INTEGER)) if has_message else table
    pieces: list[bytes] = []
    integers: list[bool] = []
    for is_integer, run in groupby(plain, lambda item: item.kind is Kind.INTEGER):
        if is_integer:
            pieces.append(b"(" + b"." * len(list(run)) + b")")
            integers.append(True)
        else:
            strings = [b"(" + _string(item, sizes) + b")\\0" for item in run]
            pieces += strings
            integers += [False] * len(strings)
    pattern = re.compile(b"(?s)" + b"".join(pieces) + b"(.*+)")
    return _Layout(pattern, tuple(integers), tuple(item.name for item in plain), has_message)


_UNMEASURED: Final = {command: _layout(table, None) for command, table in BODIES.items()}


@lru_cache(maxsize=64)
def _measured(field_sizes: frozenset[tuple[str, int]]) -> dict[int, _Layout | None]:
    sizes = WireQuirks(field_sizes=dict(field_sizes))
    return {command: _layout(table, sizes) for command, table in BODIES.items()}


class FastJudge:
    """Judges bodies by a link's sizes; where it says no, the slow reader has the last word."""

    __slots__ = ("_layouts",)

    def __init__(self, quirks: WireQuirks) -> None:
        self._layouts = _measured(frozenset(quirks.field_sizes.items()))

    def tlvs_at(self, command: int, body: bytes) -> int | None:
        """Where the TLVs of a known command's good body begin; None if that isn't plain."""
        layout = self._layouts[command]
        found = layout.pattern.match(body) if layout is not None else None
        if layout is None or found is None:
            return None
        at = found.start(len(layout.integers) + 1)
        if layout.has_message:
            at += body[at - 1]
        return at if at <= len(body) else None


def fast_read(command: int, body: bytes) -> tuple[dict[str, Value], bytes] | None:
    """The parameters of a known command and the octets behind them, nothing measured.

    None for a body that is cut or of a command with lists in it: those are the slow reader's.
    """
    if command in (Command.DELIVER_SM, Command.SUBMIT_SM):
        return _read_sm(body)
    layout = _UNMEASURED[command]
    found = layout.pattern.match(body) if layout is not None else None
    if layout is None or found is None:
        return None
    *groups, rest = found.groups()
    values: list[Value] = []
    for is_integer, group in zip(layout.integers, groups, strict=True):
        if is_integer:
            values += group  # each octet as its integer
        else:
            values.append(group)
    fields = dict(zip(layout.names, values, strict=True))
    if layout.has_message:
        size = fields.pop("sm_length")
        assert isinstance(size, int)
        if size > len(rest):
            return None
        fields["short_message"] = rest[:size]
        rest = rest[size:]
    return fields, rest


_sm_match: Final = re.compile(
    rb"(?s)([^\0]*+)\0(.)(.)([^\0]*+)\0(.)(.)([^\0]*+)\0(...)([^\0]*+)\0([^\0]*+)\0(.....)(.*+)"
).match


def _read_sm(body: bytes) -> tuple[dict[str, Value], bytes] | None:
    # The two messages, written out: half the time of the loop over their layout.
    found = _sm_match(body)
    if found is None:
        return None
    kind, s_ton, s_npi, source, d_ton, d_npi, destination, three, schedule, validity, five, rest = (
        found.groups()
    )
    size = five[4]
    if size > len(rest):
        return None
    fields: dict[str, Value] = {
        "service_type": kind,
        "source_addr_ton": s_ton[0],
        "source_addr_npi": s_npi[0],
        "source_addr": source,
        "dest_addr_ton": d_ton[0],
        "dest_addr_npi": d_npi[0],
        "destination_addr": destination,
        "esm_class": three[0],
        "protocol_id": three[1],
        "priority_flag": three[2],
        "schedule_delivery_time": schedule,
        "validity_period": validity,
        "registered_delivery": five[0],
        "replace_if_present_flag": five[1],
        "data_coding": five[2],
        "sm_default_msg_id": five[3],
        "short_message": rest[:size],
    }
    return fields, rest[size:]


class DeliverPatterns(NamedTuple):
    """A deliver_sm in two matches: what differs from phone to phone, and what many say alike."""

    #: The whole PDU of status 0. Groups: sequence_number, source_addr_ton, source_addr, and all
    #: octets behind them.
    whole: re.Pattern[bytes]
    #: Those octets. Groups: destination_addr, the octets from esm_class to priority_flag and from
    #: registered_delivery to sm_length, short_message with the TLVs.
    content: re.Pattern[bytes]


_HEADER: Final = rb"\0\0..\0\0\0\x05\0\0\0\0(....)"


def deliver_patterns(quirks: WireQuirks) -> DeliverPatterns:
    """Patterns with as few groups as a flood needs. A PDU of 64 KiB or more is not meant."""
    table = BODIES[Command.DELIVER_SM][:-1]
    split = [item.name for item in table].index("source_addr") + 1
    whole, content = (
        b"".join(_hot(item, quirks) for item in part) for part in (table[:split], table[split:])
    )
    return DeliverPatterns(
        re.compile(b"(?s)" + _HEADER + whole + b"(.*+)"), re.compile(b"(?s)" + content + b"(.*+)")
    )


def _hot(item: Field, quirks: WireQuirks) -> bytes:
    """One parameter's part of the pattern: a group only where somebody wants it."""
    if item.kind is Kind.INTEGER:
        opened = b"(" if item.name in ("esm_class", "registered_delivery") else b""
        # sm_length stands behind these and joins them.
        closed = {"priority_flag": b")", "sm_default_msg_id": b".)"}.get(item.name, b"")
        return b"(.)" if item.name == "source_addr_ton" else opened + b"." + closed
    piece = _string(item, quirks)
    if item.name in ("source_addr", "destination_addr"):
        piece = b"(" + piece + b")"
    return piece + b"\\0"
