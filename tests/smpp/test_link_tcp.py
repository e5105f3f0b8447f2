"""Links over real sockets: names, TLS with certificates, and what only a kernel does."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from ppcd.smpp import Accepted, Command, End, LinkState, Listener, Pdu, TlsSettings, encode
from tests.smpp.authority import Authority
from tests.smpp.conversation import a_bind, a_deliver
from tests.smpp.links import App, a_prompt
from tests.smpp.tcp import Answering, a_link, a_listener, until


@pytest_twisted.ensureDeferred
async def test_a_link_over_tcp_by_name() -> None:
    handler, app = Answering(), App()
    listener = a_listener(handler)
    port = await listener.start()
    link = a_link(port, app, host="localhost", window_max=10)
    link.start()
    await until(lambda: link.bound)
    answers = await gatherResults([link.submit(a_prompt()) for _ in range(200)])
    assert all(isinstance(answer, Accepted) for answer in answers)
    delivered = await gatherResults([handler.stood[0].send(a_deliver(n)) for n in range(1, 101)])
    assert len(delivered) == 100
    assert link.counts.received == 100
    await link.stop()
    assert link.state is LinkState.STOPPED
    await listener.stop()


@pytest_twisted.ensureDeferred
async def test_a_link_comes_back_when_the_smsc_does() -> None:
    handler, app = Answering(), App()
    listener = a_listener(handler)
    port = await listener.start()
    link = a_link(port, app)
    link.start()
    await until(lambda: link.bound)
    await listener.stop()
    await until(lambda: not link.bound)
    again = a_listener(handler, port=port)
    await again.start()
    await until(lambda: link.bound)
    again.drop_all()
    await until(lambda: link.counts.binds == 3)
    await link.stop()
    await again.stop()


async def _tls_listener(authority: Authority, *, client_ca: str | None) -> tuple[Listener, int]:
    certificate, key = authority.certify("smsc")
    tls = TlsSettings(
        certificate_file=certificate, key_file=key, ca_file=client_ca, minimum_version="1.3"
    )
    listener = a_listener(Answering(), tls=tls)
    return listener, await listener.start()


@pytest_twisted.ensureDeferred
async def test_tls_shows_and_verifies_certificates_both_ways(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listener, port = await _tls_listener(authority, client_ca=authority.ca_file)
    certificate, key = authority.certify("ppcd")
    tls = TlsSettings(ca_file=authority.ca_file, certificate_file=certificate, key_file=key)
    link = a_link(port, App(), tls=tls)
    link.start()
    await until(lambda: link.bound)
    assert isinstance(await link.submit(a_prompt()), Accepted)
    await link.stop()
    await listener.stop()


@pytest.mark.parametrize("wrong", ["authority", "name", "no certificate", "system's trust"])
@pytest_twisted.ensureDeferred
async def test_tls_refuses_whom_it_does_not_know(wrong: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    other = Authority(tmp_path, "another authority")
    needs_client = wrong == "no certificate"
    listener, port = await _tls_listener(
        authority, client_ca=authority.ca_file if needs_client else None
    )
    tls = {
        "authority": TlsSettings(ca_file=other.ca_file),
        "name": TlsSettings(ca_file=authority.ca_file, server_name="smsc.example"),
        "no certificate": TlsSettings(ca_file=authority.ca_file),
        "system's trust": TlsSettings(),
    }[wrong]
    link = a_link(port, App(), tls=tls)
    link.start()
    await until(lambda: link.counts.lost >= 2)
    assert link.counts.binds == 0
    await link.stop()
    await listener.stop()


@pytest_twisted.ensureDeferred
async def test_stopping_while_the_dial_hangs() -> None:
    link = a_link(1, App(), host="127.0.0.1", connect_timeout_s=1.0)
    link.start()
    await link.stop()
    assert link.state is LinkState.STOPPED
    done: Deferred[None] = link.stop()
    assert done.called


@pytest_twisted.ensureDeferred
async def test_a_client_that_asks_and_never_reads_is_dropped() -> None:
    handler = Answering()
    listener = a_listener(handler, write_buffer_max=100_000)
    port = await listener.start()
    questions = encode(Pdu(Command.ENQUIRE_LINK, 0, 1)) * 4_000
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", port))
        client.sendall(encode(a_bind()))
        await until(lambda: handler.stood)
        client.setblocking(False)
        ends: list[End] = handler.ends

        def ask() -> bool:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while not ends:
                    client.send(questions)
            return bool(ends)

        await until(ask, within_s=30.0)
    assert handler.ends == [End.SLOW_READER]
    await listener.stop()
