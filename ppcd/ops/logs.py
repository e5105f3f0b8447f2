"""The log: one JSON object a line on standard output, or plain text on a terminal.

Owns format, levels, the limit on repeats, and masking as the last net. A log that cannot be
written must never stop or slow the service: lines go through a bounded queue to a thread, and are
counted when dropped.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from string import Formatter
from typing import Any, Final, Literal

from twisted.logger import (
    ILogObserver,
    Logger,
    LogLevel,
    formatEvent,
    globalLogBeginner,
)
from zope.interface import implementer

from ppcd.metrics import Metrics
from ppcd.ops.masking import mask_field, mask_text

__all__ = ["LogObserver", "QueuedWriter", "Repeats", "begin"]

QUEUE_MAX: Final = 10_000
#: Lines written in one piece, and the pause after it.
LINES_AT_ONCE: Final = 1000
PAUSE_S: Final = 0.02
TRACEBACK_LENGTH_MAX: Final = 8000
SEVERITY: Final = {"debug": 0, "info": 1, "warn": 2, "error": 3, "critical": 4}
#: Twisted's own chatter (factories that start and stop) is worth a line only when it warns.
QUIET: Final[Mapping[str, str]] = {"twisted": "warn", "log_legacy": "warn"}
#: A list of what happened has every line, however alike: who wants fewer sets its level.
WHOLE: Final = frozenset({"ppcd.access"})
#: Values whose masked form stands for them in the message too.
PLAIN: Final = (str, int, Mapping, list, tuple, set, frozenset)
#: What Twisted adds to events for its older log; none of it is a field of ours.
LEGACY: Final = frozenset(
    {"failure", "format", "isError", "message", "system", "time", "why", "printed"}
)


@dataclass(slots=True)
class _Seen:
    since: float
    count: int = 0


class Repeats:
    """Lets a message through `burst` times in `window_s`, and counts the rest."""

    def __init__(
        self,
        now: Callable[[], float],
        *,
        burst: int = 50,
        window_s: float = 10,
        keys_max: int = 500,
    ) -> None:
        self._now = now
        self._burst = burst
        self._window_s = window_s
        self._keys_max = keys_max
        self._seen: dict[tuple[str, str], _Seen] = {}

    def admit(self, key: tuple[str, str]) -> bool:
        """Whether this event may be written."""
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= self._keys_max:
                return True
            seen = self._seen[key] = _Seen(self._now())
        seen.count += 1
        return seen.count <= self._burst

    def ended(self) -> list[tuple[tuple[str, str], int]]:
        """Windows that are over, with how many of their events were not written."""
        if not self._seen:
            return []
        since = self._now() - self._window_s
        over = [key for key, seen in self._seen.items() if seen.since <= since]
        gone = [(key, self._seen.pop(key).count - self._burst) for key in over]
        return [(key, count) for key, count in gone if count > 0]


class QueuedWriter:
    """Writes lines from a thread of its own; a full queue or a failing file drops them."""

    def __init__(self, write: Callable[[bytes], object], *, lines_max: int = QUEUE_MAX) -> None:
        self._write = write
        self._lines: queue.Queue[bytes | None] = queue.Queue(lines_max)
        self.dropped = 0
        self._closing = threading.Event()
        # A daemon: a reader that never reads must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def __call__(self, line: bytes) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_s: float = 1) -> None:
        """Write what is queued, for at most so long."""
        self._closing.set()
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            lines = [line]
            while len(lines) < LINES_AT_ONCE and not self._lines.empty():
                following = self._lines.get()
                if following is None:
                    self._put(lines)
                    return
                lines.append(following)
            self._put(lines)
            # Under load each line would wake this thread, and each time it takes the interpreter
            # from the reactor: a moment later there are more of them.
            self._closing.wait(PAUSE_S)

    def _put(self, lines: list[bytes]) -> None:
        try:
            self._write(b"".join(lines))
        except (OSError, ValueError):
            # Closed, or the disk is full: nowhere is left to say so but the metric.
            self.dropped += len(lines)


@implementer(ILogObserver)
class LogObserver:
    """Formats, masks and limits the events of one process."""

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        now: Callable[[], float],
        style: Literal["json", "text"] = "json",
        repeats: Repeats | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._write = write
        self._format = _as_json if style == "json" else _as_text
        self._repeats = repeats or Repeats(now)
        self._metrics = metrics
        self._dropped_told = 0
        self._levels: dict[str, int] = {}
        self._severity_cache: dict[str, int] = {}
        # Lanes log from their threads.
        self._lock = threading.Lock()
        self.set_levels("info", {})

    def set_levels(self, level: str, namespaces: Mapping[str, str]) -> None:
        """The least severe level written, and others for parts of the program."""
        levels = {"": level, **QUIET, **namespaces}
        self._levels = {name: SEVERITY[value] for name, value in levels.items()}
        self._severity_cache = {}

    def count_into(self, metrics: Metrics) -> None:
        """The log begins before the metrics exist."""
        self._metrics = metrics

    def __call__(self, event: Mapping[str, Any]) -> None:
        level = event.get("log_level") or LogLevel.info
        namespace = str(event.get("log_namespace") or "-")
        if SEVERITY[level.name] < self._severity(namespace):
            return
        with self._lock:
            for (where, text), count in self._repeats.ended():
                self._emit(_summary(event, where, text, count))
            whole = namespace in WHOLE
            if whole or self._repeats.admit((namespace, str(event.get("log_format")))):
                self._emit(_record(event, level.name, namespace))
                if self._metrics is not None:
                    self._metrics.log_events.child(level.name).add()
            elif self._metrics is not None:
                self._metrics.log_events_dropped.add()
            self._tell_dropped()

    def _emit(self, record: dict[str, Any]) -> None:
        self._write(self._format(record).encode(errors="backslashreplace") + b"\n")

    def _tell_dropped(self) -> None:
        dropped = getattr(self._write, "dropped", 0)
        if dropped != self._dropped_told and self._metrics is not None:
            self._metrics.log_events_dropped.add(dropped - self._dropped_told)
            self._dropped_told = dropped

    def _severity(self, namespace: str) -> int:
        """By the longest part of the namespace that has a level."""
        found = self._severity_cache.get(namespace)
        if found is None:
            part = namespace
            while part not in self._levels:
                part = part.rpartition(".")[0]
            if len(self._severity_cache) < 1000:
                self._severity_cache[namespace] = self._levels[part]
            return self._levels[part]
        return found


def _record(event: Mapping[str, Any], level: str, namespace: str) -> dict[str, Any]:
    fields = {
        key: mask_field(key, value)
        for key, value in event.items()
        if not key.startswith("log_") and key not in LEGACY
    }
    # The message is made from the masked values, so that it cannot show what the fields hide.
    # Objects stay, since a format may name their attributes; they print themselves masked.
    plain = {key: value for key, value in fields.items() if isinstance(event[key], PLAIN)}
    message = _message({**event, **plain})
    record: dict[str, Any] = {
        "time": _time(event),
        "level": level,
        "namespace": namespace,
        "message": message,
    }
    record |= {key: value for key, value in fields.items() if key not in record}
    failure = event.get("log_failure")
    if failure is not None:
        text = mask_text(failure.getTraceback())
        record["traceback"] = text[-TRACEBACK_LENGTH_MAX:]
    return record


def _message(event: Mapping[str, Any]) -> str:
    """The event as a sentence. The library takes the format apart each time, which takes longer
    than all else that is done with a line; a plain one needs no more than Python's own formatting.
    """
    text = event.get("log_format")
    if isinstance(text, str) and _is_plain(text):
        try:
            return text.format_map(event)
        except (KeyError, ValueError):
            pass  # the library says what is wrong with it
    return formatEvent(dict(event))


@lru_cache(maxsize=1024)  # formats are constants
def _is_plain(text: str) -> bool:
    """Whether it has only names in its braces: no attributes, calls or conversions."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return False
    return all(
        name is None or (name.isidentifier() and not spec and not conversion)
        for _, name, spec, conversion in parts
    )


