"""The page over HTTP: what a browser asks and presses, and what it is sent.

Every press answers with a redirect to the page, which shows the session as it is: a reload never
presses twice. Owns headers and forms. Refuses to know markup and how a session is paid.
"""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, urlencode

from twisted.logger import Logger

from ppcd.charge.msisdn import Msisdn
from ppcd.checkout.files import AssetFiles
from ppcd.checkout.html import Page, Trouble
from ppcd.checkout.live import Live
from ppcd.checkout.phones import Plan, plan_of, read_number
from ppcd.checkout.result import return_url, status_of
from ppcd.checkout.screens import LIVE, Screen, Wanted, screen_of
from ppcd.checkout.sessions import Session, Sessions
from ppcd.checkout.wording import LANGUAGES
from ppcd.flow import request as flow
from ppcd.http.messages import Request, Response, json_response
from ppcd.http.router import Handler, Router
from ppcd.store.failures import StoreError

_log = Logger(namespace="ppcd.checkout")

_HTML: Final = (b"Content-Type", b"text/html; charset=utf-8")
_NO_STORE: Final = (b"Cache-Control", b"no-store")
_NOSNIFF: Final = (b"X-Content-Type-Options", b"nosniff")
_NO_REFERRER: Final = (b"Referrer-Policy", b"no-referrer")
_EVENTS: Final = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-store"),
    # nginx would keep events until a buffer is full.
    (b"X-Accel-Buffering", b"no"),
    _NOSNIFF,
)
#: What is said of a try that was refused, where the next one may go otherwise.
_REFUSALS: Final = {
    "no_free_address": "error_waiting",
    "not_served": "error_operator",
    "over_limit": "error_limit",
}
#: Silence on a stream that no proxy takes for its end.
BEAT_S: Final = 15.0
_ID_LENGTH_MAX: Final = 64
_PLAIN_FORM: Final = b"application/x-www-form-urlencoded"
_FIELDS_MAX: Final = 20


