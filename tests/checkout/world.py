"""The page in front of a node's steps, on a real database, spoken to in octets."""

import hashlib
import html
import json
import re
from importlib.resources import files
from itertools import count
from typing import Any
from urllib.parse import urlencode

from ppcd.charge.rules import State
from ppcd.checkout.site import Checkout
from ppcd.flow.listing import Listings
from ppcd.http.router import Router
from ppcd.http.server import Site
from ppcd.partner.api import PartnerApi
from ppcd.partner.settings import PartnerApiSettings
from ppcd.partner.wire import language_wanted
from ppcd.store import registers
from ppcd.store.registers import TariffRow
from ppcd.store.rows import ChargeRow
from tests.builders import Store
from tests.flow.world import World as Steps
from tests.http.peers import Peer, parse
from tests.partner.answers import Contract

SECRET = b"secret"
TARIFFS = (
    TariffRow("gold-1000", 10_000, "UAH", "1000 gold", None),
    TariffRow("gold-250", 2_500, "UAH", "250 gold", None),
    TariffRow("gold-500", 5_000, "UAH", "500 gold", None),
)
#: What partners are answered about sessions is held against it.
CONTRACT = Contract(files("ppcd.checkout").joinpath("openapi/checkout.yaml").read_text())
ALL = ["gold-250", "gold-500", "gold-1000"]
_phones = count(380971000001)


class Got:
    """An answer, read."""

    def __init__(self, data: bytes) -> None:
        self.status, self.headers, self.body = parse(data)
        self.raw_headers = data.partition(b"\r\n\r\n")[0].decode()

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def title(self) -> str:
        """The page's heading, as read."""
        found = re.search(r"<h1>(.*?)</h1>", self.text)
        assert found, self.text
        return html.unescape(re.sub(r"<[^>]+>", "", found[1])).replace("\u00a0", " ")

    @property
    def words(self) -> str:
        """All that is to be read inside of the page."""
        main = re.search(r"<main[^>]*>(.*)</main>", self.text, re.S)
        assert main, self.text
        return html.unescape(re.sub(r"<[^>]+>", " ", main[1])).replace("\u00a0", " ")


class World:
    """A partner, its sessions, and the browsers that open them."""

    def __init__(
        self, store: Store, *, public_url: str = "https://pay.example", **settings: Any
    ) -> None:
        self.store = store
        self.steps = Steps(store)
        for tariff in TARIFFS:
            store.run(registers.add_tariff, partner_id=store.partner_id, tariff=tariff)
        self.settings = PartnerApiSettings(**settings)
        self.api = PartnerApi(
            self.steps.requests,
            self.settings,
            listings=Listings(lanes=self.steps.runner),
            reservations=self.steps.reservations,
            validations=self.steps.validations,
            clock=self.steps.clock,
            new_correlator=lambda: "x",
        )
        self.random = iter(count(store.number() << 40))
        self.checkout = Checkout(
            lanes=self.steps.runner,
            requests=self.steps.requests,
            clock=self.steps.clock,
            metrics=self.steps.metrics,
            random_below=lambda n: next(self.random) % n,
            prefixes=lambda: ["38097"],
            language_of=language_wanted,
            public_url=public_url,
            scheme="https",
            http_hosts=frozenset(),
        )
        router = Router()
        self.api.add_routes(router)
        self.checkout.add_routes(router, self.api)
        self.site = Site(
            router, reactor=self.steps.clock, limits=self.api.limits, error=self.api.error
        )
        self.key = f"key-{store.partner}"
        self.phone = next(_phones)
        digest = hashlib.sha256(self.key.encode()).digest()
        store.run(registers.add_key, partner_id=store.partner_id, key_hash=digest, label="checkout")

    # -- the partner

    def ask(self, method: str, path: str, document: Any = None, *, key: str | None = None) -> Got:
        body = b"" if document is None else json.dumps(document).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {key or self.key}"]
        if document is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        got = self._sends(lines, body)
        template = re.sub(r"^(/checkout/v1/sessions)/.+", r"\1/{session}", path)
        if template in CONTRACT.document["paths"]:
            CONTRACT.check(method, template, status=got.status, headers=got.headers, body=got.body)
        return got

    def opened(self, **wanted: Any) -> str:
        """A session's path."""
        if "amount" not in wanted:
            wanted.setdefault("tariffs", ALL)
        got = self.ask("POST", "/checkout/v1/sessions", wanted)
        assert got.status == 201, got.body
        url: str = got.json["url"]
        return url.removeprefix("https://pay.example")

    # -- the browser

    def get(self, path: str, *, language: str = "ru") -> Got:
        return self._sends([f"GET {path} HTTP/1.1", "Host: a", f"Accept-Language: {language}"])

    def post(self, path: str, **fields: Any) -> Got:
        body = urlencode(fields).encode()
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: a",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
        ]
        return self._sends(lines, body)

    def _sends(self, lines: list[str], body: bytes = b"") -> Got:
        peer = Peer(self.site)
        peer.sends("\r\n".join([*lines, "", ""]).encode() + body)
        got = Got(peer.got())
        peer.hangs_up()
        return got

    def listens(self, path: str) -> Peer:
        """A browser with an event stream open."""
        peer = Peer(self.site)
        peer.sends(f"GET {path}/events HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return peer

    def pay(self, session: str, *, after: int = 0, offer: int = 0, **fields: Any) -> Got:
        """Press «Оплатить» and follow to the page."""
        if "same" not in fields:
            fields.setdefault("phone", f"+{self.phone}")
        got = self.post(session, after=after, offer=offer, **fields)
        if got.status != 303:
            return got
        self.steps.pump()
        return self.get(session)

    # -- what came of it

    def charges(self) -> list[ChargeRow]:
        """All charges of this partner, oldest first."""
        ids = self.store.query(
            "SELECT charge_id FROM charge WHERE partner_id = %s ORDER BY created_at, charge_id",
            self.store.partner_id,
        )
        return [self.steps.charge(row[0]) for row in ids]

    def charge(self) -> ChargeRow:
        return self.charges()[-1]

    def answer(self, text: str = "ДА") -> None:
        self.steps.answer(self.charge(), text)

    def state(self) -> State:
        return State(self.charge().state)


def events(data: bytes) -> list[Any]:
    """The events of a stream so far."""
    return [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]
