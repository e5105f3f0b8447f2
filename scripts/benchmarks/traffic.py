"""Which phone answers what, and the octets of it: one rule that loader and database both follow.

Charge number `i` belongs to the phone 380970000000 + i and to one of the pool's addresses; what
the phone answers is a fixed function of `i`, so that a run can be checked to the last reply.
"""

import random
import struct
from array import array
from collections.abc import Iterator

FIRST_PHONE = 380_970_000_000
FIRST_ADDRESS = 717_100
ADDRESSES = 32
#: Answers come nearly in the order of the prompts: shuffled within so many.
SHUFFLED = 20_000

#: Of 200 phones: 170 say yes, 10 no, 10 something unclear, 5 come late, 5 are unknown to us.
YES, NO, UNCLEAR, LATE, STRAY = "yes", "no", "unclear", "late", "stray"
SHARES = ((170, YES), (180, NO), (190, UNCLEAR), (195, LATE), (200, STRAY))
#: The same in SQL, for a column i.
KIND_SQL = "mod(i * 2654435761, 200)"

UCS2, GSM = 8, 0
WORDS: dict[str, list[tuple[str, int]]] = {
    YES: [
        *(("ДА", UCS2), ("Да", UCS2), ("да", UCS2), ("Да.", UCS2), ("так", UCS2), ("ТАК", UCS2)),
        *(("Да!", UCS2), ("yes", GSM), ("OK", GSM), ("да 25", UCS2)),
    ],
    NO: [("НІ", UCS2), ("нет", UCS2), ("no", GSM), ("СТОП", UCS2)],
    UNCLEAR: [("а что это?", UCS2), ("не знаю", UCS2), ("Who are you", GSM)],
    LATE: [("ДА", UCS2), ("да", UCS2)],
    STRAY: [("привет", UCS2), ("ДА", UCS2)],
}
_BODIES = {
    kind: [
        (text.encode("utf-16-be") if coding == UCS2 else text.encode("ascii"), coding)
        for text, coding in words
    ]
    for kind, words in WORDS.items()
}
_DELIVER_SM = 5
_HEAD = struct.Struct(">4I").pack


def kind_of(i: int) -> str:
    """What the phone of charge `i` does."""
    at = i * 2654435761 % 200
    return next(kind for below, kind in SHARES if at < below)


def order(first: int, count: int, *, seed: int) -> Iterator[int]:
    """Charge numbers in the order in which their phones answer."""
    chance = random.Random(seed)
    for start in range(first, first + count, SHUFFLED):
        part = list(range(start, min(start + SHUFFLED, first + count)))
        chance.shuffle(part)
        yield from part


def reply_body(i: int, kind: str) -> bytes:
    """The body of a deliver_sm with the answer of charge `i`'s phone."""
    bodies = _BODIES[kind]
    message, coding = bodies[i % len(bodies)]
    return b"\0\1\1%d\0\0\1%d\0\0\0\0\0\0\0\0%c\0%c%b" % (
        FIRST_PHONE + i,
        FIRST_ADDRESS + i % ADDRESSES,
        coding,
        len(message),
        message,
    )


def receipt_body(i: int) -> bytes:
    """The body of a deliver_sm that says that charge `i`'s prompt was delivered."""
    text = (
        b"id:m%d sub:001 dlvrd:001 submit date:2611230915 done date:2611230916 stat:DELIVRD"
        b" err:000 text:" % i
    )
    return b"\0\1\1%d\0\0\1%d\0\4\0\0\0\0\0\0\0\0%c%b" % (
        FIRST_PHONE + i,
        FIRST_ADDRESS + i % ADDRESSES,
        len(text),
        text,
    )


class Stream:
    """What one link delivers: octets of deliver_sm with sequence numbers from 1 on."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.ends = array("Q", [0])
        self.phones = array("q", [0])
        self.octets = b""

    def add(self, body: bytes, i: int) -> None:
        size = 16 + len(body)
        self._pieces.append(_HEAD(size, _DELIVER_SM, 0, len(self.ends)) + body)
        self.ends.append(self.ends[-1] + size)
        self.phones.append(i)

    def seal(self) -> None:
        self.octets = b"".join(self._pieces)
        self._pieces.clear()

    def __len__(self) -> int:
        return len(self.ends) - 1


def streams(first: int, count: int, *, links: int, receipts: bool = False) -> list[Stream]:
    """The answers of `count` charges, dealt to the links; a receipt beside each with `receipts`."""
    made = [Stream() for _ in range(links)]
    for position, i in enumerate(order(first, count, seed=first)):
        stream = made[position % links]
        if receipts:
            stream.add(receipt_body(i), -i)
        stream.add(reply_body(i, kind_of(i)), i)
    for stream in made:
        stream.seal()
    return made
