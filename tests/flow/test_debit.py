"""The debit step: intents that grow old, answers that come late, and answers nobody can record."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.charge.debit import (
    Abilities,
    DebitAnswer,
    Debited,
    DebitOrder,
    DenialReason,
    Denied,
    NotSent,
    Unknown,
)
from ppcd.charge.money import UnknownCurrency
from ppcd.charge.rules import State
from ppcd.store.failures import Closing, NotApplied, OutcomeUnknown, Violated
from ppcd.store.limits import SumLimits
from ppcd.store.rows import ChargeRow, DebitJob, PromptKey
from tests.billing.adapter_contract import Fault
from tests.builders import Store
from tests.conftest import Criticals
from tests.flow.fakes import ABLE, IDEMPOTENT, QUERYABLE, UNABLE, FakeAdapter
from tests.flow.unsteady import Unsteady
from tests.flow.world import World, now


@pytest.fixture
def unsteady(store: Store) -> tuple[World, Unsteady]:
    runner = Unsteady(store)
    world = World(store, runner=runner)
    runner.reactor = world.clock
    return world, runner


def confirmed(world: World) -> ChargeRow:
    """A charge whose debit is about to be asked for."""
    charge = world.a_charge()
    world.hear(world.an_mo(charge))
    return charge


# --- the age of an intent ---------------------------------------------------------------------


def test_an_intent_that_grew_old_is_not_sent(unsteady: tuple[World, Unsteady]) -> None:
    """The node was paused while its intent was being committed."""
    world, runner = unsteady
    charge = confirmed(world)
    runner.troubles["_begin_all"] = [lambda: world.clock.advance(6)]
    world.pump()
    assert world.billing.asked == []
    assert world.state(charge) is State.CONFIRMED
    world.pass_(1)
    assert world.state(charge) is State.SUCCEEDED


def test_an_intent_is_checked_in_the_turn_that_writes(world: World) -> None:
    charge = confirmed(world)
    asked: list[Any] = []

    async def slow(order: Any, *, may_send: Any) -> Any:
        asked.append(may_send())
        world.clock.advance(5)
        asked.append(may_send())
        world.clock.advance(0.01)
        asked.append(may_send())
        return world.billing.move(order)

    world.adapter.debit = slow  # type: ignore[method-assign]
    world.pump()
    assert asked == [True, True, False]
    assert world.state(charge) is State.SUCCEEDED


def test_a_receipt_that_nobody_here_would_write_is_whoever_comes_first_s(world: World) -> None:
    charge = confirmed(world)
    world.offers.wanted = False
    world.pump()
    assert world.state(charge) is State.SUCCEEDED
    assert not any(isinstance(job, PromptKey) for job in world.offers.prompted)
    jobs = now(world.prompts.claim(10))
    assert (charge.charge_id, "receipt") in [(job.charge_id, job.kind) for job in jobs]


# --- answers that come late -------------------------------------------------------------------


def test_a_slow_answer_finds_its_charge_debited_after_a_takeover(world: World) -> None:
    """The first node's answer comes when another has the job, and has asked again."""
    charge = confirmed(world)
    world.adapter.gate = gate = Deferred[None]()
    world.pump()
    world.adapter.gate = None
    world.pass_(61)
    assert world.state(charge) is State.IN_DOUBT
    world.pass_(5)
    world.pass_(65)
    assert world.state(charge) is State.SUCCEEDED
    gate.callback(None)
    assert [p.called for p in world.pending] == [True]
    world.pump()
    world.check_at_rest(charge)


def test_a_slow_refusal_does_not_end_what_was_asked_again(store: Store) -> None:
    world = World(store, abilities=IDEMPOTENT)
    charge = confirmed(world)
    world.billing.faults.extend([Fault.INSUFFICIENT, Fault.LOST_ANSWER])
    world.adapter.gate = gate = Deferred[None]()
    world.pump()
    world.adapter.gate = None
    world.pass_(61)  # taken over: in doubt
    world.pass_(5)  # asked again: debited, and the answer is lost
    gate.callback(None)  # "refused", says attempt 1
    world.pump()
    assert world.state(charge) is State.IN_DOUBT
    world.pass_(30)
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


