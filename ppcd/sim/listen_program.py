"""`ppcd webhook listen`: a partner's receiver for one's own machine, which shows what comes.

Owns printing. That a signature is right the shop's inbox judges, as any receiver would.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import react

from ppcd.sim.journal import Journal, utc_now
from ppcd.sim.web import Answer, App, Reactor, Request, Response, Route, Server
from ppcd.sim.webhooks import Inbox, Received

SECRET_VARIABLE: Final = "PPCD_WEBHOOK_SECRET"  # noqa: S105 - where it is found, not what it is
_SECRET: Final = re.compile(r"whsec_[A-Za-z0-9+/]{32,}={0,2}")
_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8088",
        metavar="HOST:PORT",
        help="where events are posted to (default: %(default)s; port 0 takes a free one)",
    )
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help=f"has the webhook secret, whsec_…; else it is taken from ${SECRET_VARIABLE}",
    )
    parser.add_argument(
        "--answer",
        type=int,
        default=204,
        metavar="STATUS",
        help="what is answered, to see what follows: 503 and it comes again, 410 and it does not "
        "(default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document a line")


@dataclass(frozen=True, slots=True)
class _Options:
    host: str
    port: int
    secret: str
    status: int
    as_json: bool


def run(args: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; 0 done, 1 could not listen, 2 wrong arguments."""
    try:
        options = _options(args)
        listener = _Listener(options)
    except (ValueError, OSError) as exc:
        print(f"ppcd webhook listen: {exc}", file=sys.stderr)
        return 2
    try:
        react(_serve, (options, listener))
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1


def _options(args: argparse.Namespace) -> _Options:
    host, colon, port = args.listen.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65_536):
        raise ValueError(f"--listen must be HOST:PORT, got {args.listen!r}")
    if not 200 <= args.answer <= 599:
        raise ValueError(f"--answer must be 200..599, got {args.answer}")
    if args.secret_file is not None:
        secret = args.secret_file.read_text()
    else:
        secret = os.environ.get(SECRET_VARIABLE, "")
    if not secret.strip():
        raise ValueError(
            f"put the webhook secret into ${SECRET_VARIABLE}, or name a file with --secret-file"
        )
    if not _SECRET.fullmatch(secret.strip()):
        raise ValueError("the webhook secret must be whsec_ and 32 or more characters of base64")
    return _Options(host, int(port), secret.strip(), args.answer, args.json)


class _Listener:
    """Prints each event as it comes."""

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._inbox = Inbox(Journal(None), secret=options.secret, now=utc_now)
        self._seen: set[str] = set()

    async def take(self, request: Request) -> Answer:
        headers = {name: request.header(name.encode()) or "" for name in _HEADERS}
        received = self._inbox.take(headers, request.body)
        self._inbox.received.clear()
        if self._options.as_json:
            print(json.dumps(received.describe(), ensure_ascii=False), flush=True)
        else:
            print(self._line(received), flush=True)
        self._seen.add(received.id)
        return Response(self._options.status)

    def _line(self, received: Received) -> str:
        status = received.status or "-"
        if received.denial_reason is not None:
            status += f" ({received.denial_reason})"
        parts = [
            received.at,
            "signature valid" if received.valid else "SIGNATURE INVALID",
            (received.type or "no event").rpartition(".")[2],
            f"payment {received.payment_id or '-'}",
            status,
            received.id or "no webhook-id",
        ]
        if received.id in self._seen:
            parts.append("again: the same id as before")
        if not received.valid:
            parts.append("another secret, a changed body, or older than five minutes")
        return "  ".join(parts)


def _serve(reactor: Any, options: _Options, listener: _Listener) -> Deferred[None]:
    async def serve() -> None:
        app = App([Route("POST", path, listener.take) for path in ("/", "/{path}")])
        server = Server(cast(Reactor, reactor), app, host=options.host, port=options.port)
        try:
            await server.start()
        except CannotListenError as exc:
            print(f"ppcd webhook listen: {exc}", file=sys.stderr)
            raise SystemExit(1) from exc
        reactor.addSystemEventTrigger(
            "before", "shutdown", lambda: Deferred.fromCoroutine(server.stop())
        )
        print(f"ready {server.url}/", flush=True)
        await Deferred()

    return Deferred.fromCoroutine(serve())
