"""Several links that lead to the same subscribers: balance between them, go on when one falls.

Knows links by four attributes; keeps no queue of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ppcd.smpp.link import Link
from ppcd.smpp.pdu import Pdu
from ppcd.smpp.submission import NotSent, SubmitAnswer


class LinkGroup:
    """Links of equal rank, in any state; receivers among them are never chosen."""

    def __init__(self, links: Sequence[Link]) -> None:
        self.links = tuple(links)
        self._turn = 0

    @property
    def bound(self) -> bool:
        return any(link.bound for link in self.links)

    @property
    def room(self) -> int:
        """Submits that could be written right now, over all links."""
        return sum(link.room for link in self.links)

    def choose(self, *, besides: Sequence[Link] = ()) -> Link | None:
        """The bound link that sends and has room, of those the least used; without room, that.

        None when none is bound. Equals take turns, so that a quiet pair is used evenly.
        """
        count = len(self.links)
        turned = (self.links[(self._turn + i) % count] for i in range(count))
        bound = [link for link in turned if link.bound and link.sends and link not in besides]
        if not bound:
            return None
        self._turn = (self._turn + 1) % count
        return min(bound, key=_crowdedness)

    async def submit(self, pdu: Pdu, *, segments: int = 1) -> SubmitAnswer:
        """Submit through the chosen link, and through others while it was certainly not sent."""
        tried: list[Link] = []
        answer: SubmitAnswer = NotSent("no link is bound")
        while (link := self.choose(besides=tried)) is not None:
            answer = await link.submit(pdu, segments=segments)
            if not isinstance(answer, NotSent):
                break
            tried.append(link)
        return answer


def _crowdedness(link: Link) -> tuple[bool, float]:
    return link.room == 0, link.window_in_use / link.settings.window_max
