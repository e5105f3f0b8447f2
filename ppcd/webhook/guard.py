"""Where events may be sent: not into our own network, whatever a partner's URL resolves to.

A pure judgement of URLs and addresses. The client asks it about every address before connecting,
on every attempt, so that a name which changes its mind gains nothing.
"""

from collections.abc import Set
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from ppcd.http.urls import Url, UrlError, literal_address

#: Networks that are nobody's public web server: our own, the machine's, documentation, multicast,
#: and IPv6 ranges that wrap an IPv4 address, which could be any of those.
BLOCKED: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            # Of IPv6 only 2000::/3 is global unicast (RFC 4291, RFC 3587): all else is blocked,
            # and of that what is not a host on the public net.
            "::/3",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "4000::/2",
            "8000::/1",
        ),
    )
)


class Refused(ValueError):
    """A URL that events are not sent to; the message says why, and holds nothing of the URL."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What is let through beyond public https. All empty: nothing is."""

    #: The only hosts; empty: any.
    hosts: Set[str] = frozenset()
    #: Hosts that may be spoken to without TLS, at any address and port: demo and test networks.
    http_hosts: Set[str] = frozenset()
    #: Networks that are allowed although they are blocked for all: a partner in our own house.
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    #: Ports of https URLs.
    ports: Set[int] = field(default_factory=lambda: frozenset({443, 8443}))

    def check_url(self, text: str) -> Url:
        """The URL, if an event may go there as far as the URL tells. Raises Refused."""
        try:
            url = Url.parse(text)
        except UrlError as exc:
            raise Refused(str(exc)) from exc
        if url.host in self.http_hosts:
            return url
        if not url.secure:
            raise Refused("the URL must be https")
        if url.port not in self.ports:
            raise Refused("the URL's port is not allowed")
        if self.hosts and url.host not in self.hosts:
            raise Refused("the URL's host is not registered")
        literal = literal_address(url.host)
        if literal is None:
            # 127.1, 0x7f.1 and 2130706433 are names to us and addresses to a resolver.
            if url.host.rstrip(".").rpartition(".")[2][:1].isdigit():
                raise Refused("the URL's host is an address in an unusual spelling")
        elif not self.address_allowed(str(literal)):
            raise Refused("the URL's address is not allowed")
        return url

    def address_allowed(self, address: str) -> bool:
        """Whether a connection may be made to this address for a host that is not exempt."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.scope_id is not None:
            return False
        if any(found in network for network in self.networks):
            return True
        return not any(found in network for network in BLOCKED)
