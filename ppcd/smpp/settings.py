"""What can be set on a session and on a link, with the values that a careful ESME starts from.

Owns limits and defaults, each with its reason; reads no files and checks nothing that a
configuration loader should.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ppcd.smpp.quirks import Quirks
from ppcd.smpp.status import Advice, Status
from ppcd.smpp.timers import TimerSettings

BindKind = Literal["transceiver", "pair", "transmitter", "receiver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """The conversation's own limits; the same for both roles."""

    #: Requests of ours in flight; 3.4 recommends no more than 10, operators say their own number.
    window_max: int = 10
    #: Requests that wait for the window; a full queue says so at once.
    queue_max: int = 1000
    #: Longest wait in the queue: a prompt that is late is worse than one that is refused.
    queue_s: float = 60.0
    #: Messages (segments) a second; None leaves it to the window and the SMSC's complaints.
    rate_max: float | None = None
    #: 10 s: ten times what a healthy SMSC needs; 2 s, another library's default, made duplicates.
    response_timeout_s: float = 10.0
    #: How often a message refused with RTHROTTLED or RMSGQFUL is sent anew, with a new number.
    throttle_retries_max: int = 3
    #: Requests of theirs that wait for our answer; then we stop reading. Well above any commit
    #: pipeline: not reading also delays answers and enquire_link.
    inbound_max: int = 10_000
    #: A reply never needs more; a link that carries long message_payload raises it.
    pdu_size_max: int = 16_384
    #: For those who have not bound yet.
    pdu_size_max_unbound: int = 1_024
    #: Status for "again, later". RX_T_APPN sounds right and loses messages at some SMSCs, which
    #: redeliver on RSYSERR. None: no answer, the link is dropped instead.
    not_now_status: int | None = Status.ESME_RSYSERR
    #: An operator's own reading of statuses.
    advice: Mapping[int, Advice] | None = None
    timers: TimerSettings = field(default_factory=TimerSettings)
    quirks: Quirks = field(default_factory=Quirks)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Who is trusted and who we are. Certificates are always verified; there is no switch."""

    #: PEM file of the authorities; None: the system's.
    ca_file: str | None = None
    #: PEM files of our own certificate (chain) and its key: both or none.
    certificate_file: str | None = None
    key_file: str | None = None
    #: Name the other side's certificate must carry; None: the host that was dialled.
    server_name: str | None = None
    minimum_version: Literal["1.2", "1.3"] = "1.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffSettings:
    """Seconds between attempts."""

    first_s: float = 1.0
    max_s: float = 60.0
    #: After a wrong password or name: somebody must act, and repeated tries lock accounts.
    refused_first_s: float = 30.0
    refused_max_s: float = 300.0
    #: A bind that stood this long was a good one: the count begins anew.
    stable_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """One bind (or receiver and transmitter pair) to one SMSC."""

    name: str
    host: str
    port: int
    system_id: str
    password: str = field(default="", repr=False)
    bind: BindKind = "transceiver"
    system_type: str = ""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""
    window_max: int = 10
    queue_max: int = 1000
    queue_s: float = 60.0
    rate_max: float | None = None
    throttle_retries_max: int = 3
    inbound_max: int = 10_000
    connect_timeout_s: float = 10.0
    session_init_s: float = 10.0
    response_timeout_s: float = 10.0
    enquire_link_s: float | None = 30.0
    enquire_link_timeout_s: float = 10.0
    inactivity_s: float | None = None
    incomplete_s: float = 10.0
    drain_s: float = 5.0
    unbind_s: float = 5.0
    pdu_size_max: int = 16_384
    not_now_status: int | None = Status.ESME_RSYSERR
    #: Octets that may wait for a peer that does not read; then it is dropped.
    write_buffer_max: int = 1_048_576
    advice: Mapping[int, Advice] | None = None
    tls: TlsSettings | None = None
    backoff: BackoffSettings = field(default_factory=BackoffSettings)
    quirks: Quirks = field(default_factory=Quirks)

    def session(self) -> SessionSettings:
        """The part that the conversation needs."""
        return SessionSettings(
            window_max=self.window_max,
            queue_max=self.queue_max,
            queue_s=self.queue_s,
            rate_max=self.rate_max,
            response_timeout_s=self.response_timeout_s,
            throttle_retries_max=self.throttle_retries_max,
            inbound_max=self.inbound_max,
            pdu_size_max=self.pdu_size_max,
            not_now_status=self.not_now_status,
            advice=self.advice,
            timers=TimerSettings(
                session_init_s=self.session_init_s,
                enquire_link_s=self.enquire_link_s,
                enquire_link_timeout_s=self.enquire_link_timeout_s,
                inactivity_s=self.inactivity_s,
                incomplete_s=self.incomplete_s,
                drain_s=self.drain_s,
                unbind_s=self.unbind_s,
            ),
            quirks=self.quirks,
        )
