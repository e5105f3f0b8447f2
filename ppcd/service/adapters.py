"""The billing adapters of a node, by the configuration. A new kind of billing is a line here."""

from random import Random
from typing import Any, assert_never

from ppcd.billing.diameter.adapter import DiameterBilling
from ppcd.billing.diameter.settings import DiameterBillingSettings
from ppcd.billing.http import HttpBilling
from ppcd.billing.settings import HttpBillingSettings
from ppcd.config import Settings
from ppcd.flow.ports import Adapter
from ppcd.http.client import Client


def adapters_of(settings: Settings, *, reactor: Any, random: Random) -> list[Adapter]:
    """One adapter for each entry under `billing:`. OSError or ValueError when one can't work."""
    adapters: list[Adapter] = []
    for name, section in settings.billing.items():
        match section:
            case HttpBillingSettings():
                adapters.append(_http(name, section, settings, reactor))
            case DiameterBillingSettings():
                adapters.append(_diameter(name, section, reactor, random))
            case other:
                assert_never(other)
    return adapters


def _http(name: str, section: HttpBillingSettings, settings: Settings, reactor: Any) -> Adapter:
    credentials = settings.secret(f"billing.{name}.credentials")
    client = Client(reactor, connections_per_host_max=section.connections_max)
    return HttpBilling(
        name,
        section,
        client=client,
        credentials=None if credentials is None else credentials.reveal(),
    )


def _diameter(name: str, section: DiameterBillingSettings, reactor: Any, random: Random) -> Adapter:
    adapter = DiameterBilling(name, section, reactor=reactor, random=random)
    # Connected before the first debit needs it, so that who watches the log sees a peer missing.
    reactor.callWhenRunning(adapter.start)
    return adapter
