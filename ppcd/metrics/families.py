"""Metric families: a name, what it means, its labels, and the cells under it.

A label is closed (its values are known here, and every series starts at 0) or open (its values
come from the configuration: links, adapters, HTTP routes). A family never grows past
`CHILDREN_MAX` series: what comes after is counted under `other`, so that a mistake costs detail
and not the scraper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final, Generic, TypeVar

from ppcd.metrics.cells import Cell, GaugeCell, HistogramCell

__all__ = ["CHILDREN_MAX", "Counter", "Family", "Gauge", "Histogram", "Info", "Label"]

#: An exposition of 8,000 lines was measured to hold the interpreter for 156 ms.
CHILDREN_MAX: Final = 300
OTHER: Final = "other"

C = TypeVar("C", Cell, GaugeCell, HistogramCell)


@dataclass(frozen=True, slots=True)
class Label:
    """One label; `values` is its closed set, None where the configuration decides."""

    name: str
    values: tuple[str, ...] | None = None
    #: What an open label's values are, for the reference.
    means: str = ""


class Family(Generic[C]):
    """The series of one metric. `name` is complete: with prefix, unit and `_total`."""

    kind: ClassVar[str]

    def __init__(self, name: str, help_text: str, labels: Sequence[Label] = ()) -> None:
        self.name = name
        self.help = help_text
        self.labels = tuple(labels)
        self._children: dict[tuple[str, ...], C] = {}
        if all(label.values is not None for label in self.labels):
            self.prepare()

    def child(self, *values: str) -> C:
        """The cell of these label values, in the labels' order. Bind it once, not per event."""
        if cell := self._children.get(values):
            return cell
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has {len(self.labels)} labels, got {len(values)} values")
        for label, value in zip(self.labels, values, strict=True):
            if label.values is not None and value not in label.values:
                raise ValueError(f"{self.name}: {value!r} is no value of label {label.name}")
        if len(self._children) >= CHILDREN_MAX:
            values = tuple(OTHER if label.values is None else value
                           for label, value in zip(self.labels, values, strict=True))  # fmt: skip
        return self._children.setdefault(values, self._new_cell())

    def prepare(self, **known: str) -> None:
        """Start at 0 every series that the closed labels and these values of open ones span."""
        axes = [
            label.values if label.values is not None else (known[label.name],)
            for label in self.labels
        ]
        for values in product(*axes):
            self.child(*values)

    def series(self) -> list[tuple[tuple[str, ...], C]]:
        return list(self._children.items())

    def _new_cell(self) -> C:
        raise NotImplementedError


class Counter(Family[Cell]):
    """Counts events; exported with `_total`."""

    kind = "counter"

    def add(self, n: int = 1) -> None:
        """For a counter without labels."""
        self.child().add(n)

    def _new_cell(self) -> Cell:
        return Cell()


class Gauge(Family[GaugeCell]):
    """How much there is now."""

    kind = "gauge"

    def set(self, value: float) -> None:
        """For a gauge without labels."""
        self.child().set(value)

    def _new_cell(self) -> GaugeCell:
        return GaugeCell()


class Histogram(Family[HistogramCell]):
    """How long or how many, in buckets."""

    kind = "histogram"

    def __init__(
        self, name: str, help_text: str, labels: Sequence[Label] = (), *, bounds: Sequence[float]
    ) -> None:
        self.bounds = tuple(bounds)
        if list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"{name}: bucket bounds must rise")
        super().__init__(name, help_text, labels)

    def observe(self, x: float, n: int = 1) -> None:
        """For a histogram without labels."""
        self.child().observe(x, n)

    def _new_cell(self) -> HistogramCell:
        return HistogramCell(self.bounds)


class Info:
    """Constant facts as labels of a series that is always 1."""

    kind: ClassVar[str] = "info"

    def __init__(self, name: str, help_text: str, values: Mapping[str, str]) -> None:
        self.name = name
        self.help = help_text
        self.values = dict(values)
