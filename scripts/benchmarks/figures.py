"""Figures: values with what they must and should reach, and how they are shown.

Owns the shape that `--json` writes and the word on whether a run is good enough.
"""

import statistics
from collections.abc import Sequence
from typing import Any


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    better: str,
    must: float | None = None,
    aim: float | None = None,
    noise: float | None = None,
) -> dict[str, Any]:
    """One figure; `noise` is half of what lies between the extremes, as a share of the value."""
    assert better in ("higher", "lower")
    found: dict[str, Any] = {"name": name, "value": _rounded(value), "unit": unit}
    found |= {"must": must, "aim": aim, "better": better}
    if noise is not None:
        found["noise"] = round(noise, 3)
    return found


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def noise(values: Sequence[float]) -> float:
    """Half the range as a share of the median."""
    centre = statistics.median(values)
    return (max(values) - min(values)) / 2 / centre if centre else 0.0


def missed(figures: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the figures that miss their must."""
    return [f["name"] for f in figures if not _reaches(f, f.get("must"))]


def judged(figures: Sequence[dict[str, Any]]) -> str:
    """A table for people."""
    lines = [f"\n{'':<44}{'value':>12} {'unit':<12}{'must':>9}{'aim':>9}"]
    for f in figures:
        if not _reaches(f, f.get("must")):
            word = "MISSES ITS MUST"
        elif f.get("aim") is not None and not _reaches(f, f["aim"]):
            word = "misses its aim"
        else:
            word = "" if f.get("must") is None and f.get("aim") is None else "ok"
        about = f" ±{f['noise'] * 100:.0f} %" if f.get("noise") is not None else ""
        lines.append(
            f"{f['name']:<44}{f['value']:>12,} {f['unit']:<12}{_text(f.get('must')):>9}"
            f"{_text(f.get('aim')):>9}  {word}{about}"
        )
    return "\n".join(lines)


def _reaches(found: dict[str, Any], limit: float | None) -> bool:
    if limit is None:
        return True
    higher: bool = found["better"] == "higher"
    return bool(found["value"] >= limit if higher else found["value"] <= limit)


def _text(limit: float | None) -> str:
    return "" if limit is None else f"{limit:,}"


def _rounded(value: float) -> float:
    return round(value) if abs(value) >= 1000 else round(value, 3 if abs(value) < 10 else 1)
