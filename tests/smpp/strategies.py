"""Hypothesis strategies for PDUs, by the same tables that the codec reads: shapes, not values."""

from typing import Any

from hypothesis import strategies as st

from ppcd.smpp import (
    Command,
    Destination,
    DistributionList,
    Pdu,
    Unsuccessful,
    build,
    is_response,
)
from ppcd.smpp.fields import BODIES, Field, Kind

OCTET = st.integers(0, 255)


def c_octets(length_max: int, *, length_min: int = 0) -> st.SearchStrategy[bytes]:
    """Octets without a NUL, whatever they mean."""
    octet = st.integers(1, 255)
    return st.lists(octet, min_size=length_min, max_size=length_max).map(bytes)


DESTINATIONS = st.lists(
    st.builds(Destination, OCTET, OCTET, c_octets(20)) | st.builds(DistributionList, c_octets(20)),
    min_size=1,
    max_size=6,
).map(tuple)
UNSUCCESSFUL = st.lists(
    st.builds(Unsuccessful, OCTET, OCTET, c_octets(20), st.integers(0, 0xFFFFFFFF)), max_size=6
).map(tuple)


def values(item: Field) -> st.SearchStrategy[Any]:
    match item.kind:
        case Kind.INTEGER:
            return OCTET
        case Kind.STRING:
            return c_octets(item.size - 1)
        case Kind.TIME:
            return st.just(b"") | c_octets(16, length_min=16)
        case Kind.MESSAGE:
            return st.binary(max_size=254)
        case Kind.DESTINATIONS:
            return DESTINATIONS
        case Kind.UNSUCCESSFUL:
            return UNSUCCESSFUL


TLV_PAIRS = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=5)


@st.composite
def pdus(draw: st.DrawFn, commands: st.SearchStrategy[int] | None = None) -> Pdu:
    """Any PDU that the specification has a body for, with arbitrary values and TLVs."""
    command = draw(st.sampled_from(sorted(BODIES)) if commands is None else commands)
    fields = {item.name: draw(values(item)) for item in BODIES[command]}
    pairs = draw(TLV_PAIRS)
    if fields.get("short_message"):
        pairs = [pair for pair in pairs if pair[0] != 0x0424]
    numbers = st.integers(0, 0xFFFFFFFF) if is_response(command) else st.integers(1, 0x7FFFFFFF)
    return build(
        Command(command),
        status=draw(st.integers(0, 0xFFFFFFFF)),
        sequence=draw(numbers),
        tlvs=pairs,
        **fields,
    )
