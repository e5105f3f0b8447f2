"""Prompts and notices: counted from before their first byte, sent once, given up in time."""

from dataclasses import replace

from ppcd.charge.rules import State
from ppcd.store import prompts
from ppcd.store.prompts import Next
from ppcd.store.rows import Ended, PromptKey, WebhookKey
from tests.builders import Store

UNDELIVERABLE = "undeliverable"


def test_a_prompt_counts_as_written_before_it_is(store: Store) -> None:
    charge = store.a_charge()
    go = store.begin(charge)
    assert go is not None
    assert (go.attempt, go.first) == (1, True)
    assert 599 < go.left_s <= 600
    assert store.count("prompt", charge) == 1
    assert store.reply(charge).effect == "confirmed"


def test_a_second_attempt_keeps_the_first_moment_and_the_one_text(store: Store) -> None:
    charge = store.a_charge()
    store.begin(charge)
    written = "SELECT written_at FROM awaiting WHERE charge_id = %s"
    before = store.query(written, charge.charge_id)
    store.finish(store.an_answer(charge, next=Next.LATER, segments=((None, None),)))
    store.ahead(5)
    go = store.begin(charge, attempts=1)
    assert go is not None
    assert (go.attempt, go.first) == (2, False)
    assert go.left_s < 596
    assert store.query(written, charge.charge_id) == before
    assert store.count("prompt", charge) == 1


def test_what_was_cancelled_meanwhile_is_not_written(store: Store) -> None:
    charge = store.a_charge()
    store.cancel(charge)
    assert store.begin(charge) is None
    assert "prompt_job" not in store.work_of(charge)
    assert store.count("prompt", charge) == 0


def test_what_ran_out_of_time_is_not_written(store: Store) -> None:
    charge = store.a_charge()
    store.ahead(600)
    assert store.begin(charge) is None
    assert store.work_of(charge) == {"awaiting"}
    assert store.expire() == [
        Ended(charge.charge_id, UNDELIVERABLE, WebhookKey(charge.charge_id, 1))
    ]


def test_a_worker_whose_job_was_taken_over_writes_nothing(store: Store) -> None:
    charge = store.a_charge()
    store.ahead(61)
    [claimed] = store.run(prompts.claim, limit=10, lease_s=60)
    assert claimed == charge.prompt
    assert store.begin(charge) is not None
    assert store.begin(charge) is None
    assert store.count("prompt_job", charge) == 1, "the other one's job is still there"


def test_of_a_batch_each_is_judged_for_itself(store: Store) -> None:
    good, cancelled, stale = (store.a_charge() for _ in range(3))
    store.cancel(cancelled)
    store.begin(stale)
    gone = store.run(
        prompts.begin, [store.a_writing(c) for c in (stale, cancelled, good)], lease_s=60
    )
    assert [go is not None for go in gone] == [False, False, True]


# --- what the SMSC says -----------------------------------------------------------------------


def test_an_accepted_prompt_is_done(store: Store) -> None:
    charge = store.a_charge()
    assert store.write(charge) is None
    assert store.work_of(charge) == {"awaiting"}
    assert store.query(
        "SELECT attempt, segment, link, command_status, message_id FROM prompt_answer"
        " WHERE charge_id = %s",
        charge.charge_id,
    ) == [(1, 0, "acme", 0, f"m{charge.charge_id}")]


def test_each_segment_has_its_answer(store: Store) -> None:
    charge = store.a_charge()
    store.begin(charge)
    store.finish(store.an_answer(charge, segments=((0, "a"), (None, None), (88, None))))
    assert store.count("prompt_answer", charge) == 3


def test_a_refused_prompt_ends_its_charge(store: Store) -> None:
    charge = store.a_charge()
    ended = store.write(charge, following=Next.UNDELIVERABLE)
    assert ended == Ended(charge.charge_id, UNDELIVERABLE, WebhookKey(charge.charge_id, 1))
    row = store.get(charge)
    assert (row.state, row.reason) == (UNDELIVERABLE, "PROMPT_UNDELIVERABLE")
    assert store.work_of(charge) == {"webhook_job"}


