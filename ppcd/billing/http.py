"""The adapter for billing systems with an HTTP interface.

Owns one distinction: what certainly did not reach billing (`NotSent`) against what perhaps did
(`Unknown`). What the answers mean is in the settings; when to try again is flow's to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, Protocol, TypeVar, Unpack

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ppcd.billing import wire
from ppcd.billing.answers import Settled, as_debit, as_refund, as_release, as_reserve
from ppcd.billing.settings import HttpBillingSettings
from ppcd.billing.template import Values, texts_of
from ppcd.charge.debit import (
    Abilities,
    DebitAnswer,
    DebitOrder,
    NotFound,
    NotSent,
    Order,
    QueryAnswer,
    Unknown,
)
from ppcd.charge.refund import RefundAnswer, RefundOrder, RefundQueryAnswer
from ppcd.charge.reservation import ReleaseAnswer, ReserveAnswer
from ppcd.http import client as http

A = TypeVar("A")

RETRY_AFTER_MAX_S: Final = 3600.0
NOT_FOUND: Final = 404


class _Client(Protocol):
    """What the adapter needs of `ppcd.http.client.Client`."""

    def request(
        self, method: bytes, url: str, **how: Unpack[http.How]
    ) -> Deferred[http.Answer]: ...

    def send(
        self, method: bytes, url: str, tell: http.Tell, **how: Unpack[http.How]
    ) -> http.Request | None: ...

    async def close(self) -> None: ...


def _no_values(name: str) -> str:
    raise AssertionError(f"a request without places has none for {name}")


def _read(call: wire.Call, order: Order, answer: http.Answer) -> Settled:
    """What billing says of what it was told to do."""
    return wire.read_answer(call.answer, order, answer.status, answer.body)


def _looked_up(call: wire.Call, order: Order, answer: http.Answer) -> Settled:
    """What billing says that may not know the key."""
    if answer.status in call.answer.not_found_statuses:
        return NotFound()
    if answer.status == NOT_FOUND:
        # So is a wrong path answered: only the body can say that it was billing who looked.
        return wire.read_not_found(call.answer, order, answer.status, answer.body)
    return _read(call, order, answer)


def _as_made_refund(settled: Settled) -> RefundAnswer:
    if isinstance(settled, NotFound):
        return Unknown("the answer to a refund says that it is not known")
    return as_refund(settled)


def _as_it_is(settled: Settled) -> QueryAnswer:
    return settled


def _as_found_refund(settled: Settled) -> RefundQueryAnswer:
    return settled if isinstance(settled, NotFound) else as_refund(settled)


class HttpBilling:
    """Debits, gives back and asks about both over HTTP; fulfils flow's adapter protocol.

    `credentials` is the value of the Authorization header, `password` what stands in templates;
    `client` is this adapter's own; `now` gives aware UTC for the times that billing is told.
    """

    def __init__(
        self,
        name: str,
        settings: HttpBillingSettings,
        *,
        client: _Client,
        now: Callable[[], datetime],
        credentials: str | None = None,
        password: str | None = None,
    ) -> None:
        self.name: Final = name
        self.abilities: Final[Abilities] = settings.abilities.abilities()
        self._settings = settings
        authorization = None if credentials is None else credentials.encode("latin-1")

        def ready(call: wire.Call | None) -> wire.Call | None:
            return call and replace(call, authorization=authorization)

        self._debit = replace(wire.debit_call(settings), authorization=authorization)
        self._query = ready(wire.query_call(settings))
        refund = settings.refund
        self.refund_abilities: Final = (
            Abilities() if refund is None else refund.abilities.abilities()
        )
        self._refund = ready(wire.call_of(settings, refund))
        self._reserve = ready(wire.call_of(settings, settings.reserve))
        self._capture = ready(wire.call_of(settings, settings.capture))
        self._release = ready(wire.call_of(settings, settings.release))
        self._refund_query = ready(wire.refund_query_call(settings))
        self._client = client
        self._now = now
        self._password = password or ""

    def tell_debit(
        self,
        order: DebitOrder,
        told: Callable[[DebitAnswer | Exception], None],
        *,
        may_send: Callable[[], bool],
    ) -> None:
        """Asks for the money once; `may_send` is asked in the turn that writes the first byte.

        By a plain call: it is asked thousands of times a second, and a Deferred and its callbacks
        cost as much as all that is done here.
        """
        call = self._debit
        method, url, how = self._written(call, order, may_send)
        self._client.send(method, url, partial(_heard, call, order, told), **how)

    def debit(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> Deferred[DebitAnswer]:
        """The same with a Deferred."""
        answer: Deferred[DebitAnswer] = Deferred()
        self.tell_debit(order, partial(_fire, answer), may_send=may_send)
        return answer

    def reserve(
        self, order: DebitOrder, *, may_send: Callable[[], bool]
    ) -> Deferred[ReserveAnswer]:
        """Asks to hold the money."""
        return self._settled(self._reserve, order, as_reserve, may_send=may_send)

    def capture(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> Deferred[DebitAnswer]:
        """Asks to take what is held."""
        return self._settled(self._capture, order, as_debit, may_send=may_send)

    def release(
        self, order: DebitOrder, *, may_send: Callable[[], bool]
    ) -> Deferred[ReleaseAnswer]:
        """Asks to let go of what is held."""
        # What says that the key is not known counts as in a query.
        return self._settled(self._release, order, as_release, may_send=may_send, read=_looked_up)

    def query(self, order: DebitOrder) -> Deferred[QueryAnswer]:
        """Asks what became of the order's key; NotFound is billing's word, not a verdict."""
        return self._asked_about(self._query, order, _as_it_is)

    def refund(self, order: RefundOrder, *, may_send: Callable[[], bool]) -> Deferred[RefundAnswer]:
        """Gives the money back once; `may_send` is asked in the turn that writes the first byte."""
        return self._settled(self._refund, order, _as_made_refund, may_send=may_send)

    def query_refund(self, order: RefundOrder) -> Deferred[RefundQueryAnswer]:
        """Asks what became of a refund's key."""
        return self._asked_about(self._refund_query, order, _as_found_refund)

    async def close(self) -> None:
        await self._client.close()

    def _settled(
        self,
        call: wire.Call | None,
        order: Order,
        told_as: Callable[[Settled], A],
        *,
        may_send: Callable[[], bool],
        read: Callable[[wire.Call, Order, http.Answer], Settled] = _read,
    ) -> Deferred[A]:
        if call is None:
            why = NotSent("this billing can't be asked for that: it is not configured")
            return succeed(told_as(why))
        return self._ask(call, order, told_as, may_send=may_send, read=read)

    def _asked_about(
        self, call: wire.Call | None, order: Order, told_as: Callable[[Settled], A]
    ) -> Deferred[A]:
        if call is None:
            return succeed(told_as(Unknown("this billing can't be asked")))
        return self._ask(call, order, told_as, may_send=None, read=_looked_up)

    def _ask(
        self,
        call: wire.Call,
        order: Order,
        told_as: Callable[[Settled], A],
        *,
        may_send: Callable[[], bool] | None,
        read: Callable[[wire.Call, Order, http.Answer], Settled],
    ) -> Deferred[A]:
        method, url, how = self._written(call, order, may_send)
        return self._client.request(method, url, **how).addCallbacks(
            *(_told, _untold), callbackArgs=(call, order, read, told_as), errbackArgs=(told_as,)
        )

    def _written(
        self, call: wire.Call, order: Order, may_send: Callable[[], bool] | None
    ) -> tuple[bytes, str, http.How]:
        settings = self._settings
        values: Values = _no_values
        if call.has_values:
            values = texts_of(order, now=self._now(), password=self._password)
        body = call.write_body(order, values)
        how: http.How = {
            "headers": call.headers_for(values, body=body),
            "body": body,
            "timeout_s": settings.timeout_s,
            "connect_timeout_s": settings.connect_timeout_s,
            "answer_size_max": settings.answer_size_max,
            "may_send": may_send,
        }
        return call.method, call.url_for(values), how


