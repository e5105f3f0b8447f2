"""The adapter for billing systems with an HTTP interface.

Owns one distinction: what certainly did not reach billing (`NotSent`) against what perhaps did
(`Unknown`). What the answers mean is in the settings; when to try again is flow's to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ppcd.billing import wire
from ppcd.billing.settings import HttpBillingSettings
from ppcd.charge.debit import (
    Abilities,
    Debited,
    DebitOrder,
    Denied,
    NotFound,
    NotSent,
    Unknown,
)
from ppcd.http import client as http

RETRY_AFTER_MAX_S: Final = 3600.0


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


class HttpBilling:
    """Debits and asks about debits over HTTP; fulfils flow's adapter protocol.

    `credentials` is the value of the Authorization header; `client` is this adapter's own.
    """

    def __init__(
        self,
        name: str,
        settings: HttpBillingSettings,
        *,
        client: _Client,
        credentials: str | None = None,
    ) -> None:
        self.name: Final = name
        self.abilities: Final[Abilities] = settings.abilities.abilities()
        self._settings = settings
        self._client = client
        self._authorization = (
            [] if credentials is None else [(b"Authorization", credentials.encode("latin-1"))]
        )

    async def debit(
        self, order: DebitOrder, *, may_send: Callable[[], bool]
    ) -> Debited | Denied | NotSent | Unknown:
        """Asks for the money once; `may_send` is asked in the turn that writes the first byte."""
        settings = self._settings
        answer = await self._ask(
            settings.method.encode(),
            wire.request_url(settings.url, order),
            order,
            body=wire.request_body(settings, order),
            may_send=may_send,
        )
        if not isinstance(answer, http.Answer):
            return answer
        return wire.read_answer(settings.answer, order, answer.status, answer.body)

    async def query(self, order: DebitOrder) -> Debited | Denied | NotFound | NotSent | Unknown:
        """Asks what became of the order's key; NotFound is billing's word, not a verdict."""
        settings = self._settings
        if settings.query_url is None:
            return Unknown("this billing can't be asked")
        answer = await self._ask(
            b"GET", wire.request_url(settings.query_url, order), order, body=b"", may_send=None
        )
        if not isinstance(answer, http.Answer):
            return answer
        if answer.status in settings.answer.not_found_statuses:
            return NotFound()
        return wire.read_answer(settings.answer, order, answer.status, answer.body)

    async def close(self) -> None:
        await self._client.close()

    async def _ask(
        self,
        method: bytes,
        url: str,
        order: DebitOrder,
        *,
        body: bytes,
        may_send: Callable[[], bool] | None,
    ) -> http.Answer | NotSent | Unknown:
        settings = self._settings
        headers = [
            *wire.request_headers(settings, order),
            *self._authorization,
            (b"Accept", b"application/json"),
        ]
        if body:
            headers.append((b"Content-Type", b"application/json"))
        try:
            answer = await self._client.request(
                method,
                url,
                headers=headers,
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
        if answer.status in settings.answer.not_processed_statuses:
            return NotSent(f"status {answer.status}", _retry_after_s(answer))
        return answer


def _retry_after_s(answer: http.Answer) -> float | None:
    """Retry-After in seconds; its other form, a date, would need a clock that both agree on."""
    value = (answer.header(b"retry-after") or b"").strip()
    return min(float(value), RETRY_AFTER_MAX_S) if value.isdigit() else None
