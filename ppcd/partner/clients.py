"""Who is calling, when proxies stand between: the address that allow-lists are about."""

import re
from collections.abc import Container, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal

from ppcd.http.messages import Request

Header = Literal["x-forwarded-for", "forwarded"]

_HOPS_MAX: Final = 20
#: An element of RFC 7239: no comma outside quotes.
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_FOR: Final = re.compile(r'(?:^|;)\s*[Ff][Oo][Rr]=(?:"([^"\\]*)"|([^\s;,"]+))')
#: An address of IPv4 or, in brackets, of IPv6; a port behind it is of no interest.
_NODE: Final = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]{1,5})?")


def client_address(
    request: Request, trusted: Container[str], header: Header = "x-forwarded-for"
) -> str:
    """The last address on the way that is no trusted proxy's; empty when a proxy said none.

    Only a trusted proxy is believed about who called it, and only in the header that it writes:
    anybody can write the other.
    """
    peer = _plain(request.peer)
    if peer not in trusted:
        return peer
    said = b",".join(request.header_values(header.encode())).decode("latin-1")
    for hop in _hops_x(said) if header == "x-forwarded-for" else _hops(said):
        address = _plain(hop)
        if address not in trusted:
            return address
    return peer


def _hops_x(said: str) -> Iterable[str]:
    """The newest first."""
    return (hop.strip() for hop in reversed(said.split(",")[-_HOPS_MAX:]))


def _hops(said: str) -> Iterable[str]:
    """The newest first, of the header of RFC 7239; empty for a hop that hides itself."""
    if not said:
        yield ""
    for element in reversed(_ELEMENT.findall(said)[-_HOPS_MAX:]):
        found = _FOR.search(element.strip())
        node = None if found is None else _NODE.fullmatch(found[1] or found[2] or "")
        yield "" if node is None else node[1] or node[2] or ""


@lru_cache(maxsize=1024)
def _plain(text: str) -> str:
    """One spelling for one address; empty for what is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return str(address)
