"""Limits by sum: what counts, when it ceases to, and that no race over nodes debits more."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from ppcd.charge.rules import State
from ppcd.metrics import labels
from ppcd.store import creation, debits, limits, prompts, resolutions, spending
from ppcd.store.creation import Created
from ppcd.store.debits import Next, Result
from ppcd.store.intents import Begun, Intent
from ppcd.store.intents import begin as begin_intents
from ppcd.store.lanes import Direct
from ppcd.store.limits import Limit, OverLimit, PartnerLimit, SumLimits
from ppcd.store.resolutions import Resolution
from ppcd.store.rows import Address, Ended
from ppcd.store.spending import Taken
from tests.builders import LEASE_S, Charge, Store, charge_of, deadlocks

#: Of the tests' charges, 25 UAH each, two fit.
TWO = {"UAH": 5000}
#: More addresses than a phone has charges here, and all the time in the world to debit them.
MANY = {
    "pool": tuple(Address(number, f"7172{number:03}") for number in range(100, 200)),
    "debit_start_s": 604_800,
}
DAY_S = 86_400


def confirmed(store: Store, count: int, **changes: Any) -> list[Charge]:
    """Charges of one phone that have said yes, and whose debits nobody has begun."""
    phone = changes.pop("msisdn", None) or store.a_new_charge().msisdn
    return [store.a_charge(State.CONFIRMED, msisdn=phone, **MANY, **changes) for _ in range(count)]


def begin(store: Store, charge: Charge, known: SumLimits) -> Begun | Ended | None:
    intent = Intent(charge.charge_id, 1)
    [begun] = store.run(begin_intents, [intent], node="a", lease_s=LEASE_S, limits=known)
    return begun


def ask(store: Store, known: SumLimits, **changes: Any) -> Any:
    new = store.a_new_charge(**changes)
    [result] = store.run(creation.create, [new], lease_s=LEASE_S, sum_limits=known)
    return result


def at_noon(store: Store, zone: str = "UTC") -> None:
    """Move the clock to the next 2nd of a month, 12:00, by that zone."""
    statement = """
        UPDATE business_clock SET ahead =
               (date_trunc('month', now() AT TIME ZONE %(z)s) + interval '1 month 1 day 12 hours')
               AT TIME ZONE %(z)s - now()"""
    store.run(lambda cur: cur.execute(statement, {"z": zone}))


def test_metrics_know_the_limits() -> None:
    assert set(labels.SUM_LIMITS) == set(Limit)


# --- a subscriber's


SUBSCRIBER = [
    (SumLimits(subscriber_day=TWO), Limit.SUBSCRIBER_DAY),
    (SumLimits(subscriber_month=TWO), Limit.SUBSCRIBER_MONTH),
]


@pytest.mark.parametrize(("known", "limit"), SUBSCRIBER)
def test_a_debit_over_the_limit_is_denied_and_both_are_told(
    store: Store, known: SumLimits, limit: Limit
) -> None:
    one, two, three = confirmed(store, 3)
    assert isinstance(begin(store, one, known), Begun)
    store.result(one, "debited")
    assert isinstance(begin(store, two, known), Begun)
    ended = begin(store, three, known)
    assert isinstance(ended, Ended)
    assert (ended.state, ended.limit) == ("denied", limit)
    assert ended.webhook is not None
    assert store.get(three).reason == "LIMIT_EXCEEDED"
    assert store.work_of(three) == {"webhook_job", "prompt_job"}
    assert store.count("debit_attempt", three) == 0


@pytest.mark.parametrize("result", ["debited", "unknown", None])
@pytest.mark.parametrize(("known", "limit"), SUBSCRIBER)
def test_what_is_open_in_doubt_or_taken_counts(
    store: Store, known: SumLimits, limit: Limit, result: str | None
) -> None:
    one, two, three = confirmed(store, 3)
    for charge in (one, two):
        begin(store, charge, known)
        if result is not None:
            store.result(charge, result)
    assert isinstance(begin(store, three, known), Ended)
    assert ask(store, known, msisdn=three.msisdn) == OverLimit(limit)


@pytest.mark.parametrize(("known", "limit"), SUBSCRIBER)
def test_what_was_denied_gives_its_room_back(store: Store, known: SumLimits, limit: Limit) -> None:
    one, two, three = confirmed(store, 3)
    begin(store, one, known)
    begin(store, two, known)
    store.result(two, "denied", reason="INSUFFICIENT_FUNDS")
    assert isinstance(ask(store, known, msisdn=three.msisdn), Created)
    assert isinstance(begin(store, three, known), Begun)


def test_a_doubt_that_a_person_denies_gives_its_room_back(store: Store) -> None:
    known = SumLimits(subscriber_day=TWO, partner_day=TWO)
    one, two, three = confirmed(store, 3)
    for charge in (one, two):
        begin(store, charge, known)
        store.result(charge, "unknown", following=Next.REVIEW)
    no = Resolution(one.charge_id, Next.DENIED, "not there", "alice", reason="BILLING_UNAVAILABLE")
    store.run(resolutions.resolve, no, quiet_period_s=0)
    assert isinstance(begin(store, three, known), Begun)


def test_phones_and_currencies_have_room_of_their_own(store: Store) -> None:
    known = SumLimits(subscriber_day=TWO)
    for charge in confirmed(store, 2):
        assert isinstance(begin(store, charge, known), Begun)
    [other] = confirmed(store, 1)
    assert isinstance(begin(store, other, known), Begun)
    for charge in confirmed(store, 3, currency="EUR", msisdn=other.msisdn):
        assert isinstance(begin(store, charge, known), Begun)


def test_what_was_debited_before_there_was_a_limit_counts(store: Store) -> None:
    one, two, three = confirmed(store, 3)
    for charge in (one, two):
        store.intend(charge)
        store.result(charge, "debited")
    assert isinstance(begin(store, three, SumLimits(subscriber_month=TWO)), Ended)


def test_one_batch_does_not_pass_the_limit_by_itself(store: Store) -> None:
    known = SumLimits(subscriber_day=TWO, partner_month={"UAH": 7500})
    intents = [
        Intent(charge.charge_id, 1) for charge in (*confirmed(store, 4), *confirmed(store, 2))
    ]
    begun = store.run(begin_intents, intents, node="a", lease_s=LEASE_S, limits=known)
    said = ["begun" if isinstance(b, Begun) else b.limit for b in begun if b is not None]
    assert said == [
        *("begun", "begun", Limit.SUBSCRIBER_DAY, Limit.SUBSCRIBER_DAY),
        *("begun", Limit.PARTNER_MONTH),
    ]


def test_an_attempt_that_was_not_sent_keeps_its_room(store: Store) -> None:
    known = SumLimits(subscriber_day={"UAH": 2500}, partner_day=TWO)
    one, two = confirmed(store, 2)
    begin(store, one, known)
    store.result(one, "not_sent")
    assert isinstance(begin(store, two, known), Ended)
    again = Intent(one.charge_id, 2)
    [begun] = store.run(begin_intents, [again], node="b", lease_s=LEASE_S, limits=known)
    assert isinstance(begun, Begun)
    assert store.run(spending.taken, store.partner_id, zone="UTC") == [Taken("UAH", 2500, 2500)]


def test_an_intent_whose_commit_was_in_the_dark_is_not_counted_twice(store: Store) -> None:
    known = SumLimits(subscriber_day={"UAH": 2500}, partner_day={"UAH": 2500})
    [one] = confirmed(store, 1)
    begin(store, one, known)
    intent = Intent(one.charge_id, 1)
    again = store.run(begin_intents, [intent], node="a", lease_s=LEASE_S, limits=known, repeat=True)
    assert isinstance(again[0], Begun)
    assert store.run(spending.taken, store.partner_id, zone="UTC") == [Taken("UAH", 2500, 2500)]


# --- days and months


def test_a_day_is_the_operators(store: Store) -> None:
    """Kyiv's day begins at 21 or 22 h of UTC."""
    kyiv = SumLimits(zone="Europe/Kyiv", subscriber_day={"UAH": 2500}, partner_day=TWO)
    at_noon(store, "Europe/Kyiv")
    one, two, three = confirmed(store, 3)
    begin(store, one, kyiv)
    store.result(one, "debited")
    store.ahead(12 * 3600 - 60)  # 23:59
    assert ask(store, kyiv, msisdn=one.msisdn) == OverLimit(Limit.SUBSCRIBER_DAY)
    assert isinstance(begin(store, two, kyiv), Ended)
    store.ahead(120)
    assert isinstance(begin(store, three, kyiv), Begun)
    assert store.run(spending.taken, store.partner_id, zone="Europe/Kyiv") == [
        Taken("UAH", 2500, 5000)
    ]


