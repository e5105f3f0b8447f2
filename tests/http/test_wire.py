"""Client and server over real sockets: TLS, kept connections, and what only a kernel can do."""

import datetime
import ipaddress
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor as _reactor  # noqa: TID251 - real sockets need it
from twisted.internet import ssl
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from ppcd.http.client import Client, ClientTls, NotSent
from ppcd.http.messages import Request, Response
from ppcd.http.router import Router
from ppcd.http.server import Site
from ppcd.http.tls import _Roots, client_options, server_options

reactor: Any = _reactor


class _Authority:
    """A certificate authority that lives as long as a test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, directory.name)])
        self.file = directory / "ca.pem"
        self._certificate = self._sign(self._name, self._key.public_key(), [], is_ca=True)
        self.file.write_bytes(self._certificate)

    def _sign(self, name: x509.Name, key: Any, names: list[Any], *, is_ca: bool) -> bytes:
        now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def certify(self, *names: Any) -> tuple[Path, Path]:
        """Certificate (with its chain) and key files for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
        certificate_file = self._directory / "certificate.pem"
        key_file = self._directory / "key.pem"
        signed = self._sign(subject, key.public_key(), list(names), is_ca=False)
        certificate_file.write_bytes(signed + self._certificate)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate_file, key_file


async def _hello(request: Request) -> Response:
    return Response(200, body=request.header(b"host") or b"")


async def _big(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 100_000

    return Response(200, body=pieces())


def _site() -> Site:
    router = Router()
    router.add("GET", "/hello", _hello)
    router.add("GET", "/big", _big)
    return Site(router, reactor=reactor)


class _Served:
    """A site on a free port, for the length of a `with`."""

    def __init__(self, *, tls: Any = None) -> None:
        self._tls = tls

    async def __aenter__(self) -> "_Served":
        self.site = _site()
        listen = {"interface": "127.0.0.1"}
        if self._tls is None:
            self._port = reactor.listenTCP(0, self.site, **listen)
        else:
            self._port = reactor.listenSSL(0, self.site, self._tls, **listen)
        self.port = self._port.getHost().port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._port.stopListening()
        await self.site.stop(1.0)


def _resolver(*addresses: str) -> Any:
    async def resolve(name: str) -> list[str]:
        return list(addresses)

    return resolve


@pytest_twisted.ensureDeferred
async def test_plain_http_with_the_systems_resolver() -> None:
    async with _Served() as served:
        client = Client(reactor)
        for _ in range(3):
            answer = await client.request(
                b"GET", f"http://localhost:{served.port}/hello", timeout_s=5.0
            )
            assert answer.body == f"localhost:{served.port}".encode()
        assert served.site.connections == 1
        await client.close()


@pytest_twisted.ensureDeferred
async def test_a_name_that_does_not_exist_is_not_sent() -> None:
    client = Client(reactor)
    with pytest.raises(NotSent):
        await client.request(b"GET", "http://no-such-host.invalid/", timeout_s=20.0)
    await client.close()


@pytest_twisted.ensureDeferred
async def test_a_large_stream_arrives_whole() -> None:
    async with _Served() as served:
        client = Client(reactor)
        answer = await client.request(
            b"GET",
            f"http://127.0.0.1:{served.port}/big",
            timeout_s=10.0,
            answer_size_max=6_000_000,
        )
        assert len(answer.body) == 5_000_000
        await client.close()


@pytest_twisted.ensureDeferred
async def test_a_close_that_the_reactor_has_not_read_yet_is_seen_before_writing() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    client = Client(reactor)

    def serve_one() -> None:
        peer, _ = listener.accept()
        accepted.append(peer)
        peer.recv(1000)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    running = client.request(b"POST", url, timeout_s=5.0)
    await deferToThread(serve_one)
    assert (await running).body == b"x"
    # Closed in this very turn: the reactor had no chance to hear of it.
    accepted[0].close()
    running = client.request(b"POST", url, timeout_s=5.0)
    await deferToThread(serve_one)
    assert (await running).body == b"x"
    accepted[1].close()
    listener.close()
    await client.close()


@pytest_twisted.ensureDeferred
async def test_https_proves_the_name_and_keeps_the_connection(tmp_path: Path) -> None:
    authority = _Authority(tmp_path)
    certificate_file, key_file = authority.certify(x509.DNSName("billing.example"))
    async with _Served(tls=server_options(certificate_file, key_file)) as served:
        client = Client(
            reactor, tls=ClientTls(ca_file=authority.file), resolve=_resolver("127.0.0.1")
        )
        url = f"https://billing.example:{served.port}/hello"
        for _ in range(2):
            answer = await client.request(b"GET", url, timeout_s=5.0)
            assert answer.body == f"billing.example:{served.port}".encode()
        assert served.site.connections == 1
        with pytest.raises(NotSent, match="connecting"):
            await client.request(
                b"GET", f"https://other.example:{served.port}/hello", timeout_s=5.0
            )
        await client.close()


@pytest_twisted.ensureDeferred
async def test_https_to_an_address_and_by_the_platforms_roots(tmp_path: Path) -> None:
    authority = _Authority(tmp_path)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate_file, key_file = authority.certify(address)
    async with _Served(tls=server_options(certificate_file, key_file)) as served:
        url = f"https://127.0.0.1:{served.port}/hello"
        client = Client(reactor, tls=ClientTls(ca_file=authority.file))
        answer = await client.request(b"GET", url, timeout_s=5.0)
        assert answer.status == 200
        await client.close()
        unknown = Client(reactor)
        with pytest.raises(NotSent):
            await unknown.request(b"GET", url, timeout_s=5.0)
        await unknown.close()


@pytest_twisted.ensureDeferred
async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    authority = _Authority(tmp_path)
    certificate_file, key_file = authority.certify(x509.DNSName("billing.example"))
    options = ssl.CertificateOptions(
        privateKey=server_options(certificate_file, key_file).privateKey,
        certificate=server_options(certificate_file, key_file).certificate,
        trustRoot=_Roots(authority.file),
    )
    async with _Served(tls=options) as served:
        url = f"https://billing.example:{served.port}/hello"
        tls = ClientTls(authority.file, certificate_file, key_file)
        client = Client(reactor, tls=tls, resolve=_resolver("127.0.0.1"))
        assert (await client.request(b"GET", url, timeout_s=5.0)).status == 200
        await client.close()


@pytest_twisted.ensureDeferred
async def test_a_server_that_never_shakes_hands_is_not_sent() -> None:
    class Mute(Protocol):
        pass

    factory = Factory.forProtocol(Mute)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    client = Client(reactor)
    url = f"https://127.0.0.1:{port.getHost().port}/"
    with pytest.raises(NotSent, match="timeout connecting"):
        await client.request(b"GET", url, timeout_s=5.0, connect_timeout_s=0.2)
    await client.close()
    await port.stopListening()


def test_a_file_without_a_certificate_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing here")
    with pytest.raises(ValueError, match="no PEM certificate"):
        client_options("billing.example", ClientTls(ca_file=empty))
