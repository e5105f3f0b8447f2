"""The `partner_api` section of the configuration."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

_HOST: Final = r"^[a-z0-9.:_-]{1,253}$"
Host = Annotated[str, StringConstraints(pattern=_HOST)]
File = Annotated[str, StringConstraints(min_length=1), Field(json_schema_extra={"file": True})]


class PartnerApiSettings(BaseModel):
    """Where and how partners are served."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    listen: str = Field(
        default="127.0.0.1:8080",
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\[\]:\s/]+):[0-9]{1,5}$",
        description="HOST:PORT that partners, or the proxy in front, connect to. Port 0 takes a "
        "free one. Anything but loopback without TLS sends keys in the clear.",
    )
    certificate_file: File | None = Field(
        default=None,
        description="PEM file with this server's certificate and its chain; with it, HTTPS is "
        "served. Without it, TLS is a proxy's work.",
    )
    key_file: File | None = Field(
        default=None, description="PEM file with the certificate's private key, unencrypted."
    )
    client_ca_file: File | None = Field(
        default=None,
        description="PEM file with the authorities that sign partners' certificates. One that they "
        "did not sign ends the handshake.",
    )
    client_certificates: Literal["off", "beside_key", "instead_of_key"] = Field(
        default="off",
        description="What partners' certificates are for. `beside_key`: a key or token is good "
        "only over a connection with a certificate that is registered for its partner. "
        "`instead_of_key`: such a certificate is as good as a key. Needs TLS by the node itself: "
        "behind a proxy that ends it there is no certificate to see.",
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+)?$",
        description="What partners' URLs begin with, such as https://pay.example.net; stands in "
        "`resourceURL` and `Location`. Empty: they get paths.",
    )
    trusted_proxies: tuple[Host, ...] = Field(
        default=(),
        max_length=100,
        description="Addresses of proxies in front. The limit of connections per address does not "
        "hold for them, for all partners come through them, and what they say in `proxy_header` is "
        "where a key is used from. An address that is no proxy's lets its user pretend any origin.",
    )
    proxy_header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for",
        description="In which header those proxies say who called them: X-Forwarded-For, or "
        "Forwarded (RFC 7239). The other one is not looked at: it is what callers wrote.",
    )
    headers_timeout_s: float = Field(
        default=10, gt=0, le=120, description="Seconds for a request's headers to arrive."
    )
    body_timeout_s: float = Field(
        default=20, gt=0, le=120, description="Seconds for a request's body to arrive."
    )
    request_timeout_s: float = Field(
        default=15,
        gt=0,
        le=60,
        description="Seconds for an answer to be made, waiting apart; then it is 503 and the "
        "partner asks again under the same clientCorrelator.",
    )
    idle_timeout_s: float = Field(
        default=75,
        gt=0,
        le=3600,
        description="Seconds that an unused connection is kept. Longer than the proxy's own, or "
        "it sends requests into closing connections.",
    )
    wait_s_max: float = Field(
        default=30,
        ge=0,
        le=30,
        description="Seconds that `?wait=` waits at most. A proxy's read timeout must be longer.",
    )
    requests_per_s_max: float = Field(
        default=200,
        ge=0,
        le=1_000_000,
        description="Requests a second of one partner on this node, with two seconds' worth at "
        "once; more get 429 with Retry-After. 0: no limit, and one partner's loop is everybody's "
        "trouble.",
    )
    waits_per_partner_max: int = Field(
        default=500,
        ge=0,
        le=100_000,
        description="Requests of one partner that wait (`?wait=`) at the same time on this node; "
        "more are answered at once, with the payment as it is.",
    )
    token_lifetime_s: int = Field(
        default=3600,
        ge=60,
        le=86_400,
        description="Seconds for which an access token of `/oauth2/token` is good. A key that is "
        "revoked ends its tokens at once, whatever this says.",
    )
    wrong_secrets_per_min_max: float = Field(
        default=20,
        ge=0,
        le=100_000,
        description="Wrong secrets a minute that `/oauth2/token` looks at from one address on this "
        "node; then it is 429 until one more may come. 0: no limit, and the database is asked for "
        "each guess.",
    )
    requests_per_connection_max: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000_000,
        description="Requests on one connection; the last one's answer closes it, so that callers "
        "come to new nodes and names by and by.",
    )
    connections_max: int = Field(
        default=5000,
        ge=1,
        le=100_000,
        description="Connections at once; more are closed unanswered. Each waiting `?wait=` holds "
        "one, and each one a file descriptor.",
    )
    connections_per_address_max: int = Field(
        default=50, ge=1, le=100_000, description="Connections at once from one address."
    )
    body_size_max: int = Field(
        default=65_536,
        ge=1024,
        le=1_048_576,
        description="Octets of a request's body at most; a longer one gets 413.",
    )
    sink_hosts: tuple[Host, ...] = Field(
        default=(),
        max_length=10_000,
        description="Host names that any partner's request may have in its `sink`, beside the host "
        "of its own registered URL. Addresses are checked whenever events are sent.",
    )
    any_sink_host: bool = Field(
        default=False,
        description="Whether a `sink` may have any public host. Whoever has a key then chooses "
        "where ppcd posts to, though never inside.",
    )
    http_sink_hosts: tuple[Host, ...] = Field(
        default=(),
        max_length=100,
        description="Host names whose `sink` may be plain http. For demo and test networks only: "
        "events and sink tokens travel in the clear.",
    )

    #: CAMARA's path; not a key, as clients are generated with it.
    @property
    def base_path(self) -> str:
        return "/carrier-billing/v0.5"

    @property
    def refund_base_path(self) -> str:
        return "/carrier-billing-refund/v0.3"

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @field_validator("trusted_proxies", "sink_hosts", "http_sink_hosts", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        """One name may stand where a list of one is meant."""
        return (value,) if isinstance(value, str) else value

    @_model_validator(mode="after")
    def _together(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if (self.client_ca_file is None) != (self.client_certificates == "off"):
            raise ValueError("client_ca_file and client_certificates go together")
        if self.client_ca_file is not None and self.certificate_file is None:
            raise ValueError("client_certificates needs certificate_file and key_file")
        if int(self.listen.rpartition(":")[2]) > 65_535:
            raise ValueError("listen: the port must be 0..65535")
        return self