def test_not_found_counts_by_the_quiet_when_it_was_asked(store: Store) -> None:
    """Asked too early and answered late, «not found» says nothing."""
    world = World(store, abilities=QUERYABLE)
    charge = confirmed(world)
    world.billing.faults.append(Fault.ZOMBIE)
    world.pump()
    store.query("UPDATE debit_job SET run_at = business_now() + interval '30 s'")
    world.pass_(29)
    world.adapter.gate = gate = Deferred[None]()
    world.pass_(1)  # asked after 30 s of quiet: not found
    assert len(world.billing.queried) == 1
    world.adapter.gate = None
    world.billing.rise()
    world.clock.advance(50)
    store.ahead(50)
    gate.callback(None)
    world.pump()
    assert world.state(charge) is State.IN_DOUBT
    world.pass_(70)
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


@pytest.mark.parametrize(("late", "contradictions"), [(Fault.INSUFFICIENT, 1), (Fault.NONE, 0)])
def test_an_answer_against_what_the_partner_was_told_is_an_alarm_and_no_change(
    store: Store, late: Fault, contradictions: int
) -> None:
    world = World(store, abilities=QUERYABLE)
    charge = confirmed(world)
    world.billing.faults.append(late)
    world.adapter.gate = gate = Deferred[None]()
    world.pump()
    world.adapter.gate = None
    # A person has looked at billing, and found it debited.
    store.result(charge, "debited", reference="by hand")
    gate.callback(None)
    assert world.counted("contradictions") == contradictions
    row = world.charge(charge.charge_id)
    assert (row.state, row.billing_reference) == ("succeeded", "by hand")


def test_a_node_that_comes_back_takes_up_its_attempts_at_once(world: World) -> None:
    charge = confirmed(world)
    world.adapter.gate = Deferred[None]()
    world.pump()
    world.restart()
    world.pass_(1)
    assert world.state(charge) is State.DEBITING
    now(world.debits.reclaim())
    for _ in range(5):
        world.pass_(1)
    assert world.state(charge) is State.SUCCEEDED
    assert len(world.debits_of(charge)) == 1


def test_an_attempt_that_fell_silent_is_a_doubt_and_not_a_new_debit(store: Store) -> None:
    """Its node stopped between the intent and the answer's record."""
    for abilities, state in ((UNABLE, State.REVIEW), (IDEMPOTENT, State.SUCCEEDED)):
        world = World(store, abilities=abilities)
        charge = confirmed(world)
        world.adapter.gate = Deferred[None]()
        world.pump()
        world.restart()
        for _ in range(4):
            world.pass_(61)
        assert world.state(charge) is state
        assert len(world.debits_of(charge)) == 1


# --- answers that cannot be recorded ----------------------------------------------------------


def test_an_answer_is_kept_until_the_database_takes_it(
    unsteady: tuple[World, Unsteady],
) -> None:
    world, runner = unsteady
    charge = confirmed(world)
    runner.troubles["_record_all"] = [
        NotApplied("down"),
        NotApplied("down"),
        OutcomeUnknown("lost"),
    ]
    world.pump()
    assert world.state(charge) is State.DEBITING
    for seconds in (0.5, 1, 2):
        world.clock.advance(seconds)
    world.pump()
    assert world.state(charge) is State.SUCCEEDED
    assert len(world.billing.asked) == 1
    world.check_at_rest(charge)


def test_an_answer_recorded_without_our_knowing_is_told_by_whoever_takes_over(
    unsteady: tuple[World, Unsteady],
) -> None:
    world, runner = unsteady
    charge = confirmed(world)
    runner.troubles["_record_all"] = [OutcomeUnknown("applied")]
    world.pump()
    assert world.state(charge) is State.SUCCEEDED
    world.clock.advance(1)
    world.pass_(61)
    assert len(world.debits_of(charge)) == 1
    world.check_at_rest(charge)


