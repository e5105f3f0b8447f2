"""TLS for both directions: what a client demands of a server, and what our server shows.

Owns the floor (TLS 1.2), trust roots and certificates. There is no way to switch verification off.
"""

from dataclasses import dataclass
from pathlib import Path

from OpenSSL import crypto
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

_PEM_BEGIN = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """What an outgoing connection trusts and shows. No CA file means the platform's roots."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


def _pem_certificates(path: Path) -> list[ssl.Certificate]:
    blocks = path.read_bytes().split(_PEM_BEGIN)[1:]
    if not blocks:
        raise ValueError(f"{path}: no PEM certificate in it")
    return [ssl.Certificate.loadPEM(_PEM_BEGIN + block) for block in blocks]


def client_options(hostname: str, tls: ClientTls) -> IOpenSSLClientConnectionCreator:
    """How to speak TLS to `hostname` (a name or an IP address); the peer must prove that name.

    Raises OSError or ValueError when a file is not there or holds no certificate.
    """
    trust = None
    if tls.ca_file is not None:
        trust = ssl.trustRootFromCertificates(  # type: ignore[no-untyped-call]
            _pem_certificates(tls.ca_file)
        )
    own = None
    if tls.certificate_file is not None:
        key_file = tls.key_file or tls.certificate_file
        own = ssl.PrivateCertificate.loadPEM(  # type: ignore[no-untyped-call]
            tls.certificate_file.read_bytes() + b"\n" + key_file.read_bytes()
        )
    options: IOpenSSLClientConnectionCreator = ssl.optionsForClientTLS(
        hostname,
        trustRoot=trust,
        clientCertificate=own,
        extraCertificateOptions={"raiseMinimumTo": ssl.TLSVersion.TLSv1_2},
    )
    return options


def server_options(certificate_file: Path, key_file: Path) -> ssl.CertificateOptions:
    """The context of a listening socket: the first certificate is ours, the rest its chain."""
    own, *chain = _pem_certificates(certificate_file)
    key = crypto.load_privatekey(crypto.FILETYPE_PEM, key_file.read_bytes())
    return ssl.CertificateOptions(
        privateKey=key,
        certificate=own.original,
        extraCertChain=[link.original for link in chain],
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
    )
