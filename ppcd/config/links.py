"""The `links:` section: one bind to an SMSC each, and what that SMSC does differently."""

from __future__ import annotations

import ipaddress
from typing import Literal, Self

from pydantic import Field, model_validator

from ppcd.config.types import Digits, File, Number, Section, Switch, Whole

__all__ = ["Alphabet", "Backoff", "Link", "LocalPrefix", "Tls", "Wire"]

Alphabet = Literal[
    "gsm0338", "gsm0338-packed", "ascii", "latin1", "iso8859-5", "ucs2", "ucs2-le", "utf8"
]
Advice = Literal["retry", "slow", "give_up", "ours"]
Octet = Whole


class Tls(Section):
    """TLS to the SMSC. Its certificate is always verified, against `host`."""

    ca_file: File | None = Field(
        default=None, description="PEM file of the authorities to trust; by default the system's."
    )
    certificate_file: File | None = Field(
        default=None, description="PEM file of our certificate, where the SMSC asks for one."
    )
    key_file: File | None = Field(
        default=None, description="PEM file of its private key; must not be readable by others."
    )
    server_name: str | None = Field(
        default=None, description="Name in the SMSC's certificate, where it is not `host`."
    )
    version_min: Literal["1.2", "1.3"] = Field(
        default="1.2", description="Oldest TLS version taken."
    )

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        return self


class LocalPrefix(Section):
    """How to complete numbers that this SMSC gives without country code."""

    country_code: Digits = Field(
        min_length=1, max_length=3, description="Country code to put before them, without plus."
    )
    trunk_prefix: Digits = Field(
        default="",
        max_length=3,
        description="What the national form begins with and loses, such as `0`.",
    )


