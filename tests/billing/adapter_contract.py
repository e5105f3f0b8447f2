"""What every billing adapter must do, judged by the billing system's own journal.

A test module brings a `world` fixture (see `World`) and a subclass of `AdapterContract`. What an
adapter's abilities do not promise is skipped, not excused: money must agree in every case.
"""

from dataclasses import replace
from enum import Enum, auto
from typing import Any, Protocol

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from ppcd.charge.debit import (
    Abilities,
    DebitAnswer,
    Debited,
    DebitOrder,
    DenialReason,
    Denied,
    NotFound,
    NotSent,
    QueryAnswer,
    Reserved,
    Unknown,
)
from ppcd.charge.money import Money
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.refund import RefundAnswer, Refunded, RefundOrder, RefundQueryAnswer
from ppcd.charge.reservation import ReleaseAnswer, Released, ReserveAnswer

PHONE = Msisdn.from_digits("380971234567")


class Fault(Enum):
    """How the billing system behaves for the phone of `an_order`."""

    NONE = auto()
    INSUFFICIENT = auto()
    BARRED = auto()
    NO_SUCH_SUBSCRIBER = auto()
    # Of these not every system can tell; the contract doesn't ask for them.
    OVER_LIMIT = auto()
    REJECTED = auto()
    LOST_REQUEST = auto()
    LOST_ANSWER = auto()
    BUSY = auto()
    ZOMBIE = auto()
    ERROR_BEFORE_DEBIT = auto()
    ERROR_AFTER_DEBIT = auto()
    GARBAGE = auto()
    RESET = auto()


class Adapter(Protocol):
    name: str
    abilities: Abilities
    refund_abilities: Abilities

    async def debit(self, order: DebitOrder, *, may_send: Any) -> DebitAnswer: ...
    async def query(self, order: DebitOrder) -> QueryAnswer: ...
    async def refund(self, order: RefundOrder, *, may_send: Any) -> RefundAnswer: ...
    async def query_refund(self, order: RefundOrder) -> RefundQueryAnswer: ...
    async def reserve(self, order: DebitOrder, *, may_send: Any) -> ReserveAnswer: ...
    async def capture(self, order: DebitOrder, *, may_send: Any) -> DebitAnswer: ...
    async def release(self, order: DebitOrder, *, may_send: Any) -> ReleaseAnswer: ...
    async def close(self) -> None: ...


class World(Protocol):
    """An adapter, the billing system it speaks to, and that system's journal."""

    adapter: Adapter

    def behave(self, fault: Fault) -> None: ...

    async def shut_down(self) -> None:
        """From now on connections to the billing system are refused."""

    async def zombies_rise(self) -> None:
        """Returns when late debits and refunds have been made."""

    def asked(self, key: str) -> int:
        """How many requests for a debit or refund with this key have reached the billing system."""

    def debited(self, key: str) -> list[tuple[str, int, str]]:
        """MSISDN, minor units and currency of each time that money was taken for this key."""

    def refunded(self, key: str) -> list[tuple[str, int, str]]:
        """The same of each time that money was given back for this key."""


def an_order(key: str = "1001", **changes: Any) -> DebitOrder:
    order = DebitOrder(
        key=key,
        charge_id=1001,
        attempt=1,
        msisdn=PHONE,
        money=Money(2500, "UAH"),
        merchant='GameX «Ключ» "quoted"',
        description="250 gold\\, золото",
        repeat=False,
    )
    return replace(order, **changes)


def a_refund(key: str = "9001", **changes: Any) -> RefundOrder:
    """Of the debit of `an_order`, whole."""
    order = RefundOrder(
        key=key,
        charge_id=1001,
        refund_id=9001,
        attempt=1,
        msisdn=PHONE,
        money=Money(2500, "UAH"),
        merchant='GameX «Ключ» "quoted"',
        description="250 gold\\, золото",
        repeat=False,
        debit_key="1001",
        debit_reference='T"17',
    )
    return replace(order, **changes)


async def refund(world: World, order: RefundOrder) -> RefundAnswer:
    return await world.adapter.refund(order, may_send=lambda: True)


