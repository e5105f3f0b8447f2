"""The simulators' HTTP server: routes, failures, streams, and leaving callers."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from ppcd.sim.web import BODY_SIZE_MAX, Answer, App, Request, Response, Route, Server, Stream
from tests.sim.memory import Wire, done


def served(*routes: Route, **options: Any) -> Wire:
    reactor = MemoryReactorClock()
    done(Server(reactor, App(routes, **options), host="127.0.0.1", port=0).start())
    return Wire(reactor)


async def echo(request: Request) -> Answer:
    return Response(200, f"{request.params['name']} {dict(request.query)}".encode())


def test_a_path_segment_is_decoded_and_never_spans_two() -> None:
    route = Route("GET", "/a/{name}/b", echo)
    assert served(route).ask("GET", "/a/x%2Fy%20z/b?q=1&e=").body == b"x/y z {'q': '1', 'e': ''}"
    assert served(route).ask("GET", "/a/x/y/b").status == 404


def test_head_is_get_without_a_body() -> None:
    answer = served(Route("GET", "/{name}", echo)).ask("HEAD", "/x")
    assert answer.status == 200
    assert answer.body == b""


def test_a_body_too_large_is_413() -> None:
    wire = served(Route("POST", "/{name}", echo))
    assert wire.ask("POST", "/x", b"x" * (BODY_SIZE_MAX + 1)).status == 413


def test_a_failing_handler_is_500_and_logged(criticals: Any) -> None:
    async def fail(_request: Request) -> Answer:
        raise RuntimeError("broken on purpose")

    assert served(Route("GET", "/", fail)).ask("GET", "/").status == 500
    [told] = criticals.take()
    assert "request failed" in told


def test_a_stream_that_fails_is_torn_not_ended(criticals: Any) -> None:
    async def run(write: Any) -> None:
        write(b"half")
        raise RuntimeError("broken on purpose")

    async def stream(_request: Request) -> Answer:
        return Stream(run)

    answer = served(Route("GET", "/", stream)).ask("GET", "/")
    assert not answer.connected
    assert not answer.body.endswith(b"0\r\n\r\n")
    criticals.take()


def test_the_headers_of_all_answers_come_first_and_no_server_is_named() -> None:
    wire = served(Route("GET", "/{name}", echo), headers=(("X-All", "1"),)).ask("GET", "/x")
    assert wire.headers["x-all"] == "1"
    assert "server" not in wire.headers


def test_a_caller_that_leaves_cancels_its_handler() -> None:
    cancelled: list[str] = []

    async def wait(_request: Request) -> Answer:
        await Deferred(lambda _: cancelled.append("cancelled"))
        raise AssertionError

    served(Route("GET", "/", wait)).ask("GET", "/").leave()
    assert cancelled == ["cancelled"]


def test_a_port_is_known_only_after_start() -> None:
    server = Server(MemoryReactorClock(), App(()), host="127.0.0.1", port=0)
    with pytest.raises(AssertionError, match="not started"):
        _ = server.port
