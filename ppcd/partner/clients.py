"""Who is calling, when proxies stand between: the address that allow-lists are about."""

from collections.abc import Container
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from ppcd.http.messages import Request

_HOPS_MAX: Final = 20


def client_address(request: Request, trusted: Container[str]) -> str:
    """The last address on the way that is no trusted proxy's; empty when a proxy said none.

    Only a trusted proxy is believed about who called it: anybody can write the header.
    """
    peer = _plain(request.peer)
    if peer not in trusted:
        return peer
    said = b",".join(request.header_values(b"x-forwarded-for")).decode("latin-1")
    for hop in reversed(said.split(",")[-_HOPS_MAX:]):
        address = _plain(hop.strip())
        if address not in trusted:
            return address
    return peer


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
