"""One attempt at a debit whose intent is on record: billing is asked, and its answer weighed.

Owns what billing is told of a charge, and what its answer says of billing itself. Refuses to know
how intents and results get into the database (`debit`), and what an answer leads to (`weighing`).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ppcd.charge.debit import DebitOrder, NotSent
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.flow.attempts import answered, broken, quiet_before
from ppcd.flow.pace import Pace
from ppcd.flow.ports import Adapter, Telling
from ppcd.flow.weighing import Answer, Attempted, Weighing
from ppcd.metrics import GaugeCell, HistogramCell, Metrics
from ppcd.store.debits import Result
from ppcd.store.intents import Begun
from ppcd.store.rows import DebitJob

#: What a charge becomes when an attempt of this kind is the first that may reach billing.
_STARTED: Final = {"debit": "debiting", "reserve": "reserving"}


class _Way(NamedTuple):
    """One billing system, with what is counted of it."""

    adapter: Adapter
    telling: Telling | None
    pace: Pace
    in_flight: GaugeCell
    seconds: HistogramCell


class Asking:
    """Asks the billing systems."""

    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        paces: Mapping[str, Pace],
        clock: IReactorTime,
        metrics: Metrics,
        weighing: Weighing,
    ) -> None:
        self._adapters = adapters
        self._paces = paces
        self._clock = clock
        self._metrics = metrics
        self._weighing = weighing
        self._ways: dict[str, _Way] = {}

    def ask(
        self,
        job: DebitJob,
        begun: Begun,
        send_by: float,
        may_send: Callable[[], bool],
        keep: Callable[[Result | Failure], None],
    ) -> None:
        """Ask billing what an attempt on record is for; `keep`, which does not raise, gets what its
        answer leads to, or how that failed.

        It is sent by `send_by`, or not at all; `may_send` says in the turn of writing whether it
        is that late.
        """
        way = self._ways.get(job.billing) or self._way(job.billing)
        begun_at = self._clock.seconds()
        order = DebitOrder(
            key=str(job.charge_id),
            charge_id=job.charge_id,
            attempt=begun.attempt,
            msisdn=Msisdn(job.msisdn),
            money=Money(job.amount_minor, job.currency),
            merchant=begun.merchant,
            description=begun.description,
            repeat=begun.doubt_s is not None,
            reservation=begun.reservation,
        )
        way.in_flight.add()
        told = partial(self._told, job, begun, order, way, begun_at, send_by, keep)
        try:
            if way.telling is not None and begun.kind == "debit":
                way.telling.tell_debit(order, told, may_send=may_send)
                return
            asking: Deferred[Answer] = ensureDeferred(
                _call(way.adapter, order, begun.kind, may_send)  # type: ignore[arg-type]  # either
            )
        except Exception as exc:
            told(exc)
        else:
            asking.addCallbacks(told, lambda why: told(why.value))

    def started(self, kinds: Iterable[str]) -> None:
        """Count attempts that are the first that may reach billing, by what they are."""
        for kind, count in Counter(kinds).items():
            if kind in _STARTED:
                self._metrics.charges.child(_STARTED[kind]).add(count)

    def _way(self, billing: str) -> _Way:
        adapter = self._adapters[billing]
        way = self._ways[billing] = _Way(
            adapter,
            adapter if isinstance(adapter, Telling) else None,
            self._paces[billing],
            self._metrics.debits_in_flight.child(adapter.name),
            self._metrics.debit_seconds.child(adapter.name),
        )
        return way

    def _told(
        self,
        job: DebitJob,
        begun: Begun,
        order: DebitOrder,
        way: _Way,
        begun_at: float,
        send_by: float,
        keep: Callable[[Result | Failure], None],
        answer: Answer | Exception,
    ) -> None:
        way.in_flight.add(-1)
        try:
            if isinstance(answer, Exception):
                answer = broken(answer, way.adapter)
            result = self._weigh(answer, job, begun, order, way, begun_at, send_by)
        except Exception:
            keep(Failure())  # type: ignore[no-untyped-call]
        else:
            keep(result)

    def _weigh(
        self,
        answer: Answer,
        job: DebitJob,
        begun: Begun,
        order: DebitOrder,
        way: _Way,
        begun_at: float,
        send_by: float,
    ) -> Result:
        now = self._clock.seconds()
        took_s = now - begun_at
        way.seconds.observe(took_s)
        doubtful = begun.doubt_s is not None
        way.pace.learn(order.charge_id, answer, in_time=now <= send_by, doubtful=doubtful)
        done = self._weighing.done(way.adapter, order.charge_id, begun, answer)
        if done is not None:
            return done
        doubt = answered(
            doubt_s=begun.doubt_s,
            quiet_s=job.quiet_s,
            took_s=took_s,
            sent=begun.kind != "query" and not isinstance(answer, NotSent),
            attempt=begun.attempt - job.tried_before,
        )
        quiet_over = quiet_before(job.quiet_s) >= way.adapter.abilities.quiet_period_s
        attempted = Attempted(order, begun, doubt, quiet_over=quiet_over)
        return self._weighing.answer(way.adapter, attempted, answer)


def _call(
    adapter: Adapter, order: DebitOrder, kind: str, may_send: Callable[[], bool]
) -> Awaitable[Answer]:
    """Ask billing for what an attempt is."""
    match kind:
        case "debit":
            return adapter.debit(order, may_send=may_send)
        case "reserve":
            return adapter.reserve(order, may_send=may_send)
        case "capture":
            return adapter.capture(order, may_send=may_send)
        case "release":
            return adapter.release(order, may_send=may_send)
        case _:
            return adapter.query(order)
