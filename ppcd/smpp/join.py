"""Long messages in: parts collected until a message is whole, bounded in count, size and time.

Owns the parts while they wait. Knows no clock (times are arguments) and no storage: a part that
must survive a crash is the caller's to keep before it is acknowledged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ppcd.smpp.pdu import Pdu
from ppcd.smpp.text import Alphabet, alphabet_of, decode_text
from ppcd.smpp.udh import Concatenation, concatenation_of, fill_bits, user_data

#: A long message of 10 parts is rare; a phone sends its parts within a minute.
MESSAGES_MAX: Final = 1_000
OCTETS_MAX: Final = 1_000_000
AGE_S_MAX: Final = 300.0

_Key: TypeAlias = tuple[str, bytes, bytes, str, int, int]


@dataclass(frozen=True, slots=True)
class Whole:
    """A message with all its parts, in the order of their numbers; one of its own has one."""

    parts: tuple[Pdu, ...]

    @property
    def is_long(self) -> bool:
        """Whether it came in more than one part."""
        return len(self.parts) > 1

    def text(
        self,
        *,
        default: str = Alphabet.GSM0338,
        overrides: Mapping[int, str] | None = None,
    ) -> str:
        """The text; TextError as `decode_text` has it.

        Octets of neighbours with one data_coding are joined before they are read: bad senders
        part a surrogate pair or an escape from its character. Phones may change the data_coding
        between parts.
        """
        runs: list[tuple[int, int, bytearray]] = []
        for part in self.parts:
            data = user_data(part)
            alphabet = alphabet_of(part.data_coding, default=default, overrides=overrides)
            packed = alphabet is Alphabet.GSM0338_PACKED
            if runs and runs[-1][0] == part.data_coding and not packed:
                runs[-1][2].extend(data.octets)
            else:
                fill = fill_bits(data.header_size)
                runs.append((part.data_coding, fill, bytearray(data.octets)))
        return "".join(
            decode_text(
                bytes(octets), data_coding, default=default, overrides=overrides, fill_bits=fill
            )
            for data_coding, fill, octets in runs
        )


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Parts given up: too old, or pushed out by newer ones. In the order of their numbers."""

    parts: tuple[Pdu, ...]
    total: int


@dataclass(slots=True)
class _Waiting:
    since: float
    total: int
    octets: int = 0
    parts: dict[int, Pdu] = field(default_factory=dict)

    def in_order(self) -> tuple[Pdu, ...]:
        return tuple(self.parts[number] for number in sorted(self.parts))


class Joiner:
    """Joins the parts of long messages, keyed by link, source, destination and reference.

    Two subscribers' parts never meet, nor do 8-bit and 16-bit references. What doesn't fit any
    more is handed back, the oldest first, never dropped in silence.
    """

    def __init__(
        self,
        *,
        messages_max: int = MESSAGES_MAX,
        octets_max: int = OCTETS_MAX,
        age_s_max: float = AGE_S_MAX,
    ) -> None:
        self._messages_max = messages_max
        self._octets_max = octets_max
        self._age_s_max = age_s_max
        self._octets = 0
        # Insertion order is age: a message keeps the place of its first part.
        self._waiting: dict[_Key, _Waiting] = {}

    def __len__(self) -> int:
        """Messages that wait for parts."""
        return len(self._waiting)

    @property
    def octets(self) -> int:
        """Octets of all parts that wait."""
        return self._octets

    def add(self, pdu: Pdu, now: float, *, link: str = "") -> list[Whole | Incomplete]:
        """Takes one message; what it completes, and what had to go for it.

        A part that is here already changes nothing: the first one stays.
        """
        place = concatenation_of(pdu)
        if place is None or place.total == 1:
            return [Whole((pdu,))]
        key = _key(pdu, place, link)
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = _Waiting(now, place.total)
        if place.number in waiting.parts:
            return []
        waiting.parts[place.number] = pdu
        size = len(pdu.body)
        waiting.octets += size
        self._octets += size
        if len(waiting.parts) == waiting.total:
            self._forget(key)
            return [Whole(waiting.in_order())]
        events: list[Whole | Incomplete] = []
        while len(self._waiting) > self._messages_max or self._octets > self._octets_max:
            events.append(self._give_up(next(iter(self._waiting))))
        return events

    def expire(self, now: float) -> list[Incomplete]:
        """Gives up what has waited too long."""
        limit = now - self._age_s_max
        old = [key for key, waiting in self._waiting.items() if waiting.since <= limit]
        return [self._give_up(key) for key in old]

    def next_deadline(self) -> float | None:
        """When `expire` will first have something to do; None while nothing waits."""
        for waiting in self._waiting.values():
            return waiting.since + self._age_s_max
        return None

    def _give_up(self, key: _Key) -> Incomplete:
        waiting = self._forget(key)
        return Incomplete(waiting.in_order(), waiting.total)

    def _forget(self, key: _Key) -> _Waiting:
        waiting = self._waiting.pop(key)
        self._octets -= waiting.octets
        return waiting


def _key(pdu: Pdu, place: Concatenation, link: str) -> _Key:
    return link, pdu.source_addr, pdu.destination_addr, place.by, place.reference, place.total