def test_a_database_that_stays_away_makes_a_doubt_in_the_end(
    unsteady: tuple[World, Unsteady],
) -> None:
    world, runner = unsteady
    charge = confirmed(world)
    runner.troubles["_record_all"] = [NotApplied("down")] * 9
    world.pump()
    for _ in range(60):
        world.clock.advance(1)
    [failed] = world.pending
    with pytest.raises(NotApplied):
        now(failed)
    world.store.ahead(61)
    world.take_over()
    assert world.state(charge) is State.IN_DOUBT
    world.pass_(65)
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


@pytest.mark.parametrize("trouble", [Violated("bad", constraint="x"), Closing("closed")])
def test_an_answer_that_will_never_be_taken_is_not_tried_again(
    unsteady: tuple[World, Unsteady], trouble: Exception
) -> None:
    world, runner = unsteady
    confirmed(world)
    runner.troubles["_record_all"] = [trouble]
    with pytest.raises(type(trouble)):
        world.pump()


@pytest.mark.parametrize("applied", ["applied", "lost"])
@pytest.mark.parametrize("abilities", [ABLE, UNABLE])
def test_an_intent_whose_commit_is_unknown_is_made_when_it_is_known(
    store: Store, applied: str, abilities: Abilities
) -> None:
    runner = Unsteady(store)
    world = World(store, runner=runner, abilities=abilities)
    runner.reactor = world.clock
    charge = confirmed(world)
    runner.troubles["_begin_all"] = [OutcomeUnknown(applied), NotApplied("down")]
    world.pump()
    assert world.billing.asked == []
    world.clock.pump([0.1] * 4)
    world.pump()
    assert world.state(charge) is State.SUCCEEDED
    assert len(world.billing.asked) == 1
    world.check_at_rest(charge)


def test_an_intent_that_is_known_too_late_is_given_back(unsteady: tuple[World, Unsteady]) -> None:
    world, runner = unsteady
    charge = confirmed(world)
    runner.troubles["_begin_all"] = [OutcomeUnknown("applied"), *[NotApplied("down")] * 10]
    world.pump()
    world.clock.pump([0.5] * 30)
    assert world.billing.asked == []
    assert world.state(charge) is State.CONFIRMED
    world.pass_(2)
    assert world.state(charge) is State.SUCCEEDED


# --- what else goes wrong ---------------------------------------------------------------------


def test_a_bug_in_the_adapter_is_an_unknown_answer(world: World, criticals: Criticals) -> None:
    charge = confirmed(world)

    def bug(answer: object) -> None:
        raise KeyError("status")

    world.adapter.on_answer = bug
    world.pump()
    assert world.state(charge) is State.IN_DOUBT
    [logged] = criticals.take()
    assert "KeyError" in logged
    assert world.counted("debits", "sim", "unknown") == 1
    world.adapter.on_answer = lambda answer: None
    world.pass_(66)
    world.check_at_rest(charge)


class ByPlainCall(FakeAdapter):
    """Answers debits by a plain call, and breaks on the first when told to, or fails to ask."""

    breaks = ""

    def tell_debit(
        self,
        order: DebitOrder,
        told: Callable[[DebitAnswer | Exception], None],
        *,
        may_send: Callable[[], bool],
    ) -> None:
        if self.breaks == "asking":
            raise KeyError("status")
        answer = self.billing.move(order) if may_send() else NotSent("too late to send")
        told(KeyError("status") if self.breaks == "reading" else answer)


