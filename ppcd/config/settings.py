"""All sections together: what the service is built from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Field, PrivateAttr, Tag

from ppcd.billing.diameter.settings import DiameterBillingSettings
from ppcd.billing.file_settings import FileBillingSettings
from ppcd.billing.settings import HttpBillingSettings
from ppcd.billing.sql_settings import SqlBillingSettings
from ppcd.charge.reading import Words as WordTable
from ppcd.config.bind import link_settings
from ppcd.config.document import Problem
from ppcd.config.limits import Limits
from ppcd.config.links import Link
from ppcd.config.retention import Retention
from ppcd.config.secret import Secret
from ppcd.config.sections import (
    Charges,
    Database,
    Log,
    Node,
    Operations,
    Route,
    TextOverrides,
    Words,
)
from ppcd.config.types import Name, Section
from ppcd.partner.settings import PartnerApiSettings
from ppcd.smpp.settings import LinkSettings
from ppcd.webhook.settings import WebhookSettings

__all__ = ["Settings"]


def _kind_of(section: Any) -> Any:
    """A billing system without a `kind` has an HTTP interface, as most have."""
    if isinstance(section, dict):
        return str(section.get("kind") or "http")
    return getattr(section, "kind", "http")


#: One entry a kind of billing system; `ppcd.service.adapters` makes them.
Billing: TypeAlias = Annotated[
    Annotated[HttpBillingSettings, Tag("http")]
    | Annotated[DiameterBillingSettings, Tag("diameter")]
    | Annotated[SqlBillingSettings, Tag("sql")]
    | Annotated[FileBillingSettings, Tag("file")],
    Discriminator(_kind_of),
]


class Settings(Section):
    """One node's configuration, checked. Secrets are asked for by the path of their key."""

    node: Node = Field(default=Node(), description="This process.")
    database: Database = Field(description="PostgreSQL.")
    links: dict[Name, Link] = Field(
        min_length=1, description="Binds to SMSCs, each under a name that metrics and logs use."
    )
    routes: dict[Name, Route] = Field(
        min_length=1, description="Short codes, each under a name of its own."
    )
    billing: dict[Name, Billing] = Field(
        min_length=1, description="Billing systems, each under a name of its own."
    )
    charges: Charges = Field(default=Charges(), description="The way of a charge.")
    limits: Limits = Field(default=Limits(), description="How often and how much.")
    retention: Retention = Field(
        default=Retention(), description="What is kept for how long, by `ppcd retention`."
    )
    texts: TextOverrides = Field(default=TextOverrides(), description="Texts of prompts.")
    words: Words = Field(default=Words(), description="Words of answers.")
    partner_api: PartnerApiSettings = Field(
        default=PartnerApiSettings(), description="The partners' API."
    )
    webhooks: WebhookSettings = Field(
        default=WebhookSettings(), description="Notifications to partners."
    )
    operations: Operations = Field(
        default=Operations(), description="Metrics, health, control socket."
    )
    log: Log = Field(default=Log(), description="Standard output.")

    _secrets: Mapping[str, Secret] = PrivateAttr(default_factory=dict)
    _warnings: tuple[Problem, ...] = PrivateAttr(default=())

    def secret(self, path: str) -> Secret | None:
        """The secret that `<path>_file` or `<path>_credential` names: `links.main.password`."""
        return self._secrets.get(path)

    def link_settings(self, name: str) -> LinkSettings:
        """What `ppcd.smpp` builds the link `name` with."""
        password = self.secret(f"links.{name}.password")
        assert password is not None, "a link without a password is refused when loading"
        return link_settings(name, self.links[name], password)

    def word_table(self) -> WordTable:
        """The built-in words and those of the file, for `ppcd.charge.reading.Reader`."""
        return self.words.table()

    @property
    def secrets(self) -> Mapping[str, Secret]:
        return self._secrets

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed and probably not meant."""
        return self._warnings
