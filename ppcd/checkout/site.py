"""Everything of the payment page, put together for one node."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel
from twisted.internet.interfaces import IReactorTime

from ppcd.checkout.api import SessionApi
from ppcd.checkout.files import BASE, AssetFiles
from ppcd.checkout.live import Live
from ppcd.checkout.pages import Pages
from ppcd.checkout.sessions import Sessions
from ppcd.checkout.wire import NewSession
from ppcd.flow import request as flow
from ppcd.http.messages import Request, Response
from ppcd.http.router import Handler, Router
from ppcd.metrics import Metrics
from ppcd.store.lanes import Runner

_Model = TypeVar("_Model", bound=BaseModel)


class Envelope(Protocol):
    """What checks a partner's key and reads its body; the partners' API fulfils it."""

    def for_partner(
        self, operation: Callable[[flow.Partner, Request], Coroutine[Any, Any, Response]]
    ) -> Handler: ...

    def taking(
        self,
        model: type[_Model],
        operation: Callable[[flow.Partner, Request, _Model], Coroutine[Any, Any, Response]],
    ) -> Handler: ...


class Checkout:
    """The payment page of a node."""

    def __init__(
        self,
        *,
        lanes: Runner,
        requests: flow.Requests,
        clock: IReactorTime,
        metrics: Metrics,
        random_below: Callable[[int], int],
        prefixes: Callable[[], Sequence[str]],
        language_of: Callable[[bytes | None], str | None],
        public_url: str,
        scheme: str,
        http_hosts: frozenset[str],
    ) -> None:
        """See `Pages`, `SessionApi` and `Sessions` for what each is."""
        sessions = Sessions(lanes=lanes, requests=requests, random_below=random_below)
        self.live = Live(lanes=lanes, clock=clock, metrics=metrics)
        self._assets = AssetFiles()
        self._api = SessionApi(
            sessions,
            requests=requests,
            public_url=public_url,
            scheme=scheme,
            http_hosts=http_hosts,
        )
        self._pages = Pages(
            sessions,
            requests=requests,
            live=self.live,
            assets=self._assets,
            prefixes=prefixes,
            language_of=language_of,
        )

    def add_routes(self, router: Router, envelope: Envelope) -> None:
        router.add("POST", BASE + "/sessions", envelope.taking(NewSession, self._api.open))
        show = envelope.for_partner(self._api.show)
        router.add("GET", BASE + "/sessions/{session}", show)
        self._pages.add_routes(router)
        self._assets.add_routes(router)

    def stop(self) -> None:
        """Let no page wait any longer."""
        self.live.stop()
