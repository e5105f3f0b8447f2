"""The prompt step: committed as written, then written; what each answer of the SMSC leads to."""

from dataclasses import replace
from typing import Any

import pytest

from ppcd.charge.rules import State
from ppcd.flow.ports import SendResult, Sent, Sms
from ppcd.flow.prompt import decide
from ppcd.flow.request import Created
from ppcd.service.queues import HELD_S
from ppcd.service.work import Unpaused
from ppcd.store.failures import Broken, NotApplied
from ppcd.store.prompts import Next
from ppcd.store.rows import ChargeRow, PromptJob
from tests.builders import Store
from tests.flow.unsteady import Unsteady
from tests.flow.world import World, now

ACCEPTED, NOT_NOW, REFUSED = SendResult.ACCEPTED, SendResult.NOT_NOW, SendResult.REFUSED
FAULT, NOT_SENT, UNKNOWN = SendResult.FAULT, SendResult.NOT_SENT, SendResult.UNKNOWN


def created(world: World) -> ChargeRow:
    answer = now(world.requests.create(world.partner, world.an_order()))
    assert isinstance(answer, Created)
    return world.charge(answer.charge.charge_id)


@pytest.mark.parametrize(
    ("result", "attempt", "following", "delay_s"),
    [
        (ACCEPTED, 1, Next.DONE, 0),
        (REFUSED, 1, Next.UNDELIVERABLE, 0),
        (NOT_NOW, 1, Next.LATER, 1),
        (NOT_NOW, 3, Next.LATER, 5),
        (NOT_NOW, 99, Next.LATER, 20),
        (NOT_SENT, 2, Next.LATER, 2),
        (FAULT, 1, Next.LATER, 1),
        (FAULT, 3, Next.UNDELIVERABLE, 0),
        (UNKNOWN, 1, Next.LATER, 15),
        (UNKNOWN, 2, Next.DONE, 0),
    ],
)
def test_what_follows_an_attempt(
    result: SendResult, attempt: int, following: Next, delay_s: float
) -> None:
    assert decide(Sent(result, "acme", ""), attempt=attempt) == (following, delay_s)


def test_a_prompt_is_written_before_it_is_sent(world: World) -> None:
    charge = created(world)
    seen: list[object] = []
    written = "SELECT written_at IS NOT NULL FROM awaiting WHERE charge_id = %s"
    world.carrier.on_send = lambda sms: seen.extend(world.store.query(written, charge.charge_id))
    world.pump()
    assert seen == [(True,)]
    [sms] = world.carrier.sent
    assert (sms.route, sms.source, sms.reference) == ("main", "717100", charge.charge_id)
    assert sms.msisdn.digits == str(charge.msisdn)
    world.answer(charge, "??")
    assert world.carrier.sent[1].reference != sms.reference, "a phone joins segments by it"
    assert 598 < sms.validity_s <= 600


def test_validity_is_what_is_left_of_the_charges_time(world: World) -> None:
    world.carrier.answers.append(NOT_NOW)
    created(world)
    world.pump()
    world.pass_(100)
    assert 498 < world.carrier.sent[1].validity_s <= 500


def test_a_throttled_prompt_is_tried_until_it_is_taken(world: World) -> None:
    world.carrier.answers.extend([NOT_NOW, NOT_NOW])
    charge = created(world)
    world.pump()
    world.pass_(1)
    world.pass_(1)
    assert len(world.carrier.sent) == 2
    world.pass_(1)
    assert len(world.carrier.sent) == 3
    world.answer(charge)
    assert world.state(charge) is State.SUCCEEDED
    assert world.counted("prompts", "prompt", "not_now") == 2
    assert world.counted("prompts", "prompt", "accepted") == 1


def test_an_answer_to_a_prompt_whose_fate_is_unknown_counts(world: World) -> None:
    world.carrier.answers.append(UNKNOWN)
    charge = created(world)
    world.pump()
    world.answer(charge)
    assert world.state(charge) is State.SUCCEEDED
    world.pass_(15)
    assert world.kinds(charge) == ["prompt", "receipt"], "answered: not sent a second time"


def test_an_unknown_prompt_is_sent_once_more_and_no_more(world: World) -> None:
    world.carrier.answers.extend([UNKNOWN, UNKNOWN])
    charge = created(world)
    world.pump()
    for _ in range(10):
        world.pass_(15)
    assert len(world.texts(charge)) == 2
    assert world.state(charge) is State.AWAITING


def test_without_a_link_nobody_can_answer_and_the_charge_was_undeliverable(world: World) -> None:
    world.carrier.answers.extend([NOT_SENT] * 100)
    charge = created(world)
    world.pump()
    world.hear(world.an_mo(charge))
    assert world.state(charge) is State.AWAITING
    for _ in range(31):
        world.pass_(20)
    assert world.told(charge) == ["undeliverable PROMPT_UNDELIVERABLE None"]
    assert world.texts(charge) == []
    world.check_at_rest(charge)


