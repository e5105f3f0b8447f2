"""TLS for both directions: what a client demands of a server, and what our server shows.

Owns the floor (TLS 1.2), trust roots and certificates. There is no way to switch verification off.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from OpenSSL.SSL import Context
from twisted.internet import ssl
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer


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


def server_options(certificate_file: Path, key_file: Path) -> ssl.CertificateOptions:
    """What a listening socket shows: the file's first certificate is ours, the rest its chain.

    Raises OSError or ValueError when a file is not there or does not hold what it should.
    """
    return ssl.CertificateOptions(
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2, **_shown(certificate_file, key_file)
    )
