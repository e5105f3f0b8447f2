"""Where an SMSC differs from the specification: named fields, each read by one branch.

The defaults are the specification. A quirk never names an operator in code; the comment says where
it was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ppcd.smpp.body import WireQuirks


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """One link's deviations."""

    #: Of octets: longer strings, missing terminators, broken TLV streams.
    wire: WireQuirks = field(default_factory=WireQuirks)
