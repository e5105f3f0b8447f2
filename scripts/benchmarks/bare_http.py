"""The floor of the API benchmark: the library's HTTP server, which reads a body and answers one.

As bare as `twisted.web` is from its box: no key, no JSON, no database, no limits, no log.
"""

import json
import sys

from twisted.internet import reactor  # noqa: TID251
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site


class _Answer(Resource):
    """Always the same 201."""

    isLeaf = True

    def __init__(self, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._headers = headers
        self._body = body

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        request.content.read()
        request.setResponseCode(201)
        for name, value in self._headers:
            request.setHeader(name, value)
        return self._body


def main() -> None:
    """One line of input has the answer; one line of output the port."""
    given = json.loads(sys.stdin.readline())
    headers = [(name.encode(), value.encode()) for name, value in given["headers"]]
    site = Site(_Answer(headers, given["body"].encode()))  # type: ignore[no-untyped-call]
    port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
    print(json.dumps({"port": port.getHost().port}), flush=True)
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
