"""What the steps need of the world: protocols, and the values that go through them.

Owns the words for what the world can answer. The rooms above fulfil these; nothing here does.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from ppcd.charge.debit import Abilities, DebitAnswer, DebitOrder, Order, QueryAnswer
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.refund import RefundAnswer, RefundOrder, RefundQueryAnswer
from ppcd.charge.reservation import ReleaseAnswer, ReserveAnswer
from ppcd.store.rows import DebitJob, PromptJob, PromptKey, RefundJob, WebhookKey
from ppcd.store.runs import Runs

# --- the phone ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sms:
    """A text for one phone, from one of a route's addresses."""

    route: str
    source: str
    msisdn: Msisdn
    text: str
    #: What the SMSC may use up for delivery; later the text is of no use.
    validity_s: float
    reference: int


class SendResult(StrEnum):
    """How an attempt to hand a text to the SMSC ended."""

    ACCEPTED = "accepted"
    #: Refused, and trying again may help.
    NOT_NOW = "not_now"
    #: Refused for good: this phone can't be reached so.
    REFUSED = "refused"
    #: Refused for a fault of ours (configuration, encoding): repeating won't help, people must.
    FAULT = "fault"
    #: Nothing was written to any link.
    NOT_SENT = "not_sent"
    #: Written, and no answer came: it may be on its way.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a text: of each segment its command_status (None: no answer) and id."""

    result: SendResult
    link: str
    detail: str
    segments: tuple[tuple[int | None, str | None], ...] = ()


class Carrier(Protocol):
    """Hands texts to SMSCs over the links of a route."""

    def segments(self, text: str) -> int:
        """How many short messages a text takes."""
        ...

    def send(self, sms: Sms, told: Callable[[Sent], None]) -> None:
        """Write a text to a link of its route; `told` hears once, perhaps at once, what came of it.

        It leaves with the next `flush`, together with all that were given before.
        """
        ...

    def flush(self) -> None:
        """Let leave what was given since the last one; never raises."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a phone sent, decoded, apart from which phone it was.

    Thousands say the same: whoever receives keeps one of each, and what is known of it is found by
    its identity. `text` is None where the bytes say nothing readable.
    """

    link: str
    address: str
    text: str | None
    raw: bytes
    data_coding: int
    esm_class: int
    #: One of several parts: never an answer, whatever it says.
    part: bool


class Mo(NamedTuple):
    """A message from a phone. `msisdn` is its number, None where the sender has none.

    Never to be logged: the number is in full.
    """

    said: Said
    msisdn: int | None


class Mos:
    """Messages from phones, column by column: floods are made of them.

    An MSISDN is its digits in ASCII here, as they come and as they go on.
    """

    __slots__ = ("msisdns", "said")

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.msisdns: list[bytes | None] = []

    def add(self, said: Said, msisdn: bytes | None) -> None:
        self.said.append(said)
        self.msisdns.append(msisdn)

    def __len__(self) -> int:
        return len(self.said)

    def __iter__(self) -> Iterator[Mo]:
        numbers = (None if msisdn is None else int(msisdn) for msisdn in self.msisdns)
        return map(Mo, self.said, numbers)


@dataclass(frozen=True, slots=True)
class DeliveryReceipt:
    """A delivery receipt, decoded. `state` is SMPP's: delivered, undeliverable, expired…"""

    link: str
    msisdn: Msisdn | None
    message_id: str
    state: str
    error: str | None


# --- billing -----------------------------------------------------------------------------------


