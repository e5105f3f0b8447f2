"""Metrics and health over HTTP."""

import json

import pytest
import pytest_twisted
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from ppcd.metrics import Metrics
from ppcd.ops.health import Health
from ppcd.ops.server import BACKLOG, listen, operations_site
from tests.http.peers import Peer


def get(path: str, health: Health | None = None, *headers: str) -> tuple[int, dict, bytes]:
    """Status, headers and body of a GET."""
    peer = Peer(operations_site(Metrics(), health or Health(), reactor=Clock()))
    lines = [f"GET {path} HTTP/1.1", "Host: x", *headers]
    peer.sends("\r\n".join(lines).encode() + b"\r\n\r\n")
    answer = peer.answer()
    peer.hangs_up()
    return answer


def test_metrics_are_served_in_the_format_asked_for():
    status, headers, body = get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"ppcd_build_info" in body
    _, headers, body = get("/metrics", None, "Accept: application/openmetrics-text;version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_its_status_code(path):
    status, headers, body = get(path)
    assert (status, json.loads(body)) == (200, {"status": "ok", "problems": {}})
    assert headers["cache-control"] == "no-store"


def test_an_unready_node_says_why():
    status, _, body = get("/health/ready", Health(ready={"database": lambda: "away"}))
    assert status == 503
    assert json.loads(body) == {"status": "failing", "problems": {"database": "away"}}


def test_anything_else_is_not_found_in_json():
    status, _, body = get("/")
    assert status == 404
    assert json.loads(body)["code"] == "NOT_FOUND"


@pytest_twisted.ensureDeferred
async def test_it_listens_where_it_is_told():
    reactor = MemoryReactorClock()
    site = operations_site(Metrics(), Health(), reactor=reactor)
    await listen(reactor, "127.0.0.1:9464", site)
    await listen(reactor, "[::1]:9465", site)
    assert [(server[0], *server[2:4]) for server in reactor.tcpServers] == [
        (9464, BACKLOG, "127.0.0.1"),
        (9465, BACKLOG, "::1"),
    ]
