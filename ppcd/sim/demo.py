"""The demo's outside: SMSC, billing, the partner's shop and the page's address, started together.

Owns the order of starting and stopping, and the addresses that a node needs to be told. Knows no
key of the node's configuration: whoever starts the node writes that, from `Addresses`.
"""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from twisted.logger import Logger

from ppcd.sim.billing import Billing, BillingOptions
from ppcd.sim.front import Front
from ppcd.sim.shop import WEBHOOK_PATH, Shop, ShopOptions
from ppcd.sim.smsc import Smsc, SmscOptions
from ppcd.sim.web import Reactor, Route

#: What the operator would have given the partner. Fixed, since a demo guards nothing.
DEMO_KEY: Final = "demo-key"
DEMO_SECRET: Final = "whsec_" + base64.b64encode(b"the demo shop's own secret").decode()

log = Logger(namespace="ppcd.sim.demo")


class AnySmsc(Protocol):
    """The simulated SMSC with its handsets, as far as the demo knows it."""

    @property
    def port(self) -> int: ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def sim_routes(self) -> Sequence[Route]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideOptions:
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    #: Journals, and with them accounts and received webhooks, are kept there.
    data_dir: Path | None = None
    partner_key: str = DEMO_KEY
    webhook_secret: str = DEMO_SECRET
    merchant: str = "GameX"
    #: What the node binds to the SMSC with.
    system_id: str = "ppcd"
    password: str = "demo"  # noqa: S105  # a demo guards nothing
    #: SMSC and billing listen there, on free ports.
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """What the node must be told about its surroundings."""

    smsc_host: str
    smsc_port: int
    system_id: str
    password: str
    billing_url: str
    webhook_url: str
    webhook_secret: str
    partner_key: str
    #: What browsers may call the demo's machine.
    hosts: tuple[str, ...]
    #: The same as origins: of the shop, which shows payment pages in a frame and is returned to.
    sites: tuple[str, ...]


class Outside:
    """Everything around a node. `start`, tell the node `addresses`, start it, then `connect`."""

    def __init__(
        self,
        reactor: Reactor,
        options: OutsideOptions,
        *,
        smsc: AnySmsc | None = None,
        make_id: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        self._options = options
        self.smsc = smsc or Smsc(
            reactor,
            SmscOptions(
                host=options.host,
                data_dir=options.data_dir,
                accounts={options.system_id: options.password},
            ),
        )
        self.billing = Billing(
            reactor, BillingOptions(host=options.host, data_dir=options.data_dir)
        )
        self.shop = Shop(
            reactor,
            ShopOptions(
                key=options.partner_key,
                webhook_secret=options.webhook_secret,
                merchant=options.merchant,
                data_dir=options.data_dir,
            ),
            make_id=make_id,
        )
        routes = (*self.smsc.sim_routes(), *self.billing.sim_routes(), *self.shop.routes())
        self.front = Front(reactor, routes, host=options.http_host, port=options.http_port)
        #: In the order of starting: a taken port of the page should be the first thing known.
        self._parts = (self.front, self.smsc, self.billing)

    @property
    def url(self) -> str:
        """The demo's address."""
        return self.front.url

    @property
    def addresses(self) -> Addresses:
        hosts = hosts_of(self._options.http_host)
        return Addresses(
            smsc_host=self._options.host,
            smsc_port=self.smsc.port,
            system_id=self._options.system_id,
            password=self._options.password,
            billing_url=self.billing.url,
            webhook_url=self.front.local_url + WEBHOOK_PATH,
            webhook_secret=self._options.webhook_secret,
            partner_key=self._options.partner_key,
            hosts=hosts,
            sites=tuple(f"http://{host}:{self.front.port}" for host in hosts),
        )

    async def start(self) -> None:
        """All or nothing: if one part can't start, none is left running."""
        try:
            for part in self._parts:
                await part.start()
        except BaseException:
            await self.stop()
            raise

    def write_configuration(self, path: Path, template: Callable[[Addresses], str]) -> None:
        """Writes what `template` makes of the addresses, for nobody else to read."""
        path.touch(mode=0o600)
        path.write_text(template(self.addresses), encoding="utf-8")

    def connect(self, partner_url: str) -> None:
        """Says where the node's partner address is; from now on the page works."""
        self.shop.connect(partner_url)
        self.front.connect(partner_url)

    async def stop(self) -> None:
        """Ends all parts, also when one of them fails to end."""
        for part in (self.shop, *reversed(self._parts)):
            try:
                await part.stop()
            except Exception:
                log.failure("a part of the demo did not stop")


def hosts_of(listens_on: str) -> tuple[str, ...]:
    """What this machine can be called where it listens on that address."""
    hosts = {"127.0.0.1", "localhost", listens_on}
    if listens_on == "0.0.0.0":  # noqa: S104
        hosts = hosts - {listens_on} | {socket.gethostname().lower()}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards_others, suppress(OSError):
            # Sends nothing: it only says which of our addresses the others see.
            towards_others.connect(("192.0.2.1", 9))
            hosts.add(str(towards_others.getsockname()[0]))
    return tuple(sorted(hosts))
