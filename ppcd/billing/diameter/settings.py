"""How an operator's online charging system is reached over Diameter, and what it promises."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.diameter.answers import FIXED
from ppcd.billing.pace_settings import PaceSettings
from ppcd.billing.settings import BILLING_REASONS
from ppcd.charge.debit import Abilities, DenialReason

__all__ = ["DiameterBillingSettings", "DiameterPeerSettings", "DiameterTlsSettings"]

_IDENTITY: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)+")
_VENDOR_CODE: Final = re.compile(r"[1-9][0-9]{0,9}:[0-9]{1,10}")
_U32_MAX: Final = 0xFFFFFFFF

Identity = Annotated[str, StringConstraints(min_length=3, max_length=255)]
File = Annotated[str, StringConstraints(min_length=1), Field(json_schema_extra={"file": True})]
PeerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DiameterTlsSettings(_Section):
    """TLS before the first message. The peers' certificates are always verified."""

    ca_file: File | None = Field(
        default=None, description="PEM file of the authorities to trust; by default the system's."
    )
    certificate_file: File | None = Field(
        default=None, description="PEM file of our certificate; most peers ask for one."
    )
    key_file: File | None = Field(
        default=None, description="PEM file of its private key; must not be readable by others."
    )
    version_min: Literal["1.2", "1.3"] = Field(
        default="1.2", description="Oldest TLS version taken."
    )

    @_model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        return self


class DiameterPeerSettings(_Section):
    """One Diameter peer: the charging system itself, or an agent before it."""

    host: str = Field(
        min_length=1, description="Host name or address, IPv4 or IPv6, to connect to."
    )
    port: int = Field(default=3868, ge=1, le=65535, description="TCP port; with TLS usually 5658.")
    identity: Identity | None = Field(
        default=None,
        description="The only DiameterIdentity (Origin-Host) that this peer may have; none takes "
        "any. With TLS it is not compared with the certificate.",
    )
    server_name: str | None = Field(
        default=None, description="Name in the peer's certificate, where it is not `host`."
    )

    @field_validator("identity")
    @classmethod
    def _is_an_identity(cls, value: str | None) -> str | None:
        return value and _identity(value)


class DiameterAbilitiesSettings(_Section):
    """What the charging system's owner has confirmed. Claiming too much debits people twice."""

    idempotent: bool = Field(
        default=False,
        description="A request with the same Session-Id and CC-Request-Number never debits twice "
        "for as long as charges stay in doubt, whatever node sends it. Wrongly true: a repeat "
        "after a timeout takes the money again. It holds for refunds too, which have Session-Ids "
        "of their own.",
    )
    stores_refusals: bool = Field(
        default=False,
        description="A refusal is kept under the Session-Id as well and repeated to a late first "
        "attempt. Wrongly true: a refused repeat is believed while the first may still debit.",
    )
    reversible: bool = Field(
        default=False,
        description="It takes REFUND_ACCOUNT events; without it refunds are refused to the "
        "partner.",
    )
    reserving: bool = Field(
        default=False,
        description="It holds money in sessions: INITIAL_REQUEST reserves, TERMINATION_REQUEST "
        "takes what it says was used. Without it payments in two steps are refused to the partner.",
    )
    quiet_period_s: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Seconds after which a request that was not answered can no longer debit: the "
        "longest way through agents and queues. At least `answer_timeout_s`.",
    )

    def abilities(self) -> Abilities:
        return Abilities(
            idempotent=self.idempotent,
            stores_refusals=self.stores_refusals,
            reversible=self.reversible,
            reserving=self.reserving,
            quiet_period_s=self.quiet_period_s,
        )