def test_a_month_ends_with_its_last_day(store: Store) -> None:
    known = SumLimits(subscriber_month=TWO, partner_month=TWO)
    at_noon(store)
    one, two, three, four = confirmed(store, 4)
    for charge in (one, two):
        begin(store, charge, known)
        store.result(charge, "debited")
        store.ahead(DAY_S)
    assert isinstance(begin(store, three, known), Ended)
    store.ahead(31 * DAY_S)
    [five] = confirmed(store, 1, msisdn=four.msisdn)
    assert isinstance(begin(store, five, known), Begun)


def test_what_is_open_counts_on_every_day_until_it_is_known(store: Store) -> None:
    known = SumLimits(subscriber_day={"UAH": 2500})
    one, two, three = confirmed(store, 3)
    begin(store, one, known)
    store.result(one, "unknown", following=Next.REVIEW)
    store.ahead(3 * DAY_S)
    assert isinstance(begin(store, two, known), Ended)
    yes = Resolution(one.charge_id, Next.SUCCEEDED, "booked", "alice")
    store.run(resolutions.resolve, yes, quiet_period_s=0)
    store.ahead(DAY_S)
    assert isinstance(begin(store, three, known), Begun)


# --- a charge's and a partner's


def test_a_charge_has_a_limit_of_its_own(store: Store) -> None:
    known = SumLimits(charge={"UAH": 2499})
    assert ask(store, known) == OverLimit(Limit.CHARGE)
    assert isinstance(ask(store, known, amount_minor=2499), Created)
    assert isinstance(ask(store, known, currency="EUR"), Created)
    [charge] = confirmed(store, 1)
    ended = begin(store, charge, known)
    assert isinstance(ended, Ended)
    assert ended.limit is Limit.CHARGE


