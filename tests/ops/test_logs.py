"""Logs tell what happened, mask whom they must, and never break the service."""

import io
import json
import logging
import subprocess
import sys
import threading

import pytest
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from ppcd.charge.msisdn import Msisdn
from ppcd.metrics import Metrics
from ppcd.ops.logs import LogObserver, QueuedWriter, Repeats, _Standard
from ppcd.ops.masking import mask_field, mask_text

NUMBER = "380971234567"


class Log:
    """An observer with a clock to turn, and what it wrote."""

    def __init__(self, style: str = "json", **options) -> None:
        self.now = 0.0
        self.lines: list[bytes] = []
        self.metrics = Metrics()
        self.observer = LogObserver(
            self.lines.append, now=lambda: self.now, style=style, metrics=self.metrics, **options
        )
        self.log = Logger(namespace="ppcd.smpp.link", observer=self.observer)

    @property
    def records(self) -> list[dict]:
        return [json.loads(line) for line in self.lines]


def test_an_event_is_one_line_of_json():
    it = Log()
    it.log.info("link {link} is {state}", link="main", state="bound", attempts=3)
    (record,) = it.records
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "namespace": "ppcd.smpp.link",
        "message": "link main is bound",
        "link": "main",
        "state": "bound",
        "attempts": 3,
    }
    assert it.lines[0].endswith(b"}\n")
    assert it.lines[0].count(b"\n") == 1


def test_formats_that_are_more_than_names_are_the_librarys():
    it = Log()
    it.log.info("{peer.host}: {count!r} of {all_of()}", peer=Peer, count="a", all_of=lambda: "b")
    it.log.info("{missing} is missing")
    it.log.info("half a {brace", brace=1)
    said = [record["message"] for record in it.records]
    assert said[0] == "192.0.2.1: 'a' of b"
    assert "missing" in said[1]
    assert "brace" in said[2]


class Peer:
    host = "192.0.2.1"


def test_a_line_break_in_a_field_makes_no_second_line():
    it = Log()
    it.log.info("said {what}", what="a\nb")
    assert len(it.lines[0].splitlines()) == 1


def test_a_field_cannot_pose_as_time_or_level():
    it = Log()
    it.log.info("x", time="never", namespace="other", message="y")
    (record,) = it.records
    assert (record["message"], record["namespace"]) == ("x", "ppcd.smpp.link")
    assert record["time"] != "never"


@pytest.mark.parametrize(
    "fields",
    [
        {"msisdn": Msisdn.from_digits(NUMBER)},
        {"msisdn": NUMBER},
        {"msisdn": int(NUMBER)},
        {"phone": "+" + NUMBER},
        {"source_addr": NUMBER},
        {"request": {"phone_number": "+" + NUMBER}},
        {"msisdns": [NUMBER, NUMBER]},
        {"subscriber": f"tel:{NUMBER}"},
    ],
)
def test_a_number_is_masked_even_when_passed_raw(fields):
    it = Log()
    name = next(iter(fields))
    it.log.info(f"seen {{{name}}}", **fields)
    text = it.lines[0].decode()
    assert NUMBER not in text
    assert "38097•••••67" in text


def test_a_number_in_a_traceback_is_masked():
    it = Log()
    try:
        raise ValueError(f"cannot send to {NUMBER}")
    except ValueError:
        it.log.failure("failed")
    (record,) = it.records
    assert record["level"] == "critical"
    assert "ValueError: cannot send to 38097•••••67" in record["traceback"]


def test_what_no_log_may_hold_is_left_out():
    it = Log()
    it.log.info("refused {key}", key="demo-key", password="hunter2", text="ДА 4821", code="4821")
    text = it.lines[0].decode()
    for secret in ("demo-key", "hunter2", "ДА", "4821"):
        assert secret not in text


def test_a_reply_address_and_an_id_stay_readable():
    assert mask_field("source_addr", "717104") == "717104"
    assert mask_field("charge_id", 1234567890123) == 1234567890123
    assert mask_text("took 1234567890123456789") == "took 1234567890123456789"
    assert mask_text("0000000000") == "••••••••••"


def test_fields_are_of_bounded_size():
    assert len(str(mask_field("what", "x" * 5000))) == 1000
    assert len(mask_field("what", list(range(5000)))) == 20
    deep: list = []
    for _ in range(50):
        deep = [deep]
    assert len(str(mask_field("what", deep))) < 1000
    assert mask_field("what", None) is None
    assert mask_field("what", True) is True


def test_levels_are_set_by_namespace_and_may_change():
    it = Log()
    it.log.debug("unseen")
    it.observer.set_levels("warn", {"ppcd.smpp": "debug"})
    it.log.debug("seen")
    Logger(namespace="ppcd.smppother", observer=it.observer).info("unseen")
    Logger(namespace="ppcd.flow", observer=it.observer).warn("seen")
    Logger(namespace="twisted.internet", observer=it.observer).info("unseen")
    assert [record["message"] for record in it.records] == ["seen", "seen"]


