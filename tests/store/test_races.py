"""Two connections at once: whoever takes the row decides, the other is told, nobody deadlocks."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any

import psycopg
import pytest

from ppcd.charge.rules import State
from ppcd.store import (
    charges,
    creation,
    debits,
    expiry,
    intents,
    prompts,
    replies,
    resolutions,
    second_look,
)
from ppcd.store.connection import ORDINARY, PINNED, Limits
from ppcd.store.creation import Created, Replayed
from ppcd.store.debits import Next, Result
from ppcd.store.intents import Begun, Intent
from ppcd.store.lanes import Direct
from ppcd.store.resolutions import Obstacle, Resolution, Unresolved
from ppcd.store.rows import Conflict
from tests.builders import FAILURES, FIRST_LOOK, Store, charge_of, clear, deadlocks

#: Whoever comes last waits for three others with hundreds of rows each: on a busy machine that is
#: longer than a lock may take in production, and no deadlock.
PATIENT = Limits(statement_s=60, lock_s=60)
LOOK = {"untrusted": frozenset(), "reprompts_max": 2, "wrong_codes_max": 3, "lease_s": 60}


class First:
    """A transaction that has done its work and not committed yet, and one that comes second."""

    def __init__(self, store: Store, conn: psycopg.Connection[Any], pool: ThreadPoolExecutor):
        self._store = store
        self._conn = conn
        self._pool = pool

    def does(self, transaction: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return transaction(self._conn.cursor(), *args, **kwargs)

    def second(self, transaction: Callable[..., Any], *args: Any, **kwargs: Any) -> "Future[Any]":
        """Begun on another connection, and now waiting for a lock of ours."""
        # As in production, where only what confirms is planned so that it locks in order.
        pinned = transaction is replies.confirm
        on = self._store.pinned if pinned else self._store.direct
        running = self._pool.submit(on.run, transaction, *args, **kwargs)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        with psycopg.connect(self._store.dsn, autocommit=True) as conn:
            while not running.done() and conn.execute(waiting).fetchone() == (0,):
                pass
        assert not running.done(), f"it did not wait: {running.result()}"
        return running

    def commit(self) -> None:
        self._conn.commit()

    def rollback(self) -> None:
        self._conn.rollback()


@pytest.fixture
def first(store: Store) -> Iterator[First]:
    with psycopg.connect(store.dsn) as conn, ThreadPoolExecutor(1) as pool:
        yield First(store, conn, pool)
        conn.rollback()


# --- a reply against everything else ----------------------------------------------------------


def test_a_cancel_that_loses_to_a_reply_is_told_so(store: Store, first: First) -> None:
    charge = store.a_written_charge()
    [settled] = first.does(replies.confirm, clear(store.a_reply(charge)), **FIRST_LOOK)
    assert settled.effect == "confirmed"
    cancelling = first.second(
        charges.cancel, charge.charge_id, partner_id=store.partner_id, lease_s=60
    )
    first.commit()
    assert cancelling.result() is None
    assert store.state(charge) is State.CONFIRMED


def test_a_reply_that_loses_to_a_cancel_is_late(store: Store, first: First) -> None:
    charge = store.a_written_charge()
    first.does(charges.cancel, charge.charge_id, partner_id=store.partner_id, lease_s=60)
    reply = store.a_reply(charge)
    confirming = first.second(replies.confirm, clear(reply), **FIRST_LOOK)
    first.commit()
    assert confirming.result() == [None]
    [settled] = store.look_again(reply)
    assert settled.effect == "late_yes"
    assert store.count("debit_job", charge) == 0


def test_a_reply_wins_when_the_cancel_fails(store: Store, first: First) -> None:
    charge = store.a_written_charge()
    first.does(charges.cancel, charge.charge_id, partner_id=store.partner_id, lease_s=60)
    confirming = first.second(replies.confirm, clear(store.a_reply(charge)), **FIRST_LOOK)
    first.rollback()
    [settled] = confirming.result()
    assert settled.effect == "confirmed"


def test_two_confirmations_at_once_make_one_debit_job(store: Store, first: First) -> None:
    charge = store.a_written_charge()
    first.does(replies.confirm, clear(store.a_reply(charge)), **FIRST_LOOK)
    second = store.a_reply(charge)
    confirming = first.second(replies.confirm, clear(second), **FIRST_LOOK)
    first.commit()
    assert confirming.result() == [None]
    assert store.look_again(second)[0].effect == "late"
    assert store.count("debit_job", charge) == 1


def test_the_sweep_passes_over_what_is_being_confirmed(store: Store, first: First) -> None:
    """The confirmation began in time; it may commit after the time is over."""
    charge, other = store.a_written_charge(), store.a_written_charge()
    first.does(replies.confirm, clear(store.a_reply(charge)), **FIRST_LOOK)
    store.ahead(601)
    assert [end.charge_id for end in store.expire()] == [other.charge_id]
    first.commit()
    assert store.expire() == []
    assert store.state(charge) is State.CONFIRMED


def test_a_failure_receipt_loses_to_a_reply(store: Store, first: First) -> None:
    charge = store.a_written_charge()
    first.does(replies.confirm, clear(store.a_reply(charge)), **FIRST_LOOK)
    recording = first.second(
        prompts.record_receipts, [store.a_receipt(charge)], failures=FAILURES, lease_s=60
    )
    first.commit()
    assert recording.result() == [None]
    assert store.state(charge) is State.CONFIRMED


def test_a_question_is_not_repeated_to_somebody_who_has_just_said_yes(
    store: Store, first: First
) -> None:
    charge = store.a_written_charge()
    first.does(replies.confirm, clear(store.a_reply(charge)), **FIRST_LOOK)
    unclear = store.a_reply(charge, "unclear")
    looking = first.second(second_look.look_again, [unclear], **LOOK)
    first.commit()
    [settled] = looking.result()
    assert (settled.effect, settled.prompt) == ("late", None)


def test_what_somebody_else_is_at_is_not_judged_at_once(store: Store, first: First) -> None:
    """Neither waits for the other: it is for the second look, which does."""
    charge, asked = store.a_written_charge(), store.a_written_charge()
    first.does(replies.confirm, clear(store.a_reply(charge)), **FIRST_LOOK)
    first.does(second_look.look_again, [store.a_reply(asked, "unclear")], **LOOK)
    unclear = [store.a_reply(charge, "unclear"), store.a_reply(asked, "unclear")]
    assert store.confirm(*unclear) == [None, None]
    first.commit()
    assert [s and s.effect for s in store.confirm(*unclear)] == [None, "reprompted"]
    assert store.query("SELECT reprompts FROM awaiting WHERE key = %s", asked.key) == [(2,)]
    assert store.look_again(unclear[0])[0].effect == "late"


def test_two_wrong_codes_at_once_are_both_counted(store: Store, first: First) -> None:
    charge = store.a_written_charge(code_required=True)
    store.reply(charge, number="1111")
    wrong = [store.a_reply(charge, number=number) for number in ("2222", "3333")]
    first.does(second_look.look_again, wrong[:1], **LOOK)
    looking = first.second(second_look.look_again, wrong[1:], **LOOK)
    first.commit()
    assert looking.result()[0].effect == "codes_used_up"
    assert store.state(charge) is State.DECLINED


def test_a_second_look_whose_outcome_is_open_is_waited_for(store: Store, first: First) -> None:
    charge = store.a_written_charge()
    reply = store.a_reply(charge, "unclear")
    first.does(second_look.look_again, [reply], **LOOK)
    again = first.second(second_look.look_again, [reply], **LOOK, repeat=True)
    first.commit()
    [settled] = again.result()
    assert settled.effect == "reprompted"
    assert store.count("reply", charge) == 1


def test_a_stray_answer_whose_outcome_is_open_is_waited_for(store: Store, first: First) -> None:
    charge = store.a_charge()
    reply = store.a_reply(charge, key=None)
    first.does(second_look.look_again, [reply], **LOOK)
    again = first.second(second_look.look_again, [reply], **LOOK, repeat=True)
    first.commit()
    assert again.result()[0].effect == "stray"


# --- creation ---------------------------------------------------------------------------------


def test_one_request_that_comes_twice_at_once_is_created_once(store: Store, first: First) -> None:
    order = store.a_new_charge(correlator="c")
    twin = store.a_new_charge(correlator="c", reference=order.reference)
    [created] = first.does(creation.create, [order], lease_s=60)
    creating = first.second(creation.create, [twin], lease_s=60)
    first.commit()
    assert isinstance(created, Created)
    assert creating.result() == [Replayed(order.charge_id)]


def test_a_reference_is_free_when_its_first_user_fails(store: Store, first: First) -> None:
    order = store.a_new_charge()
    first.does(creation.create, [order], lease_s=60)
    twin = store.a_new_charge(reference=order.reference)
    creating = first.second(creation.create, [twin], lease_s=60)
    first.rollback()
    assert isinstance(creating.result()[0], Created)


def test_a_reference_is_free_when_its_first_user_finds_no_address(
    store: Store, first: First
) -> None:
    phone = store.a_charge(pool=store.a_new_charge().pool[:1])
    refused = store.a_new_charge(msisdn=phone.msisdn, pool=store.a_new_charge().pool[:1])
    assert first.does(creation.create, [refused], lease_s=60) == [Conflict.NO_FREE_ADDRESS]
    twin = store.a_new_charge(reference=refused.reference)
    creating = first.second(creation.create, [twin], lease_s=60)
    first.commit()
    assert isinstance(creating.result()[0], Created)


def test_two_charges_for_one_phone_at_once_have_two_addresses(store: Store, first: First) -> None:
    one = store.a_new_charge()
    two = store.a_new_charge(msisdn=one.msisdn)
    [created] = first.does(creation.create, [one], lease_s=60)
    creating = first.second(creation.create, [two], lease_s=60)
    first.commit()
    assert charge_of(creating.result()[0]).key != charge_of(created).key


# --- workers ----------------------------------------------------------------------------------


def test_two_workers_with_one_job_make_one_attempt(store: Store, first: First) -> None:
    charge = store.a_charge(State.CONFIRMED)
    intent = Intent(charge.charge_id, 1)
    [begun] = first.does(intents.begin, [intent], node="a", lease_s=60)
    beginning = first.second(intents.begin, [intent], node="b", lease_s=60)
    first.commit()
    assert isinstance(begun, Begun)
    assert beginning.result() == [None]
    assert store.count("debit_attempt", charge) == 1


def test_an_intent_run_again_waits_for_its_first_run_and_is_that(
    store: Store, first: First
) -> None:
    charge = store.a_charge(State.CONFIRMED)
    intent = Intent(charge.charge_id, 1)
    begun = first.does(intents.begin, [intent], node="a", lease_s=60)
    again = first.second(intents.begin, [intent], node="a", lease_s=60, repeat=True)
    first.commit()
    assert again.result() == begun
    assert store.count("debit_attempt", charge) == 1
    assert store.run(intents.begin, [intent], node="b", lease_s=60, repeat=True) == [None]


def test_two_workers_with_one_text_write_it_once(store: Store, first: First) -> None:
    charge = store.a_charge()
    writing = store.a_writing(charge)
    [go] = first.does(prompts.begin, [writing], lease_s=60)
    beginning = first.second(prompts.begin, [writing], lease_s=60)
    first.commit()
    assert go is not None
    assert beginning.result() == [None]


@pytest.mark.parametrize(
    "words", [("debited", "denied"), ("denied", "debited"), ("debited", "debited")]
)
def test_two_answers_at_once_end_a_charge_once(
    store: Store, first: First, words: tuple[str, str]
) -> None:
    charge = store.a_charge(State.DEBITING)
    results = [
        Result(charge.charge_id, 1, "debited", Next.SUCCEEDED)
        if word == "debited"
        else Result(charge.charge_id, 1, "denied", Next.DENIED, reason="BILLING_REJECTED")
        for word in words
    ]
    [ended] = first.does(debits.record, results[:1], lease_s=60)
    recording = first.second(debits.record, results[1:], lease_s=60)
    first.commit()
    assert ended is not None
    assert recording.result() == [None]
    assert store.count("outcome", charge) == 1


def test_claims_at_once_share_the_work(store: Store, first: First) -> None:
    confirmed = {store.a_charge(State.CONFIRMED).charge_id for _ in range(4)}
    store.ahead(61)
    mine = {job.charge_id for job in first.does(debits.claim, billing="sim", limit=2, lease_s=60)}
    theirs = {job.charge_id for job in store.claim_debits()}
    assert len(mine) == 2
    assert mine | theirs == confirmed
    assert not mine & theirs
    texts = len(first.does(prompts.claim, limit=1, lease_s=60))
    assert texts + len(store.run(prompts.claim, limit=100, lease_s=60)) == 0


# --- many at once -----------------------------------------------------------------------------


def test_batches_over_the_same_charges_do_not_deadlock(store: Store) -> None:
    """Everything that takes `awaiting` rows takes them in the order of their keys."""
    random = Random(7)
    before = deadlocks(store)
    for _ in range(2):
        made = [charge_of(r) for r in store.create(*(store.a_new_charge() for _ in range(400)))]
        random.shuffle(made)
        # Rows lie in the heap in another order than their keys, and the planner knows how few.
        store.run(prompts.begin, [store.a_writing(c) for c in made], lease_s=60)
        store.look_again(*(store.a_reply(c, "unclear") for c in made))
        store.query("ANALYZE awaiting")
        orders = [random.sample(made, len(made)) for _ in range(5)]
        works: list[tuple[Callable[..., Any], list[Any], dict[str, Any]]] = [
            (replies.confirm, clear(*[store.a_reply(c) for c in orders[0]]), FIRST_LOOK),
            (second_look.look_again, [store.a_reply(c, "unclear") for c in orders[1]], LOOK),
            (
                prompts.finish,
                [
                    store.an_answer(c, next=prompts.Next.UNDELIVERABLE, segments=())
                    for c in orders[2]
                ],
                {"failures": FAILURES, "lease_s": 60},
            ),
            (prompts.begin, [store.a_writing(c, prompt_no=1) for c in orders[3]], {"lease_s": 60}),
            (
                replies.confirm,
                clear(*[store.a_reply(c, random.choice(("yes", "unclear"))) for c in orders[4]]),
                FIRST_LOOK,
            ),
        ]

        def work(transaction: Callable[..., Any], batch: list[Any], kwargs: dict[str, Any]) -> None:
            profile = PINNED if transaction is replies.confirm else ORDINARY
            with Direct(store.dsn, profile=profile, limits=PATIENT) as direct:
                for at in range(0, len(batch), 200):
                    direct.run(transaction, batch[at : at + 200], **kwargs)

        with ThreadPoolExecutor(5) as pool:
            for running in [pool.submit(work, *w) for w in works]:
                running.result()
        ended = store.query(
            """SELECT count(*) FROM charge c WHERE charge_id = ANY(%s)
                AND 1 <> (SELECT count(*) FROM debit_job j WHERE j.charge_id = c.charge_id)
                       + (SELECT count(*) FROM outcome o WHERE o.charge_id = c.charge_id)""",
            [c.charge_id for c in made],
        )
        assert ended == [(0,)], "each is confirmed or undeliverable, none both"
    assert deadlocks(store) == before


def test_a_confirmation_locks_by_key_even_where_few_wait(store: Store, first: First) -> None:
    """The planner reads few rows whole, and could do so in the order in which they run out."""
    before = deadlocks(store)
    low, high, _ = sorted((store.a_written_charge() for _ in range(3)), key=lambda c: c.key)
    earlier = "UPDATE awaiting SET expires_at = expires_at - interval '1 minute' WHERE key = %s"
    store.query(earlier, high.key)
    store.query("ANALYZE awaiting")
    first.does(second_look.look_again, [store.a_reply(low, "unclear")], **LOOK)
    both = clear(store.a_reply(low), store.a_reply(high))
    confirming = first.second(replies.confirm, both, **FIRST_LOOK)
    # Whoever waits for the low key holds nothing of the high one.
    first.does(second_look.look_again, [store.a_reply(high, "unclear")], **LOOK)
    first.commit()
    assert [settled.effect for settled in confirming.result()] == ["confirmed"] * 2
    assert deadlocks(store) == before


def test_nodes_that_confirm_the_same_charges_wait_for_each_other(store: Store) -> None:
    """Each hears its own copies, in its own order, in many spellings."""
    random = Random(11)
    before = deadlocks(store)
    for _ in range(3):
        made = [charge_of(r) for r in store.create(*(store.a_new_charge() for _ in range(300)))]
        store.run(prompts.begin, [store.a_writing(c) for c in made], lease_s=60)
        copies = [
            [
                store.a_reply(c, raw=bytes([random.randrange(5)]), link=f"link-{number}")
                for c in random.sample(made, len(made))
            ]
            for number in range(3)
        ]

        def confirm(batch: list[Any]) -> int:
            with Direct(store.dsn, profile=PINNED, limits=PATIENT) as direct:
                settled = direct.run(replies.confirm, clear(*batch), **FIRST_LOOK)
            return sum(s is not None and s.effect == "confirmed" for s in settled)

        with ThreadPoolExecutor(3) as pool:
            assert sum(pool.map(confirm, copies)) == len(made), "each is confirmed by one copy"
    assert deadlocks(store) == before


def test_expiry_and_confirmation_at_the_last_moment_agree(store: Store) -> None:
    made = [charge_of(r) for r in store.create(*(store.a_new_charge() for _ in range(100)))]
    store.run(prompts.begin, [store.a_writing(c) for c in made], lease_s=60)
    store.ahead(600 - 0.05)

    def confirm() -> set[int]:
        done: set[int] = set()
        with Direct(store.dsn, profile=PINNED) as direct:
            for at in range(0, len(made), 10):
                batch = [store.a_reply(c) for c in made[at : at + 10]]
                settled = direct.run(replies.confirm, clear(*batch), **FIRST_LOOK)
                done |= {s.charge_id for s in settled if s and s.charge_id and s.debit}
        return done

    def expire() -> set[int]:
        done: set[int] = set()
        with Direct(store.dsn) as direct:
            while store.query("SELECT count(*) FROM awaiting") != [(0,)]:
                ended = direct.run(expiry.expire, limit=20, lease_s=60)
                done |= {end.charge_id for end in ended}
        return done

    with ThreadPoolExecutor(2) as pool:
        confirming, expiring = pool.submit(confirm), pool.submit(expire)
        confirmed, expired = confirming.result(), expiring.result()
    assert confirmed | expired == {c.charge_id for c in made}
    assert not confirmed & expired
    for charge in made[::10]:
        state = State.CONFIRMED if charge.charge_id in confirmed else State.EXPIRED
        assert store.state(charge) is state


# --- a person against the workers --------------------------------------------------------------


def test_a_person_who_loses_to_a_worker_is_told_that_billing_is_being_asked(
    store: Store, first: First
) -> None:
    charge = store.a_charge(State.IN_DOUBT)
    intent = Intent(charge.charge_id, 2, repeat=True)
    first.does(intents.begin, [intent], node="a", lease_s=60)
    denied = Resolution(charge.charge_id, Next.DENIED, "x", "alice", reason="BILLING_UNAVAILABLE")
    resolving = first.second(resolutions.resolve, denied, quiet_period_s=0)
    first.commit()
    assert resolving.result() == Unresolved(Obstacle.UNDER_WAY)
    assert store.state(charge) is State.IN_DOUBT


def test_a_worker_who_loses_to_a_person_begins_nothing(store: Store, first: First) -> None:
    charge = store.a_charge(State.IN_DOUBT)
    paid = Resolution(charge.charge_id, Next.SUCCEEDED, "booked", "alice")
    first.does(resolutions.resolve, paid, quiet_period_s=0)
    intent = Intent(charge.charge_id, 2, repeat=True)
    beginning = first.second(intents.begin, [intent], node="a", lease_s=60)
    first.commit()
    assert beginning.result() == [None]
    assert store.state(charge) is State.SUCCEEDED