def test_a_refusal_after_consent_is_only_recorded(store: Store) -> None:
    charge = store.a_charge()
    store.begin(charge)
    store.reply(charge)
    answered = store.an_answer(charge, next=Next.UNDELIVERABLE, segments=((11, None),))
    assert store.finish(answered) == [None]
    assert store.state(charge) is State.CONFIRMED
    assert store.count("prompt_answer", charge) == 1


def test_a_refused_question_or_notice_ends_nothing(store: Store) -> None:
    charge = store.a_written_charge()
    store.reply(charge, "unclear")
    store.begin(charge, prompt_no=1)
    assert store.finish(store.an_answer(charge, prompt_no=1, next=Next.UNDELIVERABLE)) == [None]
    assert store.state(charge) is State.AWAITING


def test_not_now_is_tried_later(store: Store) -> None:
    charge = store.a_charge()
    store.begin(charge)
    store.finish(store.an_answer(charge, next=Next.LATER, delay_s=5, segments=((88, None),)))
    assert store.run(prompts.claim, limit=10, lease_s=60) == []
    store.ahead(5)
    [job] = store.run(prompts.claim, limit=10, lease_s=60)
    assert job == replace(charge.prompt, attempts=1)


def test_nobody_can_answer_what_never_left(store: Store) -> None:
    """Marked in advance, but then no link was up: a yes that comes now answers something else."""
    charge = store.a_charge()
    store.begin(charge)
    store.finish(store.an_answer(charge, next=Next.LATER, segments=(), unwritten=True))
    assert store.reply(charge).effect == "early"
    go = store.begin(charge, attempts=1)
    assert go is not None
    assert (go.attempt, go.first) == (2, True)
    assert store.reply(charge).effect == "confirmed"


def test_a_prompt_that_never_left_was_undeliverable(store: Store) -> None:
    charge = store.a_charge()
    store.begin(charge)
    store.finish(store.an_answer(charge, next=Next.LATER, segments=(), unwritten=True))
    store.ahead(601)
    assert [end.state for end in store.expire()] == [UNDELIVERABLE]


# --- delivery receipts ------------------------------------------------------------------------


def test_an_undelivered_prompt_ends_its_charge_before_consent(store: Store) -> None:
    charge = store.a_written_charge()
    webhook = WebhookKey(charge.charge_id, 1)
    assert store.receive(store.a_receipt(charge)) == [
        Ended(charge.charge_id, UNDELIVERABLE, webhook)
    ]
    assert store.state(charge) is State.UNDELIVERABLE
    assert store.receive(store.a_receipt(charge)) == [None]


def test_an_undelivered_prompt_is_only_recorded_after_consent(store: Store) -> None:
    charge = store.a_charge(State.CONFIRMED)
    assert store.receive(store.a_receipt(charge)) == [None]
    assert store.state(charge) is State.CONFIRMED
    assert store.count("receipt", charge) == 1


def test_a_delivered_prompt_waits_on(store: Store) -> None:
    charge = store.a_written_charge()
    for state in ("enroute", "delivered"):
        assert store.receive(store.a_receipt(charge, state=state)) == [None]
    assert store.state(charge) is State.AWAITING


def test_the_receipt_of_a_later_text_ends_nothing(store: Store) -> None:
    charge = store.a_written_charge()
    store.reply(charge, "unclear")
    store.begin(charge, prompt_no=1)
    store.finish(store.an_answer(charge, prompt_no=1, segments=((0, "again"),)))
    assert store.receive(store.a_receipt(charge, message_id="again")) == [None]
    assert store.state(charge) is State.AWAITING
    assert store.count("receipt", charge) == 1


def test_a_receipt_may_overtake_the_answer_that_names_its_message(store: Store) -> None:
    charge = store.a_charge()
    store.begin(charge)
    assert store.receive(store.a_receipt(charge)) == [None]
    [ended] = store.finish(store.an_answer(charge))
    assert ended is not None
    assert ended.state == UNDELIVERABLE


