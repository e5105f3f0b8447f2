"""What an answer does: it decides one charge at most, and its evidence is written with it."""

from collections.abc import Sequence
from typing import Any

import pytest

from ppcd.charge.rules import State
from ppcd.store import prompts, replies
from ppcd.store.replies import Settled
from ppcd.store.rows import (
    ADDRESSES_MAX,
    ClearReplies,
    DebitJob,
    Evidence,
    NewReply,
    PromptKey,
    PromptNo,
    WebhookKey,
)
from ppcd.store.runs import Runs
from tests.builders import FIRST_LOOK, POOL, Store, clear

# --- the first look ---------------------------------------------------------------------------


def test_a_yes_makes_one_debit_job_leased_to_this_node(store: Store) -> None:
    charge = store.a_written_charge(billing="ocs", debit_start_s=77)
    [settled] = store.confirm(store.a_reply(charge))
    job = DebitJob(
        charge.charge_id, store.partner_id, charge.msisdn, 2500, "UAH", "ocs", attempts=0
    )
    assert settled == Settled("confirmed", charge.charge_id, debit=job)
    assert store.work_of(charge) == {"debit_job"}
    assert store.claim_debits() == []
    [(start_s, lease_s)] = store.query(
        """SELECT extract(epoch FROM start_by - confirmed_at)::int,
                  extract(epoch FROM run_at - confirmed_at)::int
             FROM debit_job WHERE charge_id = %s""",
        charge.charge_id,
    )
    assert (start_s, lease_s) == (77, 60)


def test_a_no_declines_and_the_partner_is_to_be_told(store: Store) -> None:
    for verdict in ("no", "stop"):
        charge = store.a_written_charge()
        [settled] = store.confirm(store.a_reply(charge, verdict))
        webhook = WebhookKey(charge.charge_id, 1)
        assert settled == Settled("declined", charge.charge_id, webhook=webhook)
        row = store.get(charge)
        assert (row.state, row.reason) == ("declined", "USER_DECLINED")
        assert store.work_of(charge) == {"webhook_job"}


def test_the_evidence_is_what_the_phone_sent_byte_for_byte(store: Store) -> None:
    charge = store.a_written_charge()
    raw = b"\x00\xff\x04\x14"
    store.confirm(store.a_reply(charge, raw=raw, data_coding=245, esm_class=0x40, rule="words"))
    [row] = store.query(
        """SELECT raw, data_coding, esm_class, verdict, rule, effect, link, msisdn, address
             FROM reply WHERE charge_id = %s""",
        charge.charge_id,
    )
    assert row == (
        *(raw, 245, 0x40, "yes", "words", "confirmed", "acme"),
        *(charge.msisdn, charge.address),
    )


def test_two_confirmations_of_one_key_make_one_debit_job(store: Store) -> None:
    charge = store.a_written_charge()
    assert store.reply(charge).effect == "confirmed"
    second = store.reply(charge)
    assert (second.effect, second.debit) == ("late", None)
    assert store.count("debit_job", charge) == 1
    assert store.count("reply", charge) == 2


def test_a_yes_before_the_prompt_is_written_does_not_confirm(store: Store) -> None:
    charge = store.a_charge()
    assert store.reply(charge).effect == "early"
    assert store.state(charge) is State.AWAITING
    assert store.count("prompt_job", charge) == 1


def test_the_reply_may_overtake_the_smscs_answer(store: Store) -> None:
    charge = store.a_charge()
    store.begin(charge)
    assert store.reply(charge).effect == "confirmed"
    store.finish(store.an_answer(charge))
    assert store.state(charge) is State.CONFIRMED


def test_the_price_may_be_repeated_and_no_other(store: Store) -> None:
    right, wrong = store.a_written_charge(), store.a_written_charge()
    assert store.reply(right, number="25").effect == "confirmed"
    assert store.reply(wrong, number="26").effect == "reprompted"


def test_where_a_code_is_asked_for_only_the_code_confirms(store: Store) -> None:
    charge = store.a_written_charge(code_required=True)
    assert store.reply(charge).effect == "reprompted"
    assert store.reply(charge, number="25").effect == "wrong_code"
    assert store.reply(charge, number="4821").effect == "confirmed"


def test_a_batch_settles_each_charge_for_itself(store: Store) -> None:
    charges = [store.a_written_charge() for _ in range(4)]
    verdicts = ["yes", "no", "unclear", "stop"]
    batch = [store.a_reply(c, v) for c, v in zip(charges, verdicts, strict=True)]
    batch.reverse()
    settled = store.confirm(*batch)
    effects = ["declined", "reprompted", "declined", "confirmed"]
    assert [s and s.effect for s in settled] == effects
    assert [s and s.charge_id for s in settled] == [c.charge_id for c in reversed(charges)]


