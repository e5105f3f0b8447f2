"""docs/metrics.md, made from the definitions, so that it cannot tell anything else."""

from __future__ import annotations

from typing import Any, Final

from ppcd.metrics.families import Family, Histogram, Label
from ppcd.metrics.registry import Metrics

__all__ = ["reference"]

HEAD: Final = """\
# Metrics

Made from the definitions by `python -m ppcd.metrics > docs/metrics.md`; do not edit.

`GET /metrics` on the operations address (`operations.listen`) answers in Prometheus' text format
0.0.4, or in OpenMetrics when `Accept` asks for it. All times are seconds. Labels come from closed
sets or from the configuration: never a subscriber's number, a reference or an id. Every series
whose labels are known at start begins at 0, so that the first event of a kind is already a rise. A
family never has more than 300 series; what comes after is counted under `other`. A scrape never
waits for the database: what is counted there (`ppcd_jobs`, say) is refreshed on a timer.

| metric | type | labels | what it says |
| --- | --- | --- | --- |
"""

TAIL: Final = """
Beside these come the process's own (`process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_open_fds`, `process_max_fds`, `process_start_time_seconds`, `process_virtual_memory_bytes`)
and Python's garbage collector (`python_gc_objects_collected_total`,
`python_gc_objects_uncollectable_total`, `python_gc_collections_total`).

## Buckets

Upper bounds of the histograms, in seconds where the name says so.

| metric | bounds |
| --- | --- |
"""


def reference() -> str:
    """The whole page."""
    metrics = Metrics()
    info = metrics.build_info
    rows = [_row(info.name, "info", ", ".join(f"`{key}`" for key in info.values), info.help)]
    rows += [
        _row(family.name, family.kind, _labels(family), family.help)
        for family in sorted(metrics.families, key=lambda family: family.name)
    ]
    bounds = [
        f"| `{family.name}` | {', '.join(f'{bound:g}' for bound in family.bounds)} |\n"
        for family in sorted(metrics.families, key=lambda family: family.name)
        if isinstance(family, Histogram)
    ]
    return HEAD + "".join(rows) + TAIL + "".join(bounds)


def _row(name: str, kind: str, labels: str, text: str) -> str:
    return f"| `{name}` | {kind} | {labels} | {text} |\n"


def _labels(family: Family[Any]) -> str:
    return "; ".join(map(_label, family.labels))


def _label(label: Label) -> str:
    if label.values is None:
        return f"`{label.name}`: {label.means}"
    return f"`{label.name}`: {', '.join(label.values)}"