def _summary(event: Mapping[str, Any], namespace: str, text: str, count: int) -> dict[str, Any]:
    return {
        "time": _time(event),
        "level": "warn",
        "namespace": namespace,
        "message": "repeated, not written",
        "format": text,
        "count": count,
    }


def _time(event: Mapping[str, Any]) -> str:
    moment = datetime.fromtimestamp(event.get("log_time", 0), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_as_json = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _as_text(record: dict[str, Any]) -> str:
    """For people: time of day, level, where, what, and the fields that the sentence left out."""
    known = {"time", "level", "namespace", "message", "traceback"}
    rest = " ".join(
        f"{key}={value}"
        for key, value in record.items()
        if key not in known and str(value) not in record["message"]
    )
    clock = record["time"][11:23]
    line = f"{clock} {record['level']:<8} {record['namespace']:<20} {record['message']}  {rest}"
    return "\n".join([line.rstrip(), *record.get("traceback", "").splitlines()])


class _Standard(logging.Handler):
    """Hands what libraries log the standard way to our log."""

    def __init__(self, log: Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = LogLevel.error if record.levelno >= logging.ERROR else LogLevel.warn
        self._log.emit(level, "{library}: {said}", library=record.name, said=record.getMessage())


def begin(
    *,
    now: Callable[[], float],
    style: Literal["auto", "json", "text"] = "auto",
    level: str = "info",
    namespaces: Mapping[str, str] | None = None,
) -> tuple[LogObserver, QueuedWriter]:
    """Send the process's log to standard output; called once, by the program, before all else."""
    stream = sys.stdout.buffer
    if style == "auto":
        style = "text" if sys.stdout.isatty() else "json"

    def write(line: bytes) -> None:
        stream.write(line)
        stream.flush()

    writer = QueuedWriter(write)
    observer = LogObserver(writer, now=now, style=style)
    observer.set_levels(level, namespaces or {})
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    logging.basicConfig(
        handlers=[_Standard(Logger(namespace="standard"))], level=logging.WARNING, force=True
    )
    return observer, writer
