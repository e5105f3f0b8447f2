"""`ppcd run` that counts what it is at whenever it is told to look: a signal, a sample.

Only the reactor's thread is looked at, for that is where a node's Python runs; lanes are counted by
the kernel. Who samples sends SIGPROF, and finds the counts beside the configuration at the end.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Final

import ppcd
from ppcd.cli.main import main

EVERY_S: Final = 0.005
IDLE: Final = "waiting"
#: The innermost frame from one of these says the stage; what two stages share stands by itself.
_ROOMS: Final = {
    "create": ("flow/request", "store/creation", "partner/", "http/server", "http/exchange"),
    "prompt": ("flow/prompt", "sms/carrier", "charge/texts", "store/prompts"),
    "reply": ("flow/reply", "sms/inbound", "store/replies"),
    "debit": ("flow/debit", "flow/asking", "flow/weighing", "billing/", "store/debits"),
    "webhook": ("flow/notify", "webhook/", "store/notifications"),
    "HTTP client": ("http/client", "http/connection"),
    "SMPP": ("smpp/",),
    "batches and lanes": ("store/batcher", "store/lanes"),
    "job queues": ("worker/", "service/work", "service/queues"),
}
_REST: Final = "reactor and the rest"
_ROOT: Final = str(Path(ppcd.__file__).parent) + os.sep
_stages: dict[str, str | None] = {}
_seen: Counter[str] = Counter()


def stage_of(frame: FrameType | None) -> str:
    """What the thread is at."""
    if frame is not None and frame.f_code.co_name == "doPoll":
        return IDLE
    while frame is not None:
        name = frame.f_code.co_filename
        if name not in _stages:
            _stages[name] = _stage_of_file(name)
        stage = _stages[name]
        if stage is not None:
            return stage
        frame = frame.f_back
    return _REST


def _stage_of_file(name: str) -> str | None:
    inside = name.removeprefix(_ROOT)
    return next((stage for stage, rooms in _ROOMS.items() if inside.startswith(rooms)), None)


def counts_of(config: Path) -> Path:
    """Where the counts are once the node has ended."""
    return config.with_suffix(".stages")


def shares(configs: Iterable[Path]) -> dict[str, float]:
    """Each stage's share of the threads' work, the largest first; of nodes that have ended."""
    counts: Counter[str] = Counter()
    for config in configs:
        counts.update(json.loads(counts_of(config).read_text()))
    del counts[IDLE]
    return {stage: count / counts.total() for stage, count in counts.most_common()}


def sample(pids: Iterable[int], lasting: Iterable[None]) -> None:
    """Have the nodes look at themselves again and again, for as long as there is a next turn."""
    for _ in lasting:
        for pid in pids:
            os.kill(pid, signal.SIGPROF)
        time.sleep(EVERY_S)


def _look(_: int, frame: FrameType | None) -> None:
    _seen[stage_of(frame)] += 1


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, _look)
    try:
        sys.exit(main())
    finally:
        counts_of(Path(sys.argv[sys.argv.index("--config") + 1])).write_text(json.dumps(_seen))
