"""A site to be dripped on: `python -m tests.node.dripped` serves until its input ends."""

import json
import os
import sys
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251 - a process of its own
from twisted.internet import stdio
from twisted.internet.protocol import Protocol

from ppcd.http.messages import JSON_TYPE, Request, Response
from ppcd.http.router import Router
from ppcd.http.server import Limits, Site

reactor: Any = _reactor

#: So many drip at once; the short form has fewer.
COUNT = int(os.environ.get("PPCD_DRIPPING", "300"))
#: Deadlines of a test's length; all else as partners are served.
DEADLINE_S = 5.0 if COUNT >= 1000 else 1.0
LIMITS = Limits(
    headers_s=DEADLINE_S, body_s=DEADLINE_S, connections_max=5000, requests_max=1_000_000
)


async def _hello(request: Request) -> Response:
    return Response(200, [JSON_TYPE], b"{}")


class _Input(Protocol):
    def connectionLost(self, reason: object = None) -> None:
        reactor.stop()


def main() -> None:
    router = Router()
    router.add("GET", "/hello", _hello)
    router.add("POST", "/hello", _hello)
    site = Site(router, reactor=reactor, limits=LIMITS)
    port = reactor.listenTCP(0, site, backlog=2000, interface="127.0.0.1")
    stdio.StandardIO(_Input())
    print(json.dumps({"port": port.getHost().port}), flush=True)
    reactor.run()
    sys.exit(0)


if __name__ == "__main__":
    main()