@pytest.mark.parametrize("lease_s", [0, 60])
def test_who_said_the_same_has_ids_from_any_run_and_keeps_his_own_result(
    store: Store, lease_s: int
) -> None:
    """Ids go by what was said, not by who came first; results by who came first."""
    charges = [store.a_written_charge() for _ in range(9)]
    yes, no, unclear = (
        Evidence(
            address=charges[0].address,
            link="acme",
            raw=verdict.encode(),
            data_coding=0,
            esm_class=0,
            verdict=verdict,
            number=None,
            rule="test",
            address_no=charges[0].key % ADDRESSES_MAX,
        )
        for verdict in ("yes", "no", "unclear")
    )
    first = store.id() + (store.number() << 24)
    runs = Runs(
        [range(first, first + 2), range(first + 90, first + 94), range(first - 9, first - 6)]
    )
    said = [yes, no, yes, unclear, yes, no, yes, yes, unclear]
    msisdns = [b"%d" % charge.msisdn for charge in charges]
    batch = ClearReplies(runs, msisdns, said)
    settled = store.pinned.run(replies.confirm, batch, **FIRST_LOOK | {"lease_s": lease_s})
    effects = {yes: "confirmed", no: "declined", unclear: "reprompted"}
    assert [one.effect for one in settled] == [effects[evidence] for evidence in said]
    recorded = store.query(
        "SELECT reply_id, msisdn, raw FROM reply WHERE reply_id = ANY(%s::bigint[])", list(runs)
    )
    assert sorted(reply_id for reply_id, *_ in recorded) == sorted(runs)
    assert {(msisdn, raw) for _, msisdn, raw in recorded} == {
        (charge.msisdn, evidence.raw) for charge, evidence in zip(charges, said, strict=True)
    }
    again = store.pinned.run(replies.confirm, batch, **FIRST_LOOK | {"lease_s": 60}, repeat=True)
    assert [one.effect for one in again] == [one.effect for one in settled]
    assert [one.charge_id for one in again] == [charge.charge_id for charge in charges]


def test_both_looks_say_the_same_of_what_both_can_settle(store: Store) -> None:
    """The first is SQL, the second asks the domain."""

    def made() -> list[NewReply]:
        ends = [
            store.a_charge(state) for state in (State.EXPIRED, State.CANCELLED, State.SUCCEEDED)
        ]
        asked_twice, waiting = store.a_written_charge(), store.a_written_charge()
        for _ in range(2):
            store.look_again(store.a_reply(asked_twice, "unclear"))
        return [
            *(store.a_reply(end, v) for v in ("yes", "no", "stop", "unclear") for end in ends),
            store.a_reply(waiting, "unclear"),
            store.a_reply(store.a_written_charge(code_required=True), "unclear"),
            store.a_reply(waiting, key=waiting.key + 1),
            store.a_reply(store.a_charge(), "unclear"),
            store.a_reply(asked_twice, "unclear"),
        ]

    def told(settled: Sequence[Settled | None]) -> list[Any]:
        return [
            s and (s.effect, s.charge_id is None, s.prompt and s.prompt.prompt_no) for s in settled
        ]

    first = [store.confirm(reply)[0] for reply in made()]
    second = [store.look_again(reply)[0] for reply in made()]
    assert told(first)[:-2] == told(second)[:-2]
    assert told(first)[-2:] == [None, None], "too early, and asked too often: not said at once"
    assert {s.effect for s in second} == {
        "late", "late_yes", "late_no", "reprompted", "stray", "early", "ignored"
    }  # fmt: skip


def test_what_nobody_here_would_send_is_not_reported(store: Store) -> None:
    charge = store.a_written_charge()
    free = FIRST_LOOK | {"prompt_lease_s": 0}
    reply = clear(store.a_reply(charge, "unclear"))
    [settled] = store.pinned.run(replies.confirm, reply, **free)
    assert settled == Settled("reprompted", charge.charge_id)
    assert store.count("prompt_job", charge) == 1


def test_an_answer_without_a_number_or_to_no_address_of_ours_is_astray(store: Store) -> None:
    charge = store.a_written_charge()
    nobody = store.a_reply(charge, key=None, msisdn=None)
    assert store.settle(nobody) == Settled("stray")
    assert store.query("SELECT effect FROM reply WHERE reply_id = %s", nobody.reply_id) == [
        ("stray",)
    ]


# --- late answers -----------------------------------------------------------------------------


