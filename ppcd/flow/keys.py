"""Whose key or token it is: asked of the database for every request, so that a revoked one is dead
at once.

Owns from where a key may be used. Refuses to know what its scopes allow.
"""

import hashlib
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final

from twisted.logger import Logger

from ppcd.store import keys, tokens
from ppcd.store.batcher import Batcher
from ppcd.store.keys import Holder, Network
from ppcd.store.lanes import Runner

log = Logger(namespace="ppcd.flow.keys")

#: What every access token begins with and no key does: it says where to look.
TOKEN_PREFIX: Final = "ppcdt_"  # noqa: S105  # no secret, what every one begins with


class Keys:
    """The partners' keys and tokens. Nothing is remembered: who waits for one round trip asks
    together with all who came meanwhile, and on a node that is busy that costs less than each
    one's parsing.
    """

    def __init__(self, *, lanes: Runner) -> None:
        self._of_keys: Batcher[bytes, Holder | None] = Batcher(lanes, keys.holders, size_max=500)
        self._of_tokens: Batcher[bytes, Holder | None] = Batcher(
            lanes, tokens.holders, size_max=500
        )

    async def holder(self, key: str, *, address: str) -> Holder | None:
        """Who holds the key or token, if it is good and may be used from there; `address` is the
        caller's, empty when nobody knows it.
        """
        asked = self._of_tokens if key.startswith(TOKEN_PREFIX) else self._of_keys
        [holder] = await asked.submit([hash_of(key)])
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


def hash_of(key: str) -> bytes:
    """What is stored of a key or a token: 256 random bits need no slower hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _among(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    return any(found in network for network in networks)
