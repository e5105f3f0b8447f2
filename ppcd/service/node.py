"""One node: everything it is made of, started in order and stopped in order.

Listens for partners last, when everything behind it works. Stops the other way round: nothing new
in, what is in flight to its end, then the links and lanes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ppcd.checkout.site import Checkout
from ppcd.config import Settings
from ppcd.flow.background import background
from ppcd.flow.debit import Debits
from ppcd.flow.expire import Expiry
from ppcd.flow.late import Late
from ppcd.flow.notify import Notifications
from ppcd.flow.ports import Adapter
from ppcd.flow.prompt import Prompts
from ppcd.flow.pumping import Pumping
from ppcd.flow.refund import Refunds
from ppcd.flow.refund_requests import RefundRequests
from ppcd.flow.reply import Replies
from ppcd.flow.request import Requests
from ppcd.flow.reservation import Reservations
from ppcd.flow.validation import Validations
from ppcd.metrics import Metrics
from ppcd.partner.events import EventWriter
from ppcd.partner.wire import language_wanted
from ppcd.service.adapters import paces_of
from ppcd.service.edges import Edges
from ppcd.service.in_force import InForce
from ppcd.service.links import Links, dialects_of
from ppcd.service.watch import Watch
from ppcd.service.work import Work
from ppcd.sms.carrier import LinksCarrier
from ppcd.sms.inbound import READS_GATHER_S, LinksInbound
from ppcd.store import limits, migrate, partitions, registers
from ppcd.store.dsn import dsn_of
from ppcd.store.ids import IdSource
from ppcd.store.lanes import PINNED, Lanes, Limits, StoreError, Unsuitable
from ppcd.webhook.schedule import delay_s as webhook_delay_s
from ppcd.webhook.sender import Sender

log = Logger(namespace="ppcd.service")

#: Lanes that confirm replies, beside the configured ones: two more only work when replies crowd.
CONFIRMING_LANES: Final = 3
#: Prompts, debits and events take so much longer at most, twice, for commits that cost less each.
GATHER_S: Final = 0.02
#: A partner's request waits so much longer at most for its key to be looked up, and what is looked
#: up together is created together.
REQUESTS_GATHER_S: Final = 0.01
#: How often a missing database is tried.
STORE_RETRY_S: Final = 2.0
#: A stop takes no longer than 25 s in all, whatever hangs: for what is in flight, and for each of
#: three closings.
DRAIN_S: Final = 14.0
CLOSE_S: Final = 2.0


class CannotStart(Exception):
    """The node can't run as things are; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a node has of the outside world: all that a simulation replaces."""

    reactor: Any
    #: For jitter; for codes see `random_below`.
    random: Random
    #: 0..n-1, unpredictable.
    random_below: Callable[[int], int]
    #: Unix time in seconds, for ids and signatures; money's time is the database's.
    wall_s: Callable[[], float]