@pytest.mark.parametrize(
    ("known", "limit"),
    [
        (SumLimits(partner_day=TWO), Limit.PARTNER_DAY),
        (SumLimits(partner_month=TWO), Limit.PARTNER_MONTH),
    ],
)
def test_a_partner_has_room_for_all_its_phones(
    store: Store, known: SumLimits, limit: Limit
) -> None:
    charges = [confirmed(store, 1)[0] for _ in range(4)]
    assert isinstance(begin(store, charges[0], known), Begun)
    assert isinstance(begin(store, charges[1], known), Begun)
    ended = begin(store, charges[2], known)
    assert isinstance(ended, Ended)
    assert ended.limit is limit
    assert ask(store, known) == OverLimit(limit)
    store.result(charges[0], "denied", reason="INSUFFICIENT_FUNDS")
    assert isinstance(begin(store, charges[3], known), Begun)
    assert store.run(spending.taken, store.partner_id, zone="UTC") == [Taken("UAH", 5000, 5000)]


def test_room_is_given_back_to_the_day_it_was_taken_from(store: Store) -> None:
    known = SumLimits(partner_day=TWO)
    at_noon(store)
    [one] = confirmed(store, 1)
    begin(store, one, known)
    store.ahead(DAY_S)
    [two] = confirmed(store, 1)
    begin(store, two, known)
    store.result(one, "denied", reason="INSUFFICIENT_FUNDS")
    assert store.run(spending.taken, store.partner_id, zone="UTC") == [Taken("UAH", 2500, 2500)]


