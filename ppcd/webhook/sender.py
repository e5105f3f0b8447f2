"""Posts events and judges the answers."""

import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ppcd.flow.ports import Delivered, Event, Gone, NotTried, TryLater
from ppcd.http.client import Answer, Client, ClientTls, NoAnswer, NoRoom, NotSent, Resolve
from ppcd.webhook.guard import Refused
from ppcd.webhook.settings import WebhookSettings
from ppcd.webhook.signature import signature

#: More than these don't wait for a host's connections: they are put off. Of one partner fewer are
#: run at once, so this is for hosts that several partners share.
WAITING_PER_HOST_MAX: Final = 300
_CONNECT_TIMEOUT_S: Final = 5.0
_ANSWER_SIZE_MAX: Final = 65_536
#: A partner can't put an event off for longer than the longest pause we make ourselves.
_RETRY_AFTER_S_MAX: Final = 24 * 3600.0
#: Answers that may say when to come again.
_THROTTLING: Final = frozenset({429, 502, 503, 504})
_SECONDS: Final = re.compile(rb"[0-9]{1,9}")


class Sender:
    """Fulfils flow's `Notifier`: delivers, and never raises for what a partner may do."""

    def __init__(
        self,
        reactor: Any,
        settings: WebhookSettings,
        *,
        now: Callable[[], float],
        resolve: Resolve | None = None,
    ) -> None:
        """`now` gives Unix time, which receivers compare with their own."""
        self._settings = settings
        self._guard = settings.guard
        self._now = now
        ca_file = None if settings.ca_file is None else Path(settings.ca_file)
        shared: dict[str, Any] = {
            "connections_per_host_max": settings.connections_per_host_max,
            "waiting_per_host_max": WAITING_PER_HOST_MAX,
            "tls": ClientTls(ca_file=ca_file),
            "resolve": resolve,
        }
        self._guarded = Client(reactor, address_allowed=self._guard.address_allowed, **shared)
        self._exempt = Client(reactor, **shared)

    def deliver(self, event: Event) -> Deferred[Delivered | TryLater | NotTried | Gone]:
        """One attempt."""
        try:
            url = self._guard.check_url(event.url)
        except Refused as exc:
            return succeed(TryLater(None, f"not sent: {exc}"))
        client = self._exempt if url.host in self._guard.http_hosts else self._guarded
        posting = client.request(
            b"POST",
            event.url,
            headers=self._headers(event),
            body=event.body,
            timeout_s=self._settings.timeout_s,
            wait_s=self._settings.timeout_s,
            connect_timeout_s=min(_CONNECT_TIMEOUT_S, self._settings.timeout_s),
            answer_size_max=_ANSWER_SIZE_MAX,
        )
        return posting.addCallbacks(self._judge, _unanswered)

    async def close(self) -> None:
        """Let attempts in flight end, then close all connections."""
        await self._guarded.close()
        await self._exempt.close()

    def _headers(self, event: Event) -> list[tuple[bytes, bytes]]:
        timestamp_s = int(self._now())
        signed = signature(event.event_id, timestamp_s, event.body, event.secrets)
        headers = [
            (b"Content-Type", b"application/cloudevents+json"),
            (b"User-Agent", b"ppcd"),
            (b"webhook-id", event.event_id.encode("ascii")),
            (b"webhook-timestamp", b"%d" % timestamp_s),
            (b"webhook-signature", signed.encode("ascii")),
        ]
        if event.bearer is not None:
            headers.append((b"Authorization", b"Bearer " + event.bearer.encode("ascii")))
        return headers

    def _judge(self, answer: Answer) -> Delivered | TryLater | Gone:
        status = answer.status
        if 200 <= status < 300:
            return Delivered(status)
        if status == 410:
            return Gone("410")
        after_s = self._retry_after(answer) if status in _THROTTLING else None
        # A redirect is not followed: it would be a way around the guard, and carry the token along.
        return TryLater(after_s, str(status))

    def _retry_after(self, answer: Answer) -> float | None:
        given = (answer.header(b"retry-after") or b"").strip()
        if _SECONDS.fullmatch(given):
            return min(float(given), _RETRY_AFTER_S_MAX)
        try:
            at = parsedate_to_datetime(given.decode("ascii"))
        except ValueError:
            return None
        seconds = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - self._now()
        return min(max(seconds, 0.0), _RETRY_AFTER_S_MAX)


def _unanswered(why: Failure) -> NotTried | TryLater | Failure:
    """What it means that there is no answer."""
    match why.value:
        case NoRoom() as exc:
            return NotTried(str(exc))
        case Refused() | NotSent() as exc:
            return TryLater(None, f"not sent: {exc}")
        case NoAnswer() as exc:
            return TryLater(None, f"no answer: {exc}")
    return why
