"""Keys exchanged for access tokens, and back to nothing: OAuth's client credentials without OAuth.

A partner is the client, any of its keys the secret. Refuses to know the wire and its errors.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ppcd.flow.keys import TOKEN_PREFIX, Keys, hash_of
from ppcd.store import tokens
from ppcd.store.keys import Holder
from ppcd.store.lanes import Runner


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, shown this once. `scopes` None: all that there are."""

    token: str
    scopes: frozenset[str] | None
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The key has not all of the scopes that were asked for."""


def new_token() -> str:
    """A new token: 256 random bits behind a prefix that secret scanners can know."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


class Tokens:
    """Issues and revokes access tokens."""

    def __init__(
        self, *, lanes: Runner, lifetime_s: int, make: Callable[[], str] = new_token
    ) -> None:
        self._lanes = lanes
        self._lifetime_s = lifetime_s
        self._make = make
        self._keys = Keys(lanes=lanes)

    async def client(self, name: str, secret: str, *, address: str) -> Holder | None:
        """The key that the secret is, if it is good there and the partner's of that name."""
        if secret.startswith(TOKEN_PREFIX):
            return None  # else a token could live for ever by its offspring
        holder = await self._keys.holder(secret, address=address)
        return holder if holder is not None and holder.name == name else None

    async def issue(self, client: Holder, wanted: frozenset[str] | None) -> Issued | NotAllowed:
        """A token for all that the key may do, or for the part of it that is wanted."""
        own = None if client.scopes is None else frozenset(client.scopes)
        if wanted is not None and own is not None and not wanted <= own:
            return NotAllowed()
        assert client.key_id is not None  # `client` has looked for a key
        token = self._make()
        await self._lanes.run(
            tokens.issue,
            token_hash=hash_of(token),
            key_id=client.key_id,
            scopes=None if wanted is None else sorted(wanted),
            lifetime_s=self._lifetime_s,
        )
        return Issued(token, own if wanted is None else wanted, self._lifetime_s)

    async def revoke(self, client: Holder, token: str) -> None:
        """End a token, if it is the client's partner's."""
        await self._lanes.run(
            tokens.revoke, token_hash=hash_of(token), partner_id=client.partner_id
        )
