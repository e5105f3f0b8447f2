"""Takes turns: every library does every job again and again in one process, and is timed.

Runs in the libraries' own environment, without anything else of the benchmarks.
"""

import json
import struct
import sys
import time
from typing import Any, NamedTuple

from codec_subjects import Job, all_subjects

READ_SIZE = 65_536


class Case(NamedTuple):
    """A job's name, what it is, and how many PDUs one call has."""

    job: str
    title: str
    argument: Any
    pdus: int


def _pdu(sequence: int, body: bytes) -> bytes:
    return struct.pack(">4I", 16 + len(body), 5, 0, sequence) + body


def _body(message: bytes, tlvs: bytes = b"", *, esm: int = 0, coding: int = 8) -> bytes:
    head = b"CMT\0\1\1" + b"38097123456\0" + b"\0\1" + b"7171\0" + bytes((esm, 0, 0))
    return head + b"\0\0\0\0" + bytes((coding, 0, len(message))) + message + tlvs


def _read(body: bytes) -> tuple[bytes, int]:
    count = READ_SIZE // (16 + len(body))
    return b"".join(_pdu(sequence, body) for sequence in range(1, count + 1)), count


def cases() -> list[Case]:
    yes = "ДА".encode("utf-16-be")
    ussd = b"\5\1\0\1\2" + b"\x13\x83\0\2\0\1" + b"\2\4\0\2\0\7"
    text = (
        b"id:0123456789 sub:001 dlvrd:001 submit date:2611230915 done date:2611230916"
        b" stat:DELIVRD err:000 text:"
    )
    state = b"\0\x1e\0\x0b0123456789\0" + b"\4\x27\0\1\2" + b"\4\x23\0\3\3\0\0"
    shapes = [
        ("deliver", "deliver_sm of 55 octets", _body(yes)),
        ("deliver_tlvs", "with 3 TLVs", _body(yes, ussd)),
        ("receipt", "receipt, 3 TLVs", _body(text, state, esm=4, coding=0)),
    ]
    found = [Case(job, title, *_read(body)) for job, title, body in shapes]
    found.append(Case("submit", "submit_sm encoded", 500, 500))
    plain, tlvs, _, submit = found
    found.append(plain._replace(job="deliver_session", title="through a session"))
    found.append(plain._replace(job="deliver_objects", title="deliver_sm as objects"))
    found.append(tlvs._replace(job="deliver_tlvs_split", title="3 TLVs, split"))
    found.append(submit._replace(job="submit_at_once", title="submit_sm, without a form"))
    return found


def timed(job: Job, case: Case, seconds: float) -> float:
    """CPU microseconds a PDU, over about so many seconds."""
    rounds = 0
    begin = now = time.process_time()
    while now - begin < seconds:
        job(case.argument)
        rounds += 1
        now = time.process_time()
    return (now - begin) / rounds / case.pdus * 1e6


def measure(*, quick: bool) -> dict[str, dict[str, list[float]]]:
    """Of each case and library all turns' microseconds a PDU; libraries that can't are absent."""
    turns, seconds = (7, 0.06) if quick else (21, 0.2)
    able: list[tuple[Case, str, Job]] = []
    for case in cases():
        for subject in all_subjects():
            job = subject.jobs.get(case.job)
            if job is None:
                continue
            try:
                job(case.argument)
            except Exception as error:  # other people's, of whatever type
                sys.stderr.write(f"{subject.name} can't {case.title}: {error!r}\n")
                continue
            able.append((case, subject.name, job))
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(turns):
        for case, name, job in able:
            values = found.setdefault(case.job, {}).setdefault(name, [])
            values.append(timed(job, case, seconds))
    return found


if __name__ == "__main__":
    titles = {case.job: case.title for case in cases()}
    json.dump({"titles": titles, "turns": measure(quick="--quick" in sys.argv)}, sys.stdout)
