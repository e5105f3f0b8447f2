"""The adapter for billing systems with an HTTP interface.

Owns one distinction: what certainly did not reach billing (`NotSent`) against what perhaps did
(`Unknown`). What the answers mean is in the settings; when to try again is flow's to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

from ppcd.billing import wire
from ppcd.billing.answers import Settled, as_refund
from ppcd.billing.settings import HttpBillingSettings
from ppcd.billing.template import texts_of
from ppcd.billing.unable import CannotReserve
from ppcd.charge.debit import (
    Abilities,
    Debited,
    DebitOrder,
    Denied,
    NotFound,
    NotSent,
    Order,
    Unknown,
)
from ppcd.charge.refund import RefundAnswer, RefundOrder, RefundQueryAnswer
from ppcd.http import client as http

RETRY_AFTER_MAX_S: Final = 3600.0
NOT_FOUND: Final = 404


class _Client(Protocol):
    """What the adapter needs of `ppcd.http.client.Client`."""

    async def request(
        self,
        method: bytes,
        url: str,
        *,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        timeout_s: float,
        connect_timeout_s: float,
        answer_size_max: int,
        may_send: Callable[[], bool] | None,
    ) -> http.Answer: ...

    async def close(self) -> None: ...


class HttpBilling(CannotReserve):
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
        self._debit = wire.debit_call(settings)
        self._query = wire.query_call(settings)
        refund = settings.refund
        self.refund_abilities: Final = (
            Abilities() if refund is None else refund.abilities.abilities()
        )
        self._refund = wire.refund_call(settings)
        self._refund_query = wire.refund_query_call(settings)
        self._client = client
        self._now = now
        self._password = password or ""
        self._authorization = (
            [] if credentials is None else [(b"Authorization", credentials.encode("latin-1"))]
        )

    async def debit(
        self, order: DebitOrder, *, may_send: Callable[[], bool]
    ) -> Debited | Denied | NotSent | Unknown:
        """Asks for the money once; `may_send` is asked in the turn that writes the first byte."""
        settled = await self._settled(self._debit, order, may_send=may_send)
        if isinstance(settled, NotFound):
            return Unknown("the answer to a debit says that the debit is not known")
        return settled

    async def query(self, order: DebitOrder) -> Debited | Denied | NotFound | NotSent | Unknown:
        """Asks what became of the order's key; NotFound is billing's word, not a verdict."""
        return await self._asked_about(self._query, order)

    async def refund(self, order: RefundOrder, *, may_send: Callable[[], bool]) -> RefundAnswer:
        """Gives the money back once; `may_send` is asked in the turn that writes the first byte."""
        if self._refund is None:
            return NotSent("this billing can't give money back: refund is not configured")
        settled = await self._settled(self._refund, order, may_send=may_send)
        if isinstance(settled, NotFound):
            return Unknown("the answer to a refund says that it is not known")
        return as_refund(settled)

    async def query_refund(self, order: RefundOrder) -> RefundQueryAnswer:
        """Asks what became of a refund's key."""
        settled = await self._asked_about(self._refund_query, order)
        return settled if isinstance(settled, NotFound) else as_refund(settled)

    async def close(self) -> None:
        await self._client.close()

    async def _settled(
        self, call: wire.Call, order: Order, *, may_send: Callable[[], bool]
    ) -> Settled:
        answer = await self._ask(call, order, may_send=may_send)
        if not isinstance(answer, http.Answer):
            return answer
        return wire.read_answer(call.answer, order, answer.status, answer.body)

    async def _asked_about(self, call: wire.Call | None, order: Order) -> Settled:
        if call is None:
            return Unknown("this billing can't be asked")
        answer = await self._ask(call, order, may_send=None)
        if not isinstance(answer, http.Answer):
            return answer
        if answer.status in call.answer.not_found_statuses:
            return NotFound()
        if answer.status == NOT_FOUND:
            # So is a wrong path answered: only the body can say that it was billing who looked.
            return wire.read_not_found(call.answer, order, answer.status, answer.body)
        return wire.read_answer(call.answer, order, answer.status, answer.body)

    async def _ask(
        self, call: wire.Call, order: Order, *, may_send: Callable[[], bool] | None
    ) -> http.Answer | NotSent | Unknown:
        settings = self._settings
        values = texts_of(order, now=self._now(), password=self._password)
        body = call.write_body(order, values)
        try:
            answer = await self._client.request(
                call.method,
                call.url_for(values),
                headers=[*call.headers_for(values, body=body), *self._authorization],
                body=body,
                timeout_s=settings.timeout_s,
                connect_timeout_s=settings.connect_timeout_s,
                answer_size_max=settings.answer_size_max,
                may_send=may_send,
            )
        except http.NotSent as exc:
            return NotSent(str(exc), None)
        except http.NoAnswer as exc:
            return Unknown(str(exc))
        if answer.status in call.answer.not_processed_statuses:
            return NotSent(f"status {answer.status}", _retry_after_s(answer))
        return answer


def _retry_after_s(answer: http.Answer) -> float | None:
    """Retry-After in seconds; its other form, a date, would need a clock that both agree on."""
    value = (answer.header(b"retry-after") or b"").strip()
    return min(float(value), RETRY_AFTER_MAX_S) if value.isdigit() else None
