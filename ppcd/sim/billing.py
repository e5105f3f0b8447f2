"""The simulated operator's billing: a REST server that debits, refunds, and misbehaves on request.

Owns the wire and the bad manners (slow, silent, broken, late); `accounts` owns the money, and the
journal is written before any answer leaves. Knows nothing of ppcd but its own interface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ppcd.sim.accounts import (
    Account,
    Accounts,
    Conflict,
    Mode,
    Order,
    Record,
    Refund,
    Reserve,
    well_behaved,
)
from ppcd.sim.journal import Journal, read_journal, utc_now
from ppcd.sim.web import (
    Answer,
    App,
    Drop,
    Hang,
    Reactor,
    Refused,
    Request,
    Response,
    Route,
    Server,
    json_response,
)

#: What becomes of an order; None where nothing is found under its key.
_Settle: TypeAlias = Callable[[Order], Record | None]

AMOUNT_MINOR_MAX: Final = 10**15
#: The journal's file.
JOURNAL: Final = "billing.jsonl"
GARBAGE: Final = b"<html><body>Proxy error \x00\xff</body>"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingOptions:
    host: str = "127.0.0.1"
    port: int = 0
    #: Where the journal is kept; accounts survive a restart with it, and only with it.
    data_dir: Path | None = None
    fsync: bool = False
    #: What a phone never set has.
    balance_minor: int = 100_000
    currency: str = "UAH"
    slow_s: float = 3.0
    zombie_s: float = 10.0
    #: The same key again gets the recorded answer; otherwise it debits again.
    idempotent: bool = True
    #: Refusals are recorded under the key as well.
    stores_refusals: bool = True
    #: When given, debits need `Authorization: Bearer TOKEN`.
    token: str | None = None
    #: How it behaves for an account that was never set.
    mode_of: Callable[[str], Mode] = well_behaved


class Billing:
    """`start` listens, `sim_routes` are for mounting in another server as well."""

    def __init__(
        self,
        reactor: Reactor,
        options: BillingOptions,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._reactor = reactor
        self._options = options
        path = options.data_dir and options.data_dir / JOURNAL
        earlier = read_journal(path) if path else []
        self._journal = Journal(path, fsync=options.fsync, now=now)
        self._accounts = Accounts(
            self._journal,
            balance_minor=options.balance_minor,
            currency=options.currency,
            idempotent=options.idempotent,
            stores_refusals=options.stores_refusals,
            mode_of=options.mode_of,
        )
        self._accounts.replay(earlier)
        #: Keys whose first request was swallowed, and their accounts.
        self._asked: dict[str, str] = {}
        #: What was asked for before, and under which keys: only a first request is spoiled.
        self._seen: set[tuple[str, str]] = set()
        self._timers: set[IDelayedCall] = set()
        self._server = Server(reactor, App(self.routes()), host=options.host, port=options.port)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def port(self) -> int:
        return self._server.port

    async def start(self) -> None:
        await self._server.start()
        self._journal.write("started", idempotent=self._options.idempotent)

    async def stop(self) -> None:
        await self._server.stop()
        for timer in tuple(self._timers):
            timer.cancel()
        self._timers.clear()
        self._journal.close()

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/billing/debits", self._post_debit),
            Route("GET", "/billing/debits/{key}", self._get_debit),
            Route("POST", "/billing/reservations", self._post_reserve),
            Route("POST", "/billing/captures", self._post_capture),
            Route("POST", "/billing/releases", self._post_release),
            Route("POST", "/billing/refunds", self._post_refund),
            Route("GET", "/billing/refunds/{key}", self._get_refund),
            *self.sim_routes(),
        )

    def sim_routes(self) -> Sequence[Route]:
        path = "/sim/billing/accounts/{msisdn}"
        return (Route("GET", path, self._get_account), Route("PUT", path, self._put_account))

    def behave(self, msisdn: str, mode: Mode) -> None:
        """What PUT of an account does, for whoever holds this object."""
        account = self._accounts.account(msisdn)
        self._accounts.put(
            msisdn, balance_minor=account.balance_minor, currency=account.currency, mode=mode
        )

    # The operator's debit interface

    async def _post_debit(self, request: Request) -> Answer:
        return await self._post(request, _read_order, "debit_asked")

    async def _post_refund(self, request: Request) -> Answer:
        return await self._post(request, _read_refund, "refund_asked")

    # Holding money first: what is taken or let go then has the key of what was held.

    async def _post_reserve(self, request: Request) -> Answer:
        return await self._post(request, _read_reserve, "reserve_asked")

    async def _post_capture(self, request: Request) -> Answer:
        return await self._post(request, _read_order, "capture_asked", self._accounts.capture)

    async def _post_release(self, request: Request) -> Answer:
        return await self._post(
            request, _read_order, "release_asked", lambda order: self._accounts.release(order.key)
        )

    async def _post(
        self,
        request: Request,
        read: Callable[[dict[str, object]], Order],
        entry: str,
        settle: Callable[[Order], Record | None] | None = None,
    ) -> Answer:
        """`settle` says what becomes of it; None where it finds nothing under the key."""
        self._authorize(request)
        order = read(request.json())
        known = settle is None and self._accounts.record(order.key) is not None
        first = not known and (entry, order.key) not in self._seen
        self._seen.add((entry, order.key))
        self._asked.setdefault(order.key, order.msisdn)
        self._journal.write(entry, **order.asdict(), first=first)
        mode = self._accounts.account(order.msisdn).mode
        settle = settle or self._accounts.settle
        return self._misbehave_before(order, mode, settle, first=first) or await self._settle(
            order, mode, settle, first=first
        )

    def _misbehave_before(
        self, order: Order, mode: Mode, settle: _Settle, *, first: bool
    ) -> Answer | None:
        """What the mode does instead of looking at the account; None when it does look."""
        match mode:
            case Mode.UNAVAILABLE:
                self._journal.write("unavailable", key=order.key)
                return _unavailable()
            case Mode.ERROR_BEFORE_DEBIT:
                self._journal.write("error", key=order.key, status=500)
                return json_response({"error": "internal error"}, 500)
            case Mode.TIMEOUT:
                self._journal.write("answer_dropped", key=order.key, why="timeout")
                return Hang()
            case Mode.ZOMBIE if first:
                self._journal.write("answer_dropped", key=order.key, why="zombie")
                self._later(self._options.zombie_s, lambda: self._rise(order, settle))
                return Hang()
        return None

    async def _settle(self, order: Order, mode: Mode, settle: _Settle, *, first: bool) -> Answer:
        try:
            record = settle(order)
        except Conflict:
            return json_response({"result": "conflict", "key": order.key}, 409)
        if first and (bad := self._misbehave_after(order, mode)) is not None:
            return bad
        if mode is Mode.SLOW:
            await self._sleep(self._options.slow_s)
        if record is None:
            return json_response({"result": "not_found", "key": order.key}, 404)
        return json_response(_describe(record))

    def _misbehave_after(self, order: Order, mode: Mode) -> Answer | None:
        """How the mode spoils the first answer to a key that has been settled."""
        spoiled: dict[Mode, Answer] = {
            Mode.TIMEOUT_AFTER_DEBIT: Hang(),
            Mode.RESET: Drop(),
            Mode.ERROR_AFTER_DEBIT: json_response({"error": "internal error"}, 500),
            Mode.GARBAGE: Response(200, GARBAGE, (("Content-Type", "application/json"),)),
        }
        answer = spoiled.get(mode)
        if answer is not None:
            self._journal.write("answer_dropped", key=order.key, why=mode.value)
        return answer

    async def _get_debit(self, request: Request) -> Answer:
        return self._get(request, Order)

    async def _get_refund(self, request: Request) -> Answer:
        return self._get(request, Refund)

    def _get(self, request: Request, kind: type[Order]) -> Answer:
        self._authorize(request)
        key = request.params["key"]
        self._journal.write("query_asked", key=key)
        msisdn = self._asked.get(key, "")
        if self._accounts.account(msisdn).mode is Mode.UNAVAILABLE:
            return _unavailable()
        record = self._accounts.record(key)
        if record is None or isinstance(record.order, Refund) is not (kind is Refund):
            return json_response({"result": "not_found", "key": key}, 404)
        return json_response(_describe(record))

    def _authorize(self, request: Request) -> None:
        token = self._options.token
        if token is not None and request.header(b"authorization") != f"Bearer {token}":
            raise Refused(401, "wrong or missing token")

    # The demo's and the tests' own interface

    async def _get_account(self, request: Request) -> Answer:
        return json_response(_describe_account(self._accounts.account(_msisdn(request))))

    async def _put_account(self, request: Request) -> Answer:
        """Sets what the body names (balance_minor, currency, mode); the rest stays."""
        msisdn = _msisdn(request)
        account = self._accounts.account(msisdn)
        wanted = request.json()
        unknown = wanted.keys() - {"balance_minor", "currency", "mode", "debits", "refunds"}
        if unknown:
            raise Refused(400, f"unknown members: {', '.join(sorted(unknown))}")
        balance_minor = wanted.get("balance_minor", account.balance_minor)
        if type(balance_minor) is not int or abs(balance_minor) > AMOUNT_MINOR_MAX:
            raise Refused(400, "balance_minor must be a whole number of minor units")
        currency = wanted.get("currency", account.currency)
        if not (isinstance(currency, str) and len(currency) == 3 and currency.isupper()):
            raise Refused(400, "currency must be an ISO 4217 code")
        mode = wanted.get("mode", account.mode.value)
        if mode not in list(Mode):
            raise Refused(400, f"mode must be one of {', '.join(Mode)}")
        changed = self._accounts.put(
            msisdn, balance_minor=balance_minor, currency=currency, mode=Mode(str(mode))
        )
        return json_response(_describe_account(changed))

    # Time

    def _rise(self, order: Order, settle: _Settle) -> None:
        """A zombie: the debit that everybody had given up on happens after all."""
        try:
            settle(order)
        except Conflict:
            # The key has been used for something else meanwhile; the journal has it.
            return

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            act()

        timer = self._reactor.callLater(delay_s, fire)
        self._timers.add(timer)

    async def _sleep(self, delay_s: float) -> None:
        woken: Deferred[None] = Deferred()
        self._later(delay_s, lambda: None if woken.called else woken.callback(None))
        await woken


def _unavailable() -> Response:
    return json_response({"error": "unavailable"}, 503, ("Retry-After", "1"))


def _describe(record: Record) -> dict[str, object]:
    answer: dict[str, object] = {"result": record.result}
    if record.reference is not None:
        answer["reference"] = record.reference
    if record.reason is not None:
        answer["reason"] = record.reason
    return answer | {**record.order.asdict(), "at": record.at}


def _describe_account(account: Account) -> dict[str, object]:
    described: dict[str, object] = {
        "balance_minor": account.balance_minor,
        "currency": account.currency,
        "debits": [_describe_movement(debit) for debit in account.debits],
        "mode": account.mode.value,
    }
    if account.refunds:
        described["refunds"] = [
            {**_describe_movement(refund), "debit_key": refund.order.asdict()["debit_key"]}
            for refund in account.refunds
        ]
    return described


def _describe_movement(record: Record) -> dict[str, object]:
    return {
        "key": record.order.key,
        "amount_minor": record.order.amount_minor,
        "currency": record.order.currency,
        "at": record.at,
    }


def _msisdn(request: Request) -> str:
    digits = request.params["msisdn"].removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 5 <= len(digits) <= 15):
        raise Refused(400, "msisdn must be 5 to 15 digits")
    return digits


def _read_order(body: dict[str, object]) -> Order:
    key, msisdn, currency = (_text(body, name) for name in ("key", "msisdn", "currency"))
    amount_minor = body.get("amount_minor")
    if type(amount_minor) is not int or not 0 < amount_minor <= AMOUNT_MINOR_MAX:
        raise Refused(400, "amount_minor must be a positive whole number")
    return Order(
        key=key, msisdn=msisdn.removeprefix("+"), amount_minor=amount_minor, currency=currency
    )


def _read_reserve(body: dict[str, object]) -> Reserve:
    return Reserve.of(_read_order(body))


def _read_refund(body: dict[str, object]) -> Refund:
    return Refund.of(_read_order(body), debit_key=_text(body, "debit_key"))


def _text(body: dict[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise Refused(400, f"{name} must be a text")
    return value