@pytest.mark.parametrize("breaks", ["", "asking", "reading"])
def test_a_debit_is_answered_by_a_plain_call(
    world: World, breaks: str, criticals: Criticals
) -> None:
    adapter = ByPlainCall(world.billing)
    adapter.breaks = breaks
    world.adapters[adapter.name] = adapter
    charge = confirmed(world)
    world.pump()
    if breaks:
        assert world.state(charge) is State.IN_DOUBT
        [logged] = criticals.take()
        assert "KeyError" in logged
        adapter.breaks = ""
        world.pass_(66)
    assert world.state(charge) is State.SUCCEEDED
    assert world.metrics.debits_in_flight.child("sim").value == 0
    world.check_at_rest(charge)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Debited("ref-\0\ud800-1"), State.SUCCEEDED),
        (Denied(DenialReason.SERVICE_DENIED, "\0barred\udfff"), State.DENIED),
        (Unknown("\0 what?"), State.IN_DOUBT),
    ],
)
def test_an_answer_in_strange_letters_is_recorded_all_the_same(
    world: World, answer: Any, state: State
) -> None:
    charge = confirmed(world)

    async def strange(order: Any, *, may_send: Any) -> Any:
        return answer

    world.adapter.debit = strange  # type: ignore[method-assign]
    world.pump()
    assert world.state(charge) is state


def several(world: World, count: int) -> tuple[list[ChargeRow], list[DebitJob]]:
    """Charges whose debits are about to be asked for, and the jobs."""
    charges, jobs = [], []
    for _ in range(count):
        charges.append(confirmed(world))
        jobs.append(world.offers.debited.popleft())
    return charges, jobs


def test_of_several_begun_together_one_that_cannot_be_recorded_is_left_alone(
    unsteady: tuple[World, Unsteady],
) -> None:
    """Broken together and then each by itself: the bad one alone fails."""
    world, runner = unsteady
    charges, jobs = several(world, 3)
    bad = Violated("23514", constraint="none")
    runner.troubles["_begin_all"] = [bad, None, bad]
    over: list[Any] = []
    world.debits.begin(jobs, lambda job, why: over.append((job.charge_id, why and why.value)))
    assert over == [(c.charge_id, bad if n == 1 else None) for n, c in enumerate(charges)]
    assert [world.state(c) for c in charges] == [
        *(State.SUCCEEDED, State.CONFIRMED, State.SUCCEEDED)
    ]


def test_of_several_begun_together_each_is_told_of_a_database_that_is_away(
    unsteady: tuple[World, Unsteady],
) -> None:
    world, runner = unsteady
    _, jobs = several(world, 2)
    runner.troubles["_begin_all"] = [NotApplied("down")]
    over: list[Any] = []
    world.debits.begin(jobs, lambda job, why: over.append((job, why and type(why.value))))
    assert over == [(job, NotApplied) for job in jobs]
    assert world.billing.asked == []


def test_of_several_begun_together_a_bug_is_one_s_alone(world: World) -> None:
    charges, [first, second] = several(world, 2)
    over: list[Any] = []
    strange = first._replace(currency="???")
    world.debits.begin([strange, second], lambda job, why: over.append(why and type(why.value)))
    assert over == [UnknownCurrency, None]
    assert world.state(charges[1]) is State.SUCCEEDED


def test_jobs_can_be_given_back(world: World) -> None:
    charge = confirmed(world)
    [job] = world.offers.debited
    world.offers.clear()
    assert now(world.debits.claim("sim", 10)) == []
    now(world.debits.release([job]))
    assert world.store.claim_debits(billing="other") == []
    [claimed] = now(world.debits.claim("sim", 10))
    assert claimed.charge_id == charge.charge_id


def test_figures_say_what_happened(world: World) -> None:
    charge = confirmed(world)
    world.pump()
    assert world.counted("debits", "sim", "debited") == 1
    for state in ("awaiting", "confirmed", "debiting", "succeeded"):
        assert world.counted("charges", state) == 1, state
    assert world.metrics.paid_seconds.child().count == 1
    assert world.metrics.debits_in_flight.child("sim").value == 0
    assert world.state(charge) is State.SUCCEEDED
    assert world.billing.abilities is ABLE


def test_a_yes_whose_room_was_used_up_meanwhile_is_denied(world: World) -> None:
    charge = confirmed(world)
    world.sum_limits = SumLimits(charge={"UAH": 2499})
    world.pump()
    assert world.billing.asked == []
    assert world.state(charge) is State.DENIED
    assert world.counted("limits_hit", "charge", "debit") == 1
    assert world.counted("charges", "denied") == 1
