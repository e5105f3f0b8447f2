"""Whose key, token or certificate it is: asked of the database for every request, so that one that
is revoked is dead at once.

Owns from where a key may be used. Refuses to know what its scopes allow.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from twisted.logger import Logger

from ppcd.store import certificates, keys, tokens
from ppcd.store.batcher import Batcher
from ppcd.store.certificates import Shown
from ppcd.store.keys import Holder, Network
from ppcd.store.lanes import Runner

log = Logger(namespace="ppcd.flow.keys")

#: What every access token begins with and no key does: it says where to look.
TOKEN_PREFIX: Final = "ppcdt_"  # noqa: S105  # no secret, what every one begins with


@dataclass(frozen=True, slots=True)
class Partner:
    """Who asks."""

    partner_id: int
    name: str
    merchant: str
    language: str
    webhook_url: str | None
    #: What the key may be used for, by the names of scopes; None: for everything.
    scopes: frozenset[str] | None = None


class Keys:
    """The partners' keys and tokens. Nothing is remembered: who waits for one round trip asks
    together with all who came meanwhile, and on a node that is busy that costs less than each
    one's parsing.
    """

    def __init__(self, *, lanes: Runner, gather_s: float = 0.0) -> None:
        self._of_keys: Batcher[bytes, Holder | None] = Batcher(
            lanes, keys.holders, size_max=500, gather_s=gather_s
        )
        self._of_tokens: Batcher[bytes, Holder | None] = Batcher(
            lanes, tokens.holders, size_max=500, gather_s=gather_s
        )
        self._of_certificates: Batcher[Shown, Holder | None] = Batcher(
            lanes, certificates.holders, size_max=500, gather_s=gather_s
        )

    async def holder(self, key: str, *, address: str) -> Holder | None:
        """Who holds the key or token, if it is good and may be used from there; `address` is the
        caller's, empty when nobody knows it.
        """
        asked = self._of_tokens if key.startswith(TOKEN_PREFIX) else self._of_keys
        [holder] = await asked.submit([hash_of(key)])
        return _if_there(holder, address)

    async def of_certificate(self, shown: Shown, *, address: str) -> Holder | None:
        """Whose certificate it is, if it is registered and may be used from there."""
        [holder] = await self._of_certificates.submit([shown])
        return _if_there(holder, address)


def partner_of(holder: Holder | None) -> Partner | None:
    """Who asks, if anybody was found."""
    if holder is None:
        return None
    return Partner(
        *(holder.partner_id, holder.name, holder.merchant, holder.language),
        holder.webhook_url,
        None if holder.scopes is None else frozenset(holder.scopes),
    )


def hash_of(key: str) -> bytes:
    """What is stored of a key or a token: 256 random bits need no slower hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _if_there(holder: Holder | None, address: str) -> Holder | None:
    if holder is None:
        return None
    lists = (holder.key_networks, holder.partner_networks)
    if all(allowed is None or _among(address, allowed) for allowed in lists):
        return holder
    # To the caller it looks like a key that opens nothing: a thief learns no more from it.
    log.warn(
        "a key of {partner} was used from {address}, which is not on its list",
        partner=holder.name,
        address=address,
    )
    return None


def _among(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    return any(found in network for network in networks)
