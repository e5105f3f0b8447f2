"""Timers run on, whatever the wall clock does."""

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from ppcd.ops.clock import use_monotonic_time
from tests.ops.debian import unpacked

#: Counts ticks of 0.1 s for 2 s of real time; after 1 s the wall clock is stepped.
PROGRAM = """
import sys, time
from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from ppcd.ops.clock import use_monotonic_time
if sys.argv[3] == "monotonic":
    use_monotonic_time(reactor)
ticks = []
before = time.time()
LoopingCall(lambda: ticks.append(time.time())).start(0.1)
def step():
    with open(sys.argv[1], "w") as file:
        file.write(sys.argv[2])
# The test's own timers must not be what is tested: they run in a thread.
import threading
threading.Timer(1, step).start()
threading.Timer(2, lambda: reactor.callFromThread(reactor.stop)).start()
reactor.run()
print(len(ticks), round((time.time() - before) / 3600))
"""


def test_the_reactor_counts_monotonic_time():
    reactor = Clock()
    use_monotonic_time(reactor)
    assert abs(reactor.seconds() - time.monotonic()) < 1


def test_it_must_come_before_the_first_timer():
    reactor = Clock()
    reactor.callLater(1, print)
    with pytest.raises(AssertionError, match="wall clock already"):
        use_monotonic_time(reactor)


@pytest.fixture(scope="session")
def libfaketime() -> str:
    installed = Path("/usr/lib", sysconfig.get_config_var("MULTIARCH") or "", "faketime")
    library = installed / "libfaketime.so.1"
    if library.exists():
        return str(library)
    return str(unpacked("libfaketime", "usr/lib/*/faketime/libfaketime.so.1"))


def ticks(library: str, directory: Path, step: str, clock: str) -> tuple[int, int]:
    """How many ticks there were, and by how many hours the program saw its clock go."""
    offset = directory / "offset"
    offset.write_text("+0")
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(offset), step, clock],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    count, hours = ran.stdout.split()
    return int(count), int(hours)


@pytest.mark.peer
@pytest.mark.parametrize(("step", "hours"), [("-3600", -1), ("+3600", 1)])
def test_a_stepped_clock_stops_no_timer(libfaketime, tmp_path, step, hours):
    count, seen = ticks(libfaketime, tmp_path, step, "monotonic")
    assert seen == hours  # the step did happen
    assert 15 <= count <= 30  # 20, and what a busy machine adds


@pytest.mark.peer
def test_without_it_a_clock_set_back_stops_every_timer(libfaketime, tmp_path):
    """What the cure is for: when Twisted mends this, the cure can go."""
    count, _ = ticks(libfaketime, tmp_path, "-3600", "stock")
    assert count <= 13
