"""Requests that came in one read and are answered together: what a flood is made of.

Keeps deliver_sm in the decoder's columns until somebody wants PDUs, and packs all answers into
one piece. Knows no session.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from ppcd.smpp.command import RESPONSE_BIT
from ppcd.smpp.decode import DeliverRows
from ppcd.smpp.pdu import Pdu, pack_header

#: deliver_sm_resp and data_sm_resp without an id: header and one NUL, whatever the status.
_ANSWER_SIZE: Final = 17


class Batch:
    """deliver_sm, data_sm (and, at an SMSC, submit_sm and its kin) in wire order."""

    __slots__ = ("_pdus", "count", "runs")

    def __init__(self) -> None:
        #: As decoded: a PDU, or many deliver_sm in columns.
        self.runs: list[Pdu | DeliverRows] = []
        self.count = 0
        self._pdus: list[Pdu] | None = None

    def add(self, run: Pdu | DeliverRows) -> None:
        self.runs.append(run)
        self.count += 1 if isinstance(run, Pdu) else len(run)

    @property
    def pdus(self) -> list[Pdu]:
        """All of them, one by one."""
        if self._pdus is None:
            pdus: list[Pdu] = []
            for run in self.runs:
                if isinstance(run, Pdu):
                    pdus.append(run)
                else:
                    pdus.extend(run.pdus())
            self._pdus = pdus
        return self._pdus

    def answers(self, statuses: Sequence[int], at: Sequence[int] | None = None) -> bytes:
        """The octets that answer all of them, or those at these ascending positions.

        Each has its status.
        """
        at = range(self.count) if at is None else at
        assert len(statuses) == len(at), "one status a PDU"
        pieces: list[bytes] = []
        start = low = 0
        for run in self.runs:
            end = start + (1 if isinstance(run, Pdu) else len(run))
            high = bisect_left(at, end, low)
            if isinstance(run, Pdu) and high > low:
                command = run.command | RESPONSE_BIT
                header = pack_header(_ANSWER_SIZE, command, statuses[low], run.sequence)
                pieces.append(header + b"\0")
            elif isinstance(run, DeliverRows) and high - low == end - start:
                pieces.append(run.answers(statuses[low:high]))
            elif isinstance(run, DeliverRows):
                pieces.append(run.answers(statuses[low:high], [n - start for n in at[low:high]]))
            start, low = end, high
        return b"".join(pieces)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Pdu]:
        return iter(self.pdus)
