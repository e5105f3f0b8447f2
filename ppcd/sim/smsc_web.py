"""The simulated SMSC's own HTTP: phones for people and tests, faults, links.

Owns the wire format; everything it does is a call of `Smsc`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ppcd.sim.faults import Faults
from ppcd.sim.handsets import Handsets, Message
from ppcd.sim.web import Answer, Refused, Request, Route, json_response
from ppcd.smpp import Peer, TextError


class Served(Protocol):
    """What is asked of the SMSC."""

    faults: Faults

    @property
    def handsets(self) -> Handsets: ...
    @property
    def peers(self) -> Sequence[Peer]: ...
    def messages(self, msisdn: str) -> list[Message]: ...
    def reply(self, msisdn: str, text: str, to: str | None = None) -> str: ...
    def turn(self, wanted: Mapping[str, object]) -> None: ...
    def drop_links(self) -> None: ...


def smsc_routes(smsc: Served) -> Sequence[Route]:
    """Phones, faults and links."""
    web = _Web(smsc)
    phone = "/sim/handsets/{msisdn}"
    return (
        Route("GET", phone + "/messages", web.get_messages),
        Route("POST", phone + "/replies", web.post_reply),
        Route("GET", "/sim/smsc/faults", web.get_faults),
        Route("PUT", "/sim/smsc/faults", web.put_faults),
        Route("GET", "/sim/smsc/links", web.get_links),
    )


class _Web:
    def __init__(self, smsc: Served) -> None:
        self._smsc = smsc

    def _phone(self, request: Request) -> str:
        msisdn = request.params["msisdn"].removeprefix("+")
        if not self._smsc.handsets.exists(msisdn):
            raise Refused(404, f"no phone: numbers here begin with {self._smsc.handsets.prefix}")
        return msisdn

    async def get_messages(self, request: Request) -> Answer:
        return json_response([m.asdict() for m in self._smsc.messages(self._phone(request))])

    async def post_reply(self, request: Request) -> Answer:
        msisdn, wanted = self._phone(request), request.json()
        text, to = wanted.get("text"), wanted.get("to")
        if not isinstance(text, str) or not text:
            raise Refused(400, "text must be a string, not empty")
        if to is not None and not (isinstance(to, str) and to.isascii() and 0 < len(to) <= 20):
            raise Refused(400, "to must be an address of at most 20 characters")
        try:
            key = self._smsc.reply(msisdn, text, to)
        except (LookupError, TextError) as exc:
            raise Refused(409 if isinstance(exc, LookupError) else 400, str(exc)) from exc
        return json_response({"id": key}, 201)

    async def get_faults(self, _request: Request) -> Answer:
        return json_response(self._smsc.faults.asdict())

    async def put_faults(self, request: Request) -> Answer:
        wanted = request.json()
        drop = wanted.pop("drop_links", False)
        try:
            self._smsc.turn(wanted)
        except ValueError as exc:
            raise Refused(400, str(exc)) from exc
        if drop is True:
            self._smsc.drop_links()
        return json_response(self._smsc.faults.asdict())

    async def get_links(self, _request: Request) -> Answer:
        return json_response([_describe(peer) for peer in self._smsc.peers])


def _describe(peer: Peer) -> dict[str, object]:
    return {
        "number": peer.number,
        "system_id": peer.system_id,
        "state": peer.session.state.value,
        "address": peer.address,
        "window_in_use": peer.session.outbox.in_flight,
        "unanswered": peer.session.owed.unanswered,
    }