def test_a_late_yes_does_not_debit_and_is_told_once(store: Store) -> None:
    charge = store.a_charge(State.EXPIRED)
    settled = store.reply(charge)
    assert settled.effect == "late_yes"
    assert settled.prompt == PromptKey(charge.charge_id, PromptNo.LATE_YES)
    assert store.count("debit_job", charge) == 0
    again = store.reply(charge)
    assert (again.effect, again.prompt) == ("late_yes", None)
    notice_sent(store, settled.prompt)
    assert store.reply(charge).prompt is None


def notice_sent(store: Store, key: PromptKey | None) -> None:
    """A notice goes all its way: its job is gone, its fact is there."""
    assert key is not None
    [job] = store.run(prompts.load, [key])
    assert job is not None
    writing = prompts.Writing(
        key.charge_id, key.prompt_no, job.key, job.attempts, job.kind, job.address, "…", 1
    )
    [go] = store.run(prompts.begin, [writing], lease_s=60)
    assert go is not None
    answered = prompts.Answered(
        key.charge_id, key.prompt_no, job.key, 1, "acme", ((0, "n1"),), prompts.Next.DONE
    )
    assert store.finish(answered) == [None]
    assert store.run(prompts.load, [key]) == [None]


def test_a_yes_between_the_end_of_time_and_the_sweep_is_late(store: Store) -> None:
    charge = store.a_written_charge()
    store.ahead(601)
    assert store.reply(charge).effect == "late_yes"
    assert [end.charge_id for end in store.expire()] == [charge.charge_id]


@pytest.mark.parametrize(
    "state", [State.DECLINED, State.EXPIRED, State.CANCELLED, State.UNDELIVERABLE, State.DENIED]
)
def test_nothing_comes_of_a_yes_after_an_end_but_the_word_for_it(
    store: Store, state: State
) -> None:
    charge = store.a_charge(state)
    assert store.reply(charge).effect == "late_yes"
    assert store.state(charge) is state
    assert store.count("debit_job", charge) == 0


@pytest.mark.parametrize(
    "state",
    [State.CONFIRMED, State.DEBITING, State.IN_DOUBT, State.REVIEW, State.SUCCEEDED],
)
@pytest.mark.parametrize("verdict", ["no", "stop"])
def test_a_no_after_consent_changes_nothing_and_is_told_once(
    store: Store, state: State, verdict: str
) -> None:
    charge = store.a_charge(state)
    settled = store.reply(charge, verdict)
    assert settled.effect == "late_no"
    assert settled.prompt == PromptKey(charge.charge_id, PromptNo.LATE_NO)
    assert store.state(charge) is state
    assert store.reply(charge, verdict).prompt is None


def test_an_unclear_word_after_the_decision_is_only_recorded(store: Store) -> None:
    charge = store.a_charge(State.SUCCEEDED)
    assert store.reply(charge, "unclear") == Settled("late", charge.charge_id)


def test_an_answer_to_a_held_address_means_its_ended_charge_and_never_the_younger_one(
    store: Store,
) -> None:
    phone = 380500000000 + store.number()
    older = store.a_charge(State.EXPIRED, msisdn=phone)
    younger = store.a_written_charge(msisdn=phone)
    settled = store.reply(older)
    assert (settled.effect, settled.charge_id) == ("late_yes", older.charge_id)
    assert store.state(younger) is State.AWAITING


def test_a_redelivered_yes_does_not_pay_for_the_next_charge(store: Store) -> None:
    phone = 380500000000 + store.number()
    paid = store.a_charge(State.SUCCEEDED, msisdn=phone)
    younger = store.a_written_charge(msisdn=phone)
    assert store.reply(paid).effect == "late"
    assert store.state(younger) is State.AWAITING


def test_on_a_reused_address_an_old_yes_lacks_the_code(store: Store) -> None:
    phone = 380500000000 + store.number()
    older = store.a_charge(State.EXPIRED, msisdn=phone, pool=POOL[:1])
    younger = store.a_written_charge(msisdn=phone, pool=POOL[:1])
    assert older.key == younger.key
    settled = store.reply(older)
    assert (settled.effect, settled.charge_id) == ("reprompted", younger.charge_id)
    assert store.state(younger) is State.AWAITING


def test_no_other_phone_can_answer(store: Store) -> None:
    charge, other = store.a_written_charge(), store.a_written_charge()
    store.reply(other)
    assert store.state(charge) is State.AWAITING


# --- unclear answers, wrong codes -------------------------------------------------------------


def test_an_unclear_answer_asks_again_at_most_twice(store: Store) -> None:
    charge = store.a_written_charge()
    settled = [store.reply(charge, "unclear") for _ in range(4)]
    assert [s.effect for s in settled] == ["reprompted", "reprompted", "ignored", "ignored"]
    assert [s.prompt for s in settled] == [
        *(PromptKey(charge.charge_id, 1), PromptKey(charge.charge_id, 2)),
        *(None, None),
    ]
    assert store.reply(charge).effect == "confirmed"