class Adapter(Protocol):
    """A billing system. No call raises for what the network or billing may do."""

    @property
    def name(self) -> str: ...

    @property
    def abilities(self) -> Abilities: ...

    @property
    def refund_abilities(self) -> Abilities:
        """What it promises of refunds; `reversible` says whether there are any."""
        ...

    def debit(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> Awaitable[DebitAnswer]:
        """Ask for the debit once; `may_send` is asked in the very turn that writes."""
        ...

    def query(self, order: DebitOrder) -> Awaitable[QueryAnswer]:
        """Ask what became of the order's key."""
        ...

    def refund(
        self, order: RefundOrder, *, may_send: Callable[[], bool]
    ) -> Awaitable[RefundAnswer]:
        """Ask once that money be given back, as `debit` asks for it."""
        ...

    def query_refund(self, order: RefundOrder) -> Awaitable[RefundQueryAnswer]:
        """Ask what became of a refund's key."""
        ...

    # In two steps; called only where `abilities.reserving`. `may_send` as for a debit.

    def reserve(
        self, order: DebitOrder, *, may_send: Callable[[], bool]
    ) -> Awaitable[ReserveAnswer]:
        """Ask to hold the money."""
        ...

    def capture(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> Awaitable[DebitAnswer]:
        """Ask to take the whole of what is held."""
        ...

    def release(
        self, order: DebitOrder, *, may_send: Callable[[], bool]
    ) -> Awaitable[ReleaseAnswer]:
        """Ask to let go of what is held. Repeated until it is answered; holding nothing is well."""
        ...

    async def close(self) -> None:
        """Let what is in flight end, and leave."""
        ...


@runtime_checkable
class Telling(Protocol):
    """An adapter that takes a plain call, too, where a Deferred for each debit costs too much."""

    def tell_debit(
        self,
        order: DebitOrder,
        told: Callable[[DebitAnswer | Exception], None],
        *,
        may_send: Callable[[], bool],
    ) -> None:
        """As `debit`; `told`, which does not raise, gets the answer, or what the adapter itself
        failed with.
        """
        ...


class LateAnswers(Protocol):
    """Takes answers to attempts that were given up: they say what became of the money."""

    def debit(self, adapter: str, order: Order, answer: DebitAnswer) -> None: ...
    def refund(self, adapter: str, order: RefundOrder, answer: RefundAnswer) -> None: ...


@runtime_checkable
class HearsLate(Protocol):
    """An adapter that may hear an answer after it has given the attempt up."""

    #: Whom it tells; nobody before the node is wired.
    late: LateAnswers | None


# --- partners ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """A notification as it goes out: the same id and body on every attempt."""

    event_id: str
    url: str
    #: The newest secret first; all of them sign.
    secrets: tuple[bytes, ...]
    body: bytes
    bearer: str | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The partner has it."""

    status: int


@dataclass(frozen=True, slots=True)
class TryLater:
    """It may work another time."""

    after_s: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class NotTried:
    """There was no room for it here: it says nothing of the partner, and is no attempt."""

    detail: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The partner wants no more of this."""

    detail: str


class Notifier(Protocol):
    """Posts events to partners. Never raises for what a partner may do."""

    def deliver(self, event: Event) -> Awaitable[Delivered | TryLater | NotTried | Gone]: ...


@dataclass(frozen=True, slots=True)
class End:
    """What a partner is told about a charge: the facts of its end, enough to write the event.

    Of two steps it may also be what comes before: `pending_validation`, `reserved`.
    """

    charge_id: int
    sequence: int
    state: str
    reason: str | None
    billing_reference: str | None
    decided_at: datetime
    #: A charge that ended cancelled had been reserved.
    was_reserved: bool = False
    #: It is this refund's end; None: the charge's.
    refund_id: int | None = None


class WriteEvent(Protocol):
    """Makes the body of an event from the facts, the same bytes each time."""

    def __call__(self, end: End, *, event_id: str) -> bytes: ...


# --- ids -----


class Ids(Protocol):
    """Time-ordered ids. Raises StoreError while none can be had."""

    async def ensure(self, count: int) -> None:
        """Return when so many can be taken before the next await."""
        ...

    def take(self, count: int) -> list[int]: ...

    def take_runs(self, count: int) -> Runs: ...


# --- work --------------------------------------------------------------------------------------


class Offers(Protocol):
    """Where new work is handed to this node's workers: it is leased to them already.

    What can't be taken comes back from the database when its lease is over.
    """

    def wants_prompts(self) -> bool:
        """Whether prompts would be begun soon; if not, they are better left to whoever is free."""
        ...

    def wants_debits(self) -> bool:
        """The same of debits. Both may be asked from any thread."""
        ...

    def prompts(self, jobs: Sequence[PromptJob | PromptKey]) -> None: ...
    def debits(self, jobs: Sequence[DebitJob]) -> None: ...
    def refunds(self, jobs: Sequence[RefundJob]) -> None: ...
    def webhooks(self, keys: Sequence[WebhookKey]) -> None: ...


#: Seconds for which new work is this node's own; then another node takes it over. Short: a node
#: that was killed must not hold up what somebody waits for.
LEASE_S = 20.0
#: The same for work that was begun: longer than any single call to the world may take.
RUN_LEASE_S = 60.0
