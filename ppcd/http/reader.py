"""What a server answers, from its octets: one HTTP/1.x answer, read strictly, sans IO.

Owns where an answer ends, and what is none. What two readers could take in two ways is none: a
connection out of step would give one charge's answer to the next. Refuses to know connections,
time, and what an answer means.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = [
    "FRAMING_SIZE_MAX",
    "Answer",
    "AnswerReader",
    "AnswerTooLarge",
    "Garbled",
    "read_whole",
]

#: Status line, headers, interim answers and chunk framing may take this much beyond the body's own
#: limit.
FRAMING_SIZE_MAX: Final = 32_768
#: A chunk's size with its extensions.
_SIZE_LINE_MAX: Final = 1024

# RFC 9112, 4 and 5. No bare line feed, no folded line, no space before the colon: these are what
# readers differ about. Each octet fits in one way only, so a match takes linear time.
_TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]*"
_FIELDS: Final = rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:" + _TEXT + rb"\r\n)*"
_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: " + _TEXT + rb")?\r\n(" + _FIELDS + rb")\r\n"
)
_TRAILERS: Final = re.compile(_FIELDS + rb"\r\n")
# RFC 9112, 7.1. Eight digits are 4 GiB: no size of ours, and no overflow of anybody's.
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;" + _TEXT + rb")?")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")

_SWITCHING: Final = 101
_BODILESS: Final = frozenset({204, 304})


class Garbled(Exception):
    """These octets are no answer, or can be taken for more than one; the connection is of no more
    use.
    """


class AnswerTooLarge(Exception):
    """The peer sent more than was asked for; so it is with its connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are lower case, in the order received."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower case) name."""
        return next((value for have, value in self.headers if have == name), None)