class Node:
    """A running ppcd."""

    def __init__(
        self, settings: Settings, *, world: World, metrics: Metrics, adapters: Sequence[Adapter]
    ) -> None:
        self.in_force = InForce(settings)
        self.metrics = metrics
        self._world = world
        self.random = world.random
        self._reactor = world.reactor
        self._stopping = False
        self.dsn = _dsn(settings)
        observe = metrics.store_commit_seconds.child().observe
        patience = Limits(statement_s=settings.database.statement_timeout_s)
        lanes = partial(
            Lanes, self.dsn, reactor=world.reactor, limits=patience, observe_commit=observe
        )
        self.lanes = lanes(count=settings.database.lanes)
        self.confirming = lanes(count=CONFIRMING_LANES, profile=PINNED)
        self._wire(settings, world, metrics, adapters)

    def _wire(
        self, settings: Settings, world: World, metrics: Metrics, adapters: Sequence[Adapter]
    ) -> None:
        """Fill in what each room declared that it needs."""
        self.adapters = {adapter.name: adapter for adapter in adapters}
        for name in self.adapters:
            metrics.know_adapter(name)
        ids = IdSource(self.lanes, wall_ms=lambda: int(world.wall_s() * 1000))
        self.work = Work(reactor=world.reactor, metrics=metrics, lanes=self.lanes)
        self._wire_phones(settings, world, metrics, ids)
        self._wire_money(settings, world, metrics)
        self._wire_partners(settings, world, metrics, ids)
        self.work.set_up(
            prompts=self.prompts,
            debits=self.debits,
            refunds=self.refunds,
            notifications=self.notifications,
            reservations=self.reservations,
            expiry=Expiry(lanes=self.lanes, offers=self.work.offers, metrics=metrics),
            paces=self.paces,
            horizon_s=lambda: self.in_force.horizon_s,
        )
        self.pumping = Pumping(
            lanes=self.lanes,
            rules=lambda: self.in_force.pumping_rules,
            metrics=metrics,
            apply=self.in_force.use_slow,
        )
        self.watch = Watch(self)
        self.edges = Edges(self)

    def _wire_phones(
        self, settings: Settings, world: World, metrics: Metrics, ids: IdSource
    ) -> None:
        """Links, the prompts that go out over them, the answers that come in."""
        in_force, offers = self.in_force, self.work.offers
        dialects = dialects_of(settings)
        self.replies = Replies(
            confirming=self.confirming,
            rules=lambda: in_force.reply_rules,
            address_numbers=lambda: in_force.address_numbers,
            untrusted=frozenset(n for n, dialect in dialects.items() if not dialect.trusted),
            offers=offers,
            metrics=metrics,
            ids=ids,
        )
        self.inbound = LinksInbound(
            dialects=dialects,
            replies=self.replies,
            receipts=lambda batch: self.prompts.receipts(batch),
            clock=world.reactor,
            metrics=metrics,
            gather_s=READS_GATHER_S,
        )
        self.links = Links(
            settings,
            reactor=world.reactor,
            inbound=self.inbound,
            random=world.random,
            wall_s=world.wall_s,
            metrics=metrics,
        )
        self.prompts = Prompts(
            lanes=self.lanes,
            carrier=LinksCarrier(
                groups=self.links.groups, dialects=dialects, clock=world.reactor, metrics=metrics
            ),
            texts=in_force.texts,
            offers=offers,
            metrics=metrics,
            ids=ids,
            gather_s=GATHER_S,
        )

    def _wire_money(self, settings: Settings, world: World, metrics: Metrics) -> None:
        """The debits and who carries them out."""
        in_force = self.in_force
        self.paces = paces_of(settings, reactor=world.reactor, random=world.random, metrics=metrics)
        self.debits = Debits(
            lanes=self.lanes,
            adapters=self.adapters,
            paces=self.paces,
            clock=world.reactor,
            node=settings.node.name,
            horizon_s=lambda: in_force.horizon_s,
            lapse_s=lambda: in_force.lapse_s,
            offers=self.work.offers,
            metrics=metrics,
            jitter=world.random.random,
            sum_limits=lambda: in_force.charge_rules.sum_limits,
            gather_s=GATHER_S,
        )
        self.refunds = Refunds(
            lanes=self.lanes,
            adapters=self.adapters,
            paces=self.paces,
            clock=world.reactor,
            node=settings.node.name,
            horizon_s=lambda: in_force.horizon_s,
            offers=self.work.offers,
            metrics=metrics,
            jitter=world.random.random,
        )
        Late(adapters=self.adapters, debits=self.debits, refunds=self.refunds, metrics=metrics)

    def _wire_partners(
        self, settings: Settings, world: World, metrics: Metrics, ids: IdSource
    ) -> None:
        """What partners ask, and what they are told."""
        in_force = self.in_force
        self.sender = Sender(world.reactor, settings.webhooks, now=world.wall_s)
        self.notifications = Notifications(
            lanes=self.lanes,
            notifier=self.sender,
            write_event=EventWriter(settings.webhooks.source),
            delay_s=lambda attempt: webhook_delay_s(attempt, world.random),
            clock=world.reactor,
            node=settings.node.name,
            metrics=metrics,
            gather_s=GATHER_S,
        )
        self.requests = Requests(
            lanes=self.lanes,
            clock=world.reactor,
            routes=lambda: in_force.routes,
            rules=lambda: in_force.charge_rules,
            random_below=world.random_below,
            ids=ids,
            offers=self.work.offers,
            metrics=metrics,
            gather_s=REQUESTS_GATHER_S,
        )
        self.reservations = Reservations(
            lanes=self.lanes,
            offers=self.work.offers,
            metrics=metrics,
            look_up=self.requests.get,
            cancel=self.requests.cancel,
        )
        self.validations = Validations(
            lanes=self.lanes,
            offers=self.work.offers,
            metrics=metrics,
            wrong_codes_max=lambda: in_force.reply_rules.wrong_codes_max,
            look_up=self.requests.get,
        )
        self.refund_requests = RefundRequests(
            lanes=self.lanes,
            adapters=self.adapters,
            start_s=lambda: in_force.refund_start_s,
            ids=ids,
            offers=self.work.offers,
            metrics=metrics,
        )

    def checkout(self) -> Checkout:
        """The payment page."""
        in_force, settings = self.in_force, self.in_force.settings.partner_api
        return Checkout(
            lanes=self.lanes,
            requests=self.requests,
            clock=self._reactor,
            metrics=self.metrics,
            random_below=self._world.random_below,
            prefixes=lambda: [p for route in in_force.routes for p in route.prefixes],
            language_of=language_wanted,
            public_url=settings.public_url,
            scheme="http" if settings.certificate_file is None else "https",
            http_hosts=frozenset(settings.http_sink_hosts),
        )

    async def start(self) -> None:
        """Wait for the database, then work. Raises CannotStart.

        The NOC's address is listened on already, so that a node that waits can be seen waiting.
        """
        self.lanes.start()
        self.confirming.start()
        if not await self._wait_for_store():
            return  # told to stop meanwhile
        await self._prepare_store()
        await self.debits.reclaim()
        await self.refunds.reclaim()
        await self.notifications.reclaim()
        await self.work.learn_pauses()
        self.work.start()
        self.watch.start()
        self.links.start()
        await self.edges.start_partners()
        log.info(
            "node {node} serves partners at {partners} and the NOC at {operations}",
            node=self.in_force.settings.node.name,
            partners=self.edges.partner_address,
            operations=self.edges.operations_address,
        )

    async def stop(self) -> None:
        """Take nothing new, bring what is in flight to its end, and close."""
        self._stopping = True
        self.edges.health.stop()
        # Unbinding drains: answers in flight are still written, submits still answered.
        draining = [
            Deferred.fromCoroutine(self.edges.stop_partners(grace_s=DRAIN_S - 1)),
            *(link.stop() for link in self.links.all.values()),
            self.inbound.drained(),
            self.work.stop(),
        ]
        await self._at_most(DRAIN_S, DeferredList(draining))
        self.watch.stop()
        parts: list[Any] = [*self.adapters.values(), self.sender]
        closing = [Deferred.fromCoroutine(part.close()) for part in parts]
        await self._at_most(CLOSE_S, DeferredList(closing))
        await self.confirming.close(CLOSE_S)
        await self.lanes.close(CLOSE_S)
        await self.edges.stop_operations()

    def reload(self, settings: Settings) -> None:
        """Put other settings in force, as far as that can be done while running."""
        self.in_force.apply(settings)

    async def learn_limits(self) -> None:
        """Read which partners have limits of their own."""
        self.in_force.use_partner_limits(await self.lanes.run(limits.partner_limits))

    async def _wait_for_store(self) -> bool:
        """Wait until the database answers, saying why it does not."""
        while not self._stopping:
            try:
                await self.lanes.run(_look)
            except Unsuitable as exc:
                raise CannotStart(str(exc)) from exc
            except StoreError as exc:
                log.warn("waiting for the database: {why}", why=str(exc))
                await deferLater(self._reactor, STORE_RETRY_S, lambda: None)
            else:
                return True
        return False

    async def _prepare_store(self) -> None:
        try:
            standing = await self.lanes.run(migrate.check)
        except migrate.SchemaError as exc:
            raise CannotStart(str(exc)) from exc
        if standing is not migrate.Standing.CURRENT:
            raise CannotStart(_SCHEMA[standing])
        ahead = self.in_force.settings.retention.months_ahead
        await self.lanes.run(partitions.make, months_ahead=ahead)
        await self.learn_limits()
        settings = self.in_force.settings
        pools = {name: route.pool.addresses() for name, route in settings.routes.items()}
        try:
            self.in_force.use_pools(await self.lanes.run(registers.register_addresses, pools))
        except ValueError as exc:
            raise CannotStart(str(exc)) from exc

    async def _at_most(self, seconds: float, waited: Deferred[Any]) -> None:
        timer: Deferred[None] = deferLater(self._reactor, seconds, lambda: None)
        done = DeferredList([waited, timer], fireOnOneCallback=True)
        await done
        if not timer.called:
            timer.addErrback(lambda _: None)
            timer.cancel()
        elif not waited.called:
            log.warn("not all work in flight came to its end in {seconds} s", seconds=seconds)

    def background(self, what: str, coro: Any) -> Deferred[None]:
        """Run something that nobody waits for."""
        return background(what, coro, self.metrics)


_SCHEMA: Final = {
    migrate.Standing.ABSENT: "the database has no ppcd schema: run `ppcd migrate` first",
    migrate.Standing.BEHIND: "the database's schema is of an older release: run `ppcd migrate`",
    migrate.Standing.NEWER: "the database's schema is of a newer release than this program: "
    "install that release, or restore the database of this one",
}


def _look(cur: Any) -> None:
    cur.execute("SELECT 1")


def _dsn(settings: Settings) -> str:
    password = settings.secret("database.password")
    return dsn_of(
        settings.database.dsn,
        settings.database.parameters(),
        None if password is None else password.reveal(),
    )
