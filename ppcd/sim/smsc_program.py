"""`ppcd sim smsc`: the simulated SMSC as a program of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import react

from ppcd.sim.magic import Owners
from ppcd.sim.smsc import Smsc, SmscOptions
from ppcd.sim.web import App, Reactor, Server
from ppcd.smpp import TlsSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--smpp",
        default="127.0.0.1:2775",
        metavar="HOST:PORT",
        help="where ESMEs connect (default: %(default)s; port 0 takes a free one)",
    )
    parser.add_argument(
        "--http",
        default="127.0.0.1:8091",
        metavar="HOST:PORT",
        help="where phones, faults and links are (default: %(default)s)",
    )
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="SYSTEM_ID:PASSWORD",
        help="who may bind; may be repeated (default: anybody)",
    )
    parser.add_argument(
        "--prefix",
        default="38097",
        metavar="DIGITS",
        help="numbers that are phones (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="keep the journal smsc.jsonl there; messages then survive a restart",
    )
    parser.add_argument("--fsync", action="store_true", help="force each journal line to the disk")
    parser.add_argument(
        "--receipt-delay",
        type=float,
        default=0.2,
        metavar="S",
        help="seconds from a message to its receipt (default: %(default)s)",
    )
    parser.add_argument(
        "--magic",
        action="store_true",
        help="phones answer by themselves, as their last three digits say: docs/partner-api.md",
    )
    parser.add_argument("--tls-certificate", metavar="FILE", help="PEM: speak TLS with this")
    parser.add_argument("--tls-key", metavar="FILE", help="PEM: its key")
    parser.add_argument(
        "--tls-client-ca", metavar="FILE", help="PEM: ESMEs must show a certificate of this"
    )


def run(args: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; 0 done, 1 could not listen, 2 wrong arguments."""
    try:
        options = _options(args)
        http = _host_port("--http", args.http)
    except ValueError as exc:
        print(f"ppcd sim smsc: {exc}", file=sys.stderr)
        return 2
    try:
        react(_serve, (options, *http))
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1


def _options(args: argparse.Namespace) -> SmscOptions:
    host, port = _host_port("--smpp", args.smpp)
    accounts = {}
    for account in args.account:
        system_id, colon, password = account.partition(":")
        if not (colon and system_id):
            raise ValueError("--account must be SYSTEM_ID:PASSWORD")
        accounts[system_id] = password
    if (args.tls_certificate is None) != (args.tls_key is None):
        raise ValueError("--tls-certificate and --tls-key belong together")
    tls = None
    if args.tls_certificate is not None:
        tls = TlsSettings(
            certificate_file=args.tls_certificate, key_file=args.tls_key, ca_file=args.tls_client_ca
        )
    return SmscOptions(
        host=host,
        port=port,
        accounts=accounts,
        prefix=args.prefix,
        data_dir=args.data,
        fsync=args.fsync,
        receipt_delay_s=args.receipt_delay,
        tls=tls,
        owners=Owners() if args.magic else None,
    )


def _host_port(name: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65_536):
        raise ValueError(f"{name} must be HOST:PORT, got {text!r}")
    return host, int(port)


def _serve(reactor: Any, options: SmscOptions, host: str, port: int) -> Deferred[None]:
    async def serve() -> None:
        smsc = Smsc(cast(Reactor, reactor), options)
        server = Server(cast(Reactor, reactor), App(smsc.sim_routes()), host=host, port=port)
        try:
            await smsc.start()
            await server.start()
        except (CannotListenError, OSError) as exc:
            print(f"ppcd sim smsc: {exc}", file=sys.stderr)
            raise SystemExit(1) from exc

        async def stop() -> None:
            await server.stop()
            await smsc.stop()

        reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(stop()))
        print(f"smpp {options.host}:{smsc.port}")
        print(f"ready {server.url}", flush=True)
        await Deferred()

    return Deferred.fromCoroutine(serve())
