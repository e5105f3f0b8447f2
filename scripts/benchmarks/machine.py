"""What a process costs and what the machine is like: CPU in nanoseconds, memory, flushes.

Reads /proc only. CPU comes from schedstat of every thread, because ticks of 10 ms are too coarse;
children that ended are counted as their parent was told.
"""

import os
import platform
import statistics
import threading
import time
from collections.abc import Iterable
from pathlib import Path

#: Of the file that is flushed to see what the disk takes.
PROBE_SIZE = 16 << 20
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of CPU that these processes have used, with their threads and ended children."""
    return sum(_threads_s(pid) + _ended_children_s(pid) for pid in pids)


def main_thread_s(pid: int) -> float:
    """Seconds of CPU of a process's first thread."""
    return _thread_s(Path(f"/proc/{pid}/task/{pid}"))


def children(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for task in _list(Path(f"/proc/{pid}/task")):
        try:
            text = (task / "children").read_text()
        except OSError:
            continue
        for child in text.split():
            found += children(int(child))
    return found


def memory_mib(pid: int) -> float:
    """Resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def stolen_s() -> float:
    """Seconds of its processors that a virtual machine did not get so far, all of them together."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(words[8]) * TICK_S


def flush_ms(directory: Path) -> float:
    """Median time of an fdatasync of 8 KiB in a preallocated file: machines have moods."""
    path = directory / "flush-probe"
    times = []
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.posix_fallocate(handle, 0, PROBE_SIZE)
        os.fsync(handle)
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            times.append(_flush_ms(handle, 8192, len(times)))
    finally:
        os.close(handle)
        path.unlink()
    return statistics.median(times)


def _flush_ms(handle: int, octets: int, number: int) -> float:
    """The time of the `number`th write of so many octets, which goes round in the file."""
    places = PROBE_SIZE // octets
    started = time.monotonic()
    os.pwrite(handle, b"x" * octets, number % places * octets)
    os.fdatasync(handle)
    return (time.monotonic() - started) * 1000


class Flushes:
    """While entered: a flush of 24 KiB every 50 ms beside what is measured, in a file of its own.

    What a disk takes for this, no commit on it can do better: where its slowest take hundreds of
    milliseconds, a tail says nothing about the program.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "flushes-probe"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._flush, daemon=True)
        #: Milliseconds, in the order of their happening.
        self.took_ms: list[float] = []

    def __enter__(self) -> "Flushes":
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT)
        os.pwrite(self._handle, bytes(PROBE_SIZE), 0)
        os.fsync(self._handle)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._handle)
        self._path.unlink()

    def _flush(self) -> None:
        while not self._over.wait(0.05):
            self.took_ms.append(_flush_ms(self._handle, 24_576, len(self.took_ms)))

    def p99_ms(self) -> float:
        """What one in a hundred took longer than."""
        ordered = sorted(self.took_ms)
        return ordered[int(len(ordered) * 0.99)]


def description() -> str:
    """One line about this machine and how busy it is."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} × {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {load}"
    )


def _threads_s(pid: int) -> float:
    return sum(map(_thread_s, _list(Path(f"/proc/{pid}/task"))))


def _thread_s(task: Path) -> float:
    try:
        return int((task / "schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _ended_children_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) * TICK_S


def _list(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
