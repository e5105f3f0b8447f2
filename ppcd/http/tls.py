"""TLS for both directions: what a client demands of a server, and what our server shows.

Owns the floor (TLS 1.2), trust roots and certificates. There is no way to switch verification off.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from OpenSSL.SSL import Connection, Context
from twisted.internet import ssl
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from ppcd.http.messages import ClientCertificate


@dataclass(frozen=True, slots=True)
class ClientTls:
    """What an outgoing connection trusts and shows. No CA file means the platform's roots."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None  #: the certificate's, unless that file holds it


@implementer(IOpenSSLTrustRoot)
class _Roots:
    """The certificates of one file and no others."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _addCACertsToContext(self, context: Context) -> None:
        context.load_verify_locations(str(self._file))


class UnbufferedTlsFactory(TLSMemoryBIOFactory):
    """TLS whose writes are encrypted and handed on at once.

    The library's usual one collects small writes until the reactor's next turn; a request that may
    only be sent in this turn must not wait for another.
    """

    protocol = TLSMemoryBIOProtocol


def _certificates(path: Path) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(path.read_bytes())
    except ValueError as exc:
        raise ValueError(f"{path}: no PEM certificate in it") from exc


def _key(path: Path) -> Any:
    try:
        return load_pem_private_key(path.read_bytes(), password=None)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{path}: no unencrypted PEM private key in it") from exc


def _shown(certificate_file: Path, key_file: Path) -> dict[str, Any]:
    """Certificate, chain and key as the library's options take them."""
    own, *chain = _certificates(certificate_file)
    return {"privateKey": _key(key_file), "certificate": own, "extraCertChain": chain}


def client_options(hostname: str, tls: ClientTls) -> IOpenSSLClientConnectionCreator:
    """How to speak TLS to `hostname` (a name or an IP address); the peer must prove that name.

    Raises OSError or ValueError when a file is not there or does not hold what it should.
    """
    more: dict[str, Any] = {"raiseMinimumTo": ssl.TLSVersion.TLSv1_2}
    if tls.certificate_file is not None:
        more |= _shown(tls.certificate_file, tls.key_file or tls.certificate_file)
    trust = None
    if tls.ca_file is not None:
        _certificates(tls.ca_file)
        trust = _Roots(tls.ca_file)
    options: IOpenSSLClientConnectionCreator = ssl.optionsForClientTLS(
        hostname, trustRoot=trust, extraCertificateOptions=more
    )
    return options


def server_options(
    certificate_file: Path, key_file: Path, *, client_ca_file: Path | None = None
) -> ssl.CertificateOptions:
    """What a listening socket shows: the file's first certificate is ours, the rest its chain.

    With `client_ca_file`, clients are asked for a certificate; one that none of these authorities
    signed, or that is out of date, ends the handshake, none at all does not.
    Raises OSError or ValueError when a file is not there or does not hold what it should.
    """
    more: dict[str, Any] = {}
    if client_ca_file is not None:
        _certificates(client_ca_file)
        more = {"trustRoot": _Roots(client_ca_file)}
    options = ssl.CertificateOptions(
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2, **_shown(certificate_file, key_file), **more
    )
    options.requireCertificate = False
    if client_ca_file is not None:
        # So that a client with several certificates knows which one is meant.
        options.getContext().load_client_ca(bytes(client_ca_file))
    return options


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """What a listening socket shows, read again when it is told to: connections that there are stay
    as they are.
    """

    def __init__(self, read: Callable[[], ssl.CertificateOptions]) -> None:
        """Raises what `read` raises, as `reload` does."""
        self._read = read
        self._options = read()

    def reload(self) -> None:
        """Read the files again; what was in force stays so when they are bad."""
        self._options = self._read()

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> Connection:
        return Connection(self._options.getContext(), None)


def peer_certificate(transport: Any) -> ClientCertificate | None:
    """What the peer of a TLS connection has shown; None for none, and for what is no TLS."""
    get = getattr(transport, "getPeerCertificate", None)
    shown = None if get is None else get()
    if shown is None:
        return None
    certificate: Certificate = shown.to_cryptography()
    return ClientCertificate(
        certificate.fingerprint(SHA256()), certificate.subject.rfc4514_string()
    )
