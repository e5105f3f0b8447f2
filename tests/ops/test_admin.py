"""The control socket answers whoever may use its file, within deadlines and sizes."""

import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from ppcd.ops import admin
from ppcd.ops.admin import AdminError, AdminServer, SocketTaken, listen_admin
from ppcd.ops.ask import NotAnswering, call
from tests.conftest import Criticals


class Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class World:
    """A server with a few commands, and one client on a memory transport."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.slow: Deferred[object] = Deferred()
        self.cancelled = False
        self.server = AdminServer(self.handle, reactor=self.clock)
        protocol = self.server.buildProtocol(None)
        assert protocol is not None
        self.protocol = protocol
        self.transport = Transport()
        self.protocol.makeConnection(self.transport)

    async def handle(self, command: str, arguments: Mapping[str, Any], uid: int) -> object:
        if command == "slow":
            try:
                return await self.slow
            except BaseException:
                self.cancelled = True
                raise
        if command == "broken":
            raise RuntimeError("a bug")
        if command == "status":
            return {"links": arguments.get("links", []), "uid": uid}
        raise AdminError(f"there is no command {command}")

    def ask(self, *requests: object) -> list[dict]:
        for request in requests:
            line = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
            self.protocol.dataReceived(line)
        answers = self.transport.value().splitlines()
        self.transport.clear()
        return [json.loads(line) for line in answers]

    def end(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionError()))
        assert self.clock.getDelayedCalls() == []
        assert self.server.open == set()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()


def test_a_command_is_answered(world):
    assert world.ask({"command": "status", "links": ["main"]}) == [
        {"ok": True, "result": {"links": ["main"], "uid": -1}}
    ]


def test_a_refusal_is_said(world):
    assert world.ask({"command": "dance"}) == [{"ok": False, "error": "there is no command dance"}]


@pytest.mark.parametrize(
    "line", [b"\n", b"nonsense\n", b"[]\n", b'{"x": 1}\n', b"\xff\n", b"[" * 9999 + b"\n"]
)
def test_what_is_no_request_is_refused_and_the_next_one_answered(world, line):
    refused, answered = world.ask(line, {"command": "status"})
    assert refused["ok"] is False
    assert answered["ok"] is True


def test_requests_that_come_in_pieces_or_together_are_answered_in_order(world):
    line = b'{"command": "status"}\n'
    assert world.ask(line[:5]) == []
    assert len(world.ask(line[5:] + line + b"{")) == 2


def test_a_second_request_waits_for_the_first(world):
    assert world.ask({"command": "slow"}, {"command": "status"}) == []
    world.slow.callback("done")
    first, second = world.ask()
    assert first["result"] == "done"
    assert second["ok"] is True


def test_a_request_without_end_is_cut_off(world):
    (answer,) = world.ask(b"x" * 70_000)
    assert answer["error"] == "the request is too large"
    assert world.transport.disconnecting


def test_silence_ends_the_conversation(world):
    world.clock.advance(admin.REQUEST_S)
    assert world.transport.disconnecting


def test_a_command_that_takes_too_long_is_given_up(world):
    world.ask({"command": "slow"})
    world.clock.advance(admin.HANDLER_S)
    assert world.cancelled
    (answer,) = world.ask()
    assert answer["error"] == "took more than 30 s and was given up"


def test_a_command_ends_with_its_client():
    world = World()
    world.ask({"command": "slow"})
    world.end()
    assert world.cancelled


def test_a_bug_in_a_command_is_logged_and_said(world, criticals: Criticals):
    (answer,) = world.ask({"command": "broken"})
    assert answer == {"ok": False, "error": "failed unexpectedly; the node's log says why"}
    assert "RuntimeError: a bug" in criticals.take()[0]


def test_there_is_a_limit_to_clients(world):
    others = [world.server.buildProtocol(None) for _ in range(admin.CONNECTIONS_MAX)]
    for other in others[:-1]:
        other.makeConnection(Transport())
    assert world.server.buildProtocol(None) is None
    world.server.close()
    assert world.transport.aborted
    for other in others[:-1]:
        other.connectionLost()


@contextmanager
def a_plain_server(path: str, answer: Callable[[bytes], bytes | None]) -> Iterator[None]:
    """A server that is none of ours; answers one line and closes."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            conversation, _ = listener.accept()
            with conversation:
                said = answer(conversation.recv(65536))
                if said is None:
                    conversation.recv(1)  # until the client gives up
                else:
                    conversation.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"nonsense\n", "this is no answer of ppcd"),
        (b"[]\n", "this is no answer of ppcd"),
        (b"", "the node closed the conversation"),
        (b"x" * 5_000_000, "the answer is too large"),
        (None, "no answer on .* in 0.1 s"),
    ],
)
def test_what_is_no_answer_is_said(tmp_path, answer, message):
    path = str(tmp_path / "s")

    def reply(line: bytes) -> bytes | None:
        return answer

    def ask() -> None:
        with pytest.raises(NotAnswering, match=message):
            call(path, {"command": "status"}, timeout_s=0.1 if answer is None else 10)

    if answer and len(answer) > 1_000_000:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            thread = threading.Thread(target=_flood, args=(listener, answer))
            thread.start()
            ask()
            thread.join()
    else:
        with a_plain_server(path, reply):
            ask()


def _flood(listener: socket.socket, data: bytes) -> None:
    conversation, _ = listener.accept()
    with conversation:
        conversation.recv(65536)
        try:
            conversation.sendall(data)
        except OSError:
            pass  # the client has had enough


def test_without_a_node_the_caller_is_told_what_to_look_at(tmp_path):
    with pytest.raises(NotAnswering, match="is ppcd running"):
        call(str(tmp_path / "none"), {"command": "status"})
    stale = str(tmp_path / "stale")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(stale)
    with pytest.raises(NotAnswering, match="nobody answers"):
        call(stale, {"command": "status"})
    with pytest.raises(NotAnswering, match="AF_UNIX path too long"):
        call("/" + "x" * 200, {"command": "status"})


@pytest.fixture
def reactor() -> Any:
    from twisted.internet import reactor  # noqa: TID251  a test over real sockets

    return reactor


@pytest_twisted.ensureDeferred
async def test_client_and_server_over_a_real_socket(tmp_path, reactor):
    path = str(tmp_path / "ppcd.sock")
    world = World()
    server = AdminServer(world.handle, reactor=reactor)
    port = listen_admin(reactor, path, server)
    try:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        answer = await deferToThread(call, path, {"command": "status"})
        assert answer == {"links": [], "uid": os.getuid()}
        with pytest.raises(AdminError, match="no command dance"):
            await deferToThread(call, path, {"command": "dance"})
        with pytest.raises(SocketTaken, match="another node answers"):
            listen_admin(reactor, path, server)
    finally:
        server.close()
        await port.stopListening()
    assert not os.path.exists(path)


@pytest_twisted.ensureDeferred
async def test_a_socket_left_by_a_dead_node_is_replaced(tmp_path, reactor):
    path = str(tmp_path / "ppcd.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    server = AdminServer(World().handle, reactor=reactor)
    port = listen_admin(reactor, path, server)
    try:
        assert (await deferToThread(call, path, {"command": "status"}))["links"] == []
    finally:
        await port.stopListening()


def test_a_file_in_its_place_is_left_alone(tmp_path):
    path = tmp_path / "ppcd.sock"
    path.write_text("precious")
    with pytest.raises(SocketTaken, match="no socket: remove it"):
        listen_admin(Clock(), str(path), World().server)
    assert path.read_text() == "precious"
