"""Reads and writes PDU bodies by the tables of `ppcd.smpp.fields`, one parameter at a time.

This is the reference: it names the parameter at fault. `ppcd.smpp.decode` has the fast way for
the hot PDUs and must agree with it on every input. Refuses to know meanings: integers and octets
pass as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from ppcd.smpp.command import is_response
from ppcd.smpp.errors import EncodeError
from ppcd.smpp.fields import (
    BODIES,
    DESTINATIONS_MAX,
    Destination,
    DistributionList,
    Field,
    Kind,
    Unsuccessful,
    Value,
)
from ppcd.smpp.status import Status

_NO_SIZES: Final[Mapping[str, int]] = MappingProxyType({})

#: 3.4 allows 254 octets; a 255th, which 5.0 adds, is read but never sent.
MESSAGE_SENT_MAX: Final = 254


@dataclass(frozen=True, slots=True)
class WireQuirks:
    """Where a peer's octets differ from the specification; the defaults are the specification."""

    #: Largest size, NUL included, of a string parameter by name where the peer's are longer:
    #: `{"service_type": 31}`. Seen: service types of 30 characters, addresses of 32.
    field_sizes: Mapping[str, int] = field(default_factory=lambda: _NO_SIZES)
    #: Take a last C-octet string (message_id of a response) that has no NUL.
    unterminated_last_string: bool = False
    #: Take a message whose TLV stream is broken, without its TLVs, instead of refusing it.
    broken_tlvs_dropped: bool = False


class Problem(NamedTuple):
    """What is wrong with a body: the status it deserves, the parameter, and why in words."""

    status: Status
    field: str
    detail: str