class Pages:
    """`/pay/…`."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        requests: flow.Requests,
        live: Live,
        assets: AssetFiles,
        prefixes: Callable[[], Sequence[str]],
        language_of: Callable[[bytes | None], str | None],
    ) -> None:
        """`prefixes` are those of served numbers; `language_of` reads an Accept-Language header."""
        self._sessions = sessions
        self._requests = requests
        self._live = live
        self._assets = assets
        self._prefixes = prefixes
        self._language_of = language_of

    def add_routes(self, router: Router) -> None:
        for method, path, handler in (
            ("GET", "", self._show),
            ("POST", "", self._press),
            ("POST", "/cancel", self._cancel),
            ("GET", "/state", self._state),
            ("GET", "/events", self._events),
        ):
            router.add(method, "/pay/{session}" + path, self._guarded(handler))

    def _guarded(self, handler: Handler) -> Handler:
        """A person gets a page, also when the store is away."""

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except StoreError as error:
                _log.warn("the store is not there for a page: {error}", error=error)
                headers = [(b"Retry-After", b"2"), _NO_STORE]
                page = self._page(None, Screen.NONE, self._wanted(request, None))
                text = page.excuse("failed_title", "error_busy")
                return Response(503, [*_page_headers(None), *headers], text.encode())

        return handle

    # -- reading a request

    async def _find(self, request: Request) -> Session | None:
        name = request.params["session"]
        if not (name.isascii() and name.isalnum() and len(name) <= _ID_LENGTH_MAX):
            return None
        return await self._sessions.find(name)

    def _wanted(self, request: Request, session: Session | None) -> Wanted:
        try:
            query = dict(request.query())
        except ValueError:
            query = {}
        asked = query.get("lang")
        language = asked if asked in LANGUAGES else None
        fallback = (
            (session.row.language if session else None)
            or self._language_of(request.header(b"accept-language"))
            or (session.row.partner_language if session else None)
            or LANGUAGES[0]
        )
        return Wanted(
            language=language or fallback,
            language_chosen=language is not None,
            offer=_small_number(query.get("offer")),
            other=query.get("other") == "1",
            again=query.get("again") == "1",
        )

    @property
    def _plan(self) -> Plan:
        return plan_of(self._prefixes())

    # -- showing

    def _page(self, session: Session | None, screen: Screen, wanted: Wanted) -> Page:
        return Page(session, screen, wanted, plan=self._plan, files=self._assets.files)

    def _answer(
        self,
        session: Session | None,
        wanted: Wanted,
        *,
        trouble: Trouble | None = None,
        status: int = 200,
    ) -> Response:
        screen = Screen.NONE if session is None else screen_of(session, wanted)
        page = self._page(session, screen, wanted)
        body = page.whole(trouble).encode()
        return Response(404 if session is None else status, _page_headers(session), body)

    async def _show(self, request: Request) -> Response:
        session = await self._find(request)
        wanted = self._wanted(request, session)
        words = None if session is None else _REFUSALS.get(session.row.try_refused or "")
        trouble = None if words is None else Trouble(words)
        return self._answer(session, wanted, trouble=trouble)

    def _news(self, session: Session, wanted: Wanted) -> dict[str, object]:
        """What changed, for a page that is open: never a form, which somebody may be filling in."""
        screen = screen_of(session, replace(wanted, again=False))
        page = self._page(session, screen, wanted)
        return {
            "status": page.status,
            "live": page.live,
            "result": status_of(session),
            "return": return_url(session) or "",
            "html": page.main(),
        }

    async def _state(self, request: Request) -> Response:
        session = await self._find(request)
        if session is None:
            return json_response(404, {}, [_NO_STORE])
        news = self._news(session, self._wanted(request, session))
        return json_response(200, news, [_NO_STORE, _NOSNIFF])

    async def _events(self, request: Request) -> Response:
        session = await self._find(request)
        if session is None or self._live.full:
            # An event source takes 204 for «don't come back»; the page asks by itself then.
            return Response(204, [_NO_STORE])
        return Response(200, _EVENTS, self._stream(session, self._wanted(request, session)))

    async def _stream(self, session: Session, wanted: Wanted) -> AsyncIterator[bytes]:
        yield b"retry: 1500\n\n"
        found: Session | None = session
        while found is not None:
            yield b"data: %s\n\n" % json.dumps(self._news(found, wanted)).encode("ascii")
            charge = found.charge
            if charge is None or screen_of(found, wanted) not in LIVE:
                return
            known, charge_id = charge.state.value, charge.charge_id
            # While it waits, an open page costs its connection and little else.
            name, found, charge = found.id, None, None
            while not await self._live.changed(charge_id, known=known, wait_s=BEAT_S):
                if self._live.full:
                    return
                yield b": still here\n\n"
            try:
                found = await self._sessions.find(name)
            except StoreError:
                return  # the page comes back by itself

    # -- presses

    async def _press(self, request: Request) -> Response:
        session = await self._find(request)
        wanted = self._wanted(request, session)
        if session is None:
            return self._answer(None, wanted)
        form = _form(request)
        if session.pending:
            # What it was begun with stands; this press only goes on with it.
            number = session.tried
            assert number is not None
            await self._sessions.pay(
                session, after=session.row.tries, offer=0, msisdn=number, language=wanted.language
            )
            return _see(session, wanted)
        if not session.may_try or form.get("after") != str(session.row.tries):
            return _see(session, wanted)
        offer = _small_number(form.get("offer"))
        if len(session.offers) == 1:
            offer = 0
        again = replace(wanted, again=True)
        typed = form.get("phone", "")[:40]
        if offer is None or offer >= len(session.offers):
            trouble = Trouble("error_offer", typed)
            return self._answer(session, replace(again, offer=None), trouble=trouble, status=422)
        again = replace(again, offer=offer)
        number = self._number(session, form)
        if number is None or not self._requests.serves(number):
            key = "error_number" if number is None else "error_operator"
            trouble = Trouble(key, typed)
            return self._answer(session, again, trouble=trouble, status=422)
        await self._sessions.pay(
            session,
            after=session.row.tries,
            offer=offer,
            msisdn=number,
            language=wanted.language,
        )
        return _see(session, wanted)

    def _number(self, session: Session, form: dict[str, str]) -> Msisdn | None:
        """The number that is to pay. One that the partner passed is nobody's to change."""
        if session.known is not None:
            return session.known
        if form.get("same") == "1" and session.tried is not None:
            return session.tried
        return read_number(form.get("phone", ""), self._plan)

    async def _cancel(self, request: Request) -> Response:
        session = await self._find(request)
        wanted = self._wanted(request, session)
        if session is None:
            return self._answer(None, wanted)
        await self._sessions.cancel(session)
        return _see(session, wanted)


def _page_headers(session: Session | None) -> list[tuple[bytes, bytes]]:
    """What the browser may do with a page: our own files, and the partner's logo, only."""
    sites = session.row.sites if session is not None else ()
    logo = session.row.brand_logo_url if session is not None else None
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        f"img-src 'self' {logo}" if logo else "img-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        f"frame-ancestors {' '.join(sites)}" if sites else "frame-ancestors 'none'",
    ]
    return [
        _HTML,
        (b"Content-Security-Policy", "; ".join(policy).encode("ascii")),
        _NOSNIFF,
        _NO_REFERRER,
        _NO_STORE,
        (b"Permissions-Policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
    ]


def _see(session: Session, wanted: Wanted) -> Response:
    """The page again, by GET."""
    query = f"?{urlencode({'lang': wanted.language})}" if wanted.language_chosen else ""
    location = f"/pay/{session.id}{query}".encode("ascii")
    return Response(303, [(b"Location", location), _NO_STORE])


def _form(request: Request) -> dict[str, str]:
    """A form's fields; none for what is no form."""
    kind = (request.header(b"content-type") or b"").split(b";")[0].strip().lower()
    if kind != _PLAIN_FORM:
        return {}
    try:
        text = request.body.decode("ascii")
        return dict(
            parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
        )
    except ValueError:
        return {}


def _small_number(text: str | None) -> int | None:
    return (
        int(text)
        if text is not None and text.isascii() and text.isdigit() and len(text) < 4
        else None
    )