async def a_debit_to_give_back(world: World) -> None:
    """Skips where billing gives nothing back: then nothing may be asked of it."""
    if not world.adapter.refund_abilities.reversible:
        assert isinstance(await refund(world, a_refund()), NotSent)
        assert world.asked("9001") == 0
        pytest.skip("not promised: to give money back")
    answer = await debit(world, an_order())
    if world.adapter.abilities.idempotent and not isinstance(answer, Debited):
        # A busy machine may be later than the short deadline of these tests.
        answer = await debit(world, an_order())
    assert isinstance(answer, Debited)


async def debit(world: World, order: DebitOrder) -> DebitAnswer:
    return await world.adapter.debit(order, may_send=lambda: True)


class AdapterContract:
    @pytest_twisted.ensureDeferred
    async def test_a_debit_takes_exactly_the_amount_and_has_a_reference(self, world: World) -> None:
        answer = await debit(world, an_order())
        assert isinstance(answer, Debited)
        assert answer.reference
        assert world.debited("1001") == [(PHONE.digits, 2500, "UAH")]

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (Fault.INSUFFICIENT, DenialReason.INSUFFICIENT_FUNDS),
            (Fault.BARRED, DenialReason.SERVICE_DENIED),
            (Fault.NO_SUCH_SUBSCRIBER, DenialReason.USER_UNKNOWN),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_a_refusal_has_its_reason_and_billings_own_code(
        self, world: World, fault: Fault, reason: DenialReason
    ) -> None:
        world.behave(fault)
        answer = await debit(world, an_order())
        assert isinstance(answer, Denied), answer
        assert answer.reason is reason
        assert answer.code
        assert world.debited("1001") == []

    @pytest.mark.parametrize(
        "fault",
        [
            Fault.LOST_REQUEST,
            Fault.LOST_ANSWER,
            Fault.ERROR_BEFORE_DEBIT,
            Fault.ERROR_AFTER_DEBIT,
            Fault.GARBAGE,
            Fault.RESET,
            Fault.ZOMBIE,
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_what_is_not_known_is_said_to_be_unknown(
        self, world: World, fault: Fault
    ) -> None:
        world.behave(fault)
        answer = await debit(world, an_order())
        assert isinstance(answer, Unknown)
        assert answer.detail

    @pytest.mark.parametrize(
        "fault", [Fault.LOST_ANSWER, Fault.ERROR_AFTER_DEBIT, Fault.GARBAGE, Fault.RESET]
    )
    @pytest_twisted.ensureDeferred
    async def test_the_same_key_again_finds_the_debit_and_takes_nothing(
        self, world: World, fault: Fault
    ) -> None:
        if not world.adapter.abilities.idempotent:
            pytest.skip("not promised: idempotency")
        world.behave(fault)
        await debit(world, an_order())
        again = await debit(world, an_order(attempt=2, repeat=True))
        assert isinstance(again, Debited)
        assert len(world.debited("1001")) == 1

    @pytest_twisted.ensureDeferred
    async def test_the_same_key_again_repeats_a_refusal(self, world: World) -> None:
        if not world.adapter.abilities.stores_refusals:
            pytest.skip("not promised: to keep refusals")
        world.behave(Fault.INSUFFICIENT)
        refused = await debit(world, an_order())
        world.behave(Fault.NONE)
        assert await debit(world, an_order(attempt=2, repeat=True)) == refused
        assert world.debited("1001") == []

    @pytest_twisted.ensureDeferred
    async def test_the_same_key_with_another_amount_is_never_believed(self, world: World) -> None:
        if not world.adapter.abilities.idempotent:
            pytest.skip("not promised: idempotency")
        await debit(world, an_order())
        other = await debit(world, an_order(money=Money(2600, "UAH")))
        assert isinstance(other, Unknown)
        assert world.debited("1001") == [(PHONE.digits, 2500, "UAH")]

    @pytest_twisted.ensureDeferred
    async def test_a_busy_billing_was_not_sent_anything_that_counts(self, world: World) -> None:
        world.behave(Fault.BUSY)
        answer = await debit(world, an_order())
        assert isinstance(answer, NotSent)
        assert world.debited("1001") == []

    @pytest_twisted.ensureDeferred
    async def test_a_refused_connection_sent_nothing(self, world: World) -> None:
        await world.shut_down()
        assert isinstance(await debit(world, an_order()), NotSent)
        assert isinstance(await world.adapter.query(an_order()), NotSent | Unknown)
        assert world.asked("1001") == 0

    @pytest_twisted.ensureDeferred
    async def test_nothing_is_sent_when_it_may_not_be(self, world: World) -> None:
        answer = await world.adapter.debit(an_order(), may_send=lambda: False)
        assert isinstance(answer, NotSent)
        assert isinstance(await debit(world, an_order("1002")), Debited)
        assert world.asked("1001") == 0

    @pytest_twisted.ensureDeferred
    async def test_a_query_says_what_became_of_a_key(self, world: World) -> None:
        if not world.adapter.abilities.queryable:
            assert isinstance(await world.adapter.query(an_order()), Unknown)
            return
        assert isinstance(await world.adapter.query(an_order()), NotFound)
        debited = await debit(world, an_order())
        assert await world.adapter.query(an_order()) == debited

    @pytest_twisted.ensureDeferred
    async def test_a_query_tells_of_a_kept_refusal(self, world: World) -> None:
        abilities = world.adapter.abilities
        if not (abilities.queryable and abilities.stores_refusals):
            pytest.skip("not promised: to keep refusals and tell of them")
        world.behave(Fault.BARRED)
        refused = await debit(world, an_order())
        assert await world.adapter.query(an_order()) == refused

    @pytest_twisted.ensureDeferred
    async def test_not_found_proves_nothing_while_a_debit_may_be_late(self, world: World) -> None:
        if not world.adapter.abilities.queryable:
            pytest.skip("not promised: to be asked")
        world.behave(Fault.ZOMBIE)
        await debit(world, an_order())
        assert isinstance(await world.adapter.query(an_order()), NotFound)
        await world.zombies_rise()
        assert isinstance(await world.adapter.query(an_order()), Debited)

    @pytest_twisted.ensureDeferred
    async def test_many_at_once_are_each_debited_once(self, world: World) -> None:
        keys = [str(number) for number in range(2000, 2040)]
        answers = await gatherResults(
            [Deferred.fromCoroutine(debit(world, an_order(key))) for key in keys]
        )
        assert all(isinstance(answer, Debited) for answer in answers)
        assert len({answer.reference for answer in answers}) == len(keys)
        assert all(len(world.debited(key)) == 1 for key in keys)

    @pytest_twisted.ensureDeferred
    async def test_a_refund_gives_back_exactly_the_amount_and_has_a_reference(
        self, world: World
    ) -> None:
        await a_debit_to_give_back(world)
        answer = await refund(world, a_refund())
        assert isinstance(answer, Refunded)
        assert answer.reference
        assert world.refunded("9001") == [(PHONE.digits, 2500, "UAH")]
        assert world.debited("1001") == [(PHONE.digits, 2500, "UAH")]

    @pytest_twisted.ensureDeferred
    async def test_a_part_may_be_given_back_and_then_another(self, world: World) -> None:
        await a_debit_to_give_back(world)
        if world.adapter.refund_abilities.whole_only:
            pytest.skip("not promised: parts")
        parts = [a_refund("9001", money=Money(1000, "UAH")), a_refund("9002")]
        parts[1] = replace(parts[1], money=Money(1500, "UAH"))
        answers = [await refund(world, part) for part in parts]
        assert all(isinstance(answer, Refunded) for answer in answers)
        assert world.refunded("9001") == [(PHONE.digits, 1000, "UAH")]
        assert world.refunded("9002") == [(PHONE.digits, 1500, "UAH")]

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (Fault.BARRED, DenialReason.SERVICE_DENIED),
            (Fault.NO_SUCH_SUBSCRIBER, DenialReason.USER_UNKNOWN),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_a_refund_may_be_refused(
        self, world: World, fault: Fault, reason: DenialReason
    ) -> None:
        await a_debit_to_give_back(world)
        world.behave(fault)
        answer = await refund(world, a_refund())
        assert isinstance(answer, Denied), answer
        assert answer.reason is reason
        assert world.refunded("9001") == []

    @pytest.mark.parametrize(
        "fault",
        [
            Fault.LOST_REQUEST,
            Fault.LOST_ANSWER,
            Fault.ERROR_BEFORE_DEBIT,
            Fault.ERROR_AFTER_DEBIT,
            Fault.GARBAGE,
            Fault.RESET,
            Fault.ZOMBIE,
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_what_is_not_known_of_a_refund_is_said_to_be_unknown(
        self, world: World, fault: Fault
    ) -> None:
        await a_debit_to_give_back(world)
        world.behave(fault)
        answer = await refund(world, a_refund())
        assert isinstance(answer, Unknown)
        assert answer.detail

    @pytest.mark.parametrize(
        "fault", [Fault.LOST_ANSWER, Fault.ERROR_AFTER_DEBIT, Fault.GARBAGE, Fault.RESET]
    )
    @pytest_twisted.ensureDeferred
    async def test_the_same_refund_again_is_found_and_gives_nothing(
        self, world: World, fault: Fault
    ) -> None:
        await a_debit_to_give_back(world)
        if not world.adapter.refund_abilities.idempotent:
            pytest.skip("not promised: idempotency")
        world.behave(fault)
        await refund(world, a_refund())
        again = await refund(world, a_refund(attempt=2, repeat=True))
        assert isinstance(again, Refunded)
        assert len(world.refunded("9001")) == 1

    @pytest_twisted.ensureDeferred
    async def test_a_busy_billing_was_not_sent_any_refund_that_counts(self, world: World) -> None:
        await a_debit_to_give_back(world)
        world.behave(Fault.BUSY)
        assert isinstance(await refund(world, a_refund()), NotSent)
        assert world.refunded("9001") == []

    @pytest_twisted.ensureDeferred
    async def test_a_refused_connection_sent_no_refund(self, world: World) -> None:
        await world.shut_down()
        assert isinstance(await refund(world, a_refund()), NotSent)
        assert isinstance(await world.adapter.query_refund(a_refund()), NotSent | Unknown)
        assert world.asked("9001") == 0

    @pytest_twisted.ensureDeferred
    async def test_no_refund_is_sent_when_it_may_not_be(self, world: World) -> None:
        await a_debit_to_give_back(world)
        answer = await world.adapter.refund(a_refund(), may_send=lambda: False)
        assert isinstance(answer, NotSent)
        assert world.asked("9001") == 0

    @pytest_twisted.ensureDeferred
    async def test_a_query_says_what_became_of_a_refund(self, world: World) -> None:
        await a_debit_to_give_back(world)
        if not world.adapter.refund_abilities.queryable:
            assert isinstance(await world.adapter.query_refund(a_refund()), Unknown)
            return
        assert isinstance(await world.adapter.query_refund(a_refund()), NotFound)
        refunded = await refund(world, a_refund())
        assert await world.adapter.query_refund(a_refund()) == refunded

    @pytest_twisted.ensureDeferred
    async def test_a_refund_may_be_late_too(self, world: World) -> None:
        await a_debit_to_give_back(world)
        if not world.adapter.refund_abilities.queryable:
            pytest.skip("not promised: to be asked")
        world.behave(Fault.ZOMBIE)
        await refund(world, a_refund())
        assert isinstance(await world.adapter.query_refund(a_refund()), NotFound)
        await world.zombies_rise()
        assert isinstance(await world.adapter.query_refund(a_refund()), Refunded)


async def reserve(world: World, order: DebitOrder) -> ReserveAnswer:
    return await world.adapter.reserve(order, may_send=lambda: True)


async def capture(world: World, order: DebitOrder) -> DebitAnswer:
    return await world.adapter.capture(order, may_send=lambda: True)


async def release(world: World, order: DebitOrder) -> ReleaseAnswer:
    return await world.adapter.release(order, may_send=lambda: True)


async def reserved(world: World, key: str = "1001") -> DebitOrder:
    """An order of which the money is held: the next step's, as the first one was answered."""
    answer = await reserve(world, an_order(key))
    assert isinstance(answer, Reserved), answer
    return an_order(key, attempt=2, reservation=answer.reference)


class ReservingContract:
    """What an adapter must do besides, of which `abilities.reserving` is said."""

    @pytest_twisted.ensureDeferred
    async def test_a_reserve_takes_nothing_and_a_capture_takes_exactly_that(
        self, world: World
    ) -> None:
        assert world.adapter.abilities.reserving
        order = await reserved(world)
        assert world.debited("1001") == []
        assert isinstance(await capture(world, order), Debited)
        assert world.debited("1001") == [(PHONE.digits, 2500, "UAH")]

    @pytest_twisted.ensureDeferred
    async def test_what_is_released_cannot_be_captured(self, world: World) -> None:
        order = await reserved(world)
        assert await release(world, order) == Released()
        late = await capture(world, replace(order, attempt=3))
        assert isinstance(late, Denied | Unknown), late
        assert world.debited("1001") == []

    @pytest_twisted.ensureDeferred
    async def test_letting_go_of_nothing_is_well(self, world: World) -> None:
        """Nobody knows whether the reserve arrived; it is let go all the same, and again."""
        assert await release(world, an_order()) == Released()
        order = await reserved(world, "1002")
        for attempt in (2, 3):
            answer = await release(world, replace(order, attempt=attempt, repeat=attempt > 2))
            assert answer == Released(), attempt

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (Fault.INSUFFICIENT, DenialReason.INSUFFICIENT_FUNDS),
            (Fault.BARRED, DenialReason.SERVICE_DENIED),
            (Fault.NO_SUCH_SUBSCRIBER, DenialReason.USER_UNKNOWN),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_a_refusal_to_reserve_has_its_reason(
        self, world: World, fault: Fault, reason: DenialReason
    ) -> None:
        world.behave(fault)
        answer = await reserve(world, an_order())
        assert isinstance(answer, Denied), answer
        assert answer.reason is reason

    @pytest.mark.parametrize(
        "fault",
        [
            Fault.LOST_REQUEST,
            Fault.LOST_ANSWER,
            Fault.ERROR_BEFORE_DEBIT,
            Fault.ERROR_AFTER_DEBIT,
            Fault.GARBAGE,
            Fault.RESET,
        ],
    )
    @pytest.mark.parametrize("step", ["reserve", "capture", "release"])
    @pytest_twisted.ensureDeferred
    async def test_a_step_whose_answer_is_lost_is_unknown(
        self, world: World, fault: Fault, step: str
    ) -> None:
        order = an_order() if step == "reserve" else await reserved(world)
        world.behave(fault)
        call = getattr(world.adapter, step)
        assert isinstance(await call(order, may_send=lambda: True), Unknown)

    @pytest.mark.parametrize(
        "fault", [Fault.LOST_ANSWER, Fault.ERROR_AFTER_DEBIT, Fault.GARBAGE, Fault.RESET]
    )
    @pytest_twisted.ensureDeferred
    async def test_a_step_again_finds_what_the_first_one_did(
        self, world: World, fault: Fault
    ) -> None:
        if not world.adapter.abilities.idempotent:
            pytest.skip("not promised: idempotency")
        world.behave(fault)
        await reserve(world, an_order())
        world.behave(Fault.NONE)
        again = await reserve(world, an_order(attempt=2, repeat=True))
        assert isinstance(again, Reserved)
        order = an_order(attempt=3, reservation=again.reference)
        world.behave(fault)
        await capture(world, order)
        world.behave(Fault.NONE)
        taken = await capture(world, replace(order, attempt=4, repeat=True))
        assert isinstance(taken, Debited)
        assert len(world.debited("1001")) == 1

    @pytest_twisted.ensureDeferred
    async def test_a_busy_billing_has_done_nothing_in_any_step(self, world: World) -> None:
        order = await reserved(world)
        for step in (reserve, capture, release):
            world.behave(Fault.BUSY)
            asked = an_order("1002") if step is reserve else order
            assert isinstance(await step(world, asked), NotSent)
        assert world.debited("1001") == []

    @pytest_twisted.ensureDeferred
    async def test_no_step_is_sent_when_it_may_not_be(self, world: World) -> None:
        order = await reserved(world)
        for step in (world.adapter.reserve, world.adapter.capture, world.adapter.release):
            assert isinstance(await step(order, may_send=lambda: False), NotSent)
        assert isinstance(await capture(world, order), Debited)

    @pytest_twisted.ensureDeferred
    async def test_a_query_tells_what_is_held_from_what_was_taken(self, world: World) -> None:
        if not world.adapter.abilities.queryable:
            pytest.skip("not promised: to be asked")
        order = await reserved(world)
        assert isinstance(await world.adapter.query(order), Reserved)
        debited = await capture(world, order)
        assert await world.adapter.query(order) == debited
        other = await reserved(world, "1002")
        await release(world, other)
        assert isinstance(await world.adapter.query(other), NotFound)
