"""A node's steps between stand-ins, on a real database, at the speed of a task.Clock.

Transactions run in the caller's turn, so that a test sees each of them happen; `pump` runs what was
offered, `pass_` lets time go by on all clocks and takes over what is overdue, as workers do.
"""

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ppcd.charge.debit import Abilities
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.reading import Reader
from ppcd.charge.rules import END_STATES, State
from ppcd.charge.texts import Texts
from ppcd.flow.debit import Debits
from ppcd.flow.expire import Expiry
from ppcd.flow.late import Late
from ppcd.flow.notify import Notifications
from ppcd.flow.overdue import Overdue
from ppcd.flow.pace import Pace, PaceRules
from ppcd.flow.ports import DeliveryReceipt, End, Mo, Mos, Said, Sms
from ppcd.flow.prompt import Prompts
from ppcd.flow.refund import Refunds
from ppcd.flow.refund_requests import RefundRequests
from ppcd.flow.reply import Replies, ReplyRules
from ppcd.flow.request import (
    ChargeRules,
    Created,
    Order,
    Partner,
    Requests,
    RouteRules,
)
from ppcd.flow.reservation import Reservations
from ppcd.flow.validation import Validations
from ppcd.metrics import Metrics
from ppcd.store import charges
from ppcd.store.failures import StoreError
from ppcd.store.lanes import Immediate, Runner
from ppcd.store.limits import NO_SUM_LIMITS
from ppcd.store.rows import ChargeRow, PromptKey
from ppcd.store.runs import Runs
from tests.builders import POOL, Store
from tests.flow.fakes import ABLE, Billing, FakeAdapter, FakeCarrier, FakeNotifier, FakeOffers

T = TypeVar("T")

#: The number of the event that tells the end of what was reserved.
AFTER_RESERVED = 3