class _BadBody(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class Reading(NamedTuple):
    """A body as far as it could be read; TLVs begin at octet `tlvs_at`."""

    values: dict[str, Value]
    tlvs_at: int
    problem: Problem | None


class _Cursor:
    """A body and how far it has been read. Raises `_BadBody` with the parameter's name."""

    __slots__ = ("at", "lenient", "octets", "quirks")

    def __init__(self, octets: bytes, quirks: WireQuirks | None) -> None:
        self.octets = octets
        self.at = 0
        self.lenient = quirks is None
        self.quirks = quirks or WireQuirks()

    def integer(self, name: str, size: int = 1) -> int:
        end = self.at + size
        if end > len(self.octets):
            raise _BadBody(Problem(Status.ESME_RINVPARLEN, name, "the PDU ends before it"))
        value = int.from_bytes(self.octets[self.at : end], "big")
        self.at = end
        return value

    def string(self, name: str, size: int, *, is_last: bool = False) -> bytes:
        end = self.octets.find(0, self.at)
        if end < 0:
            if not (is_last and (self.lenient or self.quirks.unterminated_last_string)):
                raise _BadBody(Problem(Status.ESME_RINVPARLEN, name, "has no NUL"))
            end = len(self.octets)
        size_max = self.quirks.field_sizes.get(name, size)
        if end - self.at >= size_max and not self.lenient:
            detail = f"{end - self.at} octets, more than {size_max - 1}"
            raise _BadBody(Problem(Status.ESME_RINVPARLEN, name, detail))
        value = self.octets[self.at : end]
        self.at = min(end + 1, len(self.octets))
        return value

    def message(self, name: str) -> bytes:
        length = self.integer("sm_length")
        left = len(self.octets) - self.at
        if length > left:
            detail = f"sm_length {length}, but {left} octets are left"
            raise _BadBody(Problem(Status.ESME_RINVMSGLEN, name, detail))
        value = self.octets[self.at : self.at + length]
        self.at += length
        return value

    def destinations(self) -> tuple[Destination | DistributionList, ...]:
        found: list[Destination | DistributionList] = []
        for _ in range(self.integer("number_of_dests")):
            flag = self.integer("dest_flag")
            if flag == 1:
                ton, npi = self.integer("dest_addr_ton"), self.integer("dest_addr_npi")
                found.append(Destination(ton, npi, self.string("destination_addr", 21)))
            elif flag == 2:
                found.append(DistributionList(self.string("dl_name", 21)))
            else:
                # What follows an unknown flag has an unknown length.
                detail = f"{flag} is neither 1 nor 2"
                raise _BadBody(Problem(Status.ESME_RINVDESTFLAG, "dest_flag", detail))
        return tuple(found)

    def unsuccessful(self) -> tuple[Unsuccessful, ...]:
        return tuple(
            Unsuccessful(
                self.integer("dest_addr_ton"),
                self.integer("dest_addr_npi"),
                self.string("destination_addr", 21),
                self.integer("error_status_code", 4),
            )
            for _ in range(self.integer("no_unsuccess"))
        )


def _read_field(cursor: _Cursor, item: Field, *, is_last: bool) -> Value:
    match item.kind:
        case Kind.INTEGER:
            return cursor.integer(item.name)
        case Kind.STRING | Kind.TIME:
            # A time of a wrong length is harmless here and common: only senders must be exact.
            return cursor.string(item.name, item.size, is_last=is_last)
        case Kind.MESSAGE:
            return cursor.message(item.name)
        case Kind.DESTINATIONS:
            return cursor.destinations()
        case _:
            assert item.kind is Kind.UNSUCCESSFUL
            return cursor.unsuccessful()


def read_body(command: int, body: bytes, quirks: WireQuirks | None) -> Reading:
    """The mandatory parameters of a known `command`, up to the first that can't be read.

    Without `quirks` nothing is measured: a body judged before is only taken apart. A response
    may come without any body whatever its status: error responses often do (3.4, 4.1.2).
    """
    table = BODIES[command]
    if not body and is_response(command):
        return Reading(default_values(command), 0, None)
    cursor = _Cursor(body, quirks)
    values: dict[str, Value] = {}
    try:
        for item in table:
            values[item.name] = _read_field(cursor, item, is_last=item is table[-1])
    except _BadBody as bad:
        return Reading(values, len(body), bad.problem)
    return Reading(values, cursor.at, None)


_DEFAULTS: Final[Mapping[Kind, Value]] = MappingProxyType(
    {
        Kind.INTEGER: 0,
        Kind.STRING: b"",
        Kind.TIME: b"",
        Kind.MESSAGE: b"",
        Kind.DESTINATIONS: (),
        Kind.UNSUCCESSFUL: (),
    }
)


def default_values(command: int) -> dict[str, Value]:
    """Every parameter of `command` at its empty value."""
    return {item.name: _DEFAULTS[item.kind] for item in BODIES[command]}


def _write_integer(name: str, value: object, size: int = 1) -> bytes:
    if not isinstance(value, int):
        raise EncodeError(name, f"an integer is wanted, not {type(value).__name__}")
    try:
        return value.to_bytes(size, "big")
    except OverflowError:
        raise EncodeError(name, f"{value} is not within 0..{256**size - 1}") from None


def _octets(name: str, value: object, length_max: int) -> bytes:
    if not isinstance(value, bytes):
        raise EncodeError(name, f"bytes are wanted, not {type(value).__name__}")
    if len(value) > length_max:
        raise EncodeError(name, f"{len(value)} octets, more than {length_max}")
    return value


def _write_string(name: str, value: object, size: int) -> bytes:
    octets = _octets(name, value, size - 1)
    if 0 in octets:
        # It would end the string there and shift all that follows: a field smuggled in.
        raise EncodeError(name, "a NUL inside a C-octet string")
    return octets + b"\0"


def _write_time(name: str, value: object, size: int) -> bytes:
    octets = _write_string(name, value, size)
    if len(octets) not in (1, size):
        raise EncodeError(name, f"{len(octets) - 1} octets, must be 0 or {size - 1}")
    return octets


def _write_message(name: str, value: object, size: int) -> bytes:
    octets = _octets(name, value, min(size, MESSAGE_SENT_MAX))
    return bytes((len(octets),)) + octets


def _write_destinations(name: str, value: object, size: int) -> bytes:
    items = _tuple(name, value, size)
    if not items:
        raise EncodeError(name, "at least one destination is wanted")
    parts = [bytes((len(items),))]
    for item in items:
        match item:
            case Destination(ton, npi, address):
                parts.append(
                    b"\1"
                    + _write_integer("dest_addr_ton", ton)
                    + _write_integer("dest_addr_npi", npi)
                    + _write_string("destination_addr", address, 21)
                )
            case DistributionList(listed):
                parts.append(b"\2" + _write_string("dl_name", listed, 21))
            case _:
                raise EncodeError(name, f"{type(item).__name__} is no destination")
    return b"".join(parts)


def _write_unsuccessful(name: str, value: object, size: int) -> bytes:
    items = _tuple(name, value, size)
    parts = [bytes((len(items),))]
    for item in items:
        if not isinstance(item, Unsuccessful):
            raise EncodeError(name, f"{type(item).__name__} is no unsuccess_sme")
        parts.append(
            _write_integer("dest_addr_ton", item.ton)
            + _write_integer("dest_addr_npi", item.npi)
            + _write_string("destination_addr", item.address, 21)
            + _write_integer("error_status_code", item.status, 4)
        )
    return b"".join(parts)


def _tuple(name: str, value: object, count_max: int) -> tuple[object, ...]:
    if not isinstance(value, Iterable):
        raise EncodeError(name, f"a sequence is wanted, not {type(value).__name__}")
    items = tuple(value)
    if len(items) > count_max:
        raise EncodeError(name, f"{len(items)} of them, more than {count_max}")
    return items


_WRITERS: Final[Mapping[Kind, Callable[[str, object, int], bytes]]] = MappingProxyType(
    {
        Kind.INTEGER: _write_integer,
        Kind.STRING: _write_string,
        Kind.TIME: _write_time,
        Kind.MESSAGE: _write_message,
        Kind.DESTINATIONS: _write_destinations,
        Kind.UNSUCCESSFUL: _write_unsuccessful,
    }
)
assert DESTINATIONS_MAX < 256, "its count is one octet"


def write_body(command: int, values: Mapping[str, object]) -> bytes:
    """The mandatory parameters of `command`, absent ones empty; EncodeError names a bad one."""
    table = BODIES.get(command)
    if table is None:
        raise EncodeError("command_id", f"{command:#010x} has no known body")
    parts = []
    known = 0
    for item in table:
        if item.name in values:
            known += 1
            parts.append(_WRITERS[item.kind](item.name, values[item.name], item.size))
        else:
            parts.append(_WRITERS[item.kind](item.name, _DEFAULTS[item.kind], item.size))
    if known != len(values):
        strange = sorted(set(values) - {item.name for item in table})
        raise EncodeError(strange[0], "this PDU has no such parameter")
    return b"".join(parts)
