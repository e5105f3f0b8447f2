"""What a client holds of each host: its connections, and the requests on their way.

Owns the words for what becomes of a request. Refuses to know how connections are made and written.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Required, TypeAlias, TypedDict

from twisted.internet.defer import Deferred

from ppcd.http.connection import Connection, Target
from ppcd.http.reader import Answer


class NotSent(Exception):
    """Nothing of the request was written: the peer cannot have acted on it."""


class NoRoom(NotSent):
    """All connections to that host are taken, and others wait for them: it says nothing of the
    peer's health, and the same request may be tried soon.
    """


class NoAnswer(Exception):
    """The request was written, wholly or in part; whether the peer acted on it is unknown."""


#: Is told what came of a request: an answer whatever its status, NotSent, NoAnswer, or the mistake
#: of whoever made it.
Tell: TypeAlias = Callable[[Answer | Exception], None]


class How(TypedDict, total=False):
    """How a request is made.

    `timeout_s` covers everything, waiting for a connection included, unless `wait_s` says how long
    that may take: then whoever waited has as much time as others. `may_send` is asked in the very
    turn in which the octets are written; if it says no, it is NotSent.
    """

    timeout_s: Required[float]
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    connect_timeout_s: float
    wait_s: float | None
    answer_size_max: int
    may_send: Callable[[], bool] | None


@dataclass(slots=True, eq=False)
class Request:
    """One request on its way through the pool."""

    host: "Host"
    target: Target
    wire: bytes
    timeout_s: float
    connect_timeout_s: float
    #: The wait for a connection does not count.
    waits_apart: bool
    answer_size_max: int
    may_send: Callable[[], bool] | None
    tell: Tell
    #: By the reactor's clock: of what it is at.
    until: float
    opening: Deferred[Connection] | None = None
    #: That carries it.
    connection: Connection | None = None


@dataclass(slots=True)
class Host:
    """Connections to one scheme, host and port."""

    connecting: int = 0
    #: All that are open and counted; those in `idle` are free, the others carry a request.
    members: set[Connection] = field(default_factory=set)
    idle: list[tuple[Connection, float]] = field(default_factory=list)
    waiting: deque[Request] = field(default_factory=deque)
    waking: bool = False

    @property
    def opened(self) -> int:
        return self.connecting + len(self.members)
