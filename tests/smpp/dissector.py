"""tshark as a judge of bytes: PDUs go into a capture file and come back as its fields.

Its silence proves nothing (over-long addresses, overrunning TLVs pass), so tests count the PDUs
and compare values.
"""

import json
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

TSHARK = shutil.which("tshark")
needs_tshark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")


def write_capture(path: Path, segments: Sequence[bytes]) -> None:
    """A classic pcap of raw IP: one TCP connection to port 2775, a segment for each item."""
    pieces = [struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, 101)]
    sequence = 1
    for number, data in enumerate(segments):
        tcp = struct.pack(">HHIIBBHHH", 40_000, 2775, sequence, 1, 5 << 4, 0x18, 0xFFFF, 0, 0)
        size = 20 + len(tcp) + len(data)
        addresses = bytes((127, 0, 0, 1, 127, 0, 0, 2))
        ip = struct.pack(">BBHHHBBH", 0x45, 0, size, number & 0xFFFF, 0, 64, 6, 0) + addresses
        pieces.append(struct.pack("<IIII", number, 0, size, size) + ip + tcp + data)
        sequence += len(data)
    path.write_bytes(b"".join(pieces))


def dissect(tmp_path: Path, segments: Sequence[bytes], *options: str) -> list[list[dict[str, Any]]]:
    """The smpp layers of each segment: fields by name, everything that occurs twice a list."""
    assert TSHARK is not None
    capture = tmp_path / "capture.pcap"
    write_capture(capture, segments)
    command = [TSHARK, "-r", str(capture), "-n", "-d", "tcp.port==2775,smpp", "-T", "json"]
    command += ["--no-duplicate-keys", *options]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    found = []
    for packet in json.loads(done.stdout):
        layers = packet["_source"]["layers"]
        smpp = layers.get("smpp", [])
        found.append(smpp if isinstance(smpp, list) else [smpp])
    return found


def complaints(tmp_path: Path, segments: Sequence[bytes]) -> str:
    """What tshark finds malformed or worth an expert's note, as text; empty for nothing."""
    assert TSHARK is not None
    capture = tmp_path / "capture.pcap"
    write_capture(capture, segments)
    command = [TSHARK, "-r", str(capture), "-n", "-d", "tcp.port==2775,smpp"]
    command += ["-Y", "_ws.malformed || (_ws.expert && smpp)", "-V", "-O", "smpp"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()


def value(layer: dict[str, Any], name: str) -> Any:
    """The field of that name at whatever depth; None without it."""
    for key, inner in layer.items():
        if key == name:
            return inner
        for item in inner if isinstance(inner, list) else [inner]:
            if isinstance(item, dict) and (found := value(item, name)) is not None:
                return found
    return None
