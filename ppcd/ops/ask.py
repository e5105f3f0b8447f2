"""The other end of the control socket: what `ppcd status`, `pause` and `resume` call."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

from ppcd.ops.admin import AdminError

__all__ = ["NotAnswering", "call"]

ANSWER_SIZE_MAX: Final = 4 << 20


class NotAnswering(Exception):
    """No node answers; the message says what to look at."""


def call(path: str, request: Mapping[str, Any], timeout_s: float = 10) -> Any:
    """The result of one command, `{"command": NAME, …}`.

    Raises NotAnswering when there is no node, and AdminError when it refuses the command.
    """
    deadline = time.monotonic() + timeout_s
    line = json.dumps(request).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as conversation:
        try:
            conversation.settimeout(timeout_s)
            conversation.connect(path)
            conversation.sendall(line)
            answer = _read_line(conversation, deadline)
        except FileNotFoundError as exc:
            raise NotAnswering(f"there is no {path}: is ppcd running?") from exc
        except ConnectionRefusedError as exc:
            raise NotAnswering(f"nobody answers on {path}: is ppcd running?") from exc
        except PermissionError as exc:
            raise NotAnswering(f"{path} may not be used by you: be root, or in its group") from exc
        except TimeoutError as exc:
            raise NotAnswering(f"no answer on {path} in {timeout_s:g} s: is it blocked?") from exc
        except OSError as exc:
            raise NotAnswering(f"{path}: {exc.strerror or exc}") from exc
    return _result(path, answer)


def _read_line(conversation: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while b"\n" not in received:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        conversation.settimeout(left)
        data = conversation.recv(65536)
        if not data:
            raise ConnectionResetError("the node closed the conversation")
        received += data
        if len(received) > ANSWER_SIZE_MAX:
            raise OSError("the answer is too large")
    return bytes(received)


def _result(path: str, line: bytes) -> Any:
    try:
        answer = json.loads(line)
        ok = answer["ok"]
    except (ValueError, KeyError, TypeError) as exc:
        raise NotAnswering(f"{path}: this is no answer of ppcd") from exc
    if not ok:
        raise AdminError(str(answer.get("error", "refused")))
    return answer.get("result")
