"""The `webhooks` section of the configuration."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from ppcd.webhook.guard import Guard

Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.:_-]{1,253}$")]
Port = Annotated[int, Field(ge=1, le=65_535)]
File = Annotated[str, StringConstraints(min_length=1), Field(json_schema_extra={"file": True})]


class WebhookSettings(BaseModel):
    """How partners are told."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str = Field(
        default="urn:ppcd",
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="The `source` of every event: a URI that names this operator. Partners tell "
        "events of several senders apart by it.",
    )
    timeout_s: float = Field(
        default=10,
        gt=0,
        le=50,
        description="Seconds for one attempt in all. A partner that takes longer gets the event "
        "again, though it may have worked on it.",
    )
    connections_per_host_max: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Connections to one host at once; a partner that hangs holds no more.",
    )
    hosts: tuple[Host, ...] = Field(
        default=(),
        max_length=10_000,
        description="The only hosts that events are sent to. Empty: any public one.",
    )
    http_hosts: tuple[Host, ...] = Field(
        default=(),
        max_length=100,
        description="Hosts that may be told over plain http, at any port and address, private ones "
        "too. For demo and test networks only: whoever can name such a host in a request can make "
        "ppcd post to it.",
    )
    networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        max_length=100,
        description="Private networks that https URLs may resolve into, such as 10.20.0.0/16, for "
        "partners in the operator's own house.",
    )
    ports: tuple[Port, ...] = Field(
        default=(443, 8443),
        min_length=1,
        max_length=100,
        description="Ports that https URLs may have.",
    )
    ca_file: File | None = Field(
        default=None,
        description="PEM file with the authorities that sign partners' certificates, instead of "
        "the platform's.",
    )

    @field_validator("hosts", "http_hosts", "networks", "ports", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        """One value may stand where a list of one is meant."""
        return (value,) if isinstance(value, str) else value

    @property
    def guard(self) -> Guard:
        return Guard(
            hosts=frozenset(self.hosts),
            http_hosts=frozenset(self.http_hosts),
            networks=self.networks,
            ports=frozenset(self.ports),
        )
