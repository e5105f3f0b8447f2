"""The links of a node: built from the configuration, grouped by route, seen in the metrics."""

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

from ppcd.config import Settings
from ppcd.config.bind import status_number
from ppcd.config.links import Link as LinkSection
from ppcd.metrics import Metrics
from ppcd.smpp import Advice, Inbound, Link, LinkGroup, status_name
from ppcd.sms.dialect import Dialect, LocalPrefix


def dialects_of(settings: Settings) -> dict[str, Dialect]:
    """Each link's ways, by its name."""
    return {name: _dialect(link) for name, link in settings.links.items()}


def _dialect(link: LinkSection) -> Dialect:
    local = link.local_prefix
    return Dialect(
        trusted=link.mo_trusted,
        default_alphabet=link.default_alphabet,
        alphabets=dict(link.alphabets),
        receipt_id_base=link.receipt_id_base,
        source_ton=link.source_ton,
        source_npi=link.source_npi,
        dest_ton=link.dest_ton,
        dest_npi=link.dest_npi,
        local_prefix=None if local is None else LocalPrefix(local.country_code, local.trunk_prefix),
        advice={status_number(key): Advice[how.upper()] for key, how in link.advice.items()},
    )


class Links:
    """All links of a node."""

    def __init__(
        self,
        settings: Settings,
        *,
        reactor: Any,
        inbound: Inbound,
        random: Random,
        wall_s: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._wall_s = wall_s
        self.all: dict[str, Link] = {}
        for name in settings.links:
            metrics.know_link(name)
            link = Link(
                settings.link_settings(name),
                reactor=reactor,
                inbound=inbound,
                random=random,
                on_state=self._changed,
            )
            self.all[name] = link
            metrics.link_window_in_use.child(name).follow(partial(_window_in_use, link))
            metrics.link_queue.child(name).follow(partial(_queued, link))
        self.groups: Mapping[str, LinkGroup] = {
            route: LinkGroup(
                [
                    self.all[name]
                    for name in section.links
                    if settings.links[name].sends and name in self.all
                ]
            )
            for route, section in settings.routes.items()
        }

    def start(self) -> None:
        for link in self.all.values():
            link.start()

    @property
    def up(self) -> int:
        """How many are bound."""
        return sum(link.bound for link in self.all.values())

    def status(self) -> list[dict[str, Any]]:
        """Each link for people."""
        return [
            {
                "name": name,
                "state": link.state.name.lower(),
                "host": f"{link.settings.host}:{link.settings.port}",
                "window_in_use": link.window_in_use,
                "window_max": link.settings.window_max,
                "received": link.counts.received,
                "binds": link.counts.binds,
                "lost": link.counts.lost,
                "refused_with": None
                if link.refused_with is None
                else status_name(link.refused_with),
            }
            for name, link in self.all.items()
        ]

    def _changed(self, link: Link) -> None:
        self._metrics.link_up.child(link.name).set(link.bound)
        if link.bound:
            stamp = self._metrics.link_last_bound_timestamp_seconds.child(link.name)
            stamp.set(self._wall_s())


def _window_in_use(link: Link) -> float:
    return link.window_in_use


def _queued(link: Link) -> float:
    return link.queued