def test_a_prompt_that_waited_for_a_link_can_be_answered_when_it_left(world: World) -> None:
    world.carrier.answers.extend([NOT_SENT, NOT_SENT])
    charge = created(world)
    world.pump()
    for _ in range(5):
        world.pass_(1)
    assert len(world.texts(charge)) == 1
    world.answer(charge)
    assert world.state(charge) is State.SUCCEEDED


def test_an_accepted_prompt_that_cannot_be_recorded_yet_is_not_sent_again(
    store: Store,
) -> None:
    runner = Unsteady(store)
    world = World(store, runner=runner)
    runner.reactor = world.clock
    charge = created(world)
    runner.troubles["finish"] = [NotApplied("down"), NotApplied("down")]
    world.pump()
    assert store.work_of(charge) == {"awaiting", "prompt_job"}
    world.clock.pump([0.5, 1])
    assert store.work_of(charge) == {"awaiting"}
    world.pass_(61)
    assert len(world.texts(charge)) == 1


def begun(world: World, *charges: ChargeRow) -> dict[int, Any]:
    """Begins the prompts of these together; what each failed with, if it did, by charge_id."""
    jobs = [job for job in world.offers.prompted if isinstance(job, PromptJob)]
    assert [job.charge_id for job in jobs] == [charge.charge_id for charge in charges]
    over: dict[int, Any] = {}
    world.prompts.begin(jobs, lambda job, why: over.update({job.charge_id: why and why.value}))
    return over


@pytest.mark.parametrize("place", ["rendering", "sending"])
def test_a_text_that_breaks_something_keeps_no_other_from_its_phone(
    world: World, place: str
) -> None:
    first, second = created(world), created(world)
    bug = ZeroDivisionError("a bug")

    def breaking(sms: Sms) -> None:
        if sms.reference == first.charge_id:
            raise bug

    if place == "sending":
        world.carrier.on_send = breaking
    else:
        world.offers.prompted[0] = replace(world.offers.prompted[0], language="xx")
    over = begun(world, first, second)
    assert isinstance(over[first.charge_id], KeyError if place == "rendering" else type(bug))
    assert over[second.charge_id] is None
    assert [sms.reference for sms in world.carrier.sent] == [second.charge_id]


def test_a_text_that_cannot_be_put_on_record_holds_up_no_other(store: Store) -> None:
    runner = Unsteady(store)
    world = World(store, runner=runner)
    runner.reactor = world.clock
    first, second = created(world), created(world)
    bad = Broken("a text that no column holds")
    runner.troubles["begin"] = [bad, bad, None]
    over = begun(world, first, second)
    assert over == {first.charge_id: bad, second.charge_id: None}
    assert [sms.reference for sms in world.carrier.sent] == [second.charge_id]


def test_what_a_stop_button_holds_is_put_off_and_the_others_are_sent(world: World) -> None:
    first, second = created(world), created(world)
    unpaused = Unpaused(world.prompts, lambda job: job.charge_id == first.charge_id)
    jobs = [job for job in world.offers.prompted if isinstance(job, PromptJob)]
    over: list[tuple[int, object]] = []
    unpaused.begin(jobs, lambda job, why: over.append((job.charge_id, why)))
    assert sorted(over) == [(first.charge_id, None), (second.charge_id, None)]
    assert [sms.reference for sms in world.carrier.sent] == [second.charge_id]
    assert now(world.prompts.claim(10)) == []
    world.store.ahead(HELD_S)
    assert now(world.prompts.claim(10)) == [jobs[0]]


def test_our_own_faults_end_after_three(world: World) -> None:
    world.carrier.answers.extend([FAULT] * 3)
    charge = created(world)
    world.pump()
    world.pass_(1)
    world.pass_(2)
    assert world.told(charge) == ["undeliverable PROMPT_UNDELIVERABLE None"]
    assert len(world.texts(charge)) == 3


def test_what_was_cancelled_while_it_waited_is_not_sent(world: World) -> None:
    charge = created(world)
    now(world.requests.cancel(world.partner, charge.charge_id))
    world.pump()
    assert world.texts(charge) == []
    assert world.counted("prompts", "prompt", "dropped") == 1


def test_a_notice_is_tried_for_a_day(world: World) -> None:
    charge = world.a_charge()
    world.carrier.answers.extend([NOT_SENT] * 3)
    world.answer(charge)
    for _ in range(3):
        world.pass_(60)
    assert world.kinds(charge) == ["prompt", "receipt"]
    assert len(world.texts(charge)) == 2


def test_a_refused_notice_is_dropped(world: World) -> None:
    charge = world.a_charge()
    world.carrier.answers.append(REFUSED)
    world.answer(charge)
    world.check_at_rest(charge)


def test_jobs_can_be_given_back_and_put_off(world: World) -> None:
    created(world)
    [job] = list(world.offers.prompted)
    now(world.prompts.postpone(job, 10))
    assert now(world.prompts.claim(10)) == []
    now(world.prompts.release([job]))
    assert now(world.prompts.claim(10)) == [job]
