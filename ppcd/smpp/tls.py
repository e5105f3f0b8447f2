"""TLS for links and listeners: certificates verified, our own shown, old versions refused.

Reads PEM files; knows no SMPP.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.SSL import Context
from twisted.internet import ssl
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from ppcd.smpp.settings import TlsSettings

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@implementer(IOpenSSLTrustRoot)
class _Roots:
    """The authorities of one file and no others."""

    def __init__(self, file: str) -> None:
        # Read once now, so that what is wrong with it is known at the start.
        load_pem_x509_certificates(Path(file).read_bytes())
        self._file = file

    def _addCACertsToContext(self, context: Context) -> None:
        context.load_verify_locations(self._file)


def client_tls(settings: TlsSettings, host: str) -> IOpenSSLClientConnectionCreator:
    """For `wrapClientTLS`: verifies the SMSC's chain and name.

    OSError or ValueError when a file is missing or holds something else.
    """
    creator: IOpenSSLClientConnectionCreator = ssl.optionsForClientTLS(
        settings.server_name or host,
        # None: the system's authorities.
        trustRoot=None if settings.ca_file is None else _Roots(settings.ca_file),
        extraCertificateOptions=_options(settings),
    )
    return creator


def server_tls(settings: TlsSettings) -> ssl.CertificateOptions:
    """For a listener: with `ca_file`, clients must show a certificate of that authority."""
    options = _options(settings)
    if settings.ca_file is not None:
        options["trustRoot"] = _Roots(settings.ca_file)
    return ssl.CertificateOptions(**options)


def _options(settings: TlsSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"raiseMinimumTo": _VERSIONS[settings.minimum_version]}
    if settings.certificate_file is not None:
        assert settings.key_file is not None
        own, *chain = load_pem_x509_certificates(Path(settings.certificate_file).read_bytes())
        options["certificate"] = own
        options["extraCertChain"] = chain
        options["privateKey"] = load_pem_private_key(
            Path(settings.key_file).read_bytes(), password=None
        )
    return options