def test_repeats_are_limited_and_counted():
    it = Log()
    for n in range(60):
        it.log.warn("link {link} refused", link="main", n=n)
    it.log.warn("something else")
    assert len(it.lines) == 51
    it.now = 10
    it.log.warn("link {link} refused", link="main")
    told, again = it.records[-2:]
    assert (told["message"], told["count"]) == ("repeated, not written", 10)
    assert told["format"] == "link {link} refused"
    assert again["message"] == "link main refused"
    assert it.metrics.log_events_dropped.child().value == 10
    assert it.metrics.log_events.child("warn").value == 52


def test_the_access_log_is_whole():
    it = Log()
    access = Logger(namespace="ppcd.access", observer=it.observer)
    for n in range(60):
        access.info("{method} {route}", method="GET", route="/x", n=n)
    assert len(it.lines) == 60


def test_repeats_forget_nobody_s_first_event():
    repeats = Repeats(lambda: 0, burst=1, keys_max=2)
    assert [repeats.admit(("a", str(n))) for n in (1, 2, 3, 3)] == [True] * 4
    assert repeats.admit(("a", "1")) is False
    assert repeats.ended() == []


def test_on_a_terminal_a_line_is_for_people():
    it = Log(style="text")
    it.log.info("link {link} is up", link="main", attempts=3)
    it.log.failure("failed", Failure(ValueError("no")))
    first, second = (line.decode() for line in it.lines)
    assert "info     ppcd.smpp.link       link main is up  attempts=3" in first
    assert "ValueError: no" in second


def test_an_event_that_cannot_be_formatted_is_still_a_line():
    it = Log()
    it.log.info("{missing}")
    assert "missing" in it.records[0]["message"]


def test_objects_keep_their_attributes_in_the_message():
    it = Log()
    it.log.info("number {n.as_int_masked}", n=type("N", (), {"as_int_masked": "x"})())
    assert it.records[0]["message"] == "number x"


def test_odd_characters_do_not_stop_the_log():
    it = Log()
    it.log.info("got {what}", what="\ud800")
    assert len(it.lines) == 1


def test_libraries_that_log_the_standard_way_are_heard():
    it = Log()
    handler = _Standard(Logger(namespace="standard", observer=it.observer))
    record = logging.LogRecord("psycopg", logging.WARNING, "", 0, "pool %s", ("lost",), None)
    handler.emit(record)
    assert it.records[0]["message"] == "psycopg: pool lost"
    assert it.records[0]["level"] == "warn"


def test_a_writer_that_fails_costs_lines_and_nothing_else():
    def broken(line: bytes) -> None:
        raise BrokenPipeError

    writer = QueuedWriter(broken)
    writer(b"a\n")
    writer(b"b\n")
    writer.close()
    assert writer.dropped == 2


def test_a_writer_that_hangs_drops_what_does_not_fit():
    gate, entered = threading.Event(), threading.Event()

    def hanging(line: bytes) -> None:
        entered.set()
        gate.wait()

    writer = QueuedWriter(hanging, lines_max=2)
    writer(b"1")
    entered.wait()
    for line in (b"2", b"3", b"4", b"5"):
        writer(line)
    assert writer.dropped == 2
    writer.close(timeout_s=0.01)  # gives up
    gate.set()
    writer.close()


def test_lines_are_written_in_order():
    out = io.BytesIO()
    writer = QueuedWriter(out.write)
    for n in range(100):
        writer(b"%d\n" % n)
    writer.close()
    assert out.getvalue() == b"".join(b"%d\n" % n for n in range(100))


def test_lines_that_come_together_are_written_together():
    written: list[bytes] = []
    gate, entered = threading.Event(), threading.Event()

    def write(lines: bytes) -> None:
        written.append(lines)
        entered.set()
        gate.wait()

    writer = QueuedWriter(write)
    writer(b"1")
    entered.wait()
    for line in (b"2", b"3", b"4"):
        writer(line)
    gate.set()
    writer.close()
    assert written == [b"1", b"234"]


def test_dropped_lines_are_counted():
    it = Log()
    writer = QueuedWriter(lambda line: None)
    writer.dropped = 3
    observer = LogObserver(writer, now=lambda: 0)
    observer.count_into(it.metrics)
    Logger(namespace="x", observer=observer).emit(LogLevel.info, "y")
    writer.close()
    assert it.metrics.log_events_dropped.child().value == 3


PROGRAM = """
import time, sys
from twisted.logger import Logger
from ppcd.ops.logs import begin
observer, writer = begin(now=time.monotonic, level="debug")
log = Logger(namespace="ppcd.test")
for n in range(1000):
    log.debug("line {n}", n=n, why=str(n))
writer.close()
print(writer.dropped, file=sys.stderr)
"""


def test_a_closed_standard_output_stops_nothing():
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    program.stdout.close()
    _, errors = program.communicate(timeout=60)
    assert errors.split()[:1] == [b"50"]


def test_a_program_logs_json_where_there_is_no_terminal():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=60
    )
    lines = ran.stdout.splitlines()
    assert len(lines) == 50
    assert json.loads(lines[0])["message"] == "line 0"
