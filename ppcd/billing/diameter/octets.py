"""Diameter's octets: messages cut from a stream, AVPs written and read (RFC 6733, 3 and 4).

Knows lengths, flags and padding; what an AVP means is known elsewhere. A wrong length of a message
is a `FramingError` and ends the connection, since nothing after it can be trusted; a message whose
inside is broken is `Malformed`, and only that message is lost.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ppcd.billing.diameter.codes import AvpFlag, Flag

VERSION: Final = 1
HEADER_LENGTH: Final = 20
#: A credit-control answer has some hundreds of octets.
LENGTH_MAX: Final = 65_536
_GROUPS_MAX: Final = 1_000

_HEADER: Final = struct.Struct("!IIIII")
_AVP: Final = struct.Struct("!II")
_U32: Final = struct.Struct("!I")
_I32: Final = struct.Struct("!i")
_I64: Final = struct.Struct("!q")
_LOW_24: Final = 0xFFFFFF


class FramingError(ValueError):
    """The stream can't be cut into messages any further."""


class Malformed(ValueError):
    """A message whose AVPs don't add up."""


@dataclass(frozen=True, slots=True)
class Avp:
    """One AVP without its padding; `vendor` is 0 where it has none."""

    code: int
    vendor: int
    data: bytes

    def u32(self) -> int:
        value: int = self._unpacked(_U32)
        return value

    def i32(self) -> int:
        value: int = self._unpacked(_I32)
        return value

    def i64(self) -> int:
        value: int = self._unpacked(_I64)
        return value

    def text(self) -> str:
        try:
            return self.data.decode()
        except UnicodeDecodeError as exc:
            raise Malformed(f"AVP {self.code} is not UTF-8") from exc

    def members(self) -> Avps:
        """What is in a grouped AVP."""
        return Avps(read_avps(self.data))

    def _unpacked(self, form: struct.Struct) -> int:
        if len(self.data) != form.size:
            raise Malformed(f"AVP {self.code} has {len(self.data)} octets, not {form.size}")
        value: int = form.unpack(self.data)[0]
        return value


class Avps:
    """The AVPs of a message or a group, in wire order."""

    __slots__ = ("_all",)

    def __init__(self, avps: tuple[Avp, ...]) -> None:
        self._all = avps

    def __iter__(self) -> Iterator[Avp]:
        return iter(self._all)

    def all(self, code: int) -> list[Avp]:
        """Those of a code of the RFCs: a vendor's AVP with the same number is another one."""
        return [avp for avp in self._all if avp.code == code and avp.vendor == 0]

    def one(self, code: int) -> Avp | None:
        """The only one of its code. Malformed when there are several: which one would count?"""
        found = self.all(code)
        if len(found) > 1:
            raise Malformed(f"AVP {code} is there {len(found)} times")
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it stood on the wire, its AVPs still unread."""

    flags: int
    command: int
    application: int
    hop_by_hop: int
    end_to_end: int
    body: bytes

    @property
    def is_request(self) -> bool:
        return bool(self.flags & Flag.REQUEST)

    def avps(self) -> Avps:
        """Its AVPs; Malformed when they can't be told apart."""
        return Avps(read_avps(self.body))

    def encoded(self) -> bytes:
        length = HEADER_LENGTH + len(self.body)
        assert length <= LENGTH_MAX
        return (
            _HEADER.pack(
                VERSION << 24 | length,
                self.flags << 24 | self.command,
                self.application,
                self.hop_by_hop,
                self.end_to_end,
            )
            + self.body
        )


class Cutter:
    """Cuts a stream into messages."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> tuple[list[Message], FramingError | None]:
        """The messages that are complete now, and why there can't be any more of them."""
        data = self._left + data if self._left else data
        messages: list[Message] = []
        at, end = 0, len(data)
        fault: FramingError | None = None
        while end - at >= 4:
            [word] = _U32.unpack_from(data, at)
            length = word & _LOW_24
            if word >> 24 != VERSION:
                fault = FramingError(f"version {word >> 24}")
                break
            if length < HEADER_LENGTH or length % 4 or length > LENGTH_MAX:
                fault = FramingError(f"a message of {length} octets")
                break
            if end - at < length:
                break
            messages.append(_message(data, at, length))
            at += length
        self._left = b"" if fault else data[at:]
        return messages, fault


def _message(data: bytes, at: int, length: int) -> Message:
    _, command, application, hop_by_hop, end_to_end = _HEADER.unpack_from(data, at)
    return Message(
        flags=command >> 24,
        command=command & _LOW_24,
        application=application,
        hop_by_hop=hop_by_hop,
        end_to_end=end_to_end,
        body=data[at + HEADER_LENGTH : at + length],
    )


def read_avps(data: bytes) -> tuple[Avp, ...]:
    """The AVPs that fill `data`; Malformed when they don't do so exactly."""
    avps: list[Avp] = []
    at, end = 0, len(data)
    while at < end:
        if end - at < _AVP.size:
            raise Malformed("octets are left after the last AVP")
        code, word = _AVP.unpack_from(data, at)
        length, start, vendor = word & _LOW_24, at + _AVP.size, 0
        if word >> 24 & AvpFlag.VENDOR:
            if end - start < _U32.size:
                raise Malformed(f"AVP {code} ends in its header")
            [vendor] = _U32.unpack_from(data, start)
            start += _U32.size
        if length < start - at or at + length > end:
            raise Malformed(f"AVP {code} says that it has {length} octets")
        if len(avps) == _GROUPS_MAX:
            raise Malformed(f"more than {_GROUPS_MAX} AVPs")
        avps.append(Avp(code, vendor, data[start : at + length]))
        # Padding belongs to no length; some peers leave out that of the last AVP in a group.
        at += length + -length % 4
    return tuple(avps)


def avp(code: int, data: bytes, *, flags: int = AvpFlag.MANDATORY) -> bytes:
    """An AVP of the RFCs on the wire, padded."""
    length = _AVP.size + len(data)
    return _AVP.pack(code, flags << 24 | length) + data + b"\0" * (-length % 4)


def text_avp(code: int, text: str, *, flags: int = AvpFlag.MANDATORY) -> bytes:
    return avp(code, text.encode(), flags=flags)


def u32_avp(code: int, number: int) -> bytes:
    return avp(code, _U32.pack(number))


def i32_avp(code: int, number: int) -> bytes:
    return avp(code, _I32.pack(number))


def i64_avp(code: int, number: int) -> bytes:
    return avp(code, _I64.pack(number))