def _told(
    answer: http.Answer,
    call: wire.Call,
    order: Order,
    read: Callable[[wire.Call, Order, http.Answer], Settled],
    told_as: Callable[[Settled], A],
) -> A:
    if answer.status in call.answer.not_processed_statuses:
        return told_as(NotSent(f"status {answer.status}", _retry_after_s(answer)))
    return told_as(read(call, order, answer))


def _untold(why: Failure, told_as: Callable[[Settled], A]) -> A:
    assert isinstance(why.value, Exception)
    return told_as(_unheard(why.value))


def _unheard(why: Exception) -> Settled:
    """What it means that there is no answer; raises what is a mistake of ours."""
    if isinstance(why, http.NotSent):
        return NotSent(str(why), None)
    if isinstance(why, http.NoAnswer):
        return Unknown(str(why))
    raise why


def _heard(
    call: wire.Call,
    order: Order,
    told: Callable[[DebitAnswer | Exception], None],
    answer: http.Answer | Exception,
) -> None:
    try:
        if isinstance(answer, http.Answer):
            settled = _told(answer, call, order, _read, as_debit)
        else:
            settled = as_debit(_unheard(answer))
    except Exception as exc:
        told(exc)
    else:
        told(settled)


def _fire(answer: Deferred[DebitAnswer], told: DebitAnswer | Exception) -> None:
    if isinstance(told, Exception):
        answer.errback(told)
    else:
        answer.callback(told)


def _retry_after_s(answer: http.Answer) -> float | None:
    """Retry-After in seconds; its other form, a date, would need a clock that both agree on."""
    value = (answer.header(b"retry-after") or b"").strip()
    return min(float(value), RETRY_AFTER_MAX_S) if value.isdigit() else None