def test_a_question_is_asked_again_with_its_code(store: Store) -> None:
    charge = store.a_written_charge(code_required=True)
    key = store.reply(charge, "unclear").prompt
    assert key is not None
    [job] = store.run(prompts.load, [key])
    assert job is not None
    assert (job.kind, job.code, job.attempts) == ("reprompt_code", "4821", 0)


def test_the_third_wrong_code_declines(store: Store) -> None:
    charge = store.a_written_charge(code_required=True)
    settled = [store.reply(charge, number=number) for number in ("1111", "25", "4822")]
    assert [s.effect for s in settled] == ["wrong_code", "wrong_code", "codes_used_up"]
    assert [s.prompt is not None for s in settled] == [True, True, False]
    assert settled[2].webhook == WebhookKey(charge.charge_id, 1)
    row = store.get(charge)
    assert (row.state, row.reason) == ("declined", "USER_DECLINED")
    assert store.reply(charge, number="4821").effect == "late_yes"


def test_wrong_codes_are_counted_when_all_questions_have_been_asked(store: Store) -> None:
    charge = store.a_written_charge(code_required=True)
    for _ in range(2):
        store.reply(charge, "unclear")
    settled = [store.reply(charge, number="1111") for _ in range(3)]
    assert [s.effect for s in settled] == ["wrong_code", "wrong_code", "codes_used_up"]
    assert [s.prompt for s in settled] == [None] * 3
    assert store.state(charge) is State.DECLINED


def test_a_link_that_is_not_vouched_for_decides_nothing(store: Store) -> None:
    charge = store.a_written_charge()
    for verdict in ("yes", "no", "unclear"):
        reply = store.a_reply(charge, verdict, link="shady")
        [settled] = store.look_again(reply, untrusted=["shady"])
        assert settled == Settled("untrusted")
    assert store.state(charge) is State.AWAITING


def test_a_second_look_settles_a_mixed_batch(store: Store) -> None:
    late, unclear, used_up = (
        store.a_charge(State.EXPIRED),
        store.a_written_charge(),
        store.a_written_charge(code_required=True),
    )
    for _ in range(2):
        store.reply(used_up, number="1111")
    settled = store.look_again(
        store.a_reply(used_up, number="1111"),
        store.a_reply(late),
        store.a_reply(unclear, "unclear"),
        store.a_reply(late, key=None),
        store.a_reply(unclear, link="shady", key=unclear.key + 1),
        untrusted=["shady"],
    )
    effects = ["codes_used_up", "late_yes", "reprompted", "stray", "untrusted"]
    assert [s.effect for s in settled] == effects


# --- once more, after an unknown outcome ------------------------------------------------------


def test_a_confirmation_run_twice_gives_the_first_result(store: Store) -> None:
    yes, no, none = (store.a_written_charge() for _ in range(3))
    batch = [store.a_reply(yes), store.a_reply(no, "no"), store.a_reply(none, "unclear")]
    first = store.confirm(*batch)
    again = store.confirm(*batch, repeat=True)
    assert [s and (s.effect, s.charge_id) for s in again] == [
        s and (s.effect, s.charge_id) for s in first
    ]
    assert store.count("debit_job", yes) == 1
    assert store.count("reply", yes) == 1


def test_a_confirmation_that_did_not_happen_happens_on_the_second_run(store: Store) -> None:
    charge = store.a_written_charge()
    [settled] = store.confirm(store.a_reply(charge), repeat=True)
    assert settled is not None
    assert settled.debit is not None


def test_a_second_look_run_twice_gives_the_first_result_and_counts_once(store: Store) -> None:
    late = store.a_charge(State.EXPIRED)
    charge = store.a_written_charge(code_required=True)
    batch = [
        store.a_reply(charge, number="1111"),
        store.a_reply(late),
        store.a_reply(late, key=None),
    ]
    first = store.look_again(*batch)
    again = store.look_again(*batch, repeat=True)
    assert [s.effect for s in again] == [s.effect for s in first]
    counted = "SELECT wrong_codes, reprompts FROM awaiting WHERE charge_id = %s"
    assert store.query(counted, charge.charge_id) == [(1, 1)]
    assert store.count("reply", late) == 1


def test_a_second_look_finds_what_a_lost_first_one_has_confirmed(store: Store) -> None:
    """The first run's commit came through while its repeat waited for the row: it saw nothing."""
    charge = store.a_written_charge()
    reply = store.a_reply(charge)
    store.confirm(reply)
    [settled] = store.look_again(reply)
    assert (settled.effect, settled.charge_id) == ("confirmed", charge.charge_id)
    assert store.count("reply", charge) == 1
