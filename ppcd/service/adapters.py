"""The billing adapters of a node, by the configuration. A new kind of billing is a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from ppcd.billing.diameter.adapter import DiameterBilling
from ppcd.billing.file import FileBilling
from ppcd.billing.http import HttpBilling
from ppcd.billing.sql import SqlBilling, lanes_for
from ppcd.config import Settings
from ppcd.flow.pace import Pace
from ppcd.flow.ports import Adapter
from ppcd.http.client import Client, ClientTls
from ppcd.metrics import Metrics
from ppcd.store.dsn import dsn_of


@dataclass(frozen=True, slots=True)
class _Given:
    """What an adapter is made with, whatever its kind. `section` is its part of `billing:`."""

    name: str
    section: Any
    settings: Settings
    reactor: Any
    random: Random
    wall_s: Callable[[], float]

    def secret(self, key: str) -> str | None:
        secret = self.settings.secret(f"billing.{self.name}.{key}")
        return None if secret is None else secret.reveal()


def adapters_of(
    settings: Settings, *, reactor: Any, random: Random, wall_s: Callable[[], float]
) -> list[Adapter]:
    """One adapter for each entry under `billing:`. OSError or ValueError when one can't work.

    `wall_s` is Unix time, for what billing logs.
    """
    return [
        _MAKERS[section.kind](_Given(name, section, settings, reactor, random, wall_s))
        for name, section in settings.billing.items()
    ]


def paces_of(
    settings: Settings, *, reactor: Any, random: Random, metrics: Metrics
) -> dict[str, Pace]:
    """How fast each billing system is asked."""
    return {
        name: Pace(
            name,
            section.pace.rules(section.at_once_max),
            clock=reactor,
            jitter=random.random,
            metrics=metrics,
        )
        for name, section in settings.billing.items()
    }


def _http(given: _Given) -> Adapter:
    section = given.section
    tls = ClientTls(
        ca_file=_path(section.ca_file),
        certificate_file=_path(section.certificate_file),
        key_file=_path(section.key_file),
    )
    return HttpBilling(
        given.name,
        section,
        client=Client(given.reactor, connections_per_host_max=section.connections_max, tls=tls),
        now=lambda: datetime.fromtimestamp(given.wall_s(), UTC),
        credentials=given.secret("credentials"),
        password=given.secret("password"),
    )


def _diameter(given: _Given) -> Adapter:
    adapter = DiameterBilling(given.name, given.section, reactor=given.reactor, random=given.random)
    # Connected before the first debit needs it, so that who watches the log sees a peer missing.
    given.reactor.callWhenRunning(adapter.start)
    return adapter


def _sql(given: _Given) -> Adapter:
    section = given.section
    parameters = {"connect_timeout": str(section.connect_timeout_s)}
    dsn = dsn_of(section.dsn, parameters, given.secret("password"))
    lanes = lanes_for(section, dsn, reactor=given.reactor)
    return SqlBilling(given.name, section, lanes=lanes, close=lanes.close)


def _file(given: _Given) -> Adapter:
    adapter = FileBilling(
        given.name,
        given.section,
        reactor=given.reactor,
        now=lambda: datetime.fromtimestamp(given.wall_s(), UTC),
    )
    # A file that an earlier run has not finished does not wait for the next debit.
    given.reactor.callWhenRunning(adapter.start)
    return adapter


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


_MAKERS: Final[Mapping[str, Callable[[_Given], Adapter]]] = {
    "http": _http,
    "diameter": _diameter,
    "sql": _sql,
    "file": _file,
}
