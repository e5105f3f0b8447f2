"""The adapter for billing systems in a PostgreSQL database.

One transaction a debit or refund, which the server ends if we do not; or one for a few debits,
where the operator says so. The store's two failures are this adapter's: what was not applied was
not sent, a lost answer to the commit is unknown. Refuses to know what the statement does; it is the
operator's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from ppcd.billing.answers import (
    Answers,
    RefundResultSettings,
    Settled,
    as_debit,
    as_refund,
    as_release,
    as_reserve,
    judge_answer,
)
from ppcd.billing.reserve_settings import (
    SqlCaptureSettings,
    SqlReleaseSettings,
    SqlReserveSettings,
)
from ppcd.billing.sql_asking import MANY, Asking, NoLongerAllowed, Row, ask, ask_together
from ppcd.billing.sql_settings import SqlBillingSettings
from ppcd.billing.template import FIELDS, REFUND_FIELDS, field_of, statement_with_parameters
from ppcd.charge.debit import (
    Abilities,
    DebitAnswer,
    DebitOrder,
    NotFound,
    NotSent,
    Order,
    QueryAnswer,
    Unknown,
)
from ppcd.charge.refund import RefundAnswer, RefundOrder, RefundQueryAnswer
from ppcd.charge.reservation import ReleaseAnswer, ReserveAnswer
from ppcd.store.batcher import Batcher
from ppcd.store.lanes import (
    Lanes,
    Limits,
    NotApplied,
    OutcomeUnknown,
    Profile,
    Runner,
)

__all__ = ["SqlBilling", "lanes_for"]

_NO_LONGER: Final = "it was no longer allowed when a connection was ready"


def lanes_for(settings: SqlBillingSettings, dsn: str, *, reactor: Any) -> Lanes:
    """The connections of one billing database; `dsn` holds the password."""
    profile = Profile(
        "billing",
        MappingProxyType(
            {
                # A node that sleeps between its statement and its commit must not debit when it
                # wakes up: the server has rolled back by then.
                "idle_in_transaction_session_timeout": f"{settings.timeout_s:.3f}s",
                "application_name": "ppcd billing",
            }
        ),
    )
    limits = Limits(
        statement_s=settings.timeout_s,
        lock_s=settings.timeout_s,
        commit_s=settings.commit_timeout_s,
    )
    return Lanes(
        dsn, count=settings.connections_max, reactor=reactor, profile=profile, limits=limits
    )


class SqlBilling:
    """Debits, gives back and asks about both with the operator's statements; fulfils flow's
    protocol."""

    def __init__(
        self,
        name: str,
        settings: SqlBillingSettings,
        *,
        lanes: Runner,
        close: Callable[[], Any],
    ) -> None:
        """`close` is awaited when the adapter is closed: it ends the lanes, which are its own."""
        self.name: Final = name
        self.abilities: Final[Abilities] = settings.abilities.abilities()
        self._answer = settings.answer
        self._debit = statement_with_parameters(settings.debit)
        self._query = settings.query and statement_with_parameters(settings.query)
        self._reserve = _act(settings.reserve)
        self._capture = _act(settings.capture)
        self._release = _act(settings.release)
        refund = settings.refund
        self.refund_abilities: Final = (
            Abilities() if refund is None else refund.abilities.abilities()
        )
        self._refund_answer = RefundResultSettings() if refund is None else refund.answer
        self._refund = None if refund is None else statement_with_parameters(refund.statement)
        asked = None if refund is None else refund.query
        self._refund_query = None if asked is None else statement_with_parameters(asked)
        self._lanes = lanes
        self._close = close
        self._together: Batcher[Asking, Row | None] | None = None
        if settings.together_max > 1:
            # Who comes while all connections are at work shares the next one that is free.
            self._together = Batcher(
                lanes,
                partial(ask_together, within_s=settings.timeout_s),
                size_max=settings.together_max,
                lanes_max=settings.connections_max,
                second_lane_threshold=1,
            )

    async def debit(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> DebitAnswer:
        """Asks for the money once; `may_send` is asked in the turn that sends the statement."""
        settled = await self._settled(
            self._debit, self._answer, order, may_send, together=self._together
        )
        return as_debit(settled)

    async def reserve(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> ReserveAnswer:
        """Asks to hold the money."""
        return as_reserve(await self._done(self._reserve, order, may_send))

    async def capture(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> DebitAnswer:
        """Asks to take what is held."""
        return as_debit(await self._done(self._capture, order, may_send))

    async def release(self, order: DebitOrder, *, may_send: Callable[[], bool]) -> ReleaseAnswer:
        """Asks to let go of what is held."""
        return as_release(await self._done(self._release, order, may_send))

    async def query(self, order: DebitOrder) -> QueryAnswer:
        """Asks what became of the order's key; NotFound is billing's word, not a verdict."""
        return await self._asked_about(self._query, self._answer, order)

    async def refund(self, order: RefundOrder, *, may_send: Callable[[], bool]) -> RefundAnswer:
        """Gives the money back once; `may_send` is asked in the turn that sends the statement."""
        if self._refund is None:
            return NotSent("this billing can't give money back: refund is not configured")
        settled = await self._settled(self._refund, self._refund_answer, order, may_send)
        if isinstance(settled, NotFound):
            return Unknown("the answer to a refund says that it is not known")
        return as_refund(settled)

    async def query_refund(self, order: RefundOrder) -> RefundQueryAnswer:
        """Asks what became of a refund's key."""
        settled = await self._asked_about(self._refund_query, self._refund_answer, order)
        return settled if isinstance(settled, NotFound) else as_refund(settled)

    async def _done(
        self, act: tuple[str, Answers] | None, order: DebitOrder, may_send: Callable[[], bool]
    ) -> Settled:
        if act is None:
            return NotSent("this billing can't be asked for that: it is not configured")
        return await self._settled(*act, order, may_send)

    async def _settled(
        self,
        statement: str,
        answer: Answers,
        order: Order,
        may_send: Callable[[], bool],
        *,
        together: Batcher[Asking, Row | None] | None = None,
    ) -> Settled:
        asking = Asking(statement, _values(order), may_send)
        try:
            row = None
            if together is not None:
                row = await self._shared(together, asking)
            if row is None:
                row = await self._lanes.run(ask, asking)
        except NoLongerAllowed:
            return NotSent(_NO_LONGER)
        except NotApplied as exc:
            return NotSent(str(exc))
        except OutcomeUnknown as exc:
            return Unknown(str(exc))
        if row.found != 1:
            return Unknown("the statement gave no row" if row.found == 0 else MANY)
        return judge_answer(answer, order, row.values.get)

    @staticmethod
    async def _shared(together: Batcher[Asking, Row | None], asking: Asking) -> Row | None:
        """The answer out of a shared transaction; None when that was not applied.

        One bad debit must not be every other's failure: each then goes by itself.
        """
        try:
            [row] = await together.submit([asking])
        except NotApplied:
            return None
        if row is None:
            raise NoLongerAllowed
        return row

    async def _asked_about(
        self,
        statement: str | None,
        answer: Answers,
        order: Order,
    ) -> Settled:
        if statement is None:
            return Unknown("this billing can't be asked")
        try:
            row = await self._lanes.run(ask, Asking(statement, _values(order), None))
        except NotApplied as exc:
            return NotSent(str(exc))
        except OutcomeUnknown as exc:
            return Unknown(str(exc))
        if row.found == 0:
            return NotFound()
        return judge_answer(answer, order, row.values.get) if row.found == 1 else Unknown(MANY)

    async def close(self) -> None:
        if self._together is not None:
            await self._together.close()
        await self._close()


def _act(
    settings: SqlReserveSettings | SqlCaptureSettings | SqlReleaseSettings | None,
) -> tuple[str, Answers] | None:
    """A statement, and what its rows mean."""
    if settings is None:
        return None
    return statement_with_parameters(settings.statement), settings.answer


def _values(order: Order) -> dict[str, str | int]:
    fields = REFUND_FIELDS if isinstance(order, RefundOrder) else FIELDS
    return {name: field_of(order, name) for name in fields}
