"""TLS for links and listeners: certificates verified, our own shown, old versions refused.

Reads PEM files; knows no SMPP.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from ppcd.smpp.settings import TlsSettings

# Twisted's own functions carry no types.
_platform_trust: Callable[[], Any] = ssl.platformTrust
_trust_in: Callable[[list[ssl.Certificate]], Any] = ssl.trustRootFromCertificates
_load_own: Callable[[bytes], Any] = ssl.PrivateCertificate.loadPEM

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_PEM_END: Final = b"-----END CERTIFICATE-----"


def client_tls(settings: TlsSettings, host: str) -> IOpenSSLClientConnectionCreator:
    """For `wrapClientTLS`: verifies the SMSC's chain and name. OSError when a file is missing."""
    trust = _platform_trust()
    if settings.ca_file is not None:
        trust = _trust_in(_certificates(settings.ca_file))
    creator: IOpenSSLClientConnectionCreator = ssl.optionsForClientTLS(
        settings.server_name or host, trustRoot=trust, extraCertificateOptions=_options(settings)
    )
    return creator


def server_tls(settings: TlsSettings) -> ssl.CertificateOptions:
    """For a listener: with `ca_file`, clients must show a certificate of that authority."""
    options = _options(settings)
    if settings.ca_file is not None:
        options["trustRoot"] = _trust_in(_certificates(settings.ca_file))
    return ssl.CertificateOptions(**options)


def _options(settings: TlsSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"raiseMinimumTo": _VERSIONS[settings.minimum_version]}
    if settings.certificate_file is not None:
        assert settings.key_file is not None
        pem = Path(settings.certificate_file).read_bytes()
        own = _load_own(pem + b"\n" + Path(settings.key_file).read_bytes())
        chain = _certificates(settings.certificate_file)
        options["privateKey"] = own.privateKey.original
        options["certificate"] = own.original
        options["extraCertChain"] = [certificate.original for certificate in chain[1:]]
    return options


def _certificates(path: str) -> list[ssl.Certificate]:
    blocks = Path(path).read_bytes().split(_PEM_END)[:-1]
    return [ssl.Certificate.loadPEM(block + _PEM_END + b"\n") for block in blocks]