def test_an_old_receipt_under_an_id_that_is_used_again_ends_nothing(store: Store) -> None:
    charge = store.a_charge()
    store.receive(store.a_receipt(charge))
    store.ahead(1)
    assert store.write(charge) is None
    assert store.state(charge) is State.AWAITING


def test_another_phones_receipt_under_the_same_id_ends_nothing(store: Store) -> None:
    charge, other = store.a_charge(), store.a_charge()
    store.begin(charge)
    store.receive(store.a_receipt(charge, msisdn=other.msisdn))
    store.receive(store.a_receipt(charge, msisdn=None))
    assert store.finish(store.an_answer(charge)) == [None]
    assert store.receive(store.a_receipt(charge, msisdn=other.msisdn)) == [None]
    assert store.state(charge) is State.AWAITING


def test_of_messages_with_one_id_the_newest_is_meant(store: Store) -> None:
    phone = 380500000000 + store.number()
    older, newer = store.a_charge(msisdn=phone), store.a_charge(msisdn=phone)
    for charge in (older, newer):
        store.begin(charge)
        store.finish(store.an_answer(charge, segments=((0, "id-7"),)))
    [ended] = store.receive(store.a_receipt(older, message_id="id-7"))
    assert ended is not None
    assert ended.charge_id == newer.charge_id
    assert store.state(older) is State.AWAITING


def test_receipts_of_all_segments_in_one_batch_end_a_charge_once(store: Store) -> None:
    charge = store.a_charge()
    store.begin(charge)
    store.finish(store.an_answer(charge, segments=((0, "s1"), (0, "s2"))))
    first, second = store.receive(
        store.a_receipt(charge, message_id="s1"), store.a_receipt(charge, message_id="s2")
    )
    assert first is not None
    assert second is None


def test_a_receipt_recorded_twice_is_one_fact(store: Store) -> None:
    charge = store.a_written_charge()
    receipt = store.a_receipt(charge, state="delivered")
    store.receive(receipt)
    store.receive(receipt)
    assert store.count("receipt", charge) == 1


# --- jobs -------------------------------------------------------------------------------------


def test_a_job_is_its_nodes_until_the_lease_is_over_and_then_anybodys(store: Store) -> None:
    charge = store.a_charge()
    assert store.run(prompts.claim, limit=10, lease_s=60) == []
    store.ahead(61)
    assert store.run(prompts.claim, limit=10, lease_s=60) == [charge.prompt]
    assert store.run(prompts.claim, limit=10, lease_s=60) == []


def test_a_claim_takes_no_more_than_it_may(store: Store) -> None:
    for _ in range(3):
        store.a_charge()
    store.ahead(61)
    assert len(store.run(prompts.claim, limit=2, lease_s=60)) == 2
    assert len(store.run(prompts.claim, limit=2, lease_s=60)) == 1


def test_a_job_given_back_is_anybodys_at_once_or_after_its_pause(store: Store) -> None:
    now, later = store.a_charge(), store.a_charge()
    store.run(prompts.release, [PromptKey(now.charge_id, 0)])
    store.run(prompts.release, [PromptKey(later.charge_id, 0)], delay_s=10)
    assert [j.charge_id for j in store.run(prompts.claim, limit=9, lease_s=60)] == [now.charge_id]
    store.ahead(10)
    claimed = store.run(prompts.claim, limit=9, lease_s=60)
    assert [j.charge_id for j in claimed] == [later.charge_id]


def test_a_job_that_is_done_cannot_be_loaded(store: Store) -> None:
    done, waiting = store.a_written_charge(), store.a_charge()
    keys = [PromptKey(done.charge_id, 0), PromptKey(waiting.charge_id, 0)]
    assert store.run(prompts.load, keys) == [None, waiting.prompt]


def test_a_notice_is_given_up_after_a_day(store: Store) -> None:
    charge = store.a_charge(State.SUCCEEDED)
    store.ahead(86_401)
    assert store.begin(charge, prompt_no=100) is None
    assert "prompt_job" not in store.work_of(charge)