class DiameterBillingSettings(_Section):
    """An online charging system spoken to with Diameter credit control, one event a debit."""

    kind: Literal["diameter"] = Field(description="This kind of billing system.")
    origin_host: Identity = Field(
        description="This node's DiameterIdentity, a full host name. One for each node: two with "
        "the same one throw each other out."
    )
    origin_realm: Identity = Field(description="The realm that this node belongs to.")
    session_identity: Identity = Field(
        description="What Session-Ids begin with: the same on all nodes, for ever. It is half of "
        "the key by which repeats are recognised; changed while charges are in doubt, a repeat "
        "debits again."
    )
    destination_realm: Identity = Field(description="The charging system's realm.")
    destination_host: Identity | None = Field(
        default=None,
        description="Its DiameterIdentity, where agents must be told; none lets them choose.",
    )
    service_context_id: Annotated[str, StringConstraints(min_length=3, max_length=255)] = Field(
        description="The charging system's name for this service, `name@domain`. Wrong: all "
        "debits are refused."
    )
    service_identifier: int | None = Field(
        default=None, ge=0, le=_U32_MAX, description="Service-Identifier, where it wants one."
    )
    rating_group: int | None = Field(
        default=None,
        ge=0,
        le=_U32_MAX,
        description="Rating-Group, where it wants one; only with `use_mscc`.",
    )
    use_mscc: bool = Field(
        default=False,
        description="Put the money into Multiple-Services-Credit-Control, for systems that read it "
        "only there.",
    )
    peers: dict[PeerName, DiameterPeerSettings] = Field(
        min_length=1,
        max_length=4,
        description="Peers, each under a name of its own. The first that is open is used, so two "
        "make a primary and a secondary.",
    )
    tls: DiameterTlsSettings | None = Field(default=None, description="TLS to all peers.")
    plaintext_ok: bool = Field(
        default=False,
        description="Say true to go without TLS, where IPsec or a network of its own protects the "
        "connections: RFC 6733 forbids it otherwise.",
    )
    answer_timeout_s: float = Field(
        default=10,
        gt=0,
        le=25,
        description="Seconds for an answer (Tx); after them the outcome is unknown.",
    )
    watchdog_s: float = Field(
        default=30,
        ge=6,
        le=600,
        description="Seconds of silence after which a peer is tested (Tw); after as many again "
        "without an answer the next peer is used.",
    )
    connect_timeout_s: float = Field(
        default=5, gt=0, le=60, description="Seconds to connect, TLS included."
    )
    reconnect_first_s: float = Field(
        default=1, gt=0, le=60, description="Seconds before the first new attempt to connect."
    )
    reconnect_max_s: float = Field(
        default=30, gt=0, le=600, description="Most seconds between attempts (Tc)."
    )
    reopen_watchdogs: int = Field(
        default=3,
        ge=1,
        le=10,
        description="Watchdogs, one each `watchdog_s`, that a peer must answer before it is used "
        "again after a failure. RFC 3539 wants 3, and peers that keep to it pass over what comes "
        "earlier: the outcome is then unknown.",
    )
    peer_wait_s: float = Field(
        default=2,
        ge=0,
        le=4,
        description="Seconds that a debit waits for a peer that is open and has room; then it was "
        "not sent and is tried later.",
    )
    in_flight_max: int = Field(
        default=100, ge=1, le=10_000, description="Requests without an answer at one peer at once."
    )
    refusals: dict[Annotated[int, Field(ge=3000, le=5999)], DenialReason] = Field(
        default_factory=dict,
        description="More values of Result-Code that mean: no money was taken, and none will be; "
        "with what the partner is told, as `5003: SERVICE_DENIED`. Wrongly listed: somebody has "
        "paid and is told otherwise.",
    )
    vendor_refusals: dict[str, DenialReason] = Field(
        default_factory=dict,
        description="The same for Experimental-Result, by `vendor:code`, as "
        '`"10415:4241": SERVICE_DENIED`.',
    )
    abilities: DiameterAbilitiesSettings = Field(
        default=DiameterAbilitiesSettings(),
        description="What the charging system's owner has confirmed.",
    )
    pace: PaceSettings = Field(
        default=PaceSettings(), description="How fast it is asked, and when it is left alone."
    )

    @property
    def at_once_max(self) -> int:
        """How many requests can be sent before one is answered."""
        return self.in_flight_max

    @field_validator(
        "origin_host", "origin_realm", "session_identity", "destination_realm", "destination_host"
    )
    @classmethod
    def _are_identities(cls, value: str | None) -> str | None:
        return value and _identity(value)

    @field_validator("service_context_id")
    @classmethod
    def _is_a_context(cls, value: str) -> str:
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
            raise ValueError("must be name@domain, as RFC 8506 has it")
        return value

    @field_validator("refusals", "vendor_refusals")
    @classmethod
    def _billing_may_give_them(
        cls, value: dict[int, DenialReason] | dict[str, DenialReason]
    ) -> dict[int, DenialReason] | dict[str, DenialReason]:
        for code, reason in value.items():
            if isinstance(code, str) and not _VENDOR_CODE.fullmatch(code):
                raise ValueError(f"must have keys such as 10415:4241, got {code!r}")
            if code in FIXED:
                raise ValueError(f"{code} does not say that no money was taken")
            if reason not in BILLING_REASONS:
                raise ValueError(f"{reason.value} is not a reason that billing gives")
        return value

    @_model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.tls is None and not self.plaintext_ok:
            raise ValueError("needs tls, or plaintext_ok: true on a protected network")
        if self.abilities.stores_refusals and not self.abilities.idempotent:
            raise ValueError("abilities.stores_refusals needs idempotent: both are kept by the key")
        if self.abilities.quiet_period_s < self.answer_timeout_s:
            raise ValueError("abilities.quiet_period_s must not be below answer_timeout_s")
        if self.rating_group is not None and not self.use_mscc:
            raise ValueError("rating_group needs use_mscc: RFC 8506 has no other place for it")
        if self.reconnect_max_s < self.reconnect_first_s:
            raise ValueError("reconnect_max_s must not be below reconnect_first_s")
        return self

    def vendor_codes(self) -> dict[tuple[int, int], DenialReason]:
        """`vendor_refusals` by vendor and code as numbers."""
        parts = ((key.split(":"), reason) for key, reason in self.vendor_refusals.items())
        return {(int(vendor), int(code)): reason for (vendor, code), reason in parts}


def _identity(value: str) -> str:
    if not _IDENTITY.fullmatch(value):
        raise ValueError(f"must be a DiameterIdentity such as ppcd1.example.net, got {value!r}")
    return value
