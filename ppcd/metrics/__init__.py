"""What the NOC sees: counted in plain integers, exported when scraped.

Owns names, labels and meaning of every metric. Refuses to know who counts, how the numbers are
served, and any value that grows with customers (numbers, references, ids).
"""

from ppcd.metrics.cells import Cell, GaugeCell, HistogramCell
from ppcd.metrics.families import Counter, Gauge, Histogram, Info, Label
from ppcd.metrics.registry import Metrics

__all__ = [
    "Cell",
    "Counter",
    "Gauge",
    "GaugeCell",
    "Histogram",
    "HistogramCell",
    "Info",
    "Label",
    "Metrics",
]