class Backoff(Section):
    """Seconds between attempts to connect; each failure doubles them."""

    first_s: Number = Field(
        default=1, ge=0.1, le=60, description="Seconds before the first new attempt."
    )
    max_s: Number = Field(default=60, ge=1, le=3600, description="Most seconds between attempts.")
    refused_first_s: Number = Field(
        default=30,
        ge=1,
        le=3600,
        description="Seconds before a new attempt after the SMSC refused the bind. Short, and it "
        "may lock out the system_id.",
    )
    refused_max_s: Number = Field(
        default=300, ge=1, le=86400, description="Most seconds between refused attempts."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_s < self.first_s or self.refused_max_s < self.refused_first_s:
            raise ValueError("max_s must not be below first_s, nor refused_max_s below its first")
        return self


class Wire(Section):
    """Where this SMSC's octets differ from the specification."""

    field_sizes: dict[str, Whole] = Field(
        default_factory=dict,
        description="Largest size, final NUL included, of a parameter where it is longer than "
        "specified, such as `service_type: 31`.",
    )
    unterminated_last_string: Switch = Field(
        default=False, description="Take a response whose message_id has no final NUL."
    )
    broken_tlvs_dropped: Switch = Field(
        default=False,
        description="Take a message with broken optional parameters, without them, instead of "
        "refusing it.",
    )


class Link(Section):
    """One bind kept up. More binds to one SMSC are more links."""

    host: str = Field(min_length=1, description="The SMSC's host name or address.")
    port: Whole = Field(ge=1, le=65535, description="The SMSC's TCP port, often 2775.")
    bind: Literal["transceiver", "pair", "transmitter", "receiver"] = Field(
        default="transceiver",
        description="Kind of bind; `pair` is a transmitter and a receiver, for SMSCs without "
        "transceivers. A route needs a link that sends and one that receives.",
    )
    system_id: str = Field(
        min_length=1, max_length=15, description="Login, as agreed with the operator."
    )
    password_file: File | None = Field(
        default=None,
        description="File with the password, at most 8 characters; must not be readable by others.",
    )
    password_credential: str | None = Field(
        default=None, description="The password as a systemd credential's name instead of a file."
    )
    system_type: str = Field(
        default="",
        max_length=12,
        description="Sent in the bind. Some SMSCs refuse all but one word.",
    )
    addr_ton: Octet = Field(default=0, ge=0, le=255, description="Type of number in the bind.")
    addr_npi: Octet = Field(default=0, ge=0, le=255, description="Numbering plan in the bind.")
    address_range: str = Field(
        default="",
        max_length=40,
        description="Which addresses this bind receives, in the SMSC's own notation. Wrong, and "
        "answers go elsewhere.",
    )
    window_max: Whole = Field(
        default=10,
        ge=1,
        le=1000,
        description="Requests written and not yet answered. Above what the operator agreed to, "
        "the SMSC throttles or drops the link.",
    )
    rate_max: Number | None = Field(
        default=None,
        gt=0,
        le=10000,
        description="Messages a second, as agreed with the operator; none means no limit.",
    )
    enquire_link_s: Number = Field(
        default=30,
        ge=1,
        le=600,
        description="Seconds of silence after which the link is tested. Long, and a dead link is "
        "noticed late; firewalls may forget an idle connection after 60.",
    )
    response_timeout_s: Number = Field(
        default=10,
        ge=1,
        le=120,
        description="Seconds to wait for an answer. Then a prompt counts as unknown, and the link "
        "is closed when an enquire_link has gone unanswered.",
    )
    queue_max: Whole = Field(
        default=1000,
        ge=1,
        le=100000,
        description="Messages that may wait for window and rate; more are kept as jobs.",
    )
    session_init_s: Number = Field(
        default=10,
        ge=1,
        le=120,
        description="Seconds from connecting until the bind must be answered.",
    )
    connect_timeout_s: Number = Field(
        default=5, ge=1, le=60, description="Seconds to wait for TCP and TLS."
    )
    backoff: Backoff = Field(default=Backoff(), description="How failures are waited out.")
    inactivity_s: Number | None = Field(
        default=None,
        ge=10,
        le=86400,
        description="Seconds without any message after which the link is closed and made anew; "
        "none means never.",
    )
    drain_s: Number = Field(
        default=5,
        ge=0,
        le=20,
        description="Seconds to wait for outstanding answers before unbinding at a stop.",
    )
    pdu_size_max: Whole = Field(
        default=16384, ge=256, le=65536, description="Octets; a longer PDU ends the connection."
    )
    tls: Tls | None = Field(
        default=None, description="TLS; without it everything travels in the clear."
    )
    plaintext_ok: Switch = Field(
        default=False,
        description="Say true to reach a public address without TLS, through a VPN say.",
    )
    not_now_status: str = Field(
        default="ESME_RSYSERR",
        description="command_status of deliver_sm_resp when an answer cannot be stored now. It "
        "must make this SMSC try again: some take ESME_RX_T_APPN, some drop the message.",
    )
    mo_trusted: Switch = Field(
        default=True,
        description="Whether this SMSC vouches for the sender of what it delivers. With false, "
        "answers over this link are kept and never confirm anything.",
    )
    default_alphabet: Alphabet = Field(
        default="gsm0338",
        description="What this SMSC means by data_coding 0. Wrong, and Cyrillic answers are "
        "unreadable: every yes is unclear.",
    )
    alphabets: dict[Octet, Alphabet] = Field(
        default_factory=dict,
        description="By data_coding, where this SMSC means another alphabet than the "
        "specification, such as `8: ucs2-le`.",
    )
    advice: dict[str, Advice] = Field(
        default_factory=dict,
        description="By command_status, as `ESME_RX_T_APPN` or a number such as `0x450`: what to "
        "do when a prompt is answered so (`retry`, `slow` for the whole link, `give_up`, or "
        "`ours`: no retry, an alarm). Wrong, and prompts are lost or repeated for nothing.",
    )
    wire: Wire = Field(default=Wire(), description="Deviations in the octets themselves.")
    receipt_id_base: Literal["as_sent", "decimal", "hex"] = Field(
        default="as_sent",
        description="Base of message_id in receipts, where submit_sm_resp gave the other one. "
        "Wrong, and no receipt is matched.",
    )
    source_ton: Octet = Field(
        default=0, ge=0, le=255, description="Type of number of our addresses."
    )
    source_npi: Octet = Field(
        default=1, ge=0, le=255, description="Numbering plan of our addresses."
    )
    dest_ton: Octet = Field(default=1, ge=0, le=255, description="Type of number of subscribers.")
    dest_npi: Octet = Field(default=1, ge=0, le=255, description="Numbering plan of subscribers.")
    local_prefix: LocalPrefix | None = Field(
        default=None,
        description="For an SMSC that gives national numbers. Wrong, and no answer matches.",
    )

    @property
    def sends(self) -> bool:
        return self.bind != "receiver"

    @property
    def in_the_clear(self) -> bool:
        """Whether all would travel readable over public networks, and nobody said it may."""
        try:
            is_public = ipaddress.ip_address(self.host).is_global
        except ValueError:
            is_public = False  # A name; where it leads is known only when connecting.
        return is_public and self.tls is None and not self.plaintext_ok

    @property
    def receives(self) -> bool:
        return self.bind != "transmitter"
