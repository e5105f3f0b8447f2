"""From cells to what a scraper reads: one collector, run at scrape time, in the format asked for.

The families are exported by `prometheus_client`, which knows both formats and their escaping. It
sees the numbers only while a scrape lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.registry import Collector

from ppcd.metrics.families import Counter, Family, Histogram, Info

__all__ = ["Exposition"]

ACCEPT_LENGTH_MAX: Final = 1024


class Exposition(Collector):
    """Reads all families when asked."""

    def __init__(self, families: Sequence[Family[Any]], build_info: Info) -> None:
        self._families = families
        self._build_info = build_info
        self._registry = CollectorRegistry()
        self._registry.register(self)
        # Both bring what every Prometheus client has: process_cpu_seconds_total, process_open_fds,
        # python_gc_collections_total and their kin.
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def expose(self, accept: str) -> tuple[str, bytes]:
        encode: Callable[[Any], bytes]
        try:
            encode, content_type = choose_encoder(accept[:ACCEPT_LENGTH_MAX])
        except (TypeError, ValueError):
            # A version that is no number: the library compares it with numbers all the same. A
            # scraper is better served with the oldest format than refused.
            encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
        return content_type, encode(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(
            self._build_info.name.removesuffix("_info"),
            self._build_info.help,
            value=self._build_info.values,
        )
        for family in self._families:
            yield _exported(family)

    def describe(self) -> list[Metric]:
        """Nothing: names are unique by construction, and no scrape is wanted at registration."""
        return []


def _exported(family: Family[Any]) -> Metric:
    """The family as the library's own value."""
    names = [label.name for label in family.labels]
    name = family.name.removesuffix("_total")
    unit = "seconds" if name.endswith("_seconds") else ""
    if isinstance(family, Histogram):
        histogram = HistogramMetricFamily(name, family.help, labels=names, unit=unit)
        for values, cell in family.series():
            histogram.add_metric(list(values), cell.cumulative(), cell.sum)
        return histogram
    simple: CounterMetricFamily | GaugeMetricFamily
    if isinstance(family, Counter):
        simple = CounterMetricFamily(name, family.help, labels=names, unit=unit)
    else:
        simple = GaugeMetricFamily(name, family.help, labels=names, unit=unit)
    for values, cell in family.series():
        simple.add_metric(list(values), cell.value)
    return simple
