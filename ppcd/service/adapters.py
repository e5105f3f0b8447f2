"""The billing adapters of a node, by the configuration. A new kind of billing is a line here."""

from typing import Any

from ppcd.billing.http import HttpBilling
from ppcd.billing.settings import HttpBillingSettings
from ppcd.config import Settings
from ppcd.flow.ports import Adapter
from ppcd.http.client import Client


def adapters_of(settings: Settings, *, reactor: Any) -> list[Adapter]:
    """One adapter for each entry under `billing:`."""
    return [_http(name, section, settings, reactor) for name, section in settings.billing.items()]


def _http(name: str, section: HttpBillingSettings, settings: Settings, reactor: Any) -> Adapter:
    credentials = settings.secret(f"billing.{name}.credentials")
    client = Client(reactor, connections_per_host_max=section.connections_max)
    return HttpBilling(
        name,
        section,
        client=client,
        credentials=None if credentials is None else credentials.reveal(),
    )