class FakeIds:
    """Fulfils flow's `Ids`; with `failure`, none can be had."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failure: StoreError | None = None

    async def ensure(self, count: int) -> None:
        if self.failure is not None:
            raise self.failure

    def take(self, count: int) -> list[int]:
        return [self._store.id() for _ in range(count)]

    def take_runs(self, count: int) -> Runs:
        return Runs([range(one, one + 1) for one in self.take(count)])


class World:
    """One node and its surroundings. `restart` is a new process: it knows only the database."""

    name = "a"

    def __init__(
        self,
        store: Store,
        *,
        abilities: Abilities = ABLE,
        runner: Runner | None = None,
        pacing: dict[str, Any] | None = None,
    ) -> None:
        self.store = store
        self.clock = Clock()
        self.billing = Billing(abilities)
        self.carrier = FakeCarrier()
        self.notifier = FakeNotifier()
        self.pool = POOL
        self.with_code = False
        self.routes_gone = False
        self.lifetime_s = 600.0
        self.horizon_s = 900.0
        self.refund_start_s = 3600.0
        #: What differs from a pace that is of no consequence.
        self.pacing = pacing or {}
        self.sum_limits = NO_SUM_LIMITS
        self.lapse_s = 900.0
        self.by_pin = False
        self.untrusted: frozenset[str] = frozenset({"shady"})
        self.partner = Partner(
            store.partner_id, store.partner, "Game Shop", "ru", "https://shop.example/hook"
        )
        self.restart(runner)

    def restart(self, runner: Runner | None = None) -> None:
        """Begin anew, with nothing in memory."""
        store, clock = self.store, self.clock
        for call in clock.getDelayedCalls():
            call.cancel()
        self.pending: list[Deferred[None]] = []
        self.metrics = Metrics()
        self.offers = FakeOffers()
        self.adapter = FakeAdapter(self.billing)
        self.adapters = {self.adapter.name: self.adapter}
        self.ids = FakeIds(store)
        self.runner = lanes = runner or Immediate(store.direct, reactor=clock)
        pinned = runner or Immediate(store.pinned, reactor=clock)
        shared: dict[str, Any] = {
            "lanes": lanes,
            "offers": self.offers,
            "metrics": self.metrics,
        }
        texts = Texts()
        reader = Reader()
        self.requests = Requests(
            clock=clock,
            routes=self._routes,
            rules=lambda: ChargeRules(
                lifetime_s=self.lifetime_s,
                debit_start_s=120,
                language="uk",
                sum_limits=self.sum_limits,
            ),
            # Codes are known; ids, of which there are many more, come once.
            random_below=lambda n: 3821 if n < 1 << 64 else store.number(),
            ids=self.ids,
            **shared,
        )
        self.reservations = Reservations(
            look_up=self.requests.get, cancel=self.requests.cancel, **shared
        )
        self.validations = Validations(
            wrong_codes_max=lambda: 3, look_up=self.requests.get, **shared
        )
        self.prompts = Prompts(
            carrier=self.carrier, texts=lambda partner: texts, ids=self.ids, **shared
        )
        self.replies = Replies(
            confirming=pinned,
            rules=lambda: ReplyRules(reader=reader, reprompts_max=2, wrong_codes_max=3),
            address_numbers=lambda: {
                (link, a.address): a.address_no for a in POOL for link in ("acme", "shady")
            },
            untrusted=self.untrusted,
            ids=self.ids,
            offers=self.offers,
            metrics=self.metrics,
        )
        self.pace = self.a_pace()
        self.debits = Debits(
            adapters=self.adapters,
            paces={"sim": self.pace},
            clock=clock,
            node=self.name,
            horizon_s=lambda: self.horizon_s,
            lapse_s=lambda: self.lapse_s,
            jitter=lambda: 0.0,
            sum_limits=lambda: self.sum_limits,
            **shared,
        )
        self.refunds = Refunds(
            adapters=self.adapters,
            paces={"sim": self.pace},
            clock=clock,
            node=self.name,
            horizon_s=lambda: self.horizon_s,
            jitter=lambda: 0.0,
            **shared,
        )
        Late(adapters=self.adapters, debits=self.debits, refunds=self.refunds, metrics=self.metrics)
        self.refund_requests = RefundRequests(
            adapters=self.adapters, start_s=lambda: self.refund_start_s, ids=self.ids, **shared
        )
        self.overdue = Overdue(
            lanes=lanes,
            debits=self.debits,
            known=self.adapters.keys(),
            standing=lambda billing: self.pace.is_open,
            horizon_s=lambda: self.horizon_s,
            clock=clock,
        )
        self.notifications = Notifications(
            lanes=lanes,
            clock=clock,
            notifier=self.notifier,
            write_event=_write_event,
            delay_s=lambda attempt: 10.0 * attempt,
            node=self.name,
            metrics=self.metrics,
        )
        self.expiry = Expiry(**shared)

    def a_pace(self) -> Pace:
        """How fast billing is asked."""
        rules = replace(PaceRules(failures_max=10_000), **self.pacing)
        return Pace("sim", rules, clock=self.clock, jitter=lambda: 0.0, metrics=self.metrics)

    def _routes(self) -> list[RouteRules]:
        return (
            []
            if self.routes_gone
            else [
                RouteRules(
                    name="main",
                    prefixes=("380",),
                    pool=self.pool,
                    billing="sim",
                    with_code=lambda money: self.with_code,
                    quarantine_s=86_400,
                    reserving=self.billing.abilities.reserving,
                    by_pin=self.by_pin,
                )
            ]
        )

    # --- work

    def run(self, coro: Coroutine[Any, Any, None]) -> None:
        """Begin something; what does not end at once is `pending`."""
        running: Deferred[None] = Deferred.fromCoroutine(coro)
        if not running.called:
            self.pending.append(running)
        else:
            now(running)

    def pump(self) -> None:
        """Run all that was offered, and what comes of it."""
        while self._offered():
            self.pump_prompts()
            while self.offers.debited:
                self.run(self.debits.run(self.offers.debited.popleft()))
            while self.offers.refunded:
                self.run(self.refunds.run(self.offers.refunded.popleft()))
            while self.offers.notified:
                self.run(self.notifications.run(self.offers.notified.popleft()))

    def _offered(self) -> bool:
        # Asked anew each time: a node that dies meanwhile takes what it was offered along.
        offers = self.offers
        return any((offers.prompted, offers.debited, offers.refunded, offers.notified))

    def pump_prompts(self) -> None:
        """Run the texts only."""
        while self.offers.prompted:
            job = self.offers.prompted.popleft()
            if isinstance(job, PromptKey):
                self.offers.prompted.extend(now(self.prompts.load([job])))
            else:
                self.run(self.prompts.run(job))

    def pass_(self, seconds: float) -> None:
        """Time goes by; then everything overdue is taken over and run."""
        self.clock.advance(seconds)
        self.store.ahead(seconds)
        self.take_over()

    def take_over(self) -> None:
        """What workers and the sweep do on each tick."""
        now(self.expiry.sweep())
        now(self.reservations.lapse())
        self.offers.prompted.extend(now(self.prompts.claim(100)))
        now(self.overdue.sweep())
        if not self.pace.is_open:
            self.offers.debited.extend(now(self.debits.claim("sim", 100)))
            self.offers.refunded.extend(now(self.refunds.claim(100)))
        self.offers.notified.extend(now(self.notifications.claim(100)))
        self.pump()

    # --- the outside

    def an_order(self, **changes: Any) -> Order:
        number = self.store.number()
        order = Order(
            msisdn=Msisdn.from_digits(str(380970000000 + number)),
            money=Money(2500, "UAH"),
            description="250 gold",
            reference=f"order-{number}",
            correlator=f"c-{number}",
            merchant=None,
            language=None,
            product_id=None,
            sink=None,
            sink_token=None,
            document={"referenceCode": f"order-{number}"},
            fingerprint=b"the same",
        )
        return replace(order, **changes)

    def a_charge(self, **changes: Any) -> ChargeRow:
        """A charge whose prompt has reached the phone."""
        created = now(self.requests.create(self.partner, self.an_order(**changes)))
        assert isinstance(created, Created)
        self.pump()
        return self.charge(created.charge.charge_id)

    def charge(self, charge_id: int) -> ChargeRow:
        [row] = self.store.run(charges.get, [charge_id])
        assert row is not None
        return row

    def state(self, charge: ChargeRow) -> State:
        return State(self.charge(charge.charge_id).state)

    def an_mo(self, charge: ChargeRow, text: str | None = "ДА", **changes: Any) -> Mo:
        """What the phone sends in answer to the last text about its charge."""
        asked = self.messages(charge)
        msisdn = changes.pop("msisdn", charge.msisdn)
        said = Said(
            link="acme",
            address=asked[-1].source if asked else POOL[0].address,
            text=text,
            raw=(text or "").encode("utf-16-be"),
            data_coding=8,
            esm_class=0,
            part=False,
        )
        return Mo(replace(said, **changes), msisdn)

    def hear(self, *batch: Mo) -> list[bool]:
        """The phones' answers arrive; whether each is recorded."""
        return now(self.replies.receive(mos(*batch)))

    def answer(self, charge: ChargeRow, text: str = "ДА") -> None:
        """The phone answers, and all that follows at once happens."""
        assert self.hear(self.an_mo(charge, text)) == [True]
        self.pump()

    def receipt(self, charge: ChargeRow, state: str = "undeliverable") -> None:
        """A delivery receipt for the charge's prompt."""
        [prompt_id] = self.store.query(
            "SELECT message_id FROM prompt_answer WHERE charge_id = %s AND prompt_no = 0",
            charge.charge_id,
        )[0]
        given = DeliveryReceipt(
            "acme", Msisdn.from_digits(str(charge.msisdn)), prompt_id, state, None
        )
        now(self.prompts.receipts([given]))
        self.pump()

    # --- what is to be seen

    def texts(self, charge: ChargeRow) -> list[str]:
        """What the phone got about a charge."""
        return [sms.text for sms in self.messages(charge)]

    def messages(self, charge: ChargeRow) -> list[Sms]:
        """The same, whole."""
        query = "SELECT address FROM charge WHERE charge_id = %s"
        thread = str(charge.msisdn), self.store.query(query, charge.charge_id)[0][0]
        return [sms for sms in self.carrier.sent if (sms.msisdn.digits, sms.source) == thread]

    def kinds(self, charge: ChargeRow) -> list[str]:
        """The kinds of texts that were written for a charge, in order."""
        return [
            row[0]
            for row in self.store.query(
                "SELECT kind FROM prompt WHERE charge_id = %s ORDER BY written_at",
                charge.charge_id,
            )
        ]

    def told(self, charge: ChargeRow) -> list[str]:
        """The bodies of the events by which its partner was told its end."""
        ends = [f"evt_{charge.charge_id}_{number}" for number in (1, AFTER_RESERVED)]
        return [e.body.decode() for e in self.notifier.events if e.event_id in ends]

    def debits_of(self, charge: ChargeRow) -> list[tuple[str, int, str]]:
        """What billing took for a charge, by its own journal."""
        return self.billing.of(str(charge.charge_id))

    def counted(self, name: str, *labels: str) -> int:
        value: int = getattr(self.metrics, name).child(*labels).value
        return value

    def check_at_rest(self, charge: ChargeRow) -> None:
        """An ended charge: no work left, told once, and money where it should be."""
        row = self.charge(charge.charge_id)
        assert State(row.state) in END_STATES | {State.REVIEW}
        for table in ("awaiting", "prompt_job", "webhook_job"):
            count = f"SELECT count(*) FROM {table} WHERE charge_id = %s"
            assert self.store.query(count, charge.charge_id) == [(0,)], table
        taken = self.debits_of(charge)
        assert len(taken) <= 1
        if row.state != State.REVIEW:
            assert len(taken) == (row.state == State.SUCCEEDED)
            assert set(self.told(charge)) == {f"{row.state} {row.reason} {row.billing_reference}"}


def _write_event(end: End, *, event_id: str) -> bytes:
    about = "" if end.refund_id is None else f"refund {end.refund_id}: "
    return f"{about}{end.state} {end.reason} {end.billing_reference}".encode()


def mos(*batch: Mo) -> Mos:
    """These as they come over a link."""
    columns = Mos()
    for mo in batch:
        columns.add(mo.said, None if mo.msisdn is None else b"%d" % mo.msisdn)
    return columns


def now(waited: "Coroutine[Any, Any, T] | Deferred[T]") -> T:
    """The result of something that waits for nothing that has not happened."""
    running = waited if isinstance(waited, Deferred) else Deferred.fromCoroutine(waited)
    results: list[Any] = []
    running.addBoth(results.append)
    assert results, "it waits for something"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    result: T = results[0]
    return result