def test_a_partners_own_limits_come_before_the_others(store: Store) -> None:
    own = PartnerLimit(store.partner_id, "UAH", None, 2500, None)
    store.run(limits.set_partner_limit, own)
    known = SumLimits(
        charge={"UAH": 2000}, partner_day=TWO, partners=store.run(limits.partner_limits)
    )
    assert known.on(store.partner_id, "UAH") == {Limit.CHARGE: 2000, Limit.PARTNER_DAY: 2500}
    assert known.on(store.partner_id, "EUR") == {}
    store.run(limits.set_partner_limit, PartnerLimit(store.partner_id, "UAH", 3000, None, 10_000))
    known = SumLimits(
        charge={"UAH": 2000}, partner_day=TWO, partners=store.run(limits.partner_limits)
    )
    assert known.on(store.partner_id, "UAH") == {
        Limit.CHARGE: 3000,
        Limit.PARTNER_DAY: 5000,
        Limit.PARTNER_MONTH: 10_000,
    }
    store.run(limits.set_partner_limit, PartnerLimit(store.partner_id, "UAH", None, None, None))
    assert (store.partner_id, "UAH") not in store.run(limits.partner_limits)


class Counting:
    """A cursor that counts its statements."""

    def __init__(self, cur: Any) -> None:
        self._cur = cur
        self.statements = 0

    def execute(self, *args: Any) -> Any:
        self.statements += 1
        return self._cur.execute(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cur, name)


def test_without_limits_nothing_is_asked(store: Store) -> None:
    def statements(known: SumLimits) -> int:
        intents = [Intent(charge.charge_id, 1) for charge in confirmed(store, 1)]

        def counted(cur: Any) -> int:
            counting: Any = Counting(cur)
            begin_intents(counting, intents, node="a", lease_s=LEASE_S, limits=known)
            return int(counting.statements)

        return store.run(counted)

    assert statements(SumLimits()) == 2  # the job; the attempt and the lease
    assert statements(SumLimits(charge=TWO)) == 3
    assert statements(SumLimits(subscriber_day=TWO)) == 6


# --- races


@contextmanager
def nodes(store: Store, count: int) -> Iterator[tuple[ThreadPoolExecutor, list[Direct]]]:
    """Connections that work at the same time, as those of several nodes do."""
    opened = [Direct(store.dsn) for _ in range(count)]
    try:
        with ThreadPoolExecutor(count) as pool:
            yield pool, opened
    finally:
        for direct in opened:
            direct.close()


def crowd(store: Store, phones: int, each: int, random: Random) -> dict[int, int]:
    """Confirmed charges of some phones, with whose they are."""
    numbers = [store.a_new_charge().msisdn for _ in range(phones)]
    found: dict[int, int] = {}
    for _ in range(each):
        news = [
            store.a_new_charge(msisdn=number, amount_minor=random.randrange(100, 3000), **MANY)
            for number in numbers
        ]
        made = [charge_of(result) for result in store.create(*news)]
        store.run(prompts.begin, [store.a_writing(c) for c in made], lease_s=LEASE_S)
        store.confirm(*(store.a_reply(c) for c in made))
        found |= {c.charge_id: c.msisdn for c in made}
    return found


WORDS = {
    "debited": (Next.SUCCEEDED, None),
    "denied": (Next.DENIED, "INSUFFICIENT_FUNDS"),
    "unknown": (Next.REVIEW, None),
}


