"""The simulated SMSC as a process: starts, stops when told, and forgets nothing when killed."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from ppcd.sim.journal import read_journal
from ppcd.smpp import Decoder, Pdu, bind, deliver_sm, encode, response_to, submit_sm
from tests.smpp.authority import Authority

PROGRAM = """
import argparse, sys
from ppcd.sim import smsc_program
parser = argparse.ArgumentParser()
smsc_program.add_arguments(parser)
sys.exit(smsc_program.run(parser.parse_args()))
"""
PHONE = "/sim/handsets/380971234567"


class Program:
    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = 0
        self.url = ""

    def ready(self) -> "Program":
        assert self.process.stdout is not None
        word, address = self.process.stdout.readline().split()
        assert word == "smpp"
        self.port = int(address.rpartition(":")[2])
        word, self.url = self.process.stdout.readline().split()
        assert word == "ready"
        return self

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, method=method), timeout=10) as answer:
            return json.load(answer)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=10)
        return self.process.returncode


class Talker:
    """A blocking ESME, bound."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._reader = Decoder()
        self._heard: list[Pdu] = []
        self.say(bind(system_id=b"ppcd", password=b"secret", sequence=1))
        assert self.hear().status == 0

    def say(self, pdu: Pdu) -> None:
        self._socket.sendall(encode(pdu))

    def hear(self) -> Pdu:
        while not self._heard:
            octets = self._socket.recv(65_536)
            assert octets, "closed"
            self._heard += self._reader.feed(octets)
        return self._heard.pop(0)

    def close(self) -> None:
        self._socket.close()


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    programs: list[Program] = []

    def run(*arguments: str) -> Program:
        programs.append(Program("--smpp", "127.0.0.1:0", "--http", "127.0.0.1:0", *arguments))
        return programs[-1]

    yield run
    for program in programs:
        if program.process.poll() is None:
            program.end(signal.SIGKILL)
        for stream in (program.process.stdout, program.process.stderr):
            assert stream is not None
            stream.close()


def test_it_serves_until_told_to_stop(start: Start) -> None:
    program = start("--account", "ppcd:secret").ready()
    talker = Talker(program.port)
    talker.say(submit_sm(sequence=2, destination_addr=b"380971234567", short_message=b"hello"))
    assert talker.hear().message_id == b"0000000001"
    assert [m["text"] for m in program.call("GET", PHONE + "/messages")] == ["hello"]
    assert len(program.call("GET", "/sim/smsc/links")) == 1
    talker.close()
    assert program.end(signal.SIGTERM) == 0


def test_killed_after_a_reply_was_read_it_brings_it_again(start: Start, tmp_path: Path) -> None:
    program = start("--data", str(tmp_path), "--fsync").ready()
    talker = Talker(program.port)
    program.call("POST", PHONE + "/replies", {"text": "YES", "to": "717100"})
    program.call("POST", PHONE + "/replies", {"text": "NO", "to": "717100"})
    first, second = talker.hear(), talker.hear()
    talker.say(response_to(first))
    talker.say(submit_sm(sequence=2, destination_addr=b"380971234567", short_message=b"hello"))
    talker.hear()
    assert program.end(signal.SIGKILL) == -signal.SIGKILL
    talker.close()
    program = start("--data", str(tmp_path)).ready()
    talker = Talker(program.port)
    again = talker.hear()
    assert again.short_message == second.short_message == b"NO"
    assert again.body == second.body
    assert [m["text"] for m in program.call("GET", PHONE + "/messages")] == ["hello"]
    talker.close()
    assert program.end(signal.SIGTERM) == 0
    entries = [e["entry"] for e in read_journal(tmp_path / "smsc.jsonl")]
    assert entries.count("mo_given") == 2
    assert entries.index("submit") < entries.index("resp")
    assert deliver_sm(source_addr=b"1").command == first.command


@pytest.mark.parametrize(
    "arguments",
    [
        ("--http", "nonsense"),
        ("--smpp", "host:port"),
        ("--account", "nobody"),
        ("--tls-key", "key.pem"),
    ],
)
def test_wrong_arguments_are_named(start: Start, arguments: tuple[str, str]) -> None:
    program = start(*arguments)
    _out, err = program.process.communicate(timeout=20)
    assert program.process.returncode == 2
    assert arguments[0] in err or "--tls-certificate" in err


def test_a_taken_port_is_said_in_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = start("--smpp", f"127.0.0.1:{port}")
        _out, err = program.process.communicate(timeout=20)
    assert program.process.returncode == 1
    assert str(port) in err


def test_it_speaks_tls(start: Start, tmp_path: Path) -> None:
    import ssl

    authority = Authority(tmp_path)
    certificate, key = authority.certify("smsc")
    program = start("--tls-certificate", certificate, "--tls-key", key).ready()
    context = ssl.create_default_context(cafile=authority.ca_file)
    with (
        socket.create_connection(("127.0.0.1", program.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(encode(bind(system_id=b"ppcd", sequence=1)))
        (answer,) = Decoder().feed(secure.recv(65_536))
        assert answer.status == 0
    assert program.end(signal.SIGTERM) == 0