@dataclass(frozen=True, slots=True)
class _Head:
    """Status and headers, and what they say about the body and the connection."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    #: Octets of the body; None: it comes in chunks, or ends with the connection.
    length: int | None
    chunked: bool
    #: The server will take another request on this connection.
    stays_open: bool


# Servers say the same again and again.
@lru_cache(maxsize=32)
def _read_head(octets: bytes) -> _Head:
    found = _HEAD.fullmatch(octets)
    if found is None:
        raise Garbled("the status line or a header can't be read")
    headers = []
    for line in found[3].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    is_old = found[1] == b"0"
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    lengths = [value for name, value in headers if name == b"content-length"]
    if codings and (is_old or lengths or [coding.lower() for coding in codings] != [b"chunked"]):
        raise Garbled("the transfer encoding is unknown, or contradicts the rest")
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        raise Garbled("the length is no number, or more than one")
    wishes = b",".join(value for name, value in headers if name == b"connection").lower()
    closes = b"close" in [wish.strip(b" \t") for wish in wishes.split(b",")]
    return _Head(
        status=int(found[2]),
        headers=tuple(headers),
        length=int(lengths[0]) if lengths else None,
        chunked=bool(codings),
        # An older server closes after its answer, if not now then soon.
        stays_open=not is_old and not closes,
    )


def read_whole(method: bytes, data: bytes, *, size_max: int) -> tuple[Answer, bool] | None:
    """The answer, where the first octets that come are all of it, and whether the connection stays
    open: what an `AnswerReader` would say of nearly all, for a third of the time. None: ask one.
    """
    end = data.find(b"\r\n\r\n") + 4
    if not 4 <= end <= FRAMING_SIZE_MAX or method == b"HEAD":
        return None
    head = _read_head(data[:end])
    size = len(data) - end
    if head.length != size or size > size_max or head.status < 200 or head.status in _BODILESS:
        return None
    return Answer(head.status, head.headers, data[end:]), head.stays_open


class AnswerReader:
    """Reads the answer to one request; then it is used up."""

    def __init__(self, method: bytes, *, size_max: int) -> None:
        """`size_max` is the body's limit."""
        self._is_bodiless = method == b"HEAD"
        self._size_max = size_max
        self._octets_left = size_max + FRAMING_SIZE_MAX
        self._rest = b""
        #: So much of `_rest` holds no end of a head.
        self._searched = 0
        self._head: _Head | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._missing = 0
        self._ended = False
        #: Reads on from `_rest`; False when that takes more octets.
        self._step: Callable[[], bool] = self._read_head

    @property
    def stays_open(self) -> bool:
        """After the answer: whether the next one can be told from what belongs to this one."""
        # RFC 9112, 6.3: what follows may be the answer's own, after a wrong length.
        head = self._head
        return self._ended and not self._rest and head is not None and head.stays_open

    def receive(self, data: bytes) -> Answer | None:
        """The answer, once it is whole. Raises Garbled and AnswerTooLarge."""
        self._octets_left -= len(data)
        if self._octets_left < 0:
            raise AnswerTooLarge("the answer has too many octets")
        self._rest += data
        while self._step():
            pass
        return self._answer() if self._ended else None

    def finish(self) -> Answer | None:
        """The peer closed as one does: the answer, if that is where it ends."""
        if self._step != self._read_to_the_close:
            return None
        self._end()
        return self._answer()

    def _answer(self) -> Answer:
        assert self._head is not None
        return Answer(self._head.status, self._head.headers, b"".join(self._pieces))

    # --- the steps

    def _read_head(self) -> bool:
        end = self._rest.find(b"\r\n\r\n", self._searched)
        if end < 0:
            if not b"HTTP/1.".startswith(self._rest[:7]):
                raise Garbled("this is not HTTP/1")
            self._searched = max(0, len(self._rest) - 3)
        if (end if end >= 0 else len(self._rest)) > FRAMING_SIZE_MAX:
            raise AnswerTooLarge("the headers have too many octets")
        if end < 0:
            return False
        end += 4
        head = _read_head(self._rest[:end])
        self._rest = self._rest[end:]
        self._searched = 0
        if head.status == _SWITCHING:
            raise Garbled("the server changes to a protocol that nobody asked for")
        if head.status >= 200:  # those below are interim: the answer follows
            self._head = head
            self._begin_body(head)
        return True

    def _begin_body(self, head: _Head) -> None:
        if self._is_bodiless or head.status in _BODILESS:
            self._end()
        elif head.chunked:
            self._step = self._read_chunk_size
        elif head.length is None:
            self._step = self._read_to_the_close
        else:
            self._grow(head.length)
            self._missing = head.length
            self._step = self._read_body

    def _read_body(self) -> bool:
        if not self._take():
            return False
        self._end()
        return True

    def _read_to_the_close(self) -> bool:
        self._grow(len(self._rest))
        self._pieces.append(self._rest)
        self._rest = b""
        return False

    def _read_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        found = _CHUNK_SIZE.fullmatch(line)
        if found is None:
            raise Garbled("a chunk's size can't be read")
        self._missing = int(found[1], 16)
        self._grow(self._missing)
        self._step = self._read_chunk if self._missing else self._read_trailers
        return True

    def _read_chunk(self) -> bool:
        if not self._take():
            return False
        self._step = self._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        if len(self._rest) < 2:
            return False
        if not self._rest.startswith(b"\r\n"):
            raise Garbled("a chunk is longer than it says")
        self._rest = self._rest[2:]
        self._step = self._read_chunk_size
        return True

    def _read_trailers(self) -> bool:
        """They are checked and thrown away: nobody between the server and us has to keep them."""
        if self._rest.startswith(b"\r\n"):
            end = 2
        else:
            end = self._rest.find(b"\r\n\r\n") + 4
            if end < 4:
                return False
        if not _TRAILERS.fullmatch(self._rest[:end]):
            raise Garbled("a trailer can't be read")
        self._rest = self._rest[end:]
        self._end()
        return True

    # --- what they share

    def _line(self) -> bytes | None:
        """The next line without its end, once it is there."""
        end = self._rest.find(b"\r\n")
        if (end if end >= 0 else len(self._rest)) > _SIZE_LINE_MAX:
            raise Garbled("a chunk's size takes too long to say")
        if end < 0:
            return None
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line

    def _take(self) -> bool:
        """Of what is missing as much as is there; whether that is all."""
        piece = self._rest[: self._missing]
        self._pieces.append(piece)
        self._rest = self._rest[len(piece) :]
        self._missing -= len(piece)
        return not self._missing

    def _grow(self, octets: int) -> None:
        self._size += octets
        if self._size > self._size_max:
            raise AnswerTooLarge(f"more than {self._size_max} octets")

    def _end(self) -> None:
        self._ended = True
        self._step = _nothing_more


def _nothing_more() -> bool:
    return False