def work(direct: Direct, charge_ids: Sequence[int], known: SumLimits, random: Random) -> None:
    """Begin each of these, some at once, and have billing answer; hours pass now and then."""
    for at in range(0, len(charge_ids), 4):
        intents = [Intent(charge_id, 1) for charge_id in charge_ids[at : at + 4]]
        begun = direct.run(begin_intents, intents, node="a", lease_s=LEASE_S, limits=known)
        results = []
        for intent, answer in zip(intents, begun, strict=True):
            if isinstance(answer, Begun):
                word = random.choice(("debited", "debited", "denied", "unknown"))
                following, reason = WORDS[word]
                results.append(Result(intent.charge_id, 1, word, following, reason=reason))
        direct.run(debits.record, results, lease_s=LEASE_S)
        if random.random() < 0.1:
            direct.run(
                lambda cur: cur.execute("UPDATE business_clock SET ahead = ahead + '4 hours'")
            )


_TAKEN = """
    SELECT date_trunc(%s, o.decided_at AT TIME ZONE 'Europe/Kyiv'), sum(c.amount_minor)
      FROM outcome o JOIN charge c USING (charge_id)
     WHERE o.state = 'succeeded' AND c.charge_id = ANY(%s) GROUP BY 1
"""
_OPEN = "SELECT coalesce(sum(amount_minor), 0) FROM debit_job WHERE charge_id = ANY(%s)"


@pytest.mark.parametrize("seed", range(3))
def test_no_race_of_nodes_debits_more_than_a_limit(store: Store, seed: int) -> None:
    random = Random(seed)
    at_noon(store, "Europe/Kyiv")
    charges = crowd(store, phones=3, each=40, random=random)
    known = SumLimits(
        zone="Europe/Kyiv",
        subscriber_day={"UAH": 9000},
        subscriber_month={"UAH": 16_000},
        partner_day={"UAH": 20_000},
        partner_month={"UAH": 36_000},
    )
    ids = list(charges)
    with nodes(store, 4) as (pool, opened):
        running = [
            pool.submit(work, direct, random.sample(ids, len(ids)), known, Random(f"{seed} {n}"))
            for n, direct in enumerate(opened)
        ]
        for done in running:
            done.result()
    phones = [[c for c, who in charges.items() if who == phone] for phone in set(charges.values())]
    for most, whose in ((9000, "day"), (16_000, "month")):
        for mine in phones:
            assert all(taken <= most for _, taken in store.query(_TAKEN, whose, mine))
    for most, whose in ((20_000, "day"), (36_000, "month")):
        assert all(taken <= most for _, taken in store.query(_TAKEN, whose, ids))
    # And the room was used, not just kept.
    [(_, taken)] = store.query(_TAKEN, "month", ids)
    assert taken > 10_000
    # What was counted is what was taken or may be: nothing was lost or given back twice.
    [(still_open,)] = store.query(_OPEN, ids)
    [(counted,)] = store.query(
        "SELECT sum(taken_minor) FROM partner_taken WHERE partner_id = %s", store.partner_id
    )
    assert counted == taken + still_open


@pytest.mark.parametrize("known", [SumLimits(subscriber_day=TWO), SumLimits(partner_day=TWO)])
def test_debits_that_begin_at_the_same_moment_share_the_room(
    store: Store, known: SumLimits
) -> None:
    """Each on a node of its own, over and over: two of six fit."""
    before = deadlocks(store)
    with nodes(store, 6) as (pool, opened):
        for _ in range(5):
            if known.partner_day:
                store.query("DELETE FROM partner_taken")
            charges = confirmed(store, 6)
            intents = [Intent(charge.charge_id, 1) for charge in charges]

            def race(direct: Direct, intent: Intent) -> list[Begun | Ended | None]:
                return direct.run(begin_intents, [intent], node="a", lease_s=60, limits=known)

            begun = [answer for [answer] in pool.map(race, opened, intents)]
            assert sum(isinstance(answer, Begun) for answer in begun) == 2
            assert sum(isinstance(answer, Ended) for answer in begun) == 4
    assert deadlocks(store) == before
