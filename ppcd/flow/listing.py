"""The step that lists a partner's charges, a page at a time.

Owns how much one request may look at. Refuses to know the partners' words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ppcd.flow.request import Partner
from ppcd.flow.view import ChargeView, view_of
from ppcd.store import charges, listing
from ppcd.store.lanes import Runner
from ppcd.store.listing import Criteria, Standing

__all__ = ["LOOKED_AT_MAX", "Criteria", "Listings", "Page", "Standing", "TooMany"]

#: A list is made of so many charges at most; who has more names a shorter time.
LOOKED_AT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the charges that fit, and how many there are in all."""

    charges: Sequence[ChargeView]
    total: int


@dataclass(frozen=True, slots=True)
class TooMany:
    """More were created in that time than a list may look at."""


class Listings:
    """What partners can read of all their charges."""

    def __init__(self, *, lanes: Runner) -> None:
        self._lanes = lanes

    async def find(
        self, partner: Partner, criteria: Criteria, *, offset: int, limit: int, newest_first: bool
    ) -> Page | TooMany:
        """The charges that fit, from `offset` (0 is the first) on."""
        ids = await self._lanes.run(
            listing.find,
            partner_id=partner.partner_id,
            criteria=criteria,
            looked_at_max=LOOKED_AT_MAX,
        )
        if ids is None:
            return TooMany()
        ordered = list(reversed(ids)) if newest_first else list(ids)
        wanted = ordered[offset : offset + limit]
        rows = await self._lanes.run(charges.get, wanted) if wanted else []
        # Retention may have dropped one since.
        return Page([view_of(row) for row in rows if row is not None], len(ordered))
