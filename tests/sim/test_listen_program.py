"""`ppcd webhook listen` as a process: what each event is, and whether it is genuine."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from ppcd.webhook.signature import signature

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = json.dumps(
    {
        "type": "org.camaraproject.carrier-billing.v0.payment-denied",
        "data": {"paymentId": "17", "status": "failed", "denialReason": "USER_DECLINED"},
    }
).encode()


class Listening:
    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self._process = process
        self._url = url

    def post(self, body: bytes = BODY, *, key: bytes = KEY, path: str = "") -> tuple[int, str]:
        """What is answered, and the line that is printed."""
        at_s = int(time.time())  # noqa: TID251 - the program compares with it
        headers = {
            "webhook-id": "evt_17_1",
            "webhook-timestamp": str(at_s),
            "webhook-signature": signature("evt_17_1", at_s, BODY, [key]),
        }
        try:
            with urlopen(Request(self._url + path, body, headers), timeout=10) as answer:
                status = answer.status
        except HTTPError as error:
            with error:
                status = error.code
        assert self._process.stdout is not None
        return status, self._process.stdout.readline()


@contextmanager
def listening(*arguments: str, secret: str | None = SECRET) -> Iterator[Listening]:
    environment = {k: v for k, v in os.environ.items() if k != "PPCD_WEBHOOK_SECRET"}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ppcd.cli", "webhook", "listen"),
            *("--listen", "127.0.0.1:0", *arguments),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=environment if secret is None else environment | {"PPCD_WEBHOOK_SECRET": secret},
    )
    try:
        assert process.stdout is not None
        word, url = process.stdout.readline().split()
        assert word == "ready"
        yield Listening(process, url)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_each_event_is_one_line_that_says_whether_it_is_genuine() -> None:
    with listening() as listener:
        status, line = listener.post()
        assert status == 204
        assert "  signature valid  payment-denied  payment 17  failed (USER_DECLINED)" in line
        assert line.endswith("  evt_17_1\n")
        assert "again" in listener.post(path="hook")[1]
        assert "SIGNATURE INVALID" in listener.post(key=b"o" * 32)[1]
        assert "SIGNATURE INVALID" in listener.post(b"no json")[1]


def test_other_answers_show_what_follows_and_json_is_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    arguments = ("--secret-file", str(file), "--answer", "503", "--json")
    with listening(*arguments, secret=None) as listener:
        status, line = listener.post()
        assert status == 503
        shown = json.loads(line)
        assert (shown["id"], shown["signature"], shown["paymentId"]) == ("evt_17_1", "valid", "17")


@pytest.mark.parametrize(
    ("arguments", "secret", "message"),
    [
        ((), "", "put the webhook secret into $PPCD_WEBHOOK_SECRET"),
        (("--listen", "8088"), SECRET, "--listen must be HOST:PORT"),
        (("--answer", "99"), SECRET, "--answer must be 200..599"),
        ((), "whsec_#", "the webhook secret must be whsec_"),
    ],
)
def test_wrong_usage_is_said(arguments: tuple[str, ...], secret: str, message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ppcd.cli", "webhook", "listen", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PPCD_WEBHOOK_SECRET": secret},
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said() -> None:
    with listening() as listener:
        taken = listener._url.removeprefix("http://").rstrip("/")
        done = subprocess.run(
            [sys.executable, "-m", "ppcd.cli", "webhook", "listen", "--listen", taken],
            capture_output=True,
            text=True,
            env=os.environ | {"PPCD_WEBHOOK_SECRET": SECRET},
            check=False,
            timeout=30,
        )
    assert done.returncode == 1
    assert "Couldn't listen" in done.stderr
