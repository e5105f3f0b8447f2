"""From the `links:` section to what the SMPP package, which knows no files, is built with."""

from __future__ import annotations

from typing import Final

from ppcd.config.links import Link, Tls
from ppcd.config.secret import Secret
from ppcd.smpp.body import WireQuirks
from ppcd.smpp.quirks import Quirks
from ppcd.smpp.settings import BackoffSettings, LinkSettings, TlsSettings
from ppcd.smpp.status import Advice, Status

__all__ = ["link_settings", "status_number"]

#: Well below the lease of a prompt job that was begun.
QUEUE_S: Final = 20.0


def link_settings(name: str, link: Link, password: Secret) -> LinkSettings:
    """One link as `ppcd.smpp` wants it."""
    return LinkSettings(
        name=name,
        host=link.host,
        port=link.port,
        system_id=link.system_id,
        password=password.reveal(),
        bind=link.bind,
        system_type=link.system_type,
        addr_ton=link.addr_ton,
        addr_npi=link.addr_npi,
        address_range=link.address_range,
        window_max=link.window_max,
        queue_max=link.queue_max,
        # A text that waits longer is left to whoever takes the job over when its lease ends.
        queue_s=QUEUE_S,
        rate_max=link.rate_max,
        connect_timeout_s=link.connect_timeout_s,
        session_init_s=link.session_init_s,
        response_timeout_s=link.response_timeout_s,
        enquire_link_s=link.enquire_link_s,
        enquire_link_timeout_s=link.response_timeout_s,
        inactivity_s=link.inactivity_s,
        drain_s=link.drain_s,
        pdu_size_max=link.pdu_size_max,
        not_now_status=Status[link.not_now_status],
        advice={status_number(key): Advice[how.upper()] for key, how in link.advice.items()},
        tls=None if link.tls is None else _tls(link.tls),
        backoff=BackoffSettings(**link.backoff.model_dump()),
        quirks=Quirks(wire=WireQuirks(**link.wire.model_dump())),
    )


def status_number(text: str) -> int:
    """`ESME_RX_T_APPN`, `0x450` or `1104`; raises ValueError for anything else."""
    if text in Status.__members__:
        return int(Status[text])
    number = int(text, 0)
    if not 0 < number <= 0xFFFFFFFF:
        raise ValueError
    return number


def _tls(tls: Tls) -> TlsSettings:
    return TlsSettings(
        ca_file=tls.ca_file,
        certificate_file=tls.certificate_file,
        key_file=tls.key_file,
        server_name=tls.server_name,
        minimum_version=tls.version_min,
    )
