"""Partners that ask many in vain are slowed: their subscribers did not ask to be asked.

Owns who is slowed now, by what the subscribers answered; looked at again and again, on each node by
itself, from what is on record for all. Refuses to know how their charges are held back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger

from ppcd.metrics import Metrics
from ppcd.store import pumping
from ppcd.store.lanes import Runner
from ppcd.store.pumping import Asked, Slow

log = Logger(namespace="ppcd.flow.pumping")


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpingRules:
    """When a partner is slowed, and to what. A floor of 0: nobody is."""

    agreed_min: float
    window_s: float
    #: With fewer charges than this nothing is known of a partner.
    asked_min: int
    per_minute: int


class Pumping:
    """Who is slowed."""

    def __init__(
        self,
        *,
        lanes: Runner,
        rules: Callable[[], PumpingRules],
        metrics: Metrics,
        apply: Callable[[Slow], None],
    ) -> None:
        """`apply` is told of all that are slowed whenever that changes."""
        self._lanes = lanes
        self._rules = rules
        self._metrics = metrics
        self._apply = apply
        self._slowed: dict[int, Asked] = {}

    async def look(self) -> None:
        """See who is to be slowed now, and who no longer."""
        rules = self._rules()
        found: dict[int, Asked] = {}
        if rules.agreed_min > 0:
            asked = await self._lanes.run(
                pumping.asked_of_late, window_s=rules.window_s, asked_min=rules.asked_min
            )
            found = {a.partner_id: a for a in asked if a.agreed < rules.agreed_min * a.asked}
        for partner_id, each in found.items():
            if partner_id not in self._slowed:
                log.warn(
                    "{partner} is slowed to {per_minute} charges a minute: {agreed} of {asked} "
                    "asked subscribers said yes",
                    partner=each.name,
                    per_minute=rules.per_minute,
                    agreed=each.agreed,
                    asked=each.asked,
                )
        for partner_id, each in self._slowed.items():
            if partner_id not in found:
                log.info("{partner} is no longer slowed", partner=each.name)
        self._slowed = found
        self._metrics.partners_slowed.child().set(len(found))
        self._apply({partner_id: rules.per_minute for partner_id in found})

    def status(self) -> list[dict[str, Any]]:
        """Who is slowed, for people."""
        rules = self._rules()
        return [
            {
                "partner": each.name,
                "asked": each.asked,
                "agreed": each.agreed,
                "per_minute": rules.per_minute,
            }
            for each in self._slowed.values()
        ]
